package sandbox

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	iamNamespace = "https://iam.amazonaws.com/doc/2010-05-08/"
	stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"

	// Banner is the value of the X-Rolebridge-Sandbox header on every answer.
	Banner = "not AWS: a sandbox for development and tests"

	about = `This is the rolebridge sandbox, a stand-in for AWS (IAM, STS, S3) for development and tests. It is not AWS.
Accounts, roles and objects in it are make-believe; its keys open nothing elsewhere.

Set AWS_ENDPOINT_URL to this address and use the AWS CLI or any SDK, for example: aws sts get-caller-identity
`
)

// refusal is an answer other than success, in AWS's words.
type refusal struct {
	status        int
	code, message string
}

func refuse(status int, code, format string, args ...any) *refusal {
	return &refusal{status, code, fmt.Sprintf(format, args...)}
}

func (r *refusal) Error() string { return r.code + ": " + r.message }

// asRefusal finds the refusal in err. Anything else is our fault and shows nothing of itself.
func asRefusal(err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	return refuse(500, "InternalFailure", "The request processing has failed because of an unknown error, exception or failure.")
}

// members is a list in the query protocol: <member> elements inside of a named one.
type members[T any] struct {
	Member []T `xml:"member"`
}

type responseMetadata struct {
	RequestID string `xml:"RequestId"`
}

// answerQuery writes <ActionResponse><ActionResult>…</ActionResult>…, or without the inner element if result is nil.
func answerQuery(w http.ResponseWriter, namespace, action, id string, result any) {
	var b strings.Builder
	e := xml.NewEncoder(&b)
	start := xml.StartElement{Name: xml.Name{Local: action + "Response"}, Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: namespace}}}
	err := e.EncodeToken(start)
	if err == nil && result != nil {
		err = e.EncodeElement(result, xml.StartElement{Name: xml.Name{Local: action + "Result"}})
	}
	if err == nil {
		err = e.EncodeElement(responseMetadata{id}, xml.StartElement{Name: xml.Name{Local: "ResponseMetadata"}})
	}
	if err == nil {
		err = e.EncodeToken(start.End())
	}
	if err == nil {
		err = e.Flush()
	}
	if err != nil {
		refuseQuery(w, namespace, id, err)
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	_, _ = io.WriteString(w, b.String())
}

func refuseQuery(w http.ResponseWriter, namespace, id string, err error) {
	r := asRefusal(err)
	type fault struct {
		Type, Code, Message string
	}
	body := struct {
		XMLName   xml.Name `xml:"ErrorResponse"`
		Namespace string   `xml:"xmlns,attr"`
		Error     fault
		RequestID string `xml:"RequestId"`
	}{Namespace: namespace, Error: fault{"Sender", r.code, r.message}, RequestID: id}
	if r.status >= 500 {
		body.Error.Type = "Receiver"
	}
	w.Header().Set("Content-Type", "text/xml")
	writeXML(w, r.status, body)
}

// refuseS3 leaves the body away for HEAD: clients then know no more than the status.
func refuseS3(w http.ResponseWriter, r *http.Request, id string, err error) {
	why := asRefusal(err)
	if r.Method == http.MethodHead {
		w.WriteHeader(why.status)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	writeXML(w, why.status, struct {
		XMLName   xml.Name `xml:"Error"`
		Code      string
		Message   string
		Resource  string
		RequestID string `xml:"RequestId"`
	}{Code: why.code, Message: why.message, Resource: r.URL.Path, RequestID: id})
}

// refuseJSON is for services that are not here: most of them, and all newer ones, speak JSON.
func refuseJSON(w http.ResponseWriter, r *refusal) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("X-Amzn-Errortype", r.code)
	w.WriteHeader(r.status)
	text, err := json.Marshal(map[string]string{"__type": r.code, "message": r.message})
	if err == nil {
		_, _ = w.Write(text) // who has gone needs no answer
	}
}

func writeXML(w http.ResponseWriter, status int, body any) {
	text, err := xml.Marshal(body)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, xml.Header+string(text))
}

// timestamp is the form of times in IAM's and STS's answers.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
