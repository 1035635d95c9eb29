package aws

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/tink-crypto/tink-go-awskms/v3/integration/awskms"
	"github.com/tink-crypto/tink-go/v2/tink"
)

var (
	errNoKMSKey    = errors.New("want the ARN of a KMS key, such as arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab")
	kmsKeyResource = regexp.MustCompile(`^(key|alias)/[a-zA-Z0-9/_-]{1,256}$`)
)

// ParseKMSKey reads the ARN of a key of AWS KMS or of an alias of one, alone or as Tink's URI (aws-kms:// and the ARN).
// An ARN names the region; an id or the name of an alias does not, and is refused.
func ParseKMSKey(key string) (arn.ARN, error) {
	k, err := arn.Parse(strings.TrimPrefix(key, "aws-kms://"))
	if err != nil || k.Service != "kms" || !region.MatchString(k.Region) || !accountID.MatchString(k.AccountID) ||
		!kmsKeyResource.MatchString(k.Resource) {
		return arn.ARN{}, fmt.Errorf("%q: %w", key, errNoKMSKey)
	}
	return k, nil
}

// KMS returns a key that encrypts and decrypts at AWS KMS, in the key's own region, up to 4096 bytes at once (KMS's
// limit). Associated data is KMS's encryption context, as Tink writes it: its hexadecimal digits under "associatedData".
// No call is made yet. Errors of its methods are [cloud.Error]s. Safe for concurrent use.
func (c *Client) KMS(ctx context.Context, key string) (tink.AEADWithContext, error) {
	k, err := ParseKMSKey(key)
	if err != nil {
		return nil, fmt.Errorf("aws: %w", err)
	}
	client := kms.NewFromConfig(c.sdk, func(o *kms.Options) { o.Region, o.Retryer = k.Region, skewOnly() })
	aead, err := awskms.NewAEADWithContext(ctx, k.String(), awskms.WithKMS(kmsCalls{c, client}))
	if err != nil {
		return nil, fmt.Errorf("aws: %w", err)
	}
	return aead, nil
}

// kmsCalls bounds and counts the calls to KMS as all others.
type kmsCalls struct {
	by  *Client
	kms *kms.Client
}

// Encrypt implements [awskms.KMSAPI].
func (k kmsCalls) Encrypt(ctx context.Context, in *kms.EncryptInput, with ...func(*kms.Options)) (out *kms.EncryptOutput, err error) {
	err = k.by.ask(ctx, opEncrypt, func(ctx context.Context) error {
		out, err = k.kms.Encrypt(ctx, in, with...)
		return err
	})
	return out, err
}

// Decrypt implements [awskms.KMSAPI].
func (k kmsCalls) Decrypt(ctx context.Context, in *kms.DecryptInput, with ...func(*kms.Options)) (out *kms.DecryptOutput, err error) {
	err = k.by.ask(ctx, opDecrypt, func(ctx context.Context) error {
		out, err = k.kms.Decrypt(ctx, in, with...)
		return err
	})
	return out, err
}
