// Testbed starts throw-away MariaDB servers on loopback, one primary and its
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
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
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
	f.StringVar(&set.mariadbd, "mariadbd", "", "`PATH` of the server program (default: looked up)")
	f.StringVar(&set.pluginDir, "plugin-dir", "", "`DIR` with the server's plugins (default: looked up)")
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
	stop := newStopper()
	if *stdin {
		// The input is watched from the very start: a parent that dies while
		// servers start has them stopped too.
		r, w := io.Pipe()
		go func() {
			_, err := io.Copy(w, os.Stdin)
			w.CloseWithError(err)
			stop.now()
		}()
		return serve(set, stop, *asJSON, r)
	}
	return serve(set, stop, *asJSON, nil)
}

// serve runs servers until stop, obeying what comes from commands.
func serve(set settings, stop *stopper, asJSON bool, commands io.Reader) error {
	b, err := startTestbed(set, stop.c)
	if err != nil {
		if stop.stopped() {
			return nil
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
		if err := control(b, commands, os.Stdout); err != nil {
			return err
		}
	}
	<-stop.c
	return b.stop()
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

// stopper is closed by the first reason to stop: a signal or now.
type stopper struct {
	c    chan struct{}
	once sync.Once
}

func newStopper() *stopper {
	s := &stopper{c: make(chan struct{})}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	// A parent that no longer reads our output must not kill us by SIGPIPE: then
	// our files would stay. Caught, the signal makes the write fail instead.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	go func() {
		for range signals {
			s.now()
		}
	}()
	return s
}

func (s *stopper) now() { s.once.Do(func() { close(s.c) }) }

func (s *stopper) stopped() bool {
	select {
	case <-s.c:
		return true
	default:
		return false
	}
}
