package identity

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Config says how issuers of tokens are dealt with. Start from [Defaults].
type Config struct {
	// AllowNetworks are networks in which issuers may be although they are not public, e.g. that of a cluster's own API
	// server. Customers choose issuers: whoever is in these networks can be asked by customers to answer a GET.
	AllowNetworks []netip.Prefix `koanf:"allow_networks"`
	// CAFile holds certificate authorities (PEM) that issuers' certificates may come from, beside the system's.
	CAFile string `koanf:"ca_file"`
	// Timeout of fetching an issuer's keys, both documents together.
	Timeout time.Duration `koanf:"timeout"`
	// Refresh is the age at which keys are fetched again while they are in use: how long a withdrawn key still counts.
	Refresh time.Duration `koanf:"refresh"`
	// Keep is the age up to which keys count while their issuer cannot be asked.
	Keep time.Duration `koanf:"keep"`
}

// Defaults suit issuers that announce a new key some minutes before they use it, as all large ones do.
func Defaults() Config {
	return Config{Timeout: 5 * time.Second, Refresh: 10 * time.Minute, Keep: 24 * time.Hour}
}

// Validate names all faults, each as `part.oidc.path: value: what is allowed`.
func (c Config) Validate(part string) error {
	var faults []error
	between := func(path string, value, low, high time.Duration) {
		if value < low || value > high {
			faults = append(faults, fmt.Errorf("%s.oidc.%s: %s: want %s to %s", part, path, value, low, high))
		}
	}
	between("timeout", c.Timeout, 100*time.Millisecond, 30*time.Second)
	between("refresh", c.Refresh, time.Minute, 24*time.Hour)
	between("keep", c.Keep, c.Refresh, 7*24*time.Hour)
	return errors.Join(faults...)
}
