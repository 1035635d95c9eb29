// Package local runs the tests' servers as processes of this machine: Apache Kafka, Redis, MiniStack and moto, on free
// ports of 127.0.0.1, with settings for one node and short waits.
//
// It is not for production: nothing is replicated, tuned or secured.
//
// The life of a server: New… installs what is missing (see provision), reserves ports and prepares a folder; Start
// returns when the server answers. Kill and Stop end it, and a later Start finds its data and its port again. Close ends
// it for good. The folder belongs to the caller. Safe for concurrent use, though starting twice is an error.
package local
