package main

import (
	"errors"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/pflag"
)

// lifetime is a length of time as a flag: as Go has it (1h30m), or with days, weeks and years (90d), a day being 24 hours.
type lifetime time.Duration

// parseLife reads a length of time.
func parseLife(text string) (time.Duration, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return d, nil
	}
	d, err := model.ParseDuration(text)
	if err != nil {
		return 0, errors.New("want a length of time such as 90d, 12h or 1h30m")
	}
	return time.Duration(d), nil
}

func (l *lifetime) String() string { return model.Duration(*l).String() }

// Type is what --help shows as the flag's value.
func (l *lifetime) Type() string { return "duration" }

// Set refuses what is no length of time.
func (l *lifetime) Set(text string) error {
	d, err := parseLife(text)
	*l = lifetime(d)
	return err
}

// lifeVar adds a flag of a length of time.
func lifeVar(f *pflag.FlagSet, to *time.Duration, name string, standard time.Duration, use string) {
	*to = standard
	f.Var((*lifetime)(to), name, use)
}
