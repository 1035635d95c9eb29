package testenv

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// ForgetfulKafka is a private broker that does not ask a transaction's coordinator whether it knows of a partition, so
// that [KafkaServer.Hang] can write to one behind its back.
func ForgetfulKafka(t testing.TB) *KafkaServer {
	t.Helper()
	return OwnKafka(t, KafkaProperty("transaction.partition.verification.enable", "false"))
}

// Hang writes a record in a producer's running transaction without telling the transaction's coordinator. When the
// transaction is ended, no marker is written for that partition: it hangs. The broker must be a [ForgetfulKafka].
func (k *KafkaServer) Hang(t testing.TB, producer int64, epoch int16, r *kgo.Record) {
	t.Helper()
	// Later versions of a produce request tell the coordinator.
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.Brokers()...), kgo.MaxVersions(kversion.V3_8_0()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	partition := kmsg.NewProduceRequestTopicPartition()
	partition.Partition, partition.Records = r.Partition, transactionalBatch(producer, epoch, r)
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic, topic.Partitions = r.Topic, append(topic.Partitions, partition)
	req := kmsg.NewPtrProduceRequest()
	req.TransactionID, req.Acks, req.TimeoutMillis = new("hang"), -1, 10_000
	req.Topics = append(req.Topics, topic)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	answer, err := cl.Broker(1).RetriableRequest(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	produced, ok := answer.(*kmsg.ProduceResponse)
	if !ok || len(produced.Topics) != 1 || len(produced.Topics[0].Partitions) != 1 {
		t.Fatalf("unexpected answer to a produce request: %+v", answer)
	}
	if err := kerr.ErrorForCode(produced.Topics[0].Partitions[0].ErrorCode); err != nil {
		t.Fatalf("write in secret to %s/%d: %v", r.Topic, r.Partition, err)
	}
}

// transactionalBatch encodes one record as the first of a producer in a partition (Kafka's record batch, version 2).
func transactionalBatch(producer int64, epoch int16, r *kgo.Record) []byte {
	record := kmsg.Record{Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		record.Headers = append(record.Headers, kmsg.Header{Key: h.Key, Value: h.Value})
	}
	unsized := len(record.AppendTo(nil))
	record.Length = int32(unsized - 1) //nolint:gosec // without its own length, which is one byte while it is 0
	now := time.Now().UnixMilli()
	batch := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, Attributes: 1 << 4, // transactional
		FirstTimestamp: now, MaxTimestamp: now, ProducerID: producer, ProducerEpoch: epoch,
		NumRecords: 1, Records: record.AppendTo(nil),
	}
	raw := batch.AppendTo(nil)
	const lengthAt, crcAt, checkedFrom = 8, 17, 21
	binary.BigEndian.PutUint32(raw[lengthAt:], uint32(len(raw)-12)) //nolint:gosec // some hundred bytes
	binary.BigEndian.PutUint32(raw[crcAt:], crc32.Checksum(raw[checkedFrom:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}
