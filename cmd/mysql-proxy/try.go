package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"mysqlproxy/engine"
	"mysqlproxy/engine/hook"
	"mysqlproxy/engine/reactor"
	"mysqlproxy/luahooks"
)

// This file is `mysql-proxy test`: it runs statements through a script, in this
// process, and tells what the script did with them.
//
//	client --> engine, with the script --> primary, replica 1, replica 2 ...
//	tryclient.go        trytrace.go        tryserver.go, trypeer.go
//
// What it runs comes from trysql.go, what it writes is made in tryprint.go.

// tryUsage is what `mysql-proxy test --help` says.
const tryUsage = `Usage:
  mysql-proxy test SCRIPT [FILE.sql] [OPTION…] - try a Lua script without a server

Runs statements through the script against built-in servers and prints every
hook call with its decision, the queries that the script queued, what the
servers got and answered, what the client got, and what each hook has cost.
FILE.sql has statements that end with ; at a line's end; - is standard input.
Without a file, statements come from standard input if that is not a terminal
and has any, else from a small list. Commands that have no SQL are lines of
their own:
  \use DB        COM_INIT_DB             \prepare SQL     COM_STMT_PREPARE
  \user NAME     COM_CHANGE_USER         \execute A, 'B'  COM_STMT_EXECUTE
  \reset         COM_RESET_CONNECTION    \close           COM_STMT_CLOSE
  \ping          COM_PING                \connect         log out, and in again

The servers take any login and have no data: a read is answered with one row
that names the server, SELECT 1, SELECT @@server_id and the like with what they
ask for, a write with OK and, by a read-only one, with error 1290.

Options:
`

// tryOptions are the options of `mysql-proxy test`.
type tryOptions struct {
	script   string
	file     string // empty: not given
	replicas int
	warm     int // -1: two logins per backend
	repeat   int
	quiet    bool
	timeout  time.Duration
	help     bool
}

// The bounds of what may be asked for.
const (
	tryMaxReplicas = 64
	tryMaxWarm     = 1000
	tryMaxRepeat   = 1_000_000
)

var tryFlags = []struct{ name, help string }{
	{"--backends=N", "how many read-only servers there are beside the read/write one (default: 2)"},
	{"--warm=N", "how many clients log in and out before, so that the pool has idle connections (default: two for each server)"},
	{"--repeat=N", "run the statements N times; the first time is printed, and what fails (default: 1)"},
	{"--timeout=SECONDS", "how long the client waits for an answer (default: 10)"},
	{"--quiet", "print only what fails, and the figures"},
}

func writeTryHelp(w io.Writer) {
	io.WriteString(w, tryUsage)
	for _, f := range tryFlags {
		helpLine(w, "  "+f.name, f.help)
	}
	io.WriteString(w, `
Exit codes: 0 if every statement got an answer, be it an error of the server's,
and no hook failed; 1 otherwise.
`)
}

// parseTryOptions reads the words behind `mysql-proxy test`.
func parseTryOptions(args []string) (o tryOptions, err error) {
	o = tryOptions{replicas: 2, warm: -1, repeat: 1, timeout: 10 * time.Second}
	for _, arg := range args {
		name, value, given := strings.Cut(arg, "=")
		count := func(dst *int, most int) error {
			n, err := strconv.Atoi(value)
			if !given || err != nil || n < 0 || n > most {
				return fmt.Errorf("%s needs a number from 0 to %d, as in %s=2", name, most, name)
			}
			*dst = n
			return nil
		}
		switch name {
		case "--help", "-h", "-?":
			o.help = true
		case "--quiet":
			if given {
				return o, errors.New("--quiet takes no value")
			}
			o.quiet = true
		case "--backends":
			err = count(&o.replicas, tryMaxReplicas)
		case "--warm":
			err = count(&o.warm, tryMaxWarm)
		case "--repeat":
			if err = count(&o.repeat, tryMaxRepeat); err == nil && o.repeat == 0 {
				err = errors.New("--repeat=0 would run nothing")
			}
		case "--timeout":
			s, perr := strconv.ParseFloat(value, 64)
			if perr != nil || !(s >= 0.001 && s <= 3600) {
				return o, errors.New("--timeout needs seconds, from 0.001 to 3600")
			}
			o.timeout = time.Duration(s * float64(time.Second))
		default:
			switch {
			case strings.HasPrefix(arg, "-") && arg != "-":
				err = fmt.Errorf("unknown option: %s (use mysql-proxy test --help)", clip(arg))
			case o.script == "":
				o.script = arg
			case o.file == "":
				o.file = arg
			default:
				err = fmt.Errorf("%s is one word too many", clip(arg))
			}
		}
		if err != nil {
			return o, err
		}
	}
	if o.script == "" && !o.help {
		return o, errors.New("which script? (use mysql-proxy test --help)")
	}
	if o.warm < 0 {
		o.warm = 2 * (1 + o.replicas)
	}
	return o, nil
}

// tryCommand is `mysql-proxy test`, with the paths that the proxy itself would
// give to Lua. args are the words behind test. It returns the exit code.
func tryCommand(argv0 string, args []string, stdin *os.File, stdout, stderr io.Writer) int {
	var s settings
	var err error
	if s.Basedir, err = deriveBasedir(argv0); err == nil {
		err = setLuaPaths(&s)
	}
	if err != nil {
		fmt.Fprintf(stderr, "mysql-proxy test: %v\n", err)
		return 1
	}
	var in io.Reader
	if info, err := stdin.Stat(); err == nil && info.Mode()&os.ModeCharDevice == 0 {
		in = stdin // a pipe or a file
	}
	return tryScript(args, s.Basedir, in, stdout, stderr)
}

// tryScript does it. in is standard input, nil if nothing comes from there.
func tryScript(args []string, basedir string, in io.Reader, stdout, stderr io.Writer) int {
	fail := func(err error) int {
		fmt.Fprintf(stderr, "mysql-proxy test: %v\n", err)
		return 1
	}
	o, err := parseTryOptions(args)
	if err != nil {
		return fail(err)
	}
	if o.help {
		writeTryHelp(stdout)
		return 0
	}
	if _, err := os.Stat(o.script); err != nil {
		return fail(fmt.Errorf("cannot read the script %s: %w", clean(o.script), withoutPath(err)))
	}
	statements, err := o.statements(in, stderr)
	if err != nil {
		return fail(err)
	}
	r := &tryRun{tryOptions: o, list: statements, p: tryPrinter{stdout}, trace: newTryTrace(o.script)}
	defer r.stop()
	if err := r.start(basedir); err != nil {
		return fail(err)
	}
	return r.run()
}

// statements reads what is to be run.
func (o *tryOptions) statements(in io.Reader, stderr io.Writer) ([]tryStatement, error) {
	text, name := "", o.file
	switch {
	case o.file == "" || o.file == "-":
		name = "standard input"
		if in == nil {
			break
		}
		if _, waits := in.(*os.File); waits {
			hint := time.AfterFunc(time.Second, func() {
				fmt.Fprintln(stderr, "mysql-proxy test: waiting for statements on standard input (</dev/null runs the built-in ones)")
			})
			defer hint.Stop()
		}
		b, err := io.ReadAll(in)
		if err != nil {
			return nil, fmt.Errorf("reading standard input: %w", err)
		}
		text = string(b)
	default:
		b, err := os.ReadFile(o.file)
		if err != nil {
			return nil, fmt.Errorf("cannot read the statements %s: %w", clean(o.file), withoutPath(err))
		}
		text = string(b)
	}
	if o.file == "" && isComment(text) {
		text = tryStatements
	}
	list, err := parseStatements(text)
	if err != nil {
		return nil, fmt.Errorf("%s, %w", clean(name), err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("there is no statement in %s", clean(name))
	}
	return list, nil
}

// start starts the servers and the engine with the script.
func (r *tryRun) start(basedir string) error {
	var scripts *luahooks.Scripts
	log := slog.New(r.trace)
	c := engine.Config{
		Loops: 1, ConnectTimeout: r.timeout, LoginTimeout: time.Hour, ReadTimeout: 8 * time.Hour,
		WriteTimeout: time.Hour, ShutdownTimeout: time.Second, Log: log,
	}
	var err error
	if c.Listen, err = loopback("127.0.0.1:0"); err != nil {
		return err
	}
	names := []string{"0 (none)"}
	for i := range 1 + r.replicas {
		name := "primary"
		if i > 0 {
			name = fmt.Sprintf("replica %d", i)
		}
		s, err := startTryServer(name, i+1, i > 0, r.trace)
		if err != nil {
			return fmt.Errorf("starting a built-in server: %w", err)
		}
		r.servers = append(r.servers, s)
		names = append(names, fmt.Sprintf("%d (%s)", i+1, name))
		a, err := loopback(s.ln.Addr().String())
		if err != nil {
			return err
		}
		c.Backends = append(c.Backends, engine.BackendConfig{Addr: a[0], ReadOnly: i > 0})
	}
	c.Scripts = func(g hook.Global) (hook.Scripts, error) {
		scripts, err = luahooks.New(luahooks.Options{
			Script: r.script, Log: log, Global: g, Version: scriptVersion,
			LuaPath: os.Getenv("LUA_PATH"), BaseDir: basedir, Stdout: r.trace,
		})
		if err != nil {
			return nil, err
		}
		scripts.Check()
		if len(r.trace.failed) > 0 {
			return nil, errors.New(r.trace.failed[0])
		}
		return &tracedScripts{Scripts: scripts, trace: r.trace, backends: names}, nil
	}
	e, err := engine.New(c)
	if err != nil {
		return fmt.Errorf("%s: %w", clean(r.script), err)
	}
	r.engine = e
	return e.Start()
}

func loopback(address string) ([]reactor.Addr, error) {
	a, err := reactor.ParseAddr(address)
	return []reactor.Addr{a}, err
}

// stop stops what start has started.
func (r *tryRun) stop() {
	if r.engine != nil {
		r.engine.Shutdown()
		r.engine.Shutdown()
		r.engine.Wait()
	}
	for _, s := range r.servers {
		s.close()
	}
}
