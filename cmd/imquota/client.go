package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// clientFlags are what every command that asks a server has.
type clientFlags struct {
	Server string `help:"Server to ask: HOST:PORT or unix:PATH." default:"${listen}" group:"Server:"`
	clientTLSFlags
	Timeout time.Duration `help:"How long to wait for an answer." default:"5s" group:"Server:"`

	outputFlag

	fields fieldFlags
}

// clientTLSFlags say how a server is to be known, and what it knows us by.
type clientTLSFlags struct {
	TLS     bool   `name:"tls" help:"Use TLS." group:"Server:"`
	TLSCA   string `name:"tls-ca" help:"Authorities to trust instead of the system's, a PEM file." placeholder:"FILE" group:"Server:"`
	TLSCert string `name:"tls-cert" env:"IMQUOTA_CLIENT_TLS_CERT" help:"Certificate to show to the server, a PEM file." placeholder:"FILE" group:"Server:"`
	TLSKey  string `name:"tls-key" env:"IMQUOTA_CLIENT_TLS_KEY" help:"Its key, a PEM file." placeholder:"FILE" group:"Server:"`
}

// appFlag names the app.
type appFlag struct {
	App uint32 `help:"App id (SDKAppID)." required:"" placeholder:"ID"`
}

// Validate refuses an address and a patience that no answer can come by.
func (f *clientFlags) Validate() error {
	if f.Timeout <= 0 {
		return fmt.Errorf("--timeout: %v is not a time to wait", f.Timeout)
	}
	return serverAddress("--server", f.Server)
}

// serverAddress refuses what is no address of a server.
func serverAddress(flag, address string) error {
	host, port, err := net.SplitHostPort(address)
	if !strings.HasPrefix(address, "unix:") && (err != nil || host == "" || port == "" || strings.Contains(address, "/")) {
		return fmt.Errorf("%s: %q is not HOST:PORT or unix:PATH", flag, address)
	}
	return nil
}

// ask connects, calls and prints: JSON as it came, or what table writes.
func ask[T proto.Message](ctx context.Context, f *clientFlags, s *streams, call func(context.Context, *connection) (T, error), table func(io.Writer, T)) (T, error) {
	var none T
	conn, err := f.dial()
	if err != nil {
		return none, err
	}
	defer conn.close()
	out, err := call(ctx, conn)
	if err != nil {
		return none, &callError{flags: f, err: err}
	}
	if f.Output == outputJSON {
		return out, printJSON(s.out, out)
	}
	table(s.out, out)
	return out, nil
}

// connection holds the clients of one server.
type connection struct {
	quotas  imquotav1.QuotaServiceClient
	apps    imquotav1.AppServiceClient
	billing imquotav1.BillingServiceClient
	health  healthpb.HealthClient
	close   func()
}

func (f *clientFlags) dial() (*connection, error) {
	transport, err := f.transport()
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(f.Server, grpc.WithTransportCredentials(transport), grpc.WithUnaryInterceptor(f.patiently))
	if err != nil {
		return nil, fmt.Errorf("--server %s: %w", f.Server, err)
	}
	return &connection{
		quotas:  imquotav1.NewQuotaServiceClient(conn),
		apps:    imquotav1.NewAppServiceClient(conn),
		billing: imquotav1.NewBillingServiceClient(conn),
		health:  healthpb.NewHealthClient(conn),
		close:   func() { _ = conn.Close() },
	}, nil
}

// patiently waits for each answer for as long as it may take.
func (f *clientFlags) patiently(ctx context.Context, method string, in, out any, conn *grpc.ClientConn, call grpc.UnaryInvoker, options ...grpc.CallOption) error {
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	return call(ctx, method, in, out, conn, options...)
}

func (f *clientTLSFlags) transport() (credentials.TransportCredentials, error) {
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
	if config.Certificates, err = keyPair(f.TLSCert, f.TLSKey); err != nil {
		return nil, err
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
	flags *clientFlags
	err   error
}

func (e *callError) Error() string { return e.err.Error() }
func (e *callError) Unwrap() error { return e.err }

// printFault prints an error as one line, and the fields that are wrong below;
// for programs as JSON too.
func printFault(s *streams, err error) {
	call, ok := errors.AsType[*callError](err)
	if !ok {
		_, _ = fmt.Fprintln(s.err, "imquota:", err)
		return
	}
	st := status.Convert(call.err)
	reason, fields := details(st)
	text, flags := call.text(st, reason), call.flags.fields
	if len(fields) > 0 { // it begins with the first
		text = strings.Replace(text, fields[0].GetField(), flags.of(fields[0].GetField()), 1)
	}
	_, _ = fmt.Fprintln(s.err, "imquota:", text)
	if len(fields) > 1 {
		for _, f := range fields {
			_, _ = fmt.Fprintf(s.err, "  %s %s\n", flags.of(f.GetField()), f.GetDescription())
		}
	}
	if call.flags.Output == outputJSON {
		_ = writeJSON(s.out, map[string]faultJSON{"error": newFaultJSON(st, reason, fields)})
	}
}

// tlsHelp says what helps when there is a server and TLS with it fails; nothing if
// that is not what an error of gRPC is about.
func tlsHelp(message string) string {
	const showOne = "wants a certificate of its clients that it trusts: show one with --tls-cert and --tls-key."
	switch {
	case strings.Contains(message, "failed to verify certificate"):
		return "Name the authority of its certificate with --tls-ca, and the server as the certificate does."
	case strings.Contains(message, "remote error: tls: "):
		return "It " + showOne
	case strings.Contains(message, "broken pipe"), strings.Contains(message, "connection reset"):
		return "Maybe it " + showOne // it hung up before it could be heard why
	}
	return ""
}

// text says what went wrong. An error without a reason is not imquota's: nobody
// answered, or something else did.
func (e *callError) text(st *status.Status, reason string) string {
	server, message := e.flags.Server, st.Message()
	help := tlsHelp(message)
	switch {
	case reason != "":
		return fmt.Sprintf("%s [%s]", message, reason)
	case st.Code() == codes.Unavailable && strings.Contains(message, "first record does not look like a TLS handshake"):
		return "the server at " + server + " does not speak TLS: leave --tls out"
	case st.Code() == codes.Unavailable && !e.flags.TLS && strings.Contains(message, "error reading server preface"):
		return "the server at " + server + " does not speak plain gRPC: it may need --tls"
	case st.Code() == codes.Unavailable && e.flags.TLS && help != "":
		return fmt.Sprintf("TLS with the server at %s failed: %s\n%s", server, cause(message), help)
	case st.Code() == codes.Unavailable:
		return fmt.Sprintf("no server answers at %s: %s\nStart one with `imquota serve`, or name another with --server.", server, cause(message))
	case st.Code() == codes.Canceled:
		return "stopped before the server at " + server + " answered"
	case st.Code() == codes.Unimplemented:
		return fmt.Sprintf("the server at %s does not offer this here: %s", server, message)
	case st.Code() == codes.DeadlineExceeded:
		return fmt.Sprintf("the server at %s did not answer within %v", server, e.flags.Timeout)
	}
	return fmt.Sprintf("%s (%s)", message, st.Code())
}

// cause is what grpc-go wraps into how it came to know of it.
func cause(message string) string {
	const marks = `desc = "transport: `
	if _, after, ok := strings.Cut(message, marks); ok {
		message = strings.TrimSuffix(after, `"`)
	}
	return strings.TrimPrefix(message, "Error while dialing: ")
}

// faultJSON is an error for programs.
type faultJSON struct {
	Code    string      `json:"code"`
	Reason  string      `json:"reason,omitempty"`
	Message string      `json:"message"`
	Fields  []fieldJSON `json:"fields,omitempty"`
}

type fieldJSON struct {
	Field       string `json:"field"`
	Description string `json:"description"`
}

func newFaultJSON(st *status.Status, reason string, fields []*errdetails.BadRequest_FieldViolation) faultJSON {
	out := faultJSON{Code: st.Code().String(), Reason: reason, Message: st.Message()}
	for _, f := range fields {
		out.Fields = append(out.Fields, fieldJSON{f.GetField(), f.GetDescription()})
	}
	return out
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

// lower is upper as a word of a sentence.
func lower(value fmt.Stringer, prefix string) string {
	return strings.ToLower(strings.ReplaceAll(upper(value, prefix), "_", " "))
}
