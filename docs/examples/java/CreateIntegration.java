import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.Signature;
import java.security.spec.PKCS8EncodedKeySpec;
import java.time.Duration;
import java.time.Instant;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.erdtman.jcs.JsonCanonicalizer;

/**
 * Asks for a provider integration and waits for the answer. The exit code is the one that docs/REFERENCE.md gives the reason of
 * a refusal; 0 is yes.
 *
 * <pre>
 * mvn -q dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=jars
 * KAFKA_BROKERS=kafka-1:9092 ROLEBRIDGE_ACTOR=u-admin \
 *   java -cp 'jars/*' CreateIntegration.java ORGANIZATION ENVIRONMENT NAME ROLE_ARN
 * </pre>
 */
public class CreateIntegration {
    /** Names this producer. Together with an id it is what makes a command one command. */
    static final String SOURCE = "/examples/java";

    static final Map<String, Integer> EXITS = Map.ofEntries(
            Map.entry("invalid_configuration", 2), Map.entry("forbidden", 3), Map.entry("not_found", 4),
            Map.entry("resource_already_exists", 5), Map.entry("resource_in_use", 5), Map.entry("conflict", 5),
            Map.entry("quota_exceeded", 6), Map.entry("too_many_requests", 7), Map.entry("unavailable", 7),
            Map.entry("timeout", 7), Map.entry("unauthenticated", 8), Map.entry("unproved", 8), Map.entry("internal_error", 1));

    static final ObjectMapper JSON = new ObjectMapper();

    /** TLS and SASL, for the consumer and the producer: security.protocol, sasl.mechanism, sasl.jaas.config. */
    static final String BROKERS = System.getenv("KAFKA_BROKERS");

    /** File of the key that commands are signed with, if they are. */
    static final String KEY = System.getenv("SIGNING_KEY");

    static final String PREFIX = System.getenv().getOrDefault("ROLEBRIDGE_PREFIX", "rolebridge.");

    public static void main(String[] args) throws Exception {
        if (args.length != 4 || BROKERS == null || System.getenv("ROLEBRIDGE_ACTOR") == null) {
            System.exit(fail(2, "usage: KAFKA_BROKERS=… ROLEBRIDGE_ACTOR=… java -cp 'jars/*' CreateIntegration.java "
                    + "ORGANIZATION ENVIRONMENT NAME ROLE_ARN"));
        }
        System.exit(run(args[0], args[1], args[2], args[3]));
    }

    static int run(String organization, String environment, String name, String role) throws Exception {
        // A retry has the id of the first attempt: whatever happened to that one, it is decided once.
        String id = System.getenv().getOrDefault("COMMAND_ID", UUID.randomUUID().toString());
        int within = Integer.parseInt(System.getenv().getOrDefault("ANSWER_WITHIN", "60")); // seconds
        byte[] data = JSON.writeValueAsBytes(Map.of(
                "environment", environment,
                "display_name", name,
                "config", Map.of("kind", "AwsIntegrationConfig", "customer_iam_role_arn", role)));

        // What was not committed was not decided.
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", BROKERS, "default.api.timeout.ms", 30_000, "isolation.level", "read_committed");
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            follow(consumer); // before the command is sent, or its answer could be missed
            send(id, organization, new String(data, StandardCharsets.UTF_8));
            JsonNode unproved = null;
            Instant deadline = Instant.now().plusSeconds(within);
            while (Instant.now().isBefore(deadline)) {
                for (var event : consumer.poll(Duration.ofSeconds(1))) {
                    var headers = headers(event);
                    if (!id.equals(headers.get("ce_commandid")) || !SOURCE.equals(headers.get("ce_commandsource"))
                            || !organization.equals(headers.get("ce_organization"))) {
                        continue;
                    }
                    var of = JSON.readTree(event.value());
                    if (headers.get("ce_type").equals("integration.created")) {
                        System.out.println(headers.get("ce_subject") + " " + of.get("external_id").asText());
                        return 0;
                    }
                    if (KEY == null || !of.path("code").asText().equals("unproved")) {
                        return refused(of);
                    }
                    unproved = of; // perhaps of what somebody else sent under our id: ours is still to be answered
                }
            }
            if (unproved != null) {
                return refused(unproved);
            }
        } catch (KafkaException | ExecutionException e) {
            return fail(7, e.getMessage() + "; try again with COMMAND_ID=" + id);
        }
        return fail(7, "no answer within " + within + " s; try again with COMMAND_ID=" + id + ", or look into " + PREFIX + "dlq");
    }

    /** Reads all events since ten minutes ago: clocks differ, and a retry finds an answer that came meanwhile. */
    static void follow(KafkaConsumer<String, String> consumer) {
        List<TopicPartition> partitions = consumer.partitionsFor(PREFIX + "events").stream()
                .map(p -> new TopicPartition(p.topic(), p.partition())).toList();
        long since = Instant.now().minusSeconds(600).toEpochMilli();
        var ends = consumer.endOffsets(partitions); // of partitions that have nothing that late
        var places = consumer.offsetsForTimes(partitions.stream().collect(Collectors.toMap(p -> p, p -> since)));
        consumer.assign(partitions); // no group
        for (var p : partitions) {
            consumer.seek(p, places.get(p) == null ? ends.get(p) : places.get(p).offset());
        }
    }

    /** Writes the command and returns when Kafka has it. */
    static void send(String id, String organization, String data) throws Exception {
        Map<String, String> headers = new HashMap<>(Map.of("ce_specversion", "1.0", "ce_id", id, "ce_source", SOURCE, "ce_type", "integration.create",
                "ce_time", Instant.now().toString(), "ce_organization", organization,
                "ce_actor", System.getenv("ROLEBRIDGE_ACTOR"), "content-type", "application/json"));
        if (KEY != null) {
            sign(headers, data);
        }
        var command = new ProducerRecord<>(PREFIX + "commands", organization, data);
        headers.forEach((name, value) -> command.headers().add(name, value.getBytes(StandardCharsets.UTF_8)));
        // Idempotence is the default.
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", BROKERS, "max.block.ms", 30_000, "delivery.timeout.ms", 30_000, "request.timeout.ms", 10_000);
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            producer.send(command).get();
        }
    }

    /** Adds a signature over all of the event, with the key in a file (PKCS #8 in PEM). */
    static void sign(Map<String, String> headers, String data) throws Exception {
        String pem = Files.readString(Path.of(KEY)).replaceAll("-----[^-]*-----|\\s", "");
        var key = KeyFactory.getInstance("Ed25519").generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(pem)));
        headers.put("ce_signaturekey", System.getenv("SIGNING_KEY_ID"));
        var event = JSON.createObjectNode();
        headers.forEach((name, value) -> event.put(name.equals("content-type") ? "datacontenttype" : name.substring(3), value));
        event.set("data", JSON.readTree(data));
        var signature = Signature.getInstance("Ed25519");
        signature.initSign(key);
        signature.update(new JsonCanonicalizer(JSON.writeValueAsString(event)).getEncodedUTF8()); // RFC 8785
        headers.put("ce_signature", Base64.getUrlEncoder().withoutPadding().encodeToString(signature.sign()));
    }

    static int refused(JsonNode of) {
        String code = of.get("code").asText();
        return fail(EXITS.getOrDefault(code, 1), "refused: " + code + ": " + of.path("field").asText() + " " + of.get("message").asText());
    }

    static Map<String, String> headers(ConsumerRecord<?, ?> record) {
        Map<String, String> all = new HashMap<>();
        record.headers().forEach(h -> all.put(h.key(), new String(h.value(), StandardCharsets.UTF_8)));
        return all;
    }

    static int fail(int code, String text) {
        System.err.println(text);
        return code;
    }
}
