package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

// Tracer makes the spans of a process. A nil Tracer makes none, and costs nothing. Safe for concurrent use.
//
// Spans stand at the borders only: a request of the API, a decision, an order of a worker, a session that the broker asks
// for. They hold names and ids, never a path, a header or the text of an error: any of these may repeat a secret.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// flushWithin bounds the export of the last spans when a process stops.
const flushWithin = 2 * time.Second

// NewTracer returns a tracer that exports over OTLP with HTTP, as OpenTelemetry's standard variables say: endpoint, headers,
// certificates, sampler, batches, resource. It is nil, so that nothing is traced, unless OTEL_EXPORTER_OTLP_ENDPOINT or
// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set, and when OTEL_SDK_DISABLED is true or OTEL_TRACES_EXPORTER is none.
func NewTracer(ctx context.Context, env func(string) string, log *slog.Logger) (*Tracer, error) {
	switch {
	case env("OTEL_SDK_DISABLED") == "true", env("OTEL_TRACES_EXPORTER") == "none",
		env("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "":
		return nil, nil //nolint:nilnil // no tracer is a tracer
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	who, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "rolebridge")), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("traces: OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	told := &told{SpanExporter: exporter, log: log, sometimes: rate.Sometimes{First: 1, Interval: time.Minute}}
	return TraceTo(sdktrace.WithBatcher(told), sdktrace.WithResource(who)), nil
}

// TraceTo returns a tracer on the SDK's options.
func TraceTo(options ...sdktrace.TracerProviderOption) *Tracer {
	p := sdktrace.NewTracerProvider(options...)
	return &Tracer{provider: p, tracer: p.Tracer("github.com/rolebridge/rolebridge")}
}

// told logs what goes wrong, once a minute, in the place of the SDK's global handler, which writes to standard error.
type told struct {
	sdktrace.SpanExporter
	log       *slog.Logger
	sometimes rate.Sometimes
}

// ExportSpans implements [sdktrace.SpanExporter]. Spans that could not be exported are lost.
func (t *told) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := t.SpanExporter.ExportSpans(ctx, spans); err != nil {
		t.sometimes.Do(func() { t.log.WarnContext(ctx, "spans lost", "error", err) })
	}
	return nil
}

// Close exports what is left, within a bound.
func (t *Tracer) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushWithin)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // lost spans were told
}

// Fact is something that a span says.
type Fact struct{ Name, Value string }

func attributes(facts []Fact) []attribute.KeyValue {
	all := make([]attribute.KeyValue, 0, len(facts))
	for _, f := range facts {
		if f.Value != "" {
			all = append(all, attribute.String(f.Name, f.Value))
		}
	}
	return all
}

// Start begins a span, below that of ctx if it has one. end ends it: with an empty failure when all went well, else with a
// word for what did not.
func (t *Tracer) Start(ctx context.Context, name string, facts ...Fact) (_ context.Context, end func(failure string)) {
	if t == nil {
		return ctx, endNothing
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithAttributes(attributes(facts)...)) //nolint:spancheck // the caller ends it
	return ctx, func(failure string) {                                                 //nolint:spancheck // the same
		if failure != "" {
			span.SetStatus(codes.Error, failure)
		}
		span.End()
	}
}

func endNothing(string) {}

// Follow is [Tracer.Start] below the span of a record, and nothing for a record that belongs to no trace. The context has
// the record's trace all the same, for [Inject].
func (t *Tracer) Follow(ctx context.Context, r *kgo.Record, name string, facts ...Fact) (_ context.Context, end func(failure string)) {
	ctx = w3c.Extract(ctx, headers{r})
	if t == nil || !trace.SpanContextFromContext(ctx).IsValid() {
		return ctx, endNothing
	}
	return t.Start(ctx, name, facts...)
}

// Note adds facts to the span of ctx, if it has one.
func Note(ctx context.Context, facts ...Fact) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(attributes(facts)...)
	}
}

// Handler makes a span of each request to h, below that of the client if it names one.
func (t *Tracer) Handler(name string, h http.Handler) http.Handler {
	if t == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := w3c.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := t.tracer.Start(ctx, name+" "+method(r.Method), trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		answer := &status{ResponseWriter: w, code: http.StatusOK}
		h.ServeHTTP(answer, r.WithContext(ctx))
		span.SetAttributes(attribute.Int("http.response.status_code", answer.code))
		if answer.code >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, http.StatusText(answer.code))
		}
	})
}

// method is one that HTTP knows: any other is what somebody wrote.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return m
	}
	return "other"
}

// status remembers how a request was answered.
type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

// Unwrap is for [http.ResponseController].
func (s *status) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// w3c is the W3C trace context, in the headers that OpenTelemetry uses on Kafka too.
var w3c propagation.TraceContext

// Inject writes the trace of ctx into a record, if there is one, also when this process makes no spans itself.
func Inject(ctx context.Context, r *kgo.Record) { w3c.Inject(ctx, headers{r}) }

// Longest trace context that is read (W3C Trace Context: a traceparent has 55 characters, a tracestate should be kept up to
// 512).
const maxTraceParent, maxTraceState = 64, 512

// headers are a record's, as a carrier of trace context. The CloudEvents extension for distributed tracing is read as well.
type headers struct{ record *kgo.Record }

// Get implements [propagation.TextMapCarrier].
func (h headers) Get(name string) string {
	longest := maxTraceParent
	if name == "tracestate" {
		longest = maxTraceState
	}
	for _, prefix := range []string{"", "ce_"} {
		for _, have := range h.record.Headers {
			if have.Key == prefix+name && len(have.Value) <= longest {
				return string(have.Value)
			}
		}
	}
	return ""
}

// Set implements [propagation.TextMapCarrier].
func (h headers) Set(name, value string) {
	h.record.Headers = append(h.record.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
}

// Keys implements [propagation.TextMapCarrier].
func (headers) Keys() []string { return w3c.Fields() }
