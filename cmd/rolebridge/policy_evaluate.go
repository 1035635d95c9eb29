package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/integration"
)

func newPolicyEvaluate(s streams) *cobra.Command {
	var q policy.Line
	var externalID, from string
	var context []string
	batch, out := false, oneOfThese("human", "json")
	c := &cobra.Command{
		Use:   "evaluate [<file> | -f <file> | --batch]",
		Short: "Say whether a trust policy lets somebody in.",
		Long: `Say whether a trust policy lets somebody in, as AWS would decide. "-" is standard input. What cannot be known is never an
allow. Exit code 0 means allowed, 3 denied, 2 that the policy or the question is invalid.

With --batch, standard input holds one question as a JSON object a line, and each is answered by one line, in order:
  {"trustPolicy": {...}, "principalArn": "...", "externalId": "...", "tags": {...}, "action": "...", "sessionName": "...",
   "roleArn": "...", "context": {...}}
  {"decision": "allow|implicit-deny|explicit-deny|invalid", "statement": 0, "findings": [...]}
Other fields are ignored; externalId and tags may be null. Tags that are there ask for sts:TagSession as well. The caller's own
policies are taken to allow. The exit code is then 0 whatever the answers are.`,
		Example: examples(
			"Is the platform let in without an external ID?",
			"rolebridge policy evaluate -f trust.json --principal arn:aws:iam::111122223333:role/cspi-12345",
			"Many questions at once.",
			"rolebridge policy evaluate --batch < questions.jsonl > answers.jsonl",
		),
		Args: func(c *cobra.Command, args []string) error {
			if batch {
				return exactly(0)(c, args)
			}
			return usage(cobra.MaximumNArgs(1)(c, args))
		},
		RunE: func(c *cobra.Command, args []string) error {
			if batch {
				return s.evaluateLines()
			}
			if q.PrincipalARN == "" {
				return usagef("no caller: set --principal")
			}
			if _, err := policy.NewCaller(q.PrincipalARN); err != nil {
				return usagef("--principal: %w", err)
			}
			name, err := theFile(args, from)
			if err != nil {
				return err
			}
			text, err := s.file(name)
			if err != nil {
				return err
			}
			if q.Context, err = contextOf(context); err != nil {
				return err
			}
			if q.TrustPolicy, err = json.Marshal(string(text)); err != nil {
				return usage(err)
			}
			if c.Flags().Changed("external-id") {
				q.ExternalID = &externalID
			}
			return s.printAnswer(out.value, q, q.Answer())
		},
	}
	f := c.Flags()
	f.StringVarP(&from, "file", "f", "", `File of the trust policy; "-" is standard input. Like the argument.`)
	f.StringVar(&q.PrincipalARN, "principal", "", "ARN of the caller; a role's ARN means a session of it.")
	f.StringVar(&externalID, "external-id", "", "External ID that the caller sends; none unless given.")
	f.StringToStringVar(&q.Tags, "tag", nil, "Session tag that the caller asks for, KEY=VALUE.")
	f.StringVar(&q.Action, "action", "sts:AssumeRole", "What the caller wants to do.")
	f.StringVar(&q.RoleARN, "customer-role-arn", "", "ARN of the role that the policy belongs to.")
	f.StringArrayVar(&context, "context", nil, "Further condition key of the request, KEY=VALUE; several values of a key by repeating it.")
	f.StringVar(&q.SessionName, "session-name", "", "Session name that the caller sends.")
	f.BoolVar(&batch, "batch", false, "Answer questions from standard input, one JSON object a line.")
	f.Var(out, "format", "Output format: human or json.")
	return c
}

// contextOf reads KEY=VALUE pairs.
func contextOf(pairs []string) (map[string]json.RawMessage, error) {
	values := map[string][]string{}
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, usagef("--context %s: want KEY=VALUE", pair)
		}
		values[key] = append(values[key], value)
	}
	out := make(map[string]json.RawMessage, len(values))
	for key, list := range values {
		text, err := json.Marshal(list)
		if err != nil {
			return nil, err
		}
		out[key] = text
	}
	return out, nil
}

func (s streams) printAnswer(form string, q policy.Line, a policy.Answer) error {
	if form == "json" {
		text, err := json.MarshalIndent(a, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "%s\n", text)
	} else {
		s.sayAnswer(q, a)
	}
	switch a.Decision {
	case policy.Allowed:
		return nil
	case policy.Invalid:
		return quiet(integration.CodeInvalid)
	}
	return quiet(integration.CodeDenied)
}

// sayAnswer prints the decision, who decided, and what it rests on.
func (s streams) sayAnswer(q policy.Line, a policy.Answer) {
	id := "without an external ID"
	if q.ExternalID != nil {
		id = "with external ID " + *q.ExternalID
	}
	action := q.Action
	if q.Tags != nil {
		action += " and sts:TagSession"
	}
	fmt.Fprintf(s.out, "%s: %s, by %s, %s\n", a.Decision, action, q.PrincipalARN, id)
	switch {
	case a.Statement != nil:
		fmt.Fprintf(s.out, "Statement %d decides.\n", *a.Statement)
	case a.Decision == policy.ImplicitDeny:
		fmt.Fprintln(s.out, "No statement allows it.")
	case a.Decision == policy.Invalid:
		fmt.Fprintln(s.out, "Nobody is let in: the policy or the question has no certain meaning.")
	}
	for _, f := range a.Findings {
		fmt.Fprintf(s.out, "%d:%d: %s: %s [%s]\n", f.Line, f.Column, f.Severity, f.Message, f.Code)
	}
}

// evaluateLines answers every line in its place, also one that is too long to be read.
func (s streams) evaluateLines() error {
	in, out := bufio.NewReaderSize(s.in, 64<<10), bufio.NewWriter(s.out)
	for {
		line, err := readLine(in)
		if err != nil && !errors.Is(err, io.EOF) {
			return usage(errors.Join(err, out.Flush()))
		}
		if len(line) > 0 || err == nil {
			text, fault := json.Marshal(policy.EvaluateLine(line))
			if fault != nil {
				return fault
			}
			if _, fault := out.Write(append(text, '\n')); fault != nil {
				return fault
			}
		}
		if err != nil {
			return out.Flush()
		}
	}
}

// readLine reads a line without its end. Of one that is too long it keeps just enough for that to be seen.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if room := policy.LongestLine + 3 - len(line); room > 0 {
			line = append(line, part[:min(len(part), room)]...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimRight(line, "\r\n"), err
		}
	}
}
