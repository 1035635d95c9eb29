// Package testenv gives tests real servers: Apache Kafka, Redis, MiniStack (an AWS that enforces trust policies) and moto
// (an AWS that lets everybody in across accounts).
//
// It is not for production code: only tests, bench and the commands below it import it. Nor does it fake anything: where no
// real server can be had, tests fail with instructions. With -short they are skipped, and that is the only skip.
//
// Kafka, Redis, MiniStack and Moto answer the address of a server that many tests share, so tests keep to names of their
// own (Prefix, Account). OwnKafka and OwnRedis answer a private server that a test may kill, pause and start again.
//
// Where a shared server comes from, the first that answers:
//
//  1. an address in ROLEBRIDGE_TEST_KAFKA, ROLEBRIDGE_TEST_REDIS, ROLEBRIDGE_TEST_MINISTACK or ROLEBRIDGE_TEST_MOTO;
//  2. a container, when a Docker engine answers and has the image or can pull it;
//  3. a process of this machine, installed into a cache folder on first use (package provision).
//
// Private servers are always processes. `make test` starts the shared ones once for all packages and exports their
// addresses (cmd/testservers); a plain `go test` of one package starts what that package asks for. Either way the kernel
// ends them together with the tests.
package testenv
