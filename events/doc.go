// Package events is the contract on Kafka: which topics there are, how a record is read and written, and the replica
// of the state that readers hold in memory.
//
// It is not a decider: what a command means stands in package integration. Nor is it a client library for others: they
// need no more than CloudEvents, the JSON Schemas (schemas/, all in one in schemas.json) and asyncapi.yaml, and
// docs/COMMANDS.md tells them how.
//
// The life of a record: a [Codec] reads it as a CloudEvent (binary or structured), checks its data against the JSON
// Schema of its type and makes a typed command, result or event of it. What cannot be read becomes a [DeadLetter] with
// the reason and its origin, and the partition goes on. What the decider wrote to the compacted state topic (keys and
// values in stored.go) is read by [Replay] up to the high watermark, and followed by a [Table].
//
// One organization lives on one partition, the same number on every topic: [Topics.Home] says which.
package events
