package sandbox

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// session is what AssumeRole handed out. It is not changed after that.
type session struct {
	Key, Secret string
	TokenHash   string // hex SHA-256: the token itself is not kept
	Account     string
	RoleARN     string
	RoleID      string
	Name        string
	Policy      string            `json:",omitempty"`
	Tags        map[string]string `json:",omitempty"` // with the inherited ones
	Transitive  []string          `json:",omitempty"` // keys of Tags that go on when roles are chained
	Source      string            `json:",omitempty"` // source identity
	Issued      time.Time
	Expires     time.Time
}

func (v *session) arn() string {
	return "arn:aws:sts::" + v.Account + ":assumed-role/" + v.RoleARN[strings.LastIndexByte(v.RoleARN, '/')+1:] + "/" + v.Name
}

// caller is who signed a request, with everything that a decision about it needs, as of one moment.
type caller struct {
	secret  string
	account string
	arn     string // what GetCallerIdentity answers
	userID  string
	unique  string // AIDA… or AROA…
	root    bool
	user    string // its name, if it is one
	session *session
	tags    map[string]string

	policies []string // identity policies; none for a root
}

// inherited are the tags that a session made from this one has too.
func (c caller) inherited() map[string]string {
	if c.session == nil {
		return nil
	}
	out := map[string]string{}
	for _, k := range c.session.Transitive {
		for have, value := range c.session.Tags {
			if strings.EqualFold(have, k) {
				out[have] = value
			}
		}
	}
	return out
}

// authenticate finds out who signed r. payloadHash is what the signature covers as the body's hash.
func (s *Sandbox) authenticate(r *http.Request, g signed, payloadHash string) (caller, error) {
	s.mu.RLock()
	who, err := s.find(g)
	s.mu.RUnlock()
	if err != nil {
		return caller{}, err
	}
	if err := g.checkSignature(r, who.secret, payloadHash); err != nil {
		return caller{}, err
	}
	now := s.now()
	if err := g.checkTime(now); err != nil {
		return caller{}, err
	}
	if who.session != nil && !now.Before(who.session.Expires) {
		if g.service == "s3" {
			return caller{}, refuse(400, "ExpiredToken", "The provided token has expired.")
		}
		return caller{}, refuse(403, "ExpiredToken", "The security token included in the request is expired")
	}
	return who, nil
}

// find needs the read lock.
func (s *Sandbox) find(g signed) (caller, error) {
	if k, ok := s.state.Keys[g.keyID]; ok && g.token == "" {
		a := s.state.Accounts[k.Account]
		if k.User == "" {
			arn := "arn:aws:iam::" + a.ID + ":root"
			return caller{secret: k.Secret, account: a.ID, arn: arn, userID: a.ID, root: true}, nil
		}
		u := a.Users[k.User]
		arn := a.userARN(u)
		return caller{
			secret: k.Secret, account: a.ID, arn: arn, userID: u.ID, unique: u.ID, user: u.Name,
			policies: slices.Collect(maps.Values(u.Policies)),
		}, nil
	}
	v, ok := s.state.Sessions[g.keyID]
	if !ok && s.state.Keys[g.keyID] == nil {
		if g.service == "s3" {
			return caller{}, refuse(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
		}
		return caller{}, refuse(403, "InvalidClientTokenId", "The security token included in the request is invalid.")
	}
	if !ok || subtle.ConstantTimeCompare([]byte(hashToken(g.token)), []byte(v.TokenHash)) != 1 {
		return caller{}, badToken(g)
	}
	_, role, ok := s.visibleRole(v.RoleARN)
	if !ok || role.ID != v.RoleID {
		return caller{}, badToken(g) // the role is gone, or was made again and is another
	}
	return caller{
		secret: v.Secret, account: v.Account, arn: v.arn(), userID: v.RoleID + ":" + v.Name, unique: v.RoleID,
		session: v, tags: v.Tags, policies: slices.Collect(maps.Values(role.Policies)),
	}, nil
}

func badToken(g signed) error {
	if g.service == "s3" {
		return refuse(400, "InvalidToken", "The provided token is malformed or otherwise invalid.")
	}
	return refuse(403, "InvalidClientTokenId", "The security token included in the request is invalid.")
}

func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// conditions are the condition keys that a request brings beside those which policy.Request knows by itself (IAM user
// guide, "AWS global condition context keys"). A key that does not apply is absent, as IfExists and Null can tell.
func conditions(who caller, r *http.Request, g signed) map[string][]string {
	c := map[string][]string{
		"aws:RequestedRegion": {g.region},
		"aws:UserAgent":       {r.UserAgent()},
		// Loopback stands for the TLS that AWS insists on: common policies deny everything else.
		"aws:SecureTransport": {"true"},
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		c["aws:SourceIp"] = []string{host}
	}
	if v := who.session; v != nil {
		c["aws:TokenIssueTime"] = []string{v.Issued.UTC().Format(time.RFC3339)}
		c["aws:MultiFactorAuthPresent"] = []string{"false"}
		if v.Source != "" {
			c["aws:SourceIdentity"] = []string{v.Source}
		}
	}
	return c
}
