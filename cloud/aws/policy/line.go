package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// readLine reads a question of a batch. [json.Unmarshal] would take a name in any case, the last of several of one name,
// and broken UTF-8: two evaluators would then answer two questions.
func readLine(text []byte) (in Line, err error) {
	err = members(text, func(name string, value json.RawMessage) error {
		if string(value) == "null" {
			return nil
		}
		switch name {
		case "trustPolicy":
			in.TrustPolicy = value
		case "principalArn":
			return readText(value, &in.PrincipalARN)
		case "externalId":
			in.ExternalID = new(string)
			return readText(value, in.ExternalID)
		case "action":
			return readText(value, &in.Action)
		case "sessionName":
			return readText(value, &in.SessionName)
		case "roleArn":
			return readText(value, &in.RoleARN)
		case "tags":
			in.Tags = map[string]string{}
			return keys(value, func(key string, value json.RawMessage) error {
				var text string
				err := readText(value, &text)
				in.Tags[key] = text
				return err
			})
		case "context":
			in.Context = map[string]json.RawMessage{}
			return keys(value, func(key string, value json.RawMessage) error {
				in.Context[key] = value
				return nil
			})
		}
		return nil
	})
	return in, err
}

// mostKeys bounds the tags, and the keys of a context, of one question. STS takes 50 tags.
const mostKeys = 500

// keys is members for names that have no case: tag keys at STS, and condition keys.
func keys(text []byte, f func(key string, value json.RawMessage) error) error {
	seen := map[string]bool{}
	return members(text, func(key string, value json.RawMessage) error {
		folded := strings.ToLower(key)
		switch {
		case seen[folded]:
			return errors.New("stands twice: case does not tell keys apart")
		case len(seen) == mostKeys:
			return fmt.Errorf("is one more than %d", mostKeys)
		}
		seen[folded] = true
		return f(key, value)
	})
}

// members calls f for each member of the object that text is, in order, and fails at a name that stands twice.
func members(text []byte, f func(name string, value json.RawMessage) error) error {
	if !utf8.Valid(text) {
		return errors.New("it is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	open, err := d.Token()
	if err != nil {
		return endless(err)
	}
	if open != json.Delim('{') {
		return errors.New("want an object")
	}
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return endless(err)
		}
		name, _ := token.(string) // it is no object otherwise
		if seen[name] {
			return fmt.Errorf("%s stands twice", quote(name))
		}
		seen[name] = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return endless(err)
		}
		if err := f(name, value); err != nil {
			return fmt.Errorf("%s: %w", quote(name), err)
		}
	}
	if _, err := d.Token(); err != nil {
		return endless(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is text after its end")
	}
	return nil
}

// endless names what the decoder means by the end of its input.
func endless(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it ends too early")
	}
	return err
}

func readText(value json.RawMessage, into *string) error {
	n, _, fault := scan(value)
	switch {
	case fault != nil:
		return errors.New(fault.message)
	case n.kind != kindText:
		return fmt.Errorf("is %s; want a string", n.kind)
	}
	*into = n.text
	return nil
}
