package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
)

// beside runs the load generator beside what is measured. When it returns the
// generator has said that it is ready. end has it finish and returns its report.
func (b *bench) beside(name string, to instance, args ...string) (end func() (sample, error), err error) {
	argv := append([]string{"-addr", to.addr, "-duration", "1h", "-stdin"}, append(to.load, args...)...)
	c := &proc{name: name, out: &tailBuffer{}, cmd: exec.Command(b.bin("load"), argv...)}
	out := &lines{first: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = out, c.out
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := b.procs.keep(c, b.cpuLoad); err != nil {
		return nil, err
	}
	select {
	case <-out.first:
	case <-c.done:
	case <-b.procs.ctx.Done():
		c.stop()
		return nil, b.procs.ctx.Err()
	}
	if !strings.HasPrefix(out.String(), `{"ready"`) {
		c.stop()
		return nil, fmt.Errorf("%s: %v: %s", name, c.err, c.out)
	}
	return func() (s sample, err error) {
		c.stop()
		if c.err != nil {
			return s, fmt.Errorf("%s: %w: %s", name, c.err, c.out)
		}
		_, report, _ := strings.Cut(out.String(), "\n")
		if err := json.Unmarshal([]byte(report), &s); err != nil {
			return s, fmt.Errorf("%s: the load generator's report: %w", name, err)
		}
		return s, nil
	}, nil
}

// lines keeps what is written to it and tells when the first line is there.
type lines struct {
	mu    sync.Mutex
	b     bytes.Buffer
	first chan struct{} // closed then
	told  bool
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Write(p)
	if !l.told && bytes.IndexByte(p, '\n') >= 0 {
		l.told = true
		close(l.first)
	}
	return len(p), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
