package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/cloud/aws/policy"
)

// documents are what can be rendered, in the order of a set-up.
func documents() []string {
	return append([]string{"first-trust", "final-trust"}, policy.Connectors()...)
}

func newPolicyRender(s streams) *cobra.Command {
	var names policy.Names
	var s3 policy.S3
	var table policy.DynamoDB
	var role, partition string
	var ids []string
	var sourceIdentity bool
	formats := make([]string, 0, len(policy.Formats()))
	for _, f := range policy.Formats() {
		formats = append(formats, string(f))
	}
	out := oneOfThese(formats...)
	c := &cobra.Command{
		Use:       "render <document>",
		Short:     "Write a policy, ready to paste.",
		Long:      "Write a policy, ready to paste: first-trust, final-trust, s3-sink, s3-source, dynamodb-sink or dynamodb-source.",
		ValidArgs: documents(),
		Example: examples(
			"The trust policy that lets the platform in.",
			"rolebridge policy render final-trust --principal arn:aws:iam::111122223333:role/cspi-12345 --external-id 123456-2312",
			"What an S3 sink needs, as Terraform.",
			"rolebridge policy render s3-sink --bucket orders --prefix topics --format terraform --role-name my-role --policy-name s3-sink",
		),
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := complete(c, args[0], out.value); err != nil {
				return err
			}
			s3.Partition, table.Partition = partition, partition
			var d policy.Document
			var err error
			switch args[0] {
			case "first-trust":
				d = policy.FirstTrust()
			case "final-trust":
				if d, err = policy.FinalTrust(role, ids...); err == nil && sourceIdentity {
					d = d.WithSourceIdentity()
				}
			default:
				if !slices.Contains(documents(), args[0]) {
					return usagef("%s: want one of %v", args[0], documents())
				}
				d, err = policy.Permissions(args[0], s3, table)
			}
			if err != nil {
				return usage(err)
			}
			text, err := d.Render(policy.Format(out.value), names)
			if err != nil {
				return usage(err)
			}
			_, err = s.out.Write(text)
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&role, "principal", "", "final-trust: ARN of the platform's role.")
	f.StringSliceVar(&ids, "external-id", nil, "final-trust: the external ID; two during a rotation.")
	f.BoolVar(&sourceIdentity, "source-identity", false, "final-trust: sessions may have a source identity.")
	f.StringVar(&s3.Bucket, "bucket", "", "s3-…: the bucket.")
	f.StringVar(&s3.Prefix, "prefix", "", "s3-…: where the objects are; empty is the whole bucket.")
	f.StringVar(&table.Table, "table", "", "dynamodb-…: the table.")
	f.StringVar(&table.Region, "region", "", "dynamodb-…: the table's region.")
	f.StringVar(&table.Account, "account", "", "dynamodb-…: the table's account.")
	f.StringVar(&partition, "partition", "aws", "aws, aws-cn or aws-us-gov.")
	f.StringVar(&names.Role, "role-name", "", "Name of the customer's role, for every format but json.")
	f.StringVar(&names.Policy, "policy-name", "", "Name of the inline policy, for every format but json.")
	f.BoolVar(&names.RoleExists, "role-exists", false, "cli: change the role instead of creating it.")
	f.Var(out, "format", "Output format: json, terraform, cloudformation or cli.")
	return c
}

// complete says which flags a document needs, all at once, and which are missing.
func complete(c *cobra.Command, document, as string) error {
	needs := map[string][]string{"final-trust": {"principal", "external-id"}}
	for _, name := range policy.Connectors() {
		needs[name] = []string{"bucket"}
		if strings.HasPrefix(name, "dynamodb") {
			needs[name] = []string{"table", "region", "account"}
		}
	}
	wanted := needs[document]
	if as != string(policy.FormatJSON) {
		wanted = append(wanted, "role-name")
		if !strings.HasSuffix(document, "-trust") {
			wanted = append(wanted, "policy-name")
		}
	}
	var missing []string
	for _, name := range wanted {
		if !c.Flags().Changed(name) {
			missing = append(missing, "--"+name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return usagef("%s as %s needs %s", document, as, strings.Join(missing, ", "))
}
