// Package plural writes numbers of things for people: "1 worker", "3 workers".
//
// It knows the plain plural alone, which is all that our words for things need.
package plural

import "fmt"

// Of is n things: thing is the word for one, in its singular.
func Of[N int | int32 | int64](n N, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
