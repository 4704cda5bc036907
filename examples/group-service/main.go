// Command group-service keeps groups, and counts those that exist with imquota:
// each is reserved, created and committed, and given back when it is dissolved. With
// `imquota serve --demo` in another terminal:
//
//	go run ./examples/group-service
//	curl -i -X POST '127.0.0.1:8081/v1/groups?app=1400000001&id=news&type=live&owner=alice'
//	curl -i -X DELETE '127.0.0.1:8081/v1/groups?app=1400000001&id=news'
//	for i in $(seq 11); do curl -X POST "127.0.0.1:8081/v1/groups?app=1400000001&id=g$i&type=live"; done  # 10 are allowed
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/imquota/imquota/client"
	"github.com/imquota/imquota/client/httpquota"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		slog.Error("the group service ended", "error", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	flags := flag.NewFlagSet("group-service", flag.ExitOnError)
	server := flags.String("server", "127.0.0.1:7400", "imquota: HOST:PORT or unix:PATH")
	listen := flags.String("listen", "127.0.0.1:8081", "where to serve HTTP")
	if err := flags.Parse(args); err != nil {
		return err
	}
	conn, err := grpc.NewClient(*server, append(client.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	s := &service{quotas: client.New(conn, client.Options{ID: "group-service"})}
	http.HandleFunc("POST /v1/groups", s.create)
	http.HandleFunc("DELETE /v1/groups", s.dissolve)

	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", *listen)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintln(out, "listening on", l.Addr())
	groups := &http.Server{ReadHeaderTimeout: 5 * time.Second}
	stopped := context.AfterFunc(ctx, func() { _ = groups.Close() })
	defer stopped()
	if err := groups.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

type service struct {
	quotas *client.Client
	groups sync.Map // stands for a database
}

func (s *service) create(w http.ResponseWriter, r *http.Request) {
	app, _ := strconv.ParseUint(r.FormValue("app"), 10, 32)
	id := r.FormValue("id")
	decision, err := s.quotas.Reserve(r.Context(), &imquotav1.CheckQuotaRequest{
		AppId: uint32(app),
		Action: &imquotav1.CheckQuotaRequest_CreateGroup{
			CreateGroup: &imquotav1.CreateGroup{GroupId: id, GroupType: r.FormValue("type"), OwnerId: r.FormValue("owner")},
		},
	}, func(context.Context) error {
		s.groups.Store(id, r.FormValue("type"))
		return nil
	})
	unsettled, open := errors.AsType[*client.UnsettledError](err)
	_, refused := errors.AsType[*client.NotCountedError](err)
	switch {
	case open: // it exists; a job is to commit it within a day
		slog.Error("to be committed", "app", unsettled.AppID, "reservation", unsettled.ReservationID, "error", err)
	case refused: // it took longer than the hold, and by now there is no room
		s.groups.Delete(id)
		http.Error(w, "too late, and undone", http.StatusConflict)
		return
	case status.Code(err) == codes.FailedPrecondition:
		http.Error(w, id+" exists", http.StatusConflict)
		return
	case err != nil:
		slog.Error("not created", "group", id, "error", err)
		httpquota.Unchecked(w, r, err)
		return
	case !decision.GetAllowed():
		httpquota.Denied(w, r, decision)
		return
	}
	_, _ = fmt.Fprintln(w, "created", id)
}

func (s *service) dissolve(w http.ResponseWriter, r *http.Request) {
	app, _ := strconv.ParseUint(r.FormValue("app"), 10, 32)
	id := r.FormValue("id")
	s.groups.Delete(id) // first, so that what is counted is never too little
	_, err := s.quotas.Release(r.Context(), &imquotav1.ReleaseQuotaRequest{
		AppId: uint32(app), Release: &imquotav1.ReleaseQuotaRequest_DissolveGroup{DissolveGroup: &imquotav1.DissolveGroup{GroupId: id}},
	})
	if err != nil { // dissolving it again gives it back
		slog.Error("not given back", "group", id, "error", err)
		httpquota.Unchecked(w, r, err)
		return
	}
	_, _ = fmt.Fprintln(w, "dissolved", id)
}
