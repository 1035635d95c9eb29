// Package e2e holds no product code: its tests run the program itself, in processes of their own, on a real Kafka and a
// real Redis, and end those processes in the rudest ways.
//
// It is not the place for what one package can show alone. The life of a test: the harness builds the binary once,
// starts servers (internal/testenv) and an enforcing AWS (cloud/sandbox), runs each role under a supervisor that
// restarts it as an orchestrator would, lets foreign clients in (kcat, unmodified AWS SDKs), and reads the topics back
// to count what was decided.
package e2e
