// Package connect holds what Kafka Connect needs beside rolebridge: a credentials provider in Java for connectors (provider/),
// and the Maven projects of a worker with real sinks, of which the tests here make one.
//
// It is not a program, and nothing of other people's code is in it: Maven fetches that, in the versions that pom.xml pins.
// README.md is the guide for whoever runs Kafka Connect: which way of authentication fits which connector.
//
// The projects are embedded for internal/testenv, which installs their jars once for all checkouts.
package connect

import "embed"

// Projects are pom.xml and those of its modules: all that decides which jars there are.
//
//go:embed pom.xml provider/pom.xml worker/pom.xml camel/pom.xml iceberg/pom.xml
var Projects embed.FS
