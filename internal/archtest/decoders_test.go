package archtest_test

import (
	"go/ast"
	"go/types"
	"slices"
	"strings"
	"testing"
)

// decodes are calls that make something of bytes, by how they begin. Code that takes bytes apart by itself is seen by its name
// alone, if that says that it parses.
var decodes = []string{
	"json.Unmarshal", "json.NewDecoder", "yaml.Unmarshal", "yaml.NewDecoder", "yaml.Parser", "strictyaml.Decode", "xml.Unmarshal", "xml.NewDecoder", "gob.NewDecoder",
	"jsonschema.UnmarshalJSON", "jcs.Transform", "pem.Decode", "x509.Parse", "jwt.ParseSigned", "keyset.NewJSONReader", "sse.Read",
	"spiffebundle.Parse", "x509bundle.Parse", "arn.Parse", "url.Parse", "url.PathUnescape", "url.QueryUnescape", "hex.DecodeString", "base64.", "netip.Parse",
	"net.ParseIP", "net.SplitHostPort", "strconv.Parse", "strconv.Atoi", "time.Parse", "mime.ParseMediaType", "tls.X509KeyPair", "fmt.Sscan",
}

// fuzzed are the functions that make something of others' bytes, and the fuzz target that reaches each: that it does so, and
// deep enough, is for whoever writes the line to see.
var fuzzed = map[string]string{
	"api.Config.Validate": "cmd/internal/app.FuzzTheSettings",
	"api.ReadKeys":        "api.FuzzTheKeysFile",
	"api.Server.begin":    "api.FuzzAnyRequest",
	"api.Server.lint":     "api.FuzzAnyRequest",
	"api.Server.report":   "api.FuzzAnyRequest",
	"api.bodies.parse":    "api.FuzzCreateBody",
	"api.bodies.read":     "api.FuzzAnyRequest",
	"api.readPage":        "api.FuzzAnyRequest",
	"api.readPlace":       "api.FuzzAnyRequest",
	"api.readToken":       "api.FuzzAnyRequest",
	"api.waitFor":         "api.FuzzAnyRequest",

	"api/client.Client.stream": "api/client.FuzzAnAnswer",
	"api/client.decode":        "api/client.FuzzAnAnswer",
	"api/client.failed":        "api/client.FuzzAnAnswer",
	"api/client.follow":        "api/client.FuzzAnAnswer",

	"cloud/aws.Client.TrustPolicy": "cloud/aws.FuzzAnAnswerOfAWS",
	"cloud/aws.ParseKMSKey":        "cloud/aws.FuzzAKMSKey",
	"cloud/aws.asFault":            "cloud/aws.FuzzAnAnswerOfAWS",

	"cloud/aws/policy.Line.Answer":   "cloud/aws/policy.FuzzALine",
	"cloud/aws/policy.Parse":         "cloud/aws/policy.FuzzParse",
	"cloud/aws/policy.ParseARN":      "cloud/aws/policy.FuzzAnARN",
	"cloud/aws/policy.family.read":   "cloud/aws/policy.FuzzEvaluate",
	"cloud/aws/policy.members":       "cloud/aws/policy.FuzzALine",
	"cloud/aws/policy.parseOperator": "cloud/aws/policy.FuzzEvaluate",
	"cloud/aws/policy.readDate":      "cloud/aws/policy.FuzzEvaluate",
	"cloud/aws/policy.scanner.hex4":  "cloud/aws/policy.FuzzParse",

	"cloud/sandbox.Sandbox.askS3":        "cloud/sandbox.FuzzASignedObjectRequest",
	"cloud/sandbox.bucketAndKey":         "cloud/sandbox.FuzzASignedObjectRequest",
	"cloud/sandbox.eachPrincipal":        "cloud/sandbox.FuzzASignedRequest",
	"cloud/sandbox.params.number":        "cloud/sandbox.FuzzASignedRequest",
	"cloud/sandbox.payloadHash":          "cloud/sandbox.FuzzAnyRequestGetsAnAnswer",
	"cloud/sandbox.querySignature":       "cloud/sandbox.FuzzAnyRequestGetsAnAnswer",
	"cloud/sandbox.readQuery":            "cloud/sandbox.FuzzASignedRequest",
	"cloud/sandbox.s3Operation.readCopy": "cloud/sandbox.FuzzASignedObjectRequest",
	"cloud/sandbox.signed.withScope":     "cloud/sandbox.FuzzAnyRequestGetsAnAnswer",
	"cloud/sandbox.unescape":             "cloud/sandbox.FuzzAnyRequestGetsAnAnswer",

	"cmd/rolebridge/contexts.File.Read": "cmd/rolebridge/contexts.FuzzTheContextsFile",

	"creds.KeysetFile.open":  "creds.FuzzAKeysetFile",
	"creds.KeysetFile.parse": "creds.FuzzAKeysetFile",
	"creds.Sealer.open":      "creds.FuzzASealedEntry",
	"creds.readQuery":        "creds.FuzzAnyRequestToTheBroker",
	"creds.refusalOf":        "creds.FuzzAnAnswerOfABroker",
	"creds.toProcess":        "creds.FuzzAnAnswerOfABroker",

	"events.Codec.Event":      "events.FuzzAnyRecord",
	"events.Codec.Result":     "events.FuzzAnyRecord",
	"events.Codec.checkData":  "events.FuzzAnyRecord",
	"events.Codec.data":       "events.FuzzACommandNeverPanics",
	"events.ReadStored":       "events.FuzzAStoredRecord",
	"events.StoredCheck.Read": "events/snapshot.FuzzAFile",
	"events.readBinary":       "events.FuzzAnyRecord",
	"events.readEnvelope":     "events.FuzzAnyRecord",
	"events.structured":       "events.FuzzAnyRecord",

	"events/dlq.ParseID": "events/dlq.FuzzALetter",
	"events/dlq.read":    "events/dlq.FuzzADeadRecord",

	"events/signature.Key.SignEvent":  "events/signature.FuzzSignEvent",
	"events/signature.ParseKey":       "events/signature.FuzzAKey",
	"events/signature.ParsePublicKey": "events/signature.FuzzAKey",
	"events/signature.ParseSigners":   "events/signature.FuzzTheSignersFile",
	"events/signature.Policy.Check":   "events/signature.FuzzCheck",
	"events/signature.canonical":      "events/signature.FuzzCheck",

	"events/snapshot.reader.first": "events/snapshot.FuzzAFile",
	"events/snapshot.strict":       "events/snapshot.FuzzAFile",

	"integration.Binding.UnmarshalJSON": "events.FuzzAStoredRecord",
	"integration.Config.UnmarshalJSON":  "events.FuzzAStoredRecord",
	"integration.ParseRoleARN":          "integration.FuzzACustomersIdentity",
	"integration.Workload.check":        "integration.FuzzAWorkload",
	"integration.validIssuer":           "integration.FuzzAWorkload",

	"internal/config.Load": "cmd/internal/app.FuzzTheSettings",

	"internal/dryrun.Server.answer": "internal/dryrun.FuzzAnyClaim",
	"internal/dryrun.read":          "internal/dryrun.FuzzAnAnswer",

	"internal/identity.Holder":         "internal/identity.FuzzAToken",
	"internal/identity.Verifier.Token": "internal/identity.FuzzAToken",
	"internal/identity.parseBundle":    "internal/identity.FuzzABundleFile",
	"internal/identity.parseKeys":      "internal/identity.FuzzAKeySet",
	"internal/identity.private":        "internal/identity.FuzzAKeySet",
	"internal/identity.web.get":        "internal/identity.FuzzAnIssuersDocuments",
	"internal/identity.web.keys":       "internal/identity.FuzzAnIssuersDocuments",

	"internal/listen.Sources.Of": "internal/listen.FuzzASource",

	"internal/strictyaml.Decode": "events/signature.FuzzTheSignersFile",
	"internal/strictyaml.Single": "cmd/internal/app.FuzzTheSettings",
}

// exempted are packages and functions that read only what we, or who runs them, wrote, or next to nothing. What others send to
// cmd/rolebridge it has from api/client, events and creds.
var exempted = map[string]string{
	"api.Server.noteChange":        "the place that our own answer names",
	"api.event":                    "what lifecycle alone writes, read by the codec before",
	"api.newBodies":                "our own document",
	"api/apitest":                  "for tests",
	"api/client.New":               "an address of who makes the client",
	"bench":                        "its own measurements",
	"cloud/aws.sameDocument":       "compares, and makes nothing of it",
	"cloud/aws/awstest":            "for tests",
	"cloud/aws/policy.Document":    "our own documents",
	"cloud/aws/policy.checkBucket": "says of a name whether it is one, and makes nothing of it",
	"cloud/aws/policy.node.child":  "a step of a pointer, which the linter makes",
	"cloud/sandbox.Sandbox.Listen": "an address of who runs it",
	"cloud/sandbox.chunks.copy":    "the size of a chunk, from a caller who is known, on loopback alone",
	"cloud/sandbox.conditions":     "an address of the kernel",
	"cloud/sandbox.objects.load":   "its own folder",
	"cloud/sandbox.openDisk":       "its own folder",
	"cloud/sandbox.show":           "its own digest",
	"cmd/devstack":                 "its own memory",
	"cmd/internal/app.ParseRoles":  "arguments of who types the command",
	"cmd/rolebridge":               "arguments and output of who types the command",
	"creds.AskExplanation":         "what our own broker tells its operator",
	"creds.checkAddress":           "an address of who types the command",
	"creds.fetchOnce":              "of Retry-After 1 to 10 s alone; it hands the rest to toProcess and refusalOf",
	"docs/examples/go":             "an example",
	"docs/generate":                "our own schemas",
	"events.NewStoredCheck":        "our own document",
	"events.schemaCompiler":        "our own schemas",
	"internal/certtest":            "for tests",
	"internal/dryrun.NewClient":    "a setting of the operator",
	"internal/identity.newDecoys":  "our own tokens",
	"internal/identity.newWeb":     "an address that was resolved",
	"internal/listen.Open":         "an address of the kernel",
	"internal/listen.Settings":     "settings of the operator, fuzzed as a whole in cmd/internal/app",
	"internal/listen.bySource":     "an address of the kernel",
	"internal/listen.certificate":  "the operator's own files",
	"internal/secret.Text":         "takes any text as it is",
	"internal/secret/secrettest":   "for tests",
	"internal/testenv/provision":   "what is installed here",
}

// function is the name of a declaration, behind that of its package's folder.
func function(f file, d *ast.FuncDecl) string {
	name := d.Name.Name
	if d.Recv != nil {
		of, _, _ := strings.Cut(strings.TrimPrefix(types.ExprString(d.Recv.List[0].Type), "*"), "[")
		name = of + "." + name
	}
	return f.dir() + "." + name
}

// decoder reports whether a function makes something of bytes: by a call of one that does, or by its name.
func decoder(d *ast.FuncDecl) (found bool) {
	name := d.Name.Name
	if name == "UnmarshalJSON" || name == "UnmarshalText" || strings.HasPrefix(strings.ToLower(name), "parse") {
		return true
	}
	ast.Inspect(d, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok {
			called := types.ExprString(c.Fun)
			decoding := !strings.HasPrefix(called, "base64.") || strings.Contains(called, "Decode")
			found = found || decoding && slices.ContainsFunc(decodes, func(begin string) bool { return strings.HasPrefix(called, begin) })
		}
		return !found
	})
	return found
}

// spares reports whether a function, its type or its package is exempted, and by which entry.
func spares(f file, name string) (entry string, ok bool) {
	for entry = name; strings.HasPrefix(entry, f.dir()); entry = entry[:strings.LastIndexByte(entry, '.')] {
		if _, ok := exempted[entry]; ok {
			return entry, true
		}
		if entry == f.dir() {
			break
		}
	}
	return "", false
}

// TestEveryDecoderHasAFuzzTarget asks for one by each function that makes something of bytes, or for the reason why not; and it
// asks for a decoder by each target.
func TestEveryDecoderHasAFuzzTarget(t *testing.T) {
	t.Parallel()
	functions, targets, used := map[string]bool{}, map[string]bool{}, map[string]bool{}
	decoders := 0
	for _, f := range repository(t) {
		for _, declared := range f.syntax.Decls {
			d, ok := declared.(*ast.FuncDecl)
			if !ok {
				continue
			}
			name := function(f, d)
			switch {
			case f.test():
				targets[name] = targets[name] || d.Recv == nil && strings.HasPrefix(d.Name.Name, "Fuzz")
				continue
			case !decoder(d):
				functions[name] = true
				continue
			}
			functions[name] = true
			decoders++
			entry, spared := spares(f, name)
			used[entry] = true
			if _, known := fuzzed[name]; known == spared {
				t.Errorf("%s: %s decodes: fuzzed: %t, exempted: %t; want one of the two", f.at(d), name, known, spared)
			}
		}
	}
	aims := map[string]bool{}
	for name, target := range fuzzed {
		if aims[target] = true; !functions[name] || !targets[target] {
			t.Errorf("%s, fuzzed by %s: there: %t and %t", name, target, functions[name], targets[target])
		}
	}
	for target, fuzzes := range targets {
		if fuzzes && !aims[target] {
			t.Errorf("%s is said to reach no decoder", target)
		}
	}
	for entry := range exempted {
		if !used[entry] {
			t.Errorf("%s is exempted and decodes nothing", entry)
		}
	}
	if decoders < 60 {
		t.Errorf("only %d functions decode: the rule looks at too little", decoders)
	}
}
