package sandbox

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/rolebridge/rolebridge/internal/secret"
)

// AccessKey signs requests. It is an aws.CredentialsProvider: config.WithCredentialsProvider(account.Root).
type AccessKey struct {
	ID     string
	Secret secret.Text
}

// Retrieve hands the key to an SDK. It never fails and never expires.
func (k AccessKey) Retrieve(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: k.ID, SecretAccessKey: k.Secret.Reveal(), Source: "rolebridge sandbox"}, nil
}

// Account is what AddAccount hands out. Root may do everything in its account, but, as at AWS, not assume roles.
type Account struct {
	ID   string
	Root AccessKey
}

// User is what AddUser hands out.
type User struct {
	ARN string
	Key AccessKey
}

// state is everything that survives a restart. It is guarded by Sandbox.mu; a value behind a pointer in it changes only
// under the write lock.
type state struct {
	Accounts map[string]*account  `json:"accounts"`
	Keys     map[string]*key      `json:"keys"`
	Sessions map[string]*session  `json:"sessions"`
	Buckets  map[string]bucketFor `json:"buckets"`
}

func newState() *state {
	return &state{Accounts: map[string]*account{}, Keys: map[string]*key{}, Sessions: map[string]*session{}, Buckets: map[string]bucketFor{}}
}

// account holds roles and users by their names in lower case: IAM tells names apart without regard to case.
type account struct {
	ID      string            `json:"id"`
	RootKey string            `json:"rootKey"`
	Roles   map[string]*role  `json:"roles"`
	Users   map[string]*user  `json:"users"`
	Seen    map[string][]view `json:"seen"` // by role: what STS and S3 see, and from when
}

type role struct {
	Name        string            `json:"name"`
	ID          string            `json:"id"`
	Path        string            `json:"path"`
	Description string            `json:"description,omitempty"`
	Created     time.Time         `json:"created"`
	MaxSession  int               `json:"maxSession"` // seconds
	Trust       trustDocument     `json:"trust"`
	Policies    map[string]string `json:"policies"`
	Tags        map[string]string `json:"tags"`
}

type user struct {
	Name     string            `json:"name"`
	ID       string            `json:"id"`
	Path     string            `json:"path"`
	Created  time.Time         `json:"created"`
	Policies map[string]string `json:"policies"`
	Keys     []string          `json:"keys"`
}

type key struct {
	ID      string    `json:"id"`
	Secret  string    `json:"secret"`
	Account string    `json:"account"`
	User    string    `json:"user,omitempty"` // lower case; empty: the account's root
	Created time.Time `json:"created"`
}

// bucketFor says whose a bucket is. The objects are in objects.go.
type bucketFor struct {
	Account string    `json:"account"`
	Created time.Time `json:"created"`
}

func (a *account) roleARN(r *role) string { return "arn:aws:iam::" + a.ID + ":role" + r.Path + r.Name }

func (a *account) userARN(u *user) string { return "arn:aws:iam::" + a.ID + ":user" + u.Path + u.Name }

var accountID = regexp.MustCompile(`^[0-9]{12}$`)

// AddAccount makes an account with a random root key. An account that exists already, from before a restart too, is
// returned as it is. Errors: an id that is not 12 digits; a state that cannot be saved.
func (s *Sandbox) AddAccount(id string) (Account, error) {
	if !accountID.MatchString(id) {
		return Account{}, fmt.Errorf("sandbox: account %q: 12 digits are allowed", id)
	}
	s.mu.Lock()
	a, ok := s.state.Accounts[id]
	if !ok {
		a = &account{ID: id, Roles: map[string]*role{}, Users: map[string]*user{}, Seen: map[string][]view{}}
		a.RootKey = s.newKey(id, "").ID
		s.state.Accounts[id] = a
		s.disk.touch()
	}
	root := s.state.Keys[a.RootKey]
	s.mu.Unlock()
	return Account{ID: id, Root: AccessKey{root.ID, secret.New(root.Secret)}}, s.save()
}

// AddUser makes a user with one access key and, if policy is not empty, one inline policy named "sandbox". A user that
// exists keeps its first key and gets the policy. Errors: an unknown account, a name or a policy that IAM would refuse, a
// state that cannot be saved.
func (s *Sandbox) AddUser(accountID, name, policy string) (User, error) {
	s.mu.Lock()
	u, err := s.addUser(accountID, name, policy)
	s.mu.Unlock()
	if err != nil {
		return User{}, fmt.Errorf("sandbox: user %q: %w", name, err)
	}
	return u, s.save()
}

func (s *Sandbox) addUser(accountID, name, policy string) (User, error) {
	a, ok := s.state.Accounts[accountID]
	if !ok {
		return User{}, fmt.Errorf("no account %q", accountID)
	}
	if !goodName(name, 64) {
		return User{}, refuse(400, "ValidationError", "the name must match %s and have at most 64 characters", namePattern)
	}
	u, ok := a.Users[strings.ToLower(name)]
	if !ok {
		u = &user{Name: name, ID: newUniqueID("AIDA"), Path: "/", Created: s.now(), Policies: map[string]string{}}
	}
	if policy != "" {
		if err := checkIdentityPolicy(policy); err != nil {
			return User{}, err
		}
		u.Policies = maps.Clone(u.Policies)
		u.Policies["sandbox"] = policy
	}
	if len(u.Keys) == 0 {
		u.Keys = []string{s.newKey(accountID, strings.ToLower(name)).ID}
	}
	a.Users[strings.ToLower(name)] = u
	s.disk.touch()
	k := s.state.Keys[u.Keys[0]]
	return User{ARN: a.userARN(u), Key: AccessKey{k.ID, secret.New(k.Secret)}}, nil
}

// newKey needs the write lock.
func (s *Sandbox) newKey(accountID, user string) *key {
	k := &key{ID: newUniqueID("AKIA"), Secret: newRandom(30), Account: accountID, User: user, Created: s.now()}
	s.state.Keys[k.ID] = k
	return k
}

// newUniqueID makes an id in AWS's form: a prefix that says what it is, then 16 or 17 characters of base 32
// (IAM user guide, "IAM identifiers").
func newUniqueID(prefix string) string {
	b := make([]byte, 10)
	_, _ = rand.Read(b) // crypto/rand never fails: it ends the process instead
	return prefix + base32.StdEncoding.EncodeToString(b)
}

// newRandom returns n random bytes as URL-safe base 64.
func newRandom(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}
