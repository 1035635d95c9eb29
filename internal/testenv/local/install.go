package local

import (
	"context"
	"errors"
	"fmt"

	"github.com/rolebridge/rolebridge/internal/testenv/provision"
)

// Install makes sure ahead of time of what the servers and the race detector need, and reports everything that is in the
// way.
func Install(ctx context.Context) error {
	installers := map[string]func() error{
		"Kafka":             func() error { _, err := provision.InstallKafka(ctx, trainKafka); return err },
		"kcat":              func() error { _, err := provision.InstallKcat(ctx); return err },
		"Redis":             func() error { _, err := provision.InstallRedis(ctx); return err },
		"Prometheus":        func() error { _, err := provision.InstallPrometheus(ctx); return err },
		"MiniStack, moto":   func() error { _, err := provision.InstallAWS(ctx); return err },
		"boto3, AWS CLI":    func() error { _, err := provision.InstallPythonSDK(ctx); return err },
		"AWS SDK for JS":    func() error { _, err := provision.InstallJavaScriptSDK(ctx); return err },
		"Kafka Connect":     func() error { _, err := provision.InstallConnect(ctx); return err },
		"confluent-kafka":   func() error { _, err := provision.InstallPythonKit(ctx); return err },
		"kafka-clients":     func() error { _, err := provision.InstallJavaKit(ctx); return err },
		"jq":                func() error { _, err := provision.InstallJQ(ctx); return err },
		"schemathesis":      func() error { _, err := provision.InstallSchemathesis(ctx); return err },
		"openssl":           func() error { _, err := provision.InstallOpenSSL(ctx); return err },
		"curl":              func() error { _, err := provision.InstallCurl(ctx); return err },
		"the race detector": func() error { return provision.InstallCompiler(ctx) },
	}
	results := make(chan error)
	for name, install := range installers {
		go func() {
			err := install()
			if err != nil {
				err = fmt.Errorf("%s: %w", name, err)
			}
			results <- err
		}()
	}
	var all []error
	for range installers {
		all = append(all, <-results)
	}
	return errors.Join(all...)
}
