package dryrun

// ReadAnswer is for the fuzzer.
var ReadAnswer = read
