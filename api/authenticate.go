package api

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/identity"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// caller is who asks, once that is proved.
type caller struct {
	Organization integration.OrganizationID
	Principal    integration.Principal
	Key          string // what the rate is counted for
}

// Tokens verifies tokens of OpenID Connect issuers. An [identity.Verifier] is one.
type Tokens interface {
	Token(ctx context.Context, o integration.OrganizationID, raw string, among []integration.Workload, patience time.Duration) error
}

// WithTokens takes bearer tokens of accounts' identities. Without it only API keys are taken.
func WithTokens(t Tokens) Option { return func(s *Server) { s.tokens = t } }

// headerOrganization says in which organization a bearer token is meant to count.
const headerOrganization = "Rolebridge-Organization"

// patience bounds the wait for an issuer's keys.
const patience = 5 * time.Second

// maxMeant is among how many organizations a token is tried to find the one that it proves an account of.
const maxMeant = 4

// authenticate finds out who asks. What is not known and what is wrong are told apart neither by words nor by time.
func (s *Server) authenticate(r *http.Request) (caller, *failure) {
	if id, text, ok := r.BasicAuth(); ok {
		return s.byKey(id, secret.New(text))
	}
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") && s.tokens != nil {
		return s.byToken(r, strings.TrimSpace(token))
	}
	return caller{}, unauthenticated("Basic", "missing_key", "Send an API key and its secret as HTTP Basic credentials, or a bearer token")
}

// nobody owns a key that nobody has: to look at it takes as long as to look at somebody's.
var nobody = []*integration.Account{{}}

func (s *Server) byKey(id string, text secret.Text) (found caller, refused *failure) {
	refused = unauthenticated("Basic", "invalid_key", "The API key or its secret is invalid")
	fixed, known := s.keys.Key(id)
	sum := HashSecret(text)
	if subtle.ConstantTimeCompare(sum[:], fixed.Hash[:]) == 1 && known {
		found, refused = caller{fixed.Organization, fixed.Principal, "key " + id}, nil
	}
	owners := s.replica.KeyOwners(integration.KeyID(id))
	if len(owners) == 0 {
		owners = nobody
	}
	now := time.Now()
	for _, a := range owners {
		key := a.Keys[integration.KeyID(id)]
		// The proof names organization, account and key, so it is one owner's at most.
		if key.Proves(integration.KeyProof(a.Organization, a.ID, integration.KeyID(id), text.Reveal())) && key.Alive(now) {
			found, refused = caller{a.Organization, a.ID, "key " + id}, nil
		}
	}
	return found, refused
}

// byToken finds the account that a token of an issuer proves. Organizations name the holders of tokens themselves, so
// several may name the same; then the request has to say which of them it means.
func (s *Server) byToken(r *http.Request, raw string) (caller, *failure) {
	refused := unauthenticated("Bearer", "invalid_token", "The token is invalid, or proves no account")
	meant := integration.OrganizationID(r.Header.Get(headerOrganization))
	var owners []*integration.Account
	if issuer, subject, ok := identity.Holder(raw); ok {
		for _, a := range s.replica.TokenOwners(events.TokenHolder{Issuer: issuer, Subject: subject}) {
			if meant == "" || a.Organization == meant {
				owners = append(owners, a)
			}
		}
	}
	switch {
	case len(owners) == 0:
		_ = s.tokens.Token(r.Context(), "", raw, nil, 0) // takes as long as to look at somebody's
		return caller{}, refused
	case len(owners) > maxMeant:
		return caller{}, ambiguous()
	}
	var found []caller
	for _, a := range owners {
		var among []integration.Workload
		for _, who := range a.Identities {
			among = append(among, integration.Workload{OIDC: who})
		}
		switch err := s.tokens.Token(r.Context(), a.Organization, raw, among, patience); {
		case err == nil:
			found = append(found, caller{a.Organization, a.ID, "account " + string(a.Organization) + "/" + string(a.ID)})
		case errors.Is(err, identity.ErrUnavailable):
			return caller{}, fail(integration.CodeUnavailable, "the keys of the token's issuer cannot be had")
		}
	}
	switch len(found) {
	case 0:
		return caller{}, refused
	case 1:
		return found[0], nil
	}
	return caller{}, ambiguous()
}

func ambiguous() *failure {
	return unauthenticated("Bearer", "invalid_request", "The token may be meant for several organizations; name one in the header "+headerOrganization)
}

func unauthenticated(scheme, word, text string) *failure {
	f := fail(integration.CodeUnauthenticated, "%s", text)
	f.header = http.Header{"Www-Authenticate": {fmt.Sprintf("%s realm=\"rolebridge\", error=%q, error_description=%q", scheme, word, text)}}
	return f
}
