package provision

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/rolebridge/rolebridge/deploy/connect"
)

// Connect is what a Kafka Connect worker with sinks consists of.
type Connect struct {
	// Java is the virtual machine, of a JDK.
	Java string
	// Worker, Camel and Iceberg are folders with the jars of the worker and of two plugins. Both have the AWS SDK for Java.
	Worker, Camel, Iceberg string
}

// InstallConnect makes sure of a JDK and of the jars that the projects of deploy/connect name.
func InstallConnect(ctx context.Context) (Connect, error) {
	java, _, err := InstallMaven(ctx)
	if err != nil {
		return Connect{}, err
	}
	var texts []string
	poms := map[string]string{}
	err = fs.WalkDir(connect.Projects, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(connect.Projects, path)
		texts = append(texts, path, string(text))
		poms[path] = string(text)
		return err
	})
	if err != nil {
		return Connect{}, err
	}
	root, err := once(ctx, "connect-"+hash(texts...), func(ctx context.Context, tmp string) error {
		for path, text := range poms {
			file := filepath.Join(tmp, path)
			if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
				return err
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				return err
			}
		}
		_, err := run(ctx, tmp, "mvn", "-q", "-B", "-ntp", "-pl", "worker,camel,iceberg", "dependency:copy-dependencies", "-DincludeScope=runtime")
		return err
	})
	jars := func(module string) string { return filepath.Join(root, module, "target", "dependency") }
	return Connect{Java: java, Worker: jars("worker"), Camel: jars("camel"), Iceberg: jars("iceberg")}, err
}

// InstallMaven makes sure of a JDK and of Maven, and returns the virtual machine and mvn.
func InstallMaven(ctx context.Context) (java, mvn string, err error) {
	if os.Getenv("JAVA_HOME") == "" {
		if _, err := exec.LookPath("javac"); err != nil {
			if err := apt(ctx, "javac", "default-jdk-headless"); err != nil {
				return "", "", err
			}
		}
	}
	if java, err = findJava(ctx); err != nil {
		return "", "", err
	}
	mvn, err = findMaven(ctx)
	return java, mvn, err
}
