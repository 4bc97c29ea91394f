package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mysqlproxy/engine/enginetest"
)

// demo shows the proxy at work: servers, the proxy in front of them, and a few
// statements whose answers say which server gave them.
type demo struct {
	set       settings
	proxyPath string
	script    string // the proxy's Lua script, or none
	direct    bool   // no proxy: the samples go to the primary
	port      int    // where the proxy listens, or the next free one
	out       io.Writer

	bed   *testbed
	proxy *proxyProcess // nil if direct
}

func demoCommand(args []string) error {
	d := demo{out: os.Stdout}
	beside := "mysql-proxy"
	if exe, err := os.Executable(); err == nil {
		beside = filepath.Join(filepath.Dir(exe), beside)
	}
	f := flag.NewFlagSet("testbed demo", flag.ContinueOnError)
	d.set.flags(f)
	f.StringVar(&d.proxyPath, "proxy", beside, "`PATH` of the proxy")
	f.StringVar(&d.script, "script", "", "the proxy runs this Lua `SCRIPT`, which reads from the replicas")
	f.BoolVar(&d.direct, "direct", false, "start no proxy, send the samples to the primary")
	f.IntVar(&d.port, "port", 4040, "the proxy listens on this `PORT`, or the next free one")
	if err := parse(f, args); err != nil {
		return err
	}
	ctx, stop := signalContext()
	defer stop()
	wait := isTerminal(os.Stdin) && isTerminal(os.Stdout)
	if wait {
		defer takeTerminal(os.Stdin)()
	}
	return d.run(ctx, wait)
}

// run does all of it; if wait, it returns only when ctx ends or a process of
// the demo does. To be told to stop is no error.
func (d *demo) run(ctx context.Context, wait bool) error {
	err := d.start(ctx)
	if err == nil {
		err = d.samples(ctx)
	}
	if err == nil && wait {
		fmt.Fprintln(d.out, "\nCtrl-C stops all servers and deletes their files.")
		err = d.wait(ctx)
	}
	if ctx.Err() != nil {
		err = nil
	} else if err != nil && d.bed != nil {
		err = fmt.Errorf("%w\n%s", err, d.logs()) // before their files go
	}
	if stopErr := d.stop(); err == nil {
		err = stopErr
	}
	return err
}

// start starts the servers, then the proxy.
func (d *demo) start(ctx context.Context) (err error) {
	fmt.Fprintf(d.out, "Starting a primary and %d replicas ...\n", d.set.replicas)
	if d.bed, err = startTestbed(ctx, d.set); err != nil {
		return err
	}
	for _, s := range d.bed.servers {
		st := s.state()
		fmt.Fprintf(d.out, "  %-9s %s  server_id %d\n", st.Name, st.Addr, st.ServerID)
	}
	if d.direct {
		d.port = d.bed.primary().state().Port
		return nil
	}
	if err := d.startProxy(ctx); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "  %-9s 127.0.0.1:%d\n", "proxy", d.port)
	return nil
}

// wait waits for the end of ctx, or of a process that should not end.
func (d *demo) wait(ctx context.Context) error {
	ended := make(chan error, len(d.bed.servers)+1)
	watch := func(name string, gone <-chan struct{}) {
		<-gone
		ended <- fmt.Errorf("%s has ended by itself", name)
	}
	for _, s := range d.bed.servers {
		go watch(s.name, s.gone)
	}
	if d.proxy != nil {
		go watch("the proxy", d.proxy.gone)
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		return err
	}
}

// stop stops the proxy in an orderly way, then everything else.
func (d *demo) stop() error {
	var err error
	if d.proxy != nil {
		err = d.proxy.stop()
	}
	if d.bed != nil {
		err = errors.Join(err, d.bed.stop())
	}
	return err
}

// logs are the ends of the proxy's and the primary's logs.
func (d *demo) logs() string {
	var s strings.Builder
	if d.proxy != nil {
		fmt.Fprintf(&s, "the end of the proxy's log:\n%s\n", tail(d.proxy.log))
	}
	fmt.Fprintf(&s, "the end of the primary's log:\n%s", tail(d.bed.primary().logFile()))
	return s.String()
}

// proxyProcess is the proxy as a child process.
type proxyProcess struct {
	cmd  *exec.Cmd
	log  string
	gone chan struct{} // closed when it has ended and was waited for
}

// startProxy starts the proxy on the first free port from d.port on, and
// returns when a client can log in through it.
func (d *demo) startProxy(ctx context.Context) error {
	const ports = 100
	port, err := enginetest.LeaseFrom(d.port, ports)
	if err != nil {
		return err
	}
	d.port = port.Port
	args := []string{
		"--proxy-address=127.0.0.1:" + strconv.Itoa(d.port),
		"--proxy-backend-addresses=" + d.bed.primary().state().Addr,
		"--log-level=message",
	}
	for _, s := range d.bed.servers[1:] {
		args = append(args, "--proxy-read-only-backend-addresses="+s.state().Addr)
	}
	if d.script != "" {
		script, err := filepath.Abs(d.script)
		if err != nil {
			return err
		}
		// One loop, one pool of connections: a few logins fill it.
		args = append(args, "--proxy-lua-script="+script, "--event-threads=1")
	}
	p := &proxyProcess{
		cmd:  exec.Command(d.proxyPath, args...),
		log:  filepath.Join(d.bed.dir, "proxy.log"),
		gone: make(chan struct{}),
	}
	out, err := os.Create(p.log)
	if err != nil {
		return err
	}
	defer out.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := d.bed.spawn.start(p.cmd); err != nil {
		return fmt.Errorf("start the proxy: %w", err)
	}
	d.proxy = p
	go func() {
		_ = p.cmd.Wait() // how it ended stays in ProcessState
		close(p.gone)
	}()
	db, err := d.open()
	if err != nil {
		return err
	}
	defer db.Close()
	deadline := time.Now().Add(startTimeout)
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.gone:
			return fmt.Errorf("the proxy ended while it started: %v", p.cmd.ProcessState)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no login through the proxy after %v: %w", startTimeout, err)
		}
	}
}

// stop asks the proxy to end and waits; that it fails doing so is an error.
func (p *proxyProcess) stop() error {
	const patience = 15 * time.Second
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.gone:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.gone
		return fmt.Errorf("the proxy did not stop within %v of SIGTERM", patience)
	}
	if !p.cmd.ProcessState.Success() {
		return fmt.Errorf("the proxy ended with %v", p.cmd.ProcessState)
	}
	return nil
}

// clientCommand is the servers' own command line client and its arguments for a
// connection like the samples'.
func (d *demo) clientCommand() (name string, args []string) {
	u := d.bed.users.App
	name = d.bed.client
	args = []string{"-h", "127.0.0.1", "-P", strconv.Itoa(d.port), "-u" + u.Name, "-p" + u.Password}
	if d.bed.install.root != "" {
		name = filepath.Join(d.bed.install.root, "bin", name)
		args = append(args, d.bed.clientArgs...)
	}
	return name, args
}

// client runs one statement by the servers' own client and gives the table that
// it prints.
func (d *demo) client(ctx context.Context, statement string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, sampleTimeout)
	defer cancel()
	name, args := d.clientCommand()
	args = append([]string{"--no-defaults"}, args...)
	cmd := exec.CommandContext(ctx, name, append(args, "-t", "--comments", "-e", statement, databaseName)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := d.bed.spawn.run(cmd); err != nil {
		return "", fmt.Errorf("the client: %s: %w\n%s", statement, err, out.String())
	}
	return out.String(), nil
}
