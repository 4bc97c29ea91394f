package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The built program as a process of its own: helpers.

var built struct {
	once sync.Once
	dir  string
	path string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// binary builds the program at the first call and returns its file, which lies
// in a folder bin and may be executed by everybody.
func binary(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "mysql-proxy-test"); built.err != nil {
			return
		}
		if built.err = os.Chmod(built.dir, 0o755); built.err != nil {
			return
		}
		built.path = filepath.Join(built.dir, "bin", "mysql-proxy")
		build := exec.Command("go", "build", "-trimpath", "-o", built.path, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0") // what make build has compiled
		if out, err := build.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// openDir is a temporary folder that everybody may write to, as the user that
// --user names must.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mysql-proxy-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// process is a started program, in a folder of its own.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	dir    string
	log    string // name of the log file
	pid    string // name of the pid file
	stderr output
	gone   chan struct{} // closed when it has ended
}

// output is a file that a process writes to. A pipe would not end with the process
// when a daemon keeps it open.
type output struct{ name string }

func (o output) String() string {
	text, err := os.ReadFile(o.name)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// idle is a process that is not started yet. At the end of the test nothing of
// it is left.
func idle(t *testing.T) *process {
	t.Helper()
	dir := openDir(t)
	p := &process{t: t, dir: dir, log: filepath.Join(dir, "log"), pid: filepath.Join(dir, "pid"), gone: make(chan struct{})}
	t.Cleanup(func() {
		if p.cmd != nil {
			_ = p.cmd.Process.Kill()
			<-p.gone
		}
		if pid := p.readPid(); pid > 0 && alive(pid) {
			// An angel would start it again.
			angel, err := strconv.Atoi(p.status(pid, "PPid"))
			if exe, e := os.Readlink(fmt.Sprintf("/proc/%d/exe", angel)); err == nil && e == nil && exe == built.path {
				_ = syscall.Kill(angel, syscall.SIGKILL)
			}
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	return p
}

// exec starts the program in the process's folder.
func (p *process) exec(args ...string) {
	p.t.Helper()
	cmd := exec.Command(binary(p.t), args...)
	cmd.Dir = p.dir
	p.stderr = output{filepath.Join(p.dir, "stderr")}
	stderr, err := os.Create(p.stderr.name)
	if err != nil {
		p.t.Fatal(err)
	}
	defer stderr.Close()
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.cmd = cmd
	go func() {
		_ = cmd.Wait() // judged by code
		close(p.gone)
	}()
}

// start runs the program with a log file at level debug and a pid file.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := idle(t)
	p.exec(append([]string{"--log-level=debug", "--log-file=" + p.log, "--pid-file=" + p.pid}, args...)...)
	return p
}

// eventually waits until ok, and fails the test if that does not come.
func (p *process) eventually(what string, ok func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("%s: does not happen; the log:\n%s", what, p.read(p.log))
		}
	}
}

// code waits for the end and returns the exit code, -1 after a signal.
func (p *process) code() int {
	p.t.Helper()
	select {
	case <-p.gone:
	case <-time.After(60 * time.Second):
		p.t.Fatalf("it does not end; the log:\n%s", p.read(p.log))
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) signal(pid int, sig syscall.Signal) {
	p.t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		p.t.Fatalf("signal %v to %d: %v", sig, pid, err)
	}
}

// read is the text of a file, empty if there is none.
func (p *process) read(name string) string {
	p.t.Helper()
	text, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		p.t.Fatal(err)
	}
	return string(text)
}

func (p *process) logged(text string) bool { return strings.Contains(p.read(p.log), text) }

// readPid is the number in the pid file, or 0.
func (p *process) readPid() int {
	n, err := strconv.Atoi(p.read(p.pid))
	if err != nil {
		return 0
	}
	return n
}

// serving waits until a worker, other than before, deals with signals, and
// returns its pid. It tells by SIGUSR1, which is logged and otherwise ignored.
// A test asks it once for each worker.
func (p *process) serving(before int) int {
	p.t.Helper()
	p.eventually("a new pid in the pid file", func() bool { n := p.readPid(); return n != 0 && n != before })
	pid := p.readPid()
	// Each worker writes its first one; those that follow are only counted.
	const answer = "user defined signal 1"
	seen := strings.Count(p.read(p.log), answer)
	p.eventually("an answer to SIGUSR1", func() bool {
		_ = syscall.Kill(pid, syscall.SIGUSR1)
		return strings.Count(p.read(p.log), answer) > seen
	})
	return pid
}

// alive tells whether there is such a process, other than a dead one that
// nobody has waited for.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !bytes.Contains(stat, []byte(") Z "))
}

// status is a line of /proc/PID/status, without its name.
func (p *process) status(pid int, field string) string {
	p.t.Helper()
	for line := range strings.Lines(p.read(fmt.Sprintf("/proc/%d/status", pid))) {
		if name, value, ok := strings.Cut(line, ":"); ok && name == field {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	p.t.Fatalf("process %d has no %s", pid, field)
	return ""
}

// runOnce runs the program to its end and returns the exit code and both outputs.
func runOnce(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(binary(t), args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Dir = t.TempDir()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hard := time.AfterFunc(60*time.Second, func() { _ = cmd.Process.Kill() })
	defer hard.Stop()
	_ = cmd.Wait() // the exit code tells
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// canConnect tells whether somebody accepts connections on addr.
func canConnect(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err == nil {
		c.Close()
	}
	return err == nil
}
