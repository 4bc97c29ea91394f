package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mysqlproxy/luahooks"
)

// allPlugins are the groups that the table has options of.
func allPlugins() []string {
	var names []string
	for _, o := range options {
		if o.group != mainGroup && !slices.Contains(names, o.group) {
			names = append(names, o.group)
		}
	}
	return names
}

func TestEachOptionIsInTheHelp(t *testing.T) {
	var all bytes.Buffer
	writeHelp(&all, "all", allPlugins())
	for _, o := range options {
		line := "--" + o.long
		if o.kind.takesValue() {
			line += "=" + o.arg
		}
		if o.short != 0 {
			line = "-" + string(o.short) + ", " + line
		}
		text := strings.Join(strings.Fields(all.String()), " ")
		at := strings.Index(text+" ", " "+line+" ")
		if at < 0 {
			t.Errorf("--help-all does not have %q", line)
			continue
		}
		if d := o.shownDefault(); d != "" && !strings.Contains(text[at:min(len(text), at+600)], "(default: "+d+")") {
			t.Errorf("--help-all does not show the default %q of --%s", d, o.long)
		}
	}
	for line := range strings.Lines(all.String()) {
		if len([]rune(line)) > helpWidth+1 {
			t.Errorf("the help has a line of %d columns: %q", len([]rune(line)), line)
		}
	}
}

func TestHelpShowsTheGroupsAskedFor(t *testing.T) {
	for _, tc := range []struct {
		topic     string
		has, lack []string
	}{
		{"main", []string{"Help Options:", "Application Options:", "--daemon", "--help-proxy", "command line wins"}, []string{"\nproxy-module\n", "--proxy-address"}},
		{"proxy", []string{"proxy-module\n", "-P, --proxy-address=ADDRESS"}, []string{"Application Options:", "--daemon"}},
		{"all", []string{"Help Options:", "Application Options:", "--daemon", "proxy-module\n", "--proxy-address"}, []string{"--admin-address"}},
	} {
		var out bytes.Buffer
		writeHelp(&out, tc.topic, []string{"proxy"})
		for _, want := range tc.has {
			if !strings.Contains(out.String(), want) {
				t.Errorf("help %s lacks %q", tc.topic, want)
			}
		}
		for _, not := range tc.lack {
			if strings.Contains(out.String(), not) {
				t.Errorf("help %s has %q", tc.topic, not)
			}
		}
	}
}

// The sample file has a line "#key = value" for each option; with the marks
// taken off it must be a good file, and its values must be the defaults.
func TestSampleFileHasEachOption(t *testing.T) {
	text, err := os.ReadFile("mysql-proxy.cnf")
	if err != nil {
		t.Fatal(err)
	}
	if entries, err := parseKeyfile(text); err != nil || len(entries) != 0 {
		t.Fatalf("as it stands it has the entries %v, %v; want none", entries, err)
	}
	var live []string
	for line := range strings.Lines(string(text)) {
		if len(line) > 1 && line[0] == '#' && line[1] >= 'a' && line[1] <= 'z' {
			line = line[1:]
		}
		live = append(live, line)
	}
	entries, err := parseKeyfile([]byte(strings.Join(live, "")))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range entries {
		o := findOption(e.key)
		if o == nil || o.cmdOnly {
			t.Errorf("line %d: %s is no option of a file", e.line, e.key)
			continue
		}
		seen[e.key] = true
		if _, err := o.setFromFile(defaultSettings(), e.raw); err != nil {
			t.Errorf("line %d: %s = %s: %v", e.line, e.key, e.raw, err)
		}
		if o.def != "" && e.raw != o.def {
			t.Errorf("line %d: %s = %s, but the default is %s", e.line, e.key, e.raw, o.def)
		}
	}
	for _, o := range options {
		if !o.cmdOnly && !seen[o.long] {
			t.Errorf("the sample file does not have %s", o.long)
		}
	}
}

func TestDefaults(t *testing.T) {
	l, err := load(nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	s := l.settings
	switch {
	case !slices.Equal(s.Plugins, []string{"proxy"}),
		!slices.Equal(s.ProxyAddresses, []string{":4040"}),
		!slices.Equal(s.Backends, []string{"127.0.0.1:3306"}),
		len(s.ReadOnlyBackends) != 0,
		s.LogLevel != "critical",
		!s.Proxy, !s.Profiling, !s.ChangeUser, s.Daemon, s.Keepalive,
		s.ConnectTimeout != 2*time.Second,
		s.LoginTimeout != 10*time.Second,
		s.ShutdownTimeout != 10*time.Second,
		s.ReadTimeout != 8*time.Hour,
		s.WriteTimeout != 8*time.Hour,
		s.EventThreads != 0, s.MaxOpenFiles != 0,
		s.AdminAddress != "127.0.0.1:4041":
		t.Errorf("the defaults are %+v", *s)
	}
}

// The default read/write server stays even if there are read-only ones.
func TestDefaultBackendStaysBesideReadOnlyOnes(t *testing.T) {
	l, err := load([]string{"-r", "10.0.0.2"}, nil, "")
	if err != nil || !slices.Equal(l.Backends, []string{"127.0.0.1:3306"}) || !slices.Equal(l.ReadOnlyBackends, []string{"10.0.0.2"}) {
		t.Errorf("read/write %v, read-only %v, %v", l.Backends, l.ReadOnlyBackends, err)
	}
}

func TestVersionHasTheOldShape(t *testing.T) {
	t.Setenv("LUA_PATH", "/x/?.lua")
	t.Setenv("LUA_CPATH", "/x/?.so")
	var out bytes.Buffer
	writeVersion(&out, []string{"proxy"})
	var shape []string
	for line := range strings.Lines(out.String()) {
		key, _, _ := strings.Cut(strings.TrimRight(line, "\n"), ": ")
		shape = append(shape, key)
	}
	want := []string{"mysql-proxy " + version, "  chassis", "  go", "  gnet", "  LUA", "    package.path", "    package.cpath", "-- modules", "  proxy"}
	if !slices.Equal(shape, want) {
		t.Errorf("got %q, want %q", shape, want)
	}
	if !strings.Contains(out.String(), "package.path: /x/?.lua\n") {
		t.Errorf("no LUA_PATH in %q", out.String())
	}
}

// On the command line and in the defaults-file alike.
func TestWhatAScriptMayCost(t *testing.T) {
	for _, tc := range []struct {
		option, value string
		want          int64 // as the script engine is told: -1 is any
		says          string
	}{
		{"lua-hook-instructions", "0", -1, ""},
		{"lua-hook-instructions", "5000000000", 5_000_000_000, ""},
		{"lua-hook-instructions", "-1", 0, `"-1" is not a whole number from 0 up`},
		{"lua-hook-instructions", "1m", 0, `"1m" is not a whole number from 0 up`},
		{"lua-hook-instructions", "9223372036854775808", 0, "is not a whole number"},
		{"lua-hook-memory", "0", -1, ""},
		{"lua-hook-memory", "1048576", 1 << 20, ""},
		{"lua-hook-memory", "1024k", 1 << 20, ""},
		{"lua-hook-memory", "64m", 64 << 20, ""},
		{"lua-hook-memory", "2G", 2 << 30, ""},
		{"lua-hook-memory", "2 g", 2 << 30, ""},
		{"lua-hook-memory", "64", 0, `"64" is less than 1m; give more, or 0 for any size`},
		{"lua-hook-memory", "1023k", 0, "is less than 1m"},
		{"lua-hook-memory", "64mb", 0, `"64mb" is not a size; give a number of bytes, or one with k, m or g behind it, such as 64m`},
		{"lua-hook-memory", "1.5g", 0, "is not a size"},
		{"lua-hook-memory", "-1m", 0, "is not a size"},
		{"lua-hook-memory", "m", 0, "is not a size"},
		{"lua-hook-memory", "", 0, "is not a size"},
		{"lua-hook-memory", "9223372036854775807g", 0, "is not a size"},
	} {
		line, lineErr := load([]string{"--" + tc.option + "=" + tc.value}, nil, "")
		name := filepath.Join(t.TempDir(), "cnf")
		if err := os.WriteFile(name, []byte("[mysql-proxy]\n"+tc.option+" = "+tc.value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		file, fileErr := load([]string{"--defaults-file=" + name}, nil, "")
		for from, got := range map[string]struct {
			l   *loaded
			err error
		}{"the command line": {line, lineErr}, "the file": {file, fileErr}} {
			if tc.says != "" || got.err != nil {
				if got.err == nil || tc.says == "" || !strings.Contains(got.err.Error(), tc.says) {
					t.Errorf("%s = %q in %s: %v, want %q", tc.option, tc.value, from, got.err, tc.says)
				}
				continue
			}
			o := (&scripting{s: got.l.settings}).options(nil)
			told := o.Memory
			if tc.option == "lua-hook-instructions" {
				told = o.Instructions
			}
			if told != tc.want {
				t.Errorf("%s = %q in %s is taken as %d, want %d", tc.option, tc.value, from, told, tc.want)
			}
		}
	}
}

func TestScriptsCostAsTheScriptEngineHasIt(t *testing.T) {
	o := (&scripting{s: defaultSettings()}).options(nil)
	if o.Instructions != luahooks.DefaultInstructions || o.Time != luahooks.DefaultTime || o.Memory != luahooks.DefaultMemory {
		t.Errorf("the defaults are %d instructions, %v, %d bytes", o.Instructions, o.Time, o.Memory)
	}
	if o := (&scripting{s: tlsSettings(t, "--lua-hook-time=0")}).options(nil); o.Time != -1 {
		t.Errorf("0 seconds are taken as %v", o.Time)
	}
}
