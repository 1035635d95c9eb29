package policy

// Code names a kind of finding. The text is stable: it is the SARIF rule id, a metric's label and what tests expect.
type Code string

// Codes of the reader: is this a policy at all?
const (
	CodeSyntax    Code = "json-syntax"
	CodeUTF8      Code = "json-utf8"
	CodeDepth     Code = "json-depth"
	CodeDuplicate Code = "duplicate-key"
	CodeTooLarge  Code = "too-large"
	CodeQuota     Code = "over-quota"
	CodeCharacter Code = "character"
)

// Codes of the grammar: what CreateRole, UpdateAssumeRolePolicy and PutRolePolicy look at.
const (
	CodeWrongType           Code = "wrong-type"
	CodeUnknownElement      Code = "unknown-element"
	CodeMissingElement      Code = "missing-element"
	CodeEmptyElement        Code = "empty-element"
	CodeBothElements        Code = "both-elements"
	CodeProhibited          Code = "prohibited-element"
	CodeBadVersion          Code = "bad-version"
	CodeNoVersion           Code = "no-version"
	CodeOldVersion          Code = "old-version"
	CodeBadEffect           Code = "bad-effect"
	CodeBadSid              Code = "bad-sid"
	CodeDuplicateSid        Code = "duplicate-sid"
	CodeBadPrincipal        Code = "bad-principal"
	CodePrincipalWildcard   Code = "principal-arn-wildcard"
	CodePrincipalStar       Code = "principal-bare-star"
	CodePrincipalUniqueID   Code = "principal-unique-id"
	CodePrincipalMissing    Code = "principal-missing"
	CodeNotPrincipal        Code = "not-principal"
	CodeNotPrincipalDeny    Code = "not-principal-deny"
	CodeBadAction           Code = "bad-action"
	CodeNotSTSAction        Code = "not-sts-action"
	CodeBadResource         Code = "bad-resource"
	CodeUnknownOperator     Code = "unknown-operator"
	CodeOperatorCase        Code = "operator-case"
	CodeBadKey              Code = "bad-condition-key"
	CodeUnknownKey          Code = "unknown-condition-key"
	CodeKeyNotGiven         Code = "condition-key-not-given"
	CodeBadValue            Code = "bad-condition-value"
	CodeSetOperatorNeeded   Code = "set-operator-needed"
	CodeSetOperatorOnSingle Code = "set-operator-on-single-value"
	CodeVariable            Code = "policy-variable"
	CodeVariableUnresolved  Code = "policy-variable-unresolved"
	CodeBadRequest          Code = "bad-request"
	CodeTooCostly           Code = "too-costly"
)

// rule is what holds for every finding of a code.
type rule struct {
	severity Severity
	// refused: IAM's write calls answer MalformedPolicyDocument (or LimitExceeded).
	refused bool
	// invalid: the meaning is not certain, so nothing is evaluated. Some documents are refused by IAM and still mean
	// something definite; those are evaluated, for a role may sit in a stand-in that checks less.
	invalid bool
	title   string
	remedy  string
}

func (c Code) rule() rule {
	if r, ok := rules[c]; ok {
		return r
	}
	return lintRules[c]
}

// rules of the reader and the grammar; those of the linter are in lintRules.
var rules = map[Code]rule{
	CodeSyntax:    {Error, true, true, "The text is not JSON", "Correct the JSON at this place."},
	CodeUTF8:      {Error, true, true, "The text is not UTF-8", "Save the document as UTF-8."},
	CodeDepth:     {Error, true, true, "The document is nested too deeply", "A policy needs at most six levels; remove the others."},
	CodeDuplicate: {Error, true, true, "A key stands twice in one object", "Keep one of the two; several values go into a list."},
	CodeTooLarge:  {Error, true, true, "The document is too large", "Split or shorten the policy."},
	CodeQuota:     {Warning, true, false, "The policy is longer than the account's default quota", "Shorten the policy, or ask AWS for a higher quota."},
	CodeCharacter: {Error, true, false, "A character that IAM does not accept", "Use characters from U+0020 to U+00FF, tab and line breaks only."},

	CodeWrongType:      {Error, true, true, "An element has the wrong JSON type", "Write the type that the message asks for."},
	CodeUnknownElement: {Error, true, true, "An element that the policy language does not have", "Remove it, or correct its spelling; element names are case-sensitive."},
	CodeMissingElement: {Error, true, true, "A required element is missing", "Add the element."},
	CodeEmptyElement:   {Error, true, true, "An element is empty", "Fill the element, or remove the statement."},
	CodeBothElements:   {Error, true, true, "Two elements that exclude each other", "Keep one of the two."},
	CodeProhibited:     {Error, true, true, "An element that this kind of policy must not have", "Remove the element."},
	CodeBadVersion:     {Error, true, true, "A version that does not exist", `"Version": "2012-10-17"`},
	CodeNoVersion:      {Note, false, false, "No version", `"Version": "2012-10-17"`},
	CodeOldVersion:     {Note, false, false, "The old version of the language", `"Version": "2012-10-17"`},
	CodeBadEffect:      {Error, true, true, "An effect that does not exist", `Write "Allow" or "Deny", exactly so.`},
	CodeBadSid:         {Error, true, false, "A statement id with characters other than letters and digits", "Use letters and digits only."},
	CodeDuplicateSid:   {Error, true, false, "Two statements with one id", "Give every statement an id of its own."},

	CodeBadPrincipal:      {Error, true, true, "A principal that cannot exist", `Name a role: "Principal": {"AWS": "arn:aws:iam::ACCOUNT:role/NAME"}.`},
	CodePrincipalWildcard: {Error, true, true, "A wildcard inside a principal", `Name the role itself; to admit several, name the account and add "ArnLike": {"aws:PrincipalArn": …}.`},
	CodePrincipalStar:     {Error, true, false, "A principal written as a bare star", `Name the role: "Principal": {"AWS": "arn:…:role/…"}.`},
	CodePrincipalUniqueID: {Error, true, false, "A principal that was deleted", "The named role or user no longer exists; write its ARN again, or that of its successor."},
	CodePrincipalMissing:  {Error, true, false, "A principal that does not exist", "Create the principal first, or correct its ARN."},
	CodeNotPrincipal:      {Error, true, true, "NotPrincipal with Allow", "Name who may enter with Principal."},
	CodeNotPrincipalDeny:  {Error, true, false, "NotPrincipal in a role trust policy", `Write "Principal": {"AWS": "*"} with "ArnNotLike": {"aws:PrincipalArn": …}.`},

	CodeBadAction:    {Error, true, true, "Not an action", "Write service:Action, for example sts:AssumeRole."},
	CodeNotSTSAction: {Error, true, false, "An action that a trust policy cannot grant", `"Action": "sts:AssumeRole"`},
	CodeBadResource:  {Error, true, true, "Not a resource", `Write an ARN or "*".`},

	CodeUnknownOperator:     {Error, true, true, "A condition operator that does not exist", `"StringEquals"`},
	CodeOperatorCase:        {Note, false, false, "A condition operator in unusual case", "Write the operator as it is documented."},
	CodeBadKey:              {Error, true, true, "Not a condition key", "Write service:Key, for example sts:ExternalId."},
	CodeUnknownKey:          {Warning, false, false, "A condition key that no request carries", "Correct the key's name, for example sts:ExternalId."},
	CodeKeyNotGiven:         {Note, false, false, "A condition key whose value is not known here", "Evaluate with the key in the request's context."},
	CodeBadValue:            {Error, false, false, "A condition value that its operator cannot compare", "Write a value of the operator's type: a number, a date, true or false, an address, an ARN."},
	CodeSetOperatorNeeded:   {Error, false, false, "A key with several values compared without ForAnyValue or ForAllValues", "Put ForAnyValue: or ForAllValues: in front of the operator."},
	CodeSetOperatorOnSingle: {Warning, false, false, "A set operator on a key with one value", "Remove ForAnyValue: or ForAllValues:."},
	CodeVariable:            {Warning, false, false, "A policy variable that is not replaced", `"Version": "2012-10-17"`},
	CodeVariableUnresolved:  {Warning, false, false, "A policy variable without a value in the request", "Give it a default: ${key, 'value'}."},
	CodeBadRequest:          {Error, false, true, "A request that cannot be evaluated", ""},
	CodeTooCostly:           {Error, false, false, "Patterns or variables that take too long to compare", "Use fewer and shorter patterns and variables."},
}
