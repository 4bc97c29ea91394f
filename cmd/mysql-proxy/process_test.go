package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mysqlproxy/engine/enginetest"
)

// endDaemon ends a process in the background whose worker is pid, and waits
// until the worker is gone.
func (p *process) endDaemon(pid int) {
	p.t.Helper()
	p.signal(pid, syscall.SIGTERM)
	p.eventually("the end of the daemon", func() bool { return !alive(pid) })
}

func TestOrderlyLife(t *testing.T) {
	p := start(t, "--no-proxy")
	pid := p.serving(0)
	if pid != p.cmd.Process.Pid {
		t.Errorf("the pid file has %d, want %d", pid, p.cmd.Process.Pid)
	}
	if info, err := os.Stat(p.pid); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("pid file: %v, %v; want mode 0600", info, err)
	}
	p.signal(pid, syscall.SIGUSR2)
	p.eventually("a line about SIGUSR2", func() bool { return p.logged("user defined signal 2") })
	p.signal(pid, syscall.SIGPIPE)
	p.signal(pid, syscall.SIGTERM)
	if code := p.code(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if _, err := os.Stat(p.pid); !os.IsNotExist(err) {
		t.Errorf("the pid file is left over: %v", err)
	}
	want := []string{
		"(critical) plugin proxy " + version + " started\n",
		"(message) Initiating shutdown, requested from signal handler\n",
		"(message) shutting down normally, exit code is: 0\n",
	}
	at := 0
	for _, line := range want {
		i := strings.Index(p.read(p.log)[at:], line)
		if i < 0 {
			t.Fatalf("no %q in its place:\n%s", line, p.read(p.log))
		}
		at += i + len(line)
	}
}

func TestQuietByDefault(t *testing.T) {
	for _, tc := range []struct {
		args []string
		last string
	}{
		{nil, "started\n"},
		{[]string{"--verbose-shutdown"}, "(critical) shutting down normally, exit code is: 0\n"},
	} {
		p := start(t, append([]string{"--no-proxy", "--log-level=critical"}, tc.args...)...)
		// Not serving: at this level SIGUSR1 is not logged.
		p.eventually("the start", func() bool { return p.logged("started") })
		p.signal(p.cmd.Process.Pid, syscall.SIGINT)
		if code := p.code(); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
		if log := p.read(p.log); !strings.HasSuffix(log, tc.last) || strings.Contains(log, "(message)") {
			t.Errorf("%v: the log is\n%s", tc.args, log)
		}
	}
}

func TestLogIsReopenedAtSIGHUP(t *testing.T) {
	p := start(t, "--no-proxy")
	pid := p.serving(0)
	for i := range 2 {
		old := fmt.Sprintf("%s.%d", p.log, i)
		if err := os.Rename(p.log, old); err != nil {
			t.Fatal(err)
		}
		p.signal(pid, syscall.SIGHUP)
		p.eventually("a new log file", func() bool { return p.logged("(message) re-opened log file after SIGHUP\n") })
		if !strings.HasSuffix(p.read(old), "(message) received a SIGHUP, closing log file\n") {
			t.Errorf("the old log ends with %q", p.read(old))
		}
	}
}

func TestDaemon(t *testing.T) {
	p := start(t, "--no-proxy", "--daemon")
	if code := p.code(); code != 0 {
		t.Fatalf("exit code %d, want 0: %s", code, p.stderr.String())
	}
	pid := p.serving(0)
	defer p.endDaemon(pid)
	if pid == p.cmd.Process.Pid {
		t.Error("the daemon is the process that was started")
	}
	if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err != nil || cwd != "/" {
		t.Errorf("its folder is %q, %v; want /", cwd, err)
	}
	if got := p.status(pid, "Umask"); got != "0000" {
		t.Errorf("its umask is %s, want 0000", got)
	}
	if name := p.status(pid, "Name"); name != "mysql-proxy" {
		t.Errorf("ps shows it as %q", name)
	}
	stat := p.read(fmt.Sprintf("/proc/%d/stat", pid))
	// state, parent, process group, session
	if fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:]); fields[3] != fmt.Sprint(pid) {
		t.Errorf("its session is %s, want %d", fields[3], pid)
	}
	for fd := range 3 {
		if _, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd)); err != nil {
			t.Errorf("descriptor %d is closed: %v", fd, err)
		}
	}
	if _, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/3", pid)); err == nil {
		target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/3", pid))
		if strings.HasPrefix(target, "pipe:") {
			t.Errorf("descriptor 3 is still %s", target)
		}
	}
}

// The shell sees 0; what went wrong later is in the log.
func TestDaemonThatCannotListen(t *testing.T) {
	taken := enginetest.Listen(t)
	p := start(t, "--daemon", "-P", taken.Addr().String())
	if code := p.code(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	p.eventually("the error in the log", func() bool { return p.logged("address already in use") })
	p.eventually("the end", func() bool { return p.logged("exit code is: 1") })
}

func TestKeepaliveStartsAKilledWorkerAgain(t *testing.T) {
	p := start(t, "--no-proxy", "--keepalive")
	angel := p.cmd.Process.Pid
	first := p.serving(0)
	if first == angel {
		t.Fatal("the pid file has the angel's pid")
	}
	p.signal(first, syscall.SIGKILL)
	second := p.serving(first)
	// Go's runtime ends a process with an exit code of its own at a panic, and
	// at this signal.
	p.signal(second, syscall.SIGQUIT)
	third := p.serving(second)
	for _, line := range []string{
		fmt.Sprintf("(message) [angel] we try to keep PID=%d alive\n", first),
		fmt.Sprintf("(critical) [angel] PID=%d died on signal=9 ", first),
		fmt.Sprintf("(critical) [angel] PID=%d crashed, exit-code = 2 ", second),
		fmt.Sprintf("(message) [angel] we try to keep PID=%d alive\n", third),
	} {
		p.eventually(line, func() bool { return p.logged(line) })
	}
	p.signal(angel, syscall.SIGTERM)
	if code := p.code(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if alive(third) || p.read(p.pid) != "" {
		t.Error("the worker or the pid file is left over")
	}
	if !p.logged(fmt.Sprintf("(message) [angel] PID=%d exited normally with exit-code = 0", third)) {
		t.Errorf("the log is\n%s", p.read(p.log))
	}
}

func TestAngelForwardsEverySignal(t *testing.T) {
	p := start(t, "--no-proxy", "--keepalive")
	angel := p.cmd.Process.Pid
	pid := p.serving(0)
	for i := range 3 {
		if err := os.Rename(p.log, fmt.Sprintf("%s.%d", p.log, i)); err != nil {
			t.Fatal(err)
		}
		p.signal(angel, syscall.SIGHUP)
		p.eventually("a new log file", func() bool { return p.logged("re-opened log file after SIGHUP") })
	}
	p.signal(angel, syscall.SIGUSR2)
	p.eventually("a line about SIGUSR2", func() bool { return p.logged("user defined signal 2") })

	// A rotation that only the worker was told of reaches the angel, too.
	if err := os.Rename(p.log, p.log+".last"); err != nil {
		t.Fatal(err)
	}
	p.signal(pid, syscall.SIGHUP)
	p.eventually("a new log file", func() bool { return p.logged("re-opened log file after SIGHUP") })
	p.signal(angel, syscall.SIGINT)
	if code := p.code(); code != 0 || !p.logged("[angel] PID=") {
		t.Errorf("exit code %d, want 0 and the angel's last line:\n%s", code, p.read(p.log))
	}
}

func TestAngelEndsWithItsWorker(t *testing.T) {
	taken := enginetest.Listen(t)
	p := start(t, "--keepalive", "-P", taken.Addr().String())
	if code := p.code(); code != 1 {
		t.Errorf("exit code %d, want the worker's 1", code)
	}
	if n := strings.Count(p.read(p.log), "[angel] we try"); n != 1 {
		t.Errorf("%d workers, want 1:\n%s", n, p.read(p.log))
	}
}

// Between two workers, SIGTERM ends the angel, and so it does when the next has
// just been started.
func TestAngelEndsWhileItWaits(t *testing.T) {
	p := start(t, "--no-proxy", "--keepalive")
	p.signal(p.serving(0), syscall.SIGKILL)
	p.eventually("the worker's death", func() bool { return p.logged("before restart") })
	p.signal(p.cmd.Process.Pid, syscall.SIGTERM)
	if code := p.code(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if pid := p.readPid(); pid != 0 && alive(pid) {
		t.Errorf("worker %d is left over:\n%s", pid, p.read(p.log))
	}
	for _, tc := range []struct {
		sig  os.Signal
		goes bool // on, to the next worker
	}{{syscall.SIGTERM, false}, {syscall.SIGINT, false}, {syscall.SIGUSR1, true}} {
		var out memorySink
		file, log := newLog(&out, slog.LevelDebug, "")
		a := &angel{log: log, file: file, signals: make(chan os.Signal, 1)}
		a.signals <- tc.sig
		if goes := a.sleep(); goes != tc.goes {
			t.Errorf("after %v it goes on: %t, want %t", tc.sig, goes, tc.goes)
		}
	}
}

// What was read at the start holds for every worker: the file may be gone, and
// relative names are not the daemon's.
func TestDaemonKeepsItsOptions(t *testing.T) {
	p := idle(t)
	name := filepath.Join(p.dir, "proxy.cnf")
	text := fmt.Sprintf("[mysql-proxy]\nno-proxy=true\ndaemon=true\nkeepalive=true\nlog-level=debug\nlog-file=%s\npid-file=%s\n", p.log, p.pid)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p.exec("--defaults-file=proxy.cnf")
	if code := p.code(); code != 0 {
		t.Fatalf("exit code %d: %s", code, p.stderr.String())
	}
	first := p.serving(0)
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	p.signal(first, syscall.SIGKILL)
	second := p.serving(first)
	p.endDaemon(second)
	p.eventually("the angel's end", func() bool { return p.logged("exited normally with exit-code = 0") })
}

func TestUser(t *testing.T) {
	if os.Geteuid() != 0 {
		if code, _, stderr := runOnce(t, nil, "--user=nobody"); code != 1 || !strings.Contains(stderr, "can only use the --user switch if running as root") {
			t.Errorf("exit code %d, %s", code, stderr)
		}
		return
	}
	nobody, err := findAccount("nobody")
	if err != nil {
		t.Fatal(err)
	}
	for _, keepalive := range []bool{false, true} {
		// A port that only root may take: bound before root is left.
		var p *process
		var pid int
		for port := 1000; ; port-- {
			addr := fmt.Sprintf("127.0.0.1:%d", port)
			if canConnect(addr) {
				continue
			}
			args := []string{"--user=nobody", "-P", addr}
			if keepalive {
				args = append(args, "--keepalive")
			}
			p = start(t, args...)
			pid = p.serving(0)
			if !canConnect(addr) {
				t.Errorf("nobody accepts on %s", addr)
			}
			break
		}
		id, group := fmt.Sprint(nobody.uid), fmt.Sprint(nobody.gid)
		for field, want := range map[string]string{
			"Uid":    strings.Repeat(id+" ", 3) + id,
			"Gid":    strings.Repeat(group+" ", 3) + group,
			"Groups": group,
		} {
			if got := p.status(pid, field); got != want {
				t.Errorf("%s is %q, want %q", field, got, want)
			}
		}
		// The log is theirs, so that it can be opened again.
		to := p.cmd.Process.Pid // the angel, if there is one
		if err := os.Rename(p.log, p.log+".1"); err != nil {
			t.Fatal(err)
		}
		p.signal(to, syscall.SIGHUP)
		p.eventually("a new log file", func() bool { return p.logged("re-opened log file after SIGHUP") })
		info, err := os.Stat(p.log)
		if err != nil || info.Sys().(*syscall.Stat_t).Uid != uint32(nobody.uid) || info.Sys().(*syscall.Stat_t).Gid != uint32(nobody.gid) {
			t.Errorf("the log file's owner: %+v, %v", info, err)
		}
		p.signal(to, syscall.SIGTERM)
		if code := p.code(); code != 0 || p.read(p.pid) != "" {
			t.Errorf("exit code %d, pid file %q", code, p.read(p.pid))
		}
	}
}

func TestMaxOpenFiles(t *testing.T) {
	p := start(t, "--no-proxy", "--max-open-files=123")
	limits := p.read(fmt.Sprintf("/proc/%d/limits", p.serving(0)))
	for line := range strings.Lines(limits) {
		if strings.HasPrefix(line, "Max open files") {
			if strings.Fields(line)[3] != "123" {
				t.Errorf("the limit is %q, want 123", line)
			}
			return
		}
	}
	t.Errorf("no limit of open files in\n%s", limits)
}

func TestCrashIsInTheLog(t *testing.T) {
	p := start(t, "--no-proxy", "--log-backtrace-on-crash")
	p.signal(p.serving(0), syscall.SIGSEGV)
	if code := p.code(); code != -1 || p.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGABRT {
		t.Errorf("it ended as %v, want by SIGABRT", p.cmd.ProcessState)
	}
	if !p.logged("goroutine ") || !strings.Contains(p.stderr.String(), "goroutine ") {
		t.Errorf("no stacks in the log:\n%.2000s", p.read(p.log))
	}
}

// A command that runs holds an orderly shutdown up; a second request does not
// wait for it. Under an angel a signal to the whole group is one request.
func TestSecondRequestEndsAtOnce(t *testing.T) {
	for _, keepalive := range []bool{false, true} {
		t.Run(fmt.Sprintf("keepalive=%v", keepalive), func(t *testing.T) {
			ln := enginetest.Listen(t)
			end := make(chan struct{})
			server := enginetest.NewServer(ln, func(_ int, c *enginetest.Conn) error {
				if err := c.Run(enginetest.Admit(enginetest.Caps), enginetest.ExpectPacket(0, enginetest.Query("SELECT SLEEP(1000)"))); err != nil {
					return err
				}
				<-end
				return nil
			})
			defer func() {
				close(end)
				if err := server.Close(); err != nil {
					t.Error(err)
				}
			}()
			addr := enginetest.FreeAddr(t)
			args := []string{"-P", addr, "-b", ln.Addr().String(), "--shutdown-timeout=1000", "--proxy-tls=off", "--proxy-compression=off", "--proxy-connect-timeout=60", "--proxy-login-timeout=60"}
			if keepalive {
				args = append(args, "--keepalive")
			}
			p := start(t, args...)
			pid := p.serving(0)
			to, err := net.ResolveTCPAddr("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			client, err := enginetest.Dial(to, "client")
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if err := client.Run(enginetest.Enter(enginetest.Caps), enginetest.SendPacket(0, enginetest.Query("SELECT SLEEP(1000)"))); err != nil {
				t.Fatal(err)
			}

			outer := p.cmd.Process.Pid // the angel, if there is one
			p.signal(pid, syscall.SIGTERM)
			if keepalive {
				p.signal(outer, syscall.SIGTERM) // as a terminal does: both
			}
			p.eventually("the shutdown", func() bool { return p.logged("Initiating shutdown") })
			select {
			case <-p.gone:
				t.Fatalf("it did not wait for the command:\n%s", p.read(p.log))
			case <-time.After(50 * time.Millisecond):
			}
			if p.logged("requested again") {
				t.Errorf("one request counts as two:\n%s", p.read(p.log))
			}
			p.eventually("the end after a second request", func() bool {
				_ = syscall.Kill(outer, syscall.SIGTERM)
				select {
				case <-p.gone:
					return true
				case <-time.After(200 * time.Millisecond):
					return false
				}
			})
			if code := p.code(); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
		})
	}
}
