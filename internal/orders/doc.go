// Package orders brings the decider's orders to a worker and the worker's findings back: at least once, in the order of
// each integration, with bounded concurrency.
//
// It is not exactly-once, and need not be. An order carries an attempt number, and the decider takes only the answer to
// the latest attempt: an answer that comes twice, late or from a worker that was thought dead is recognised and dropped.
// What an order asks for may be done twice without harm (a role is named after its integration; a proof only looks). And
// an order that gets no answer is given again when it is due. Transactions would buy nothing for that and would tie the
// side effects, which no transaction covers, to the group's rebalances.
//
// The life of an order: the poll loop reads it from the events topic and puts it into the lane of its integration
// (lanes.go). One that waits is superseded by a newer one; one whose due time is over is left out, because the decider
// has asked again. A free slot handles it; the result is written and acknowledged by all replicas; then its record is
// done. Offsets are committed up to the lowest record of a partition that is not done (progress.go), so a worker that
// dies leaves nothing behind but repetitions.
//
// The group is never kept waiting: between a poll and the next chance to rebalance records are only put into lanes.
// Orders that wait when their partition goes away are forgotten, the next owner has them; those that run are finished.
package orders
