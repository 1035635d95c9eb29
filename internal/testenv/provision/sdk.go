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
	//go:embed sdk/requirements.txt
	sdkRequirements string
	//go:embed sdk/package.json
	sdkPackage string
	//go:embed sdk/package-lock.json
	sdkLock string
)

// InstallPythonSDK makes a Python environment with boto3 and the AWS CLI (python3 -m awscli), and returns its interpreter.
func InstallPythonSDK(ctx context.Context) (python string, err error) {
	return pythonWith(ctx, "sdk-python", sdkRequirements, "--require-hashes")
}

// JavaScriptSDK is Node.js with a folder of packages.
type JavaScriptSDK struct{ Node, Modules string }

// oldestNode is what the pinned AWS SDK for JavaScript says that it needs.
const oldestNode = 20

// InstallJavaScriptSDK makes a folder with the AWS SDK for JavaScript. Node.js itself must be there, as for `make asyncapi`:
// Debian's may be older than the SDK allows.
func InstallJavaScriptSDK(ctx context.Context) (JavaScriptSDK, error) {
	node, err := findNode(ctx)
	if err != nil {
		return JavaScriptSDK{}, err
	}
	root, err := once(ctx, "sdk-javascript-"+hash(sdkPackage, sdkLock), func(ctx context.Context, tmp string) error {
		err := errors.Join(
			os.MkdirAll(tmp, 0o750),
			os.WriteFile(filepath.Join(tmp, "package.json"), []byte(sdkPackage), 0o600),
			os.WriteFile(filepath.Join(tmp, "package-lock.json"), []byte(sdkLock), 0o600),
		)
		if err != nil {
			return err
		}
		_, err = run(ctx, tmp, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
		return err
	})
	return JavaScriptSDK{Node: node, Modules: filepath.Join(root, "node_modules")}, err
}

func findNode(ctx context.Context) (string, error) {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			if err := apt(ctx, program, "nodejs", "npm"); err != nil {
				return "", err
			}
		}
	}
	version, err := run(ctx, "/", "node", "--version")
	if err != nil {
		return "", err
	}
	number, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(version), "v"), ".")
	if major, err := strconv.Atoi(number); err != nil || major < oldestNode {
		return "", fmt.Errorf("node is %s: the AWS SDK for JavaScript needs Node.js %d or later: put it on PATH, from https://nodejs.org",
			strings.TrimSpace(version), oldestNode)
	}
	return exec.LookPath("node")
}

// InstallCurl finds curl, and returns its path.
func InstallCurl(ctx context.Context) (string, error) {
	if path, err := exec.LookPath("curl"); err == nil {
		return path, nil
	}
	if err := apt(ctx, "curl", "curl"); err != nil {
		return "", err
	}
	return exec.LookPath("curl")
}
