package main

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mysqlproxy/engine"
	"mysqlproxy/engine/enginetest"
)

// Every value that an option may have comes back from its text.
func TestOptionsAsText(t *testing.T) {
	for i := range options {
		o := &options[i]
		if o.cmdOnly {
			continue
		}
		var values []string
		switch {
		case !o.kind.takesValue():
			values = []string{"true", "false"}
		case o.choices != nil:
			values = o.choices
		case o.kind == secondsKind:
			values = []string{"0", "0.25", "28800", "2.5"}
		case o.kind == intKind:
			values = []string{fmt.Sprint(max(o.low, 3)), fmt.Sprint(max(o.high, 4))}
		case o.kind == countKind, o.kind == sizeKind:
			values = []string{"0", "1073741824"}
		case o.kind == listKind:
			values = []string{"a", "a, b", `a\,b, c`}
		default:
			values = []string{"", "a b", `\sa`, `a\\b\tc`}
		}
		for _, value := range values {
			a, b := defaultSettings(), defaultSettings()
			if _, err := o.setFromFile(a, value); err != nil {
				t.Errorf("%s = %s: %v", o.long, value, err)
				continue
			}
			if list, ok := o.dst(b).(*[]string); ok {
				*list = nil
			}
			if _, err := o.setFromFile(b, o.text(a)); err != nil || !reflect.DeepEqual(a, b) {
				t.Errorf("%s = %s comes back from %q otherwise: %v", o.long, value, o.text(a), err)
			}
		}
	}
}

// controlled is a control of a defaults-file, with an engine that runs.
type controlled struct {
	*control
	t    *testing.T
	log  *syncedText
	name string
}

func newControlled(t *testing.T, text string, args ...string) *controlled {
	t.Helper()
	t.Chdir(t.TempDir()) // what follows has to find the file elsewhere
	c := &controlled{t: t, log: new(syncedText), name: filepath.Join(t.TempDir(), "test.cnf")}
	c.write(text)
	args = append([]string{"--defaults-file=" + filepath.Base(c.name)}, args...)
	l, err := load(args, nil, filepath.Dir(c.name))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.resolvePaths("/base"); err != nil {
		t.Fatal(err)
	}
	file, log := newLog(writerSink{c.log}, engine.LevelMessage, "")
	w := &worker{s: l.settings, given: handoff{Basedir: "/base", Dir: filepath.Dir(c.name), File: l.file}, log: log, file: file}
	c.control = newControl(w)
	c.args = args
	config, kept, err := firstConfig(l.settings, c.control, log, nil)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Shutdown(); e.Shutdown(); e.Wait() })
	c.runs(e, config, kept)
	return c
}

// syncedText is what an engine that runs may add to while a test reads it.
type syncedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *syncedText) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *syncedText) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// writerSink is a log in memory.
type writerSink struct{ to *syncedText }

func (s writerSink) write(_ slog.Level, line []byte) { s.to.Write(line) }
func (s writerSink) reopen() error                   { return nil }

func (c *controlled) write(text string) {
	c.t.Helper()
	if err := os.WriteFile(c.name, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// backends are the engine's, as addresses.
func (c *controlled) backends() (list []string) {
	for _, b := range c.engine.Backends() {
		list = append(list, b.Addr.String())
	}
	return list
}

func TestReload(t *testing.T) {
	const first = "[mysql-proxy]\nproxy-address = 127.0.0.1:0\nproxy-backend-addresses = 127.0.0.1:1\nproxy-connect-timeout = 2\nadmin-password = old\nlog-level = message\n"
	changed := func(from, to string) string {
		if !strings.Contains(first, from) {
			t.Fatalf("%q is not there", from)
		}
		return strings.Replace(first, from, to, 1)
	}
	for _, tc := range []struct {
		name, text string
		args       string
		want       []string // changes
		says       string   // else the error, which names the file
	}{
		{"nothing", first, "", nil, ""},
		{"a comment", first + "# more\n", "", nil, ""},
		{"a time-out", changed("= 2\n", "= 0.5\n"), "", []string{"proxy-connect-timeout: 2 -> 0.5"}, ""},
		{"what the command line gives", changed("= 2\n", "= 0.5\n"), "--proxy-connect-timeout=3", nil, ""},
		{"back to the default", changed("proxy-backend-addresses = 127.0.0.1:1\n", ""), "", []string{"proxy-backend-addresses: 127.0.0.1:1 -> 127.0.0.1:3306"}, ""},
		{"a backend more", changed(":1\n", ":1, 127.0.0.1:2\nproxy-read-only-backend-addresses = 127.0.0.1:3\nread-weights = 127.0.0.1:3=2\n"), "",
			[]string{"proxy-backend-addresses: 127.0.0.1:1 -> 127.0.0.1:1,127.0.0.1:2", "proxy-read-only-backend-addresses:  -> 127.0.0.1:3", "read-weights:  -> 127.0.0.1:3=2"}, ""},
		{"a password", first + "health-user = h\nhealth-password = secret\n", "", []string{"health-user:  -> h", "health-password:  -> ***"}, ""},
		{"not a number", changed("= 2\n", "= soon\n"), "", nil, `failed: line 4: proxy-connect-timeout: "soon" is not a number of seconds`},
		{"no syntax", first + "nonsense\n", "", nil, `failed: line 7: "nonsense" has no value`},
		{"a choice that is none", first + "\nlog-level = loud\n", "", nil, "line 8: --log-level=loud is unknown"},
		{"a port that is none", changed(":1\n", ":1, x:y\n"), "", nil, "line 3: --proxy-backend-addresses: address \"x:y\""},
		{"a backend twice", changed(":1\n", ":1, 127.0.0.1:1\n"), "", nil, "line 3: --proxy-backend-addresses=127.0.0.1:1: the server 127.0.0.1:1 is already there"},
		{"what takes a restart", first + "event-threads = 7\n", "--event-threads=3", nil, ""},
		{"what takes a restart", first + "event-threads = 7\n", "", nil, "line 7: --event-threads:  -> 7: it cannot be changed while the proxy runs"},
		{"what takes a restart, and more", changed("= 2\n", "= 9\n") + "proxy-lua-script = a.lua\n", "", nil, "line 7: --proxy-lua-script:  -> /base/a.lua: it cannot"},
		{"a listening address", changed("0.0.1:0", "0.0.1:4040"), "", nil, "line 2: --proxy-address: 127.0.0.1:0 -> 127.0.0.1:4040: it cannot"},
		{"a file that is not there", first + "users-file = nowhere\nproxy-read-only-backend-addresses = 127.0.0.1:3\n", "", nil, "line 7: --users-file: cannot read /base/nowhere: no such file"},
		{"a certificate that is none", first + "proxy-tls-cert = /proc/version\nproxy-tls-key = /proc/version\n", "", nil, "line 7: --proxy-tls-cert: there is no certificate in it"},
		{"options that do not fit", first + "health-password = x\n", "", nil, "line 7: --health-password needs --health-user"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newControlled(t, first, strings.Fields(tc.args)...)
			c.write(tc.text)
			before, servers := *c.s, c.backends()
			changes, err := c.Reload(t.Context())
			var got []string
			for _, change := range changes {
				got = append(got, change.String())
				if !strings.Contains(c.log.String(), "(message) option changed: "+change.String()+"\n") {
					t.Errorf("the log does not tell of %s:\n%s", change, c.log)
				}
			}
			if !slices.Equal(got, tc.want) || (tc.says == "") != (err == nil) {
				t.Fatalf("%v, %v; want %v and %q", got, err, tc.want, tc.says)
			}
			if err == nil {
				return
			}
			if line := err.Error(); !strings.Contains(line, tc.says) || !strings.Contains(line, filepath.Base(c.name)) || strings.Contains(line, "\n") {
				t.Errorf("got %q, want one line with the file's name and %q", line, tc.says)
			}
			before.sources = maps.Clone(c.s.sources)
			if !reflect.DeepEqual(before, *c.s) || !slices.Equal(servers, c.backends()) {
				t.Error("something has changed")
			}
			if !strings.Contains(c.log.String(), "not applied, nothing has changed: ") {
				t.Errorf("the log does not say so:\n%s", c.log)
			}
		})
	}
	t.Run("who may read it", func(t *testing.T) {
		c := newControlled(t, first)
		if err := os.Chmod(c.name, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "gives access to everybody") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("backends come and go", func(t *testing.T) {
		c := newControlled(t, first)
		for _, want := range [][]string{{"127.0.0.1:2"}, {"127.0.0.1:3", "127.0.0.1:1"}, {"127.0.0.1:1"}} {
			c.write(changed("127.0.0.1:1\n", strings.Join(want, ", ")+"\n"))
			if _, err := c.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := c.backends(); !slices.Equal(got, want) {
				t.Errorf("there are %v, want %v", got, want)
			}
		}
	})
	t.Run("the log level", func(t *testing.T) {
		c := newControlled(t, first)
		c.write(first + "log-level = debug\n")
		if _, err := c.Reload(t.Context()); err != nil || c.file.min.Level() != slog.LevelDebug {
			t.Errorf("it is %v: %v", c.file.min.Level(), err)
		}
	})
}

func TestSet(t *testing.T) {
	const text = "[mysql-proxy]\nproxy-address = 127.0.0.1:0\nproxy-backend-addresses = 127.0.0.1:1\nmax-replica-lag = 3\n"
	c := newControlled(t, text, "--health-user=h")
	for _, tc := range []struct{ option, value, want, says string }{
		{"proxy-connect-timeout", "0.5", "proxy-connect-timeout: 2 -> 0.5", ""},
		{"proxy-connect-timeout", "0.5", "", ""},
		{"proxy-connect-timeout", "-1", "proxy-connect-timeout: 0.5 -> 2", ""},
		{"proxy-backend-addresses", "127.0.0.1:1, 127.0.0.1:2", "proxy-backend-addresses: 127.0.0.1:1 -> 127.0.0.1:1,127.0.0.1:2", ""},
		{"verbose-shutdown", "on", "verbose-shutdown: false -> true", ""},
		{"max-replica-lag", "5", "max-replica-lag: 3 -> 5", ""},
		{"max-replica-lag", "long", "", `--max-replica-lag: "long" is not a number of seconds`},
		{"max_replica_lag", "5", "", "there is no option max_replica_lag; did you mean max-replica-lag?"},
		{"event-threads", "2", "", "--event-threads cannot be changed while the proxy runs"},
		{"version", "true", "", "--version cannot be changed while the proxy runs"},
		{"admin-username", "a", "", "--admin-username: the plugin admin is not loaded"},
		{"read-weights", "127.0.0.1:9=2", "", "127.0.0.1:9 is none of the read-only servers"},
		{"consistency", "none", "", "--consistency=none is unknown; give session"},
		{"health-user", "", "", "--health-"},
	} {
		changes, err := c.Set(t.Context(), tc.option, tc.value)
		var got []string
		for _, change := range changes {
			got = append(got, change.String())
		}
		if strings.Join(got, "; ") != tc.want || (tc.says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tc.says) {
			if tc.option != "health-user" || err != nil {
				t.Errorf("SET %s = %s: %v, %v; want %q, %q", tc.option, tc.value, got, err, tc.want, tc.says)
			}
		}
	}
	for _, s := range c.All() {
		if s.Name == "max-replica-lag" && (s.Value != "5" || s.Source != "SET" || !s.Live) || s.Name == "event-threads" && s.Live {
			t.Errorf("the console is shown %+v", s)
		}
	}
	if _, err := c.Reload(t.Context()); err != nil || c.s.MaxReplicaLag != 3*time.Second {
		t.Errorf("after a RELOAD it is %v, want what the file has: %v", c.s.MaxReplicaLag, err)
	}
}

// SIGHUP has the program read its file again, wherever it was started, and an angel's
// next worker has what the last one had.
func TestSIGHUPReloads(t *testing.T) {
	backend := enginetest.Listen(t)
	name := filepath.Join(t.TempDir(), "proxy.cnf")
	write := func(timeout string) {
		text := "[mysql-proxy]\nproxy-address = 127.0.0.1:0\nproxy-backend-addresses = " + backend.Addr().String() + "\nproxy-connect-timeout = " + timeout + "\n"
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("2")
	p := start(t, "--defaults-file="+name, "--keepalive")
	pid := p.serving(0)
	write("soon")
	p.signal(pid, syscall.SIGHUP)
	p.eventually("the fault in the log", func() bool {
		return p.logged("nothing has changed: loading config from '" + name + "' failed: line 4: proxy-connect-timeout: \"soon\" is not a number of seconds")
	})
	write("0.5")
	p.signal(pid, syscall.SIGHUP)
	p.eventually("the change in the log", func() bool { return p.logged("(message) option changed: proxy-connect-timeout: 2 -> 0.5\n") })
	p.signal(pid, syscall.SIGKILL)
	p.eventually("the change in the next worker", func() bool {
		return strings.Count(p.read(p.log), "(message) option changed: proxy-connect-timeout: 2 -> 0.5\n") == 2
	})
	p.signal(p.cmd.Process.Pid, syscall.SIGTERM)
	if code := p.code(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}
