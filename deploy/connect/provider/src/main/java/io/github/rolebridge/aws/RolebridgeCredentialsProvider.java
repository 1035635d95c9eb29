package io.github.rolebridge.aws;

import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.URI;
import java.net.UnknownHostException;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.format.DateTimeParseException;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.common.Configurable;
import org.apache.kafka.common.config.ConfigException;
import software.amazon.awssdk.auth.credentials.AwsCredentials;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.auth.credentials.AwsSessionCredentials;
import software.amazon.awssdk.core.exception.SdkClientException;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;

/**
 * Gives one Kafka connector the sessions of its own integration, from a rolebridge broker.
 *
 * <p>The SDK's default chain reads the environment, which all connectors of a Connect worker share. This class reads the
 * connector's configuration instead, so that each of many connectors in one worker has a session of its own. It is built in
 * every way that connectors know: a constructor without arguments or {@link #create()}, then {@link #configure}; or
 * {@link #create(Map)}. Settings:
 *
 * <ul>
 *   <li>{@code rolebridge.url}: address of the broker's endpoint, {@code https://…/v1/credentials}. Plain HTTP only to this
 *       machine, and to the link-local addresses that AWS's SDKs accept.
 *   <li>{@code rolebridge.token.file}: file that holds the connector's token. It is read again for every session, so a
 *       rotated token needs no restart.
 *   <li>{@code rolebridge.patience.ms}: how long a caller waits at most when there is no valid session, 120000 by default. A
 *       connector that waits loses nothing; keep it below the consumer's {@code max.poll.interval.ms}.
 * </ul>
 *
 * <p>The life of a session: it is asked for when first needed, answered from memory, and renewed in the background at a random
 * point between half and four fifths of its life, so that many connectors do not ask at once. A renewal that fails changes
 * nothing: it is tried again, at most every few seconds, while the session is handed out until a minute before its expiry.
 * Only without a valid session do callers wait, all for one request at a time, which is repeated until it succeeds or their
 * patience ends. A refusal (4xx) is not repeated: it is thrown at once, with the broker's words. There is no thread while
 * nothing is asked for, so there is nothing to close.
 *
 * <p>Safe for use by many threads. Neither {@link #toString()} nor any exception contains a secret.
 */
public final class RolebridgeCredentialsProvider implements AwsCredentialsProvider, Configurable {
    /** Address of the broker's endpoint. */
    public static final String URL = "rolebridge.url";

    /** File that holds the connector's token. */
    public static final String TOKEN_FILE = "rolebridge.token.file";

    /** How long a caller waits at most, in milliseconds, when there is no valid session. */
    public static final String PATIENCE = "rolebridge.patience.ms";

    private static final Duration DEFAULT_PATIENCE = Duration.ofMinutes(2);
    /** A request that is signed now has to arrive, and clocks differ. The broker keeps the same distance. */
    private static final Duration HARD_LIMIT = Duration.ofMinutes(1);

    private static final Duration REQUEST_TIMEOUT = Duration.ofSeconds(3);
    private static final Duration FIRST_PAUSE = Duration.ofMillis(100);
    private static final Duration LONGEST_PAUSE = Duration.ofSeconds(5);
    private static final int MAX_ANSWER = 64 << 10;
    /** Where AWS's SDKs send a token without TLS: ECS and EKS. */
    private static final Set<String> LINK_LOCAL = Set.of("169.254.170.2", "169.254.170.23", "[fd00:ec2::23]");

    private final Clock clock;
    private final HttpClient http = HttpClient.newBuilder()
            .connectTimeout(REQUEST_TIMEOUT)
            .followRedirects(HttpClient.Redirect.NEVER) // it would carry the token to somebody else
            .build();

    private volatile Settings settings;
    private volatile Session session;
    /** The one request under way, or null. */
    private CompletableFuture<Session> fetching;
    private Instant notBefore = Instant.MIN;
    private Duration pause = FIRST_PAUSE;

    /** Must be configured before use. */
    public RolebridgeCredentialsProvider() {
        this(Clock.systemUTC());
    }

    RolebridgeCredentialsProvider(Clock clock) {
        this.clock = clock;
    }

    /** As the constructor, for who looks for a static method. */
    public static RolebridgeCredentialsProvider create() {
        return new RolebridgeCredentialsProvider();
    }

    /** A configured provider. */
    public static RolebridgeCredentialsProvider create(Map<String, String> configs) {
        RolebridgeCredentialsProvider provider = new RolebridgeCredentialsProvider();
        provider.configure(configs);
        return provider;
    }

    /**
     * Reads the settings; what else is in configs is somebody else's. The token's file may come into being later.
     *
     * @throws ConfigException a setting is missing or not allowed
     */
    @Override
    public void configure(Map<String, ?> configs) {
        settings = new Settings(configs);
    }

    /**
     * Returns a session that is valid for a minute at least.
     *
     * @throws SdkClientException the broker refuses, or there is no session for as long as the patience lasts
     */
    @Override
    public AwsCredentials resolveCredentials() {
        Settings with = settings;
        if (with == null) {
            throw SdkClientException.create("rolebridge: not configured: set " + URL + " and " + TOKEN_FILE);
        }
        Session have = session;
        Instant now = clock.instant();
        if (have != null && now.isBefore(have.renewAt)) {
            return have.credentials;
        }
        if (have != null && now.isBefore(have.dropAt)) {
            renewInBackground(with, now);
            return have.credentials;
        }
        return await(with).credentials;
    }

    /** Whether the session is due to be renewed. For tests of how renewals spread. */
    boolean due() {
        Session have = session;
        return have == null || !clock.instant().isBefore(have.renewAt);
    }

    /** Waits for a valid session, and has it asked for again and again until then. */
    private Session await(Settings with) {
        long end = System.nanoTime() + with.patience.toNanos();
        for (Duration wait = FIRST_PAUSE; ; wait = longer(wait)) {
            SdkClientException failure;
            try {
                return fetch(with).get(Math.max(1, end - System.nanoTime()), TimeUnit.NANOSECONDS);
            } catch (ExecutionException e) {
                if (!(e.getCause() instanceof Unavailable)) {
                    throw SdkClientException.create(e.getCause().getMessage());
                }
                failure = SdkClientException.create(e.getCause().getMessage());
            } catch (TimeoutException e) {
                throw SdkClientException.create("rolebridge: no answer of " + with.url + " within " + with.patience.toSeconds() + " s");
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw SdkClientException.create("rolebridge: interrupted while waiting for a session");
            }
            long pause = spread(wait).toNanos();
            if (System.nanoTime() + pause >= end) {
                throw failure;
            }
            try {
                TimeUnit.NANOSECONDS.sleep(pause);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw failure;
            }
        }
    }

    private synchronized void renewInBackground(Settings with, Instant now) {
        if (!now.isBefore(notBefore)) {
            fetch(with);
        }
    }

    /** Joins the request under way, or begins one. */
    private synchronized CompletableFuture<Session> fetch(Settings with) {
        Session have = session;
        if (have != null && clock.instant().isBefore(have.renewAt)) {
            return CompletableFuture.completedFuture(have); // somebody was quicker
        }
        if (fetching != null) {
            return fetching;
        }
        CompletableFuture<Session> mine = new CompletableFuture<>();
        fetching = mine;
        Thread thread = new Thread(() -> finish(with, mine), "rolebridge-credentials");
        thread.setDaemon(true);
        thread.start();
        return mine;
    }

    private void finish(Settings with, CompletableFuture<Session> mine) {
        Session got = null;
        Throwable failure = null;
        try {
            got = ask(with);
        } catch (Throwable e) { // whatever it is, those who wait must know
            failure = e;
        }
        synchronized (this) {
            fetching = null;
            if (got != null) {
                session = got;
                pause = FIRST_PAUSE;
            } else {
                notBefore = clock.instant().plus(spread(pause));
                pause = longer(pause);
            }
        }
        if (got != null) {
            mine.complete(got);
        } else {
            mine.completeExceptionally(failure);
        }
    }

    /** Makes one request. No message contains the token or anything of an answer that may hold a session. */
    private Session ask(Settings with) throws Unavailable {
        String token;
        try {
            token = Files.readString(with.tokenFile).strip();
        } catch (IOException e) {
            throw new Unavailable("rolebridge: cannot read " + with.tokenFile + ": " + e.getClass().getSimpleName());
        }
        HttpRequest request;
        try {
            request = HttpRequest.newBuilder(with.url).timeout(REQUEST_TIMEOUT).header("Authorization", token).build();
        } catch (IllegalArgumentException e) { // its message may quote the header
            throw SdkClientException.create("rolebridge: " + with.tokenFile + " does not hold a token");
        }
        int status;
        String body;
        try {
            HttpResponse<InputStream> response = http.send(request, HttpResponse.BodyHandlers.ofInputStream());
            status = response.statusCode();
            try (InputStream in = response.body()) {
                body = new String(in.readNBytes(MAX_ANSWER), StandardCharsets.UTF_8);
            }
        } catch (IOException e) {
            throw new Unavailable("rolebridge: " + with.url + ": " + e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new Unavailable("rolebridge: interrupted");
        }
        if (status == 200) {
            return read(with, body);
        }
        String words = "rolebridge: " + with.url + " answered " + status + text(body, "message");
        if (status == 429 || status >= 500) {
            throw new Unavailable(words);
        }
        throw SdkClientException.create(words);
    }

    private Session read(Settings with, String body) throws Unavailable {
        try {
            Map<String, JsonNode> fields = JsonNode.parser().parse(body).asObject();
            return new Session(
                    AwsSessionCredentials.builder()
                            .accessKeyId(fields.get("AccessKeyId").asString())
                            .secretAccessKey(fields.get("SecretAccessKey").asString())
                            .sessionToken(fields.get("Token").asString())
                            .build(),
                    clock.instant(),
                    Instant.parse(fields.get("Expiration").asString()));
        } catch (RuntimeException e) { // a parser's message may quote what it read
            throw new Unavailable("rolebridge: " + with.url + " answered 200 without a session");
        }
    }

    /** Reads one text of an error's JSON. */
    private static String text(String body, String field) {
        try {
            JsonNode found = JsonNode.parser().parse(body).asObject().get(field);
            return found == null ? "" : ": " + found.asString();
        } catch (RuntimeException e) {
            return "";
        }
    }

    private static Duration longer(Duration pause) {
        Duration twice = pause.multipliedBy(2);
        return twice.compareTo(LONGEST_PAUSE) < 0 ? twice : LONGEST_PAUSE;
    }

    /** Between half of it and all of it. */
    private static Duration spread(Duration pause) {
        return Duration.ofNanos((long) (pause.toNanos() * ThreadLocalRandom.current().nextDouble(0.5, 1)));
    }

    /** Says where sessions come from, and nothing that is secret. */
    @Override
    public String toString() {
        Settings with = settings;
        return "RolebridgeCredentialsProvider(" + (with == null ? "not configured" : with.url + ", " + with.tokenFile) + ")";
    }

    /** A failure that may pass. */
    private static final class Unavailable extends Exception {
        private static final long serialVersionUID = 1L;

        Unavailable(String message) {
            super(message);
        }
    }

    /** A session and what follows from its expiry. Immutable. */
    private static final class Session {
        final AwsSessionCredentials credentials;
        final Instant renewAt;
        final Instant dropAt;

        Session(AwsSessionCredentials credentials, Instant now, Instant expires) {
            this.credentials = credentials;
            this.dropAt = expires.minus(HARD_LIMIT);
            Duration life = Duration.between(now, dropAt);
            if (life.isNegative() || life.isZero()) {
                throw new DateTimeParseException("expired", "", 0);
            }
            this.renewAt = now.plusNanos((long) (life.toNanos() * ThreadLocalRandom.current().nextDouble(0.5, 0.8)));
        }
    }

    /** Validated settings. Immutable. */
    private static final class Settings {
        final URI url;
        final Path tokenFile;
        final Duration patience;

        Settings(Map<String, ?> configs) {
            url = url(required(configs, URL));
            tokenFile = Path.of(required(configs, TOKEN_FILE));
            patience = patience(configs.get(PATIENCE));
        }

        private static String required(Map<String, ?> configs, String name) {
            Object value = configs.get(name);
            if (value == null || value.toString().isBlank()) {
                throw new ConfigException(name, value, "is missing");
            }
            return value.toString().strip();
        }

        private static Duration patience(Object value) {
            if (value == null) {
                return DEFAULT_PATIENCE;
            }
            try {
                long millis = Long.parseLong(value.toString().strip());
                if (millis >= 1000 && millis <= 3_600_000) {
                    return Duration.ofMillis(millis);
                }
            } catch (NumberFormatException e) {
                // said below
            }
            throw new ConfigException(PATIENCE, value, "want 1000 to 3600000");
        }

        private static URI url(String text) {
            URI url;
            try {
                url = URI.create(text);
            } catch (IllegalArgumentException e) {
                throw new ConfigException(URL, text, "is not a URL");
            }
            String host = url.getHost();
            if (host == null || url.getUserInfo() != null) {
                throw new ConfigException(URL, text, "want https://host/v1/credentials");
            }
            if ("https".equals(url.getScheme()) || "http".equals(url.getScheme()) && (LINK_LOCAL.contains(host) || loopback(host))) {
                return url;
            }
            throw new ConfigException(URL, text, "http would show the token to others: use https");
        }

        private static boolean loopback(String host) {
            if (host.equals("localhost")) {
                return true;
            }
            // Only addresses are looked at: resolving a name would ask somebody.
            if (!host.startsWith("[") && !host.matches("[0-9.]+")) {
                return false;
            }
            try {
                return InetAddress.getByName(host).isLoopbackAddress();
            } catch (UnknownHostException e) {
                return false;
            }
        }
    }
}
