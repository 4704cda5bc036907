package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// clientFlags are what every command that asks a server has.
type clientFlags struct {
	Server  string        `help:"Server to ask: HOST:PORT or unix:PATH." default:"${listen}" group:"Server:"`
	TLS     bool          `name:"tls" help:"Use TLS." group:"Server:"`
	TLSCA   string        `name:"tls-ca" help:"Authorities to trust instead of the system's, a PEM file." placeholder:"FILE" group:"Server:"`
	TLSCert string        `name:"tls-cert" help:"Certificate to show to the server, a PEM file." placeholder:"FILE" group:"Server:"`
	TLSKey  string        `name:"tls-key" help:"Its key, a PEM file." placeholder:"FILE" group:"Server:"`
	Timeout time.Duration `help:"How long to wait for the answer." default:"5s" group:"Server:"`

	outputFlag
}

// appFlag names the app.
type appFlag struct {
	App uint32 `help:"App id (SDKAppID)." required:"" placeholder:"ID"`
}

// ask connects, calls and prints: JSON as it came, or what table writes.
func ask[T proto.Message](ctx context.Context, f *clientFlags, s *streams, call func(context.Context, *connection) (T, error), table func(io.Writer, T)) (T, error) {
	var none T
	conn, err := f.dial()
	if err != nil {
		return none, err
	}
	defer conn.close()
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	out, err := call(ctx, conn)
	if err != nil {
		return none, &callError{server: f.Server, err: err}
	}
	if f.Output == outputJSON {
		return out, printJSON(s.out, out)
	}
	table(s.out, out)
	return out, nil
}

// connection holds the clients of one server.
type connection struct {
	quotas imquotav1.QuotaServiceClient
	apps   imquotav1.AppServiceClient
	close  func()
}

func (f *clientFlags) dial() (*connection, error) {
	transport, err := f.transport()
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(f.Server, grpc.WithTransportCredentials(transport))
	if err != nil {
		return nil, fmt.Errorf("--server %s: %w", f.Server, err)
	}
	return &connection{
		quotas: imquotav1.NewQuotaServiceClient(conn),
		apps:   imquotav1.NewAppServiceClient(conn),
		close:  func() { _ = conn.Close() },
	}, nil
}

func (f *clientFlags) transport() (credentials.TransportCredentials, error) {
	if !f.TLS {
		if f.TLSCA != "" || f.TLSCert != "" || f.TLSKey != "" {
			return nil, errors.New("--tls-ca, --tls-cert and --tls-key need --tls")
		}
		return insecure.NewCredentials(), nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	var err error
	if config.RootCAs, err = authorities("--tls-ca", f.TLSCA); err != nil {
		return nil, err
	}
	if f.TLSCert != "" || f.TLSKey != "" {
		pair, err := tls.LoadX509KeyPair(f.TLSCert, f.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(config), nil
}

// printJSON prints a message. protojson varies its spaces on purpose; a
// program that reads the output should not see that.
func printJSON(w io.Writer, m proto.Message) error {
	raw, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return err
	}
	var value json.RawMessage = raw
	pretty, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, string(pretty))
	return err
}

// callError is what a server answered instead of a decision.
type callError struct {
	server string
	err    error
}

func (e *callError) Error() string { return e.err.Error() }
func (e *callError) Unwrap() error { return e.err }

// printFault prints an error as one line, and the fields that are wrong below.
func printFault(w io.Writer, err error) {
	var call *callError
	if !errors.As(err, &call) {
		_, _ = fmt.Fprintln(w, "imquota:", err)
		return
	}
	st := status.Convert(call.err)
	reason, fields := details(st)
	switch {
	case reason == "" && st.Code() == codes.Unavailable:
		_, _ = fmt.Fprintf(w, "imquota: no server answers at %s: start one with `imquota serve`, or name another with --server\n", call.server)
	case reason == "" && st.Code() == codes.Unimplemented:
		_, _ = fmt.Fprintf(w, "imquota: the server at %s does not offer this here: %s\n", call.server, st.Message())
	case reason == "":
		_, _ = fmt.Fprintf(w, "imquota: %s (%s)\n", st.Message(), st.Code())
	default:
		_, _ = fmt.Fprintf(w, "imquota: %s [%s]\n", st.Message(), reason)
	}
	if len(fields) > 1 {
		for _, f := range fields {
			_, _ = fmt.Fprintf(w, "  %s %s\n", f.GetField(), f.GetDescription())
		}
	}
}

func details(st *status.Status) (reason string, fields []*errdetails.BadRequest_FieldViolation) {
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			reason = d.GetReason()
		case *errdetails.BadRequest:
			fields = d.GetFieldViolations()
		}
	}
	return reason, fields
}

// upper returns an enum's name without its prefix.
func upper(value fmt.Stringer, prefix string) string {
	return strings.TrimPrefix(value.String(), prefix)
}
