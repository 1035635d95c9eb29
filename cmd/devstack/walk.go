package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// walk leads one integration from its creation to an object in a bucket, in front of the user.
type walk struct {
	*stack
	out   io.Writer
	begin time.Time
	api   *client.Client
	iam   *iam.Client // the customer's administrator at AWS
	s3    *s3.Client
	id    string
	again bool // an earlier walk on this folder was interrupted

	connectors errgroup.Group // those whom the walk starts; Wait only after it
	written    chan string    // the keys of their objects
}

// newWalk starts nothing.
func (s *stack) newWalk(out io.Writer) (*walk, error) {
	api, err := client.New(client.Config{
		URL: "http://" + s.roles.Addresses()["api"], Key: s.memory.APIKey, Secret: secret.New(s.memory.APISecret), Agent: "rolebridge-devstack",
	})
	if err != nil {
		return nil, err
	}
	customer := aws.Config{
		Region: region, BaseEndpoint: aws.String(s.aws.Endpoint()),
		Credentials: s.customer.Root,
	}
	return &walk{
		stack: s, out: out, begin: time.Now(), id: s.memory.Integration, api: api, written: make(chan string),
		iam: iam.NewFromConfig(customer), s3: s3.NewFromConfig(customer, func(o *s3.Options) { o.UsePathStyle = true }),
	}, nil
}

// demonstrate walks and, unless the stack is to exit then, keeps what the walk has started running until ctx ends.
func (s *stack) demonstrate(ctx context.Context, out io.Writer) error {
	w, err := s.newWalk(out)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err = w.run(ctx)
	if err == nil && !s.options.noStay {
		w.tell(ctx)
	}
	cancel()
	return errors.Join(err, w.connectors.Wait())
}

// run prints each step with its time, and leaves the connectors that it starts running until ctx ends.
func (w *walk) run(ctx context.Context) error {
	fmt.Fprintf(w.out, "rolebridge devstack: every role in one process; Kafka, Redis and AWS are stand-ins embedded in it.\n\n")
	for _, step := range w.steps() {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return w.whatNext()
}

// steps returns what there is to walk. Each step can be walked again: a walk that was interrupted, in the middle of a
// step too, starts anew on the same data folder. After a walk that was not, it only shows that all is still there.
func (w *walk) steps() []func(context.Context) error {
	if w.memory.Token != "" {
		return []func(context.Context) error{w.showWhatWasKept, w.sinkWrites}
	}
	return []func(context.Context) error{
		w.foundOrganization, w.customerMakesRole, w.createIntegration, w.firstProof, w.customerTrustsUs, w.secondProof, w.bindConnector,
		w.sinkWrites,
	}
}

// tell names later objects, for whoever goes on producing.
func (w *walk) tell(ctx context.Context) {
	for {
		select {
		case key := <-w.written:
			w.say("object s3://%s/%s", bucket, key)
		case <-ctx.Done():
			return
		}
	}
}

// say opens a step.
func (w *walk) say(format string, args ...any) {
	fmt.Fprintf(w.out, "[%6.2f s] %s\n", time.Since(w.begin).Seconds(), fmt.Sprintf(format, args...))
}

// show prints text indented, below a step.
func (w *walk) show(text string) {
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		fmt.Fprint(w.out, "             ", line)
	}
	fmt.Fprintln(w.out)
}

func (w *walk) showJSON(document json.RawMessage) {
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, document, "", "  "); err != nil {
		w.show(string(document))
		return
	}
	w.show(pretty.String())
}

// foundOrganization sends a command to Kafka, as a control plane does.
func (w *walk) foundOrganization(ctx context.Context) error {
	w.say("The control plane produces organization.create for %s to Kafka.", organization)
	codec, err := events.NewCodec(topics().Names())
	if err != nil {
		return err
	}
	record, err := codec.CommandRecord(integration.Command{
		Source: "/devstack", ID: "found-" + organization, Organization: organization, Actor: "platform:devstack",
		Time: time.Now(), Ask: integration.CreateOrganization{Admin: administrator},
	})
	if err != nil {
		return err
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.kafka.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := cl.ProduceSync(ctx, record).FirstErr(); err != nil {
		return err
	}
	// The API answers 403 until its replica of the state has the organization.
	return w.until(ctx, "the organization", func() error {
		_, err := w.api.List(ctx, environment, "")
		return err
	})
}

// until calls f until it succeeds, for half a minute at most.
func (w *walk) until(ctx context.Context, what string, f func() error) error {
	bounded, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-bounded.Done():
			return fmt.Errorf("waited for %s: %w", what, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (w *walk) customerMakesRole(ctx context.Context) error {
	first := policy.FirstTrust().JSON()
	_, err := w.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String(customerRole), AssumeRolePolicyDocument: aws.String(string(first))})
	_, w.again = errors.AsType[*iamtypes.EntityAlreadyExistsException](err)
	switch {
	case w.again:
		w.say("The customer (AWS account %s) has a role since a walk that was interrupted.", customerAccount)
	case err != nil:
		return err
	default:
		w.say("The customer (AWS account %s) makes a bucket and a role that trusts nobody yet:", customerAccount)
		w.showJSON(json.RawMessage(first))
	}
	permissions, err := customerPermissions()
	if err != nil {
		return err
	}
	if _, err := w.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{
		RoleName: aws.String(customerRole), PolicyName: aws.String("s3-sink"), PolicyDocument: &permissions,
	}); err != nil {
		return err
	}
	_, err = w.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)})
	if _, have := errors.AsType[*s3types.BucketAlreadyOwnedByYou](err); have {
		return nil
	}
	return err
}

const customerRoleARN = "arn:aws:iam::" + customerAccount + ":role/" + customerRole

func (w *walk) createIntegration(ctx context.Context) error {
	w.say("The customer's administrator creates the integration: POST /pim/v2/integrations")
	made, err := w.api.Create(ctx, wire.IntegrationRequestV2{
		DisplayName: "orders to S3", Provider: "AWS", Environment: wire.ReferenceRequest{ID: environment},
		Config: &wire.ConfigRequest{Kind: string(integration.KindAWS), CustomerIAMRoleARN: customerRoleARN},
	})
	if client.Code(err) == integration.CodeExists {
		w.show("(it is there since a walk that was interrupted)")
		made, err = w.madeBefore(ctx)
	}
	if err != nil {
		return err
	}
	w.id, w.memory.Integration = made.ID, made.ID
	var table strings.Builder
	cells := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintf(cells, "ID\t%s\nName\t%s\nIAM Role ARN\t%s\nExternal ID\t%s\nCustomer Role ARN\t%s\n",
		made.ID, made.DisplayName, made.Config.Platform(), *made.Config.ExternalID, made.Config.Customer())
	_ = cells.Flush() // into a string
	w.show(table.String())
	return w.folder.remember(w.memory)
}

// madeBefore finds the integration of the customer's role.
func (w *walk) madeBefore(ctx context.Context) (wire.IntegrationV2, error) {
	all, err := w.api.List(ctx, environment, "")
	for _, i := range all {
		if i.Config.Customer() == customerRoleARN {
			return i, nil
		}
	}
	return wire.IntegrationV2{}, errors.Join(fmt.Errorf("no integration of %s in %s", customerRoleARN, environment), err)
}

// validate asks for a proof of trust and prints the report.
func (w *walk) validate(ctx context.Context) (wire.Validation, error) {
	v, err := w.api.Validate(ctx, w.id, 20*time.Second)
	if err != nil {
		return v, err
	}
	var table strings.Builder
	cells := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	if v.Trust.Report != nil {
		for _, c := range v.Trust.Report.Checks {
			fmt.Fprintf(cells, "%s\t%s\t%s\n", c.Outcome, c.Name, c.Detail)
		}
	}
	_ = cells.Flush()
	w.show(table.String())
	return v, nil
}

func (w *walk) firstProof(ctx context.Context) error {
	if w.again { // the earlier walk may have come to the final policy
		w.say("rolebridge tries the customer's trust policy, as it was left:")
		_, err := w.validate(ctx)
		return err
	}
	w.say("rolebridge tries the customer's trust policy. It still denies everybody:")
	v, err := w.validate(ctx)
	if err == nil && v.Trust.Status == integration.TrustValid {
		err = fmt.Errorf("trust is %s although the role trusts nobody", v.Trust.Status)
	}
	return err
}

func (w *walk) customerTrustsUs(ctx context.Context) error {
	p, err := w.api.Policies(ctx, w.id, nil)
	if err != nil {
		return err
	}
	w.say("The customer pastes the final trust policy, as rolebridge wrote it:")
	w.showJSON(p.FinalTrust)
	_, err = w.iam.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{
		RoleName: aws.String(customerRole), PolicyDocument: aws.String(string(p.FinalTrust)),
	})
	return err
}

func (w *walk) secondProof(ctx context.Context) error {
	w.say("… and asks for the proof again. It includes what must be refused:")
	v, err := w.validate(ctx)
	if err == nil && !v.Credentials.Allowed {
		err = fmt.Errorf("no credentials after the proof: %s", v.Credentials.Reason)
	}
	return err
}

func (w *walk) bindConnector(ctx context.Context) error {
	w.say("A connector is bound. Its token is shown once; only its hash is kept:")
	bound, err := w.api.Bind(ctx, w.id, wire.ConnectorRequest{Connector: connector})
	if client.Code(err) == integration.CodeExists { // by a walk that was interrupted: nobody has its token
		if err = w.api.Unbind(ctx, w.id, connector); err == nil {
			bound, err = w.api.Bind(ctx, w.id, wire.ConnectorRequest{Connector: connector})
		}
	}
	if err != nil {
		return err
	}
	w.show("connector " + bound.Connector + ", token " + bound.Token[:6] + "…")
	w.memory.Token = bound.Token
	return w.folder.remember(w.memory)
}

func (w *walk) showWhatWasKept(ctx context.Context) error {
	var v wire.Validation
	if err := w.until(ctx, "the state", func() (err error) {
		v, err = w.api.Validation(ctx, w.id, 0, 0)
		return err
	}); err != nil {
		return err
	}
	w.say("Everything was kept in %s: integration %s is %s, its trust %s.", w.options.data, w.id, v.Status, v.Trust.Status)
	return nil
}

// sinkWrites starts the connector with nothing but the environment of its runtime, gives it records, and reads the
// object with the customer's own credentials.
func (w *walk) sinkWrites(ctx context.Context) error {
	for name, value := range map[string]string{
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": w.credentialsURL(), "AWS_CONTAINER_AUTHORIZATION_TOKEN": w.memory.Token,
		"AWS_ENDPOINT_URL": w.aws.Endpoint(), "AWS_REGION": region, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	connector, err := openSink(ctx, w.kafka.ListenAddrs(), "connect-"+connector, ordersTopic, bucket, "topics/", w.log, w.written)
	if err != nil {
		return err
	}
	w.say("An S3 sink reads topic %q and writes objects, with the AWS SDK's default credentials chain:", ordersTopic)
	w.connectors.Go(func() error { return connector.run(ctx) })
	if err := w.produce(ctx); err != nil {
		return err
	}
	var object string
	select {
	case object = <-w.written:
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(30 * time.Second):
		return fmt.Errorf("the sink has written nothing for 30 s; see the log")
	}
	got, err := w.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: &object})
	if err != nil {
		return err
	}
	defer func() { _ = got.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(got.Body, 1<<16))
	if err != nil {
		return err
	}
	w.say("Written: s3://%s/%s", bucket, object)
	w.show(string(text))
	return nil
}

func (w *walk) produce(ctx context.Context) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.kafka.ListenAddrs()...), kgo.DefaultProduceTopic(ordersTopic))
	if err != nil {
		return err
	}
	defer cl.Close()
	var orders []*kgo.Record
	for n, item := range []string{"a chair", "a table", "a lamp"} {
		orders = append(orders, kgo.KeySliceRecord(fmt.Append(nil, "order-", n+1), fmt.Appendf(nil, `{"item":%q}`, item)))
	}
	return cl.ProduceSync(ctx, orders...).FirstErr()
}

func (w *walk) whatNext() error {
	if err := w.envFile(); err != nil {
		return err
	}
	w.say("Done. Next, in another terminal:")
	source := w.options.env
	if !strings.Contains(source, "/") {
		source = "./" + source
	}
	w.show(fmt.Sprintf(`source %s
aws s3 ls s3://$DEVSTACK_BUCKET/topics/                     # an unmodified client with brokered credentials
curl -s -u $ROLEBRIDGE_KEY:$ROLEBRIDGE_SECRET "$ROLEBRIDGE_URL/pim/v1/integrations?environment=$ROLEBRIDGE_ENVIRONMENT"
make build && bin/rolebridge provider-integration list
echo '{"item":"a sofa"}' | kcat -b $KAFKA_BROKERS -t %s -P     # the sink writes another object
echo '{"specversion":"1.0","id":"try-1","source":"/me","type":"integration.validate","organization":"%s","actor":"%s","data":{"integration":"%s"}}' |
  kcat -b $KAFKA_BROKERS -t %scommands -P -H content-type=application/cloudevents+json     # a command, from any Kafka client
kcat -b $KAFKA_BROKERS -t %sevents -C -e -f '%%h\n%%s\n\n'        # every decision, the answer to try-1 among them
aws --profile customer iam get-role --role-name `+customerRole+`     # what the customer sees; edit the policy and validate again
curl -s $DEVSTACK_METRICS | grep rolebridge_broker_reads_total`, source, ordersTopic, organization, administrator, w.memory.Integration, topics().Prefix, topics().Prefix))
	if !w.options.noStay {
		fmt.Fprintln(w.out, "It stays up; Ctrl-C stops it.")
	}
	return nil
}
