package provision

import (
	"context"
	_ "embed"
	"os"
	"path/filepath"

	"github.com/rolebridge/rolebridge/docs/examples"
)

//go:embed kit/requirements.txt
var kitRequirements string

// InstallPythonKit makes a Python environment with confluent-kafka, cryptography and jsonschema, and returns its interpreter.
func InstallPythonKit(ctx context.Context) (python string, err error) {
	return pythonWith(ctx, "kit-python", kitRequirements, "--require-hashes")
}

// JavaKit is a JDK's virtual machine with a folder of jars.
type JavaKit struct{ Java, Jars string }

// InstallJavaKit makes sure of a JDK and of the jars that the example in Java names.
func InstallJavaKit(ctx context.Context) (JavaKit, error) {
	java, mvn, err := InstallMaven(ctx)
	if err != nil {
		return JavaKit{}, err
	}
	jars, err := once(ctx, "kit-java-"+hash(examples.JavaProject), func(ctx context.Context, tmp string) error {
		if err := os.MkdirAll(tmp, 0o750); err != nil {
			return err
		}
		pom := filepath.Join(tmp, "pom.xml")
		if err := os.WriteFile(pom, []byte(examples.JavaProject), 0o600); err != nil {
			return err
		}
		_, err := run(ctx, tmp, mvn, "-q", "-B", "-ntp", "-f", pom, "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+tmp)
		return err
	})
	return JavaKit{Java: java, Jars: jars}, err
}

// InstallJQ makes sure of jq, and returns its path.
func InstallJQ(ctx context.Context) (path string, err error) { return find(ctx, "jq") }

// InstallOpenSSL makes sure of the command openssl, and returns its path.
func InstallOpenSSL(ctx context.Context) (path string, err error) { return find(ctx, "openssl") }
