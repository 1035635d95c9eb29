package api

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/rolebridge/rolebridge/integration"
)

// Sizes of a page, as the provider-integration API has them.
const defaultPage, maxPage = 10, 100

// tokenVersion opens the text of every page token, so that another way to page can tell its tokens from these.
const tokenVersion = "1."

// maxToken is the longest page token that clients accept.
const maxToken = 255

// page is a stretch of a list that is ordered by id: up to size items behind the one named after. Being named by the last
// item that was seen, a page neither repeats nor misses one when others come and go.
type page struct {
	size  int
	after integration.ID
}

func readPage(q url.Values) (page, error) {
	p := page{size: defaultPage}
	if text := q.Get("page_size"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxPage {
			return p, failParameter("page_size", "want 1 to %d", maxPage)
		}
		p.size = n
	}
	if token := q.Get("page_token"); token != "" {
		after, ok := readToken(token)
		if !ok {
			return p, failParameter("page_token", "want the token of an earlier answer")
		}
		p.after = after
	}
	return p, nil
}

func readToken(token string) (integration.ID, bool) {
	if len(token) > maxToken {
		return "", false
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	id, ok := strings.CutPrefix(string(text), tokenVersion)
	return integration.ID(id), err == nil && ok && strings.HasPrefix(id, integration.IDPrefix)
}

func writeToken(id integration.ID) string {
	return base64.RawURLEncoding.EncodeToString([]byte(tokenVersion + string(id)))
}

// cut returns the page's part of all, which is ordered by id, and the token of the next page, empty at the end.
func (p page) cut(all []*integration.Integration) (part []*integration.Integration, next string) {
	from, seen := slices.BinarySearchFunc(all, p.after, func(i *integration.Integration, id integration.ID) int {
		return strings.Compare(string(i.ID), string(id))
	})
	if seen {
		from++
	}
	part = all[from:min(from+p.size, len(all))]
	if from+len(part) < len(all) {
		next = writeToken(part[len(part)-1].ID)
	}
	return part, next
}
