package telemetry_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/rolebridge/rolebridge/internal/telemetry"
)

const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func traced(name, value string) *kgo.Record {
	return &kgo.Record{Headers: []kgo.RecordHeader{{Key: name, Value: []byte(value)}}}
}

func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

func TestWithoutACollectorNothingIsTracedAndNothingIsAllocated(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"nothing is set":  {},
		"it is disabled":  {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
		"no exporter":     {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
		"only of metrics": {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:1"},
	} {
		tracer, err := telemetry.NewTracer(t.Context(), func(n string) string { return env[n] }, slog.Default())
		if err != nil || tracer != nil {
			t.Errorf("%s: got %v, %v; want none", name, tracer, err)
		}
	}
	var none *telemetry.Tracer
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		_, end := none.Start(ctx, "x")
		end("")
	}); n != 0 {
		t.Errorf("a span that is not made allocates %v times", n)
	}
	if h := http.NotFoundHandler(); none.Handler("api", h) == nil {
		t.Error("no handler")
	}
	none.Close()
}

func TestATraceGoesThroughAProcessThatMakesNoSpans(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		record *kgo.Record
		want   string
	}{
		"a trace":                   {traced("traceparent", parent), parent},
		"a CloudEvents extension":   {traced("ce_traceparent", parent), parent},
		"none":                      {&kgo.Record{}, ""},
		"what is none":              {traced("traceparent", "hello"), ""},
		"one that is much too long": {traced("traceparent", parent+strings.Repeat("-x", 100)), ""},
	} {
		var none *telemetry.Tracer
		ctx, end := none.Follow(t.Context(), c.record, "decide")
		var out kgo.Record
		telemetry.Inject(ctx, &out)
		end("")
		if got := header(&out, "traceparent"); got != c.want {
			t.Errorf("%s: goes on as %q, want %q", what, got, c.want)
		}
	}
}

func TestSpansOfRecordsAndRequestsAreOfOneTrace(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	tracer := telemetry.TraceTo(sdktrace.WithSyncer(spans))
	defer tracer.Close()
	var sent kgo.Record
	h := tracer.Handler("api", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		telemetry.Note(r.Context(), telemetry.Fact{Name: "command.type", Value: "integration.create"}, telemetry.Fact{Name: "integration"})
		telemetry.Inject(r.Context(), &sent)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	r := httptest.NewRequestWithContext(t.Context(), "BREW", "/a-secret?of=a-secret", nil)
	r.Header.Set("Traceparent", parent)
	h.ServeHTTP(httptest.NewRecorder(), r)
	_, end := tracer.Follow(t.Context(), &sent, "decide integration.create")
	end("no result")
	_, end = tracer.Follow(t.Context(), &kgo.Record{}, "a record without a trace")
	end("")

	got := spans.GetSpans()
	if len(got) != 2 || got[0].Name != "api other" || got[1].Name != "decide integration.create" {
		t.Fatalf("got %+v", got)
	}
	for _, s := range got {
		if s.SpanContext.TraceID().String() != parent[3:35] || s.Status.Description == "" {
			t.Errorf("%s: trace %s, status %+v", s.Name, s.SpanContext.TraceID(), s.Status)
		}
	}
	if got[0].Parent.SpanID().String() != parent[36:52] || got[1].Parent.SpanID() != got[0].SpanContext.SpanID() {
		t.Errorf("the spans hang on %s and %s", got[0].Parent.SpanID(), got[1].Parent.SpanID())
	}
	if n := len(got[0].Attributes); n != 2 {
		t.Errorf("the request has %v: want its command's type and its status alone", got[0].Attributes)
	}
}

func TestSpansAreExportedAsTheEnvironmentSays(t *testing.T) {
	var got bytes.Buffer
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/traces" && r.Header.Get("Api-Key") == "for-the-collector" {
			_, _ = io.Copy(&got, r.Body)
		}
	}))
	defer collector.Close()
	env := map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL, "OTEL_EXPORTER_OTLP_HEADERS": "api-key=for-the-collector", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test",
	}
	for name, value := range env {
		t.Setenv(name, value) // the exporter asks for itself
	}
	tracer, err := telemetry.NewTracer(t.Context(), func(n string) string { return env[n] }, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	_, end := tracer.Start(context.WithoutCancel(t.Context()), "fetch customer-role", telemetry.Fact{Name: "connector", Value: "lcc-1"})
	end("")
	tracer.Close()
	for _, want := range []string{"fetch customer-role", "lcc-1", "rolebridge", "deployment.environment"} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("the collector got %d bytes without %q", got.Len(), want)
		}
	}
}

func TestLostSpansAreToldWithoutTheHeadersOfTheExporter(t *testing.T) {
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=for-the-collector")
	var log bytes.Buffer
	tracer, err := telemetry.NewTracer(t.Context(), func(string) string { return collector.URL }, telemetry.NewLogger(&log, -8))
	if err != nil {
		t.Fatal(err)
	}
	_, end := tracer.Start(context.WithoutCancel(t.Context()), "fetch")
	end("")
	tracer.Close()
	if said := log.String(); strings.Count(said, "spans lost") != 1 || strings.Contains(said, "for-the-collector") {
		t.Errorf("the log says %q", said)
	}
}
