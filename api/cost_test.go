package api_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// Not parallel: what others allocate would count.
func TestABodyCostsLittleWhateverItHolds(t *testing.T) {
	const most = 16 << 20
	c := apitest.New(t)
	c.Found(t, apitest.OrgA, "u-admin-a")
	keys, err := api.NewKeys(api.Key{ID: apitest.Admin, Organization: apitest.OrgA, Principal: "u-admin-a", Hash: api.HashSecret(secret.New(apitest.Secret))})
	if err != nil {
		t.Fatal(err)
	}
	s, err := api.New(api.Defaults(), c, c, keys, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{one, two, lint, two + ":validate"} {
		for _, size := range []int{190 << 10, 1 << 20} {
			for _, c := range []struct{ open, piece, end string }{
				{`{"policy":[`, `[],`, `0]}`},
				{`{"policy":`, `[`, ``},
				{`{"policy":{`, `"":0,`, `"z":0}}`},
				{`{"policy":"`, `\u00e9`, `"}`},
				{`{"policy":"`, `{\"Statement\":`, `"}`},
				{`{"policy":"`, "\xff", `"}`},
				{`{`, `"x":{},`, `"environment":{"id":"e"}}`},
				{`{"environment":{"id":"`, `x`, `"}}`},
				{``, ` `, `{}`},
			} {
				body := c.open + strings.Repeat(c.piece, size/len(c.piece)) + c.end
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
				r.SetBasicAuth(apitest.Admin, apitest.Secret)
				r.Header.Set("Content-Type", "application/json")
				got := httptest.NewRecorder()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				s.Handler().ServeHTTP(got, r)
				runtime.ReadMemStats(&after)
				if cost := after.TotalAlloc - before.TotalAlloc; cost > most {
					t.Errorf("%s with %d bytes of %s%s: it allocates %d bytes, want %d at most", path, len(body), c.open, c.piece, cost, most)
				}
				if got.Code >= 500 || size > 192<<10 && got.Code != http.StatusRequestEntityTooLarge {
					t.Errorf("%s with %d bytes of %s%s: got %d %.200s", path, len(body), c.open, c.piece, got.Code, got.Body)
				}
			}
		}
	}
}
