package main

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

// termsFlags are the flags of what a connector is bound with, beside its token.
type termsFlags struct {
	resources, oidc, spiffe []string
	sourceIdentity          bool
}

func (f *termsFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.resources, "resource", nil,
		"Narrow the sessions to s3://BUCKET/PREFIX:ACCESS or dynamodb://REGION/TABLE:ACCESS; ACCESS is read, write or read-write.")
	c.Flags().StringArrayVar(&f.oidc, "oidc", nil, "Let a signed token in: issuer=URL,audience=TEXT,subject=TEXT.")
	c.Flags().StringArrayVar(&f.spiffe, "spiffe", nil, "Let a SPIFFE id in: spiffe://TRUST-DOMAIN/PATH.")
	c.Flags().BoolVar(&f.sourceIdentity, "source-identity", false,
		"Set the sessions' source identity to their name; the trust policy has to allow sts:SetSourceIdentity.")
}

func (f *termsFlags) terms() (integration.Terms, error) {
	t := integration.Terms{SourceIdentity: f.sourceIdentity}
	for _, text := range f.resources {
		r, err := parseResource(text)
		if err != nil {
			return t, err
		}
		t.Resources = append(t.Resources, r)
	}
	for _, text := range f.oidc {
		o, err := parseOIDC(text)
		if err != nil {
			return t, err
		}
		t.Workloads = append(t.Workloads, integration.Workload{OIDC: o})
	}
	for _, id := range f.spiffe {
		t.Workloads = append(t.Workloads, integration.Workload{SPIFFE: id})
	}
	return t, nil
}

// parseResource reads the form only; what the names may be is for the server to say.
func parseResource(text string) (r integration.Resource, err error) {
	at := strings.LastIndexByte(text, ':')
	kind, rest, ok := strings.Cut(text[:max(at, 0)], "://")
	first, second, found := strings.Cut(rest, "/")
	access := integration.Access(text[at+1:])
	switch {
	case ok && kind == "s3":
		r.S3 = integration.S3Objects{Bucket: first, Prefix: second, Access: access}
		return r, nil
	case ok && kind == "dynamodb" && found:
		r.DynamoDB = integration.DynamoDBTable{Region: first, Table: second, Access: access}
		return r, nil
	}
	return r, usagef("--resource %s: want s3://BUCKET/PREFIX:ACCESS or dynamodb://REGION/TABLE:ACCESS", text)
}

// resourceText is a resource as parseResource reads it.
func resourceText(r integration.Resource) string {
	if r.S3 != (integration.S3Objects{}) {
		return "s3://" + r.S3.Bucket + "/" + r.S3.Prefix + ":" + string(r.S3.Access)
	}
	return "dynamodb://" + r.DynamoDB.Region + "/" + r.DynamoDB.Table + ":" + string(r.DynamoDB.Access)
}

// parseOIDC reads name=value pairs; a comma that no name follows belongs to the value before it.
func parseOIDC(text string) (o integration.OIDC, err error) {
	fields := map[string]*string{"issuer": &o.Issuer, "audience": &o.Audience, "subject": &o.Subject}
	var into *string
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(part, "=")
		if field, known := fields[name]; ok && known && *field == "" {
			into = field
			*into = value
		} else if into != nil {
			*into += "," + part
		} else {
			break
		}
	}
	if o.Issuer == "" || o.Audience == "" || o.Subject == "" {
		return o, usagef("--oidc %s: want issuer=URL,audience=TEXT,subject=TEXT", text)
	}
	return o, nil
}

// workloadText is a workload as the flags say it.
func workloadText(w integration.Workload) string {
	if w.SPIFFE != "" {
		return w.SPIFFE
	}
	return "issuer=" + w.OIDC.Issuer + ",audience=" + w.OIDC.Audience + ",subject=" + w.OIDC.Subject
}

// tokenLives is when each token ends, for a person.
func tokenLives(tokens []wire.Token) string {
	all := make([]string, 0, len(tokens))
	for _, t := range tokens {
		all = append(all, "added "+when(t.AddedAt)+", ends "+until(t.ExpiresAt))
	}
	return strings.Join(all, "; ")
}

// newest is when the token that was added last ends; zero is never.
func newest(tokens []wire.Token) (end time.Time) {
	if len(tokens) == 0 {
		return end
	}
	return slices.MaxFunc(tokens, func(a, b wire.Token) int { return a.AddedAt.Compare(b.AddedAt) }).ExpiresAt
}

// expiry is now and then some; zero for none.
func expiry(life time.Duration) (at time.Time) {
	if life != 0 {
		at = time.Now().Add(life).UTC().Truncate(time.Second)
	}
	return at
}
