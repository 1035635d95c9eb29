package policy

import (
	"slices"
	"strings"
)

// Document is a policy to be written, in the order in which it will be read. Make one with FirstTrust, FinalTrust,
// PlatformTrust, PlatformPermissions, DraftPermissions, ReadRole, S3Sink, S3Source, DynamoDBSink, DynamoDBSource or
// SessionTo.
type Document struct {
	Kind       Kind
	Statements []Grant
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
	return Document{Kind: Trust, Statements: []Grant{{
		Sid: "DenyUntilMapped", Effect: Deny, AWS: []string{"*"}, Actions: []string{"sts:AssumeRole"},
	}}}
}

// FinalTrust is the trust policy that lets exactly one role in, with one external ID, or with either of two while one
// replaces the other. Tagging is a statement of its own: whether AWS checks the external ID for sts:TagSession is not
// documented.
func FinalTrust(platformRole string, externalIDs ...string) (Document, error) {
	if err := checkRole("platform role", platformRole); err != nil {
		return Document{}, err
	}
	if len(externalIDs) < 1 || len(externalIDs) > 2 {
		return Document{}, &FieldError{"external IDs", strings.Join(externalIDs, " "), "one, or two during a rotation"}
	}
	for i, id := range externalIDs {
		if err := checkExternalID(id); err != nil {
			return Document{}, err
		}
		if slices.Contains(externalIDs[:i], id) {
			return Document{}, &FieldError{"external IDs", id, "two that differ"}
		}
	}
	return Document{Kind: Trust, Statements: finalStatements(platformRole, externalIDs)}, nil
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

// WithSourceIdentity adds to a trust policy that whom its first statement names may set the source identity of its
// sessions: a connector may be bound so that they have one.
func (d Document) WithSourceIdentity() Document {
	d.Statements = append(slices.Clip(d.Statements), Grant{
		Sid: "SetSourceIdentity", Effect: Allow, AWS: d.Statements[0].AWS, Actions: []string{"sts:SetSourceIdentity"},
	})
	return d
}

// PlatformTrust is the trust policy of a platform role: only the named identities (the broker's and the validator's role
// or user ARNs) may become it, and may tag the session.
func PlatformTrust(identities ...string) (Document, error) {
	if len(identities) == 0 {
		return Document{}, &FieldError{"identities", "", "at least one role or user: a platform role that nobody may assume is of no use"}
	}
	partition := ""
	for _, who := range identities {
		a, err := ParseARN(who)
		if err != nil || !isAccount(a.Account) || a.Service != "iam" || !identityResource(a.Resource) || !partitions[a.Partition] {
			return Document{}, &FieldError{"identities", who, "the ARN of a role or user"}
		}
		if partition != "" && partition != a.Partition {
			return Document{}, &FieldError{"identities", who, "an identity of partition " + partition + " as the others"}
		}
		partition = a.Partition
	}
	return Document{Kind: Trust, Statements: []Grant{{
		Sid: "BrokerAndValidator", Effect: Allow, AWS: identities, Actions: []string{"sts:AssumeRole", "sts:TagSession"},
	}}}, nil
}

// PlatformPermissions is the permission policy of a platform role: it may assume exactly one customer role, tag the session,
// and set its source identity, if the customer allows it too.
func PlatformPermissions(customerRole string) (Document, error) {
	if err := checkRole("customer role", customerRole); err != nil {
		return Document{}, err
	}
	return Document{Kind: Identity, Statements: []Grant{{
		Sid: "AssumeCustomerRole", Effect: Allow, Resources: []string{customerRole},
		Actions: []string{"sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"},
	}}}, nil
}

// DraftPermissions is the permission policy of the platform role of a draft, whose customer role is not known yet: it may
// try any role of the partition, so that a configuration can be proved before it is saved. Whoever tries narrows the
// session to one role.
func DraftPermissions(partition string) (Document, error) {
	if err := checkPartition(partition); err != nil {
		return Document{}, err
	}
	return Document{Kind: Identity, Statements: []Grant{{
		Sid: "TryCustomerRoles", Effect: Allow, Actions: []string{"sts:AssumeRole", "sts:TagSession"},
		Resources: []string{"arn:" + partition + ":iam::*:role/*"},
	}}}, nil
}

// ReadRole is the permission policy that lets a role read itself, its trust policy with it: optional, for the linter.
func ReadRole(customerRole string) (Document, error) {
	if err := checkRole("customer role", customerRole); err != nil {
		return Document{}, err
	}
	return Document{Kind: Identity, Statements: []Grant{{
		Sid: "ReadOwnTrustPolicy", Effect: Allow, Actions: []string{"iam:GetRole"}, Resources: []string{customerRole},
	}}}, nil
}
