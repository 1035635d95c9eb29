package main

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/rolebridge/rolebridge/api/apitest"
)

// questioned cancels once a question was asked.
type questioned struct {
	bytes.Buffer
	cancel func()
}

func (q *questioned) Write(text []byte) (int, error) {
	if bytes.Contains(text, []byte("(y/n)")) {
		q.cancel()
	}
	return q.Buffer.Write(text)
}

func TestAnInterruptEndsAQuestionWithACodeOfItsOwn(t *testing.T) {
	c := at(apitest.Serve(t), apitest.Admin)
	i, _ := create(t, c, "--customer-role-arn", roleARN)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	in, typed := io.Pipe() // nobody types anything
	t.Cleanup(func() { _ = typed.Close() })
	var out bytes.Buffer
	err := &questioned{cancel: cancel}
	code := run(ctx, []string{"pi", "delete", i.ID}, streams{in: in, out: &out, err: err, env: func(name string) string { return c.env[name] }, home: c.homeless})
	if code != 130 || out.Len() != 0 {
		t.Errorf("got exit code %d, %q and %q, want 130 and nothing deleted", code, out.String(), err.String())
	}
}
