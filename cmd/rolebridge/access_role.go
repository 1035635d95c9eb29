package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

func newRoleBindings(s streams) *cobra.Command {
	return group("role-binding", "Manage role bindings.", newRoleBindingCreate(s), newRoleBindingList(s),
		deleting(s, "role binding", examples("Take a role away.", "rolebridge access role-binding delete rb-0123456789abcdef"),
			func(c *cobra.Command, api *client.Client, id string) (string, error) {
				b, err := api.RoleBinding(c.Context(), id)
				return b.Principal + " " + b.RoleName, err
			},
			func(c *cobra.Command, api *client.Client, id string) error {
				return api.DeleteRoleBinding(c.Context(), id)
			}))
}

// role is a role binding as it is printed.
type role struct {
	ID         string `json:"id"`
	Principal  string `json:"principal"`
	Role       string `json:"role"`
	CRNPattern string `json:"crn_pattern"`
}

func aRole(b wire.RoleBinding) role { return role{b.ID, b.Principal, b.RoleName, b.CRNPattern} }

// ofPrincipal opens a principal where the API wants one; on the command line it may be left out.
const ofPrincipal = "User:"

func principal(text string) string {
	if text == "" || strings.HasPrefix(text, ofPrincipal) {
		return text
	}
	return ofPrincipal + text
}

func newRoleBindingCreate(s streams) *cobra.Command {
	l, out := login{streams: s}, format("")
	var who, name, id, pattern string
	c := &cobra.Command{
		Use:   "create",
		Short: "Give a role.",
		Long: `Give a role.

OrganizationAdmin is a role of the whole organization, EnvironmentAdmin one of environments; ResourceOwner and Assigner are
roles of an environment's integrations, or of one of them. An environment that ends in * stands for all whose ids begin so.`,
		Example: examples(
			"Let a service account bind connectors to one provider integration.",
			"rolebridge access role-binding create --principal User:sa-12345abcde --role Assigner --environment env-abcdef --provider-integration cspi-12345",
		),
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if who == "" || name == "" {
				return usagef("set --principal and --role")
			}
			api, err := l.client()
			if err != nil {
				return err
			}
			if id != "" && integration.Role(name) == integration.OrganizationAdmin {
				return usagef("--provider-integration: OrganizationAdmin is a role of the whole organization")
			}
			if pattern == "" {
				if pattern, err = l.pattern(c, api, integration.Role(name), id); err != nil {
					return err
				}
			}
			b, err := call(api.CreateRoleBinding(c.Context(), wire.RoleBindingRequest{Principal: principal(who), RoleName: name, CRNPattern: pattern}))
			if err != nil {
				return err
			}
			if out != human {
				return out.document(s.out, aRole(b))
			}
			return object(s.out, []row{{"ID", b.ID}, {"Principal", b.Principal}, {"Role", b.RoleName}, {"CRN Pattern", b.CRNPattern}})
		},
	}
	c.Flags().StringVar(&who, "principal", "", "User or service account, e.g. User:sa-12345abcde.")
	c.Flags().StringVar(&name, "role", "", "OrganizationAdmin, EnvironmentAdmin, ResourceOwner or Assigner.")
	c.Flags().StringVar(&id, "provider-integration", "", "Only this provider integration.")
	c.Flags().StringVar(&pattern, "crn-pattern", "", "Resource name or pattern, instead of the environment and provider integration.")
	l.flags(c)
	out.flag(c)
	return c
}

// pattern makes the pattern of a role's scope from the flags.
func (l *login) pattern(c *cobra.Command, api *client.Client, name integration.Role, id string) (string, error) {
	o, err := call(api.Organization(c.Context()))
	if err != nil || name == integration.OrganizationAdmin {
		return o.ResourceName, err
	}
	environment, err := l.within()
	if err != nil {
		return "", err
	}
	at := o.ResourceName + "/environment=" + environment
	if id != "" {
		at += "/provider-integration=" + id
	}
	return at, nil
}

func newRoleBindingList(s streams) *cobra.Command {
	var who, name string
	c := asking(s, &cobra.Command{
		Use:     "list",
		Short:   "List role bindings.",
		Example: examples("List the roles of a service account.", "rolebridge access role-binding list --principal User:sa-12345abcde"),
		Args:    exactly(0),
	}, func(a asked, _ []string) error {
		all, err := call(a.api.RoleBindings(a.Context(), principal(who), name))
		if err != nil {
			return err
		}
		roles, rows := make([]role, 0, len(all)), make([][]string, 0, len(all))
		for _, b := range all {
			roles = append(roles, aRole(b))
			rows = append(rows, []string{b.ID, b.Principal, b.RoleName, b.CRNPattern})
		}
		return a.out.table(s.out, roles, []string{"ID", "Principal", "Role", "CRN Pattern"}, rows)
	})
	c.Flags().StringVar(&who, "principal", "", "Only the roles of this user or service account.")
	c.Flags().StringVar(&name, "role", "", "Only this role.")
	return c
}
