package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// procs starts child processes and ends them all. Safe for several goroutines.
type procs struct {
	ctx   context.Context
	jobs  chan func()
	mu    sync.Mutex
	alive map[*proc]bool
}

// proc is a child that runs until it is stopped.
type proc struct {
	name string
	cmd  *exec.Cmd
	out  *tailBuffer
	done chan struct{} // closed when it has ended; err is set before
	err  error
	all  *procs
	// stdin, if not nil, ends the process by being closed, before any signal.
	stdin io.Closer
}

// tailBuffer keeps the last bytes written to it, for messages.
type tailBuffer struct {
	mu sync.Mutex
	b  []byte
}

func (t *tailBuffer) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - 4096; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

func (t *tailBuffer) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b))
}

// newProcs starts the thread that all children are born of: the kernel sends
// them their parent-death signal when that thread ends, so it must not end
// before the program does.
func newProcs(ctx context.Context) *procs {
	p := &procs{ctx: ctx, jobs: make(chan func()), alive: map[*proc]bool{}}
	go func() {
		runtime.LockOSThread()
		for job := range p.jobs {
			job()
		}
	}()
	return p
}

// launch starts cmd on one CPU, or anywhere if cpu is negative.
func (p *procs) launch(cmd *exec.Cmd, cpu int) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	errc := make(chan error)
	p.jobs <- func() { errc <- startOn(cmd, cpu) }
	return <-errc
}

// startOn starts cmd from a thread that is on one CPU only, which the child
// inherits, before it has made its own threads.
func startOn(cmd *exec.Cmd, cpu int) error {
	if cpu < 0 {
		return cmd.Start()
	}
	var before, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("sched_getaffinity: %w", err)
	}
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("sched_setaffinity to CPU %d: %w", cpu, err)
	}
	err := cmd.Start()
	return errors.Join(err, unix.SchedSetaffinity(0, &before))
}

// start starts a process that runs until stop. It dies with this program.
func (p *procs) start(name string, cpu int, argv ...string) (*proc, error) {
	c := &proc{name: name, cmd: exec.Command(argv[0], argv[1:]...), out: &tailBuffer{}}
	c.cmd.Stdout, c.cmd.Stderr = c.out, c.out
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	return c, p.keep(c, cpu)
}

// keep launches a prepared process and waits for it beside.
func (p *procs) keep(c *proc, cpu int) error {
	c.all, c.done = p, make(chan struct{})
	if err := p.launch(c.cmd, cpu); err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	p.mu.Lock()
	p.alive[c] = true
	p.mu.Unlock()
	go func() {
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	return nil
}

func (c *proc) pid() int { return c.cmd.Process.Pid }

// stop ends the process and waits for it: politely, then not.
func (c *proc) stop() {
	if c.stdin != nil {
		_ = c.stdin.Close() // its end is what counts
		if c.ended(2 * time.Minute) {
			return
		}
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	if !c.ended(3 * time.Second) {
		_ = c.cmd.Process.Kill()
		c.ended(time.Minute)
	}
}

func (c *proc) ended(within time.Duration) bool {
	select {
	case <-c.done:
		c.all.mu.Lock()
		delete(c.all.alive, c)
		c.all.mu.Unlock()
		return true
	case <-time.After(within):
		return false
	}
}

// stopAll ends every process that still runs.
func (p *procs) stopAll() {
	p.mu.Lock()
	var left []*proc
	for c := range p.alive {
		left = append(left, c)
	}
	p.mu.Unlock()
	for _, c := range left {
		c.stop()
	}
}

// patience is how long a program may run that is expected to end by itself.
const patience = 5 * time.Minute

// run runs a program to its end and returns what it printed. Its error has what
// it wrote to the standard error.
func (p *procs) run(cpu int, argv ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := p.launch(cmd, cpu); err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	if err := cmd.Wait(); err != nil {
		if p.ctx.Err() != nil {
			return nil, p.ctx.Err()
		}
		return out.Bytes(), fmt.Errorf("%s: %w: %s", argv[0], err, strings.TrimSpace(errs.String()))
	}
	return out.Bytes(), nil
}

// listening waits until something accepts connections at addr.
func (p *procs) listening(c *proc, addr string) error {
	for begun := time.Now(); time.Since(begun) < time.Minute; {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-c.done:
			return fmt.Errorf("%s ended: %v: %s", c.name, c.err, c.out)
		case <-p.ctx.Done():
			return p.ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s does not listen on %s: %s", c.name, addr, c.out)
}

// allowedCPUs are the CPUs that this program may run on.
func allowedCPUs() []int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil
	}
	var cpus []int
	for i := range len(set) * 64 {
		if set.IsSet(i) {
			cpus = append(cpus, i)
		}
	}
	return cpus
}

// raiseFiles raises the limit of open files of this program and its children,
// as far as it is let, and returns it.
func raiseFiles(want uint64) (uint64, error) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, fmt.Errorf("getrlimit: %w", err)
	}
	if l.Max < want {
		more := syscall.Rlimit{Cur: want, Max: want}
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &more) == nil {
			return want, nil
		}
	}
	l.Cur = min(l.Max, max(want, l.Cur))
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, fmt.Errorf("setrlimit: %w", err)
	}
	return l.Cur, nil
}

// followParent cancels when `go run` goes away: it does not pass on a SIGTERM.
func followParent(ctx context.Context, cancel func()) {
	parent := os.Getppid()
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", parent))
	if err != nil || strings.TrimSpace(string(comm)) != "go" {
		return
	}
	go func() {
		for ctx.Err() == nil && os.Getppid() == parent {
			time.Sleep(500 * time.Millisecond)
		}
		cancel()
	}()
}
