package creds_test

import (
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/integration"
)

func recipe() creds.Recipe {
	return creds.Recipe{
		Organization: "acme", Integration: "cspi-orders", Connector: "sink", Epoch: 3,
		Chain: []string{platformRole, customerRole}, ExternalID: externalID, SessionName: "sink@cspi-orders",
		Tags: map[string]string{"organization": "acme", "connector": "sink"}, Policy: `{"Version":"2012-10-17"}`, SourceIdentity: "who",
		Region: "eu-west-1", Duration: time.Hour,
	}
}

func TestEveryInputIsInTheKey(t *testing.T) {
	t.Parallel()
	changes := map[string][]func(*creds.Recipe){
		"Organization": {func(r *creds.Recipe) { r.Organization = "other" }},
		"Integration":  {func(r *creds.Recipe) { r.Integration = "cspi-other" }},
		"Connector":    {func(r *creds.Recipe) { r.Connector = "other" }},
		"Epoch":        {func(r *creds.Recipe) { r.Epoch++ }},
		"Chain": {
			func(r *creds.Recipe) { r.Chain = []string{platformRole + "x", customerRole} },
			func(r *creds.Recipe) { r.Chain = []string{platformRole, customerRole + "x"} },
			func(r *creds.Recipe) { r.Chain = []string{customerRole, platformRole} },
			func(r *creds.Recipe) { r.Chain = []string{platformRole} },
			func(r *creds.Recipe) { r.Chain = []string{platformRole + customerRole} },
		},
		"ExternalID":  {func(r *creds.Recipe) { r.ExternalID = "" }, func(r *creds.Recipe) { r.ExternalID += "x" }},
		"SessionName": {func(r *creds.Recipe) { r.SessionName = "other" }},
		"Tags": {
			func(r *creds.Recipe) { r.Tags = nil },
			func(r *creds.Recipe) { r.Tags = map[string]string{"organization": "acme", "connector": "other"} },
			func(r *creds.Recipe) { r.Tags = map[string]string{"organization": "sink", "connector": "acme"} },
			func(r *creds.Recipe) { r.Tags = map[string]string{"organization": "acme", "other": "sink"} },
		},
		"Policy":         {func(r *creds.Recipe) { r.Policy = "" }, func(r *creds.Recipe) { r.Policy += " " }},
		"SourceIdentity": {func(r *creds.Recipe) { r.SourceIdentity = "" }, func(r *creds.Recipe) { r.SourceIdentity += "x" }},
		"Region":         {func(r *creds.Recipe) { r.Region = "eu-west-2" }},
		"Duration":       {func(r *creds.Recipe) { r.Duration = 50 * time.Minute }},
	}
	for field := range reflect.TypeFor[creds.Recipe]().Fields() {
		if _, ok := changes[field.Name]; !ok {
			t.Errorf("no change of %s is tried", field.Name)
		}
	}
	seen := map[creds.Key]string{recipe().Key(): "nothing"}
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		for _, change := range changes[name] {
			r := recipe()
			change(&r)
			if was, ok := seen[r.Key()]; ok {
				t.Errorf("a change of %s gives the key of a change of %s", name, was)
			}
			seen[r.Key()] = name
		}
	}
}

func TestEqualRecipesHaveEqualKeys(t *testing.T) {
	t.Parallel()
	r := recipe()
	r.Tags = map[string]string{"connector": "sink", "organization": "acme"}
	if got, want := r.Key(), recipe().Key(); got != want {
		t.Errorf("the order of tags changes the key: %s, want %s", got, want)
	}
}

// Texts that run into one another are the classic fault of such keys: a+bc and ab+c.
func TestKeysAreEqualOnlyForEqualRecipes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[ab\x00]{0,3}`)
		draw := func(name string) creds.Recipe {
			return creds.Recipe{
				Organization: integration.OrganizationID(text.Draw(t, name)), Integration: integration.ID(text.Draw(t, name)),
				Connector: integration.ConnectorID(text.Draw(t, name)), Chain: rapid.SliceOfN(text, 1, 3).Draw(t, name),
				ExternalID: text.Draw(t, name), SessionName: text.Draw(t, name),
				Tags: rapid.MapOfN(text, text, 0, 2).Draw(t, name), Policy: text.Draw(t, name), Region: text.Draw(t, name),
			}
		}
		a, b := draw("a"), draw("b")
		if equal := reflect.DeepEqual(a, b); equal != (a.Key() == b.Key()) {
			t.Fatalf("recipes equal: %t, keys equal: %t\n%+v\n%+v", equal, !equal, a, b)
		}
	})
}
