package integration

import "fmt"

// Indexes returns what a root looks customers and tokens up in, as "key holder".
func (s *State) Indexes() map[string]bool {
	all := map[string]bool{}
	for k, id := range s.customers {
		all[fmt.Sprintf("%s %s", k, id)] = true
	}
	for hash, b := range s.tokens {
		all[fmt.Sprintf("%s %s", hash, b)] = true
	}
	return all
}
