package policy

import (
	"encoding/base64"
	"math/big"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// family is how an operator reads both sides.
type family byte

const (
	familyNone family = iota
	familyString
	familyFold
	familyLike
	familyARN
	familyNumber
	familyDate
	familyBool
	familyIP
	familyBinary
	familyNull
)

// relation is the comparison itself; negation is a flag of the operator.
type relation byte

const (
	equal relation = iota
	less
	lessEqual
	greater
	greaterEqual
)

// set is the quantifier in front of an operator.
type set byte

const (
	single set = iota
	forAny
	forAll
)

// operator is a condition operator taken apart.
type operator struct {
	family   family
	relation relation
	negated  bool
	ifExists bool
	set      set
	name     string // canonical spelling, with prefix and suffix
}

// known reports whether AWS has the operator.
func (o operator) known() bool { return o.family != familyNone }

// basics are the operators without prefix and suffix (IAM User Guide, condition operators).
var basics = map[string]operator{
	"StringEquals":              {family: familyString},
	"StringNotEquals":           {family: familyString, negated: true},
	"StringEqualsIgnoreCase":    {family: familyFold},
	"StringNotEqualsIgnoreCase": {family: familyFold, negated: true},
	"StringLike":                {family: familyLike},
	"StringNotLike":             {family: familyLike, negated: true},
	"ArnEquals":                 {family: familyARN},
	"ArnLike":                   {family: familyARN}, // documented as behaving like ArnEquals
	"ArnNotEquals":              {family: familyARN, negated: true},
	"ArnNotLike":                {family: familyARN, negated: true},
	"NumericEquals":             {family: familyNumber},
	"NumericNotEquals":          {family: familyNumber, negated: true},
	"NumericLessThan":           {family: familyNumber, relation: less},
	"NumericLessThanEquals":     {family: familyNumber, relation: lessEqual},
	"NumericGreaterThan":        {family: familyNumber, relation: greater},
	"NumericGreaterThanEquals":  {family: familyNumber, relation: greaterEqual},
	"DateEquals":                {family: familyDate},
	"DateNotEquals":             {family: familyDate, negated: true},
	"DateLessThan":              {family: familyDate, relation: less},
	"DateLessThanEquals":        {family: familyDate, relation: lessEqual},
	"DateGreaterThan":           {family: familyDate, relation: greater},
	"DateGreaterThanEquals":     {family: familyDate, relation: greaterEqual},
	"Bool":                      {family: familyBool},
	"BinaryEquals":              {family: familyBinary},
	"IpAddress":                 {family: familyIP},
	"NotIpAddress":              {family: familyIP, negated: true},
	"Null":                      {family: familyNull},
}

// foldedBasics finds an operator whatever its case.
var foldedBasics = func() map[string]string {
	folded := make(map[string]string, len(basics))
	for name := range basics {
		folded[strings.ToLower(name)] = name
	}
	return folded
}()

// parseOperator takes an operator's name apart. Case does not matter; the zero operator means that AWS has none of that
// name. Null takes no suffix: it asks for existence already.
func parseOperator(written string) operator {
	rest := strings.ToLower(written)
	var prefix, suffix string
	var s set
	if r, ok := strings.CutPrefix(rest, "foranyvalue:"); ok {
		rest, s, prefix = r, forAny, "ForAnyValue:"
	} else if r, ok := strings.CutPrefix(rest, "forallvalues:"); ok {
		rest, s, prefix = r, forAll, "ForAllValues:"
	}
	rest, ifExists := strings.CutSuffix(rest, "ifexists")
	if ifExists {
		suffix = "IfExists"
	}
	name, ok := foldedBasics[rest]
	if !ok || name == "Null" && (ifExists || s != single) {
		return operator{}
	}
	o := basics[name]
	o.set, o.ifExists, o.name = s, ifExists, prefix+name+suffix
	return o
}

// suggestOperator finds the known operator nearest to a misspelt one, "" when none is near.
func suggestOperator(written string) string {
	best, distance := "", 4
	low := strings.ToLower(written)
	var prefix string
	if i := strings.IndexByte(low, ':'); i >= 0 {
		switch low = low[i+1:]; {
		case strings.Contains(strings.ToLower(written[:i]), "any"):
			prefix = "ForAnyValue:"
		case strings.Contains(strings.ToLower(written[:i]), "all"):
			prefix = "ForAllValues:"
		}
	}
	for folded, name := range foldedBasics {
		if d := editDistance(low, folded); d < distance || d == distance && name < best {
			best, distance = name, d
		}
	}
	if best == "" {
		return ""
	}
	return prefix + best
}

// editDistance is Levenshtein's, for short names; long ones are simply far.
func editDistance(a, b string) int {
	if len(a) > 64 || len(b) > 64 || len(a) > len(b)+8 || len(b) > len(a)+8 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diagonal, row[j] = row[j], min(row[j]+1, row[j-1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// parsed is a value as its family reads it.
type parsed struct {
	ok     bool
	number *big.Rat
	date   time.Time
	prefix netip.Prefix
	bytes  string
	truth  bool
}

// read turns text into what the family compares. Families of strings have nothing to read and are always fine.
func (f family) read(text string) parsed {
	switch f {
	case familyNumber:
		// Bounded: an exponent of a million digits must not be expanded.
		if len(text) > 64 || strings.ContainsAny(text, "eEpPxX_/") {
			return parsed{}
		}
		n, ok := new(big.Rat).SetString(text)
		return parsed{ok: ok, number: n}
	case familyDate:
		return readDate(text)
	case familyBool, familyNull:
		switch strings.ToLower(text) {
		case "true":
			return parsed{ok: true, truth: true}
		case "false":
			return parsed{ok: true}
		}
		return parsed{}
	case familyIP:
		if p, err := netip.ParsePrefix(text); err == nil {
			return parsed{ok: true, prefix: p.Masked()}
		}
		if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
			return parsed{ok: true, prefix: netip.PrefixFrom(a, a.BitLen())}
		}
		return parsed{}
	case familyBinary:
		raw, err := base64.StdEncoding.DecodeString(text)
		return parsed{ok: err == nil, bytes: string(raw)}
	}
	return parsed{ok: true}
}

// dateLayouts are the W3C profile of ISO 8601, which AWS names as the format, besides seconds since 1970.
var dateLayouts = []string{
	time.RFC3339, "2006-01-02T15:04:05.999999999Z07:00", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02", "2006-01", "2006",
}

func readDate(text string) parsed {
	// Four digits are a year; anything longer and numeric is seconds.
	if len(text) > 4 {
		if s, err := strconv.ParseInt(text, 10, 64); err == nil {
			return parsed{ok: true, date: time.Unix(s, 0)}
		}
	}
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return parsed{ok: true, date: t}
		}
	}
	return parsed{}
}

// holds applies the relation to a comparison's sign.
func (r relation) holds(sign int) bool {
	switch r {
	case less:
		return sign < 0
	case lessEqual:
		return sign <= 0
	case greater:
		return sign > 0
	case greaterEqual:
		return sign >= 0
	}
	return sign == 0
}
