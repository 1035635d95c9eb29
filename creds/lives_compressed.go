//go:build compressed

package creds

// compressed is how many times faster sessions are too old to hand out: with a cloud whose sessions live for a minute, a
// minute of the fleet benchmark is an hour of a fleet. A build tag and not a setting, so that no configuration can make
// a broker hand out what is about to expire.
const compressed = 60
