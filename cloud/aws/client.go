package aws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
)

// Bounds of a call's time-out. STS answers within tens of milliseconds; IAM within a second or two.
const (
	defaultTimeout   = 5 * time.Second
	shortestTimeout  = 100 * time.Millisecond
	longestTimeout   = time.Minute
	connectionsAhead = 64 // idle connections kept per endpoint; the SDK's 10 make a busy broker dial anew all the time
)

// Config says who we are at AWS and where AWS is.
type Config struct {
	// Region of the STS and IAM endpoints; empty: the SDK's own chain (environment, profile). Sessions are asked of the
	// region's own STS, never of the global one.
	Region string
	// Endpoint replaces the address of every service, for stand-ins; empty: the region's own.
	Endpoint string
	// Credentials are our own identity, the base of every chain; nil: the SDK's default chain.
	Credentials sdk.CredentialsProvider
	// Profile of the SDK's shared files that our identity is in, whatever the environment says; empty: the default chain.
	Profile string
	// Timeout is the longest that one call may take, 100 ms to 1 min; 0 is 5 s.
	Timeout time.Duration
	// Observe hears of every call; nil: nobody does.
	Observe Observer
}

var region = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+){1,3}-[0-9]{1,2}$`)

// Validate returns all faults at once, each as `field: value: what is allowed`.
func (c Config) Validate() error {
	var faults []error
	if c.Region != "" && !region.MatchString(c.Region) {
		faults = append(faults, fmt.Errorf("region: %q: want a region's name such as eu-central-1", c.Region))
	}
	if c.Timeout != 0 && (c.Timeout < shortestTimeout || c.Timeout > longestTimeout) {
		faults = append(faults, fmt.Errorf("timeout: %s: want %s to %s", c.Timeout, shortestTimeout, longestTimeout))
	}
	return errors.Join(faults...)
}

// Client assumes roles. Safe for concurrent use.
type Client struct {
	sdk       sdk.Config
	transport *http.Transport
	// sts is one client for all calls: it remembers by how much AWS's clock and ours differ.
	sts     *sts.Client
	timeout time.Duration
	observe Observer
}

// New reads the SDK's configuration (environment, shared files) and starts nothing; no call is made before the first
// method. Errors: a Config or shared configuration that is not valid, or no region anywhere.
func New(ctx context.Context, cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("aws: %w", err)
	}
	var options []func(*config.LoadOptions) error
	if cfg.Region != "" {
		options = append(options, config.WithRegion(cfg.Region))
	}
	if cfg.Endpoint != "" {
		options = append(options, config.WithBaseEndpoint(cfg.Endpoint))
	}
	if cfg.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(cfg.Profile))
	}
	if cfg.Credentials != nil {
		options = append(options, config.WithCredentialsProvider(cfg.Credentials))
	}
	options = append(options, config.WithLogger(logging.Nop{})) // it writes to standard error, and what it says we return
	loaded, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("aws: %w", err)
	}
	if loaded.Region == "" {
		return nil, errors.New("aws: region: none given, and none in the environment or profile")
	}
	loaded.Credentials = sdk.NewCredentialsCache(ownCredentials{loaded.Credentials})
	return newClient(loaded, cfg.Timeout, cfg.Observe), nil
}

// newClient gives loaded a transport of its own, so that it can be closed and made anew.
func newClient(loaded sdk.Config, timeout time.Duration, observe Observer) *Client {
	if timeout == 0 {
		timeout = defaultTimeout
	}
	if observe == nil {
		observe = func(string, Outcome, time.Duration) {}
	}
	from, ok := loaded.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		from = awshttp.NewBuildableClient()
	}
	c := &Client{sdk: loaded, timeout: timeout, observe: observe}
	return c.on(from.GetTransport()) // a copy, with the certificates of the shared configuration
}

// on returns a client like c that uses transport.
func (c *Client) on(transport *http.Transport) *Client {
	transport.MaxIdleConnsPerHost = connectionsAhead
	next := *c
	next.transport = transport
	next.sdk.HTTPClient = &http.Client{
		Transport: FromMemory(transport),
		// A redirect would carry the signature of one host to another.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	next.sts = sts.NewFromConfig(next.sdk, func(o *sts.Options) { o.Retryer = skewOnly() })
	return &next
}

// Fresh returns a client like c whose connections are its own and new: servers behind a connection that lives long have
// answered from a trust policy that was minutes old. done closes them.
func (c *Client) Fresh() (fresh *Client, done func()) {
	fresh = c.on(c.transport.Clone())
	return fresh, fresh.Close
}

// Close closes the connections that are idle. The client may still be used.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// skewOnly tries once more when AWS's clock and ours differ by more than AWS accepts, then signed with AWS's time; other
// failures are the caller's to repeat. Such a refusal says nothing about roles, and must not look as if it did.
func skewOnly() sdk.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.MaxBackoff = 2, time.Millisecond
		o.Retryables = []retry.IsErrorRetryable{retry.RetryableError{}}
		o.RateLimiter = ratelimit.None
	})
}

// callAs is an option of a call as who; nil: our own credentials.
func callAs(who sdk.CredentialsProvider) func(*sts.Options) {
	return func(o *sts.Options) {
		if who != nil {
			o.Credentials = who
		}
	}
}

// ask makes one call under the time-out, and tells the observer and the caller what became of it.
func (c *Client) ask(ctx context.Context, op string, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	begin := time.Now()
	err := asFault(op, call(ctx))
	c.observe(op, outcomeOf(err), time.Since(begin))
	return err
}

// ownCredentials marks what goes wrong while our own credentials are fetched, so that it is never taken for an answer
// to the call that they were for.
type ownCredentials struct{ from sdk.CredentialsProvider }

// Retrieve implements aws.CredentialsProvider.
func (o ownCredentials) Retrieve(ctx context.Context) (sdk.Credentials, error) {
	got, err := o.from.Retrieve(ctx)
	if err != nil {
		return got, &credentialsError{err}
	}
	return got, nil
}

type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return "our own credentials: " + e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }
