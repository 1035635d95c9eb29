package lifecycle

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/rolebridge/rolebridge/cloud/aws/scope"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

// Worker decides the partitions that its group assigns to it. One goroutine runs it: [Worker.Run].
type Worker struct {
	config  Config
	decider *decider
	metrics *metrics
	lag     *lag
	log     *slog.Logger

	group chan *kgo.GroupTransactSession // holds the session once it exists; see session
	fatal chan error                     // an error found outside the loop that must end it

	mu       sync.Mutex
	owned    map[int32]*partition
	expected map[int32]bool // assigned, perhaps not restored yet; nil before the first assignment
	// restoring are partitions whose state is being read: nobody decides from it yet.
	restoring map[int32]bool
}

// New returns a worker; it does nothing before [Worker.Run].
func New(c Config, codec *events.Codec, log *slog.Logger, reg prometheus.Registerer) (*Worker, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c.Group = cmp.Or(c.Group, c.Topics.Group("lifecycle"))
	if c.Proof == nil {
		c.Proof = unasked{}
	}
	behind := newLag(c.Topics.Prefix)
	m := newMetrics(reg, c.Topics.Prefix, behind)
	return &Worker{
		config: c, log: log, metrics: m, lag: behind,
		decider: &decider{topics: c.Topics, codec: codec, proof: c.Proof, fresh: freshInputs(c.Accounts), metrics: m, tracer: c.Tracer},
		group:   make(chan *kgo.GroupTransactSession, 1),
		fatal:   make(chan error, 1),
		owned:   map[int32]*partition{}, restoring: map[int32]bool{},
	}, nil
}

// freshInputs makes the inputs of decisions on a platform of these accounts. Times are kept to milliseconds, as they are on
// Kafka.
func freshInputs(accounts []string) func() integration.Inputs {
	return func() integration.Inputs {
		return integration.Inputs{
			Now: time.Now().UTC().Truncate(time.Millisecond), ID: newID(), ExternalID: uuid.NewString(), Jitter: mathrand.Float64(), //nolint:gosec // spreads timers
			Accounts: accounts, SessionPolicy: scope.Policy,
		}
	}
}

// newID makes an integration's id: 50 random bits in ten letters and digits that cannot be mistaken for one another.
// Ids are also names of platform roles, over all organizations: with a million of them the chance that any two are
// alike is 1 in 2,000, and the mapping worker would refuse the second.
func newID() integration.ID {
	const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	var raw [10]byte
	_, _ = rand.Read(raw[:]) // never fails (crypto/rand)
	for n, b := range raw {
		raw[n] = alphabet[b&31]
	}
	return integration.ID(integration.IDPrefix + string(raw[:]))
}

// Ready reports whether the worker has joined its group and restored all that it was assigned, which may be nothing.
func (w *Worker) Ready() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.expected != nil && len(w.owned) == len(w.expected)
}

// Run decides until ctx ends (nil) or something stays wrong until somebody changes it: missing rights, another worker of
// the same instance, a cursor that does not fit its topic. Everything else, a Kafka that is away above all, ends the
// session and begins another, which restores all state: the process may have other parts that go on meanwhile.
func (w *Worker) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.sweeping(ctx) })
	g.Go(func() error { return w.deciding(ctx) })
	return g.Wait()
}

// deciding is the sessions of [Worker.Run], one after the other.
func (w *Worker) deciding(ctx context.Context) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 100*time.Millisecond, 5*time.Second
	for {
		began := time.Now()
		err := w.once(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // whatever a stop interrupted is restored at the next start
		case errors.Is(err, kerr.FencedInstanceID):
			return fmt.Errorf("lifecycle: another worker has lifecycle.instance %q, which must be different for each: %w", w.config.Instance, err)
		case final(err):
			return fmt.Errorf("lifecycle: %w", err)
		}
		if time.Since(began) > time.Minute {
			wait.Reset()
		}
		pause := wait.NextBackOff()
		w.log.WarnContext(ctx, "deciding was interrupted; starting anew", "error", err, "pause", pause.String())
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// final reports whether an error stays until somebody changes something.
func final(err error) bool {
	if errors.Is(err, errCursor) || errors.Is(err, errSplit) || errors.Is(err, errClose) {
		return true
	}
	broker, ok := errors.AsType[*kerr.Error](err)
	return ok && (errors.Is(broker, kerr.SaslAuthenticationFailed) || errors.Is(broker, kerr.ClusterAuthorizationFailed) ||
		errors.Is(broker, kerr.TopicAuthorizationFailed) || errors.Is(broker, kerr.GroupAuthorizationFailed) ||
		errors.Is(broker, kerr.TransactionalIDAuthorizationFailed))
}

// errClose means that a client did not end; a second one under the same name would only fight it.
var errClose = errors.New("the Kafka client does not close")

// closeWithin bounds the end of a client whose brokers may be gone.
const closeWithin = 15 * time.Second

// once decides within one session of the group. The partitions of the last session are forgotten first.
func (w *Worker) once(ctx context.Context) (err error) {
	w.forget()
	session, err := kgo.NewGroupTransactSession(w.options()...)
	if err != nil {
		return err
	}
	w.group <- session
	defer func() {
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			session.CloseAllowingRebalance() // Close alone would wait for ever while a poll blocks rebalances
		}()
		select {
		case <-closed:
		case <-time.After(closeWithin):
			err = errors.Join(err, errClose)
		}
		<-w.group // only now: callbacks of the session that closes may still ask for it
	}()
	ping, cancel := context.WithTimeout(ctx, 30*time.Second)
	err = session.Client().Ping(ping) // a wrong password fails here at once, and nowhere else
	cancel()
	if err != nil {
		return fmt.Errorf("reach Kafka: %w", err)
	}
	return w.loop(ctx, session)
}

// forget drops all partitions.
func (w *Worker) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range w.owned {
		w.lag.forget(w.config.Topics.Commands(), p)
		w.lag.forget(w.config.Topics.Results(), p)
	}
	clear(w.owned)
	w.expected = nil
	w.metrics.partitions.Set(0)
	select {
	case <-w.fatal: //nolint:errcheck // of the last session
	default:
	}
}

func (w *Worker) options() []kgo.Opt {
	c := w.config
	transactional := c.Group + "-" + c.Instance
	if c.Fresh {
		transactional += "-" + uuid.NewString()
	}
	return append(slices.Clone(c.Client),
		kgo.ConsumerGroup(c.Group), kgo.ConsumeTopics(c.Topics.Commands(), c.Topics.Results()),
		kgo.InstanceID(c.Instance), kgo.TransactionalID(transactional),
		kgo.TransactionTimeout(c.TransactionTimeout),
		kgo.SessionTimeout(c.SessionTimeout), kgo.HeartbeatInterval(min(c.SessionTimeout/6, 3*time.Second)),
		kgo.RebalanceTimeout(max(20*time.Second, c.SessionTimeout)),
		// Equal partitions of both topics come to one member; see the package comment.
		kgo.Balancers(kgo.RangeBalancer()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.BlockRebalanceOnPoll(),
		kgo.AdjustFetchOffsetsFn(w.assigned),
		kgo.OnPartitionsAssigned(w.expect), kgo.OnPartitionsRevoked(w.revoked), kgo.OnPartitionsLost(w.revoked),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // position chose the offset; out of range is never to be jumped over
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0),
		kgo.FetchMaxWait(250*time.Millisecond),
	)
}

// session returns the group's client; callbacks may run before the constructor has returned it.
func (w *Worker) session() *kgo.Client {
	s := <-w.group
	w.group <- s
	return s.Client()
}

func (w *Worker) stop(err error) {
	select {
	case w.fatal <- err:
	default: // one reason is enough
	}
}

func (w *Worker) expect(_ context.Context, _ *kgo.Client, gained map[string][]int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.expected == nil {
		w.expected = map[int32]bool{}
	}
	for _, partitions := range gained {
		for _, p := range partitions {
			w.expected[p] = true
		}
	}
}

func (w *Worker) revoked(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for topic, partitions := range lost {
		for _, p := range partitions {
			delete(w.owned, p)
			delete(w.expected, p)
			w.lag.forget(topic, p)
		}
	}
	w.metrics.partitions.Set(float64(len(w.owned)))
}

// pollAtMost bounds one poll, so that fatal errors and new timers are seen.
const pollAtMost = time.Second

func (w *Worker) loop(ctx context.Context, session *kgo.GroupTransactSession) error {
	aborts := 0
	for {
		select {
		case err := <-w.fatal:
			return err
		case <-ctx.Done():
			return nil
		case <-time.After(min(time.Duration(aborts)*50*time.Millisecond, time.Second)):
		}
		polling, cancel := context.WithTimeout(ctx, w.untilDue(time.Now()))
		fetches := session.PollRecords(polling, w.config.BatchRecords)
		cancel()
		committed, err := w.transact(ctx, session, fetches)
		session.AllowRebalance()
		switch {
		case err != nil:
			w.metrics.transactions.WithLabelValues("failed").Inc()
			return err
		case committed:
			aborts = 0
		default:
			aborts++ // the first end after a rebalance may abort; the records are read again
		}
	}
}

// untilDue is how long to wait for records before a timer wants attention.
func (w *Worker) untilDue(now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	wait := pollAtMost
	for _, p := range w.owned {
		if at, ok := p.due.next(); ok {
			wait = min(wait, at.Sub(now))
		}
	}
	return max(wait, time.Millisecond)
}

// transact decides what was fetched, and what is due, in one transaction. committed is true also when there was
// nothing to do.
func (w *Worker) transact(ctx context.Context, session *kgo.GroupTransactSession, fetches kgo.Fetches) (committed bool, err error) {
	for _, e := range fetches.Errors() {
		switch {
		case errors.Is(e.Err, context.DeadlineExceeded) || errors.Is(e.Err, context.Canceled):
		case e.Topic == "":
			return false, e.Err // of the group's session
		default:
			return false, fmt.Errorf("read %s/%d: %w", e.Topic, e.Partition, e.Err)
		}
	}
	started := time.Now()
	w.lag.fetched(fetches)
	batches, records, err := w.decide(fetches, started) //nolint:contextcheck // a record brings the trace that it belongs to
	if err != nil {
		return false, err
	}
	if len(records) == 0 && fetches.NumRecords() == 0 {
		return true, nil
	}
	committed, err = w.write(ctx, session, records, batches != nil || fetches.NumRecords() == 0)
	if err != nil {
		return false, err
	}
	w.metrics.deciding.Observe(time.Since(started).Seconds())
	if !committed {
		w.metrics.transactions.WithLabelValues("aborted").Inc()
		return false, nil
	}
	w.metrics.transactions.WithLabelValues("committed").Inc()
	for _, b := range batches {
		b.commit(started)
		w.tell(ctx, b.news)
	}
	w.lag.decided(fetches)
	return true, nil
}

// decide makes the batches of what was fetched and the reminders of what is due. No batches at all are returned when
// records of a partition came that is not owned any more.
func (w *Worker) decide(fetches kgo.Fetches, now time.Time) (batches []*batch, records []*kgo.Record, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	batches, owned := w.sort(fetches)
	if !owned {
		return nil, nil, nil
	}
	// Partitions share nothing, so they are decided side by side.
	decided := make([][]*kgo.Record, len(batches))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for n, b := range batches {
		g.Go(func() (err error) {
			decided[n], err = b.decide(now)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	records = slices.Concat(decided...)
	for _, p := range w.owned {
		due, err := p.reminders(w.decider.codec, now, w.config.BatchRecords)
		if err != nil {
			return nil, nil, err
		}
		w.metrics.reminders.Add(float64(len(due)))
		records = append(records, due...)
	}
	return batches, records, nil
}

// sort gives each partition's records to a batch; owned is false when there are some of a partition that is not ours.
func (w *Worker) sort(fetches kgo.Fetches) (batches []*batch, owned bool) {
	owned = true
	byPartition := map[int32]*batch{}
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		if len(f.Records) == 0 {
			return
		}
		b, ok := byPartition[f.Partition]
		if !ok {
			p, ours := w.owned[f.Partition]
			if !ours {
				owned = false
				return
			}
			b = w.decider.begin(p)
			byPartition[f.Partition] = b
			batches = append(batches, b)
		}
		b.in = append(b.in, f.Records...)
	})
	return batches, owned
}

// write produces the records and ends the transaction.
func (w *Worker) write(ctx context.Context, session *kgo.GroupTransactSession, records []*kgo.Record, commit bool) (bool, error) {
	if err := session.Begin(); err != nil {
		return false, fmt.Errorf("begin a transaction: %w", err)
	}
	// A stop must not tear a transaction apart, and an end that never returns would hold the group's rebalance for good.
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.config.EndTimeout)
	defer cancel()
	refused := kgo.AbortingFirstErrPromise(session.Client()) // else a commit would succeed with a record missing
	for _, r := range records {
		session.Produce(ending, r, refused.Promise())
	}
	err := refused.Err()
	committed, endErr := session.End(ending, kgo.TransactionEndTry(commit && err == nil))
	if endErr != nil {
		return false, fmt.Errorf("end a transaction: %w", errors.Join(endErr, err))
	}
	if err != nil {
		// The marker of an abort also ends what hung on the partition before. So the state is read anew.
		return false, fmt.Errorf("transaction aborted: %w", err)
	}
	return committed, nil
}

// tell logs what was decided: one line for each command, and for each change of trust.
func (w *Worker) tell(ctx context.Context, news []integration.Event) {
	for _, e := range news {
		switch fact := e.Fact.(type) {
		case integration.TrustChanged:
			w.log.InfoContext(ctx, "trust changed", "organization", e.Organization, "integration", e.Integration,
				"from", fact.From, "to", fact.To)
		case integration.Refused:
			w.log.InfoContext(ctx, "command refused", "command", e.Answers.ID, "source", e.Answers.Source, "type", fact.Command,
				"organization", e.Organization, "integration", e.Integration, "code", fact.Code, "field", fact.Field)
		default:
			w.log.InfoContext(ctx, "command decided", "command", e.Answers.ID, "source", e.Answers.Source, "event", fact.Type(),
				"organization", e.Organization, "integration", e.Integration, "version", e.Version)
		}
	}
}
