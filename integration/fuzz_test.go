package integration_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/integration"
)

// FuzzACustomersIdentity: whatever is given as an identity, a refusal has a code and says where, and a role that is taken is
// nothing but its parts.
func FuzzACustomersIdentity(f *testing.F) {
	for _, seed := range []string{
		"", "arn:aws:iam::000000000000:role/r", "arn:aws-cn:iam::000000000000:role/a/b/r", "arn:aws:iam::000000000000:role/*", "arn:aws:iam::1:role/r",
		"name@project.iam.gserviceaccount.com", "00000000-0000-0000-0000-000000000000", "\x00", "arn:aws:iam::000000000000:role//r", "é",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, kind := range []integration.Kind{integration.KindAWS, integration.KindGCP, integration.KindAzure, integration.Kind(text)} {
			refused := integration.Config{Kind: kind, Customer: text}.Check("/config")
			if refused != nil && (refused.Code != integration.CodeInvalid || !strings.HasPrefix(refused.Field, "/config") || len(refused.Message) > 4096+len(text)) {
				t.Fatalf("%s %q: %+v", kind, text, refused)
			}
		}
		arn, ok := integration.ParseRoleARN(text)
		if whole := "arn:" + arn.Partition + ":iam::" + arn.Account + ":role" + arn.Path + arn.Name; ok && whole != text {
			t.Fatalf("%q reads as %+v, which is %q", text, arn, whole)
		}
	})
}

// FuzzAWorkload: a workload identity is refused with a code at its place, or bound as it was given: one line of text, within its
// bounds, of an issuer that can be asked over https alone.
func FuzzAWorkload(f *testing.F) {
	for _, w := range []integration.Workload{
		{},
		github, spire,
		{OIDC: github.OIDC, SPIFFE: spire.SPIFFE},
		{SPIFFE: "spiffe://a/../b"},
		{SPIFFE: "spiffe://a"},
		{SPIFFE: "SPIFFE://a/b"},
		{SPIFFE: "spiffe://a/b?c"},
		{OIDC: integration.OIDC{Issuer: "https://u:p@h", Audience: "a", Subject: "s"}},
		{OIDC: integration.OIDC{Issuer: "https://h/%zz", Audience: "a", Subject: "s"}},
		{OIDC: integration.OIDC{Issuer: "https://h:1:2", Audience: " a", Subject: "\x00"}},
		{OIDC: integration.OIDC{Issuer: "https://[::1", Audience: strings.Repeat("a", 257), Subject: "s"}},
	} {
		f.Add(w.OIDC.Issuer, w.OIDC.Audience, w.OIDC.Subject, w.SPIFFE)
	}
	w := newWorld(f)
	id := w.create(roleA)
	f.Fuzz(func(t *testing.T, issuer, audience, subject, spiffe string) {
		given := integration.Workload{OIDC: integration.OIDC{Issuer: issuer, Audience: audience, Subject: subject}, SPIFFE: spiffe}
		events, err := integration.Decide(w.state, integration.Command{
			Source: "test", ID: "fuzz", Organization: org, Actor: admin, Digest: "d",
			Ask: integration.Bind{Integration: id, Connector: "lcc-1", Terms: integration.Terms{Workloads: []integration.Workload{given}}},
		}, w.inputs())
		if err != nil {
			t.Fatal(err)
		}
		if refused, ok := events[0].Fact.(integration.Refused); ok {
			if refused.Code != integration.CodeInvalid || !strings.HasPrefix(refused.Field, "/workloads/0") || len(refused.Message) > 1000 {
				t.Fatalf("%+v: %+v", given, refused)
			}
			return
		}
		for _, text := range []string{issuer, audience, subject, spiffe} {
			if len(text) > 2048 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("%+v was bound", given)
			}
		}
		if u, err := url.Parse(issuer + spiffe); err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Host == "" || u.Scheme != "https" && u.Scheme != "spiffe" {
			t.Fatalf("%+v was bound: %v", given, err)
		}
	})
}
