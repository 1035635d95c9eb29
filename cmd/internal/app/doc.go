// Package app puts the parts of rolebridge together into one process that plays some roles.
//
// It holds no rule and no protocol: each part does its work in a package of its own and is only given here what it
// needs. It is shared by cmd/rolebridge, where every role may have a process of its own, and by cmd/devstack, where all
// of them share one.
//
// The life of a process: [New] checks the settings and builds the parts, which starts nothing. [App.Run] makes sure
// that the topics are there, starts every part and waits. The first part that fails stops all others, and the process
// should exit and be restarted: everything is restored from Kafka. A stop has an order: first not ready, then the
// listeners drain, then workers end their transactions, then clients close; all within one budget.
package app
