// Mysql-proxy stands between MySQL or MariaDB clients and servers. It takes
// the command line and the defaults-file of MySQL Proxy 0.8.5.
//
//	args.go, keyfile.go, load.go   options.go's table -> settings
//	stage.go, angel.go             --daemon and --keepalive
//	worker.go, wire.go             settings -> a running engine
//	tls.go, watch.go               its TLS, of files that may change
//	identityusers.go               what it knows of clients' passwords
//	reload.go, sources.go, kept.go other settings while it runs
//	log.go, sink.go                the log
//	try.go and its kind            mysql-proxy test: a script tried without a server
//
// Exit codes: 0 after an orderly shutdown, --help and --version, and of the
// process that --daemon leaves; 1 after an error at the start.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"mysqlproxy/engine"
)

func main() { os.Exit(run(os.Args, os.Stdout)) }

// run is the program. It returns the exit code.
func run(argv []string, stdout io.Writer) int {
	if len(argv) > 1 && argv[1] == "test" {
		return tryCommand(argv[0], argv[2:], os.Stdin, stdout, os.Stderr)
	}
	// Until the log is set up, everything from message up goes to stderr.
	_, early := newLog(stderrSink{}, engine.LevelMessage, "")
	fail := func(err error) int {
		early.Error(err.Error())
		return 1
	}

	// An angel may forward these before the worker is ready: they must not
	// kill it.
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)

	st, given, err := takeStage()
	if err != nil {
		return fail(err)
	}
	l, err := load(argv[1:], given.File, "")
	if err != nil {
		return fail(err)
	}
	if st == stageStart {
		if given.Basedir, err = deriveBasedir(argv[0]); err != nil && l.Basedir == "" {
			return fail(err)
		}
		given.File, given.HasFile = l.file, l.file != nil
		given.Dir, _ = os.Getwd() // without it the file's name is good for the start only
	}
	s := l.settings
	if err := s.resolvePaths(given.Basedir); err != nil {
		return fail(err)
	}
	if err := setLuaPaths(s); err != nil {
		return fail(err)
	}
	if err := refusePlugins(s); err != nil {
		return fail(err)
	}
	switch {
	case l.help != "":
		writeHelp(stdout, l.help, s.Plugins)
		return 0
	case s.Version:
		writeVersion(stdout, s.Plugins)
		return 0
	}

	if err := s.check(); err != nil {
		return fail(err)
	}
	warnings, err := checkAddresses(s)
	if err != nil {
		return fail(err)
	}
	l.warnings = append(l.warnings, warnings...)
	if st == stageStart {
		if err := checkSecurity(s); err != nil {
			return fail(err)
		}
	}
	var owner *account
	if s.User != "" {
		if owner, err = findAccount(s.User); err != nil {
			return fail(err)
		}
	}
	if st == stageStart {
		for _, warning := range l.warnings {
			early.Warn(warning)
		}
	}
	p := &program{settings: s, warnings: l.warnings, stage: st, handoff: given, owner: owner, signals: signals}
	if err := p.openLog(); err != nil {
		return fail(err)
	}
	return p.run()
}

// program is what is left to do once the options are right.
type program struct {
	*settings
	warnings []string
	stage    stage
	handoff  handoff
	owner    *account
	signals  chan os.Signal

	file *logger
	log  *slog.Logger
}

func (p *program) openLog() error {
	var to sink = stderrSink{}
	switch {
	case p.LogFile != "":
		f, err := openFileSink(p.LogFile, p.owner, p.LogBacktrace)
		if err != nil {
			return err
		}
		// The worker alone is told of a rotation if the signal goes to the
		// pid in the pid file; the angel, which logs little, looks itself.
		f.always = p.isAngel()
		to = f
	case p.LogUseSyslog:
		to = &syslogSink{}
	}
	tag := ""
	if p.isAngel() {
		tag = "[angel] "
	}
	min, _ := levelByName(p.LogLevel) // checked before
	p.file, p.log = newLog(to, min, tag)
	return nil
}

// isAngel tells whether this process starts the one that serves.
func (p *program) isAngel() bool {
	return p.Keepalive && p.stage != stageWorker && !p.leaves()
}

// leaves tells whether this process ends once the one in the background runs.
func (p *program) leaves() bool { return p.Daemon && p.stage == stageStart }

// run goes to the background, becomes the angel or serves.
func (p *program) run() int {
	signal.Ignore(syscall.SIGPIPE)
	if p.LogBacktrace {
		debug.SetTraceback("crash")
	}
	if p.leaves() {
		if _, err := startStage(stageDaemon, p.handoff); err != nil {
			return p.fail(err)
		}
		return 0
	}
	if p.Daemon {
		// Standard input and output stay what they were: scripts may print.
		signal.Ignore(syscall.SIGTTOU, syscall.SIGTTIN, syscall.SIGTSTP)
		if err := os.Chdir("/"); err != nil {
			return p.fail(fmt.Errorf("changing to the folder /: %w", err))
		}
		syscall.Umask(0)
	}
	if p.isAngel() {
		a := &angel{h: p.handoff, s: p.settings, log: p.log, file: p.file, signals: p.signals}
		return a.run()
	}

	if p.LogFile != "" || p.LogUseSyslog { // stderr has them already
		for _, warning := range p.warnings {
			p.log.Warn(warning)
		}
	}
	w := &worker{s: p.settings, given: p.handoff, user: p.owner, log: p.log, file: p.file, angel: p.stage == stageWorker, signals: p.signals}
	code := 0
	if err := w.run(); err != nil {
		code = p.fail(err)
	}
	level := engine.LevelMessage
	if w.options().VerboseShutdown {
		level = slog.LevelError
	}
	p.log.Log(context.Background(), level, fmt.Sprintf("shutting down normally, exit code is: %d", code))
	p.file.flush()
	return code
}

// fail logs a start-up error, and also tells whoever looks at the terminal if
// the log is elsewhere.
func (p *program) fail(err error) int {
	p.log.Error(err.Error())
	if p.LogFile != "" || p.LogUseSyslog {
		_, terminal := newLog(stderrSink{}, engine.LevelMessage, "")
		terminal.Error(err.Error())
	}
	return 1
}
