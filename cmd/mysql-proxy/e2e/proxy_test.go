package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mysqlproxy/engine/enginetest"
)

// patience is how long tests wait for what has to happen. It costs nothing where it
// does, and a machine that runs everything at once may stand still for seconds.
const patience = time.Minute

// proxy is a running mysql-proxy. It is stopped at the end of its test, which
// fails if it does not stop cleanly or if its log tells of a fault.
type proxy struct {
	addr   string
	pid    int // 0 for a relay
	logDir string

	cmd  *exec.Cmd
	gone chan struct{} // closed when the process has ended
}

// startProxy starts the proxy in front of the servers at the addresses
// backends, with further options, and returns when it listens. Servers and clients
// have patience to answer, unless the options say otherwise: a test about something
// else must not see a server that is slow for a moment be taken for one that is down.
func startProxy(t *testing.T, backends []string, args ...string) *proxy {
	t.Helper()
	if relayOnly {
		return &proxy{addr: startRelay(t, backends[0], nil)}
	}
	return startBinary(t, raceProxy, backends, args...)
}

func startBinary(t *testing.T, path string, backends []string, args ...string) *proxy {
	t.Helper()
	dependOnSources()
	guardReplicas(t)
	p := &proxy{addr: enginetest.FreeAddr(t), logDir: t.TempDir(), gone: make(chan struct{})}
	all := []string{"-P", p.addr, "--log-level=info", "--log-file=" + filepath.Join(p.logDir, "log"), "--event-threads=2"}
	if !slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "--defaults-file=") }) { // which has lower rank
		all = append(all, "--proxy-connect-timeout="+seconds(patience), "--proxy-login-timeout="+seconds(patience))
	}
	for _, b := range backends {
		all = append(all, "-b", b)
	}
	p.cmd = exec.Command(path, append(all, args...)...)
	out, err := os.Create(filepath.Join(p.logDir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=20") // the race detector's exit lasts a second otherwise
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.pid = p.cmd.Process.Pid
	go func() {
		_ = p.cmd.Wait() // judged in stop
		close(p.gone)
	}()
	t.Cleanup(func() { p.stop(t) })
	p.waitListening(t)
	return p
}

// seconds is d as options have it.
func seconds(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) }

// dependOnSources looks at the sources that the binaries are built from, so that
// go test does not take this package's last result for a proxy that has changed.
var dependOnSources = sync.OnceFunc(func() {
	for _, dir := range []string{"../../../cmd", "../../../engine", "../../../packet", "../../../luahooks", "../../../go.sum"} {
		_ = filepath.WalkDir(dir, func(string, os.DirEntry, error) error { return nil }) // go test notes what was read
	}
})

// waitListening returns when the kernel shows the proxy's port as listening.
// Connecting to find out would open a session.
func (p *proxy) waitListening(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if listening(t, p.addr) {
			return
		}
		select {
		case <-p.gone:
			t.Fatalf("the proxy ended (%v):\n%s", p.cmd.ProcessState, p.logs())
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatalf("the proxy does not listen on %s:\n%s", p.addr, p.logs())
}

// listening looks for addr among the kernel's listening TCP sockets.
func listening(t *testing.T, addr string) bool {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, err := os.ReadFile(f)
		if errors.Is(err, os.ErrNotExist) {
			continue // no IPv6
		}
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			w := strings.Fields(line)
			if len(w) > 3 && w[3] == "0A" && strings.HasSuffix(w[1], fmt.Sprintf(":%04X", n)) {
				return true
			}
		}
	}
	return false
}

// stop ends the proxy by SIGTERM and judges how it ended and what it logged.
// A second call only judges again.
func (p *proxy) stop(t *testing.T) {
	t.Helper()
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error: it has ended already
	select {
	case <-p.gone:
	case <-time.After(patience):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // leaves its goroutines in the output
		<-p.gone
		t.Errorf("the proxy did not stop within %v of SIGTERM", patience)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the proxy ended with %v, want exit code 0", p.cmd.ProcessState)
	}
	logs := p.logs()
	for _, bad := range []string{"panic", "DATA RACE", "fatal error"} {
		if strings.Contains(logs, bad) {
			t.Errorf("the proxy's log contains %q", bad)
		}
	}
	if t.Failed() {
		if len(logs) > 8000 {
			logs = logs[:4000] + "\n…\n" + logs[len(logs)-4000:]
		}
		t.Logf("the proxy's log and output:\n%s", logs)
	}
}

// waitGone waits for the process to end by itself, for limit or patience if that is
// longer.
func (p *proxy) waitGone(t *testing.T, limit time.Duration) {
	t.Helper()
	limit = max(limit, patience)
	select {
	case <-p.gone:
	case <-time.After(limit):
		t.Fatalf("the proxy still runs after %v", limit)
	}
}

// logs is the log file and what went to stdout and stderr.
func (p *proxy) logs() string {
	var all bytes.Buffer
	for _, f := range []string{"log", "output"} {
		b, err := os.ReadFile(filepath.Join(p.logDir, f))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			fmt.Fprintln(&all, err)
		}
		all.Write(b)
	}
	return all.String()
}

// openFiles counts the proxy's open files.
func (p *proxy) openFiles(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

// status reads a number from /proc/PID/status: VmRSS in KiB, Threads.
func (p *proxy) status(t *testing.T, field string) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s in /proc/%d/status", field, p.pid)
	return 0
}

// eventually tries until ok is true, and fails the test when it does not get
// so within limit, or patience if that is longer.
func eventually(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	limit = max(limit, patience)
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		last := time.Now().After(end)
		switch {
		case ok():
			return
		case last:
			t.Fatalf("after %v still not: %s", limit, what)
		}
	}
}
