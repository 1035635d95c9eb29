package wire

// Failure is the body of every answer from 400 on.
type Failure struct {
	Errors []Fault `json:"errors"`
}

// Fault is one thing that was wrong.
type Fault struct {
	ID     string  `json:"id"`     // of the request, as in X-Request-Id
	Status string  `json:"status"` // the HTTP status again, as text
	Code   string  `json:"code"`
	Title  string  `json:"title"`
	Detail string  `json:"detail,omitempty"`
	Source *Source `json:"source,omitempty"`
	// Resolution says what to do about it, where there is something to do.
	Resolution string `json:"resolution,omitempty"`
}

// Source says which part of the request was wrong; one of the two is set.
type Source struct {
	Pointer   string `json:"pointer,omitempty"` // a JSON pointer into the body
	Parameter string `json:"parameter,omitempty"`
}
