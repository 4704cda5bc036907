package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	gatewayv1 "github.com/imquota/imquota/proto/gateway/imquota/v1"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/server"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Bounds of a connection over HTTP.
const (
	httpHeaderTimeout = 5 * time.Second
	httpReadTimeout   = 30 * time.Second
	httpWriteTimeout  = httpReadTimeout + longestCall // from the header on, so after what may come before
	httpIdleTimeout   = 2 * time.Minute
)

// newHTTP returns the server of the same services as JSON over HTTP, beside
// the pages of a monitoring system.
func (f *front) newHTTP(ctx context.Context, isQuotasOnly, isLoopback bool) (*http.Server, error) {
	local := &inProcess{methods: make(map[string]method), intercept: f.intercept}
	f.services.RegisterQuota(local)
	if !isQuotasOnly {
		f.services.RegisterAdmin(local)
	}
	json := &strictJSON{runtime.JSONPb{MarshalOptions: protojson.MarshalOptions{EmitUnpopulated: true}}}
	gateway := runtime.NewServeMux(runtime.WithMarshalerOption(runtime.MIMEWildcard, json), runtime.WithErrorHandler(httpError), runtime.WithRoutingErrorHandler(httpRoutingError))
	if err := errors.Join(
		gatewayv1.RegisterQuotaServiceHandlerClient(ctx, gateway, imquotav1.NewQuotaServiceClient(local)),
		gatewayv1.RegisterAppServiceHandlerClient(ctx, gateway, imquotav1.NewAppServiceClient(local)),
		gatewayv1.RegisterBillingServiceHandlerClient(ctx, gateway, imquotav1.NewBillingServiceClient(local)),
	); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	// No page of a browser on this machine may count, or change apps, unseen.
	services := http.NewCrossOriginProtection().Handler(known(gateway))
	if isLoopback {
		services = byAddress(services)
	}
	mux.Handle("/", services)
	mux.Handle("GET /metrics", f.metrics.page())
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", f.readyz)
	return &http.Server{
		Handler:           http.MaxBytesHandler(mux, server.MaxMessageBytes),
		ReadHeaderTimeout: httpHeaderTimeout, ReadTimeout: httpReadTimeout, WriteTimeout: httpWriteTimeout, IdleTimeout: httpIdleTimeout,
		MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:       slog.NewLogLogger(f.log.Handler(), slog.LevelWarn),
	}, nil
}

// strictJSON reads one message and nothing else. A field that nobody knows is a
// mistake: a misspelt requestId would count twice. So is what follows the
// message: nobody would answer it.
type strictJSON struct{ runtime.JSONPb }

// NewDecoder implements runtime.Marshaler.
func (j *strictJSON) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		text, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(text)) == 0 {
			return io.EOF // an empty message, to the gateway
		}
		m, ok := v.(proto.Message)
		if !ok {
			return j.Unmarshal(text, v)
		}
		// An empty object takes two bytes, and a hundred times as many once it is read.
		if most := leastObjects + len(text)/16; objects(text) > most {
			return fmt.Errorf("it has more than %d objects", most)
		}
		return protojson.Unmarshal(text, m)
	})
}

// leastObjects are in a full batch, and more.
const leastObjects = 2048

// objects counts the objects and lists of a JSON text.
func objects(text []byte) (n int) {
	isString := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			isString = !isString
		case c == '\\' && isString:
			i++
		case (c == '{' || c == '[') && !isString:
			n++
		}
	}
	return n
}

// byAddress refuses requests that came to loopback by a name that may be
// anybody's: a page that has its own name lead here is of the same origin.
func byAddress(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if host != "localhost" && net.ParseIP(strings.Trim(host, "[]")) == nil {
			http.Error(w, "on loopback this server is called by its address, or localhost, not "+strconv.Quote(host), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// known tells the services who asks, as gRPC does.
func known(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil {
			who := &peer.Peer{AuthInfo: credentials.TLSInfo{State: *r.TLS}}
			r = r.WithContext(peer.NewContext(r.Context(), who))
		}
		next.ServeHTTP(w, r)
	})
}

// httpError answers an error; one about the JSON itself has a reason too.
func httpError(ctx context.Context, mux *runtime.ServeMux, m runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	runtime.DefaultHTTPErrorHandler(ctx, mux, m, w, r, server.Malformed(err))
}

// httpRoutingError answers what is not at a method's address. What is there and asked
// for otherwise is no method that is missing, which the gateway would say.
func httpRoutingError(ctx context.Context, mux *runtime.ServeMux, m runtime.Marshaler, w http.ResponseWriter, r *http.Request, code int) {
	if code != http.StatusMethodNotAllowed {
		runtime.DefaultRoutingErrorHandler(ctx, mux, m, w, r, code)
		return
	}
	w.Header().Set("Allow", http.MethodPost)
	err := status.Error(codes.InvalidArgument, "a method is called by POST, with its request as the body")
	runtime.DefaultHTTPErrorHandler(ctx, mux, m, w, r, &runtime.HTTPStatusError{HTTPStatus: code, Err: err})
}

// readyz answers whether the store can be trusted, and if not, why.
func (f *front) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := f.ready.Load(); err != nil {
		http.Error(w, (*err).Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
	if last, isRecent := f.losses.recent(time.Now()); isRecent {
		_, _ = fmt.Fprintf(w, "the store lost counts that it had acknowledged, last noticed %s\n", last.UTC().Format(time.RFC3339))
	}
}
