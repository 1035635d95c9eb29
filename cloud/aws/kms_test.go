package aws_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/cloud/aws/awstest"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

func TestAKMSKeyIsNamedByItsARN(t *testing.T) {
	t.Parallel()
	const id = "111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	for _, fine := range []string{
		"arn:aws:kms:eu-central-1:" + id, "aws-kms://arn:aws:kms:eu-central-1:" + id, "arn:aws-us-gov:kms:us-gov-west-1:" + id,
		"arn:aws:kms:eu-central-1:111122223333:alias/rolebridge", "arn:aws:kms:eu-central-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab",
	} {
		if k, err := aws.ParseKMSKey(fine); err != nil || k.String() != strings.TrimPrefix(fine, "aws-kms://") {
			t.Errorf("%s: got %s, %v", fine, k, err)
		}
	}
	for _, wrong := range []string{
		"", "1234abcd-12ab-34cd-56ef-1234567890ab", "alias/rolebridge", "gcp-kms://projects/p", "arn:aws:iam::111122223333:role/r",
		"arn:aws:kms::" + id, "arn:aws:kms:eu-central-1:1:key/a", "arn:aws:kms:eu-central-1:111122223333:key/", "arn:aws:kms:eu central 1:" + id,
		"arn:aws:kms:eu-central-1:" + id + "\n",
	} {
		if k, err := aws.ParseKMSKey(wrong); err == nil || !strings.Contains(err.Error(), "want the ARN of a KMS key") {
			t.Errorf("%q: got %s, %v; want a refusal that says what is wanted", wrong, k, err)
		}
	}
}

func TestAKMSKeyOpensWhatItEncryptedForTheSameUse(t *testing.T) {
	moto := testenv.Moto(t)
	road := awstest.RoadTo(t, moto)
	var ops []string
	c, err := aws.New(t.Context(), aws.Config{
		// Another region than the key's: the ARN decides.
		Region: "us-west-2", Endpoint: road.URL, Credentials: awstest.Static("any", "any"), Observe: func(op string, o aws.Outcome, _ time.Duration) { ops = append(ops, op+" "+string(o)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	use := []byte("use")
	key, err := c.KMS(t.Context(), awstest.KMSKey(t, moto))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := key.EncryptWithContext(t.Context(), []byte("text"), use)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := key.DecryptWithContext(t.Context(), sealed, use); err != nil || string(plain) != "text" {
		t.Errorf("got %q, %v", plain, err)
	}
	_, err = key.DecryptWithContext(t.Context(), sealed, []byte("another use"))
	wantFault(t, "for another use", err, cloud.FaultInvalid, "InvalidCiphertextException")
	other, err := c.KMS(t.Context(), awstest.KMSKey(t, moto))
	if err != nil {
		t.Fatal(err)
	}
	_, err = other.DecryptWithContext(t.Context(), sealed, use)
	wantFault(t, "with another key", err, cloud.FaultDenied, "AccessDeniedException")
	lost, err := c.KMS(t.Context(), "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000")
	if err != nil {
		t.Fatal(err)
	}
	_, err = lost.EncryptWithContext(t.Context(), []byte("text"), nil)
	wantFault(t, "with a key that is not there", err, cloud.FaultNotFound, "NotFoundException")
	road.Cut.Store(true)
	_, err = key.DecryptWithContext(t.Context(), sealed, use)
	wantFault(t, "while KMS is away", err, cloud.FaultUnavailable, aws.CodeUnreachable)
	want := "kms:Encrypt ok, kms:Decrypt ok, kms:Decrypt invalid, kms:Decrypt denied, kms:Encrypt not-found, kms:Decrypt unavailable"
	if got := strings.Join(ops, ", "); got != want {
		t.Errorf("observed %s, want %s", got, want)
	}
}
