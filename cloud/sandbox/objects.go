package sandbox

import (
	"bytes"
	"crypto/md5" //nolint:gosec // S3's ETag is an MD5 sum; nothing is protected by it
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// object is what is known of one object; the bytes are in memory or in a file of their own.
type object struct {
	Key      string            `json:"key"`
	Size     int64             `json:"size"`
	MD5      string            `json:"md5"` // hex
	Meta     map[string]string `json:"meta"`
	Modified time.Time         `json:"modified"`

	id   string // names the files
	data []byte
}

// objects keeps the objects of all buckets. With a folder each object is two files named at random, ID.bin with the bytes
// and then ID.json, so that an object is there completely or not at all; keys never become file names.
type objects struct {
	dir string // empty: in memory
	now func() time.Time

	mu      sync.RWMutex
	buckets map[string]*shelf
}

// shelf is one bucket.
type shelf struct {
	keys    []string // sorted
	objects map[string]*object
}

func openObjects(dir string, now func() time.Time) (*objects, error) {
	o := &objects{now: now, buckets: map[string]*shelf{}}
	if dir == "" {
		return o, nil
	}
	o.dir = filepath.Join(dir, "buckets")
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return nil, err
	}
	buckets, err := os.ReadDir(o.dir)
	if err != nil {
		return nil, err
	}
	for _, b := range buckets {
		if b.IsDir() {
			if err := o.load(b.Name()); err != nil {
				return nil, fmt.Errorf("bucket %s: %w", b.Name(), err)
			}
		}
	}
	return o, nil
}

// load reads a bucket's objects and removes what a killed process left half done.
func (o *objects) load(bucket string) error {
	s := &shelf{objects: map[string]*object{}}
	o.buckets[bucket] = s
	files, err := os.ReadDir(filepath.Join(o.dir, bucket))
	if err != nil {
		return err
	}
	for _, f := range files {
		id, described := strings.CutSuffix(f.Name(), ".json")
		if !described {
			continue
		}
		text, err := os.ReadFile(filepath.Join(o.dir, bucket, f.Name()))
		if err != nil {
			return err
		}
		next := &object{id: id}
		if err := json.Unmarshal(text, next); err != nil {
			return fmt.Errorf("%s: %w", f.Name(), err)
		}
		if old, twice := s.objects[next.Key]; twice && old.Modified.After(next.Modified) {
			continue
		}
		s.put(next)
	}
	known := map[string]bool{}
	for _, v := range s.objects {
		known[v.id+".json"], known[v.id+".bin"] = true, true
	}
	for _, f := range files {
		if !known[f.Name()] {
			err = errors.Join(err, os.Remove(filepath.Join(o.dir, bucket, f.Name())))
		}
	}
	return err
}

func (s *shelf) put(v *object) {
	if at, found := slices.BinarySearch(s.keys, v.Key); !found {
		s.keys = slices.Insert(s.keys, at, v.Key)
	}
	s.objects[v.Key] = v
}

func (s *shelf) drop(key string) {
	if at, found := slices.BinarySearch(s.keys, key); found {
		s.keys = slices.Delete(s.keys, at, at+1)
	}
	delete(s.objects, key)
}

func (o *objects) file(bucket, id, kind string) string {
	return filepath.Join(o.dir, bucket, id+kind)
}

// addBucket is idempotent.
func (o *objects) addBucket(name string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.buckets[name] == nil {
		o.buckets[name] = &shelf{objects: map[string]*object{}}
	}
	if o.dir == "" {
		return nil
	}
	return os.MkdirAll(filepath.Join(o.dir, name), 0o700)
}

// dropBucket removes a bucket and reports whether it was empty; one that is not stays.
func (o *objects) dropBucket(name string) (empty bool, _ error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s := o.buckets[name]; s != nil && len(s.keys) > 0 {
		return false, nil
	}
	delete(o.buckets, name)
	if o.dir == "" {
		return true, nil
	}
	return true, os.RemoveAll(filepath.Join(o.dir, name))
}

// put stores an object under its key in place of what was there. The old bytes stay readable for who has them open.
func (o *objects) put(bucket, key string, meta map[string]string, body io.Reader) (*object, error) {
	v := &object{Key: key, Meta: maps.Clone(meta), Modified: o.now().UTC(), id: newUniqueID("")}
	if err := o.write(bucket, v, body); err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.buckets[bucket]
	if s == nil {
		return nil, errors.Join(errNoBucket, o.remove(bucket, v))
	}
	old := s.objects[key]
	s.put(v)
	return v, o.remove(bucket, old)
}

var errNoBucket = errors.New("the bucket is gone")

func (o *objects) write(bucket string, v *object, body io.Reader) error {
	sum := md5.New() //nolint:gosec // an ETag
	if o.dir == "" {
		var data bytes.Buffer
		n, err := io.Copy(io.MultiWriter(&data, sum), body)
		v.Size, v.MD5, v.data = n, hex.EncodeToString(sum.Sum(nil)), data.Bytes()
		return err
	}
	f, err := os.OpenFile(o.file(bucket, v.id, ".bin"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	v.Size, err = io.Copy(io.MultiWriter(f, sum), body)
	v.MD5 = hex.EncodeToString(sum.Sum(nil))
	if err = errors.Join(err, f.Close()); err == nil {
		err = o.describe(bucket, v)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func (o *objects) describe(bucket string, v *object) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return replaceFile(o.file(bucket, v.id, ".json"), text)
}

// remove deletes an object's files: the description first, so that a kill in between leaves bytes that nobody knows.
func (o *objects) remove(bucket string, v *object) error {
	if v == nil || o.dir == "" {
		return nil
	}
	return errors.Join(os.Remove(o.file(bucket, v.id, ".json")), os.Remove(o.file(bucket, v.id, ".bin")))
}

// get finds an object. It is not changed after that; a new one takes its place.
func (o *objects) get(bucket, key string) (*object, bool) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	s := o.buckets[bucket]
	if s == nil {
		return nil, false
	}
	v, ok := s.objects[key]
	return v, ok
}

// open returns length bytes of an object from start on. The caller closes it.
func (o *objects) open(bucket string, v *object, start, length int64) (io.ReadCloser, error) {
	if o.dir == "" {
		return io.NopCloser(io.NewSectionReader(bytes.NewReader(v.data), start, length)), nil
	}
	f, err := os.Open(o.file(bucket, v.id, ".bin"))
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, start, length), f}, nil
}

// retag changes one entry of the metadata, or removes it if value is empty.
func (o *objects) retag(bucket, key, name, value string) (found bool, _ error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.buckets[bucket]
	if s == nil || s.objects[key] == nil {
		return false, nil
	}
	next := *s.objects[key]
	next.Meta = maps.Clone(next.Meta)
	if next.Meta[name] = value; value == "" {
		delete(next.Meta, name)
	}
	s.objects[key] = &next
	if o.dir == "" {
		return true, nil
	}
	return true, o.describe(bucket, &next)
}

// drop removes an object. One that is not there is fine, as in S3.
func (o *objects) drop(bucket, key string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.buckets[bucket]
	if s == nil || s.objects[key] == nil {
		return nil
	}
	v := s.objects[key]
	s.drop(key)
	return o.remove(bucket, v)
}

// listing is one page of a bucket.
type listing struct {
	objects  []*object
	prefixes []string
	next     string // the marker for the page after this one; empty: there is none
}

// list returns up to limit objects and common prefixes after marker (S3 API reference, ListObjectsV2). A limit of 0 means
// all.
func (o *objects) list(bucket, prefix, delimiter, marker string, limit int) listing {
	o.mu.RLock()
	defer o.mu.RUnlock()
	var page listing
	s := o.buckets[bucket]
	if s == nil {
		return page
	}
	last := ""
	for at, _ := slices.BinarySearch(s.keys, prefix); at < len(s.keys) && strings.HasPrefix(s.keys[at], prefix); at++ {
		key := s.keys[at]
		common := ""
		if delimiter != "" {
			if i := strings.Index(key[len(prefix):], delimiter); i >= 0 {
				common = key[:len(prefix)+i+len(delimiter)]
			}
		}
		switch {
		case key <= marker, common != "" && common == marker, common != "" && len(page.prefixes) > 0 && page.prefixes[len(page.prefixes)-1] == common:
			continue
		case limit > 0 && len(page.objects)+len(page.prefixes) == limit:
			page.next = last
			return page
		case common != "":
			page.prefixes = append(page.prefixes, common)
			last = common
		default:
			page.objects = append(page.objects, s.objects[key])
			last = key
		}
	}
	return page
}
