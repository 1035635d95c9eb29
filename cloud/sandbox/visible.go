package sandbox

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// view is a role as STS, S3 and the check of principals see it from At on. Its maps are never changed, so that a view may
// be used without the lock.
type view struct {
	At         time.Time         `json:"at"`
	ID         string            `json:"id,omitempty"` // empty: there is no role
	ARN        string            `json:"arn,omitempty"`
	Trust      trustDocument     `json:"trust"`
	Policies   map[string]string `json:"policies,omitempty"`
	Tags       map[string]string `json:"tags,omitempty"`
	MaxSession int               `json:"maxSession,omitempty"` // seconds
}

// publish tells STS and S3 what became of the role called name: at once, or after the propagation delay. It needs the
// write lock and must follow every change of a role.
func (s *Sandbox) publish(a *account, name string) {
	name = strings.ToLower(name)
	now := s.now()
	next := view{At: now.Add(s.propagation)}
	if r, ok := a.Roles[name]; ok {
		next.ID, next.ARN, next.Trust, next.MaxSession = r.ID, a.roleARN(r), r.Trust, r.MaxSession
		next.Policies, next.Tags = maps.Clone(r.Policies), maps.Clone(r.Tags)
	}
	kept := a.Seen[name]
	if n := len(kept); n > 0 && next.At.Before(kept[n-1].At) {
		next.At = kept[n-1].At // the delay was shortened meanwhile: changes still arrive in their order
	}
	// Of what everybody has seen by now only the last counts.
	for len(kept) > 1 && !kept[1].At.After(now) {
		kept = kept[1:]
	}
	if s.propagation == 0 && (len(kept) == 0 || !kept[len(kept)-1].At.After(now)) {
		kept = nil
	}
	if len(kept) == 0 && next.ID == "" {
		delete(a.Seen, name)
	} else {
		a.Seen[name] = append(slices.Clip(kept), next)
	}
	s.disk.touch()
}

// visible returns the role as STS and S3 see it now. It needs the read lock.
func (s *Sandbox) visible(a *account, name string) (view, bool) {
	now := s.now()
	seen := a.Seen[strings.ToLower(name)]
	for _, v := range slices.Backward(seen) {
		if !v.At.After(now) {
			return v, v.ID != ""
		}
	}
	return view{}, false
}

// visibleRole finds a role by its ARN, which must be exact, path and case included. It needs the read lock.
func (s *Sandbox) visibleRole(arn string) (*account, view, bool) {
	accountID, kind, path, ok := splitIAM(arn)
	if !ok || kind != "role" {
		return nil, view{}, false
	}
	a, ok := s.state.Accounts[accountID]
	if !ok {
		return nil, view{}, false
	}
	v, ok := s.visible(a, path[strings.LastIndexByte(path, '/')+1:])
	return a, v, ok && v.ARN == arn
}

// uniqueID returns the id that a principal's ARN stands for now. It needs the read lock.
func (s *Sandbox) uniqueID(arn string) (string, bool) {
	accountID, kind, path, ok := splitIAM(arn)
	if !ok {
		return "", false
	}
	a, ok := s.state.Accounts[accountID]
	if !ok {
		return "", false
	}
	switch kind {
	case "user":
		u, ok := a.Users[strings.ToLower(path[strings.LastIndexByte(path, '/')+1:])]
		if ok && a.userARN(u) == arn {
			return u.ID, true
		}
	case "role":
		if _, v, ok := s.visibleRole(arn); ok {
			return v.ID, true
		}
	}
	return "", false
}

// splitIAM takes arn:aws:iam::ACCOUNT:KIND/PATH apart.
func splitIAM(arn string) (account, kind, path string, ok bool) {
	rest, ok := strings.CutPrefix(arn, "arn:aws:iam::")
	account, resource, colon := strings.Cut(rest, ":")
	kind, path, slash := strings.Cut(resource, "/")
	return account, kind, path, ok && colon && slash && path != ""
}
