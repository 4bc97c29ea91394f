package scripts

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mysqlproxy/engine/enginetest"
)

// proxy is a running mysql-proxy. It is stopped at the end of its test, which
// fails if it does not stop cleanly or if its log tells of a fault.
type proxy struct {
	addr string
	dir  string // has log and output
	cmd  *exec.Cmd
	gone chan struct{} // closed when the process has ended

	mayLog []string // texts of log lines above "warning" that are expected
}

// setup says how a proxy is started.
type setup struct {
	script   string   // file name in this folder
	change   []string // old and new text in turn, to set what users would set
	backends []string // addresses of primaries
	replicas []string
	args     []string
	env      []string
}

// split is the proxy with rw-splitting.lua before all servers, on one event
// thread; reads go to replicas right after a write.
func split(t *testing.T, args ...string) *proxy {
	t.Helper()
	return start(t, setup{
		script: "rw-splitting.lua", change: append([]string{"primary_after_write = 2", "primary_after_write = 0"}, checkForms...),
		backends: []string{bed.Primary.Addr}, replicas: bed.replicaAddrs(), args: append([]string{"--event-threads=1"}, args...),
	})
}

// checkForms has rw-splitting.lua fail at a statement whose form, by which verdicts
// are kept, gets another verdict than itself.
var checkForms = []string{
	"-- classify is the verdict on a text.", `local function as_text(verdict)
	local words = {}
	for k, v in pairs(verdict) do
		if v and k ~= "pins" then words[#words + 1] = k end
	end
	for pin in pairs(verdict.pins) do words[#words + 1] = pin end
	table.sort(words)
	return table.concat(words, " ")
end
-- classify is the verdict on a text.`,
	"	local form = form_of(text)\n", `	local form = form_of(text)
	local one, other = as_text(verdict_on(text)), as_text(verdict_on(form))
	if one ~= other then error(text .. ": " .. one .. ", but " .. form .. ": " .. other) end
`,
}

// one is the proxy with a script before the primary.
func one(t *testing.T, script string, env ...string) *proxy {
	t.Helper()
	return start(t, setup{script: script, backends: []string{bed.Primary.Addr}, env: env})
}

func start(t *testing.T, s setup) *proxy {
	t.Helper()
	dependOnSources()
	p := &proxy{addr: enginetest.FreeAddr(t), dir: t.TempDir(), gone: make(chan struct{})}
	path, err := filepath.Abs(s.script)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.change) > 0 {
		path = changed(t, path, s.change)
	}
	args := []string{"-P", p.addr, "--log-level=info", "--log-file=" + filepath.Join(p.dir, "log"), "--proxy-lua-script=" + path,
		// A server that the machine keeps from answering is not down.
		"--proxy-connect-timeout=60", "--proxy-login-timeout=60"}
	for _, b := range s.backends {
		args = append(args, "-b", b)
	}
	for _, r := range s.replicas {
		args = append(args, "-r", r)
	}
	p.cmd = exec.Command(proxyPath, append(args, s.args...)...)
	out, err := os.Create(filepath.Join(p.dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Env = append(os.Environ(), s.env...)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // judged in stop
		close(p.gone)
	}()
	t.Cleanup(func() { p.stop(t) })
	p.waitListening(t)
	return p
}

// changed is a copy of a script with other settings.
func changed(t *testing.T, path string, change []string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for i := 0; i < len(change); i += 2 {
		if strings.Count(text, change[i]) != 1 {
			t.Fatalf("%s does not have %q once", path, change[i])
		}
		text = strings.Replace(text, change[i], change[i+1], 1)
	}
	to := filepath.Join(t.TempDir(), filepath.Base(path))
	if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

// dependOnSources looks at the sources that the binaries are built from and at
// the scripts, so that go test does not take the last result for one of today.
var dependOnSources = sync.OnceFunc(func() {
	for _, dir := range []string{"../cmd", "../engine", "../packet", "../luahooks", "../go.sum", "."} {
		_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				_, err = os.Stat(path)
			}
			return err
		})
	}
})

// waitListening returns when the log says that the proxy listens: connecting to
// find out would open a session.
func (p *proxy) waitListening(t *testing.T) {
	t.Helper()
	eventually(t, "the proxy listens on "+p.addr, func() bool {
		select {
		case <-p.gone:
			t.Fatalf("the proxy ended (%v):\n%s", p.cmd.ProcessState, p.logs())
		default:
		}
		return strings.Contains(p.logs(), "event threads")
	})
}

// stop ends the proxy by SIGTERM and judges how it ended and what it logged.
func (p *proxy) stop(t *testing.T) {
	t.Helper()
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
	for line := range strings.Lines(logs) {
		if bad(line) && !p.expected(line) {
			t.Errorf("the proxy says: %s", strings.TrimSpace(line))
		}
	}
	if t.Failed() {
		if len(logs) > 6000 {
			logs = logs[:2000] + "\n…\n" + logs[len(logs)-4000:]
		}
		t.Logf("the proxy's log and output:\n%s", logs)
	}
}

// bad tells whether a line is about a fault, of the script's or the proxy's.
func bad(line string) bool {
	for _, w := range []string{"panic", "fatal error", "(critical)", "(error)", "(lua"} {
		if strings.Contains(line, w) && !strings.Contains(line, "started") {
			return true
		}
	}
	return false
}

func (p *proxy) expected(line string) bool {
	for _, text := range p.mayLog {
		if strings.Contains(line, text) {
			return true
		}
	}
	return false
}

// logs is the log file and what went to stdout and stderr.
func (p *proxy) logs() string { return p.read("log") + p.read("output") }

func (p *proxy) read(name string) string {
	b, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		return err.Error() + "\n"
	}
	return string(b)
}

// warm has u log in until each replica has idle connections for u. Where another
// user came before, the first login may be refused.
func (p *proxy) warm(t *testing.T, u user, dbname string) {
	t.Helper()
	before := p.clients(t)
	for i := range 12 {
		s, err := tryConnect(t, p.addr, u, dbname)
		if err != nil {
			if i > 1 || !strings.Contains(err.Error(), "1040") {
				t.Fatalf("connect as %s: %v", u.Name, err)
			}
			continue
		}
		s.exec("DO 0")
		s.close()
	}
	p.settled(t, before)
}

// patience is how long to wait for what must come. How long something takes is
// never what a test is about.
const patience = 2 * time.Minute

// eventually tries until ok is true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("after %v still not: %s", patience, what)
}
