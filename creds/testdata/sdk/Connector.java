import java.io.BufferedReader;
import java.io.InputStreamReader;
import software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.sts.StsClient;

/**
 * A connector that uses the AWS SDK for Java and nothing else: for each line, an object's key, it says who AWS sees and writes
 * the object. The clients share one default chain, so that it can be asked which session is in use.
 */
class Connector {
    public static void main(String[] args) throws Exception {
        var lines = new BufferedReader(new InputStreamReader(System.in));
        try (var chain = DefaultCredentialsProvider.builder().build();
                var sts = StsClient.builder().credentialsProvider(chain).build();
                var s3 = S3Client.builder().credentialsProvider(chain).build()) {
            for (String key; (key = lines.readLine()) != null; ) {
                try {
                    String arn = sts.getCallerIdentity().arn();
                    String object = key;
                    s3.putObject(r -> r.bucket("orders").key(object), RequestBody.fromString("an order"));
                    System.out.printf("{\"arn\":\"%s\",\"signed_by\":\"%s\"}%n", arn, chain.resolveCredentials().accessKeyId());
                } catch (RuntimeException e) {
                    System.out.printf("{\"error\":\"%s\"}%n", e.getMessage().replaceAll("[\\\\\"\\p{Cntrl}]", "'"));
                }
            }
        }
    }
}
