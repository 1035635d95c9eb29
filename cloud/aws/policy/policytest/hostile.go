// Package policytest holds policies that are meant to hurt whoever reads them.
//
// They are what package policy is held against: none of them may take more than 100 ms or 16 MB to read, lint, mend or
// evaluate, which bench measures and policy's tests bound. They are no examples of anything.
package policytest

import (
	"fmt"
	"strings"
)

// LongestID is as long as an external ID can be. The patterns of [Hostile] nearly match it.
var LongestID = strings.Repeat("a", 1224)

// Hostile are texts that cost much, or that readers have stumbled over, by what they are.
func Hostile() map[string][]byte {
	const million = 1 << 20
	full := func(piece string) []byte { return []byte(strings.Repeat(piece, 131_072/len(piece))) }
	statement := `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/r"},"Action":"sts:AssumeRole","Condition":{"StringLike":{"sts:ExternalId":"*a*a*a*a*b"}}}`
	in := func(s string) []byte { return []byte(`{"Version":"2012-10-17","Statement":[` + s + `]}`) }
	condition := func(s string) []byte {
		return in(`{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole","Condition":` + s + `}`)
	}
	list := func(item string, n int) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }
	return map[string][]byte{
		"1 MB of spaces":               []byte(strings.Repeat(" ", million)),
		"1 MB of brackets":             []byte(strings.Repeat("[", million)),
		"1 MB of text":                 in(`"` + strings.Repeat("x", million) + `"`),
		"the most that is read: lists": full("[],"),
		"the most: open objects":       full(`{"a":`),
		"the most: empty keys":         []byte("{" + list(`"":0`, 26_000) + "}"),
		"the most: keys that repeat":   []byte("{" + list(`"Statement":{}`, 8_700) + "}"),
		"the most: escapes":            in(`"` + strings.Repeat(`\u00e9`, 21_000) + `"`),
		"the most: invalid UTF-8":      []byte(strings.Repeat("\xff", 131_072)),
		"the most: half surrogates":    in(`"` + strings.Repeat(`\ud800`, 21_000) + `"`),
		"the most: unknown elements":   in(list(`{"x":1}`, 16_000)),
		"10,240 characters of faults":  in(list(`{"Effect":1}`, 780)),
		"statements":                   in(list(statement, 60)),
		"principals":                   in(`{"Effect":"Allow","Principal":{"AWS":[` + list(`"*"`, 2_500) + `]},"Action":"sts:*"}`),
		"stars":                        condition(`{"StringLike":{"sts:ExternalId":["` + strings.Repeat("*a", 4_900) + `"]}}`),
		"stars in many values":         condition(`{"StringLike":{"sts:ExternalId":[` + list(`"`+strings.Repeat("*a", 40)+`b"`, 118) + `]}}`),
		"question marks":               condition(`{"StringLike":{"sts:ExternalId":["` + strings.Repeat("?*", 4_900) + `z"]}}`),
		"ARN wildcards":                condition(`{"ArnLike":{"aws:PrincipalArn":[` + list(`"arn:*:*:*:*:`+strings.Repeat("*a", 40)+`"`, 100) + `]}}`),
		"variables":                    condition(`{"StringEquals":{"sts:ExternalId":["` + strings.Repeat("${sts:ExternalId}", 590) + `"]}}`),
		"variables in variables":       condition(`{"StringEquals":{"sts:ExternalId":["` + strings.Repeat("${", 4_900) + `"]}}`),
		"a number of 10,000 digits":    condition(`{"NumericEquals":{"aws:EpochTime":` + strings.Repeat("9", 10_000) + `}}`),
		"an exponent":                  condition(`{"NumericLessThan":{"aws:EpochTime":[1e999999999,"1e999999999"]}}`),
		"2,048 characters and one":     in(`{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole","Sid":"` + strings.Repeat("x", 1_975) + `"}`),
		"a null byte":                  []byte("{\"Version\":\"2012-10-17\x00\"}"),
		"a byte order mark":            []byte("\xef\xbb\xbf{}"),
		"UTF-16":                       []byte("\xff\xfe{\x00}\x00"),
		"two documents":                []byte(`{}{}`),
		"a key of 100,000 characters":  []byte(`{"` + strings.Repeat("k", 100_000) + `":1}`),
		"nothing":                      {},
		"unknown keys":                 condition(`{"StringEquals":{` + numbered(`"aws:sourceidentitycustomer%d":"x"`, 230) + `}}`),
		"long unknown keys":            condition(`{"StringEquals":{` + numbered(`"aws:`+strings.Repeat("k", 58)+`%d":"x"`, 120) + `}}`),
		"unknown operators":            condition(`{` + numbered(`"ForAnyValue:StringEqualsIgnoreCasx%d":{"a:b":"x"}`, 180) + `}`),
		"unknown elements":             in(`{` + numbered(`"Principle%d":1`, 600) + `}`),
		"stars before what nearly is":  condition(`{"StringLike":{"sts:ExternalId":[` + list(`"*`+strings.Repeat("a", 610)+`b"`, 15) + `]}}`),
		"question marks in between":    condition(`{"StringLike":{"sts:ExternalId":[` + list(`"*`+strings.Repeat("a?", 305)+`b*"`, 15) + `]}}`),
		"the same in many statements":  in(list(`{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:*","Condition":{"StringLike":{"sts:ExternalId":"*`+strings.Repeat("a", 500)+`b"}}}`, 15)),
		"the same to refuse":           in(list(`{"Effect":"Deny","Principal":{"AWS":"*"},"Action":"sts:*","Condition":{"StringNotLike":{"sts:ExternalId":"*`+strings.Repeat("a?", 250)+`b"}}}`, 15)),
		"variables and stars":          condition(`{"StringLike":{"sts:ExternalId":[` + list(`"`+strings.Repeat("${sts:ExternalId}*", 100)+`b"`, 5) + `]}}`),
		"many values with a variable":  condition(`{"StringEquals":{"sts:ExternalId":[` + list(`"${sts:ExternalId}b"`, 440) + `]}}`),
		"an account again and again":   in(`{"Effect":"Allow","Principal":{"AWS":[` + list(`"111122223333"`, 600) + `]},"Action":"sts:*"}`),
		"statements for everybody":     in(list(`{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:*"}`, 160)),
		"statements under one ID":      in(list(`{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:*","Condition":{"StringEquals":{"sts:ExternalId":"x"}}}`, 90)),
		"refusals to be kept":          in(numbered(`{"Sid":"s%d","Effect":"Deny","Principal":{"AWS":"*"},"Action":"sts:*","Condition":{"StringEquals":{"aws:x":"x"}}}`, 85)),
	}
}

// numbered repeats a text with a number in it, with commas between.
func numbered(format string, n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(format, i)
	}
	return strings.Join(all, ",")
}
