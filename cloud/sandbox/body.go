package sandbox

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
)

const (
	maxBody     = 5 << 30 // one PutObject or UploadPart (S3 user guide, "Multipart upload limits")
	maxInMemory = 1 << 20
	maxLine     = 8 << 10 // of a chunk's head or a trailer
	emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// Values of x-amz-content-sha256 that are not a hash (S3 user guide, "Signature calculations, chunked uploads").
const (
	unsigned        = "UNSIGNED-PAYLOAD"
	chunkedSigned   = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	chunkedTrailer  = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	chunkedUnsigned = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
)

// payloadHash is what the client says about the body, which is what its signature covers.
func payloadHash(r *http.Request, g signed) (string, error) {
	if g.presigned {
		if v := r.URL.Query().Get("X-Amz-Content-Sha256"); v != "" {
			return v, nil
		}
		return unsigned, nil
	}
	v := r.Header.Get("X-Amz-Content-Sha256")
	switch sum, err := hex.DecodeString(v); {
	case v == "":
		return "", refuse(400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
	case v == unsigned, v == chunkedSigned, v == chunkedTrailer, v == chunkedUnsigned, err == nil && len(sum) == sha256.Size:
		return v, nil
	default:
		return "", refuse(400, "InvalidArgument", "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD or a valid sha256 value.")
	}
}

// spool holds a whole body, verified, before anything of it is stored: in memory, or past 1 MiB in a file.
type spool struct {
	memory bytes.Buffer
	file   *os.File
	size   int64
}

func (s *spool) Write(p []byte) (int, error) {
	if s.size+int64(len(p)) > maxBody {
		return 0, refuse(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed object size.")
	}
	if s.file == nil && s.memory.Len()+len(p) > maxInMemory {
		f, err := os.CreateTemp("", "rolebridge-sandbox-*")
		if err != nil {
			return 0, err
		}
		s.file = f
		if _, err := f.Write(s.memory.Bytes()); err != nil {
			return 0, err
		}
		s.memory = bytes.Buffer{}
	}
	s.size += int64(len(p))
	if s.file != nil {
		return s.file.Write(p)
	}
	return s.memory.Write(p)
}

func (s *spool) reader() io.Reader {
	if s.file != nil {
		return io.NewSectionReader(s.file, 0, s.size)
	}
	return bytes.NewReader(s.memory.Bytes())
}

func (s *spool) discard() error {
	if s.file == nil {
		return nil
	}
	return errors.Join(s.file.Close(), os.Remove(s.file.Name()))
}

// takeBody reads and verifies the body and gives r the plain one: chunks unwrapped, a trailing checksum as a header.
// The caller calls discard when the request is done, whatever the error.
func takeBody(r *http.Request, g signed, secret, hash string) (discard func() error, _ error) {
	s := &spool{}
	var err error
	switch hash {
	case unsigned:
		_, err = io.Copy(s, r.Body)
	case chunkedSigned, chunkedTrailer, chunkedUnsigned:
		c := chunks{in: bufio.NewReaderSize(r.Body, maxLine), out: s, g: g, signed: hash != chunkedUnsigned, previous: g.signature}
		if c.signed {
			c.key = g.signingKey(secret)
		}
		err = c.copy(r)
	default:
		sum := sha256.New()
		_, err = io.Copy(io.MultiWriter(s, sum), r.Body)
		if got := hex.EncodeToString(sum.Sum(nil)); err == nil && !strings.EqualFold(got, hash) {
			err = refuse(400, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.")
		}
	}
	if err != nil {
		if _, known := errors.AsType[*refusal](err); !known {
			err = refuse(400, "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header.")
		}
		return s.discard, err
	}
	for _, h := range []string{"Authorization", "X-Amz-Security-Token", "X-Amz-Content-Sha256", "X-Amz-Decoded-Content-Length", "X-Amz-Trailer"} {
		r.Header.Del(h)
	}
	r.Body = io.NopCloser(s.reader())
	r.ContentLength, r.TransferEncoding = s.size, nil
	r.Header.Set("Content-Length", strconv.FormatInt(s.size, 10))
	return s.discard, nil
}

// chunks unwraps aws-chunked: HEX-SIZE[;chunk-signature=…]CRLF bytes CRLF …, a chunk of size 0, then trailers. Every
// signature covers the one before it.
type chunks struct {
	in       *bufio.Reader
	out      *spool
	g        signed
	signed   bool
	key      []byte
	previous string
}

func (c *chunks) copy(r *http.Request) error {
	for {
		head, err := c.line()
		if err != nil {
			return err
		}
		digits, extension, _ := strings.Cut(head, ";")
		size, err := strconv.ParseInt(strings.TrimSpace(digits), 16, 64)
		if err != nil || size < 0 || size > maxBody {
			return refuse(400, "InvalidRequest", "the size of a chunk is not a number")
		}
		sum := sha256.New()
		if _, err := io.CopyN(io.MultiWriter(c.out, sum), c.in, size); err != nil {
			return err
		}
		if c.signed {
			text := sigAlgorithm + "-PAYLOAD\n" + c.g.at.Format(sigTime) + "\n" + c.g.scope() + "\n" + c.previous + "\n" + emptySHA256 + "\n" + hex.EncodeToString(sum.Sum(nil))
			if err := c.check(strings.TrimPrefix(extension, "chunk-signature="), text); err != nil {
				return err
			}
		}
		if size == 0 {
			break
		}
		if end, err := c.line(); err != nil || end != "" {
			return refuse(400, "InvalidRequest", "a chunk does not end where its size says")
		}
	}
	if err := c.trailers(r); err != nil {
		return err
	}
	if want := r.Header.Get("X-Amz-Decoded-Content-Length"); want != "" && want != strconv.FormatInt(c.out.size, 10) {
		return refuse(400, "IncompleteBody", "the chunks have %d bytes, x-amz-decoded-content-length says otherwise", c.out.size)
	}
	return nil
}

// trailers makes the announced trailers, which are checksums, headers of the request.
func (c *chunks) trailers(r *http.Request) error {
	announced := r.Header.Get("X-Amz-Trailer")
	var covered strings.Builder
	for {
		line, err := c.line()
		if errors.Is(err, io.EOF) || (err == nil && line == "") {
			if c.signed && covered.Len() > 0 {
				return refuse(400, "InvalidRequest", "the trailers are not signed")
			}
			return nil
		}
		if err != nil {
			return err
		}
		name, value, _ := strings.Cut(line, ":")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch {
		case c.signed && name == "x-amz-trailer-signature":
			sum := sha256.Sum256([]byte(covered.String()))
			text := sigAlgorithm + "-TRAILER\n" + c.g.at.Format(sigTime) + "\n" + c.g.scope() + "\n" + c.previous + "\n" + hex.EncodeToString(sum[:])
			return c.check(value, text)
		case strings.EqualFold(name, announced) && strings.HasPrefix(name, "x-amz-checksum-"):
			covered.WriteString(name + ":" + value + "\n")
			r.Header.Set(name, value)
		default:
			return refuse(400, "MalformedTrailerError", "The request contained trailing data that was not well-formed or did not conform to our published schema.")
		}
	}
}

func (c *chunks) check(got, text string) error {
	want := hex.EncodeToString(mac(c.key, text))
	if subtle.ConstantTimeCompare([]byte(got), []byte(want)) != 1 {
		return refuse(403, "SignatureDoesNotMatch", "The signature of a chunk does not match.")
	}
	c.previous = want
	return nil
}

// line reads up to CRLF, or up to the end of the body.
func (c *chunks) line() (string, error) {
	text, err := c.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", refuse(400, "InvalidRequest", "a line of the chunked body is too long")
	}
	if err != nil && (len(text) == 0 || !errors.Is(err, io.EOF)) {
		return "", err
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}
