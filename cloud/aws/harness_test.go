package aws_test

import (
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

func TestMain(m *testing.M) {
	testenv.CleanAWSEnv()
	goleak.VerifyTestMain(m)
}

// wantFault checks the fault and the code of err; no fault at all when fault is empty.
func wantFault(t *testing.T, what string, err error, fault cloud.Fault, code string) {
	t.Helper()
	if fault == "" {
		if err != nil {
			t.Errorf("%s: got %v, want no error", what, err)
		}
		return
	}
	var e *cloud.Error
	if !errors.As(err, &e) || e.Fault != fault || e.Code != code {
		t.Errorf("%s: got %v, want %s (%s)", what, err, code, fault)
	}
}
