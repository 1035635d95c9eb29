package mapping_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/cloud/aws/awstest"
	"github.com/rolebridge/rolebridge/cloud/sandbox"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/orders"
	"github.com/rolebridge/rolebridge/internal/testenv"
	"github.com/rolebridge/rolebridge/workers/mapping"
)

func TestMain(m *testing.M) {
	testenv.CleanAWSEnv()
	goleak.VerifyTestMain(m)
}

type roles interface {
	EnsureRole(ctx context.Context, spec aws.RoleSpec) (string, error)
	RemoveRole(ctx context.Context, spec aws.RoleSpec) error
}

func newWorker(t *testing.T, platform roles, reg prometheus.Registerer, change ...func(*mapping.Config)) *mapping.Worker {
	t.Helper()
	c := mapping.Defaults()
	c.Topics, c.Retry = events.Topics{Prefix: "t.", Partitions: 4}, 5*time.Second
	for _, f := range change {
		f(&c)
	}
	codec, err := events.NewCodec(c.Topics)
	if err != nil {
		t.Fatal(err)
	}
	w, err := mapping.New(c, codec, platform, slog.New(slog.DiscardHandler), reg)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

const customer = "arn:aws:iam::222222222222:role/customer"

func order(op integration.MappingOperation, kind integration.Kind, known string) orders.Order[integration.MappingAsked] {
	return orders.Order[integration.MappingAsked]{
		Organization: "o-1", Integration: "cspi-abc12", Attempt: 1, Due: time.Now().Add(2 * time.Minute),
		Ask: integration.MappingAsked{
			Attempt: 1, Operation: op, Environment: "env-1", Config: integration.Config{Kind: kind, Customer: customer}, Platform: known,
		},
	}
}

func ensure() orders.Order[integration.MappingAsked] {
	return order(integration.EnsureMapping, integration.KindAWS, "")
}

func remove() orders.Order[integration.MappingAsked] {
	return order(integration.RemoveMapping, integration.KindAWS, "")
}

func handle(t *testing.T, w *mapping.Worker, o orders.Order[integration.MappingAsked]) integration.Finding {
	t.Helper()
	finding, err := w.Handle(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return finding
}

func wantRefused(t *testing.T, got integration.Finding, reason string, permanent bool) {
	t.Helper()
	refused, ok := got.(integration.MappingWasRefused)
	if !ok || refused.Reason != reason || refused.Permanent != permanent {
		t.Errorf("got %#v, want a refusal for %s, permanent %v", got, reason, permanent)
	}
}

func TestAnIdentityIsMadeAdoptedAndRemoved(t *testing.T) {
	t.Parallel()
	box := awstest.New(t)
	reg := prometheus.NewRegistry()
	w := newWorker(t, box.Roles(t), reg)
	want := integration.MappingWasMade{Platform: "arn:aws:iam::111111111111:role/rolebridge/cspi-abc12"}
	for range 2 {
		if got := handle(t, w, ensure()); got != want {
			t.Errorf("ensure: got %#v, want %#v", got, want)
		}
	}
	known := order(integration.RemoveMapping, integration.KindAWS, want.Platform)
	for _, o := range []orders.Order[integration.MappingAsked]{known, known, remove()} {
		if got := handle(t, w, o); got != (integration.MappingWasRemoved{}) {
			t.Errorf("remove: got %#v, want removed", got)
		}
	}
	if made, gone := box.Calls("CreateRole"), box.Calls("DeleteRole"); made != 1 || gone != 1 {
		t.Errorf("%d roles made, %d removed, want 1 and 1", made, gone)
	}
	err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP rolebridge_mapping_orders_total Orders to make or remove a platform identity, by outcome.
# TYPE rolebridge_mapping_orders_total counter
rolebridge_mapping_orders_total{operation="ensure",outcome="made"} 2
rolebridge_mapping_orders_total{operation="ensure",outcome="permanent"} 0
rolebridge_mapping_orders_total{operation="ensure",outcome="temporary"} 0
rolebridge_mapping_orders_total{operation="remove",outcome="permanent"} 0
rolebridge_mapping_orders_total{operation="remove",outcome="removed"} 3
rolebridge_mapping_orders_total{operation="remove",outcome="temporary"} 0
`), "rolebridge_mapping_orders_total")
	if err != nil {
		t.Error(err)
	}
}

func TestWhatStaysIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	t.Run("a foreign role", func(t *testing.T) {
		t.Parallel()
		box := awstest.New(t)
		box.Role(t, box.Platform, "cspi-abc12", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"222222222222"},"Action":"sts:AssumeRole"}]}`)
		wantRefused(t, handle(t, newWorker(t, box.Roles(t), prometheus.NewRegistry()), ensure()), "EntityAlreadyExists", true)
	})
	t.Run("a customer's role in an account of ours", func(t *testing.T) {
		t.Parallel()
		box := awstest.New(t)
		w := newWorker(t, box.Roles(t, box.Platform, box.Spare), prometheus.NewRegistry())
		for _, account := range []string{box.Platform.ID, box.Spare.ID} {
			o := ensure()
			o.Ask.Config.Customer = "arn:aws:iam::" + account + ":role/admin"
			wantRefused(t, handle(t, w, o), aws.CodeOwnAccount, true)
		}
	})
	t.Run("full accounts", func(t *testing.T) {
		t.Parallel()
		box := awstest.New(t, func(c *sandbox.Config) { c.RolesPerAccount = 1 })
		w := newWorker(t, box.Roles(t, box.Platform, box.Spare), prometheus.NewRegistry())
		for i, id := range []integration.ID{"cspi-first", "cspi-second", "cspi-third"} {
			o := ensure()
			o.Integration = id
			got := handle(t, w, o)
			if i == 2 {
				wantRefused(t, got, "LimitExceeded", true)
			} else if made, ok := got.(integration.MappingWasMade); !ok || !strings.Contains(made.Platform, []string{box.Platform.ID, box.Spare.ID}[i]) {
				t.Errorf("role %d: got %#v, want one in account %d of the list", i, got, i)
			}
		}
	})
	t.Run("a cloud that is not enabled", func(t *testing.T) {
		t.Parallel()
		w := newWorker(t, nil, prometheus.NewRegistry())
		for kind, name := range map[integration.Kind]string{integration.KindGCP: "Google Cloud", integration.KindAzure: "Azure"} {
			got := handle(t, w, order(integration.EnsureMapping, kind, ""))
			wantRefused(t, got, mapping.ReasonNotEnabled, true)
			if refused, ok := got.(integration.MappingWasRefused); ok && !strings.Contains(refused.Detail, name) {
				t.Errorf("detail %q does not name %s", refused.Detail, name)
			}
			if got := handle(t, w, order(integration.RemoveMapping, kind, "")); got != (integration.MappingWasRemoved{}) {
				t.Errorf("remove %s: got %#v, want removed: there was nothing", kind, got)
			}
		}
	})
}

func TestWhatPassesIsTriedAgain(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]sandbox.Fault{
		"throttling":    {Action: "CreateRole", Trouble: sandbox.Throttle, Times: 2},
		"a 500":         {Action: "PutRolePolicy", Trouble: sandbox.Break, Times: 2},
		"a broken line": {Action: "GetRole", Trouble: sandbox.Disconnect, Times: 1},
		"a slow answer": {Action: "GetRole", Trouble: sandbox.Slow, Latency: 300 * time.Millisecond, Times: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			box := awstest.New(t)
			injected := box.Inject(fault)
			w := newWorker(t, box.Roles(t), prometheus.NewRegistry())
			if _, ok := handle(t, w, ensure()).(integration.MappingWasMade); !ok {
				t.Error("the role is not made")
			}
			if got := injected.Fired(); got != fault.Times {
				t.Errorf("the fault hit %d requests, want %d", got, fault.Times)
			}
		})
	}
}

// fake answers in turn; the last answer is for all that follow.
type fake struct {
	answers []error
	calls   int
}

func (f *fake) EnsureRole(context.Context, aws.RoleSpec) (string, error) {
	err := f.answers[min(f.calls, len(f.answers)-1)]
	f.calls++
	return "arn", err
}

func (f *fake) RemoveRole(ctx context.Context, spec aws.RoleSpec) error {
	_, err := f.EnsureRole(ctx, spec)
	return err
}

func TestRetriesEndAfterTheirTimeAndSayTemporary(t *testing.T) {
	t.Parallel()
	throttled := &cloud.Error{Fault: cloud.FaultThrottled, Code: "Throttling", Op: "iam:CreateRole"}
	denied := &cloud.Error{Fault: cloud.FaultDenied, Code: "AccessDenied", Op: "iam:CreateRole", Message: "not authorized"}
	for name, c := range map[string]struct {
		answers   []error
		op        integration.MappingOperation
		reason    string
		permanent bool
		shortest  time.Duration
		longest   time.Duration
	}{
		"throttled for good": {[]error{throttled}, integration.EnsureMapping, "Throttling", false, 20 * time.Second, 30 * time.Second},
		"denied":             {[]error{denied}, integration.EnsureMapping, "AccessDenied", true, 0, 0},
		"throttled, then no": {[]error{throttled, throttled, denied}, integration.RemoveMapping, "AccessDenied", true, time.Millisecond, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorker(t, &fake{answers: c.answers}, prometheus.NewRegistry(), func(c *mapping.Config) { c.Retry = 30 * time.Second })
				begin := time.Now()
				wantRefused(t, handle(t, w, order(c.op, integration.KindAWS, "")), c.reason, c.permanent)
				if took := time.Since(begin); took < c.shortest || took > c.longest {
					t.Errorf("it took %s, want %s to %s", took, c.shortest, c.longest)
				}
			})
		})
	}
}

func TestAStopIsNoFinding(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorker(t, &fake{answers: []error{&cloud.Error{Fault: cloud.FaultUnavailable, Code: "Timeout"}}}, prometheus.NewRegistry())
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if finding, err := w.Handle(ctx, ensure()); err == nil {
			t.Errorf("got %#v, want an error: nothing was found out", finding)
		}
	})
}

func TestMiniStackMakesCorrectsAndRemoves(t *testing.T) {
	t.Parallel()
	endpoint := testenv.MiniStack(t)
	account := testenv.Account(t)
	root := awstest.Static(account, "test")
	user := awstest.MiniStackUser(t, endpoint, account, "validator")
	platform, err := aws.NewPlatform(t.Context(), aws.PlatformConfig{
		Config:   aws.Config{Region: awstest.Region, Endpoint: endpoint, Credentials: root},
		Accounts: []aws.Account{{ID: account}}, Identities: []string{user.ARN},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(platform.Close)
	w := newWorker(t, platform, prometheus.NewRegistry())
	made, ok := handle(t, w, ensure()).(integration.MappingWasMade)
	if !ok || !strings.Contains(made.Platform, account) {
		t.Fatalf("ensure: got %#v, want a role in %s", made, account)
	}
	client := awstest.IAM(t, endpoint, root)
	wide := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	if _, err := client.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{
		RoleName: sdk.String("cspi-abc12"), PolicyName: sdk.String("assume-customer-role"), PolicyDocument: &wide,
	}); err != nil {
		t.Fatal(err)
	}
	if got := handle(t, w, ensure()); got != made {
		t.Errorf("ensure again: got %#v, want %#v", got, made)
	}
	got, err := client.GetRolePolicy(t.Context(), &iam.GetRolePolicyInput{
		RoleName: sdk.String("cspi-abc12"), PolicyName: sdk.String("assume-customer-role"),
	})
	if err != nil || !strings.Contains(*got.PolicyDocument, "role") || strings.Contains(*got.PolicyDocument, `"*"`) {
		t.Errorf("the permission policy is not corrected: %v, %v", got, err)
	}
	for range 2 {
		if got := handle(t, w, remove()); got != (integration.MappingWasRemoved{}) {
			t.Errorf("remove: got %#v, want removed", got)
		}
	}
	foreign := `{"Version":"2012-10-17","Statement":[]}`
	if _, err := client.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: sdk.String("cspi-abc12"), AssumeRolePolicyDocument: &foreign}); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, handle(t, w, ensure()), "EntityAlreadyExists", true)
}
