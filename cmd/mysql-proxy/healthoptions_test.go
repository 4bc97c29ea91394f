package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mysqlproxy/engine"
)

func TestHealthOptionsThatDoNotGoTogether(t *testing.T) {
	for _, tc := range []struct{ args, want string }{
		{"", ""},
		{"--health-user=u", ""},
		{"--health-user=u --health-password=p", ""},
		{"--health-user=u --health-password-file=/p", ""},
		{"--max-replica-lag=0", ""},
		{"-r 10.0.0.2 -r /run/r.sock --read-weights=10.0.0.2:3306=2 --read-weights=/run/r.sock=1000", ""},
		{"--roles=auto --health-user=u", ""},
		{"--roles=auto", "needs --health-user"},
		{"--roles=auto --health-user=u -s /x.lua", "without a script"},
		{"--roles=both", "give static or auto"},
		{"--health-password=p", "needs --health-user"},
		{"--health-password-file=/p", "needs --health-user"},
		{"--health-user=u --health-password=p --health-password-file=/p", "give one"},
		{"--health-interval=0", "--health-interval is less than 0.05 seconds"},
		{"--health-timeout=0.01", "--health-timeout is less than 0.05 seconds"},
		{"-r 10.0.0.2 --read-weights=10.0.0.2", "has no weight"},
		{"-r 10.0.0.2 --read-weights=10.0.0.2=0", "from 1 to 1000"},
		{"-r 10.0.0.2 --read-weights=10.0.0.2=1001", "from 1 to 1000"},
		{"-r 10.0.0.2 --read-weights=10.0.0.2=x", "from 1 to 1000"},
		{"-r 10.0.0.2 --read-weights=10.0.0.2:x=1", "--read-weights"},
		{"-r 10.0.0.2 --read-weights=10.0.0.3=2", "none of the read-only servers"},
		{"-b 10.0.0.2 --read-weights=10.0.0.2=2", "none of the read-only servers"},
		{"-r 10.0.0.2 --read-weights=10.0.0.2=2 --read-weights=10.0.0.2=3", "there twice"},
	} {
		l, err := load(strings.Fields(tc.args), nil, "")
		if err != nil {
			t.Fatal(err)
		}
		err = l.check()
		if (tc.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.args, err, tc.want)
		}
	}
	for _, args := range []string{"--health-rise=0", "--health-fall=0", "--health-fall=1001"} {
		if _, err := load([]string{args}, nil, ""); err == nil || !strings.Contains(err.Error(), "is not possible") {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// The settings as the engine has them.
func TestHealthOfTheEngine(t *testing.T) {
	name := filepath.Join(t.TempDir(), "password")
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	write("in the file\nanother line\n", 0o600)
	t.Setenv(healthPasswordVariable, "in the environment")
	_, log := newLogLines()
	config := func(args ...string) (engine.Config, error) {
		return engineConfig(tlsSettings(t, append([]string{"-b", "127.0.0.1:1", "-P", "127.0.0.1:0", "--auth=passthrough"}, args...)...), log, nil)
	}
	for _, tc := range []struct {
		args     string
		password string
		lag      time.Duration
	}{
		{"--health-user=u", "in the environment", 0},
		{"--health-user=u -r 127.0.0.1:2", "in the environment", 10 * time.Second},
		{"--health-user=u -r 127.0.0.1:2 --max-replica-lag=0", "in the environment", 0},
		{"--health-user=u -r 127.0.0.1:2 --splitting=off", "in the environment", 0},
		{"--health-user=u --health-password=given", "given", 0},
		{"--health-user=u --health-password-file=" + name, "in the file", 0},
	} {
		c, err := config(strings.Fields(tc.args)...)
		if err != nil {
			t.Fatal(err)
		}
		h := c.Health
		if h == nil || h.User != "u" || h.MaxLag != tc.lag || h.Interval != 500*time.Millisecond || h.Timeout != time.Second || h.Rise != 1 || h.Fall != 2 {
			t.Errorf("%s: %+v", tc.args, h)
			continue
		}
		if got, err := h.Password(); got != tc.password || err != nil {
			t.Errorf("%s: password %q, %v; want %q", tc.args, got, err, tc.password)
		}
	}
	c, err := config("--health-user=u", "--health-password-file="+name)
	if err != nil {
		t.Fatal(err)
	}
	write("another\n", 0o640)
	if got, err := c.Health.Password(); got != "another" || err != nil {
		t.Errorf("after a change: %q, %v", got, err)
	}
	write("another\n", 0o644)
	if _, err := c.Health.Password(); err == nil || !strings.Contains(err.Error(), "gives access to everybody") {
		t.Errorf("a password that everybody may read: %v", err)
	}
	if _, err := config("--health-user=u", "--health-password-file="+name); err == nil {
		t.Error("the proxy starts with a password that everybody may read")
	}
	if c, err := config(); err != nil || c.Health != nil {
		t.Errorf("without --health-user: %v, %v", c.Health, err)
	}
	c, err = config("--health-user=u", "--roles=auto", "-b", "127.0.0.1:2")
	if err != nil || !c.Health.Roles || !c.Split || c.Health.MaxLag == 0 {
		t.Errorf("two servers whose roles are asked for: %+v, split %v, %v", c.Health, c.Split, err)
	}
	c, err = config("-r", "127.0.0.1:2", "-r", "127.0.0.1:3", "--read-weights=127.0.0.1:3=7")
	if err != nil {
		t.Fatal(err)
	}
	if got := [3]int{c.Backends[0].Weight, c.Backends[1].Weight, c.Backends[2].Weight}; got != [3]int{0, 0, 7} {
		t.Errorf("weights %v", got)
	}
}
