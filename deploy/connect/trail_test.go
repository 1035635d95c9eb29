package connect_test

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// trail stands before an AWS and writes down who asks for what, as CloudTrail does: the session that signed a request, known
// from the answer to the AssumeRole that made it.
type trail struct {
	url string

	mu       sync.Mutex
	sessions map[string]string          // ARNs by access key
	used     map[string]map[string]bool // by bucket or table: the ARNs of those who used it
	stsAway  bool
}

func newTrail(t *testing.T, endpoint string) *trail {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	tr := &trail{sessions: map[string]string{}, used: map[string]map[string]bool{}}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // which is signed
		},
		ModifyResponse: tr.learn,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !tr.pass(r) {
			http.Error(w, "STS is away", http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	tr.url = server.URL
	return tr
}

var (
	signature  = regexp.MustCompile(`Credential=([^/]+)/\d+/[^/]+/(\w+)/aws4_request`)
	assumedKey = regexp.MustCompile(`<AccessKeyId>([^<]+)</AccessKeyId>`)
	assumedARN = regexp.MustCompile(`<Arn>([^<]+)</Arn>`)
	tableName  = regexp.MustCompile(`"TableName"\s*:\s*"([^"]+)"`)
)

// pass notes a request; false when it may not go on.
func (t *trail) pass(r *http.Request) bool {
	signed := signature.FindStringSubmatch(r.Header.Get("Authorization"))
	if signed == nil {
		return true
	}
	resource := ""
	switch signed[2] {
	case "s3":
		resource, _, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	case "dynamodb":
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return false
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if name := tableName.FindSubmatch(body); name != nil {
			resource = string(name[1])
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if resource != "" {
		if t.used[resource] == nil {
			t.used[resource] = map[string]bool{}
		}
		who, ok := t.sessions[signed[1]]
		if !ok {
			who = signed[1]
		}
		t.used[resource][who] = true
	}
	return signed[2] != "sts" || !t.stsAway
}

// learn reads which session an access key is of.
func (t *trail) learn(r *http.Response) error {
	if !strings.Contains(r.Request.Header.Get("Authorization"), "/sts/aws4_request") {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	key, arn := assumedKey.FindSubmatch(body), assumedARN.FindSubmatch(body)
	if key != nil && arn != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.sessions[string(key[1])] = string(arn[1])
	}
	return nil
}

// setSTS makes STS answer, or not.
func (t *trail) setSTS(away bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stsAway = away
}

// users are who used a bucket or table, but for its owner, who has the account's id as key.
func (t *trail) users(resource, owner string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	users := maps.Clone(t.used[resource])
	delete(users, owner)
	return slices.Sorted(maps.Keys(users))
}
