package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/cmd/internal/app"
	"github.com/rolebridge/rolebridge/cmd/internal/plural"
	"github.com/rolebridge/rolebridge/creds"
)

// clocksApart is how far a clock may be off before things go wrong: AWS takes 5 minutes, and sessions are renewed by our
// clock.
const clocksApart = 10 * time.Second

// clock compares our clock with another's, which was asked between two moments.
func clock(whose string, theirs, asked, answered time.Time) []Finding {
	ours := asked.Add(answered.Sub(asked) / 2)
	// Clocks that tell whole seconds are up to one behind.
	apart := theirs.Sub(ours)
	if apart.Abs() <= clocksApart {
		return []Finding{ok("this machine's clock agrees with that of " + whose)}
	}
	how := "behind"
	if apart < 0 {
		how = "ahead of"
	}
	return []Finding{failure(
		fmt.Sprintf("this machine's clock is %v %s that of %s", apart.Abs().Round(time.Second), how, whose),
		"Set the clock (NTP): sessions are renewed by it, and signatures carry it.",
	)}
}

func (p *Patient) redis(ctx context.Context) ([]Finding, error) {
	if !slices.Contains(p.Roles, app.Broker) {
		return one(skipped("only a broker needs it"))
	}
	if p.Redis.Address == "" {
		return one(warning("none is set: brokers share no sessions", "Set redis.address if there is more than one broker."))
	}
	c, err := p.Redis.Resolve()
	if err != nil {
		return nil, err
	}
	asked := time.Now()
	seen, err := creds.LookAtRedis(ctx, c)
	if err != nil {
		return one(failure(fmt.Sprintf("%s: %s", c.Address, errText(err)), "Check redis.address, redis.username, redis.password_file and redis.tls. Brokers go on without it, and each asks the cloud for itself."))
	}
	return append([]Finding{ok("Redis " + seen.Version + " takes writes")}, clock("Redis", seen.Time, asked, time.Now())...), nil
}

func (p *Patient) keyset(ctx context.Context) ([]Finding, error) {
	switch {
	case !slices.Contains(p.Roles, app.Broker) || p.Redis.Address == "":
		return one(skipped("only a broker with Redis needs one"))
	case p.Broker.KeysetFile == "":
		return one(failure("broker.keyset_file is not set", "Make one: rolebridge keyset create --help."))
	}
	file, done, err := p.KeysetFile(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	keys, err := file.Keys(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return one(failure(err.Error(), "Make one, the same for all brokers: rolebridge keyset create --help."))
	case err != nil:
		return one(failure(errText(err), "Bring back the file that the other brokers have. Until then nothing is lost but the shared cache."))
	}
	return one(ok(plural.Of(len(keys), "key") + " in " + file.Path))
}

func (p *Patient) aws(ctx context.Context) ([]Finding, error) {
	if !slices.ContainsFunc(p.Roles, func(r app.Role) bool { return r == app.Mapping || r == app.Trust || r == app.Broker }) {
		return one(skipped("none of the roles asks AWS"))
	}
	client, err := aws.New(ctx, p.AWS.Client())
	if err != nil {
		return one(failure(err.Error(), "Set aws.region, or AWS_REGION."))
	}
	defer client.Close()
	asked := time.Now()
	us, err := client.CallerIdentity(ctx, nil)
	if err != nil {
		return one(failure(errText(err), "Our own identity comes from the AWS SDK's default chain: a web identity, a container or instance role, the environment, a profile."))
	}
	found := []Finding{ok("STS knows us as " + us.ARN)}
	if !us.At.IsZero() {
		found = append(found, clock("AWS", us.At, asked, time.Now())...)
	}
	if !slices.ContainsFunc(p.AWS.Identities, func(named string) bool { return same(named, us.ARN) }) {
		found = append(found, warning("it is none of aws.identities, so it may not become a platform role",
			"Right for mapping alone. For trust and broker name the role in aws.identities of the mapping worker."))
	}
	if slices.Contains(p.Roles, app.Mapping) && len(p.AWS.Accounts) == 0 {
		found = append(found, failure("aws.accounts is empty", "Name the account in which platform roles are made."))
	}
	return found, nil
}

// same reports whether an ARN of STS is of a role or user as IAM names it: a session's ARN has the role's name and not its
// path.
func same(named, sts string) bool {
	if named == sts {
		return true
	}
	_, session, isSession := strings.Cut(sts, ":assumed-role/")
	role, _, _ := strings.Cut(session, "/")
	account, path, isRole := strings.Cut(named, ":role/")
	_, number, _ := strings.Cut(account, ":iam::")
	return isSession && isRole && strings.Contains(sts, "::"+number+":") && path[strings.LastIndex(path, "/")+1:] == role
}

func (p *Patient) api(ctx context.Context) ([]Finding, error) {
	if p.API == nil {
		return one(skipped("no address or key is set: --url, ROLEBRIDGE_KEY and ROLEBRIDGE_SECRET"))
	}
	if err := p.API(ctx); err != nil {
		return one(failure(errText(err), "Is the address right, is the process ready (/readyz), and is the key one of its keys?"))
	}
	return one(ok("it answers, and knows our key"))
}
