package httpquota

import (
	"net/http"

	"github.com/imquota/imquota/client"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
)

// Options configures Middleware.
type Options struct {
	// Request returns what a request asks imquota for; nil: it is not checked.
	Request func(*http.Request) *imquotav1.CheckQuotaRequest
	// Deny answers a request that is denied; [Denied] when nil.
	Deny func(http.ResponseWriter, *http.Request, *imquotav1.Decision)
	// Fault answers a request that could not be checked, and does not fail open;
	// [Unchecked] when nil.
	Fault func(http.ResponseWriter, *http.Request, error)
}

// Middleware returns what wraps handlers, to be called for what is allowed alone.
func Middleware(c *client.Client, o Options) func(http.Handler) http.Handler {
	if o.Deny == nil {
		o.Deny = Denied
	}
	if o.Fault == nil {
		o.Fault = Unchecked
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked := o.Request(r)
			if asked == nil {
				next.ServeHTTP(w, r)
				return
			}
			a, fault := c.Check(r.Context(), asked)
			switch {
			case fault != nil:
				o.Fault(w, r, fault)
			case !a.Allowed():
				o.Deny(w, r, a.Decision)
			default:
				next.ServeHTTP(w, r.WithContext(client.NewContext(r.Context(), a)))
			}
		})
	}
}
