package app

import (
	"context"

	"github.com/rolebridge/rolebridge/internal/dryrun"
	"github.com/rolebridge/rolebridge/internal/secret"
	"github.com/rolebridge/rolebridge/workers/trust"
)

// offerDryRuns lets the api have dry runs of a trust worker: the api of this process, and with a listener those of others.
func (a *App) offerDryRuns(ctx context.Context, w *trust.Worker) error {
	a.prover = dryrun.Bounded(dryrun.ProverFunc(w.DryRun))
	c := a.config.DryRun
	if c.Listen == "" {
		return nil
	}
	token, err := secret.Read(c.TokenFile)
	if err != nil {
		return err
	}
	server, err := dryrun.NewServer(a.prover, token, a.log)
	if err != nil {
		return err
	}
	l, err := a.listen(ctx, "dry_run", c.Settings)
	if err != nil {
		return err
	}
	a.front("dry_run", l, server)
	return nil
}

// dryRuns is who makes the api's dry runs; nil: nobody.
func (a *App) dryRuns() (dryrun.Prover, error) {
	c := a.config.DryRun
	if a.prover != nil || c.URL == "" {
		return a.prover, nil
	}
	token, err := secret.Read(c.TokenFile)
	if err != nil {
		return nil, err
	}
	client, err := dryrun.NewClient(c.URL, token)
	if err != nil {
		return nil, err
	}
	a.closers = append(a.closers, client.Close)
	return client, nil
}
