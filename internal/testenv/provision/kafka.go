package provision

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

var (
	//go:embed kafka/pom.xml
	kafkaPom string
	//go:embed kafka/log4j2.xml
	kafkaLogging string
)

// Kafka is an installed Apache Kafka: jars without the scripts around them.
type Kafka struct {
	java string
	jars string
	// archive is a class-data archive, which halves the time of a start; empty while it is being made.
	archive string
}

// Command returns what runs the class main with args. extra are flags of the virtual machine.
func (k Kafka) Command(main string, extra []string, args ...string) (path string, argv []string) {
	// One processor's worth of compiling and collecting: a test's broker lives too briefly to profit from more.
	argv = []string{"-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Djava.awt.headless=true"}
	if k.archive != "" {
		argv = append(argv, "-XX:SharedArchiveFile="+k.archive)
	}
	argv = append(argv, "-Dlog4j2.configurationFile="+filepath.Join(k.jars, "log4j2.xml"))
	argv = append(argv, extra...)
	// An archive is valid for one class path, in one order; a wildcard would leave the order to the file system.
	names, _ := filepath.Glob(filepath.Join(k.jars, "*.jar"))
	argv = append(argv, "-cp", strings.Join(names, string(filepath.ListSeparator)), main)
	return k.java, append(argv, args...)
}

// InstallKafka makes sure of Java, the jars and their class-data archive. train starts and stops a broker with the given
// installation and flags of the virtual machine; it is called when the archive must be made.
func InstallKafka(ctx context.Context, train func(ctx context.Context, kafka Kafka, flag string) error) (Kafka, error) {
	java, err := findJava(ctx)
	if err != nil {
		return Kafka{}, err
	}
	jars, err := once(ctx, "kafka-4.4.0-"+hash(kafkaPom, kafkaLogging), copyJars)
	if err != nil {
		return Kafka{}, err
	}
	kafka := Kafka{java: java, jars: jars}

	virtualMachine, err := identity(java)
	if err != nil {
		return Kafka{}, err
	}
	kafka.archive, err = once(ctx, filepath.Base(jars)+"-"+hash(virtualMachine)+".jsa", func(ctx context.Context, tmp string) error {
		return train(ctx, kafka, "-XX:ArchiveClassesAtExit="+tmp)
	})
	return kafka, err
}

// findJava returns a Java of version 17 or later, which Kafka 4 asks for.
func findJava(ctx context.Context) (string, error) {
	look := func() (string, error) {
		if home := os.Getenv("JAVA_HOME"); home != "" {
			return exec.LookPath(filepath.Join(home, "bin", "java"))
		}
		return exec.LookPath("java")
	}
	java, err := look()
	if err != nil {
		if err := apt(ctx, "java", "default-jre-headless"); err != nil {
			return "", err
		}
		if java, err = look(); err != nil {
			return "", err
		}
	}
	if java, err = filepath.EvalSymlinks(java); err != nil {
		return "", err
	}

	// The file beside bin/ says the version in 0 ms instead of the 100 ms of a virtual machine.
	release, err := os.ReadFile(filepath.Join(filepath.Dir(java), "..", "release"))
	if errors.Is(err, os.ErrNotExist) {
		return java, nil // a wrapper script: Kafka itself will complain
	}
	if err != nil {
		return "", err
	}
	_, version, _ := strings.Cut(string(release), `JAVA_VERSION="`)
	number, _, _ := strings.Cut(version, ".")
	if major, err := strconv.Atoi(strings.Trim(number, "\"\n")); err == nil && major < 17 {
		return "", fmt.Errorf("%s is Java %d: Kafka 4 needs Java 17 or later, on PATH or in JAVA_HOME", java, major)
	}
	return java, nil
}

// identity changes when the virtual machine does: an archive that another one made would be ignored without a word.
func identity(java string) (string, error) {
	info, err := os.Stat(java)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(java, info.Size(), info.ModTime().UnixNano()), nil
}

func findMaven(ctx context.Context) (string, error) {
	if path, err := exec.LookPath("mvn"); err == nil {
		return path, nil
	}
	if err := apt(ctx, "mvn", "maven"); err != nil {
		return "", err
	}
	return exec.LookPath("mvn")
}

func copyJars(ctx context.Context, tmp string) error {
	if _, err := findMaven(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(tmp, 0o750); err != nil {
		return err
	}
	pom := filepath.Join(tmp, "pom.xml")
	err := errors.Join(
		os.WriteFile(pom, []byte(kafkaPom), 0o600),
		os.WriteFile(filepath.Join(tmp, "log4j2.xml"), []byte(kafkaLogging), 0o600),
	)
	if err != nil {
		return err
	}
	_, err = run(ctx, tmp, "mvn", "-q", "-B", "-ntp", "-f", pom, "dependency:copy-dependencies",
		"-DincludeScope=runtime", "-DoutputDirectory="+tmp)
	return err
}
