package policy

import "strings"

// expand replaces the policy variables of a value: ${key}, ${key, 'default'}, and ${*}, ${?}, ${$} for the characters
// themselves. What a request brings in is never a wildcard: a tag of "*" must not open a door.
//
// fault is "" or says why the value has no certain meaning; nothing may be allowed on it.
//
// What is expanded counts as effort: a kilobyte of variables may become a megabyte.
func expand(text string, ctx map[string][]string, e *effort) (p pattern, fault string) {
	for text != "" {
		if e.tooMuch() {
			return nil, "the values of the policy variables are too much to compare with"
		}
		start := strings.Index(text, "${")
		if start < 0 {
			return append(p, wild(text)...), ""
		}
		p = append(p, wild(text[:start])...)
		rest := text[start+2:]
		end := variableEnd(rest)
		if end < 0 {
			return nil, "a policy variable is not closed"
		}
		value, fault := resolve(rest[:end], ctx)
		if fault != "" {
			return nil, fault
		}
		*e += effort(len(value) * expansionCosts)
		p = append(p, literal(value)...)
		text = rest[end+1:]
	}
	return p, ""
}

// variableEnd is the index of the closing brace; a default in quotes may hold braces.
func variableEnd(s string) int {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '\'':
			quoted = !quoted
		case s[i] == '}' && !quoted:
			return i
		}
	}
	return -1
}

func resolve(inside string, ctx map[string][]string) (value, fault string) {
	if inside == "*" || inside == "?" || inside == "$" {
		return inside, ""
	}
	key, fallback, hasDefault := strings.Cut(inside, ",")
	key = strings.TrimSpace(key)
	if hasDefault {
		var ok bool
		fallback = strings.TrimSpace(fallback)
		if fallback, ok = strings.CutPrefix(fallback, "'"); ok {
			fallback, ok = strings.CutSuffix(fallback, "'")
		}
		if !ok {
			return "", "the default of policy variable ${" + inside + "} is not in single quotes"
		}
	}
	if !strings.Contains(key, ":") || strings.ContainsAny(key, " ${") {
		return "", "${" + inside + "} is not a policy variable"
	}
	folded := strings.ToLower(key)
	values := ctx[folded]
	switch {
	case trait(folded)&many != 0 || len(values) > 1:
		return "", "${" + key + "} may have several values and cannot be a policy variable"
	case len(values) == 1:
		return values[0], ""
	case hasDefault:
		return fallback, ""
	}
	return "", "the request has no value for ${" + key + "}"
}
