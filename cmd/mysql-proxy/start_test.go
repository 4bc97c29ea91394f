package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

func TestExitCodesAndMessages(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, mode os.FileMode, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return name
	}
	open := file("open.cnf", 0o644, "[mysql-proxy]\n")
	faulty := file("faulty.cnf", 0o660, "[mysql-proxy]\n\ndaemon = maybe\n")
	taken := enginetest.Listen(t)
	nowhere := filepath.Join(dir, "missing", "file")
	free := func() string { return "--proxy-address=" + enginetest.FreeAddr(t) }

	for _, tc := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"help", []string{"--help"}, 0, ""},
		{"help for all", []string{"--help-all"}, 0, ""},
		{"version", []string{"-V"}, 0, ""},
		{"version does not start anything", []string{"-V", "-s", "x.lua", "-P", taken.Addr().String()}, 0, ""},
		{"version with a plugin that is not there", []string{"-V", "--plugins=master"}, 1, "there is no plugin master"},
		{"mistyped option", []string{"--proxy-adress=:1"}, 1, "unknown option: --proxy-adress; did you mean --proxy-address? (use --help to show all options)"},
		{"left-over word", []string{"start"}, 1, "unknown option: start"},
		{"file missing", []string{"--defaults-file=" + nowhere}, 1, "failed: no such file or directory"},
		{"file open to all", []string{"--defaults-file=" + open}, 1, "mode 0644 gives access to everybody"},
		{"file missing, even with help", []string{"--help", "--defaults-file=" + nowhere}, 1, "no such file"},
		{"fault in the file", []string{"--defaults-file=" + faulty}, 1, `faulty.cnf' failed: line 3: daemon: "maybe" is neither true nor false`},
		{"log level", []string{"--log-level=notice"}, 1, "--log-level=notice is unknown; give error, critical, warning, message, info or debug"},
		{"two logs", []string{"--log-file=/tmp/x", "--log-use-syslog"}, 1, "exclude each other"},
		{"log file in no folder", []string{"--log-file=" + nowhere}, 1, "cannot open the log file " + nowhere + ": no such file"},
		{"pid file in no folder", []string{free(), "--pid-file=" + nowhere}, 1, "cannot write the pid file " + nowhere + ": no such file"},
		{"base directory is relative", []string{"--basedir=x"}, 1, "--basedir has to be an absolute path"},
		{"event threads", []string{"--event-threads=0"}, 1, "0 is not possible"},
		{"plugin admin without a password", []string{"--plugins=proxy", "--plugins=admin", "--admin-username=root"}, 1, "the admin plugin needs --admin-username and --admin-password; give both"},
		{"Lua states", []string{"--lua-states=many"}, 1, "--lua-states=many is unknown; give shared or per-loop"},
		{"plugin debug", []string{"--plugins=debug"}, 1, "MySQL Proxy's plugin debug is left out; remove it and its options: it would run any text as Lua"},
		{"plugin debug's option", []string{"--debug-address=:4043", "--plugins=debug"}, 1, "MySQL Proxy's plugin debug is left out; remove it and its options: it would run any text as Lua"},
		{"plugin replicant", []string{"--plugins=replicant"}, 1, "MySQL Proxy's plugin replicant is left out"},
		{"help for a plugin that is left out", []string{"--help-replicant"}, 1, "mysqlbinlog shows them"},
		{"plugin list with commas", []string{"--plugins=proxy,nothing"}, 1, "there is no plugin nothing; known: proxy, admin"},
		{"address", []string{"-P", "::1"}, 1, "--proxy-address: address \"::1\": an IPv6 address needs brackets"},
		{"backend address", []string{"-b", "db1:x"}, 1, "--proxy-backend-addresses: address \"db1:x\": the port \"x\" is not a number"},
		{"backend with port 0", []string{"-r", "10.0.0.1:0"}, 1, "port 0 is for listening only"},
		{"host name", []string{free(), "-b", "no-such-host.invalid"}, 1, "host name \"no-such-host.invalid\""},
		{"backend twice", []string{free(), "-b", "10.0.0.1:3306", "-r", "10.0.0.1"}, 1, "the server 10.0.0.1:3306 is already there as 10.0.0.1:3306; remove one"},
		{"user", []string{"--user=nobody-of-this-name"}, 1, "user"},
		{"too many open files", []string{free(), "--max-open-files=2147483647"}, 1, "setting --max-open-files=2147483647 failed"},
		{"port in use", []string{"-P", taken.Addr().String()}, 1, "address already in use; another program, maybe an older mysql-proxy, listens there"},
		{"address given twice", []string{"-P", "127.0.0.1:14040", "-P", "127.0.0.1:14040"}, 1, "--proxy-address=127.0.0.1:14040: 127.0.0.1:14040 is already there; remove one"},
		{"one address for both plugins", []string{"-P", "127.0.0.1:14040", "--plugins=proxy,admin", "--admin-username=a", "--admin-password=b", "--admin-address=127.0.0.1:14040"}, 1,
			"applying config of plugins proxy, admin failed: --proxy-address=127.0.0.1:14040 and --admin-address=127.0.0.1:14040 are the same; change one"},
		{"admin port in use", []string{"--plugins=admin", "--admin-username=a", "--admin-password=b", "--admin-address", taken.Addr().String()}, 1, "listens there: stop it or change --admin-address"},
		{"HTTP port in use", []string{free(), "--http-address", taken.Addr().String()}, 1, "--http-address: cannot listen on " + taken.Addr().String() + ": bind: address already in use; another program, or this one for clients"},
		{"HTTP at an address of another machine", []string{free(), "--http-address=192.0.2.1:9104"}, 1, "no network interface of this machine has that address: change --http-address"},
		{"HTTP address", []string{"--http-address=metrics"}, 1, "--http-address: address \"metrics\": it has no port; give HOST:PORT or PORT"},
		{"admin address", []string{"--plugins=admin", "--admin-username=a", "--admin-password=b", "--admin-address=x:y"}, 1, "--admin-address: address \"x:y\": the port \"y\" is not a number"},
		{"certificate missing", []string{"--proxy-tls-cert=" + nowhere, "--proxy-tls-key=" + nowhere}, 1, "--proxy-tls-cert: cannot read " + nowhere + ": no such file or directory; check the name"},
		{"certificate missing, in the background", []string{"--daemon", "--proxy-tls-cert=" + nowhere, "--proxy-tls-key=" + nowhere}, 1, "--proxy-tls-cert: cannot read"},
		{"certificate without a key", []string{"--proxy-tls-cert=" + nowhere}, 1, "--proxy-tls-cert and --proxy-tls-key go together"},
		{"value missing", []string{"--proxy-tls"}, 1, "missing argument for --proxy-tls: give --proxy-tls=HOW, one of off, prefer, require"},
		{"address of another machine", []string{"-P", "192.0.2.1:4040"}, 1, "no network interface of this machine has that address"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, stdout, stderr := runOnce(t, nil, tc.args...)
			if code != tc.code || !strings.Contains(stderr, tc.says) {
				t.Errorf("exit code %d, want %d; standard error is\n%swant %q", code, tc.code, stderr, tc.says)
			}
			if (tc.code == 0) != (stdout != "" && stderr == "") {
				t.Errorf("standard output %q, standard error %q", stdout, stderr)
			}
			if tc.code == 0 {
				return
			}
			n := 0
			for line := range strings.Lines(stderr) {
				if strings.Contains(line, ": (critical) ") && !strings.HasSuffix(line, "started\n") {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%d lines tell of the error, want 1:\n%s", n, stderr)
			}
		})
	}
}

// A terminal shows why the start failed, even if the log is a file.
func TestStartErrorIsInTheLogAndOnTheTerminal(t *testing.T) {
	taken := enginetest.Listen(t)
	p := start(t, "-P", taken.Addr().String())
	if code := p.code(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	const says = "applying config of plugin proxy failed: "
	if !p.logged(says) || !strings.Contains(p.stderr.String(), says) {
		t.Errorf("log:\n%sstandard error:\n%s", p.read(p.log), p.stderr.String())
	}
	if !p.logged("(message) shutting down normally, exit code is: 1") {
		t.Errorf("no line about the exit code:\n%s", p.read(p.log))
	}
	if p.read(p.pid) != "" {
		t.Error("the pid file is still there")
	}
}

func TestForeignStageVariableIsRefused(t *testing.T) {
	for _, value := range []string{"worker", "daemon", "nonsense", ""} {
		code, _, stderr := runOnce(t, []string{stageVariable + "=" + value}, "--no-proxy")
		if code != 1 || !strings.Contains(stderr, "unset it") {
			t.Errorf("%s=%q: exit code %d, %s", stageVariable, value, code, stderr)
		}
	}
}

// usersFile is a defaults-file as it is in use with MySQL Proxy.
const usersFile = `[mysql-proxy]
admin-username=root
admin-password=123456
admin-lua-script=/usr/local/lib/admin.lua
proxy-read-only-backend-addresses=192.168.2.115
proxy-backend-addresses=192.168.2.117
proxy-lua-script=/usr/local/lib/rw-splitting.lua
log-file=%s
log-level=debug
daemon=true
keepalive=true
`

func TestFileInUseIsUnderstood(t *testing.T) {
	name := filepath.Join(t.TempDir(), "mysql-proxy.cnf")
	if err := os.WriteFile(name, []byte(fmt.Sprintf(usersFile, "/var/log/mysql-proxy.log")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, 0o660); err != nil {
		t.Fatal(err)
	}
	l, err := load([]string{"-P", "192.168.2.112:3306", "--defaults-file=" + name}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	s := l.settings
	if !s.Daemon || !s.Keepalive || s.LogLevel != "debug" || s.LogFile != "/var/log/mysql-proxy.log" ||
		!slices.Equal(s.ProxyAddresses, []string{"192.168.2.112:3306"}) ||
		!slices.Equal(s.Backends, []string{"192.168.2.117"}) || !slices.Equal(s.ReadOnlyBackends, []string{"192.168.2.115"}) {
		t.Errorf("it is taken as %+v", *s)
	}
	if len(l.warnings) != 3 {
		t.Errorf("warnings %q, want one for each admin option", l.warnings)
	}
	config, err := engineConfig(s, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.ProxyLuaScript != "/usr/local/lib/rw-splitting.lua" || config.Scripts == nil || config.Admin != nil {
		t.Errorf("the script is %q, wanted %t; the admin plugin %t", s.ProxyLuaScript, config.Scripts != nil, config.Admin != nil)
	}
	if len(config.Backends) != 2 || config.Backends[0].Addr.String() != "192.168.2.117:3306" || config.Backends[0].ReadOnly ||
		config.Backends[1].Addr.String() != "192.168.2.115:3306" || !config.Backends[1].ReadOnly {
		t.Errorf("the backends are %v", config.Backends)
	}
}

// It starts as it is: in the background, watched over, with the log that it
// names. A script that is not there is said to be missing; it may come.
func TestFileInUseStarts(t *testing.T) {
	p := idle(t)
	name := filepath.Join(p.dir, "mysql-proxy.cnf")
	text := strings.Replace(fmt.Sprintf(usersFile, p.log), "/usr/local/lib/rw-splitting.lua", p.dir+"/rw-splitting.lua", 1)
	if err := os.WriteFile(name, []byte(text), 0o660); err != nil {
		t.Fatal(err)
	}
	addr := enginetest.FreeAddr(t)
	p.exec("-P", addr, "--defaults-file="+name, "--pid-file="+p.pid)
	if code := p.code(); code != 0 || strings.Count(p.stderr.String(), "(warning)") != 3 {
		t.Fatalf("exit code %d, standard error\n%s", code, p.stderr.String())
	}
	pid := p.serving(0)
	defer p.endDaemon(pid)
	for _, line := range []string{
		"(critical) plugin proxy " + version + " started\n",
		"(message) proxy listening on port " + addr + "\n",
		"(message) added read/write backend: 192.168.2.117 (192.168.2.117:3306)\n",
		"(message) added read-only backend: 192.168.2.115 (192.168.2.115:3306)\n",
		fmt.Sprintf("(message) [angel] we try to keep PID=%d alive\n", pid),
		"(warning) " + name + " line 2: admin-username is ignored: the plugin admin is not loaded; --plugins=proxy,admin loads it\n",
		"(critical) (lua-error) [" + p.dir + "/rw-splitting.lua] stat " + p.dir + "/rw-splitting.lua: no such file or directory\n",
	} {
		p.eventually(line, func() bool { return p.logged(line) })
	}
}

func TestListensWhereItIsTold(t *testing.T) {
	ln := enginetest.Listen(t)
	greeting := enginetest.Greeting(enginetest.Caps)
	backend := enginetest.NewServer(ln, func(_ int, c *enginetest.Conn) error {
		return c.Run(enginetest.Greet(greeting), enginetest.Drain())
	})
	shown := greeting // with what the proxy itself has on offer
	shown.Capabilities |= packet.CapSSL | packet.CapCompress | packet.CapZstd
	first, second, socket := enginetest.FreeAddr(t), enginetest.FreeAddr(t), filepath.Join(openDir(t), "sock")
	p := start(t, "-P", first, "-P", second, "-P", socket, "-b", ln.Addr().String(), "--proxy-connect-timeout=60")
	p.serving(0)
	for _, to := range [][2]string{{"tcp", first}, {"tcp", second}, {"unix", socket}} {
		client, err := net.Dial(to[0], to[1])
		if err != nil {
			t.Fatalf("%v\n%s", err, p.read(p.log))
		}
		if err := enginetest.NewConn(client, to[1]).Run(enginetest.ExpectPacket(0, shown.Append(nil))); err != nil {
			t.Errorf("%v\n%s", err, p.read(p.log))
		}
		client.Close()
	}
	p.signal(p.cmd.Process.Pid, syscall.SIGTERM)
	if code := p.code(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if _, err := os.Lstat(socket); !os.IsNotExist(err) {
		t.Errorf("the unix socket is left over: %v", err)
	}
	if err := backend.Close(); err != nil {
		t.Error(err)
	}
}

func TestBasedirFromTheProgramsName(t *testing.T) {
	path := binary(t)
	root := filepath.Dir(filepath.Dir(path))
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "proxy")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	t.Chdir(root)
	for _, tc := range []struct{ argv0, path, want string }{
		{path, "", real},
		{link, "", real},
		{"bin/mysql-proxy", "", real},
		{"./bin/mysql-proxy", "", real},
		{"mysql-proxy", "/nonexistent:" + filepath.Join(root, "bin"), real},
		{"mysql-proxy", "bin", real},
	} {
		t.Setenv("PATH", tc.path)
		if got, err := deriveBasedir(tc.argv0); err != nil || got != tc.want {
			t.Errorf("argv[0] %s, PATH %s: %q, %v; want %q", tc.argv0, tc.path, got, err, tc.want)
		}
	}
	// A name that leads nowhere: the running program itself.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := deriveBasedir("no-such-program"); err != nil || got != filepath.Dir(filepath.Dir(self)) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestRelativeNamesStartFromBasedir(t *testing.T) {
	l, err := load(strings.Fields("--log-file=l --pid-file=run/p --proxy-lua-script=s.lua --admin-lua-script=/a.lua --basedir=/base"), nil, "")
	if err != nil {
		t.Fatal(err)
	}
	s := l.settings
	if err := s.resolvePaths("/derived"); err != nil {
		t.Fatal(err)
	}
	got := []string{s.LogFile, s.PidFile, s.ProxyLuaScript, s.AdminLuaScript, s.PluginDir}
	want := []string{"/base/l", "/base/run/p", "/base/s.lua", "/a.lua", "/base/lib/mysql-proxy/plugins"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	s = defaultSettings()
	if err := s.resolvePaths("/derived"); err != nil || s.Basedir != "/derived" || s.LogFile != "" {
		t.Errorf("without --basedir: %q, log file %q, %v", s.Basedir, s.LogFile, err)
	}
}

func TestLuaPathsInTheEnvironment(t *testing.T) {
	for _, tc := range []struct {
		name, option, env string
		set               bool
		want              string
	}{
		{"option replaces the variable", "/o/?.lua", "/e/?.lua", true, "/o/?.lua"},
		{"variable stays", "", "/e/?.lua", true, "/e/?.lua"},
		{"empty variable stays", "", "", true, ""},
		{"neither: under basedir", "", "", false, "/base/lib/mysql-proxy/lua/?.lua"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("LUA_CPATH", "x")
			t.Setenv("LUA_PATH", tc.env)
			if !tc.set {
				os.Unsetenv("LUA_PATH")
			}
			if err := setLuaPaths(&settings{Basedir: "/base", LuaPath: tc.option}); err != nil {
				t.Fatal(err)
			}
			if got := os.Getenv("LUA_PATH"); got != tc.want {
				t.Errorf("LUA_PATH is %q, want %q", got, tc.want)
			}
		})
	}
}
