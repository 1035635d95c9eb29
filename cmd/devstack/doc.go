// Command devstack is all of rolebridge in one process, with nothing installed but Go: the first look, demonstrations,
// and a platform to try clients against.
//
// It is not for production: Kafka, Redis and AWS are stand-ins embedded in the process (kfake, miniredis, cloud/sandbox),
// and it says so. The roles, however, are the real ones, wired as in cmd/rolebridge, and every step of the walk goes
// the way that a customer's would: commands on Kafka, REST, and an S3 sink whose credentials come from the AWS SDK's
// default chain.
//
// The life of a devstack: the stand-ins start (stack.go), then the roles; the walk (walk.go) leads one integration from
// its creation to an object in a bucket and prints each step; then it stays up, for whoever sources the file that it
// wrote. With a data folder everything is still there after a restart.
package main
