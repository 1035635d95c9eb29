package testenv

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"strings"
	"testing"
)

// Prefix begins every name that this test gives to a topic, group, transactional id or key: no other test of this or any
// other run has it. It consists of letters, digits and hyphens, at most 60, and a dot at the end.
func Prefix(t testing.TB) string {
	t.Helper()
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, t.Name())
	name = name[:min(len(name), 50)]
	return fmt.Sprintf("%s-%s.", name, strings.ToLower(rand.Text()[:8]))
}

// Account is a 12-digit AWS account id that no other test has. To MiniStack it is also an access key: with the secret
// "test" it is that account's root.
func Account(t testing.TB) string {
	t.Helper()
	number, err := rand.Int(rand.Reader, big.NewInt(1e11))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("2%011d", number)
}
