// Package policy reads, judges, mends and writes the IAM policies that trust between accounts rests on.
//
// It answers four questions without a call to AWS: what does this text say (Parse), whom does it let in (Evaluate,
// Assume), would IAM store it (Validate), and what is wrong with it for us (Lint, Mend). And it writes the documents that
// we hand to customers and the ones of our own roles (Document). It is no client of AWS, and it knows policies of roles
// only: organizations' policies, permission boundaries and resource policies of other services are not here, so an allow
// is an allow of the policies that were asked, not of AWS.
//
// # The life of a policy
//
// Text becomes a tree in which every element remembers where it stood (json.go); the tree becomes a Policy (parse.go,
// principal.go, operator.go). Whatever is wrong becomes a Finding with a JSON pointer, line, column and remedy; Parse
// itself never fails. Evaluation (evaluate.go, condition.go, variable.go) is three-valued: yes, no, and unknown. Unknown
// never allows: an Allow statement that cannot be judged does not apply, a Deny statement does, and a finding says why.
//
// # Deciding as AWS does
//
//	p := policy.Parse(policy.Trust, text)
//	if refused := p.Validate(exists); len(refused) > 0 {
//		// answer refused[0].Code.APIError() ("MalformedPolicyDocument", "LimitExceeded") with refused[0].Message
//	}
//	caller, err := policy.SessionCaller("arn:aws:iam::111122223333:role/platform/cspi-ab12c", "broker")
//	answer := p.Assume(policy.Request{
//		Caller: caller, Resource: roleARN, SessionName: "s", ExternalID: id, Tags: tags,
//		Own: own, // what the caller's identity policies say: OwnAllows, OwnSilent, OwnDenies
//	})
//	// answer.Decision: Allowed, ImplicitDeny, ExplicitDeny, Invalid
//
// For a call on a resource, unite the identity policies and intersect with the session policies:
//
//	result := policy.Union(identity1.Evaluate(r), identity2.Evaluate(r))
//	result = policy.Intersect(result, session.Evaluate(r)) // only if the session has a policy
//
// Two kinds of fault are kept apart. Some texts have no certain meaning (an unknown operator, a wildcard inside a
// principal's ARN, a key that stands twice, NotPrincipal with Allow): they are Invalid and admit nobody. Others are refused
// by IAM but mean something definite ("Principal": "*", NotPrincipal with Deny): Validate names them, and they are evaluated with a finding, since
// not everything that stores a role checks as IAM does.
//
// # Judging and mending
//
//	expect := policy.Expect{PlatformRole: platformRole, ExternalIDs: []string{id}, CustomerRole: customerRole}
//	found := p.Lint(expect)           // worst first; Worst(found) gives an exit code
//	text, err := p.Mend(expect)       // what to paste instead
//	out, err := policy.EncodeSARIF(version, policy.Report{URI: "trust.json", Findings: found})
//
// Lint looks at each statement (lint_allow.go) and then asks the evaluator what really happens (lint_outcome.go), so a
// hole that no rule describes is still found. Two external IDs stand for a rotation.
//
// # Writing
//
// FirstTrust, FinalTrust, PlatformTrust, PlatformPermissions, ReadRole, S3Sink, S3Source, DynamoDBSink and DynamoDBSource
// make a Document; Document.Render writes it as JSON, Terraform, CloudFormation or AWS CLI commands, Document.Parse makes it a
// Policy again. Every input is checked first, and refused with its name as a *FieldError (field.go).
//
// # What is not certain
//
// AWS does not document whether the case of an operator's name matters (we take any, with a note), whether a policy
// with one key twice is stored (we take it for invalid), and which condition keys the check of sts:TagSession sees (we
// give it those of the AssumeRole call).
package policy
