package app

import (
	"context"
	"time"

	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/internal/orders"
	"github.com/rolebridge/rolebridge/workers/mapping"
	"github.com/rolebridge/rolebridge/workers/trust"
)

// ordersConfig fills in what every worker shares.
func (a *App) ordersConfig(c orders.Config) orders.Config {
	c.Topics, c.Client, c.Tracer = a.config.Topics.Names(), a.kafka, a.config.Tracer
	// What runs when the process is asked to stop gets half of what workers get, the rest is for the last commit.
	c.StopBudget = max(time.Second, min(c.StopBudget, a.config.StopWithin/3))
	return c
}

// Client says who we are at AWS.
func (c AWS) Client() aws.Config {
	return aws.Config{Region: c.Region, Endpoint: c.Endpoint, Credentials: c.Credentials, Profile: c.Profile}
}

// awsConfig says who we are at AWS; calls are counted in the process's registry.
func (a *App) awsConfig() aws.Config {
	c := a.config.AWS.Client()
	c.Observe = a.observe
	return c
}

// joined is the readiness of a worker.
func (a *App) joined(name string, ready func() bool) {
	a.check(name, func() error {
		if !ready() {
			return errLoading
		}
		return nil
	})
}

func (a *App) mapping(ctx context.Context) error {
	c := a.config.AWS.platform()
	c.Observe = a.observe
	platform, err := aws.NewPlatform(ctx, c)
	if err != nil {
		return err
	}
	a.closers = append(a.closers, platform.Close)
	work := a.config.Mapping
	work.Config = a.ordersConfig(work.Config)
	w, err := mapping.New(work, a.codec, platform, a.log, a.reg)
	if err != nil {
		return err
	}
	a.work("mapping", w.Run)
	a.joined("mapping", w.Ready)
	return nil
}

func (a *App) trust(ctx context.Context) error {
	client, err := aws.New(ctx, a.awsConfig())
	if err != nil {
		return err
	}
	a.closers = append(a.closers, client.Close)
	c := a.config.Trust
	c.Prover.Own = a.config.AWS.own()
	c.Config = a.ordersConfig(c.Config)
	w, err := trust.New(c, a.codec, client, a.log, a.reg)
	if err != nil {
		return err
	}
	a.work("trust", w.Run)
	a.joined("trust", w.Ready)
	return a.offerDryRuns(ctx, w)
}
