package events

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/integration"
)

// ErrUnknownType means that a record is a CloudEvent of a type that its topic does not carry.
var ErrUnknownType = errors.New("unknown type")

// Sources of what rolebridge itself writes, as CloudEvents attributes.
const (
	SourceLifecycle = "/rolebridge/lifecycle"
	SourceMapping   = "/rolebridge/mapping"
	SourceTrust     = "/rolebridge/trust"
	SourceAPI       = "/rolebridge/api"
)

// Codec reads and writes the records of the contract, checking all data against its JSON Schema on both ways.
// Safe for concurrent use.
type Codec struct {
	topics   Topics
	signer   Signer
	schemas  map[string]*jsonschema.Schema
	asks     map[string]reflect.Type
	findings map[string]reflect.Type
	facts    map[string]reflect.Type
	notes    map[string]reflect.Type
}

// NewCodec returns a codec for the records of t. It fails only when the schemas compiled into the program are broken.
func NewCodec(t Topics) (*Codec, error) {
	schemas, err := compileSchemas()
	if err != nil {
		return nil, err
	}
	return &Codec{
		topics: t, schemas: schemas,
		asks:     byType(integration.Asks()),
		findings: byType(integration.Findings()),
		facts:    byType(integration.Facts()),
		notes:    byType(Notes()),
	}, nil
}

func byType[T interface{ Type() string }](all []T) map[string]reflect.Type {
	m := make(map[string]reflect.Type, len(all))
	for _, v := range all {
		m[v.Type()] = reflect.TypeOf(v)
	}
	return m
}

// data reads the data of a record of one of the given types, checked against its schema.
func (c *Codec) data(types map[string]reflect.Type, kind string, text []byte) (any, error) {
	t, ok := types[kind]
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrUnknownType, kind)
	}
	if err := c.checkData(kind, text); err != nil {
		return nil, err
	}
	v := reflect.New(t)
	if err := json.Unmarshal(text, v.Interface()); err != nil {
		return nil, fmt.Errorf("the data is outside the schema of %s: %w", kind, err)
	}
	return v.Elem().Interface(), nil
}

// Command reads a record of the commands topic.
func (c *Codec) Command(r *kgo.Record) (integration.Command, error) {
	e, err := readEnvelope(r)
	if err != nil {
		return integration.Command{}, err
	}
	ask, err := c.data(c.asks, e.Type(), e.Data())
	if err != nil {
		return integration.Command{}, err
	}
	org := attribute(e, extOrganization)
	if org == "" {
		return integration.Command{}, fmt.Errorf("attribute %s is missing", extOrganization)
	}
	cmd := integration.Command{
		Source: e.Source(), ID: e.ID(), Organization: integration.OrganizationID(org),
		Actor: integration.Principal(attribute(e, extActor)), Time: e.Time(), Ask: ask.(integration.Ask),
	}
	cmd.Digest, err = Digest(cmd)
	return cmd, err
}

// Digest hashes what was asked, in a canonical form: the order of fields and white space do not count. It is the digest
// of the receipt too, so whoever finds an answer under a command's id can tell whether it answers that very command.
func Digest(cmd integration.Command) (string, error) {
	data, err := json.Marshal(cmd.Ask)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s", cmd.Ask.Type(), cmd.Actor, data))
	return hex.EncodeToString(sum[:16]), nil
}

// Signer signs the record of a command, by adding headers to it.
type Signer interface {
	Sign(*kgo.Record) error
}

// Signing returns a codec that has s sign each command that it writes, and is c otherwise.
func (c *Codec) Signing(s Signer) *Codec {
	signing := *c
	signing.signer = s
	return &signing
}

// CommandRecord writes a command for its organization's home partition.
func (c *Codec) CommandRecord(cmd integration.Command) (*kgo.Record, error) {
	e := event.New()
	e.SetSource(cmd.Source)
	e.SetID(cmd.ID)
	e.SetTime(cmd.Time)
	if id := cmd.Ask.About(); id != "" {
		e.SetSubject(string(id))
	}
	e.SetExtension(extActor, string(cmd.Actor))
	r, err := c.record(e, c.topics.Commands(), cmd.Organization, cmd.Ask)
	if err != nil || c.signer == nil {
		return r, err
	}
	return r, c.signer.Sign(r)
}

// Result reads a record of the results topic.
func (c *Codec) Result(r *kgo.Record) (integration.Result, error) {
	e, err := readEnvelope(r)
	if err != nil {
		return integration.Result{}, err
	}
	finding, err := c.data(c.findings, e.Type(), e.Data())
	if err != nil {
		return integration.Result{}, err
	}
	attempt, err := strconv.ParseInt(attribute(e, extAttempt), 10, 64)
	if err != nil {
		return integration.Result{}, fmt.Errorf("attribute %s: want a whole number", extAttempt)
	}
	org := attribute(e, extOrganization)
	if org == "" || e.Subject() == "" {
		return integration.Result{}, fmt.Errorf("attribute %s or subject is missing", extOrganization)
	}
	return integration.Result{
		Organization: integration.OrganizationID(org), Integration: integration.ID(e.Subject()), Attempt: attempt,
		Finding: finding.(integration.Finding),
	}, nil
}

// ResultRecord writes what the worker named by source found. The same result written twice has the same id.
func (c *Codec) ResultRecord(source string, r integration.Result) (*kgo.Record, error) {
	e := event.New()
	e.SetSource(source)
	e.SetID(fmt.Sprintf("%s.%s.%d", r.Integration, r.Finding.Type(), r.Attempt))
	e.SetSubject(string(r.Integration))
	e.SetExtension(extAttempt, strconv.FormatInt(r.Attempt, 10))
	return c.record(e, c.topics.Results(), r.Organization, r.Finding)
}

// Event reads a record of the events topic.
func (c *Codec) Event(r *kgo.Record) (integration.Event, error) {
	e, err := readEnvelope(r)
	if err != nil {
		return integration.Event{}, err
	}
	fact, err := c.data(c.facts, e.Type(), e.Data())
	if err != nil {
		return integration.Event{}, err
	}
	out := integration.Event{
		Organization: integration.OrganizationID(attribute(e, extOrganization)), Time: e.Time(), Fact: fact.(integration.Fact),
	}
	switch s := e.Subject(); {
	case integration.OfAccount(out.Fact):
		out.Account = integration.Principal(s)
	case s != string(out.Organization):
		out.Integration = integration.ID(s)
	}
	if v := attribute(e, extVersion); v != "" {
		if out.Version, err = strconv.ParseInt(v, 10, 64); err != nil {
			return integration.Event{}, fmt.Errorf("attribute %s: want a whole number", extVersion)
		}
	}
	if id := attribute(e, extCommandID); id != "" {
		out.Answers = &integration.Asked{Source: attribute(e, extCommandSource), ID: id}
	}
	return out, nil
}

// EventRecord writes an event. Its CloudEvents id follows from the aggregate and its version, or from the command that
// was refused, so that whoever reads it twice can tell.
func (c *Codec) EventRecord(ev integration.Event) (*kgo.Record, error) {
	e := event.New()
	e.SetSource(SourceLifecycle)
	subject := string(ev.Integration)
	if subject == "" {
		subject = string(ev.Organization)
	}
	e.SetID(fmt.Sprintf("%s.%d", subject, ev.Version))
	if ev.Account != "" {
		// Two tenants may have a principal of the same name, and one may be deleted and made again.
		subject = string(ev.Account)
		e.SetID(fmt.Sprintf("%s/%s.%d.%d", ev.Organization, ev.Account, ev.Version, ev.Time.UnixMilli()))
	}
	e.SetSubject(subject)
	e.SetTime(ev.Time)
	if ev.Version > 0 {
		e.SetExtension(extVersion, strconv.FormatInt(ev.Version, 10))
	}
	if a := ev.Answers; a != nil {
		e.SetExtension(extCommandID, a.ID)
		e.SetExtension(extCommandSource, a.Source)
		if ev.Version == 0 {
			// A command's id is its organization's: two tenants may use the same source and id.
			sum := sha256.Sum256([]byte(string(ev.Organization) + "\n" + a.Source + "\n" + a.ID))
			e.SetID("refused." + hex.EncodeToString(sum[:12]))
		}
	}
	return c.record(e, c.topics.Events(), ev.Organization, ev.Fact)
}

func (c *Codec) record(e event.Event, topic string, o integration.OrganizationID, data interface{ Type() string }) (*kgo.Record, error) {
	text, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", data.Type(), err)
	}
	if err := c.checkData(data.Type(), text); err != nil {
		return nil, fmt.Errorf("write: %w", err)
	}
	e.SetType(data.Type())
	if o != "" { // what is audited may be nobody's
		e.SetExtension(extOrganization, string(o))
	}
	if err := e.SetData(contentJSON, text); err != nil {
		return nil, err
	}
	r, err := writeBinary(e)
	if err != nil {
		return nil, err
	}
	r.Topic, r.Key, r.Partition = topic, []byte(o), c.topics.Home(o)
	return r, nil
}
