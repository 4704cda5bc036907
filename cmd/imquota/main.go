// The imquota command enforces the quotas of IM apps, and asks one that does.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() {
	if servesCalls(os.Args[1:]) {
		beginWithSlack() // before there is anything to lose
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	dropEmptyVariables()
	os.Exit(Run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// servesCalls reports whether a command line is that of a server, of imquota or of
// the echo that is served as imquota is.
func servesCalls(args []string) bool {
	return len(args) > 0 && (args[0] == "serve" || args[0] == "bench-echo" && slices.Contains(args, "--own-options"))
}

// dropEmptyVariables has a variable that is set to nothing, as files for
// containers do, mean the same as none.
func dropEmptyVariables() {
	for _, pair := range os.Environ() {
		if name, value, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "IMQUOTA_") && value == "" {
			_ = os.Unsetenv(name) // it is there, and has a name
		}
	}
}

// Exit codes of every command.
const (
	exitFine   = 0 // allowed
	exitFault  = 1 // a fault, or wrong usage
	exitDenied = 2
)

// errDenied ends a command whose answer was "denied"; it was printed already.
var errDenied = errors.New("denied")

// cli is the whole command line.
type cli struct {
	Serve   serveCmd   `cmd:"" help:"Serve the quotas of apps over gRPC."`
	Check   checkCmd   `cmd:"" help:"Ask whether an action is allowed, and count it."`
	Release releaseCmd `cmd:"" help:"Give back what an action counted."`
	Usage   usageCmd   `cmd:"" help:"Show, set, import and export counters."`

	Reservation reservationCmd `cmd:"" help:"Commit or cancel what a check with --reserve holds."`

	App     appCmd     `cmd:"" help:"Create, change and delete apps."`
	Account accountCmd `cmd:"" help:"Show accounts, record their bills and payments, list what is due."`
	Quote   quoteCmd   `cmd:"" help:"Ask what a plan, an upgrade, a month or a return costs, and accept it."`
	Catalog catalogCmd `cmd:"" help:"Show and check plans."`
	Store   storeCmd   `cmd:"" help:"Look after a store."`
	Bench   BenchCmd   `cmd:"" help:"Put load on a server and measure it beside its floors."`
	Health  healthCmd  `cmd:"" help:"Ask whether a server can decide, as probes do."`
	Version versionCmd `cmd:"" help:"Print the version."`

	BenchEcho benchEchoCmd `cmd:"" hidden:"" help:"Serve the echo that imquota bench compares with."`

	ShowVersion kong.VersionFlag `name:"version" help:"Print the version." env:"-"`
}

const description = `Decides what IM (chat) apps, their users and groups may do, by plan, state and exact counters.

Exit codes: 0 allowed or fine, 2 denied, 1 a fault or wrong usage. Every flag can be set by the variable named beside it.`

// defaults are what flags that are not given stand for.
var defaults = benchDefaults.CloneWith(kong.Vars{"store": defaultStore, "listen": defaultListen, "http_listen": defaultHTTPListen, "version": "imquota " + version()})

// streams is where a command writes.
type streams struct{ out, err io.Writer }

// usageExit is how kong ends the program after -h; Run turns it into a code.
type usageExit int

// Run carries out a command line and returns its exit code.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	defer func() {
		switch cause := recover().(type) {
		case nil:
		case usageExit:
			code = int(cause)
		default:
			panic(cause) // a defect must not pass for success
		}
	}()
	out := &checkedWriter{w: stdout}
	s := &streams{out, stderr}
	if len(args) == 0 {
		_ = Run(ctx, []string{"--help"}, stderr, stderr)
		return exitFault
	}
	parser, err := kong.New(&cli{},
		kong.Name("imquota"),
		kong.Description(description),
		kong.Writers(out, stderr),
		kong.Exit(func(code int) { panic(usageExit(code)) }),
		kong.DefaultEnvars("IMQUOTA"),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 100}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(s),
		defaults,
	)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "imquota:", err)
		return exitFault
	}
	command, err := parser.Parse(args)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "imquota:", err)
		_, _ = fmt.Fprintln(stderr, "Run imquota -h, or a command with -h, to see what there is.")
		return exitFault
	}
	err = command.Run()
	switch {
	case out.err != nil:
		_, _ = fmt.Fprintln(stderr, "imquota: what was to be printed is lost:", out.err)
		return exitFault
	case errors.Is(err, errDenied):
		return exitDenied
	case err != nil:
		printFault(s, err)
		return exitFault
	}
	return exitFine
}

// checkedWriter remembers that something could not be written: a program that
// reads the output must not take half of it for the whole.
type checkedWriter struct {
	w   io.Writer
	err error
}

// Write implements io.Writer.
func (c *checkedWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	if c.err == nil {
		c.err = err
	}
	return n, err
}
