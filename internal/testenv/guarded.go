package testenv

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
)

// GuardedKafka starts a broker for this test alone, as [OwnKafka] does, that asks for a user and a password (SASL PLAIN) and
// lets nobody do what no ACL allows. users are who may log in, by name with their passwords. As operator one may do everything.
func GuardedKafka(t testing.TB, users map[string]string, options ...KafkaOption) (server *KafkaServer, operator kgo.Opt) {
	t.Helper()
	const name, password = "operator", "may-do-everything"
	var login strings.Builder
	fmt.Fprintf(&login, `org.apache.kafka.common.security.plain.PlainLoginModule required username=%q password=%q user_%s=%[2]q`, name, password, name)
	for _, user := range slices.Sorted(maps.Keys(users)) {
		fmt.Fprintf(&login, " user_%s=%q", user, users[user])
	}
	guard := []KafkaOption{
		KafkaProperty("listeners", "SASL_PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller.port}"),
		KafkaProperty("advertised.listeners", "SASL_PLAINTEXT://127.0.0.1:${port}"),
		KafkaProperty("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT"),
		KafkaProperty("inter.broker.listener.name", "SASL_PLAINTEXT"),
		KafkaProperty("sasl.enabled.mechanisms", "PLAIN"),
		KafkaProperty("sasl.mechanism.inter.broker.protocol", "PLAIN"),
		KafkaProperty("listener.name.sasl_plaintext.plain.sasl.jaas.config", login.String()+";"),
		KafkaProperty("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
		// The controller's listener knows no names.
		KafkaProperty("super.users", "User:"+name+";User:ANONYMOUS"),
	}
	return OwnKafka(t, append(guard, options...)...), kgo.SASL(plain.Auth{User: name, Pass: password}.AsMechanism())
}
