package policy

import (
	"bytes"
	"fmt"
	"strings"
)

// Format is how a document is handed to a customer.
type Format string

// The formats. All hold the same policy.
const (
	FormatJSON           Format = "json"
	FormatTerraform      Format = "terraform"
	FormatCloudFormation Format = "cloudformation"
	FormatCLI            Format = "cli"
)

// Formats lists them in the order in which they are offered.
func Formats() []Format {
	return []Format{FormatJSON, FormatTerraform, FormatCloudFormation, FormatCLI}
}

// Names are what a document around a policy needs.
type Names struct {
	// Role is the name of the customer's role, without path; 1 to 64 of [\w+=,.@-].
	Role string
	// Policy is the name of the inline policy, for permission policies; 1 to 128 of the same.
	Policy string
	// RoleExists makes the commands for a trust policy change the role instead of creating it. Terraform and
	// CloudFormation always describe the role as a whole.
	RoleExists bool
}

// Render writes the document in a format. JSON needs no names. Errors are *FieldError, also for an unknown format.
func (d Document) Render(format Format, names Names) ([]byte, error) {
	if format == FormatJSON {
		return d.JSON(), nil
	}
	if err := checkName("role name", names.Role, 64); err != nil {
		return nil, err
	}
	if d.Kind != Trust {
		if err := checkName("policy name", names.Policy, 128); err != nil {
			return nil, err
		}
	}
	switch format {
	case FormatTerraform:
		return d.terraform(names), nil
	case FormatCloudFormation:
		return d.cloudFormation(names), nil
	case FormatCLI:
		return d.commands(names), nil
	}
	return nil, &FieldError{"format", string(format), "json, terraform, cloudformation or cli"}
}

// commands are for a POSIX shell: the policy stands in single quotes, in which nothing is replaced.
func (d Document) commands(names Names) []byte {
	policy := "'" + strings.ReplaceAll(strings.TrimSuffix(string(d.JSON()), "\n"), "'", `'\''`) + "'"
	switch {
	case d.Kind != Trust:
		return fmt.Appendf(nil, "aws iam put-role-policy \\\n  --role-name %s \\\n  --policy-name %s \\\n  --policy-document %s\n", names.Role, names.Policy, policy)
	case names.RoleExists:
		return fmt.Appendf(nil, "aws iam update-assume-role-policy \\\n  --role-name %s \\\n  --policy-document %s\n", names.Role, policy)
	}
	return fmt.Appendf(nil, "aws iam create-role \\\n  --role-name %s \\\n  --assume-role-policy-document %s\n", names.Role, policy)
}

// terraform is one resource of the hashicorp/aws provider, laid out as `terraform fmt` does.
func (d Document) terraform(names Names) []byte {
	var b bytes.Buffer
	if d.Kind == Trust {
		fmt.Fprintf(&b, "resource \"aws_iam_role\" \"rolebridge\" {\n  name = %s\n  assume_role_policy = jsonencode(", hclString(names.Role))
	} else {
		fmt.Fprintf(&b, "resource \"aws_iam_role_policy\" \"rolebridge\" {\n  name = %s\n  role = %s\n  policy = jsonencode(", hclString(names.Policy), hclString(names.Role))
	}
	d.tree().hcl(&b, 1)
	b.WriteString(")\n}\n")
	return b.Bytes()
}

// hcl writes a tree as an expression of HCL.
func (n *node) hcl(b *bytes.Buffer, depth int) {
	switch n.kind {
	case kindObject:
		b.WriteByte('{')
		width := 0
		for i, m := range n.members {
			if i == 0 || !n.members[i-1].value.scalar() {
				width = n.hclWidth(i)
			}
			newLine(b, depth+1)
			key := hclKey(m.name)
			b.WriteString(key)
			if m.value.scalar() {
				b.WriteString(strings.Repeat(" ", width-len(key)))
			}
			b.WriteString(" = ")
			m.value.hcl(b, depth+1)
		}
		newLine(b, depth)
		b.WriteByte('}')
	case kindList:
		b.WriteByte('[')
		for _, item := range n.items {
			newLine(b, depth+1)
			item.hcl(b, depth+1)
			b.WriteByte(',')
		}
		newLine(b, depth)
		b.WriteByte(']')
	default:
		b.WriteString(hclString(n.text))
	}
}

func (n *node) scalar() bool { return n.kind != kindObject && n.kind != kindList }

// hclWidth is the longest key of the run of one-line members that starts at i; their equals signs stand in a column.
func (n *node) hclWidth(i int) int {
	width := 0
	for ; i < len(n.members) && n.members[i].value.scalar(); i++ {
		width = max(width, len(hclKey(n.members[i].name)))
	}
	return width
}

func hclKey(s string) string {
	if consists(s, 1, 256, func(r rune) bool { return isAlnum(r) || r == '_' }) {
		return s
	}
	return hclString(s)
}

// hclString is a quoted template without templates: ${ and %{ stand for themselves.
func hclString(s string) string {
	var b bytes.Buffer
	writeString(&b, s)
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(b.String())
}

// cloudFormation is a template of one resource.
func (d Document) cloudFormation(names Names) []byte {
	properties := objectNode()
	properties.set("RoleName", textNode(names.Role))
	kind := "AWS::IAM::Role"
	if d.Kind == Trust {
		properties.set("AssumeRolePolicyDocument", d.tree())
	} else {
		kind = "AWS::IAM::RolePolicy"
		properties.set("PolicyName", textNode(names.Policy))
		properties.set("PolicyDocument", d.tree())
	}
	resource, resources, root := objectNode(), objectNode(), objectNode()
	resource.set("Type", textNode(kind))
	resource.set("Properties", properties)
	resources.set("RoleBridge", resource)
	root.set("AWSTemplateFormatVersion", textNode("2010-09-09"))
	root.set("Resources", resources)
	var b bytes.Buffer
	root.yaml(&b, 0)
	b.WriteByte('\n')
	return b.Bytes()
}

// yaml writes a tree as block YAML. Every string stands in double quotes, where JSON's escapes are YAML's: no date, no
// account id and no star is taken for something else.
func (n *node) yaml(b *bytes.Buffer, depth int) {
	switch n.kind {
	case kindObject:
		for i, m := range n.members {
			if i > 0 {
				newLine(b, depth)
			}
			if consists(m.name, 1, 256, isAlnum) {
				b.WriteString(m.name)
			} else {
				writeString(b, m.name)
			}
			b.WriteByte(':')
			if m.value.scalar() {
				b.WriteByte(' ')
			} else {
				newLine(b, depth+1)
			}
			m.value.yaml(b, depth+1)
		}
	case kindList:
		for i, item := range n.items {
			if i > 0 {
				newLine(b, depth)
			}
			b.WriteString("- ")
			item.yaml(b, depth+1)
		}
	default:
		writeString(b, n.text)
	}
}
