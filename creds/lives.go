//go:build !compressed

package creds

// compressed is for bench/fleet.go alone; see lives_compressed.go.
const compressed = 1
