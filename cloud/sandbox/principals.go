package sandbox

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/rolebridge/rolebridge/cloud/aws/policy"
)

// trustDocument is a trust policy as it was written, and whom it meant: AWS keeps the unique id behind each role and user
// that a trust policy names, and shows the id where the ARN no longer leads to it.
type trustDocument struct {
	Text string            `json:"text"`
	IDs  map[string]string `json:"ids,omitempty"` // ARN → unique id when it was written
}

// bindTrust refuses what CreateRole and UpdateAssumeRolePolicy refuse, and notes whom the principals mean. It needs the
// read lock.
func (s *Sandbox) bindTrust(text string) (trustDocument, error) {
	ids := map[string]string{}
	missing := ""
	exists := func(principal string) bool {
		if a, whole := accountOf(principal); whole {
			if _, ok := s.state.Accounts[a]; ok {
				return true
			}
		} else if id, ok := s.uniqueID(principal); ok {
			ids[principal] = id
			return true
		}
		missing = principal
		return false
	}
	parsed := policy.Parse(policy.Trust, []byte(text))
	found := parsed.Validate(exists)
	if missing == "" {
		// Without a principal that is missing, the ids are next: AWS turns them back into the ARNs that they stand for.
		text = eachPrincipal(text, func(value string) string {
			if !uniquePrincipal.MatchString(value) {
				return value
			}
			arn, ok := s.arnOfUnique(value)
			if !ok {
				missing = value
				return value
			}
			ids[arn] = value
			return arn
		})
	}
	if missing != "" {
		return trustDocument{}, refuse(400, "MalformedPolicyDocument", `Invalid principal in policy: "AWS":%q`, missing)
	}
	return trustDocument{text, ids}, firstRefusal(found)
}

var uniquePrincipal = regexp.MustCompile(`^(AROA|AIDA)[A-Z2-7]{16}$`)

// accountOf recognises the two ways to name a whole account.
func accountOf(principal string) (string, bool) {
	if accountID.MatchString(principal) {
		return principal, true
	}
	a, ok := strings.CutPrefix(principal, "arn:aws:iam::")
	if a, root := strings.CutSuffix(a, ":root"); ok && root && accountID.MatchString(a) {
		return a, true
	}
	return "", false
}

func (s *Sandbox) arnOfUnique(id string) (string, bool) {
	for _, a := range s.state.Accounts {
		for _, r := range a.Roles {
			if r.ID == id {
				return a.roleARN(r), true
			}
		}
		for _, u := range a.Users {
			if u.ID == id {
				return a.userARN(u), true
			}
		}
	}
	return "", false
}

// current is the document as IAM shows it and STS decides with it: an ARN that no longer leads to whom it meant has
// become a unique id, which no caller has any more. It needs the read lock.
func (s *Sandbox) current(doc trustDocument) string {
	stale := false
	for arn, meant := range doc.IDs {
		now, _ := s.uniqueID(arn)
		stale = stale || now != meant
	}
	if !stale {
		return doc.Text
	}
	return eachPrincipal(doc.Text, func(value string) string {
		meant, named := doc.IDs[value]
		if now, _ := s.uniqueID(value); named && now != meant {
			return meant
		}
		return value
	})
}

// eachPrincipal returns the document with what f returned for every value of Principal. A document that is not JSON is
// returned as it is, and so is one that f leaves alone.
func eachPrincipal(text string, f func(value string) string) string {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var doc map[string]any
	if err := decoder.Decode(&doc); err != nil {
		return text
	}
	statements, ok := doc["Statement"].([]any)
	if !ok {
		statements = []any{doc["Statement"]}
	}
	changed := false
	replace := func(value string) string {
		next := f(value)
		changed = changed || next != value
		return next
	}
	for _, statement := range statements {
		fields, _ := statement.(map[string]any)
		for _, element := range []string{"Principal", "NotPrincipal"} {
			if principal, ok := fields[element].(map[string]any); ok {
				principal["AWS"] = mapStrings(principal["AWS"], replace)
				if principal["AWS"] == nil {
					delete(principal, "AWS")
				}
			}
		}
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(doc); err != nil || !changed {
		return text
	}
	return strings.TrimSuffix(out.String(), "\n")
}

func mapStrings(values any, f func(string) string) any {
	switch v := values.(type) {
	case string:
		return f(v)
	case []any:
		for i := range v {
			if text, ok := v[i].(string); ok {
				v[i] = f(text)
			}
		}
	}
	return values
}
