package io.github.rolebridge.aws;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneId;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.apache.kafka.common.Configurable;
import org.apache.kafka.common.config.ConfigException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.core.exception.SdkClientException;

@Timeout(60)
class RolebridgeCredentialsProviderTest {
    private static final Instant START = Instant.parse("2026-01-01T00:00:00Z");
    private static final Duration LIFE = Duration.ofMinutes(61); // an hour until it is handed out no more

    @TempDir
    Path dir;

    private final TestClock clock = new TestClock();
    private final ExecutorService callers = Executors.newCachedThreadPool();
    private HttpServer broker;
    private Path tokenFile;
    private volatile CountDownLatch gate = new CountDownLatch(0);
    /** What the broker saw and does; guarded by this. */
    private int asked;
    private String lastToken = "";
    private int status = 200;
    private String body;

    @BeforeEach
    void startBroker() throws IOException {
        tokenFile = dir.resolve("token");
        Files.writeString(tokenFile, "token-one\n");
        broker = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        broker.setExecutor(callers);
        broker.createContext("/v1/credentials", this::answer);
        broker.start();
    }

    @AfterEach
    void stopBroker() {
        gate.countDown();
        broker.stop(0);
        callers.shutdownNow();
    }

    private void answer(HttpExchange exchange) throws IOException {
        int number;
        int code;
        String text;
        synchronized (this) {
            number = ++asked;
            lastToken = exchange.getRequestHeaders().getFirst("Authorization");
            code = status;
            text = body;
        }
        try {
            gate.await();
        } catch (InterruptedException e) {
            throw new IOException(e);
        }
        if (text == null) {
            text = code == 200 ? session(number, clock.instant().plus(LIFE)) : "{\"code\":\"no\",\"message\":\"the broker's words\"}";
        }
        byte[] raw = text.getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(code, raw.length);
        exchange.getResponseBody().write(raw);
        exchange.close();
    }

    private static String session(int number, Instant expires) {
        return String.format(
                "{\"AccessKeyId\":\"ASIA%d\",\"SecretAccessKey\":\"very-secret\",\"Token\":\"session-token\",\"Expiration\":\"%s\"}",
                number, expires);
    }

    private synchronized void answers(int code, String text) {
        status = code;
        body = text;
    }

    private synchronized int asked() {
        return asked;
    }

    private synchronized String lastToken() {
        return lastToken;
    }

    private Map<String, String> configs(int patience) {
        return Map.of(
                RolebridgeCredentialsProvider.URL, "http://127.0.0.1:" + broker.getAddress().getPort() + "/v1/credentials",
                RolebridgeCredentialsProvider.TOKEN_FILE, tokenFile.toString(),
                RolebridgeCredentialsProvider.PATIENCE, Integer.toString(patience),
                "topics", "somebody else's");
    }

    private RolebridgeCredentialsProvider provider() {
        RolebridgeCredentialsProvider provider = new RolebridgeCredentialsProvider(clock);
        provider.configure(configs(20_000));
        return provider;
    }

    private static String key(AwsCredentialsProvider provider) {
        return provider.resolveCredentials().accessKeyId();
    }

    private static void eventually(String what, BooleanSupplier condition) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        while (!condition.getAsBoolean()) {
            assertTrue(System.nanoTime() < end, "not within 30 s: " + what);
            Thread.sleep(5);
        }
    }

    @Test
    void connectorsBuildItInEveryWayTheyKnow() throws Exception {
        clock.now = Instant.now(); // what is built by its name has the real clock
        Class<?> named = Class.forName("io.github.rolebridge.aws.RolebridgeCredentialsProvider");
        Object aiven = named.getDeclaredConstructor().newInstance(); // Kafka's AbstractConfig.getConfiguredInstance
        Object confluent = named.getMethod("create").invoke(null);
        for (Object built : List.of(aiven, confluent)) {
            assertThrows(SdkClientException.class, ((AwsCredentialsProvider) built)::resolveCredentials);
            ((Configurable) built).configure(configs(20_000));
            assertTrue(key((AwsCredentialsProvider) built).startsWith("ASIA"));
        }
        Object iceberg = named.getMethod("create", Map.class).invoke(null, configs(20_000));
        assertTrue(key((AwsCredentialsProvider) iceberg).startsWith("ASIA"));
        assertEquals("token-one", lastToken());
    }

    @Test
    void aSessionIsAskedForOnceAndThenAnsweredFromMemory() {
        RolebridgeCredentialsProvider provider = provider();
        for (int n = 0; n < 1000; n++) {
            assertEquals("ASIA1", key(provider));
        }
        assertEquals(1, asked());
    }

    @Test
    void manyCallersWithoutASessionMakeOneRequest() throws Exception {
        gate = new CountDownLatch(1);
        RolebridgeCredentialsProvider provider = provider();
        List<Future<String>> answers = new ArrayList<>();
        for (int n = 0; n < 32; n++) {
            answers.add(callers.submit(() -> key(provider)));
        }
        eventually("the broker is asked", () -> asked() == 1);
        gate.countDown();
        for (Future<String> answer : answers) {
            assertEquals("ASIA1", answer.get());
        }
        assertEquals(1, asked());
    }

    @Test
    void aRenewalReadsTheTokenAgainAndKeepsNobodyWaiting() throws Exception {
        RolebridgeCredentialsProvider provider = provider();
        assertEquals("ASIA1", key(provider));
        Files.writeString(tokenFile, "token-two");
        gate = new CountDownLatch(1);
        clock.advance(Duration.ofMinutes(49)); // past four fifths
        for (int n = 0; n < 100; n++) {
            assertEquals("ASIA1", key(provider)); // the broker does not answer yet
        }
        eventually("the broker is asked", () -> asked() == 2);
        gate.countDown();
        eventually("the next session is there", () -> key(provider).equals("ASIA2"));
        assertEquals("token-two", lastToken());
        assertEquals(2, asked());
    }

    @Test
    void aFailedRenewalKeepsTheSessionAndIsTriedAgain() throws Exception {
        RolebridgeCredentialsProvider provider = provider();
        assertEquals("ASIA1", key(provider));
        clock.advance(Duration.ofMinutes(49));
        for (int code : new int[] {500, 503, 429, 401, 200}) {
            answers(code, code == 200 ? "no session" : null);
            int before = asked();
            eventually("a renewal is tried that gets " + code, () -> {
                clock.advance(Duration.ofSeconds(1)); // two tries are 5 s apart at most
                assertEquals("ASIA1", key(provider));
                return asked() > before;
            });
        }
        answers(200, null);
        eventually("the next session", () -> {
            clock.advance(Duration.ofSeconds(1));
            return !key(provider).equals("ASIA1");
        });
    }

    @Test
    void aBrokerThatFailsIsNotAskedAtEveryCall() throws Exception {
        RolebridgeCredentialsProvider provider = provider();
        assertEquals("ASIA1", key(provider));
        answers(503, null);
        clock.advance(Duration.ofMinutes(49));
        eventually("a renewal is tried", () -> {
            key(provider);
            return asked() == 2;
        });
        for (int n = 0; n < 1000; n++) { // the clock stands, and so the pause after the failure does not end
            assertEquals("ASIA1", key(provider));
        }
        assertEquals(2, asked());
    }

    @Test
    void aSessionIsNotHandedOutInItsLastMinute() {
        RolebridgeCredentialsProvider provider = provider();
        assertEquals("ASIA1", key(provider));
        clock.advance(Duration.ofMinutes(60)); // an idle hour
        assertEquals("ASIA2", key(provider));

        answers(503, null);
        clock.advance(Duration.ofMinutes(60));
        provider.configure(configs(1000));
        SdkClientException e = assertThrows(SdkClientException.class, provider::resolveCredentials);
        assertTrue(e.getMessage().contains("the broker's words"), e.getMessage());
    }

    @Test
    void whoHasNothingWaitsForTheBrokerToComeBack() throws Exception {
        answers(500, null);
        RolebridgeCredentialsProvider provider = provider();
        Future<String> answer = callers.submit(() -> key(provider));
        eventually("the broker is asked again", () -> asked() >= 3);
        assertFalse(answer.isDone());
        answers(200, null);
        assertTrue(answer.get().startsWith("ASIA"));
    }

    @Test
    void aTokensFileMayComeLater() throws Exception {
        Files.delete(tokenFile);
        RolebridgeCredentialsProvider provider = provider();
        Future<String> answer = callers.submit(() -> key(provider));
        Files.writeString(tokenFile, "token-late");
        assertEquals("ASIA1", answer.get());
        assertEquals("token-late", lastToken());
    }

    @ParameterizedTest
    @ValueSource(ints = {302, 400, 401, 403, 404})
    void aRefusalIsThrownAtOnceWithTheBrokersWords(int code) {
        answers(code, null);
        SdkClientException e = assertThrows(SdkClientException.class, provider()::resolveCredentials);
        assertTrue(e.getMessage().contains("answered " + code + ": the broker's words"), e.getMessage());
        assertEquals(1, asked());
    }

    @Test
    void renewalsOfManyAreSpread() throws Exception {
        List<RolebridgeCredentialsProvider> all = new ArrayList<>();
        for (int n = 0; n < 100; n++) {
            all.add(provider());
            key(all.get(n));
        }
        // Every session's renewal begins at a moment of its own: who is asked between a half and four fifths of an hour?
        int[] renewed = new int[3];
        int[] minutes = {29, 39, 49};
        for (int at = 0; at < minutes.length; at++) {
            clock.now = START.plus(Duration.ofMinutes(minutes[at]));
            for (RolebridgeCredentialsProvider provider : all) {
                renewed[at] += provider.due() ? 1 : 0;
            }
        }
        assertEquals(0, renewed[0]);
        assertTrue(renewed[1] > 10 && renewed[1] < 90, renewed[1] + " of 100 after 39 minutes");
        assertEquals(100, renewed[2]);
    }

    @Test
    void nothingSecretIsSaid() throws Exception {
        RolebridgeCredentialsProvider provider = new RolebridgeCredentialsProvider(clock);
        provider.configure(configs(1000));
        StringBuilder said = new StringBuilder();
        for (String answer : new String[] {
            "{\"AccessKeyId\":\"ASIA\",\"SecretAccessKey\":\"very-secret\",\"Token\":\"session-token\",\"Expiration\":\"no time\"}",
            "{\"SecretAccessKey\":\"very-secret\",\"Token\":session-token",
            session(1, clock.instant()), // expired
        }) {
            answers(200, answer);
            said.append(trace(assertThrows(SdkClientException.class, provider::resolveCredentials)));
        }
        Files.writeString(tokenFile, "token-one\nand a second line");
        said.append(trace(assertThrows(SdkClientException.class, provider::resolveCredentials)));
        Files.writeString(tokenFile, "token-one");
        answers(200, null);
        key(provider);
        said.append(provider);
        for (String secret : new String[] {"very-secret", "session-token", "token-one"}) {
            assertFalse(said.toString().contains(secret), secret + " is in " + said);
        }
        assertTrue(said.toString().contains(tokenFile.toString()));
    }

    private static String trace(Throwable e) {
        StringBuilder all = new StringBuilder();
        for (Throwable t = e; t != null; t = t.getCause()) {
            all.append(t).append('\n');
        }
        return all.toString();
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "http://broker.example.com/v1/credentials", "http://10.0.0.1/", "http://localhost.example.com/", "http://127.0.0.1.example.com/",
        "ftp://localhost/", "broker:8080", "", "http://", "https://user:password@broker/", "http://[2001:db8::1]/", "no url",
    })
    void anAddressThatWouldShowTheTokenIsRefused(String url) {
        assertThrows(ConfigException.class, () -> new RolebridgeCredentialsProvider()
                .configure(Map.of(RolebridgeCredentialsProvider.URL, url, RolebridgeCredentialsProvider.TOKEN_FILE, "/token")));
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "https://broker.example.com/v1/credentials", "http://localhost:8081/", "http://127.0.0.1/", "http://[::1]:1/",
        "http://169.254.170.23/v1/credentials", "http://[fd00:ec2::23]/v1/credentials",
    })
    void addressesThatSDKsAcceptAreAccepted(String url) {
        new RolebridgeCredentialsProvider()
                .configure(Map.of(RolebridgeCredentialsProvider.URL, url, RolebridgeCredentialsProvider.TOKEN_FILE, "/token"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "0", "999", "3600001", "a while", "-1"})
    void aPatienceThatIsNoneIsRefused(String millis) {
        assertThrows(ConfigException.class, () -> new RolebridgeCredentialsProvider().configure(Map.of(
                RolebridgeCredentialsProvider.URL, "http://localhost/", RolebridgeCredentialsProvider.TOKEN_FILE, "/token",
                RolebridgeCredentialsProvider.PATIENCE, millis)));
    }

    @Test
    void theTokensFileMustBeNamed() {
        assertThrows(ConfigException.class, () -> new RolebridgeCredentialsProvider()
                .configure(Map.of(RolebridgeCredentialsProvider.URL, "http://localhost/")));
    }

    /** A clock that a test moves. */
    private static final class TestClock extends Clock {
        volatile Instant now = START;

        void advance(Duration by) {
            now = now.plus(by);
        }

        @Override
        public Instant instant() {
            return now;
        }

        @Override
        public ZoneId getZone() {
            return ZoneOffset.UTC;
        }

        @Override
        public Clock withZone(ZoneId zone) {
            throw new UnsupportedOperationException();
        }
    }
}
