package api

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Sizes of a page, as the provider-integration API has them.
const defaultPage, maxPage = 10, 100

// tokenVersion opens the text of every page token, so that another way to page can tell its tokens from these. The list
// follows, and the last id that was seen.
const tokenVersion = "2."

// maxToken is the longest page token that clients accept.
const maxToken = 255

// page is a stretch of a list that is ordered by id: up to size items behind the one named after. Being named by the last
// item that was seen, a page neither repeats nor misses one when others come and go.
type page struct {
	list  string // its name; no spaces
	size  int
	after string
}

// readPage reads a page of a list, which the tokens of others do not fit.
func readPage(q url.Values, list string) (page, error) {
	p := page{list: list, size: defaultPage}
	if text := q.Get("page_size"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxPage {
			return p, failParameter("page_size", "want 1 to %d", maxPage)
		}
		p.size = n
	}
	if token := q.Get("page_token"); token != "" {
		after, ok := readToken(token, list)
		if !ok {
			return p, failParameter("page_token", "want the token of an earlier answer")
		}
		p.after = after
	}
	return p, nil
}

func readToken(token, list string) (string, bool) {
	if len(token) > maxToken {
		return "", false
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	id, ok := strings.CutPrefix(string(text), tokenVersion+list+" ")
	return id, err == nil && ok && id != ""
}

// token is that of the page behind the item with this id.
func (p page) token(id string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(tokenVersion + p.list + " " + id))
}

// cut returns the page's part of all, which is ordered by id, and the token of the next page, empty at the end.
func cut[T any](p page, all []T, id func(T) string) (part []T, next string) {
	from, seen := slices.BinarySearchFunc(all, p.after, func(t T, after string) int { return strings.Compare(id(t), after) })
	if seen {
		from++
	}
	part = all[from:min(from+p.size, len(all))]
	if from+len(part) < len(all) {
		next = p.token(id(part[len(part)-1]))
	}
	return part, next
}
