package main

import (
	"context"
	"errors"
	"time"

	"github.com/rolebridge/rolebridge/cloud/aws/policy"
)

// policyEvaluations measures how many AssumeRole calls with tags one core decides in a second: by the final trust policy,
// which a decider of calls holds parsed, and as the baseline by the same policy's text.
func policyEvaluations(context.Context) (Result, error) {
	const (
		role     = "arn:aws:iam::111111111111:role/rolebridge/cspi-abc12"
		right    = "2f4c8a56-58b2-4a0f-9d7e-6d1c1f0b7a11"
		measured = 2 * time.Second
	)
	document, err := policy.FinalTrust(role, right)
	if err != nil {
		return Result{}, err
	}
	text := document.JSON()
	caller, err := policy.SessionCaller(role, "session")
	if err != nil {
		return Result{}, err
	}
	requests := []policy.Request{
		{Caller: caller, Resource: customerRole(1), ExternalID: right, SessionName: "session", Tags: map[string]string{"rolebridge": "yes"}},
		{Caller: caller, Resource: customerRole(1), ExternalID: "wrong", SessionName: "session", Tags: map[string]string{"rolebridge": "yes"}},
	}
	want := []policy.Decision{policy.Allowed, policy.ImplicitDeny}
	rate := func(of func() *policy.Policy) (float64, error) {
		n, begin := 0, time.Now()
		for time.Since(begin) < measured {
			for range 100 {
				if of().Assume(requests[n%2]).Decision != want[n%2] {
					return 0, errors.New("a decision is wrong")
				}
				n++
			}
		}
		return float64(n) / time.Since(begin).Seconds(), nil
	}
	parsed := policy.Parse(policy.Trust, text)
	held, err := rate(func() *policy.Policy { return parsed })
	if err != nil {
		return Result{}, err
	}
	anew, err := rate(func() *policy.Policy { return policy.Parse(policy.Trust, text) })
	return Result{
		Value: held, Unit: "evaluations/s on one core", Baseline: anew,
		Details: map[string]any{
			"baseline_is": "the policy's text is parsed for each evaluation", "bytes_of_policy": len(text),
			"a_request_is": "AssumeRole with a session tag: sts:AssumeRole and sts:TagSession are both decided",
		},
	}, err
}
