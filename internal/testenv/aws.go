package testenv

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/internal/testenv/local"
)

// MiniStack answers the endpoint of an AWS that enforces trust policies, explicit denials, external IDs and permissions;
// tests share it, so each takes accounts of its own (Account). Unlike AWS it does not validate policies at CreateRole,
// sees a session's own ARN as aws:PrincipalArn, and lets a chained session be longer than an hour. Clears AWS_*.
func MiniStack(t testing.TB) string {
	t.Helper()
	CleanAWSEnv()
	return ministack.get(t)
}

// Moto answers the endpoint of an AWS that lets anybody assume a role of another account, whatever its trust policy says:
// the picture of a careless customer. Tests share it. Clears AWS_*.
func Moto(t testing.TB) string {
	t.Helper()
	CleanAWSEnv()
	return moto.get(t)
}

// CleanAWSEnv removes the AWS_* variables of whoever runs the tests: a profile, a region or a certificate bundle of the
// real cloud must not reach a client under test. For TestMain; MiniStack, Moto and `make test` do it by themselves.
func CleanAWSEnv() {
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AWS_") {
			_ = os.Unsetenv(name)
		}
	}
}

func localMiniStack(ctx context.Context) (string, func() error, error) {
	return localAWS(ctx, "ministack", local.NewMiniStack)
}

func localMoto(ctx context.Context) (string, func() error, error) {
	return localAWS(ctx, "moto", local.NewMoto)
}

func localAWS(ctx context.Context, name string, open func(context.Context, string) (*local.AWS, error)) (string, func() error, error) {
	dir, err := runDir(name)
	if err != nil {
		return "", nil, err
	}
	server, err := open(ctx, dir)
	if err != nil {
		return "", nil, err
	}
	if err := server.Start(ctx); err != nil {
		return "", nil, err
	}
	return server.URL(), server.Close, nil
}
