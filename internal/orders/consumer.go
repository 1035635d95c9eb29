package orders

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/telemetry"
)

const (
	pollRecords  = 500 // at once; bounds what is done between a poll and the next chance to rebalance
	pingTimeout  = 30 * time.Second
	commitEvery  = time.Second     // of marked offsets: what a killed worker repeats at most, beside what ran
	commitBudget = 3 * time.Second // for the last commit of a stop or of a partition given away
	longestPause = 5 * time.Second // between polls that fail
	// clockSkew is how long past its due time an order is still handled: the worker's clock is not the decider's.
	clockSkew = time.Minute
)

// Consumer hands the orders of one kind to one worker. One goroutine runs it: [Consumer.Run].
type Consumer[A Ask] struct {
	config  Config
	name    string
	source  string
	codec   *events.Codec
	handle  Handle[A]
	log     *slog.Logger
	metrics *metrics

	room  chan struct{} // holds a token when there may be room for more orders
	fatal chan error    // an error found outside of the poll loop that must end it
	group sync.WaitGroup

	mu       sync.Mutex
	joined   bool
	stopping bool
	letters  int // dead letters on their way
	lanes    *lanes[A]
	parts    map[int32]*progress
}

// New returns a consumer that reads orders for the worker called name ("mapping", "trust") and writes results under the
// CloudEvents source. It does nothing before [Consumer.Run].
func New[A Ask](
	c Config, name, source string, codec *events.Codec, handle Handle[A], log *slog.Logger, reg prometheus.Registerer,
) (*Consumer[A], error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c.Group = cmp.Or(c.Group, c.Topics.Group(name))
	consumer := &Consumer[A]{
		config: c, name: name, source: source, codec: codec, handle: handle, log: log,
		room: make(chan struct{}, 1), fatal: make(chan error, 1),
		lanes: newLanes[A](), parts: map[int32]*progress{},
	}
	consumer.metrics = newMetrics(reg, name, consumer.snapshot)
	return consumer, nil
}

// Ready reports whether the worker has joined its group.
func (c *Consumer[A]) Ready() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.joined
}

// Run hands out orders until ctx ends, then lets running ones finish within the stop budget (nil), or until something
// fails for good; then the process should exit and be restarted.
func (c *Consumer[A]) Run(ctx context.Context) error {
	cl, err := kgo.NewClient(c.options()...)
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	defer cl.CloseAllowingRebalance() // Close alone would wait for ever while a poll blocks rebalances
	ping, cancel := context.WithTimeout(ctx, pingTimeout)
	err = cl.Ping(ping) // a wrong password fails here at once, and nowhere else
	cancel()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%s: reach Kafka: %w", c.name, err)
	}
	// What runs outlives ctx by the stop budget.
	handling, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	err = c.loop(ctx, handling, cl)
	c.stop(handling, cut, cl)
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

func (c *Consumer[A]) options() []kgo.Opt {
	opts := append(slices.Clone(c.config.Client),
		kgo.ConsumerGroup(c.config.Group), kgo.ConsumeTopics(c.config.Topics.Events()),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(c.config.SessionTimeout), kgo.HeartbeatInterval(min(c.config.SessionTimeout/6, 3*time.Second)),
		kgo.RebalanceTimeout(max(20*time.Second, c.config.SessionTimeout)),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.BlockRebalanceOnPoll(),
		kgo.AutoCommitMarks(), kgo.AutoCommitInterval(commitEvery),
		kgo.OnPartitionsAssigned(c.assigned), kgo.OnPartitionsRevoked(c.revoked), kgo.OnPartitionsLost(c.lost),
		// Without a committed offset nothing is lost: what is past its due time is skipped.
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(250*time.Millisecond),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(0),
	)
	if c.config.Instance != "" {
		opts = append(opts, kgo.InstanceID(c.config.Instance))
	}
	return opts
}

// loop reads orders until ctx ends (nil) or something fails for good.
func (c *Consumer[A]) loop(ctx, handling context.Context, cl *kgo.Client) error {
	failures := 0
	for ctx.Err() == nil {
		if err := c.untilRoom(ctx, time.Duration(failures)*100*time.Millisecond); err != nil {
			return err
		}
		fetches := cl.PollRecords(ctx, pollRecords)
		if ctx.Err() == nil {
			c.take(handling, cl, fetches)
		}
		cl.AllowRebalance()
		err := firstError(fetches)
		switch {
		case err == nil:
			failures = 0
		case fatal(err):
			return err
		default:
			if failures++; failures == 1 {
				c.log.WarnContext(ctx, "orders cannot be read; trying on", "worker", c.name, "error", err)
			}
		}
	}
	return nil
}

// untilRoom waits for the pause to pass and for the lanes to have room. Rebalances go on meanwhile.
func (c *Consumer[A]) untilRoom(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(min(pause, longestPause))
	defer timer.Stop()
	select {
	case err := <-c.fatal:
		return err
	case <-ctx.Done():
		return nil
	case <-timer.C:
	}
	for !c.roomy() {
		select {
		case err := <-c.fatal:
			return err
		case <-ctx.Done():
			return nil
		case <-c.room:
		}
	}
	return nil
}

func (c *Consumer[A]) roomy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.lanes.waiting)+c.letters < c.config.Waiting
}

func firstError(fetches kgo.Fetches) error {
	for _, e := range fetches.Errors() {
		if !errors.Is(e.Err, context.DeadlineExceeded) && !errors.Is(e.Err, context.Canceled) {
			return fmt.Errorf("read %s/%d: %w", e.Topic, e.Partition, e.Err)
		}
	}
	return nil
}

// fatal reports whether an error stays until somebody changes something: missing rights, another worker of our name.
func fatal(err error) bool {
	var broker *kerr.Error
	return errors.Is(err, kgo.ErrClientClosed) || errors.As(err, &broker) && !broker.Retriable &&
		!errors.Is(err, kerr.UnknownMemberID) && !errors.Is(err, kerr.IllegalGeneration)
}

// take puts what was read into the lanes. It touches the network only in the background: rebalances wait for it.
func (c *Consumer[A]) take(handling context.Context, cl *kgo.Client, fetches kgo.Fetches) {
	now := time.Now()
	var unreadable []letter
	c.mu.Lock()
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		p, ok := c.parts[f.Partition]
		if !ok {
			p = &progress{}
			c.parts[f.Partition] = p
		}
		p.high = f.HighWatermark
		for _, r := range f.Records {
			if l, ok := c.takeRecord(cl, p, r, now); ok {
				unreadable = append(unreadable, l)
			}
		}
	})
	c.letters += len(unreadable)
	c.fill(handling, cl)
	c.mu.Unlock()
	// Without the lock, because the client may call back from within, and waits when its buffer is full.
	for _, l := range unreadable {
		c.group.Add(1)
		cl.Produce(handling, l.record, func(_ *kgo.Record, err error) {
			defer c.group.Done()
			c.sent(handling, cl, l, err)
		})
	}
}

// letter is a dead letter on its way, and the record that it was.
type letter struct {
	record *kgo.Record
	part   *progress
	entry  *entry
}

func (c *Consumer[A]) sent(handling context.Context, cl *kgo.Client, l letter, err error) {
	delivered := c.delivered(handling, err)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.letters--
	if delivered {
		c.finish(cl, l.part, l.entry, deadLetter)
	}
	c.makeRoom()
}

// takeRecord puts one record where it belongs, or returns the dead letter that it is. It needs the lock.
func (c *Consumer[A]) takeRecord(cl *kgo.Client, p *progress, r *kgo.Record, now time.Time) (letter, bool) {
	order, what, err := c.read(r, now)
	switch {
	case err != nil:
		return letter{c.config.Topics.DeadLetter(r, err, now), p, p.add(r, false)}, true
	case what != "":
		c.finish(cl, p, p.add(r, true), what)
	default:
		t := &task[A]{order: order, from: &kgo.Record{Headers: r.Headers}, entry: p.add(r, false), part: p}
		if old := c.lanes.add(t); old != nil {
			c.finish(cl, old.part, old.entry, superseded)
		}
	}
	return letter{}, false
}

// read makes an order of a record. what is set for a record that needs nothing.
func (c *Consumer[A]) read(r *kgo.Record, now time.Time) (o Order[A], what outcome, err error) {
	var zero A
	// Most events are not ours; the type in the header spares us reading them.
	if kind, ok := events.TypeOf(r); ok && kind != zero.Type() {
		return o, skipped, nil
	}
	e, err := c.codec.Event(r)
	if errors.Is(err, events.ErrUnknownType) {
		return o, skipped, nil // of a decider that is newer than we are
	}
	if err != nil {
		return o, "", err
	}
	o, ours := orderOf[A](e)
	switch {
	case !ours:
		return o, skipped, nil
	case o.Organization == "" || o.Integration == "":
		return o, "", errors.New("the order names no organization or no integration")
	case now.After(o.Due.Add(clockSkew)):
		return o, expired, nil
	}
	return o, "", nil
}

// fill starts as many orders as there are slots. It needs the lock.
func (c *Consumer[A]) fill(handling context.Context, cl *kgo.Client) {
	for !c.stopping && len(c.lanes.running) < c.config.Concurrency {
		t := c.lanes.start()
		if t == nil {
			break
		}
		c.group.Go(func() {
			what := c.work(handling, cl, t)
			c.mu.Lock()
			defer c.mu.Unlock()
			c.lanes.end(t.order.Integration)
			if what == unfinished {
				c.metrics.count(what)
			} else {
				c.finish(cl, t.part, t.entry, what)
			}
			c.fill(handling, cl)
		})
	}
	c.makeRoom()
}

// makeRoom wakes the poll loop, so that it looks whether there is room.
func (c *Consumer[A]) makeRoom() {
	select {
	case c.room <- struct{}{}:
	default:
	}
}

// work handles one order and writes its result.
func (c *Consumer[A]) work(handling context.Context, cl *kgo.Client, t *task[A]) outcome {
	begin := time.Now()
	traced, end := c.config.Tracer.Follow(handling, t.from, c.name,
		telemetry.Fact{Name: "organization", Value: string(t.order.Organization)}, telemetry.Fact{Name: "integration", Value: string(t.order.Integration)})
	ctx, cancel := context.WithTimeout(traced, c.config.HandleTimeout)
	finding, err := c.handle(ctx, t.order)
	cancel()
	end(failure(err))
	if handling.Err() != nil && err != nil {
		return unfinished
	}
	if err == nil && finding == nil {
		err = errors.New("the handler found nothing and says no reason")
	}
	if err != nil {
		c.log.WarnContext(handling, "order without a result", "worker", c.name, "integration", t.order.Integration,
			"attempt", t.order.Attempt, "error", err)
		return failed
	}
	record, err := c.codec.ResultRecord(c.source, integration.Result{
		Organization: t.order.Organization, Integration: t.order.Integration, Attempt: t.order.Attempt, Finding: finding,
	})
	if err != nil {
		c.log.ErrorContext(handling, "result cannot be written", "worker", c.name, "integration", t.order.Integration, "error", err)
		return failed
	}
	telemetry.Inject(traced, record)
	err = cl.ProduceSync(handling, record).FirstErr()
	switch {
	case errors.Is(err, kerr.MessageTooLarge):
		c.log.ErrorContext(handling, "result is too large", "worker", c.name, "integration", t.order.Integration)
		return failed
	case !c.delivered(handling, err):
		return unfinished
	}
	c.metrics.seconds.Observe(time.Since(begin).Seconds())
	return answered
}

// failure is what the span of an order says of an error.
func failure(err error) string {
	if err != nil {
		return "no result"
	}
	return ""
}

// delivered reports whether a record was acknowledged. One that cannot be for good ends the worker.
func (c *Consumer[A]) delivered(handling context.Context, err error) bool {
	if err != nil && handling.Err() == nil {
		select {
		case c.fatal <- fmt.Errorf("write: %w", err):
		default: // one reason is enough
		}
	}
	return err == nil
}

// finish counts a record and marks what may be committed. It needs the lock, so that nothing is marked of a partition
// that is being given away.
func (c *Consumer[A]) finish(cl *kgo.Client, p *progress, e *entry, what outcome) {
	c.metrics.count(what)
	if upTo := p.finish(e); upTo != nil {
		cl.MarkCommitRecords(upTo)
	}
}

// stop lets running orders finish within the stop budget, and commits what they did.
func (c *Consumer[A]) stop(handling context.Context, cut context.CancelFunc, cl *kgo.Client) {
	c.mu.Lock()
	c.stopping = true
	c.mu.Unlock()
	budget := time.AfterFunc(c.config.StopBudget, cut)
	c.group.Wait()
	budget.Stop()
	c.commit(context.WithoutCancel(handling), cl)
}

func (c *Consumer[A]) commit(ctx context.Context, cl *kgo.Client) {
	ctx, cancel := context.WithTimeout(ctx, commitBudget)
	defer cancel()
	if err := cl.CommitMarkedOffsets(ctx); err != nil && !errors.Is(err, kgo.ErrClientClosed) {
		// Harmless: the records are read again, and their answers are recognised.
		c.log.WarnContext(ctx, "offsets not committed", "worker", c.name, "error", err)
	}
}

func (c *Consumer[A]) assigned(context.Context, *kgo.Client, map[string][]int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.joined = true
}

// revoked gives partitions away in peace: the next owner starts behind what was done here.
func (c *Consumer[A]) revoked(ctx context.Context, cl *kgo.Client, gone map[string][]int32) {
	c.forget(gone)
	if len(gone) > 0 {
		c.commit(ctx, cl)
	}
}

// lost is called when others have the partitions already.
func (c *Consumer[A]) lost(_ context.Context, _ *kgo.Client, gone map[string][]int32) { c.forget(gone) }

func (c *Consumer[A]) forget(gone map[string][]int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, partitions := range gone {
		for _, n := range partitions {
			if p, ok := c.parts[n]; ok {
				p.lost = true
				delete(c.parts, n)
			}
		}
	}
	for range c.lanes.forget() {
		c.metrics.count(released)
	}
}

func (c *Consumer[A]) snapshot() snapshot {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := snapshot{running: len(c.lanes.running), waiting: len(c.lanes.waiting), partitions: make(map[int32]lag, len(c.parts))}
	for n, p := range c.parts {
		records, age := p.lag(now)
		s.partitions[n] = lag{records, age}
	}
	return s
}
