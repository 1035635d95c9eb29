package sandbox

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/rclone/gofakes3"
)

// backend is what gofakes3 stands on: our buckets with their owners, and our objects. Requests come here only after
// serveS3 has authorised them; the context says for whom.
type backend struct{ s *Sandbox }

var (
	_ gofakes3.Backend              = backend{}
	_ gofakes3.ObjectTaggingBackend = backend{}
)

type s3CallKey struct{}

// s3Call is what the backend needs to know of the request above it.
type s3Call struct {
	account string
	// mayDelete answers for one key of a DeleteObjects request, which is authorised key by key.
	mayDelete func(key string) bool
}

// ListBuckets answers the buckets of the account that asks.
func (b backend) ListBuckets(ctx context.Context) ([]gofakes3.BucketInfo, error) {
	c, _ := ctx.Value(s3CallKey{}).(s3Call)
	b.s.mu.RLock()
	defer b.s.mu.RUnlock()
	var out []gofakes3.BucketInfo
	for name, have := range b.s.state.Buckets {
		if have.Account == c.account {
			out = append(out, gofakes3.BucketInfo{Name: name, CreationDate: gofakes3.NewContentTime(have.Created)})
		}
	}
	return out, nil
}

// BucketExists looks among all accounts.
func (b backend) BucketExists(_ context.Context, name string) (bool, error) {
	_, ok := b.s.bucket(name)
	return ok, nil
}

// CreateBucket makes a bucket for the account that asks.
func (b backend) CreateBucket(ctx context.Context, name string) error {
	c, _ := ctx.Value(s3CallKey{}).(s3Call)
	taken, err := b.s.claim(c.account, name)
	if taken {
		return gofakes3.ResourceError(gofakes3.ErrBucketAlreadyExists, name)
	}
	return err
}

// DeleteBucket removes an empty bucket.
func (b backend) DeleteBucket(_ context.Context, name string) error {
	empty, err := b.s.objects.dropBucket(name)
	if err != nil {
		return err
	}
	if !empty {
		return gofakes3.ErrorMessage(gofakes3.ErrBucketNotEmpty, "The bucket you tried to delete is not empty")
	}
	b.s.mu.Lock()
	delete(b.s.state.Buckets, name)
	b.s.disk.touch()
	b.s.mu.Unlock()
	return b.s.save()
}

// ListBucket answers one page. It matches prefixes itself: gofakes3 does not tell keys with a leading slash apart.
func (b backend) ListBucket(_ context.Context, name string, prefix *gofakes3.Prefix, page gofakes3.ListBucketPage) (*gofakes3.ObjectList, error) {
	if prefix == nil {
		prefix = &gofakes3.Prefix{}
	}
	found := b.s.objects.list(name, prefix.Prefix, prefix.Delimiter, page.Marker, int(page.MaxKeys))
	out := gofakes3.NewObjectList()
	for _, v := range found.objects {
		out.Add(&gofakes3.Content{
			Key: v.Key, Size: v.Size, ETag: `"` + v.MD5 + `"`,
			LastModified: gofakes3.NewContentTime(v.Modified), StorageClass: gofakes3.StorageStandard,
		})
	}
	for _, p := range found.prefixes {
		out.AddPrefix(p)
	}
	out.NextMarker, out.IsTruncated = found.next, found.next != ""
	return out, nil
}

func noSuchKey() error {
	return gofakes3.ErrorMessage(gofakes3.ErrNoSuchKey, "The specified key does not exist.")
}

// HeadObject answers an object without its bytes.
func (b backend) HeadObject(_ context.Context, bucket, key string) (*gofakes3.Object, error) {
	v, ok := b.s.objects.get(bucket, key)
	if !ok {
		return nil, noSuchKey()
	}
	return show(v, io.NopCloser(strings.NewReader("")), nil)
}

// GetObject answers an object or a part of it.
func (b backend) GetObject(_ context.Context, bucket, key string, part *gofakes3.ObjectRangeRequest) (*gofakes3.Object, error) {
	v, ok := b.s.objects.get(bucket, key)
	if !ok {
		return nil, noSuchKey()
	}
	within, err := part.Range(v.Size)
	if err != nil {
		return nil, err
	}
	start, length := int64(0), v.Size
	if within != nil {
		start, length = within.Start, within.Length
	}
	body, err := b.s.objects.open(bucket, v, start, length)
	if err != nil {
		return nil, err
	}
	return show(v, body, within)
}

func show(v *object, body io.ReadCloser, within *gofakes3.ObjectRange) (*gofakes3.Object, error) {
	sum, err := hex.DecodeString(v.MD5)
	if err != nil {
		return nil, errors.Join(err, body.Close())
	}
	return &gofakes3.Object{Name: v.Key, Metadata: v.Meta, Size: v.Size, Contents: body, Hash: sum, Range: within}, nil
}

// PutObject stores an object, whose bytes were verified before.
func (b backend) PutObject(_ context.Context, bucket, key string, meta map[string]string, body io.Reader, _ int64) (gofakes3.PutObjectResult, error) {
	_, err := b.s.objects.put(bucket, key, meta, body)
	if errors.Is(err, errNoBucket) {
		return gofakes3.PutObjectResult{}, gofakes3.BucketNotFound(bucket)
	}
	return gofakes3.PutObjectResult{}, err
}

// CopyObject stores an object's bytes again under other metadata.
func (b backend) CopyObject(ctx context.Context, fromBucket, fromKey, bucket, key string, meta map[string]string) (gofakes3.CopyObjectResult, error) {
	from, err := b.GetObject(ctx, fromBucket, fromKey, nil)
	if err != nil {
		return gofakes3.CopyObjectResult{}, err
	}
	v, err := b.s.objects.put(bucket, key, meta, from.Contents)
	if err := errors.Join(err, from.Contents.Close()); err != nil {
		return gofakes3.CopyObjectResult{}, err
	}
	return gofakes3.CopyObjectResult{ETag: `"` + v.MD5 + `"`, LastModified: gofakes3.NewContentTime(v.Modified)}, nil
}

// DeleteObject removes an object that may not exist.
func (b backend) DeleteObject(_ context.Context, bucket, key string) (gofakes3.ObjectDeleteResult, error) {
	return gofakes3.ObjectDeleteResult{}, b.s.objects.drop(bucket, key)
}

// DeleteMulti removes those objects that the caller may remove.
func (b backend) DeleteMulti(ctx context.Context, bucket string, keys ...string) (gofakes3.MultiDeleteResult, error) {
	c, _ := ctx.Value(s3CallKey{}).(s3Call)
	var out gofakes3.MultiDeleteResult
	for _, key := range keys {
		if c.mayDelete == nil || !c.mayDelete(key) {
			out.Error = append(out.Error, gofakes3.ErrorResult{Key: key, Code: "AccessDenied", Message: "Access Denied"})
			continue
		}
		if err := b.s.objects.drop(bucket, key); err != nil {
			return out, err
		}
		out.Deleted = append(out.Deleted, gofakes3.ObjectID{Key: key})
	}
	return out, nil
}

// SetObjectTagging replaces an object's tags.
func (b backend) SetObjectTagging(_ context.Context, bucket, key, tagging string) error {
	found, err := b.s.objects.retag(bucket, key, gofakes3.TaggingMetadataKey, tagging)
	if !found {
		return noSuchKey()
	}
	return err
}

func (s *Sandbox) bucket(name string) (bucketFor, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, ok := s.state.Buckets[name]
	return v, ok
}

// claim makes a bucket for an account, unless somebody has one of that name.
func (s *Sandbox) claim(account, name string) (taken bool, _ error) {
	if err := s.objects.addBucket(name); err != nil {
		return false, err
	}
	s.mu.Lock()
	_, taken = s.state.Buckets[name]
	if !taken {
		s.state.Buckets[name] = bucketFor{account, s.now().UTC().Truncate(time.Second)}
		s.disk.touch()
	}
	s.mu.Unlock()
	if taken {
		return true, nil
	}
	return false, s.save()
}
