package api

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Config is what can be set. Start from [Defaults].
type Config struct {
	// PublicURL opens every link in an answer, e.g. https://rolebridge.example.com. Empty: the address that the client used.
	PublicURL string `koanf:"public_url"`
	// Authority is the first part of resource names: crn://AUTHORITY/organization=….
	Authority string `koanf:"authority"`
	// CredentialsURL is the broker's container-credentials endpoint, told to whoever binds a connector. May be empty.
	CredentialsURL string `koanf:"credentials_url"`
	// AnswerWithin bounds the wait for a decision; past it the answer is 504 with the command's id.
	AnswerWithin time.Duration `koanf:"answer_within"`
	// MappedWithin bounds the further wait, after a creation, for the platform's identity to be made.
	MappedWithin time.Duration `koanf:"mapped_within"`
	// ProvedWithin bounds the wait for a validation when the client does not say how long.
	ProvedWithin time.Duration `koanf:"proved_within"`
	// Rate is how many requests a second each key may make in the long run, Burst how many at once.
	Rate  float64 `koanf:"rate"`
	Burst int     `koanf:"burst"`
	// FailedAttempts is how many failed logins a second of one source are answered with 401, FailedBurst how many at once; of
	// more each is a 429. What is right is answered always.
	FailedAttempts float64 `koanf:"failed_attempts"`
	FailedBurst    int     `koanf:"failed_burst"`
	// Accounts are the platform's own at AWS, of which no role can be a customer's.
	Accounts []string `koanf:"-"`
}

// Defaults are good for a start. 20 s are what a validation takes in its longest ordinary case: some propagation, four
// calls with fresh connections.
func Defaults() Config {
	return Config{
		Authority:    "rolebridge",
		AnswerWithin: 10 * time.Second, MappedWithin: 5 * time.Second, ProvedWithin: 20 * time.Second,
		Rate: 50, Burst: 200, FailedAttempts: 1, FailedBurst: 30,
	}
}

// longestWait bounds every wait that a client may ask for: proxies give up at 60 s.
const longestWait = 30 * time.Second

// Validate names all that is wrong.
func (c Config) Validate() error {
	var faults []error
	fault := func(path string, value any, want string) {
		faults = append(faults, fmt.Errorf("api.%s: %v: want %s", path, value, want))
	}
	for path, text := range map[string]string{"public_url": c.PublicURL, "credentials_url": c.CredentialsURL} {
		u, err := url.Parse(text)
		if text != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
			fault(path, text, "an http or https URL")
		}
	}
	if strings.HasSuffix(c.PublicURL, "/") {
		fault("public_url", c.PublicURL, "no slash at the end")
	}
	if c.Authority == "" || strings.ContainsAny(c.Authority, "/= ") {
		fault("authority", c.Authority, "a name without / = and spaces")
	}
	for path, d := range map[string]time.Duration{
		"answer_within": c.AnswerWithin, "mapped_within": c.MappedWithin, "proved_within": c.ProvedWithin,
	} {
		if d <= 0 || d > longestWait {
			fault(path, d, "more than 0 and at most "+longestWait.String())
		}
	}
	if !(c.Rate > 0 && c.Rate <= 1e6) {
		fault("rate", c.Rate, "more than 0 and at most 1000000")
	}
	if c.Burst < 1 || c.Burst > 1e6 {
		fault("burst", c.Burst, "1 to 1000000")
	}
	if !(c.FailedAttempts > 0 && c.FailedAttempts <= 1e6) {
		fault("failed_attempts", c.FailedAttempts, "more than 0 and at most 1000000 per second")
	}
	if c.FailedBurst < 1 || c.FailedBurst > 1e6 {
		fault("failed_burst", c.FailedBurst, "1 to 1000000")
	}
	return errors.Join(faults...)
}
