// Command go asks for a provider integration and waits for the answer. Its exit code is the one that docs/REFERENCE.md gives
// the reason of a refusal; 0 is yes.
//
//	KAFKA_BROKERS=kafka-1:9092 ROLEBRIDGE_ACTOR=u-admin go run . ORGANIZATION ENVIRONMENT NAME ROLE_ARN
package main

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gowebpki/jcs"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// source names this producer. Together with an id it is what makes a command one command.
const source = "/examples/go"

// exits are the exit codes of the reasons of refusal.
var exits = map[string]int{
	"invalid_configuration": 2, "forbidden": 3, "not_found": 4, "resource_already_exists": 5, "resource_in_use": 5, "conflict": 5,
	"quota_exceeded": 6, "too_many_requests": 7, "unavailable": 7, "timeout": 7, "unauthenticated": 8, "unproved": 8, "internal_error": 1,
}

func main() {
	if len(os.Args) != 5 || os.Getenv("KAFKA_BROKERS") == "" || os.Getenv("ROLEBRIDGE_ACTOR") == "" {
		fmt.Fprintln(os.Stderr, "usage: KAFKA_BROKERS=… ROLEBRIDGE_ACTOR=… go run . ORGANIZATION ENVIRONMENT NAME ROLE_ARN")
		os.Exit(2)
	}
	os.Exit(run(os.Args[1], os.Args[2], os.Args[3], os.Args[4]))
}

func run(organization, environment, name, role string) int {
	// A retry has the id of the first attempt: whatever happened to that one, it is decided once.
	id := cmp.Or(os.Getenv("COMMAND_ID"), rand.Text())
	prefix := cmp.Or(os.Getenv("ROLEBRIDGE_PREFIX"), "rolebridge.")
	patience, err := strconv.Atoi(cmp.Or(os.Getenv("ANSWER_WITHIN"), "60")) // seconds
	if err != nil {
		return fail(2, "ANSWER_WITHIN: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // until the command is sent
	defer cancel()

	kafka, err := kgo.NewClient( // TLS and SASL: kgo.DialTLSConfig, kgo.SASL
		kgo.SeedBrokers(strings.Split(os.Getenv("KAFKA_BROKERS"), ",")...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), // what was not committed was not decided
	)
	if err != nil {
		return fail(2, "%v", err)
	}
	defer kafka.Close()

	// Where to read from is settled before the command is sent, or its answer could be missed. Ten minutes back, for clocks
	// that differ, and so that a retry finds an answer that came meanwhile.
	events, err := kadm.NewClient(kafka).ListOffsetsAfterMilli(ctx, time.Now().Add(-10*time.Minute).UnixMilli(), prefix+"events")
	if err == nil {
		err = events.Error()
	}
	if err != nil {
		return fail(7, "look at the events: %v", err)
	}
	kafka.AddConsumePartitions(events.KOffsets())

	data, err := json.Marshal(map[string]any{
		"environment": environment, "display_name": name,
		"config": map[string]string{"kind": "AwsIntegrationConfig", "customer_iam_role_arn": role},
	})
	if err != nil {
		return fail(2, "%v", err)
	}
	command := &kgo.Record{Topic: prefix + "commands", Key: []byte(organization), Value: data}
	for _, h := range [][2]string{
		{"ce_specversion", "1.0"},
		{"ce_id", id},
		{"ce_source", source},
		{"ce_type", "integration.create"},
		{"ce_time", time.Now().UTC().Format(time.RFC3339)},
		{"ce_organization", organization},
		{"ce_actor", os.Getenv("ROLEBRIDGE_ACTOR")},
		{"content-type", "application/json"},
	} {
		command.Headers = append(command.Headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
	}
	key := os.Getenv("SIGNING_KEY")
	if key != "" {
		if err := sign(command, key, os.Getenv("SIGNING_KEY_ID")); err != nil {
			return fail(2, "sign the command: %v", err)
		}
	}
	if err := kafka.ProduceSync(ctx, command).FirstErr(); err != nil {
		return fail(7, "send the command: %v; try again with COMMAND_ID=%s", err, id)
	}

	ctx, cancel = context.WithTimeout(context.Background(), time.Duration(patience)*time.Second)
	defer cancel()
	var unproved *refusal
	for {
		fetches := kafka.PollFetches(ctx)
		if ctx.Err() != nil && unproved != nil {
			return unproved.report()
		}
		if ctx.Err() != nil {
			return fail(7, "no answer within %d s; try again with COMMAND_ID=%s, or look into %sdlq", patience, id, prefix)
		}
		if err := fetches.Err(); err != nil {
			return fail(7, "read the events: %v; try again with COMMAND_ID=%s", err, id)
		}
		for _, event := range fetches.Records() {
			h := map[string]string{}
			for _, header := range event.Headers {
				h[header.Key] = string(header.Value)
			}
			if h["ce_commandid"] != id || h["ce_commandsource"] != source || h["ce_organization"] != organization {
				continue
			}
			if h["ce_type"] != "command.refused" {
				return created(h["ce_subject"], event.Value)
			}
			var no refusal
			if err := json.Unmarshal(event.Value, &no); err != nil {
				return fail(1, "%s: %v", h["ce_type"], err)
			}
			if key == "" || no.Code != "unproved" {
				return no.report()
			}
			unproved = &no // perhaps of what somebody else sent under our id: ours is still to be answered
		}
	}
}

// sign adds a signature over all of the event, with the key in a file (PKCS #8 in PEM).
func sign(command *kgo.Record, file, id string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return errors.New("the file of the key is not PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return err
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return errors.New("the key is not Ed25519")
	}
	command.Headers = append(command.Headers, kgo.RecordHeader{Key: "ce_signaturekey", Value: []byte(id)})
	event := map[string]any{"data": json.RawMessage(command.Value)}
	for _, h := range command.Headers {
		if name, ok := strings.CutPrefix(h.Key, "ce_"); ok {
			event[name] = string(h.Value)
		} else {
			event["datacontenttype"] = string(h.Value)
		}
	}
	if text, err = json.Marshal(event); err != nil {
		return err
	}
	if text, err = jcs.Transform(text); err != nil { // RFC 8785
		return err
	}
	signature := base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, text))
	command.Headers = append(command.Headers, kgo.RecordHeader{Key: "ce_signature", Value: []byte(signature)})
	return nil
}

// created prints what was made.
func created(integration string, data []byte) int {
	var made struct {
		ExternalID string `json:"external_id"`
	}
	if err := json.Unmarshal(data, &made); err != nil {
		return fail(1, "integration.created: %v", err)
	}
	fmt.Println(integration, made.ExternalID)
	return 0
}

// refusal is the data of command.refused.
type refusal struct{ Code, Message, Field string }

func (r refusal) report() int {
	return fail(cmp.Or(exits[r.Code], 1), "refused: %s: %s %s", r.Code, r.Field, r.Message)
}

func fail(code int, format string, args ...any) int {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	return code
}
