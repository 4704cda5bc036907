// Command gateway is an IM gateway over HTTP that asks imquota on every request.
// Features go on when imquota is away, logins do not. With `imquota serve --demo`
// in another terminal:
//
//	go run ./examples/gateway
//	curl -i -X POST -H 'App: 1400000001' -H 'User: alice' 127.0.0.1:8080/v1/login
//	curl -i -X POST -H 'App: 1400000002' -H 'User: alice' 127.0.0.1:8080/v1/receipts  # not in its plan
//	curl -i -X POST -H 'App: 1400000003' -H 'User: alice' 127.0.0.1:8080/v1/receipts  # also with imquota stopped
//	curl 127.0.0.1:8080/debug/vars  # "imquota": how many checks, RPCs, faults
package main

import (
	"context"
	"expvar"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/imquota/imquota/client"
	"github.com/imquota/imquota/client/httpquota"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		slog.Error("the gateway ended", "error", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	flags := flag.NewFlagSet("gateway", flag.ExitOnError)
	server := flags.String("server", "127.0.0.1:7400", "imquota: HOST:PORT or unix:PATH")
	listen := flags.String("listen", "127.0.0.1:8080", "where to serve HTTP")
	if err := flags.Parse(args); err != nil {
		return err
	}
	conn, err := grpc.NewClient(*server, append(client.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	quotas := client.New(conn, client.Options{ID: "gateway", Timeout: 200 * time.Millisecond, FailOpen: client.FailOpenFeatures})
	expvar.Publish("imquota", expvar.Func(func() any { return quotas.Stats() }))

	login := httpquota.Middleware(quotas, httpquota.Options{Request: loginOf, Fault: logged})
	receipts := httpquota.Middleware(quotas, httpquota.Options{Request: receiptsOf, Fault: logged})
	http.Handle("POST /v1/login", login(http.HandlerFunc(welcome)))
	http.Handle("POST /v1/receipts", receipts(http.HandlerFunc(welcome)))

	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", *listen)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintln(out, "listening on", l.Addr())
	gateway := &http.Server{ReadHeaderTimeout: 5 * time.Second}
	stopped := context.AfterFunc(ctx, func() { _ = gateway.Close() })
	defer stopped()
	if err := gateway.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

// appOf and userOf stand for what a gateway has authenticated before.
func appOf(r *http.Request) uint32 {
	app, _ := strconv.ParseUint(r.Header.Get("App"), 10, 32)
	return uint32(app)
}

func userOf(r *http.Request) string { return r.Header.Get("User") }

func loginOf(r *http.Request) *imquotav1.CheckQuotaRequest {
	return &imquotav1.CheckQuotaRequest{
		AppId: appOf(r), View: imquotav1.View_VIEW_BASIC,
		Action: &imquotav1.CheckQuotaRequest_Login{Login: &imquotav1.Login{UserId: userOf(r)}},
	}
}

func receiptsOf(r *http.Request) *imquotav1.CheckQuotaRequest {
	return &imquotav1.CheckQuotaRequest{
		AppId: appOf(r), View: imquotav1.View_VIEW_BASIC,
		Action: &imquotav1.CheckQuotaRequest_UseFeature{UseFeature: &imquotav1.UseFeature{Feature: "group_read_receipt"}},
	}
}

// logged answers as httpquota does by itself, and says why.
func logged(w http.ResponseWriter, r *http.Request, fault error) {
	slog.Error("a request could not be checked", "path", r.URL.Path, "error", fault)
	httpquota.Unchecked(w, r, fault)
}

func welcome(w http.ResponseWriter, r *http.Request) {
	if a, ok := client.FromContext(r.Context()); ok && a.FailedOpen != nil {
		slog.Warn("a request goes on unchecked", "path", r.URL.Path, "error", a.FailedOpen)
		w.Header().Set("Quota", "unchecked")
	}
	_, _ = fmt.Fprintln(w, "welcome,", userOf(r))
}
