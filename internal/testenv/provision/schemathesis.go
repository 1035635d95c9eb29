package provision

import (
	"context"
	_ "embed"
)

//go:embed schemathesis/requirements.txt
var schemathesisRequirements string

// InstallSchemathesis makes a Python environment with schemathesis (-m schemathesis.cli), and returns its interpreter.
func InstallSchemathesis(ctx context.Context) (python string, err error) {
	return pythonWith(ctx, "schemathesis", schemathesisRequirements, "--require-hashes")
}
