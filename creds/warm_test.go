package creds_test

import (
	"net/http"
	"testing"

	"github.com/rolebridge/rolebridge/creds"
)

func TestAWarmReadAllocatesNothing(t *testing.T) {
	w := newWorld(t)
	b := w.broker(t)
	tokens := w.connectors(50)
	for query, most := range map[string]float64{
		"":                0,
		"?format=process": 2, // the query is read anew each time
	} {
		requests := make([]*http.Request, len(tokens))
		answer := &discard{header: http.Header{}}
		for n := range requests {
			requests[n] = request(t, "http://broker"+creds.Path+query, tokens[n].Reveal())
			for b.Handler().ServeHTTP(answer, requests[n]); answer.status != http.StatusOK; {
				b.Handler().ServeHTTP(answer, requests[n])
			}
		}
		n, handler := 0, b.Handler()
		got := testing.AllocsPerRun(5000, func() {
			handler.ServeHTTP(answer, requests[n%len(requests)])
			n++
		})
		if got > most || answer.status != http.StatusOK {
			t.Errorf("%q: a warm read allocates %v times and answers %d, want at most %v and 200", query, got, answer.status, most)
		}
		t.Logf("%q: %v allocations", query, got)
	}
}
