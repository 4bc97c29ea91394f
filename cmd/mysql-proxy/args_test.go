package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCommandLine(t *testing.T) {
	for _, tc := range []struct {
		name string
		args string // words, separated by blanks
		ok   func(l *loaded) bool
	}{
		{"long with =", "--proxy-address=:1", func(l *loaded) bool { return slices.Equal(l.ProxyAddresses, []string{":1"}) }},
		{"long with a word", "--proxy-address :1", func(l *loaded) bool { return slices.Equal(l.ProxyAddresses, []string{":1"}) }},
		{"short with a word", "-P :1", func(l *loaded) bool { return slices.Equal(l.ProxyAddresses, []string{":1"}) }},
		{"short, glued", "-P:1", func(l *loaded) bool { return slices.Equal(l.ProxyAddresses, []string{":1"}) }},
		{"short, glued with =", "-P=:1", func(l *loaded) bool { return slices.Equal(l.ProxyAddresses, []string{":1"}) }},
		{"bundle, the last takes a word", "-Vb x:1", func(l *loaded) bool { return l.Version && slices.Equal(l.Backends, []string{"x:1"}) }},
		{"a value may begin with a dash", "--user --daemon", func(l *loaded) bool { return l.User == "--daemon" && !l.Daemon }},
		{"a value may contain =", "--lua-path=a=b", func(l *loaded) bool { return l.LuaPath == "a=b" }},
		{"flag with a value is set", "--daemon=false", func(l *loaded) bool { return l.Daemon && len(l.warnings) == 1 }},
		{"flag with 0 is set", "--daemon=0", func(l *loaded) bool { return l.Daemon && len(l.warnings) == 1 }},
		{"a flag takes no word", "--daemon --keepalive", func(l *loaded) bool { return l.Daemon && l.Keepalive }},
		{"reversed flag", "--no-proxy", func(l *loaded) bool { return !l.Proxy }},
		{"scalar twice: the last", "--user=a --user=b", func(l *loaded) bool { return l.User == "b" }},
		{"lists add up", "-b a:1 -b b:2 --proxy-backend-addresses=c:3", func(l *loaded) bool { return slices.Equal(l.Backends, []string{"a:1", "b:2", "c:3"}) }},
		{"several addresses to listen on", "-P :1 -P :2", func(l *loaded) bool { return slices.Equal(l.ProxyAddresses, []string{":1", ":2"}) }},
		{"commas do not split", "-b a,b", func(l *loaded) bool { return slices.Equal(l.Backends, []string{"a,b"}) }},
		{"commas split the plugins", "--plugins=proxy,admin", func(l *loaded) bool { return slices.Equal(l.Plugins, []string{"proxy", "admin"}) }},
		{"empty plugin is skipped", "--plugins=", func(l *loaded) bool { return slices.Equal(l.Plugins, []string{"proxy"}) }},
		{"group form", "--proxy-proxy-address=:1 --proxy-no-proxy", func(l *loaded) bool { return l.ProxyAddresses[0] == ":1" && !l.Proxy }},
		{"decimal", "--max-open-files=10", func(l *loaded) bool { return l.MaxOpenFiles == 10 }},
		{"hexadecimal", "--max-open-files=0x1b", func(l *loaded) bool { return l.MaxOpenFiles == 27 }},
		{"octal", "--max-open-files=010", func(l *loaded) bool { return l.MaxOpenFiles == 8 }},
		{"double", "--proxy-connect-timeout=0.25", func(l *loaded) bool { return l.ConnectTimeout == 250*time.Millisecond }},
		{"double with exponent", "--proxy-connect-timeout=1e3", func(l *loaded) bool { return l.ConnectTimeout == 1000*time.Second }},
		{"timeout 0 is 0", "--proxy-connect-timeout=0", func(l *loaded) bool { return l.ConnectTimeout == 0 }},
		{"negative timeout: the default", "--proxy-connect-timeout=5 --proxy-connect-timeout=-1", func(l *loaded) bool { return l.ConnectTimeout == 2*time.Second }},
		{"endless timeout", "--proxy-read-timeout=1e300", func(l *loaded) bool { return l.ReadTimeout == longestTimeout }},
		{"help", "--help", func(l *loaded) bool { return l.help == "main" }},
		{"help, short", "-h", func(l *loaded) bool { return l.help == "main" }},
		{"help, question mark", "-?", func(l *loaded) bool { return l.help == "main" }},
		{"help for all", "--help-all", func(l *loaded) bool { return l.help == "all" }},
		{"help for a plugin", "--help-proxy", func(l *loaded) bool { return l.help == "proxy" }},
		{"help for a plugin that is named later", "--help-admin --plugins=admin", func(l *loaded) bool { return l.help == "admin" }},
		{"after help, faults do not matter", "--help --nonsense", func(l *loaded) bool { return l.help == "main" }},
		{"admin options without the plugin", "--admin-address=:1 --admin-username=root", func(l *loaded) bool { return len(l.warnings) == 2 }},
		{"admin options with the plugin", "--plugins=proxy --plugins=admin --admin-address=:1", func(l *loaded) bool { return len(l.warnings) == 0 && l.AdminAddress == ":1" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, err := load(strings.Fields(tc.args), nil, "")
			if err != nil || !tc.ok(l) {
				t.Errorf("%s: %+v, help %q, warnings %q, error %v", tc.args, *l.settings, l.help, l.warnings, err)
			}
		})
	}
}

func TestCommandLineRefuses(t *testing.T) {
	for _, tc := range []struct{ args, says string }{
		{"--proxy-addr=:1", "unknown option: --proxy-addr"}, // no abbreviations
		{"--proxy-addr=:1", "did you mean --proxy-address?"},
		{"--proxy-adress=:1", "did you mean --proxy-address?"},
		{"--proxy_address=:1", "did you mean --proxy-address?"},
		{"--deamon", "did you mean --daemon?"},
		{"--hlep", "did you mean --help?"},
		{"--something-else", "unknown option: --something-else (use --help to show all options)"},
		{"-x", "unknown option: -x"},
		{"-Vx", "unknown option: -Vx"},
		{"--", "unknown option: --"},
		{"-", "unknown option: -"},
		{"foo", "unknown option: foo"},
		{"--daemon false", "unknown option: false"},
		{"-P", "missing argument for -P: give --proxy-address=ADDRESS"},
		{"--proxy-address", "missing argument for --proxy-address"},
		{"-Vb", "missing argument for -Vb"},
		{"--admin-proxy-address=:1", "unknown option"},
		{"--help-admin", "the plugin admin is not loaded"},
		{"--help-nonsense", "unknown option: --help-nonsense"},
		{"--nonsense --help", "unknown option: --nonsense"},
		{"--event-threads=0", "--event-threads: 0 is not possible"},
		{"--event-threads=-1", "--event-threads: -1 is not possible"},
		{"--event-threads=1000000", "give 1 to 1024"},
		{"--event-threads=2x", "not an integer"},
		{"--event-threads=08", "not an integer"},
		{"--event-threads=0b1", "not an integer"},
		{"--event-threads=1_0", "not an integer"},
		{"--event-threads=99999999999", "not an integer"},
		{"--event-threads=", "not an integer"},
		{"--max-open-files=-1", "negative"},
		{"--proxy-read-timeout=1,5", "not a number of seconds"},
		{"--proxy-read-timeout=long", "not a number of seconds"},
		{"--proxy-read-timeout=inf", "not a number of seconds"},
		{"--proxy-read-timeout=nan", "not a number of seconds"},
		{"--proxy-read-timeout=", "not a number of seconds"},
	} {
		_, err := load(strings.Fields(tc.args), nil, "")
		if err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v; want one line with %q", tc.args, err, tc.says)
		}
	}
}

// Property: whatever the words are, parsing ends, and an error is one line
// that a terminal can show.
func FuzzParseArgs(f *testing.F) {
	for _, s := range []string{"-Vb\x00x:1", "--proxy-address=:1", "--daemon=\x00--\x00foo", "--help-x", "-Px\x00-s", "--event-threads=0x", "--=", "-\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		args := strings.Split(s, "\x00")
		p, err := parseArgs(args, defaultSettings())
		if p == nil {
			t.Fatal("no result")
		}
		if err == nil {
			return
		}
		for _, r := range err.Error() {
			if r < ' ' || r == 0x7f {
				t.Fatalf("%q: the error is %q", args, err)
			}
		}
		if p.help != "" {
			t.Fatalf("%q: help and an error: %v", args, err)
		}
	})
}
