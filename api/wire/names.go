package wire

// Versions of the APIs, and kinds of their objects.
const (
	V1 = "pim/v1"
	V2 = "pim/v2"

	KindIntegration     = "Integration"
	KindIntegrationList = "IntegrationList"
	KindEnvironment     = "Environment"

	IAM = "iam/v2"

	KindUser           = "User"
	KindServiceAccount = "ServiceAccount"
	KindAPIKey         = "ApiKey"
	KindRoleBinding    = "RoleBinding"
)

// RotationNone is the phase of an integration whose external ID is not being replaced.
const RotationNone = "none"
