// Testbed starts throw-away MariaDB or MySQL servers on loopback, one primary and its
// replicas, for tests, for benchmarks and to look at the proxy in action.
//
//	testbed run     servers, until SIGINT, SIGTERM or SIGHUP
//	testbed demo    servers, the proxy in front of them and sample queries
//
// A program that needs servers runs `testbed run --json --stdin` as a child: it
// reads one line of JSON (Description) when all is ready, writes commands (see
// control), and closes the pipe, or dies, to have everything stopped and deleted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if err := command(os.Args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			os.Exit(2)
		}
		fmt.Fprintln(os.Stderr, "testbed:", err)
		os.Exit(1)
	}
}

func command(args []string) error {
	if len(args) == 0 {
		return errors.New("say `testbed run` or `testbed demo`; each knows --help")
	}
	switch args[0] {
	case "run":
		return runCommand(args[1:])
	case "demo":
		return demoCommand(args[1:])
	}
	return fmt.Errorf("unknown command %q: there are run and demo", args[0])
}

// flags registers the options that every command has.
func (set *settings) flags(f *flag.FlagSet) {
	f.IntVar(&set.replicas, "replicas", 2, "start `N` replicas of the primary")
	f.StringVar(&set.dir, "dir", "", "make the testbed's folder in `DIR` (default: the system's temp folder)")
	f.StringVar(&set.flavour, "flavour", flavours[0].name, "`NAME` of the kind of servers: "+flavourNames())
	f.StringVar(&set.server, "server", "", "`PATH` of the server program (default: looked up)")
	f.StringVar(&set.pluginDir, "plugin-dir", "", "`DIR` with the server's plugins (default: looked up)")
	set.tls = true
	f.BoolVar(&set.tls, "tls", true, "the servers have certificates of a throw-away authority")
	f.BoolFunc("no-tls", "the servers have none, the same as --tls=false", func(string) error {
		set.tls = false
		return nil
	})
	f.Func("option", "`name=value` is another option for every server; may be repeated", func(o string) error {
		set.options = append(set.options, o)
		return nil
	})
}

func runCommand(args []string) error {
	var set settings
	f := flag.NewFlagSet("testbed run", flag.ContinueOnError)
	set.flags(f)
	asJSON := f.Bool("json", false, "describe the servers by one line of JSON")
	stdin := f.Bool("stdin", false, "obey commands from the standard input, and stop when it ends")
	if err := parse(f, args); err != nil {
		return err
	}
	ctx, stop := signalContext()
	defer stop()
	var commands io.Reader
	if *stdin {
		// The input is watched from the very start: a parent that dies while
		// servers start has them stopped too.
		r, w := io.Pipe()
		go func() {
			_, err := io.Copy(w, os.Stdin)
			w.CloseWithError(err)
			stop()
		}()
		context.AfterFunc(ctx, func() { _ = w.Close() })
		commands = r
	}
	return run(ctx, set, *asJSON, commands)
}

// run runs servers until ctx ends, obeying what comes from commands, if any.
func run(ctx context.Context, set settings, asJSON bool, commands io.Reader) error {
	b, err := startTestbed(ctx, set)
	if err != nil {
		if ctx.Err() != nil {
			return nil // it was told to stop, and has
		}
		return err
	}
	defer b.stop()
	d, err := b.describe()
	if err != nil {
		return err
	}
	text := jsonLine(d)
	if !asJSON {
		text = []byte(d.String())
	}
	if _, err := os.Stdout.Write(text); err != nil {
		return err
	}
	if commands != nil {
		// A command that waits for a server must not hold up the end.
		context.AfterFunc(ctx, func() { _ = b.stop() })
		if err := control(b, commands, os.Stdout); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return b.stop()
}

// signalContext ends by the signals that ask a program to stop, or by its
// cancel function.
func signalContext() (context.Context, context.CancelFunc) {
	// A parent that no longer reads our output must not kill us by SIGPIPE: then
	// our files would stay. Caught, the signal makes the write fail instead.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
}

// parse parses args; what is left over is an error.
func parse(f *flag.FlagSet, args []string) error {
	if err := f.Parse(args); err != nil {
		return flag.ErrHelp // Parse has said what is wrong
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	return nil
}
