package api_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/integration"
)

const (
	lint     = "/rolebridge/v1/policies:lint"
	platform = "arn:aws:iam::111122223333:role/cspi-12345"
)

func linted(t *testing.T, s *apitest.Site, r wire.LintRequest) wire.Lint {
	t.Helper()
	body, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var l wire.Lint
	request(t, s, apitest.Assigner, http.MethodPost, lint, string(body)).into(t, http.StatusOK, &l)
	return l
}

// inJSON is a text as a string of JSON.
func inJSON(t *testing.T, text string) string {
	t.Helper()
	out, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestAPolicyIsLintedWithoutAskingAnybody(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	sent := len(s.Sent())
	final, err := policy.FinalTrust(platform, "an-id")
	if err != nil {
		t.Fatal(err)
	}
	expected := wire.LintRequest{Policy: final.JSON(), Principal: platform, ExternalIDs: []string{"an-id"}, CustomerRoleARN: roleARN}
	if l := linted(t, s, expected); l.Worst != "" || len(l.Findings) != 0 || l.Mended != nil {
		t.Errorf("the final policy: got %+v", l)
	}
	// As a string, with the places in its text and both of two keys.
	text := "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": {\"Effect\": \"Allow\", \"Effect\": \"Deny\"}}"
	twice := linted(t, s, wire.LintRequest{Policy: json.RawMessage(inJSON(t, text))})
	at := slices.IndexFunc(twice.Findings, func(f policy.Finding) bool { return f.Code == policy.CodeDuplicate })
	if twice.Worst != "error" || at < 0 || twice.Findings[at].Line != 3 || twice.Findings[at].Pointer != "/Statement/Effect" {
		t.Errorf("a key that stands twice: got %+v", twice)
	}
	expected.Policy = json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}}`)
	wide := linted(t, s, expected)
	if wide.Worst != "error" || wide.Mended == nil {
		t.Fatalf("everybody: got %+v, want it mended", wide)
	}
	expected.Policy = wide.Mended
	if l := linted(t, s, expected); len(l.Findings) != 0 {
		t.Errorf("what was mended: got %+v", l)
	}
	kinds := linted(t, s, wire.LintRequest{Kind: "identity", Policy: json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)})
	if kinds.Worst != "warning" {
		t.Errorf("an identity policy: got %+v", kinds)
	}
	if len(s.Sent()) != sent {
		t.Error("a command was sent")
	}
}

// Whatever is pasted: a finding, or a 4xx with the place.
func TestABadPolicyIsAFindingOrRefusedWithThePlace(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	quoted := func(text string) string { return inJSON(t, text) }
	statement := `{"Effect":"Allow","Principal":{"AWS":"` + platform + `"},"Action":"sts:AssumeRole"}`
	for name, c := range map[string]struct {
		policy string
		want   policy.Code
	}{
		"over 2,048 characters":  {quoted(`{"Version":"2012-10-17","Statement":[` + strings.Repeat(statement+",", 25) + statement + `]}`), policy.CodeQuota},
		"over 10,240 characters": {quoted(`{"Version":"2012-10-17","Statement":[` + strings.Repeat(statement+",", 125) + statement + `]}`), policy.CodeTooLarge},
		"over 131,072 bytes":     {quoted(strings.Repeat(" ", 140_000)), policy.CodeTooLarge},
		"deep nesting":           {quoted(strings.Repeat(`{"Statement":[`, 3000)), policy.CodeDepth},
		"deep nesting, raw":      {strings.Repeat("[", 3000) + strings.Repeat("]", 3000), policy.CodeDepth},
		"wrong types":            {`{"Version":1,"Statement":[{"Effect":true,"Principal":[],"Action":{}}]}`, policy.CodeWrongType},
		"a number":               {`7`, policy.CodeWrongType},
		"null":                   {`null`, policy.CodeWrongType},
		"text that is no JSON":   {quoted(`{"Version":`), policy.CodeSyntax},
		"nothing":                {quoted(``), policy.CodeSyntax},
	} {
		var l wire.Lint
		request(t, s, apitest.Admin, http.MethodPost, lint, `{"policy":`+c.policy+`}`).into(t, http.StatusOK, &l)
		if !slices.ContainsFunc(l.Findings, func(f policy.Finding) bool { return f.Code == c.want }) {
			t.Errorf("%s: got %+v, want %s", name, l.Findings, c.want)
		}
	}
	for name, c := range map[string]struct {
		body    string
		status  int
		code    integration.Code
		pointer string
	}{
		"no policy":        {`{}`, 400, "invalid_request", "/policy"},
		"an unknown kind":  {`{"policy":{},"kind":"trusty"}`, 400, "invalid_request", "/kind"},
		"three IDs":        {`{"policy":{},"external_ids":["a","b","c"]}`, 400, "invalid_request", "/external_ids"},
		"no JSON":          {`{"policy":`, 400, "invalid_request", ""},
		"1 MB":             {`{"policy":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "request_too_large", ""},
		"too deep to read": {`{"policy":` + strings.Repeat("[", 90_000) + strings.Repeat("]", 90_000) + `}`, 400, "invalid_request", ""},
	} {
		f := request(t, s, apitest.Admin, http.MethodPost, lint, c.body).refused(t, c.status, c.code)
		if c.pointer != "" && (f.Source == nil || f.Source.Pointer != c.pointer) {
			t.Errorf("%s: got %+v, want %s", name, f.Source, c.pointer)
		}
	}
	// What is not UTF-8 in a body of JSON is refused, or read as the character that stands for it; never taken as it is.
	var l wire.Lint
	if got := request(t, s, apitest.Admin, http.MethodPost, lint, "{\"policy\":\"\xff\xfe\"}"); got.status == http.StatusOK {
		got.into(t, http.StatusOK, &l)
		if l.Worst != "error" {
			t.Errorf("invalid UTF-8: got %+v", l)
		}
	} else if got.status != http.StatusBadRequest {
		t.Errorf("invalid UTF-8: got %d %s", got.status, got.body)
	}
	request(t, s, "", http.MethodPost, lint, `{"policy":{}}`).refused(t, http.StatusUnauthorized, integration.CodeUnauthenticated)
}
