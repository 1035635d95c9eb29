package events_test

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

func (l *stateLog) account(o integration.OrganizationID, p integration.Principal, key integration.KeyID, who ...integration.OIDC) *kgo.Record {
	l.t.Helper()
	a := integration.Account{ID: p, Organization: o, Identities: who}
	if key != "" {
		a.Keys = map[integration.KeyID]integration.APIKey{key: {Proof: "p"}}
	}
	return l.must(l.topics.AccountRecord(o, p, &a))
}

func TestAccountsAreFoundByTheirKeysAndTokensInEveryOrganization(t *testing.T) {
	onBoth(t, func(t *testing.T, l *stateLog) {
		one, two := integration.OIDC{Issuer: "https://i", Audience: "a", Subject: "s"}, integration.OIDC{Issuer: "https://i", Audience: "b", Subject: "s"}
		l.write(kgo.TryCommit, l.account("org-1", "u-1", "K1", one, two), l.account("org-1", "u-2", "K2"))
		l.write(kgo.TryCommit, l.account("org-2", "u-1", "K1", one))
		l.write(kgo.TryAbort, l.account("org-1", "u-9", "K1"))
		table := l.table()
		names := func(all []*integration.Account) (found []string) {
			for _, a := range all {
				found = append(found, string(a.Organization)+" "+string(a.ID))
			}
			slices.Sort(found)
			return found
		}
		look := func(when string, owners, holders, listed []string) {
			t.Helper()
			if got := names(table.KeyOwners("K1")); !slices.Equal(got, owners) {
				t.Errorf("%s, owners of K1: got %v, want %v", when, got, owners)
			}
			if got := names(table.TokenOwners(events.TokenHolder{Issuer: "https://i", Subject: "s"})); !slices.Equal(got, holders) {
				t.Errorf("%s, holders of the token: got %v, want %v", when, got, holders)
			}
			if got := names(table.Accounts("org-1")); !slices.Equal(got, listed) {
				t.Errorf("%s, accounts of org-1: got %v, want %v", when, got, listed)
			}
		}
		look("at first", []string{"org-1 u-1", "org-2 u-1"}, []string{"org-1 u-1", "org-2 u-1"}, []string{"org-1 u-1", "org-1 u-2"})

		asker := integration.Asker{Source: "s", ID: "1"}
		l.write(kgo.TryCommit, l.account("org-2", "u-1", ""), l.must(l.topics.AccountRecord("org-1", "u-1", nil)))
		l.write(kgo.TryCommit, l.must(l.topics.ReceiptRecord("org-2", asker, &integration.Receipt{Organization: "org-2"})))
		l.write(kgo.TryCommit, l.must(l.topics.ReceiptRecord("org-1", asker, &integration.Receipt{Organization: "org-1"})))
		for _, o := range []integration.OrganizationID{"org-1", "org-2"} {
			if _, err := table.WaitAnswer(t.Context(), o, asker); err != nil {
				t.Fatal(err)
			}
		}
		look("after they went", nil, nil, []string{"org-1 u-2"})
		if a, ok := table.Account("org-2", "u-1"); !ok || len(a.Keys) != 0 {
			t.Errorf("got %+v, want the account without keys", a)
		}
		if _, ok := table.Account("org-1", "u-1"); ok {
			t.Error("a deleted account is found")
		}
	})
}
