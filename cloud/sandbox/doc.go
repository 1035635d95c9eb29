// Package sandbox is a stand-in for AWS: IAM, STS and S3 of several accounts behind one loopback endpoint, strict enough
// that a proof of trust against it means something. Unmodified SDKs use it with AWS_ENDPOINT_URL.
//
// It is not AWS and says so: every answer carries X-Rolebridge-Sandbox, request ids begin with "sandbox-", and GET /
// without a signature explains itself. It is for the devstack and for tests, listens in plain HTTP, and keeps secrets
// readable in its state file (0600), because SigV4 can only be verified with the secret itself.
//
// What it refuses, AWS refuses: a signature that does not match, a session token that was changed or has expired, a trust
// policy that names nobody, an AssumeRole that either side does not allow, an object outside of the session policy. Every
// decision about a policy is made by cloud/aws/policy and by nothing else.
//
// One request goes from top to bottom: the faults that a test injected, the signature (sigv4.go), the service named by
// the signature's scope (iam.go, sts.go, s3.go), the decision (authorize.go), and an answer in AWS's XML (answers.go).
//
// Two moments count for a role. IAM reads back what was written at once. STS, S3 and the check of principals see it after
// Config.Propagation (visible.go), which is 0 by default and lasts seconds at AWS.
//
// Trust policies remember the unique id behind each role or user that they name, as AWS does: a role that is deleted and
// made again under its old name is somebody else, and trust in it is gone until the policy is written again.
//
// Not here, and refused plainly: managed policies, permissions boundaries, MFA, service control policies, bucket
// policies, versioned buckets, federation, regions (every region in a signature is accepted and means the same).
//
// The behaviour follows the AWS IAM user guide (policy evaluation logic, IAM and STS quotas), the IAM and STS API
// references, the S3 user guide ("Authenticating Requests") and the service authorization reference.
package sandbox
