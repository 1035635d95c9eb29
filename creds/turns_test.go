package creds

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/rolebridge/rolebridge/integration"
)

func TestOrganizationsTakeTurns(t *testing.T) {
	for _, c := range []struct{ come, leave, want string }{
		{come: "aaaabbc", want: "abcabaa"},
		{come: "aaaa", want: "aaaa"},
		{come: "abab", want: "abab"},
		{come: "aabb", leave: "b", want: "aa"}, // who gives up costs the others nothing
	} {
		synctest.Test(t, func(t *testing.T) {
			turns := newTurns(1)
			if err := turns.take(t.Context(), "first"); err != nil {
				t.Fatal(err)
			}
			stays := t.Context()
			leaves, leave := context.WithCancel(stays)
			var served strings.Builder // by one at a time
			for o := range strings.SplitSeq(c.come, "") {
				go func() {
					ctx := stays
					if o == c.leave {
						ctx = leaves
					}
					if turns.take(ctx, integration.OrganizationID(o)) == nil {
						served.WriteString(o)
						turns.give()
					}
				}()
				synctest.Wait()
			}
			leave()
			synctest.Wait()
			turns.give()
			synctest.Wait()
			if served.String() != c.want {
				t.Errorf("%s came and %q left: served %s, want %s", c.come, c.leave, served.String(), c.want)
			}
			if turns.free != 1 || len(turns.queues) != 0 || turns.rota.Len() != 0 {
				t.Errorf("at the end %d turns are free and %d queues are left, want 1 and none", turns.free, len(turns.queues))
			}
		})
	}
}
