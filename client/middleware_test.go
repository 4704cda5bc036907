package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/imquota/imquota/client"
	"github.com/imquota/imquota/client/grpcquota"
	"github.com/imquota/imquota/client/httpquota"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// visits are calls of a gateway, by what they ask for and what comes of them.
var visits = map[string]struct {
	code   codes.Code
	status int
	seen   string // by the handler, if it is called
}{
	"unchecked":  {codes.OK, 200, "unchecked"},
	"allowed":    {codes.OK, 200, "SOURCE_CACHE"},
	"no feature": {codes.PermissionDenied, 403, ""},
	"no room":    {codes.ResourceExhausted, 429, ""},
	"unknown":    {codes.PermissionDenied, 403, ""},
	"wrong":      {codes.Internal, 500, ""},
}

// visit is what a gateway makes of a call.
func visit(kind string) *imquotav1.CheckQuotaRequest {
	r := feature()
	switch kind {
	case "unchecked":
		return nil
	case "no feature":
		r.AppId, r.GetUseFeature().Feature = 4, "community" // of a standard app
	case "no room":
		return group("g")
	case "unknown":
		r.AppId = 404
	case "wrong":
		r.GetUseFeature().Feature = ""
	}
	return r
}

// seen tells what a handler finds in its context.
func seen(ctx context.Context) string {
	switch a, ok := client.FromContext(ctx); {
	case !ok:
		return "unchecked"
	case a.FailedOpen != nil:
		return "failed open"
	default:
		return a.Decision.GetSource().String()
	}
}

// visited prepares a sidecar, and returns clients that fail open and do not.
func visited(t *testing.T, s *sidecar) (open, closed *client.Client) {
	t.Helper()
	s.setJoined(limit)
	_, err := s.apps.CreateApp(t.Context(), &imquotav1.CreateAppRequest{AppId: 4, AccountId: "test", Import: &imquotav1.AppImport{Edition: "standard"}})
	if err != nil {
		t.Fatal(err)
	}
	o := client.Options{Timeout: 100 * time.Millisecond}
	closed = client.New(s.conn, o)
	o.FailOpen = client.FailOpenFeatures
	return client.New(s.conn, o), closed
}

// TestHTTPMiddleware in a server, before a sidecar that is there and away.
func TestHTTPMiddleware(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *sidecar) {
		open, closed := visited(t, s)
		gateway := func(c *client.Client, o httpquota.Options) func(kind string) (status int, body string) {
			o.Request = func(r *http.Request) *imquotav1.CheckQuotaRequest { return visit(r.Header.Get("Kind")) }
			server := httptest.NewServer(httpquota.Middleware(c, o)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, seen(r.Context()))
			})))
			t.Cleanup(server.Close)
			return func(kind string) (int, string) {
				r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, nil)
				r.Header.Set("Kind", kind)
				out, err := server.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer out.Body.Close()
				body, _ := io.ReadAll(out.Body)
				return out.StatusCode, string(body)
			}
		}
		ask := gateway(open, httpquota.Options{})
		for kind, want := range visits {
			if code, body := ask(kind); code != want.status || (want.seen != "" && body != want.seen) {
				t.Errorf("%s: %d %s", kind, code, body)
			}
		}
		own := gateway(closed, httpquota.Options{
			Deny: func(w http.ResponseWriter, _ *http.Request, d *imquotav1.Decision) {
				http.Error(w, fmt.Sprint(d.GetViolations()[0].GetUpstreamCode()), http.StatusTeapot)
			},
			Fault: func(w http.ResponseWriter, _ *http.Request, fault error) {
				http.Error(w, status.Code(fault).String(), http.StatusBadGateway)
			},
		})
		if code, body := own("no room"); code != http.StatusTeapot || body != "10037\n" {
			t.Errorf("an own denial: %d %s", code, body)
		}
		if code, body := own("wrong"); code != http.StatusBadGateway || body != "InvalidArgument\n" {
			t.Errorf("an own fault: %d %s", code, body)
		}
		s.stop()
		if code, body := ask("allowed"); code != http.StatusOK || body != "failed open" {
			t.Errorf("a feature, and nobody answers: %d %s", code, body)
		}
		if code, body := ask("no room"); code != http.StatusServiceUnavailable {
			t.Errorf("a group, and nobody answers: %d %s", code, body)
		}
		if code, body := gateway(closed, httpquota.Options{})("allowed"); code != http.StatusServiceUnavailable {
			t.Errorf("a feature that does not fail open: %d %s", code, body)
		}
	})
}

// TestGRPCMiddleware is TestHTTPMiddleware over gRPC, of calls and streams.
func TestGRPCMiddleware(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *sidecar) {
		open, closed := visited(t, s)
		gateway := func(c *client.Client, o grpcquota.Options) map[string]func(kind string) (string, error) {
			o.Request = func(ctx context.Context, method string, in any) *imquotav1.CheckQuotaRequest {
				if _, isUnary := in.(*healthpb.HealthCheckRequest); isUnary != (method == healthpb.Health_Check_FullMethodName) || (in != nil) != isUnary {
					t.Errorf("%s is asked for with %v", method, in)
				}
				md, _ := metadata.FromIncomingContext(ctx)
				return visit(md.Get("kind")[0])
			}
			l, err := net.Listen("unix", t.TempDir()+"/gateway")
			if err != nil {
				t.Fatal(err)
			}
			g := grpc.NewServer(grpc.UnaryInterceptor(grpcquota.Unary(c, o)), grpc.StreamInterceptor(grpcquota.Stream(c, o)))
			seenBy := make(chan string, 1)
			healthpb.RegisterHealthServer(g, &handler{seen: seenBy})
			go func() { _ = g.Serve(l) }()
			conn, err := grpc.NewClient("unix:"+l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = conn.Close()
				g.Stop()
			})
			health := healthpb.NewHealthClient(conn)
			answer := func(err error) (string, error) {
				select {
				case by := <-seenBy:
					return by, err
				default:
					return "", err
				}
			}
			return map[string]func(kind string) (string, error){
				"unary": func(kind string) (string, error) {
					_, err := health.Check(metadata.AppendToOutgoingContext(t.Context(), "kind", kind), &healthpb.HealthCheckRequest{})
					return answer(err)
				},
				"stream": func(kind string) (string, error) {
					stream, err := health.Watch(metadata.AppendToOutgoingContext(t.Context(), "kind", kind), &healthpb.HealthCheckRequest{})
					if err == nil {
						if _, err = stream.Recv(); errors.Is(err, io.EOF) {
							err = nil
						}
					}
					return answer(err)
				},
			}
		}
		asks := gateway(open, grpcquota.Options{})
		for how, ask := range asks {
			for kind, want := range visits {
				if by, err := ask(kind); status.Code(err) != want.code || by != want.seen {
					t.Errorf("%s, %s: seen %q, %v", how, kind, by, err)
				}
			}
		}
		own := gateway(closed, grpcquota.Options{
			Deny: func(_ context.Context, d *imquotav1.Decision) error {
				if len(d.GetViolations()) == 1 && d.GetViolations()[0].GetFeature() != "" {
					return nil // a mistake, which does not let anybody through
				}
				return status.Error(codes.Aborted, "own")
			},
			Fault: func(context.Context, error) error { return nil },
		})
		for how, ask := range own {
			if by, err := ask("no room"); status.Code(err) != codes.Aborted || by != "" {
				t.Errorf("%s, an own denial: seen %q, %v", how, by, err)
			}
			if by, err := ask("no feature"); status.Code(err) != codes.PermissionDenied || by != "" {
				t.Errorf("%s, a denial without an error: seen %q, %v", how, by, err)
			}
			if by, err := ask("wrong"); status.Code(err) != codes.Internal || by != "" {
				t.Errorf("%s, a fault without an error: seen %q, %v", how, by, err)
			}
		}
		s.stop()
		for how, ask := range asks {
			if by, err := ask("allowed"); err != nil || by != "failed open" {
				t.Errorf("%s, a feature, and nobody answers: seen %q, %v", how, by, err)
			}
			if by, err := ask("no room"); status.Code(err) != codes.Unavailable || by != "" {
				t.Errorf("%s, a group, and nobody answers: seen %q, %v", how, by, err)
			}
		}
	})
}

// handler is what a gateway serves.
type handler struct {
	healthpb.UnimplementedHealthServer
	seen chan string
}

func (h *handler) Check(ctx context.Context, _ *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	h.seen <- seen(ctx)
	return &healthpb.HealthCheckResponse{}, nil
}

func (h *handler) Watch(_ *healthpb.HealthCheckRequest, stream grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	h.seen <- seen(stream.Context())
	return nil
}
