package provision

import (
	"context"
	_ "embed"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed aws/requirements.txt
var awsRequirements string

// AWS is a Python with MiniStack and moto.
type AWS struct{ python string }

// Command returns what runs one of the two modules, ministack or moto.server.
func (a AWS) Command(module string, args ...string) (path string, argv []string) {
	return a.python, append([]string{"-m", module}, args...)
}

// InstallAWS makes a Python environment with both stand-ins.
func InstallAWS(ctx context.Context) (AWS, error) {
	python, err := pythonWith(ctx, "aws", awsRequirements)
	return AWS{python: python}, err
}

// pythonWith makes an environment with what requirements names, and returns its interpreter. args go to pip.
func pythonWith(ctx context.Context, name, requirements string, args ...string) (python string, err error) {
	version, err := findPython(ctx)
	if err != nil {
		return "", err
	}
	root, err := once(ctx, name+"-"+hash(requirements, version), func(ctx context.Context, tmp string) error {
		if _, err := run(ctx, "/", "python3", "-m", "venv", tmp); err != nil {
			return err
		}
		file := filepath.Join(tmp, "requirements.txt")
		if err := os.WriteFile(file, []byte(requirements), 0o600); err != nil {
			return err
		}
		args := append([]string{"-m", "pip", "install", "-q", "-r", file}, args...)
		_, err := run(ctx, tmp, filepath.Join(tmp, "bin", "python3"), args...)
		return err
	})
	// Scripts in bin/ name the folder that pip saw before the renaming; the interpreter itself finds its way.
	return filepath.Join(root, "bin", "python3"), err
}

// findPython answers the version of a Python that can make environments; Debian splits that off.
func findPython(ctx context.Context) (string, error) {
	if _, err := exec.LookPath("python3"); err != nil {
		if err := apt(ctx, "python3", "python3", "python3-venv"); err != nil {
			return "", err
		}
	}
	if _, err := run(ctx, "/", "python3", "-c", "import ensurepip"); err != nil {
		if err := apt(ctx, "python3 -m venv", "python3-venv"); err != nil {
			return "", err
		}
	}
	version, err := run(ctx, "/", "python3", "-c", "import sys; print(sys.base_prefix, sys.version); assert sys.version_info >= (3, 10)")
	if err != nil {
		return "", errors.Join(errors.New("the AWS stand-ins need Python 3.10 or later"), err)
	}
	return version, nil
}
