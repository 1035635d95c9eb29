package dlq

// What the fuzzer reaches past Kafka for.
var (
	Read   = read
	Marked = marked
)
