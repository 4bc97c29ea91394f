package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// loadText loads a defaults-file with this text in its group.
func loadText(t *testing.T, text string, args ...string) (*loaded, error) {
	t.Helper()
	return load(append([]string{"--defaults-file=test.cnf"}, args...), []byte("[mysql-proxy]\n"+text), "")
}

func TestKeyfileSyntax(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       string // key=raw value, separated by |
	}{
		{"plain", "[mysql-proxy]\na=1\n", "a=1"},
		{"empty", "", ""},
		{"only comments", "# x\n\n; y\n  # z\n", ""},
		{"group missing", "[other]\na=1\n", ""},
		{"other groups are ignored", "[x]\na=1\n[mysql-proxy]\na=2\n[y]\na=3\n", "a=2"},
		{"blanks around the group", "  [mysql-proxy] \t\na=1", "a=1"},
		{"group repeated: merged", "[mysql-proxy]\na=1\nb=1\n[mysql-proxy]\na=2", "a=2|b=1"},
		{"no comments behind values", "[mysql-proxy]\na=1 # x", "a=1 # x"},
		{"blanks around key and value", "[mysql-proxy]\n  a \t=  1 ", "a=1 "},
		{"keys are case sensitive", "[mysql-proxy]\na=1\nA=2", "a=1|A=2"},
		{"= in the value", "[mysql-proxy]\na=b=c", "a=b=c"},
		{"empty value", "[mysql-proxy]\na=", "a="},
		{"quotes are letters", "[mysql-proxy]\na=\"x\"", `a="x"`},
		{"CRLF", "[mysql-proxy]\r\na=1\r\n", "a=1"},
		{"no final newline", "[mysql-proxy]\na=1", "a=1"},
		{"semicolon comment", "[mysql-proxy]\n;a=1\nb=2", "b=2"},
		{"UTF-8", "[mysql-proxy]\na=ü", "a=ü"},
	} {
		entries, err := parseKeyfile([]byte(tc.text))
		var got []string
		for _, e := range entries {
			got = append(got, e.key+"="+e.raw)
		}
		if err != nil || strings.Join(got, "|") != tc.want {
			t.Errorf("%s: got %q, %v; want %q", tc.name, got, err, tc.want)
		}
	}
}

func TestKeyfileRefuses(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		line       int
		says       string
	}{
		{"no group", "# x\na=1\n", 2, "does not start with a group"},
		{"text behind the group", "[mysql-proxy] x\n", 1, "only blanks"},
		{"group not closed", "[mysql-proxy\n", 1, "] after the group's name is missing"},
		{"group without a name", "[]\n", 1, "no name"},
		{"bare key", "[mysql-proxy]\n\ndaemon\n", 3, "daemon = true"},
		{"bare key in another group", "[x]\ndaemon\n", 2, "daemon = true"},
		{"no key", "[mysql-proxy]\n = 1\n", 2, "no option name"},
		{"byte order mark", "\xef\xbb\xbf[mysql-proxy]\n", 1, "byte order mark"},
		{"not UTF-8", "[mysql-proxy]\na=\xff\n", 2, "not UTF-8"},
		{"NUL", "[mysql-proxy]\na=\x00\n", 2, "NUL"},
	} {
		_, err := parseKeyfile([]byte(tc.text))
		var at *fileError
		if !errors.As(err, &at) || at.line != tc.line || !strings.Contains(at.text, tc.says) {
			t.Errorf("%s: %v; want line %d and %q", tc.name, err, tc.line, tc.says)
		}
	}
}

// A line that lacks its = may have a password, and errors are logged.
func TestErrorsOfLinesTellNoValues(t *testing.T) {
	for _, line := range []string{"admin-password hunter2", "admin-password\thunter2", "admin-password: hunter2", "admin-password:hunter2"} {
		_, err := parseKeyfile([]byte("[mysql-proxy]\n" + line + "\n"))
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "admin-password = VALUE") {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestFileValues(t *testing.T) {
	for _, tc := range []struct {
		text string
		ok   func(l *loaded) bool
	}{
		{"user = mysql  ", func(l *loaded) bool { return l.User == "mysql" }},
		{`user = "mysql"`, func(l *loaded) bool { return l.User == `"mysql"` }},
		{`lua-path = \sa\tb\\c`, func(l *loaded) bool { return l.LuaPath == " a\tb\\c" }},
		{"proxy-address = :1", func(l *loaded) bool { return slices.Equal(l.ProxyAddresses, []string{":1"}) }},
		{"proxy-address = :1, :2", func(l *loaded) bool { return slices.Equal(l.ProxyAddresses, []string{":1", ":2"}) }},
		{"proxy-backend-addresses = a , b,", func(l *loaded) bool { return slices.Equal(l.Backends, []string{"a", "b"}) }},
		{`proxy-backend-addresses = /a\,b,c`, func(l *loaded) bool { return slices.Equal(l.Backends, []string{"/a,b", "c"}) }},
		{"proxy-backend-addresses =", func(l *loaded) bool { return slices.Equal(l.Backends, []string{"127.0.0.1:3306"}) }},
		{"daemon = true", func(l *loaded) bool { return l.Daemon }},
		{"daemon = 1  ", func(l *loaded) bool { return l.Daemon }},
		{"daemon = yes", func(l *loaded) bool { return l.Daemon }},
		{"daemon = on", func(l *loaded) bool { return l.Daemon }},
		{"daemon = TRUE", func(l *loaded) bool { return l.Daemon }},
		{"daemon = false", func(l *loaded) bool { return !l.Daemon }},
		{"daemon = off", func(l *loaded) bool { return !l.Daemon }},
		{"event-threads = 4", func(l *loaded) bool { return l.EventThreads == 4 && len(l.warnings) == 0 }},
		{"event-threads = +010", func(l *loaded) bool { return l.EventThreads == 10 }},
		{"event-threads = 4 # x", func(l *loaded) bool { return l.EventThreads == 4 && len(l.warnings) == 1 }},
		{"max-open-files = 0", func(l *loaded) bool { return l.MaxOpenFiles == 0 }},
		{"proxy-connect-timeout = 0.5", func(l *loaded) bool { return l.ConnectTimeout == 500*time.Millisecond }},
		{"proxy-connect-timeout = -1", func(l *loaded) bool { return l.ConnectTimeout == 2*time.Second }},
		{"shutdown-timeout = 0", func(l *loaded) bool { return l.ShutdownTimeout == 0 }},

		// Reversed flags mean what they say, and are pointed out.
		{"no-proxy = true", func(l *loaded) bool { return !l.Proxy && len(l.warnings) == 1 }},
		{"no-proxy = false", func(l *loaded) bool { return l.Proxy && len(l.warnings) == 1 }},
		{"proxy-pool-no-change-user = true", func(l *loaded) bool { return !l.ChangeUser && len(l.warnings) == 1 }},

		// What is not an option of this file is ignored, and pointed out.
		{"proxy_address = :1", func(l *loaded) bool {
			return l.ProxyAddresses[0] == ":4040" && strings.Contains(l.warnings[0], "did you mean proxy-address")
		}},
		{"version = true", func(l *loaded) bool { return !l.Version && len(l.warnings) == 1 }},
		{"defaults-file = x", func(l *loaded) bool { return l.DefaultsFile == "test.cnf" && len(l.warnings) == 1 }},
		{"help = true", func(l *loaded) bool { return l.help == "" && len(l.warnings) == 1 }},
		{"admin-username = root\nadmin-password = 123456", func(l *loaded) bool { return len(l.warnings) == 2 && l.AdminUsername == "" }},
		{"admin-username = root\nplugins = proxy,admin", func(l *loaded) bool { return len(l.warnings) == 0 && l.AdminUsername == "root" }},
	} {
		l, err := loadText(t, tc.text)
		if err != nil || !tc.ok(l) {
			t.Errorf("%s: %+v, warnings %q, error %v", tc.text, *l.settings, l.warnings, err)
		}
	}
}

func TestFileValuesRefused(t *testing.T) {
	for _, tc := range []struct{ text, says string }{
		{"daemon =", "line 2: daemon: \"\" is neither true nor false"},
		{"daemon = maybe", "neither true nor false"},
		{"daemon = true # x", "neither true nor false"},
		{`user = a\,b\x`, `\x is not an escape`},
		{`user = a\`, "ends the value"},
		{`proxy-backend-addresses = a\q,b`, `\q is not an escape`},
		{"event-threads = 0x10", "not a decimal integer"},
		{"event-threads = 0", "0 is not possible"},
		{"event-threads = 000", "0 is not possible"},
		{"event-threads =", "not an integer"},
		{"event-threads = -", "not an integer"},
		{"event-threads = 99999999999", "not an integer"},
		{"max-open-files = -1", "negative"},
		{"proxy-read-timeout = soon", "not a number of seconds"},
	} {
		_, err := loadText(t, tc.text)
		if err == nil || !strings.Contains(err.Error(), tc.says) || !strings.HasPrefix(err.Error(), "loading config from 'test.cnf' failed: line 2: ") {
			t.Errorf("%s: %v; want the file, line 2 and %q", tc.text, err, tc.says)
		}
	}
}

func TestCommandLineWinsOverTheFile(t *testing.T) {
	for _, tc := range []struct {
		kind, text, args string
		ok               func(l *loaded) bool
	}{
		{"string", "user = file", "--user=line", func(l *loaded) bool { return l.User == "line" }},
		{"file", "log-file = file", "--log-file=line", func(l *loaded) bool { return l.LogFile == "line" }},
		{"list", "proxy-backend-addresses = a,b", "-b c", func(l *loaded) bool { return slices.Equal(l.Backends, []string{"c"}) }},
		{"flag", "daemon = false", "--daemon", func(l *loaded) bool { return l.Daemon }},
		{"reversed flag", "no-proxy = false", "--no-proxy", func(l *loaded) bool { return !l.Proxy }},
		{"int", "event-threads = 2", "--event-threads=8", func(l *loaded) bool { return l.EventThreads == 8 }},
		{"double", "proxy-connect-timeout = 9", "--proxy-connect-timeout=3", func(l *loaded) bool { return l.ConnectTimeout == 3*time.Second }},
		{"plugins", "plugins = admin", "--plugins=proxy", func(l *loaded) bool { return slices.Equal(l.Plugins, []string{"proxy"}) }},
		{"even a value that is the default", "log-level = debug", "--log-level=critical", func(l *loaded) bool { return l.LogLevel == "critical" }},
	} {
		l, err := loadText(t, tc.text, strings.Fields(tc.args)...)
		if err != nil || !tc.ok(l) {
			t.Errorf("%s: %+v, %v", tc.kind, *l.settings, err)
		}
	}
	if _, err := loadText(t, "event-threads = x", "--event-threads=8"); err == nil {
		t.Error("a faulty line that the command line overrides: want an error all the same")
	}
}

func TestDefaultsFilePermissions(t *testing.T) {
	dir := t.TempDir()
	for mode, ok := range map[os.FileMode]bool{
		0o660: true, 0o640: true, 0o600: true, 0o770: true, 0o400: true,
		0o644: false, 0o661: false, 0o662: false, 0o664: false, 0o777: false,
	} {
		name := filepath.Join(dir, "f"+strconv.FormatUint(uint64(mode), 8))
		if err := os.WriteFile(name, []byte("[mysql-proxy]\nuser=x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
		l, err := load([]string{"--defaults-file", name}, nil, "")
		switch {
		case ok && (err != nil || l.User != "x"):
			t.Errorf("mode %04o: %v", mode, err)
		case !ok && (err == nil || !strings.Contains(err.Error(), "0660 or stricter")):
			t.Errorf("mode %04o: %v; want an error about 0660", mode, err)
		}
	}
}

func TestDefaultsFileThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	pipe, large := filepath.Join(dir, "pipe"), filepath.Join(dir, "large")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(large, make([]byte, maxFileLen+1), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	good := filepath.Join(dir, "good")
	if err := os.WriteFile(good, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(good, link); err != nil {
		t.Fatal(err)
	}
	for name, says := range map[string]string{
		filepath.Join(dir, "missing"): "no such file",
		dir:                           "not a regular file",
		pipe:                          "not a regular file",
		large:                         "larger than",
	} {
		_, err := load([]string{"--defaults-file", name}, nil, "")
		if err == nil || !strings.Contains(err.Error(), "loading config from '"+name+"' failed: ") || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v; want %q", name, err, says)
		}
	}
	if _, err := load([]string{"--defaults-file", link}, nil, ""); err != nil {
		t.Errorf("an empty file behind a link: %v", err)
	}
}

// Property: what the parser takes, it takes again when written out, and what
// it refuses it refuses with a line number.
func FuzzParseKeyfile(f *testing.F) {
	for _, s := range []string{"[mysql-proxy]\na=1\n", "[x]\n[mysql-proxy]\r\na = \\s\n", "a=1", "[", "# x\n;y\n[mysql-proxy]\ndaemon", "[mysql-proxy]\n=\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		entries, err := parseKeyfile(in)
		if err != nil {
			var at *fileError
			if !errors.As(err, &at) || at.line < 1 {
				t.Fatalf("%q: the error %v has no line", in, err)
			}
			return
		}
		var out strings.Builder
		out.WriteString("[mysql-proxy]\n")
		for _, e := range entries {
			out.WriteString(e.key + "=" + e.raw + "\n")
			for i := range options { // no value may upset any option
				_, _ = options[i].setFromFile(defaultSettings(), e.raw)
			}
		}
		again, err := parseKeyfile([]byte(out.String()))
		if err != nil || len(again) != len(entries) {
			t.Fatalf("%q: written out again it is %v, %v; want %v", in, again, err, entries)
		}
		for i := range again {
			if again[i].key != entries[i].key || again[i].raw != entries[i].raw {
				t.Fatalf("%q: entry %v became %v", in, entries[i], again[i])
			}
		}
	})
}
