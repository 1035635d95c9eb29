package api

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"slices"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

// secretPrefix lets scanners of source code and logs find secrets that leaked.
const secretPrefix = "rbk_"

// NewAPIKey makes an id of 80 and a secret of 256 random bits.
func NewAPIKey() (id integration.KeyID, secret string) {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails
	return integration.KeyID(rand.Text()[:16]), secretPrefix + base64.RawURLEncoding.EncodeToString(raw[:])
}

func (s *Server) listKeys(c *call) (answer, error) {
	owner := integration.Principal(c.URL.Query().Get("spec.owner"))
	var all []wire.APIKey
	for _, a := range s.replica.Accounts(c.Organization) {
		if owner != "" && a.ID != owner || !c.administers() && a.ID != c.Principal {
			continue
		}
		for id := range a.Keys {
			all = append(all, s.apiKey(c, a, id))
		}
	}
	slices.SortFunc(all, func(a, b wire.APIKey) int { return cmp.Compare(a.ID, b.ID) })
	part, meta, err := iamPage(s, c, wire.KindAPIKey, all, func(k wire.APIKey) string { return k.ID }, "spec.owner")
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: wire.APIKeyList{APIVersion: wire.IAM, Kind: wire.KindAPIKey + "List", Metadata: meta, Data: part}}, nil
}

// findKey returns the account of a key that the caller may see.
func (s *Server) findKey(c *call, id integration.KeyID) (*integration.Account, error) {
	for _, a := range s.replica.KeyOwners(id) {
		if a.Organization == c.Organization && (c.administers() || a.ID == c.Principal) {
			return a, nil
		}
	}
	return nil, fail(integration.CodeNotFound, "API key %.64s does not exist", id)
}

func (s *Server) readKey(c *call) (answer, error) {
	id := integration.KeyID(c.PathValue("id"))
	a, err := s.findKey(c, id)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: s.apiKey(c, a, id)}, nil
}

// createKey makes a key and shows its secret, once. A repeated request cannot be given it again and is refused; the way
// out is to delete that key and make another.
func (s *Server) createKey(c *call) (answer, error) {
	var body wire.APIKeyRequest
	if err := s.bodies.read(c.Request, bodyAPIKey, &body); err != nil {
		return answer{}, err
	}
	owner := integration.Principal(body.Spec.Owner.ID)
	id, secret := NewAPIKey()
	ask := integration.CreateKey{Account: owner, KeyClaim: integration.ClaimKey(c.Organization, owner, id, secret)}
	ask.Name, ask.Description, ask.ExpiresAt = body.Spec.DisplayName, body.Spec.Description, body.Spec.ExpiresAt
	_, command, err := s.change(c, ask, func() error {
		_, err := s.account(c, owner)
		return err
	})
	if err != nil {
		return answer{command: command}, inSpec(err)
	}
	a, err := s.findKey(c, id)
	if err != nil {
		return answer{command: command}, err
	}
	key := s.apiKey(c, a, id)
	key.Spec.Secret = secret
	return answer{status: http.StatusCreated, body: key, location: key.Metadata.Self, command: command}, nil
}

// inSpec puts the place of a fault where the body has it.
func inSpec(err error) error {
	f := failed(err)
	for n := range f.faults {
		if f.faults[n].pointer != "" {
			f.faults[n].pointer = "/spec" + f.faults[n].pointer
		}
	}
	return f
}

func (s *Server) deleteKey(c *call) (answer, error) {
	id := integration.KeyID(c.PathValue("id"))
	_, command, err := s.change(c, integration.DeleteKey{Key: id}, func() error {
		_, err := s.findKey(c, id)
		return err
	})
	return answer{status: http.StatusNoContent, command: command}, err
}

func (s *Server) apiKey(c *call, a *integration.Account, id integration.KeyID) wire.APIKey {
	k := a.Keys[id]
	meta := s.iamMeta(c, wire.KindAPIKey, string(id))
	meta.CreatedAt, meta.UpdatedAt = k.CreatedAt, k.CreatedAt
	kind := kindsOfAccount[a.Kind]
	of := s.iamMeta(c, kind, string(a.ID))
	return wire.APIKey{
		APIVersion: wire.IAM, Kind: wire.KindAPIKey, ID: string(id), Metadata: meta,
		Spec: wire.APIKeySpec{
			DisplayName: k.Name, Description: k.Description, ExpiresAt: k.ExpiresAt,
			Owner: wire.Owner{ID: string(a.ID), APIVersion: wire.IAM, Kind: kind, Related: of.Self, ResourceName: of.ResourceName},
		},
	}
}
