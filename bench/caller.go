package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/rolebridge/rolebridge/creds"
)

// caller reads over one connection, one read at a time. It is far cheaper than net/http's client, which would use more of
// the machine than the servers that are compared.
type caller struct {
	conn     net.Conn
	answers  *bufio.Reader
	requests [][]byte
	body     []byte
	took     []time.Duration
}

// dial opens a connection that asks for all connectors' sessions, one after the other.
func dial(ctx context.Context, address string, first int) (*caller, error) {
	tokens := make([]string, readConnectors)
	for n := range tokens {
		tokens[n] = connectorToken((first + n) % readConnectors)
	}
	return dialFor(ctx, address, tokens...)
}

func dialFor(ctx context.Context, address string, tokens ...string) (*caller, error) {
	requests := make([][]byte, len(tokens))
	for n, token := range tokens {
		requests[n] = requestFor(address, creds.Path, token)
	}
	return dialWith(ctx, address, 8<<10, requests)
}

func requestFor(address, path, authorization string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: */*\r\nAuthorization: %s\r\n\r\n", path, address, authorization)
}

// dialWith opens a connection that makes these requests, one after the other; an answer is at most so many bytes.
func dialWith(ctx context.Context, address string, most int, requests [][]byte) (*caller, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &caller{conn: conn, answers: bufio.NewReaderSize(conn, 8<<10), body: make([]byte, most), requests: requests}, nil
}

// read asks for one session after the other until the time is over.
func (c *caller) read(until time.Time) error {
	for n := 0; ; n++ {
		begin := time.Now()
		if begin.After(until) {
			return nil
		}
		if err := c.once(n); err != nil {
			return err
		}
		c.took = append(c.took, time.Since(begin))
	}
}

// once asks for the n-th connector's session and waits for it.
func (c *caller) once(n int) error {
	if _, err := c.conn.Write(c.requests[n%len(c.requests)]); err != nil {
		return err
	}
	return c.answer()
}

// statusError is the first line of an answer that is not a 200.
type statusError string

func (e statusError) Error() string { return "answer " + string(e) }

var (
	statusOK      = []byte("HTTP/1.1 200 ")
	contentLength = []byte("Content-Length: ")
)

// answer reads one answer, which must be a 200 with a length.
func (c *caller) answer() error {
	line, err := c.answers.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, statusOK) {
		return statusError(line)
	}
	length := -1
	for {
		if line, err = c.answers.ReadSlice('\n'); err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if value, ok := bytes.CutPrefix(line, contentLength); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if length <= 0 || length > len(c.body) {
		return fmt.Errorf("answer of %d bytes", length)
	}
	_, err = io.ReadFull(c.answers, c.body[:length])
	return err
}
