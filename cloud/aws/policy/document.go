package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Document is a policy to be written, in the order in which it will be read. Make one with FirstTrust, FinalTrust,
// PlatformTrust, PlatformPermissions, or Grants.
type Document struct {
	Kind       Kind
	Statements []Grant
	// Partition is that of the ARNs in it; commands to paste need it for their endpoints only.
	Partition string
}

// Grant is one statement of a Document.
type Grant struct {
	Sid       string
	Effect    Effect
	AWS       []string // principals, for trust policies
	Actions   []string
	Resources []string // for identity and session policies
	When      []When
}

// When is one condition: the key must have one of the values.
type When struct {
	Operator, Key string
	Values        []string
}

// tree is the document as a JSON tree. The version is always the current one.
func (d Document) tree() *node {
	root := objectNode()
	root.set("Version", textNode(Version2012))
	list := &node{kind: kindList, off: -1}
	for _, g := range d.Statements {
		list.append(g.tree())
	}
	root.set("Statement", list)
	return root
}

func (g Grant) tree() *node {
	n := objectNode()
	if g.Sid != "" {
		n.set("Sid", textNode(g.Sid))
	}
	n.set("Effect", textNode(string(g.Effect)))
	if len(g.AWS) > 0 {
		who := objectNode()
		who.set("AWS", textsNode(g.AWS))
		n.set("Principal", who)
	}
	n.set("Action", textsNode(g.Actions))
	if len(g.Resources) > 0 {
		n.set("Resource", textsNode(g.Resources))
	}
	if len(g.When) > 0 {
		condition := objectNode()
		for _, w := range g.When {
			keys := condition.get(w.Operator)
			if keys == nil {
				keys = objectNode()
				condition.set(w.Operator, keys)
			}
			keys.set(w.Key, textsNode(w.Values))
		}
		n.set("Condition", condition)
	}
	return n
}

// JSON prints the document, ready for an AWS API.
func (d Document) JSON() []byte { return d.tree().json() }

// Parse reads the document back as a policy that can be evaluated and linted.
func (d Document) Parse() *Policy { return Parse(d.Kind, d.JSON()) }

// FirstTrust is the trust policy for a customer's role before the mapping exists: it denies everybody.
func FirstTrust() Document {
	return Document{Kind: Trust, Partition: "aws", Statements: []Grant{{
		Sid: "DenyUntilMapped", Effect: Deny, AWS: []string{"*"}, Actions: []string{"sts:AssumeRole"},
	}}}
}

// FinalTrust is the trust policy that lets exactly one role in, with one external ID, or with either of two while one
// replaces the other. Tagging is a statement of its own: whether AWS checks the external ID for sts:TagSession is not
// documented.
func FinalTrust(platformRole string, externalIDs ...string) (Document, error) {
	role, err := checkRole("platform role", platformRole)
	if err != nil {
		return Document{}, err
	}
	if len(externalIDs) < 1 || len(externalIDs) > 2 {
		return Document{}, fmt.Errorf("external IDs: got %d, want one, or two during a rotation", len(externalIDs))
	}
	for i, id := range externalIDs {
		if err := checkExternalID(id); err != nil {
			return Document{}, err
		}
		if slices.Contains(externalIDs[:i], id) {
			return Document{}, errors.New("external IDs: the two are equal")
		}
	}
	return Document{Kind: Trust, Partition: role.Partition, Statements: finalStatements(platformRole, externalIDs)}, nil
}

func finalStatements(platformRole string, externalIDs []string) []Grant {
	return []Grant{
		{
			Sid: "AssumeWithExternalId", Effect: Allow, AWS: []string{platformRole}, Actions: []string{"sts:AssumeRole"},
			When: []When{{"StringEquals", "sts:ExternalId", externalIDs}},
		},
		{Sid: "TagSession", Effect: Allow, AWS: []string{platformRole}, Actions: []string{"sts:TagSession"}},
	}
}

// PlatformTrust is the trust policy of a platform role: only the named identities (the broker's and the validator's role
// or user ARNs) may become it, and may tag the session.
func PlatformTrust(identities ...string) (Document, error) {
	if len(identities) == 0 {
		return Document{}, errors.New("identities: none given; a platform role that nobody may assume is of no use")
	}
	partition := ""
	for _, who := range identities {
		a, err := ParseARN(who)
		if err != nil || !isAccount(a.Account) || a.Service != "iam" || !identityResource(a.Resource) || !partitions[a.Partition] {
			return Document{}, fmt.Errorf("identities: %s is not the ARN of a role or user", quote(who))
		}
		if partition != "" && partition != a.Partition {
			return Document{}, fmt.Errorf("identities: %s is in partition %s, the others in %s", quote(who), a.Partition, partition)
		}
		partition = a.Partition
	}
	return Document{Kind: Trust, Partition: partition, Statements: []Grant{{
		Sid: "BrokerAndValidator", Effect: Allow, AWS: identities, Actions: []string{"sts:AssumeRole", "sts:TagSession"},
	}}}, nil
}

// PlatformPermissions is the permission policy of a platform role: it may assume, and tag the session of, exactly one
// customer role.
func PlatformPermissions(customerRole string) (Document, error) {
	role, err := checkRole("customer role", customerRole)
	if err != nil {
		return Document{}, err
	}
	return Document{Kind: Identity, Partition: role.Partition, Statements: []Grant{{
		Sid: "AssumeCustomerRole", Effect: Allow, Actions: []string{"sts:AssumeRole", "sts:TagSession"}, Resources: []string{customerRole},
	}}}, nil
}

// checkRole accepts a role's ARN as IAM makes them: path and name of IAM's characters only, so nothing in it can end a
// string or be read as a wildcard or variable.
func checkRole(field, arn string) (ARN, error) {
	a, err := ParseARN(arn)
	if err != nil {
		return ARN{}, fmt.Errorf("%s: %w", field, err)
	}
	if a.Service != "iam" || a.Region != "" || !partitions[a.Partition] || !isAccount(a.Account) ||
		!strings.HasPrefix(a.Resource, "role/") || !identityResource(a.Resource) {
		return ARN{}, fmt.Errorf("%s: %s is not the ARN of a role: want arn:PARTITION:iam::ACCOUNT:role/NAME", field, quote(arn))
	}
	return a, nil
}

// identityResource checks "role/…" and "user/…": path segments and a name of at most 64 characters [\w+=,.@-], the
// whole at most 512 (IAM API reference, Path and RoleName).
func identityResource(resource string) bool {
	head, rest, _ := strings.Cut(resource, "/")
	if head != "role" && head != "user" || len(rest) > 512 {
		return false
	}
	steps := strings.Split(rest, "/")
	for i, step := range steps {
		if step == "" || strings.ContainsFunc(step, func(r rune) bool { return !identityRune(r) }) || i == len(steps)-1 && len(step) > 64 {
			return false
		}
	}
	return true
}

func identityRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_+=,.@-", r)
}

// checkExternalID accepts what STS accepts: 2 to 1,224 of [\w+=,.@:/-] (STS API reference, AssumeRole).
func checkExternalID(id string) error {
	if len(id) < 2 || len(id) > 1224 {
		return fmt.Errorf("external ID: %s has %d characters, want 2 to 1,224", quote(id), len(id))
	}
	for _, r := range id {
		if !identityRune(r) && r != ':' && r != '/' {
			return fmt.Errorf("external ID: %s has %q; want letters, digits and _+=,.@:/-", quote(id), r)
		}
	}
	return nil
}
