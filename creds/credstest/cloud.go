package credstest

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// Cloud is a [creds.Cloud] in memory that refuses what STS refuses, counts calls and takes faults. Safe for concurrent
// use.
type Cloud struct {
	mu       sync.Mutex
	roles    map[string]CloudRole
	sessions map[string]issued
	calls    map[string]int
	active   int
	most     int
	faults   []*Injected
	made     []cloud.Session
	swept    time.Time
}

// CloudRole is a role that exists.
type CloudRole struct {
	// Trusts is the ARN of the role whose sessions may assume this one; empty: the platform's own credentials may.
	Trusts     string
	ExternalID string
	// Also is a second external ID that is accepted, as during a rotation; empty: none is.
	Also string
	// Tags is whether TagSession is allowed.
	Tags bool
	// SourceIdentity is whether SetSourceIdentity is allowed.
	SourceIdentity bool
}

func (r CloudRole) accepts(externalID string) bool {
	return externalID == r.ExternalID || r.Also != "" && externalID == r.Also
}

type issued struct {
	cloud.Session
	role string
}

// Fault is trouble made on purpose.
type Fault struct {
	// Role is the ARN that is asked for; empty: any.
	Role string
	// ExternalID narrows the fault to calls with it; empty: any.
	ExternalID string
	// Latency is waited before anything else, as long as the caller's context lives.
	Latency time.Duration
	// Fault is answered instead of a session; empty: nothing is.
	Fault cloud.Fault
	Code  string
	// Gate holds the call until it is closed, when it is not nil.
	Gate <-chan struct{}
}

// Injected is a fault at work.
type Injected struct {
	of    *Cloud
	fault Fault
	fired int
}

// NewCloud returns a cloud without roles.
func NewCloud() *Cloud {
	return &Cloud{roles: map[string]CloudRole{}, sessions: map[string]issued{}, calls: map[string]int{}}
}

// Role makes a role, or gives it another trust policy.
func (c *Cloud) Role(arn string, r CloudRole) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.roles[arn] = r
}

// Inject makes f happen from now on; of several the oldest that fits.
func (c *Cloud) Inject(f Fault) *Injected {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := &Injected{of: c, fault: f}
	c.faults = append(c.faults, i)
	return i
}

// Fired is how many calls the fault has hit. A test that injects a fault asserts this.
func (i *Injected) Fired() int {
	i.of.mu.Lock()
	defer i.of.mu.Unlock()
	return i.fired
}

// Remove ends the fault for calls to come.
func (i *Injected) Remove() {
	i.of.mu.Lock()
	defer i.of.mu.Unlock()
	for n, at := range i.of.faults {
		if at == i {
			i.of.faults = append(i.of.faults[:n:n], i.of.faults[n+1:]...)
			return
		}
	}
}

// Calls is how often a role was asked for, refused and broken calls too; all roles when arn is empty.
func (c *Cloud) Calls(arn string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[arn]
}

// Most is the greatest number of calls that were under way at once.
func (c *Cloud) Most() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.most
}

// Secrets is every secret that was ever handed out, for tests that look for them in places where they must not be.
func (c *Cloud) Secrets() (all []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.made {
		all = append(all, s.SecretAccessKey.Reveal(), s.Token.Reveal())
	}
	return all
}

// EndSessions makes every session handed out so far one that has expired, as a cloud sees it.
func (c *Cloud) EndSessions() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, s := range c.sessions {
		s.Expires = time.Time{}
		c.sessions[id] = s
	}
}

// ForgetSessions makes every session handed out so far one of a role that does not exist any more.
func (c *Cloud) ForgetSessions() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.sessions)
}

// Assume implements [creds.Cloud].
func (c *Cloud) Assume(ctx context.Context, as *cloud.Session, r creds.Role) (cloud.Session, error) {
	fault := c.begin(r)
	defer c.end()
	if fault.Latency > 0 {
		slow := time.NewTimer(fault.Latency)
		defer slow.Stop()
		select {
		case <-slow.C:
		case <-ctx.Done():
			return cloud.Session{}, answer(cloud.FaultUnavailable, "Timeout")
		}
	}
	if fault.Gate != nil {
		select {
		case <-fault.Gate:
		case <-ctx.Done():
			return cloud.Session{}, answer(cloud.FaultUnavailable, "Timeout")
		}
	}
	if fault.Fault != "" {
		return cloud.Session{}, answer(fault.Fault, fault.Code)
	}
	return c.assume(as, r)
}

func (c *Cloud) begin(r creds.Role) (f Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[r.ARN]++
	c.calls[""]++
	c.active++
	c.most = max(c.most, c.active)
	for _, i := range c.faults {
		if (i.fault.Role == "" || i.fault.Role == r.ARN) && (i.fault.ExternalID == "" || i.fault.ExternalID == r.ExternalID) {
			i.fired++
			return i.fault
		}
	}
	return f
}

func (c *Cloud) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.active--
}

func answer(f cloud.Fault, code string) error {
	if code == "" {
		code = string(f)
	}
	unproven := code == "InvalidClientTokenId" || code == "SignatureDoesNotMatch"
	return &cloud.Error{Fault: f, Code: code, Op: "sts:AssumeRole", Unproven: unproven}
}

var sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

// assume refuses as STS does (STS API reference, AssumeRole).
func (c *Cloud) assume(as *cloud.Session, r creds.Role) (cloud.Session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	longest, caller := 12*time.Hour, ""
	if as != nil {
		was, known := c.sessions[as.AccessKeyID]
		switch {
		case !known || !was.SecretAccessKey.Equal(as.SecretAccessKey) || !was.Token.Equal(as.Token):
			return cloud.Session{}, answer(cloud.FaultDenied, "InvalidClientTokenId")
		case !now.Before(was.Expires):
			return cloud.Session{}, answer(cloud.FaultExpired, "ExpiredToken")
		}
		longest, caller = time.Hour, was.role
	}
	switch {
	case !sessionName.MatchString(r.SessionName), r.Duration < 15*time.Minute, r.Duration > longest, len(r.Tags) > 50:
		return cloud.Session{}, answer(cloud.FaultInvalid, "ValidationError")
	case len(r.Policy) > 2048:
		return cloud.Session{}, answer(cloud.FaultTooLarge, "PackedPolicyTooLarge")
	}
	role, ok := c.roles[r.ARN]
	if !ok || role.Trusts != caller || !role.accepts(r.ExternalID) || (len(r.Tags) > 0 && !role.Tags) ||
		(r.SourceIdentity != "" && !role.SourceIdentity) {
		return cloud.Session{}, answer(cloud.FaultDenied, "AccessDenied")
	}
	s := cloud.Session{
		AccessKeyID: "ASIA" + rand.Text()[:16], SecretAccessKey: secret.New(rand.Text()), Token: secret.New(rand.Text() + rand.Text()),
		Expires: now.Add(r.Duration).Truncate(time.Second), Account: strings.SplitN(r.ARN+":::::", ":", 6)[4],
		Identity: fmt.Sprintf("%s/%s", r.ARN, r.SessionName),
	}
	c.sessions[s.AccessKeyID] = issued{s, r.ARN}
	c.made = append(c.made, s)
	if now.Sub(c.swept) > time.Hour {
		c.swept = now
		maps.DeleteFunc(c.sessions, func(_ string, s issued) bool { return now.Sub(s.Expires) > 24*time.Hour && !s.Expires.IsZero() })
	}
	return s, nil
}
