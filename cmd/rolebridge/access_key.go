package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/api/wire"
)

func newAPIKeys(s streams) *cobra.Command {
	return group("api-key", "Manage API keys.", newAPIKeyCreate(s), newAPIKeyList(s),
		deleting(s, "API key", examples("End a key.", "rolebridge access api-key delete ABCDEFGHIJKLMNOP"),
			func(c *cobra.Command, api *client.Client, id string) (string, error) {
				k, err := api.APIKey(c.Context(), id)
				return k.Spec.DisplayName, err
			},
			func(c *cobra.Command, api *client.Client, id string) error { return api.DeleteAPIKey(c.Context(), id) }))
}

func newAPIKeyCreate(s streams) *cobra.Command {
	var name, description string
	var life time.Duration
	c := asking(s, &cobra.Command{
		Use:   "create <account>",
		Short: "Create an API key of a user or service account; its secret is shown once.",
		Example: examples(
			"Create a key that ends after 90 days.",
			"rolebridge access api-key create sa-12345abcde --expires-in 90d",
		),
		Args: exactly(1),
	}, func(a asked, args []string) error {
		if life < 0 {
			return usagef("--expires-in %v: has passed", life)
		}
		var r wire.APIKeyRequest
		r.Spec.Owner.ID, r.Spec.DisplayName, r.Spec.Description, r.Spec.ExpiresAt = args[0], name, description, expiry(life)
		k, err := call(a.api.CreateAPIKey(a.Context(), r))
		if err != nil {
			return err
		}
		o, err := call(a.api.Organization(a.Context()))
		if err != nil {
			o.ID = "" // the key is made; its secret must be shown
		}
		return s.showKey(a.out, firstKey{o.ID, k.Spec.Owner.ID, k.Spec.DisplayName, k.ID, k.Spec.Secret, k.Spec.ExpiresAt})
	})
	c.Flags().StringVar(&name, "name", "", "Name of the key.")
	c.Flags().StringVar(&description, "description", "", "Description.")
	lifeVar(c.Flags(), &life, "expires-in", 0, "Life of the key, e.g. 90d; 0 is without end.")
	return c
}

// listedKey is an API key as it is printed.
type listedKey struct {
	ID          string    `json:"id"`
	Account     string    `json:"account"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	CreatedAt   time.Time `json:"created_at"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
}

func newAPIKeyList(s streams) *cobra.Command {
	var account string
	c := asking(s, &cobra.Command{
		Use:     "list",
		Short:   "List API keys.",
		Example: examples("List the keys of a service account.", "rolebridge access api-key list --account sa-12345abcde"),
		Args:    exactly(0),
	}, func(a asked, _ []string) error {
		all, err := call(a.api.APIKeys(a.Context(), account))
		if err != nil {
			return err
		}
		keys, rows := make([]listedKey, 0, len(all)), make([][]string, 0, len(all))
		for _, k := range all {
			keys = append(keys, listedKey{k.ID, k.Spec.Owner.ID, k.Spec.DisplayName, k.Spec.Description, k.Metadata.CreatedAt, k.Spec.ExpiresAt})
			rows = append(rows, []string{k.ID, k.Spec.Owner.ID, k.Spec.DisplayName, when(k.Metadata.CreatedAt), until(k.Spec.ExpiresAt)})
		}
		return a.out.table(s.out, keys, []string{"API Key", "Account", "Name", "Created At", "Expires At"}, rows)
	})
	c.Flags().StringVar(&account, "account", "", "Only the keys of this user or service account.")
	return c
}

// until is an end for people; zero is never.
func until(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return when(t)
}
