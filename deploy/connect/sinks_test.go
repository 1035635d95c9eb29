package connect_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/cloud/aws/awstest"
)

func TestTheProviderPassesItsOwnTests(t *testing.T) {
	buildProvider(t)
}

// Lives of sessions as they are told, so short that each SDK has to ask several times during an outage. Java's profile asks
// 15 s before the end of a credential_process's session; our class drops a session a minute before its end.
const (
	processLife  = 20 * time.Second
	providerLife = 75 * time.Second
	outage       = 25 * time.Second
)

// Three connectors of three integrations in one worker: Camel's sinks to S3 and to DynamoDB, each with a profile that has a
// credential_process, and Iceberg's sink, which writes files to S3 and its catalog to DynamoDB and takes our class. First the broker is away, then it is back
// without a memory and STS is away, each for longer than a session is told to live.
func TestSinksRunThroughAnOutage(t *testing.T) {
	s := newSite(t)
	bucket, lake := "orders-"+s.account, "lake-"+s.account
	objects := s.bind("cspi-orders", "s3-sink", processLife, allow("s3:*", "arn:aws:s3:::"+bucket, "arn:aws:s3:::"+bucket+"/*"))
	tables := s.bind("cspi-lake", "iceberg-sink", providerLife,
		allow("*", "arn:aws:s3:::"+lake, "arn:aws:s3:::"+lake+"/*", "arn:aws:dynamodb:*:*:table/catalog", "arn:aws:dynamodb:*:*:table/catalog/*"))
	items := s.bind("cspi-items", "dynamodb-sink", processLife, allow("dynamodb:*", "arn:aws:dynamodb:*:*:table/orders"))
	s.table(items.account, "orders")
	s.bucket(objects.account, bucket)
	s.bucket(tables.account, lake)
	s.startBroker()

	var profiles strings.Builder
	for name, c := range map[string]connector{"s3-sink": objects, "dynamodb-sink": items} {
		fmt.Fprintf(&profiles, "[profile %s]\ncredential_process = %s credentials --patience 4m --url %s --token-file %s\n",
			name, s.rolebridge(), s.url(), c.tokenFile)
	}
	w := s.startWorker(profiles.String())
	orders, control := w.topics+"orders", w.topics+"control"
	w.makeTopics(orders, control)
	w.put("s3-sink", s.camelToS3(orders, bucket))
	w.put("dynamodb-sink", s.camelToDynamoDB(orders, "orders"))
	w.put("iceberg-sink", s.iceberg(orders, control, lake, tables.tokenFile))

	w.wantNoToken("s3-sink", objects)
	w.wantNoToken("dynamodb-sink", items)
	w.wantNoToken("iceberg-sink", tables)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sent, finish := w.produce(ctx, orders)
	s.eventually("all sinks write", func() bool {
		w.wantAlive("s3-sink", "dynamodb-sink", "iceberg-sink")
		return s.objects(objects.account, bucket) > 0 && s.items(items.account, "orders") > 0 && s.rows(tables.account, lake) > 0
	})

	before := sent.Load()
	s.stop()
	s.pass(outage)
	s.trail.setSTS(true)
	s.startBroker()
	s.pass(outage)
	if s.unanswered() == 0 {
		t.Error("nobody asked for a session while STS was away: the outage was too short to show anything")
	}
	s.trail.setSTS(false)
	during := sent.Load() - before
	cancel()
	all := finish()
	if during < 50 {
		t.Fatalf("%d records were sent during the outage: too few to lose any", during)
	}

	s.eventually("no record is lost", func() bool {
		w.wantAlive("s3-sink", "dynamodb-sink", "iceberg-sink")
		return s.objects(objects.account, bucket) >= all && s.items(items.account, "orders") >= all && s.rows(tables.account, lake) >= all
	})
	if got := s.rows(tables.account, lake); got != all {
		t.Errorf("the table has %d rows, want each of %d records once", got, all)
	}
	for resource, c := range map[string]connector{bucket: objects, "orders": items, lake: tables, "catalog": tables} {
		if got := s.trail.users(resource, c.account); !slices.Equal(got, []string{c.session}) {
			t.Errorf("AWS saw %q use %s, want %s alone", got, resource, c.session)
		}
	}
}

// allow is a policy document.
func allow(actions string, resources ...string) string {
	list := `"` + strings.Join(resources, `","`) + `"`
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":%q,"Resource":[%s]}}`, actions, list)
}

func (s *site) camelToS3(topic, bucket string) map[string]string {
	return map[string]string{
		"connector.class": "org.apache.camel.kafkaconnector.CamelSinkConnector", "tasks.max": "1", "topics": topic,
		// The connector is older than these components; only this setting keeps it from calling what they no longer have.
		"camel.error.handler": "no",
		"camel.sink.url": "aws2-s3://" + bucket + "?useProfileCredentialsProvider=true&profileCredentialsName=s3-sink&region=" + awstest.Region +
			"&overrideEndpoint=true&uriEndpointOverride=" + s.aws + "&forcePathStyle=true",
	}
}

// camelToDynamoDB makes an item of each record's JSON, by Camel's kamelet.
func (s *site) camelToDynamoDB(topic, table string) map[string]string {
	return map[string]string{
		"connector.class": "org.apache.camel.kafkaconnector.CamelSinkConnector", "tasks.max": "1", "topics": topic,
		"camel.error.handler": "no",
		"camel.sink.url": "kamelet:aws-ddb-sink?table=" + table + "&region=" + awstest.Region +
			"&useProfileCredentialsProvider=true&profileCredentialsName=dynamodb-sink&overrideEndpoint=true&uriEndpointOverride=" + s.aws,
	}
}

func (s *site) iceberg(topic, control, bucket, tokenFile string) map[string]string {
	config := map[string]string{
		"connector.class": "org.apache.iceberg.connect.IcebergSinkConnector", "tasks.max": "1", "topics": topic,
		"value.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter.schemas.enable": "false",
		"iceberg.tables": "shop.orders", "iceberg.tables.auto-create-enabled": "true",
		"iceberg.control.topic": control, "iceberg.control.commit.interval-ms": "2000", "iceberg.control.commit.timeout-ms": "60000",
	}
	for name, value := range map[string]string{
		"catalog-impl": "org.apache.iceberg.aws.dynamodb.DynamoDbCatalog", "dynamodb.table-name": "catalog", "dynamodb.endpoint": s.aws,
		"io-impl": "org.apache.iceberg.aws.s3.S3FileIO", "warehouse": "s3://" + bucket + "/warehouse", "s3.endpoint": s.aws,
		"s3.path-style-access": "true", "client.region": awstest.Region, "http-client.type": "urlconnection",
		"client.credentials-provider":                       "io.github.rolebridge.aws.RolebridgeCredentialsProvider",
		"client.credentials-provider.rolebridge.url":        s.url(),
		"client.credentials-provider.rolebridge.token.file": tokenFile,
	} {
		config["iceberg.catalog."+name] = value
	}
	return config
}

func (w *worker) makeTopics(names ...string) {
	w.site.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.kafka...))
	w.site.must(err)
	defer cl.Close()
	made, err := kadm.NewClient(cl).CreateTopics(w.site.t.Context(), 1, 1, nil, names...)
	w.site.must(err)
	w.site.must(made.Error())
}

// produce sends a record every 50 ms until ctx ends. finish waits until all are acknowledged and tells how many there are.
func (w *worker) produce(ctx context.Context, topic string) (sent *atomic.Int64, finish func() int) {
	w.site.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.kafka...), kgo.DefaultProduceTopic(topic))
	w.site.must(err)
	sent = &atomic.Int64{}
	done := make(chan error, 1)
	go func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				done <- cl.Flush(context.WithoutCancel(ctx))
				return
			case <-tick.C:
				id := fmt.Sprintf("order-%06d", sent.Add(1))
				cl.Produce(context.WithoutCancel(ctx), &kgo.Record{
					Key: []byte(id), Value: fmt.Appendf(nil, `{"id":%q,"amount":%d}`, id, sent.Load()),
					Headers: []kgo.RecordHeader{{Key: "CamelHeader.CamelAwsS3Key", Value: []byte(id)}}, // the object's name
				}, nil)
			}
		}
	}()
	return sent, func() int {
		w.site.must(<-done)
		cl.Close()
		return int(sent.Load())
	}
}

// pass lets time go by: an outage is nothing else.
func (s *site) pass(d time.Duration) {
	s.t.Helper()
	select {
	case <-time.After(d):
	case <-s.t.Context().Done():
		s.t.Fatal("the test ends")
	}
}

// s3 is a client of an account's owner.
func (s *site) s3(account string) *s3.Client {
	return s3.New(s3.Options{
		Region: awstest.Region, BaseEndpoint: &s.aws, UsePathStyle: true, Credentials: awstest.Static(account, "test"),
	})
}

func (s *site) bucket(account, name string) {
	s.t.Helper()
	_, err := s.s3(account).CreateBucket(s.t.Context(), &s3.CreateBucketInput{
		Bucket: &name, CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: awstest.Region},
	})
	s.must(err)
}

func (s *site) dynamodb(account string) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{Region: awstest.Region, BaseEndpoint: &s.aws, Credentials: awstest.Static(account, "test")})
}

// table makes one whose key is a record's id.
func (s *site) table(account, name string) {
	s.t.Helper()
	_, err := s.dynamodb(account).CreateTable(s.t.Context(), &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: ddb.BillingModePayPerRequest,
		AttributeDefinitions: []ddb.AttributeDefinition{{AttributeName: sdk.String("id"), AttributeType: ddb.ScalarAttributeTypeS}},
		KeySchema:            []ddb.KeySchemaElement{{AttributeName: sdk.String("id"), KeyType: ddb.KeyTypeHash}},
	})
	s.must(err)
}

// items counts the items of a table, each of which has a record's amount.
func (s *site) items(account, name string) (n int) {
	s.t.Helper()
	pages := dynamodb.NewScanPaginator(s.dynamodb(account), &dynamodb.ScanInput{TableName: &name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(s.t.Context())
		s.must(err)
		for _, item := range page.Items {
			if item["amount"] != nil {
				n++
			}
		}
	}
	return n
}

// list is the objects of a bucket.
func (s *site) list(account, bucket string) []string {
	s.t.Helper()
	var keys []string
	pages := s3.NewListObjectsV2Paginator(s.s3(account), &s3.ListObjectsV2Input{Bucket: &bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(s.t.Context())
		s.must(err)
		for _, o := range page.Contents {
			keys = append(keys, *o.Key)
		}
	}
	return keys
}

// objects counts the records that have an object.
func (s *site) objects(account, bucket string) int {
	s.t.Helper()
	return len(s.list(account, bucket))
}

// rows counts the rows of the table's current snapshot, as its newest metadata says.
func (s *site) rows(account, bucket string) int {
	s.t.Helper()
	newest := ""
	for _, key := range s.list(account, bucket) {
		if strings.HasSuffix(key, ".metadata.json") && key > newest { // they are numbered from the left
			newest = key
		}
	}
	if newest == "" {
		return 0
	}
	object, err := s.s3(account).GetObject(s.t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: sdk.String(newest)})
	s.must(err)
	raw, err := io.ReadAll(object.Body)
	s.must(err)
	var metadata struct {
		Current   int64 `json:"current-snapshot-id"`
		Snapshots []struct {
			ID      int64             `json:"snapshot-id"`
			Summary map[string]string `json:"summary"`
		} `json:"snapshots"`
	}
	s.must(json.Unmarshal(raw, &metadata))
	for _, snapshot := range metadata.Snapshots {
		if snapshot.ID == metadata.Current {
			total, err := strconv.Atoi(snapshot.Summary["total-records"])
			s.must(err)
			return total
		}
	}
	return 0
}
