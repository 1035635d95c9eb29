package aws

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/cloud"
)

// The calls that are made, by the names of the IAM actions that allow them.
const (
	OpAssumeRole       = "sts:AssumeRole" //nolint:gosec // G101: a name, not a credential
	OpCallerIdentity   = "sts:GetCallerIdentity"
	OpListBucket       = "s3:ListBucket"
	OpLocateBucket     = "s3:GetBucketLocation"
	OpDescribeTable    = "dynamodb:DescribeTable"
	opGetRole          = "iam:GetRole"
	opCreateRole       = "iam:CreateRole"
	opDeleteRole       = "iam:DeleteRole"
	opTagRole          = "iam:TagRole"
	opUpdateTrust      = "iam:UpdateAssumeRolePolicy"
	opListRolePolicies = "iam:ListRolePolicies"
	opGetRolePolicy    = "iam:GetRolePolicy"
	opPutRolePolicy    = "iam:PutRolePolicy"
	opDeleteRolePolicy = "iam:DeleteRolePolicy"
	opEncrypt          = "kms:Encrypt"
	opDecrypt          = "kms:Decrypt"
)

func ops() []string {
	return []string{
		OpAssumeRole, OpCallerIdentity, OpListBucket, OpLocateBucket, OpDescribeTable, opGetRole, opCreateRole, opDeleteRole,
		opTagRole, opUpdateTrust, opListRolePolicies, opGetRolePolicy, opPutRolePolicy, opDeleteRolePolicy, opEncrypt, opDecrypt,
	}
}

// Outcome is "ok" or the [cloud.Fault] that a call ended with.
type Outcome string

// OK is the outcome of a call that succeeded.
const OK Outcome = "ok"

func outcomes() []Outcome {
	all := []Outcome{OK}
	for _, f := range []cloud.Fault{
		cloud.FaultDenied, cloud.FaultInvalid, cloud.FaultNotFound, cloud.FaultExists, cloud.FaultLimit, cloud.FaultTooLarge,
		cloud.FaultThrottled, cloud.FaultUnavailable, cloud.FaultExpired,
	} {
		all = append(all, Outcome(f))
	}
	return all
}

func outcomeOf(err error) Outcome {
	if err == nil {
		return OK
	}
	return Outcome(cloud.FaultOf(err))
}

// Observer hears of every call that was made: which, how it ended, and how long it took. It must be safe for concurrent
// use and quick.
type Observer func(op string, outcome Outcome, took time.Duration)

// NewMetrics registers the counters of calls to AWS and returns the observer that feeds them. One per process: clients
// and platforms share it.
func NewMetrics(reg prometheus.Registerer) Observer {
	calls := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rolebridge_aws_calls_total",
		Help: "Calls to AWS by operation and outcome: ok, or why not.",
	}, []string{"op", "outcome"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "rolebridge_aws_call_seconds",
		Help:    "How long calls to AWS took, whatever the outcome.",
		Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"op"})
	reg.MustRegister(calls, seconds)
	for _, op := range ops() {
		seconds.WithLabelValues(op)
		for _, outcome := range outcomes() {
			calls.WithLabelValues(op, string(outcome))
		}
	}
	return func(op string, outcome Outcome, took time.Duration) {
		calls.WithLabelValues(op, string(outcome)).Inc()
		seconds.WithLabelValues(op).Observe(took.Seconds())
	}
}
