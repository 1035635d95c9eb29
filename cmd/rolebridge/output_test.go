package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/creds"
)

// itsOwn are the verbs without --output, and why. Cobra's own, help and completion, print texts and scripts.
var itsOwn = map[string]string{
	"rolebridge serve":            "prints nothing but logs",
	"rolebridge healthcheck":      "prints nothing: its exit code is the result",
	"rolebridge credentials":      "prints what SDKs want of a credential_process",
	"rolebridge signing-key sign": "prints the event, as it is sent",
	"rolebridge policy evaluate":  "has --format, which knows other forms",
	"rolebridge policy lint":      "has --format, which knows other forms",
	"rolebridge policy render":    "has --format, which knows other forms",
}

// walk runs verbs in one format, and remembers which.
type walk struct {
	t    *testing.T
	form format
	ran  map[string]bool
}

// do runs a verb, and returns the documents that it printed.
func (w *walk) do(c *cli, code int, args ...string) (all []any) {
	w.t.Helper()
	root := newRoot(streams{})
	of, _, err := root.Find(args)
	if err != nil {
		w.t.Fatal(err)
	}
	w.ran[of.CommandPath()] = true
	got := c.want(w.t, code, append(args, "-o", string(w.form))...)
	decode := json.NewDecoder(strings.NewReader(got.out)).Decode
	if w.form == inYAML {
		decode = yaml.NewDecoder(strings.NewReader(got.out)).Decode
		if json.Valid([]byte(got.out)) && len(got.out) > len("[]\n") {
			w.t.Errorf("%v: got JSON, want YAML: %s", args, got.out)
		}
	}
	for {
		var one any
		if err := decode(&one); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			w.t.Errorf("%v: %v in %s", args, err, got.out)
			break
		}
		switch one.(type) {
		case map[string]any, []any:
			all = append(all, one)
		default: // a sentence is YAML, too
			w.t.Errorf("%v: got %s, want a document", args, got.out)
		}
	}
	if len(all) == 0 {
		w.t.Errorf("%v: printed nothing", args)
		all = append(all, nil)
	}
	return all
}

// field is a text of the first document.
func (w *walk) field(all []any, name string) string {
	w.t.Helper()
	first, _ := all[0].(map[string]any)
	switch value := first[name].(type) {
	case string:
		return value
	case int:
		return strconv.Itoa(value)
	case float64:
		return strconv.FormatInt(int64(value), 10)
	}
	w.t.Errorf("no %s in %v", name, all)
	return ""
}

func TestEveryVerbThatPrintsAResultObeysTheOutputFormat(t *testing.T) {
	t.Parallel()
	for _, form := range []format{inJSON, inYAML} {
		t.Run(string(form), func(t *testing.T) {
			t.Parallel()
			w := &walk{t, form, map[string]bool{}}
			w.askTheAPI()
			w.goWithoutAServer()
			w.speakToKafka()
			for _, c := range visible(newRoot(streams{})) {
				path, why := c.CommandPath(), itsOwn[c.CommandPath()]
				switch has := c.Flags().Lookup("output") != nil; {
				case c.HasAvailableSubCommands() && path != "rolebridge credentials":
				case has && why != "":
					t.Errorf("%s: has --output, and a reason to have none: %s", path, why)
				case !has && why == "":
					t.Errorf("%s: has no --output, and no reason", path)
				case has && !w.ran[path]:
					t.Errorf("%s: was not tried", path)
				}
			}
		})
	}
}

func (w *walk) askTheAPI() {
	s := apitest.Serve(w.t)
	c := at(s, apitest.Admin)
	c.env[envContexts] = filepath.Join(w.t.TempDir(), "config.yaml")
	id := w.field(w.do(c, 0, "pi", "create", "orders"), "id")
	w.do(c, 0, "pi", "update", id, "--customer-role-arn", roleARN)
	w.do(c, 0, "pi", "describe", id)
	w.do(c, 0, "pi", "list")
	w.do(c, 0, "pi", "validate", id)
	w.do(c, 0, "pi", "report", id)
	w.do(c, 0, "pi", "history", id)
	w.do(c, 0, "pi", "rotate-external-id", id)
	w.do(c, 0, "events", "tail", "-b", "--limit", "2")
	w.do(c, 0, "connector", "bind", id, "lcc-1")
	w.do(c, 0, "connector", "rotate-token", id, "lcc-1")
	w.do(c, 0, "connector", "list", id)
	w.do(c, 0, "connector", "describe", id, "lcc-1")
	w.do(c, 0, "connector", "unbind", id, "lcc-1")
	w.do(c, 0, "pi", "delete", id, "--force")
	for _, kind := range []string{"user", "service-account"} {
		who := w.field(w.do(c, 0, "access", kind, "create", "Somebody"), "id")
		w.do(c, 0, "access", kind, "update", who, "--name", "Else")
		w.do(c, 0, "access", kind, "describe", who)
		w.do(c, 0, "access", kind, "list")
		if kind == "service-account" {
			key := w.field(w.do(c, 0, "access", "api-key", "create", who), "key")
			w.do(c, 0, "access", "api-key", "list")
			w.do(c, 0, "access", "api-key", "delete", key, "--force")
			role := w.field(w.do(c, 0, "access", "role-binding", "create", "--principal", who, "--role", "Assigner"), "id")
			w.do(c, 0, "access", "role-binding", "list")
			w.do(c, 0, "access", "role-binding", "delete", role, "--force")
		}
		w.do(c, 0, "access", kind, "delete", who, "--force")
	}
	w.do(c, 0, "quota", "describe")
	w.do(at(s, apitest.Platform), 0, "quota", "update", "--provider-integrations", "7")
	w.do(c, 0, "context", "create", "a")
	w.do(c, 0, "context", "update", "a", "--environment", "env-2")
	w.do(c, 0, "context", "use", "a")
	w.do(c, 0, "context", "describe")
	w.do(c, 0, "context", "list")
	w.do(c, 0, "context", "delete", "a", "--force")
}

func (w *walk) goWithoutAServer() {
	c, dir := &cli{}, w.t.TempDir()
	keyset, key := filepath.Join(dir, "keyset.json"), filepath.Join(dir, "key.pem")
	w.do(c, 0, "version")
	w.do(c, 0, "man", filepath.Join(dir, "man1"))
	w.do(c, 0, "keyset", "create", keyset)
	keys, _ := w.do(c, 0, "keyset", "list", keyset)[0].([]any)
	if len(keys) != 1 {
		w.t.Fatalf("got %v, want one key", keys)
	}
	added := w.field(w.do(c, 0, "keyset", "add", keyset), "key")
	w.do(c, 0, "keyset", "promote", keyset, added)
	w.do(c, 0, "keyset", "remove", keyset, w.field(keys, "id"))
	w.do(c, 0, "signing-key", "create", key, "--name", "a", "--actor", "u-1")
	w.do(c, 0, "signing-key", "show", key)
	broker := httptest.NewServer(http.HandlerFunc(func(to http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(to).Encode([]creds.Explanation{{Integration: "cspi-1", Connector: "lcc-1", Answer: "ok"}})
	}))
	defer broker.Close()
	w.do(c, 0, "credentials", "explain", "lcc-1", "--operations-url", broker.URL)
}

func (w *walk) speakToKafka() {
	p := newPlane(w.t)
	w.do(p.cli, 7, "doctor", "--roles", "api")
	w.do(p.cli, 0, "topics", "apply", "--replication", "1", "--prefix", "other.")
	b := newBox(w.t, p)
	b.unread("org-1", "c-1", "unknown type", nil)
	p.decide(w.t)
	letters, _ := w.do(p.cli, 0, "dlq", "list")[0].([]any)
	if len(letters) != 1 {
		w.t.Fatalf("got %v, want one dead letter", letters)
	}
	letter := w.field(letters, "id")
	w.do(p.cli, 0, "dlq", "show", letter)
	w.do(p.cli, 0, "dlq", "replay", letter)
	w.do(p.cli, 0, "organization", "create", "org-2", "--admin", "u-admin")
	w.do(p.cli, 0, "organization", "configure", "org-2", "--quota", "5")
	w.do(p.cli, 0, "bootstrap", "org-3", "--admin", "u-admin")
	path := filepath.Join(w.t.TempDir(), "state.jsonl")
	w.do(p.cli, 0, "state", "export", path)
	w.do(p.cli, 0, "state", "import", path, "--dry-run")
}

func TestWhatWasDeletedIsTheResultAlsoWhenSomethingWasNot(t *testing.T) {
	t.Parallel()
	c := at(apitest.Serve(t), apitest.Admin)
	i, _ := create(t, c, "--customer-role-arn", roleARN)
	got := c.want(t, 4, "pi", "delete", i.ID, "cspi-unknown1", "--force", "-o", "json")
	if gone := read[map[string][]string](t, got)["deleted"]; !slices.Equal(gone, []string{i.ID}) {
		t.Errorf("got %q, want the one that is gone", got.out)
	}
}

func TestTheEndOfAnAPIKeyAndOfATokenIsShown(t *testing.T) {
	t.Parallel()
	c := at(apitest.Serve(t), apitest.Admin)
	who := read[person](t, c.want(t, 0, "access", "service-account", "create", "loads", "-o", "json")).ID
	if got := c.want(t, 0, "access", "api-key", "create", who, "--name", "nightly", "--expires-in", "90d"); !strings.Contains(got.out, "| Name         | nightly") || !strings.Contains(got.out, "| Expires At   | 2") {
		t.Errorf("got %s", got.out)
	}
	if got := c.want(t, 0, "access", "api-key", "create", who); !strings.Contains(got.out, "| Expires At   | never") {
		t.Errorf("got %s", got.out)
	}
	if got := c.want(t, 0, "access", "api-key", "list"); strings.Count(got.out, "| never") != 1 {
		t.Errorf("got %s", got.out)
	}
	i, _ := create(t, c, "--customer-role-arn", roleARN)
	made := read[bound](t, c.want(t, 0, "connector", "bind", i.ID, "lcc-1", "--token-expires-in", "90d", "-o", "json"))
	if made.ExpiresAt.IsZero() {
		t.Errorf("got %+v, want its end", made)
	}
	// What is rotated in has an end of its own.
	if got := c.want(t, 0, "connector", "rotate-token", i.ID, "lcc-1"); !strings.Contains(got.out, "| Token Expires At | never") {
		t.Errorf("got %s", got.out)
	}
	next := read[bound](t, c.want(t, 0, "connector", "rotate-token", i.ID, "lcc-1", "--token-expires-in", "180d", "-o", "json"))
	if !next.ExpiresAt.After(made.ExpiresAt) {
		t.Errorf("got %+v, want an end behind %v", next, made.ExpiresAt)
	}
	if got := c.want(t, 0, "connector", "rotate-token", "--help"); !strings.Contains(got.out, "without --token-expires-in the new token never ends") {
		t.Errorf("got %s", got.out)
	}
	if got := c.want(t, 0, "connector", "bind", i.ID, "lcc-2", "--spiffe", "spiffe://a.b/c"); strings.Contains(got.out, "Expires") {
		t.Errorf("without a token: got %s", got.out)
	}
}

func TestASigningKeysEntryIsTheSameInBothFormats(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, form := range []string{"human", "yaml", "json"} {
		path := filepath.Join(dir, form)
		entry := (&cli{}).want(t, 0, "signing-key", "create", path, "--name", "a", "--actor", "u-1", "-o", form)
		var got struct {
			Signers []struct {
				Name      string
				PublicKey string `yaml:"public_key"`
				Actors    []string
			}
		}
		if err := yaml.Unmarshal([]byte(entry.out), &got); err != nil || len(got.Signers) != 1 {
			t.Fatalf("%s: %v in %s", form, err, entry.out)
		}
		shown := (&cli{}).want(t, 0, "signing-key", "show", path, "-o", "json")
		if s := got.Signers[0]; s.Name != "a" || !slices.Equal(s.Actors, []string{"u-1"}) || s.PublicKey != jsonField(t, shown.out, "public_key") {
			t.Errorf("%s: got %+v", form, s)
		}
		if text, err := os.ReadFile(path); err != nil || strings.Contains(entry.out+entry.err, strings.Split(string(text), "\n")[1]) {
			t.Errorf("%s: the private key was printed, or is not there: %v", form, err)
		}
	}
}
