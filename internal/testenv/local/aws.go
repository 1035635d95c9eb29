package local

import (
	"context"
	"path/filepath"
	"strconv"

	"github.com/rolebridge/rolebridge/internal/testenv/process"
	"github.com/rolebridge/rolebridge/internal/testenv/provision"
)

// AWS is a stand-in for many services of many AWS accounts at one address.
type AWS struct{ Server }

// URL is the endpoint of all services.
func (a *AWS) URL() string { return "http://" + a.Address() }

// NewMiniStack prepares an AWS that enforces trust policies and permissions. An access key that is a 12-digit account id,
// with the secret "test", is that account's root.
func NewMiniStack(ctx context.Context, dir string) (*AWS, error) {
	return newAWS(ctx, dir, "ministack.log", func(port string) ([]string, []string) {
		return []string{"ministack"}, []string{
			"AUTH=true", "BIND_HOST=127.0.0.1", "GATEWAY_PORT=" + port, "SERVICES=iam,sts,s3,dynamodb",
			"IOT_MTLS_ENABLED=false", // else it opens a port on all of the machine's addresses
		}
	})
}

// NewMoto prepares an AWS that checks no trust across accounts.
func NewMoto(ctx context.Context, dir string) (*AWS, error) {
	return newAWS(ctx, dir, "moto.log", func(port string) ([]string, []string) {
		return []string{"moto.server", "-H", "127.0.0.1", "-p", port}, nil
	})
}

func newAWS(ctx context.Context, dir, log string, command func(port string) (args, env []string)) (*AWS, error) {
	installed, err := provision.InstallAWS(ctx)
	if err != nil {
		return nil, err
	}
	port, err := process.ReservePort(ctx)
	if err != nil {
		return nil, err
	}
	args, env := command(strconv.Itoa(port.Number))
	path, args := installed.Command(args[0], args[1:]...)
	server := &AWS{}
	server.port, server.close = port, port.Release
	server.ready = printed("Running on http://")
	server.spec = process.Spec{Path: path, Args: args, Env: environment(env...), Dir: dir, Log: filepath.Join(dir, log)}
	return server, nil
}
