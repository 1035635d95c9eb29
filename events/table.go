package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/rolebridge/rolebridge/integration"
)

// Table is a replica of the state topic in memory (what Kafka Streams calls a GlobalKTable): reads never leave the
// process, and go on while Kafka is away. Values that it hands out are shared and must not be changed.
//
// Safe for concurrent use. One goroutine runs it: [Table.Run].
type Table struct {
	topics   Topics
	options  []kgo.Opt
	receipts bool
	log      *slog.Logger
	ready    chan struct{}
	tokens   tokens // read without mu, written with it

	mu            sync.RWMutex
	organizations map[integration.OrganizationID]*cell // empty ones are of organizations that are gone, or not read yet
	integrations  map[integration.ID]*integration.Integration
	environments  environments
	used          map[integration.OrganizationID]int // integrations that count against the quota
	accounts      accounts
	answers       map[answerKey]*integration.Receipt
	gone          []integration.ID // the last tombstones: what WaitFor must not take for not there yet
	position      map[int32]int64  // next offset by partition
	behind        map[int32]int64  // records known to be still unread, by partition
	changed       chan struct{}    // closed and replaced at each change
}

type answerKey struct {
	organization integration.OrganizationID
	asker        integration.Asker
}

// Binding is a connector that is bound, with all that decides what it may have. Two are equal as long as nothing of it has
// changed.
type Binding struct {
	Organization *integration.Organization
	Integration  *integration.Integration
	Connector    integration.ConnectorID
}

// Grant is what the connector was bound with: its tokens, workloads and resources.
func (b Binding) Grant() integration.Binding { return b.Integration.Connectors[b.Connector] }

// TableOption changes how a [Table] works.
type TableOption func(*Table)

// WithReceipts keeps the answers to commands too, for those who wait for them: about 300 bytes for each command of the
// last [integration.ReceiptLife].
func WithReceipts() TableOption { return func(t *Table) { t.receipts = true } }

// WithLog sends the table's few log lines to l; the default is [slog.Default].
func WithLog(l *slog.Logger) TableOption { return func(t *Table) { t.log = l } }

// NewTable returns an empty table; options of the client say how to reach Kafka (seeds, TLS, SASL). Nothing is read
// before [Table.Run].
func NewTable(topics Topics, client []kgo.Opt, options ...TableOption) *Table {
	t := &Table{
		topics: topics, options: client, log: slog.Default(), ready: make(chan struct{}), tokens: newTokens(),
		organizations: map[integration.OrganizationID]*cell{},
		integrations:  map[integration.ID]*integration.Integration{},
		environments:  environments{},
		used:          map[integration.OrganizationID]int{},
		accounts:      newAccounts(),
		answers:       map[answerKey]*integration.Receipt{},
		position:      map[int32]int64{},
		behind:        map[int32]int64{},
		changed:       make(chan struct{}),
	}
	for _, o := range options {
		o(t)
	}
	return t
}

// Run reads the state topic up to its end, then says that the table is ready, and follows the topic until ctx ends
// (nil). Any other error means that the copy may have a gap: it must be built anew, by a new table.
func (t *Table) Run(ctx context.Context) error {
	cl, err := kgo.NewClient(append(slices.Clone(t.options),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// A gap must not be jumped over: better to start again.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
	)...)
	if err != nil {
		return fmt.Errorf("table: %w", err)
	}
	defer cl.Close()
	switch err := t.load(ctx, cl); {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return fmt.Errorf("table: %w", err)
	}
	close(t.ready)
	t.log.InfoContext(ctx, "replica of the state is ready", "integrations", t.Count())
	return t.follow(ctx, cl)
}

func (t *Table) load(ctx context.Context, cl *kgo.Client) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for p := range t.topics.Partitions {
		g.Go(func() error {
			next, err := Replay(ctx, cl, t.topics.State(), p, t.apply)
			if err != nil {
				return err
			}
			t.mu.Lock()
			defer t.mu.Unlock()
			t.position[p] = next
			return nil
		})
	}
	return g.Wait()
}

func (t *Table) follow(ctx context.Context, cl *kgo.Client) error {
	from := map[int32]kgo.Offset{}
	for p, next := range t.position {
		from[p] = kgo.NewOffset().At(next)
	}
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{t.topics.State(): from})
	for {
		fetches := cl.PollFetches(ctx)
		switch err := fetches.Err(); {
		case errors.Is(err, context.Canceled) && ctx.Err() != nil:
			return nil //nolint:nilerr // stopped
		case err != nil:
			return fmt.Errorf("table: %w", err)
		}
		var failed error
		fetches.EachRecord(func(r *kgo.Record) { failed = errors.Join(failed, t.apply(r)) })
		if failed != nil {
			return fmt.Errorf("table: %w", failed)
		}
		t.progress(fetches)
	}
}

// progress records how far the table is and wakes those who wait.
func (t *Table) progress(fetches kgo.Fetches) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if n := len(p.Records); n > 0 {
			t.position[p.Partition] = p.Records[n-1].Offset + 1
			t.behind[p.Partition] = max(0, p.HighWatermark-t.position[p.Partition]-1) // the transaction's marker is no record
		}
	})
	close(t.changed)
	t.changed = make(chan struct{})
}

func (t *Table) apply(r *kgo.Record) error {
	s, err := ReadStored(r)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case s.Cursor != nil || (s.OrganizationID == ""):
	case s.Asker != (integration.Asker{}):
		k := answerKey{s.OrganizationID, s.Asker}
		switch {
		case !t.receipts:
		case s.Receipt == nil:
			delete(t.answers, k)
		default:
			t.answers[k] = s.Receipt
		}
	case s.IntegrationID != "":
		t.put(s.IntegrationID, s.Integration)
	case s.AccountID != "":
		t.accounts.put(s.OrganizationID, s.AccountID, s.Account)
	default:
		t.home(s.OrganizationID).Store(s.Organization)
	}
	return nil
}

// home is the place of an organization, whether it is there or not.
func (t *Table) home(id integration.OrganizationID) *cell {
	at, ok := t.organizations[id]
	if !ok {
		at = new(cell)
		t.organizations[id] = at
	}
	return at
}

// goneKept is how many deletions [Table.WaitFor] knows of: more than can pass between a command's answer and the wait.
const goneKept = 1024

// put replaces an integration, or removes it when i is nil, and keeps the indexes right.
func (t *Table) put(id integration.ID, i *integration.Integration) {
	was := t.integrations[id]
	var home *cell
	if i != nil {
		home = t.home(i.Organization)
	}
	t.tokens.replace(was, i, home)
	t.environments.replace(was, i)
	if was != nil {
		delete(t.integrations, id)
		t.count(was, -1)
	}
	if i == nil {
		t.gone = append(t.gone, id)
		t.gone = t.gone[max(0, len(t.gone)-goneKept):]
		return
	}
	t.integrations[id] = i
	t.count(i, 1)
}

// count counts an integration for or against its organization's quota, as [integration.State.Count] does.
func (t *Table) count(i *integration.Integration, by int) {
	if i.Deleting() {
		return
	}
	if t.used[i.Organization] += by; t.used[i.Organization] == 0 {
		delete(t.used, i.Organization)
	}
}

// Used is how many integrations of an organization count against its quota.
func (t *Table) Used(o integration.OrganizationID) int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.used[o]
}

// Ready is closed once the table holds all that was there when it started.
func (t *Table) Ready() <-chan struct{} { return t.ready }

// Lag is how many records the table knows that it has not read yet.
func (t *Table) Lag() (records int64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, n := range t.behind {
		records += n
	}
	return records
}

// Count is the number of integrations of all organizations.
func (t *Table) Count() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.integrations)
}

// Organization returns an organization.
func (t *Table) Organization(id integration.OrganizationID) (*integration.Organization, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	at, ok := t.organizations[id]
	if !ok {
		return nil, false
	}
	o := at.Load()
	return o, o != nil
}

// Integration returns an integration, also one that is being deleted.
func (t *Table) Integration(id integration.ID) (*integration.Integration, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	i, ok := t.integrations[id]
	return i, ok
}

// All calls yield with every integration until it returns false, in no order. yield must not call the table.
func (t *Table) All(yield func(*integration.Integration) bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, i := range t.integrations {
		if !yield(i) {
			return
		}
	}
}

// Holders returns the bindings that have a token with this SHA-256, in lower-case hexadecimal: at most one of each
// organization, and seldom more than one at all. Hashes can be copied, so it is the token's proof that tells which of them
// is meant. The slice is shared and must not be changed. It never waits, also while records are applied or the table is
// walked.
func (t *Table) Holders(hash string) []Holder { return t.tokens.find(hash) }

// Binding returns the binding of a connector; ok is false when it is not bound. Like Holders it never waits.
func (t *Table) Binding(id integration.ID, c integration.ConnectorID) (b Binding, ok bool) {
	return t.tokens.binding(id, c)
}

// WaitFor waits until the table has integration id at this version or a later one, or until it is deleted. One that the
// table has never had is waited for: its creation may be on the way. It returns the error of ctx when that ends first.
func (t *Table) WaitFor(ctx context.Context, id integration.ID, version int64) error {
	seen := false
	return t.until(ctx, func() bool {
		i, ok := t.integrations[id]
		if !ok {
			return seen || slices.Contains(t.gone, id)
		}
		seen = true
		return i.Version >= version
	})
}

// WaitUntil waits until the integration satisfies done; i is nil when it does not exist. It returns the error of ctx
// when that ends first.
func (t *Table) WaitUntil(ctx context.Context, id integration.ID, done func(i *integration.Integration) bool) error {
	return t.until(ctx, func() bool { return done(t.integrations[id]) })
}

// WaitAnswer waits for the answer to a command. When it is there, the table also holds all that the answer is about: it
// was written in the same transaction, behind it. It returns the error of ctx when that ends first.
func (t *Table) WaitAnswer(ctx context.Context, o integration.OrganizationID, a integration.Asker) (r integration.Receipt, err error) {
	err = t.until(ctx, func() bool {
		got, ok := t.answers[answerKey{o, a}]
		if ok {
			r = *got
		}
		return ok
	})
	return r, err
}

// Answer returns the answer to a command if it is known.
func (t *Table) Answer(o integration.OrganizationID, a integration.Asker) (integration.Receipt, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	r, ok := t.answers[answerKey{o, a}]
	if !ok {
		return integration.Receipt{}, false
	}
	return *r, true
}

// until waits for a change of the table after which done holds. done is called with the table locked.
func (t *Table) until(ctx context.Context, done func() bool) error {
	for {
		t.mu.RLock()
		ok, changed := done(), t.changed
		t.mu.RUnlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
