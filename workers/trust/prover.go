package trust

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/integration"
)

// Claim is what is to be proved about one integration.
type Claim struct {
	Organization integration.OrganizationID
	Integration  integration.ID
	Config       integration.Config
	// Platform is the ARN of the platform's role, which is the first hop.
	Platform   string
	ExternalID string
	// SourceIdentity: the role must admit sessions that have one.
	SourceIdentity bool
	// Resources are those of the bindings, which the role should reach; LeftOut is how many more there are.
	Resources []integration.Resource
	LeftOut   int
	// Unsaved is a configuration that somebody only tries. The platform role of a draft may try any role; its session is
	// narrowed to the one that is asked about.
	Unsaved bool
	// Next is to be admitted too, tagged if Tags is true; Former is to be refused. At most one is set, in a rotation.
	Next, Former string
	Tags         bool
}

// Prover tries trust policies. Safe for concurrent use; one per process, since it limits the calls into accounts.
type Prover struct {
	config  ProverConfig
	client  *aws.Client
	limits  *limits
	metrics *metrics
}

// NewProver returns a prover that asks as client, which must be the validator's own identity.
func NewProver(c ProverConfig, client *aws.Client, reg prometheus.Registerer) (*Prover, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	m := newMetrics(reg)
	limits, err := newLimits(c, m)
	if err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	return &Prover{config: c, client: client, limits: limits, metrics: m}, nil
}

// Prove makes all checks of one claim, within the configured budget. The only error is that of ctx when it is canceled;
// everything else is in the report.
func (p *Prover) Prove(ctx context.Context, claim Claim) (integration.Report, error) {
	fresh, done := p.client.Fresh()
	defer done()
	budget, cancel := context.WithTimeout(ctx, p.config.Budget)
	defer cancel()
	began := now()
	proof := newProof(p, fresh, claim)
	checks := proof.run(budget)
	reading := proof.read(budget)
	if errors.Is(ctx.Err(), context.Canceled) {
		return integration.Report{}, ctx.Err()
	}
	report := integration.Report{StartedAt: began, FinishedAt: now(), Checks: checks, Policy: reading}
	p.metrics.count(report)
	return report, nil
}

// now is in milliseconds, as times are on Kafka.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// ours is the account of calls that touch no customer's.
const ours = ""

// tryOn makes one call and repeats it while its error is temporary. account is that of the customer whom the call
// touches, or ours.
func tryOn[T any](ctx context.Context, of *proof, account string, call func(context.Context) (T, error)) (T, error) {
	p := of.prover
	patience := cloud.Patience{
		First: p.config.FirstPause, Longest: 16 * p.config.FirstPause, Tries: p.config.Tries, For: p.config.Budget,
		Again: func(err error) bool {
			passes := cloud.Passes(err) && cloud.FaultOf(err) != cloud.FaultExpired
			if passes {
				p.metrics.retries.Inc()
			}
			return passes
		},
	}
	return cloud.TryOn(ctx, patience, func() (out T, err error) {
		if account != ours {
			if err := p.limits.turn(ctx, party{of.claim.Organization, account, of.claim.Unsaved}); err != nil {
				return out, err
			}
		}
		return call(ctx)
	})
}
