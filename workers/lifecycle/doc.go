// Package lifecycle decides. It is the only writer of the events and state topics, and everything that it writes follows
// from records that it read: commands, results of the workers, and its own reminders that a timer is due.
//
// It is not where the rules are: those are pure functions in package integration. Nor does it speak to clouds.
//
// The life of a command: [Worker.Run] polls records, starts a transaction, and gives each partition's records to a
// batch, which decides them one by one over forks of the organizations' states. What the batch produces (events, one
// state record for each aggregate that changed, receipts, and the partition's cursor) and the group's offsets are
// committed together; only then are the forks merged. A crash at any moment leaves either all of it or nothing.
//
// A partition's state is restored from the state topic whenever the partition is assigned (restore.go). The cursor in
// it, and not the group's committed offset, has the last word on where to go on: a coordinator that forgets offsets
// must not make us decide twice. Transactions that Kafka forgot in a crash are found and ended (sweep.go); what that
// takes back is decided again from the cursor.
//
// Every change of state answers a record that was read. That is what fences a decider which was suspended and has lost
// its partitions: its transaction carries offsets of an old generation and is refused. A timer therefore is written to
// the results topic first (partition.go) and decided when it is read; such a reminder from a stale decider is harmless.
//
// One organization is one partition of all topics. Commands and results of one partition must come to one worker, so
// the group is balanced by range, which gives equal partitions of both topics to the same member.
package lifecycle
