package main

import (
	"bufio"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/integration"
)

func newPolicyEvaluate(s streams) *cobra.Command {
	var q policy.Line
	var externalID string
	batch, out := false, oneOfThese("human", "json")
	c := &cobra.Command{
		Use:   "evaluate [file]",
		Short: "Say whether a trust policy lets somebody in.",
		Long: `Say whether a trust policy lets somebody in, as AWS would decide. "-" is standard input. What cannot be known is never an
allow. Exit code 0 means allowed, 3 denied, 2 that the policy or the question is invalid.

With --batch, standard input holds one question as a JSON object a line, and each is answered by one line:
  {"trustPolicy": {...}, "principalArn": "...", "externalId": "...", "tags": {...}, "action": "...", "context": {...}}
The exit code is then 0 whatever the answers are.`,
		Example: examples(
			"Is the platform let in without an external ID?",
			"rolebridge policy evaluate trust.json --principal arn:aws:iam::111122223333:role/cspi-12345",
		),
		Args: func(c *cobra.Command, args []string) error {
			if batch {
				return exactly(0)(c, args)
			}
			return exactly(1)(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			if batch {
				return s.evaluateLines()
			}
			if q.PrincipalARN == "" {
				return usagef("no caller: set --principal")
			}
			text, err := s.file(args[0])
			if err != nil {
				return err
			}
			if q.TrustPolicy, err = json.Marshal(string(text)); err != nil {
				return usage(err)
			}
			if c.Flags().Changed("external-id") {
				q.ExternalID = &externalID
			}
			return s.printAnswer(out.value, q.Answer())
		},
	}
	f := c.Flags()
	f.StringVar(&q.PrincipalARN, "principal", "", "ARN of the caller; a role's ARN means a session of it.")
	f.StringVar(&externalID, "external-id", "", "External ID that the caller sends; none unless given.")
	f.StringToStringVar(&q.Tags, "tag", nil, "Session tag that the caller asks for, KEY=VALUE.")
	f.StringVar(&q.Action, "action", "sts:AssumeRole", "What the caller wants to do.")
	f.StringVar(&q.RoleARN, "role-arn", "", "ARN of the role that the policy belongs to.")
	f.StringVar(&q.SessionName, "session-name", "", "Session name that the caller sends.")
	f.BoolVar(&batch, "batch", false, "Answer questions from standard input, one JSON object a line.")
	f.Var(out, "format", "Output format: human or json.")
	return c
}

func (s streams) printAnswer(form string, a policy.Answer) error {
	if form == "json" {
		text, err := json.MarshalIndent(a, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "%s\n", text)
	} else {
		fmt.Fprintln(s.out, a.Decision)
		for _, f := range a.Findings {
			fmt.Fprintf(s.out, "%d:%d: %s: %s [%s]\n", f.Line, f.Column, f.Severity, f.Message, f.Code)
		}
	}
	switch a.Decision {
	case policy.Allowed:
		return nil
	case policy.Invalid:
		return quiet(integration.CodeInvalid)
	}
	return quiet(integration.CodeDenied)
}

func (s streams) evaluateLines() error {
	lines := bufio.NewScanner(s.in)
	lines.Buffer(nil, 4*longestPolicy)
	out := bufio.NewWriter(s.out)
	for lines.Scan() {
		text, err := json.Marshal(policy.EvaluateLine(lines.Bytes()))
		if err != nil {
			return err
		}
		if _, err := out.Write(append(text, '\n')); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return usage(lines.Err())
}
