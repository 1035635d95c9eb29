package integration

// Role is a set of operations that a principal may do within a scope, named as users of the provider-integration API
// know them.
type Role string

// The roles.
const (
	OrganizationAdmin Role = "OrganizationAdmin"
	EnvironmentAdmin  Role = "EnvironmentAdmin"
	ResourceOwner     Role = "ResourceOwner"
	Assigner          Role = "Assigner"
)

// Operation is what a role permits.
type Operation string

// The operations.
const (
	OpRead      Operation = "read"      // see integrations and their reports
	OpCreate    Operation = "create"    // make integrations in an environment
	OpManage    Operation = "manage"    // update, delete, revoke sessions
	OpValidate  Operation = "validate"  // ask for a proof of trust
	OpUse       Operation = "use"       // bind and unbind connectors
	OpGrant     Operation = "grant"     // give and take roles
	OpConfigure Operation = "configure" // settings of the organization
	OpAccounts  Operation = "accounts"  // see, make and remove users, service accounts and their API keys
)

// permits is the whole matrix. A role binding's scope says where: OrganizationAdmin counts only for a whole
// organization, and nobody gives a role that reaches further than their own scope.
var permits = map[Role]map[Operation]bool{
	OrganizationAdmin: {OpRead: true, OpCreate: true, OpManage: true, OpValidate: true, OpUse: true, OpGrant: true, OpConfigure: true, OpAccounts: true},
	EnvironmentAdmin:  {OpRead: true, OpCreate: true, OpManage: true, OpValidate: true, OpUse: true, OpGrant: true},
	ResourceOwner:     {OpRead: true, OpValidate: true, OpUse: true, OpGrant: true},
	Assigner:          {OpRead: true, OpUse: true},
}

// Roles lists every role, the most powerful first.
func Roles() []Role { return []Role{OrganizationAdmin, EnvironmentAdmin, ResourceOwner, Assigner} }

// Operations lists every operation.
func Operations() []Operation {
	return []Operation{OpRead, OpCreate, OpManage, OpValidate, OpUse, OpGrant, OpConfigure, OpAccounts}
}

// rank orders roles for granting: nobody gives more than they have.
func rank(r Role) int {
	for n, have := range Roles() {
		if have == r {
			return n
		}
	}
	return len(Roles())
}

// Permits reports whether principal p may do op in scope s of organization o. The platform's own principals may do
// everything. Safe for concurrent use; the cost grows with the organization's role bindings.
func (o Organization) Permits(p Principal, op Operation, s Scope) bool {
	if p.IsPlatform() {
		return true
	}
	for _, b := range o.RoleBindings {
		if b.Principal == p && permits[b.Role][op] && b.Scope.Covers(s) {
			return true
		}
	}
	return false
}

// Knows reports whether principal p has any role in o. To somebody unknown nothing of o exists.
func (o Organization) Knows(p Principal) bool {
	if p.IsPlatform() {
		return true
	}
	for _, b := range o.RoleBindings {
		if b.Principal == p {
			return true
		}
	}
	return false
}

// mayGrant reports whether p may give or take the binding b: through a role at least as high, with a scope at least as
// wide.
func (o Organization) mayGrant(p Principal, b RoleBinding) bool {
	if p.IsPlatform() {
		return true
	}
	for _, have := range o.RoleBindings {
		if have.Principal == p && permits[have.Role][OpGrant] && rank(have.Role) <= rank(b.Role) && have.Scope.Covers(b.Scope) {
			return true
		}
	}
	return false
}

func (b RoleBinding) check() *Refusal {
	if r := checkPrincipal("/principal", b.Principal); r != nil {
		return r
	}
	if b.Principal.IsPlatform() {
		return refuseField("/principal", "the platform's own principals take no roles")
	}
	if _, ok := permits[b.Role]; !ok {
		return refuseField("/role", "want one of %v", Roles())
	}
	if r := b.Scope.check("/scope"); r != nil {
		return r
	}
	if b.Role == OrganizationAdmin && b.Scope != (Scope{}) {
		return refuseField("/scope", "OrganizationAdmin is a role of the whole organization")
	}
	if b.Role == EnvironmentAdmin && (b.Scope.Environment == "" || b.Scope.Integration != "") {
		return refuseField("/scope", "EnvironmentAdmin is a role of environments")
	}
	if (b.Role == ResourceOwner || b.Role == Assigner) && b.Scope.Environment == "" {
		return refuseField("/scope", "%s is a role of an environment's integrations", b.Role)
	}
	return nil
}
