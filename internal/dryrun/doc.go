// Package dryrun lets the api have a proof of trust made of a configuration that is not saved.
//
// A proof needs the validator's identity at AWS, which may become every platform role. The process that faces the
// internet does not get it: the api asks a trust worker, over HTTP inside the installation, and only shows the report.
// Nothing goes over Kafka, since nothing is decided: no command, no event, no state.
//
// The life of a dry run: the api makes a [Claim] of an integration and a configuration and asks a [Prover]. In a process
// of both roles that is the trust worker itself, else a [Client]; at the other end a [Server] checks the token and asks
// the worker. On both ways one [Bounded] limits how many run at a time, and the time that the api has goes with the claim.
package dryrun
