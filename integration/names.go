package integration

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

type (
	// OrganizationID is the tenant, and the key of every record on Kafka.
	OrganizationID string
	// EnvironmentID is a part of an organization, managed by the platform's control plane.
	EnvironmentID string
	// ID is an integration's: "cspi-" and lower-case letters and digits. [Decide] gives it out.
	ID string
	// ConnectorID is a running connector, unique within its integration.
	ConnectorID string
	// Principal is who asks: a user, a service account, or the platform itself.
	Principal string
)

// platformPrefix marks principals of the platform's own control plane. Whoever may write to the commands topic may
// name any principal, so this is a naming rule and not a proof: the topic's ACL is the proof.
const platformPrefix = "platform:"

// IsPlatform reports whether p is the platform's own control plane, which may create organizations and set quotas.
func (p Principal) IsPlatform() bool { return strings.HasPrefix(string(p), platformPrefix) }

// IDPrefix opens every integration's id, as clients of the provider-integration API expect.
const IDPrefix = "cspi-"

var (
	identifier = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)
	principal  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:@/|-]{0,127}$`)
	ids        = regexp.MustCompile(`^cspi-[a-z0-9]{5,32}$`)
	hexDigest  = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// MaxName is the longest display name, in characters.
const MaxName = 60

func checkIdentifier(field, value string) *Refusal {
	if !identifier.MatchString(value) {
		return refuseField(field, "want 1 to 64 letters, digits, '.', '_' or '-', starting with a letter or digit")
	}
	return nil
}

func checkPrincipal(field string, p Principal) *Refusal {
	if !principal.MatchString(string(p)) {
		return refuseField(field, "want 1 to 128 characters of letters, digits and . _ : @ / | -")
	}
	return nil
}

func checkID(field string, id ID) *Refusal {
	if !ids.MatchString(string(id)) {
		return refuseField(field, "want an integration's id: cspi- and 5 to 32 lower-case letters or digits")
	}
	return nil
}

// printable reports whether s has at most most printable characters, none of them white space at an end.
func printable(s string, most int) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= most && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, unseen)
}

// blank is the braille pattern without dots: by its category a symbol, and to the eye nothing.
const blank = '\u2800'

// unseen reports whether r is nothing to the eye, or stands for something that was lost on the way: what a JSON string
// cannot say of half a surrogate pair is read as the replacement character.
func unseen(r rune) bool {
	return !unicode.IsPrint(r) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) || r == blank || r == unicode.ReplacementChar
}

func checkName(name string) *Refusal {
	const field = "/display_name"
	switch n := utf8.RuneCountInString(name); {
	case !utf8.ValidString(name):
		return refuseField(field, "is not valid UTF-8")
	case n == 0 || strings.TrimSpace(name) != name:
		return refuseField(field, "want 1 to %d characters without white space around them", MaxName)
	case n > MaxName:
		return refuseField(field, "has %d characters; at most %d are allowed", n, MaxName)
	case strings.ContainsFunc(name, unseen):
		return refuseField(field, "holds a character that cannot be seen, or one that stands for something unreadable")
	case !strings.ContainsFunc(name, func(r rune) bool { return !unicode.Is(unicode.M, r) }):
		return refuseField(field, "has nothing that its marks could stand on")
	}
	return nil
}
