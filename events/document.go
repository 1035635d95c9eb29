package events

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Attributes of signed commands; package events/signature has their meaning.
const (
	ExtSignature    = "signature"
	ExtSignatureKey = "signaturekey"
)

// Document returns the event in a record as one JSON object, in the JSON format of CloudEvents 1.0, whether it came in
// binary or in structured mode. Texts are as they stand in the record, a time too: what somebody signed must not change by
// being read. It judges nothing; [Codec.Command] does.
func Document(r *kgo.Record) ([]byte, error) {
	content := contentType(r)
	if structured(content) {
		return r.Value, nil
	}
	all := map[string]any{}
	for _, h := range r.Headers {
		name, ok := strings.CutPrefix(h.Key, headerPrefix)
		if !ok {
			continue
		}
		if _, twice := all[name]; twice {
			return nil, fmt.Errorf("header %s is there twice", h.Key)
		}
		all[name] = string(h.Value)
	}
	if content != "" {
		all["datacontenttype"] = content
	}
	if len(r.Value) > 0 {
		all["data"] = json.RawMessage(r.Value)
	}
	return json.Marshal(all)
}

// Extend adds an extension attribute to a record in binary mode, such as [Codec] writes.
func Extend(r *kgo.Record, name, value string) error {
	if structured(contentType(r)) {
		return fmt.Errorf("attribute %s: the record is in structured mode", name)
	}
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: headerPrefix + name, Value: []byte(value)})
	return nil
}
