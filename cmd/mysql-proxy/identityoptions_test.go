package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mysqlproxy/engine"
	"mysqlproxy/packet"
)

func TestUsersFileIsRead(t *testing.T) {
	hash := packet.NativeHash([]byte("secret"))
	const digits = "14E65567ABDB5135D0CFD9A70B3032C179A49EE7" // of "secret", as servers store it
	for _, tc := range []struct {
		name, text string
		want       map[string]engine.UserSecret
		err        string
	}{
		{"nothing", "", map[string]engine.UserSecret{}, ""},
		{"comments and empty lines", "# users\n\n   \nann:a\n", map[string]engine.UserSecret{"ann": {Password: []byte("a")}}, ""},
		{"colons and blanks in a password", "ann: a:b \n", map[string]engine.UserSecret{"ann": {Password: []byte(" a:b ")}}, ""},
		{"no password", "ann:\n:nobody\n", map[string]engine.UserSecret{"ann": {Password: []byte{}}, "": {Password: []byte("nobody")}}, ""},
		{"a hash", "ann:*" + digits + "\nbob:*" + strings.ToLower(digits), map[string]engine.UserSecret{"ann": {Hash: hash, Hashed: true}, "bob": {Hash: hash, Hashed: true}}, ""},
		{"what only looks like one", "ann:*" + digits[1:] + "\nbob:*" + digits[1:] + "x\n", map[string]engine.UserSecret{"ann": {Password: []byte("*" + digits[1:])}, "bob": {Password: []byte("*" + digits[1:] + "x")}}, ""},
		{"lines of Windows", "\xef\xbb\xbfann:a\r\n", map[string]engine.UserSecret{"ann": {Password: []byte("a")}}, ""},
		{"no colon", "ann:a\nhidden\n", nil, "line 2: there is no colon"},
		{"twice", "ann:a\nann:b\n", nil, "line 2: the user ann is there twice"},
	} {
		got, err := parseUsers([]byte(tc.text))
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) || strings.Contains(err.Error(), "hidden") {
				t.Errorf("%s: %v, want %q", tc.name, err, tc.err)
			}
			continue
		}
		if err != nil || len(got) != len(tc.want) {
			t.Errorf("%s: %v, %v; want %v", tc.name, got, err, tc.want)
		}
		for user, want := range tc.want {
			if s := got[user]; string(s.Password) != string(want.Password) || s.Hash != want.Hash || s.Hashed != want.Hashed {
				t.Errorf("%s: %s has %+v, want %+v", tc.name, user, s, want)
			}
		}
	}
}

// The file is refused where everybody may read it, and read again when it
// changes.
func TestUsersFileThatChanges(t *testing.T) {
	name := filepath.Join(t.TempDir(), "users")
	write := func(text string, mode os.FileMode) {
		whole := name + ".new" // for others look at any time
		if err := errors.Join(os.WriteFile(whole, []byte(text), 0o600), os.Chmod(whole, mode), os.Rename(whole, name)); err != nil {
			t.Fatal(err)
		}
	}
	logged, log := newLogLines()
	s := tlsSettings(t, "--users-file="+name)
	if _, err := openUsers(s, log); err == nil {
		t.Error("a file that is not there is read")
	}
	write("ann:a\n", 0o644)
	if _, err := openUsers(s, log); err == nil || !strings.Contains(err.Error(), "gives access to everybody") {
		t.Errorf("with mode 644: %v", err)
	}
	write("ann:a\n", 0o640)
	u, err := openUsers(s, log)
	if err != nil {
		t.Fatal(err)
	}
	u.file.pause = 0
	has := func(password string) {
		t.Helper()
		for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			u.due.last.Store(0)
			got, ok := u.lookup("ann")
			if ok && string(got.Password) == password {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("ann has %q, %v; want %q", got.Password, ok, password)
			}
		}
	}
	has("a")
	write("ann:b\n", 0o640)
	has("b")
	write("ann:c\n", 0o644) // of no use: what was read stays
	for end := time.Now().Add(time.Minute); logged.count("gives access to everybody", "stays in use") == 0; time.Sleep(time.Millisecond) {
		u.due.last.Store(0)
		if got, _ := u.lookup("ann"); string(got.Password) != "b" || time.Now().After(end) {
			t.Fatalf("ann has %q; the log says nothing of the mode", got.Password)
		}
	}
	if _, ok := u.lookup("bob"); ok {
		t.Error("bob is there")
	}
}

func TestIdentityOptionsThatDoNotGoTogether(t *testing.T) {
	for _, tc := range []struct{ args, want string }{
		{"", ""},
		{"--auth=auto", ""},
		{"--auth=passthrough", ""},
		{"-r 10.0.0.2 --auth=relay", ""},
		{"-r 10.0.0.2 --auth=users-file --users-file=/f", ""},
		{"-r 10.0.0.2 --users-file=/f --auth-sync-user=u --auth-sync-password-file=/p", ""},
		{"-r 10.0.0.2 --auth=sync --auth-sync-user=u --auth-sync-password-file=/p", ""},
		{"--auth=relay", "of use only where reads are split"},
		{"-r 10.0.0.2 --auth=relay --splitting=off", "of use only where reads are split"},
		{"-r 10.0.0.2 --auth=relay -s /x.lua", ""},
		{"--auth=users-file --users-file=/f -s /x.lua", ""},
		{"--auth=users-file -s /x.lua", "needs --users-file"},
		{"-r 10.0.0.2 --auth=users-file", "needs --users-file"},
		{"-r 10.0.0.2 --auth=relay --users-file=/f", "--users-file has no use with --auth=relay"},
		{"-r 10.0.0.2 --auth-sync-user=u", "go together"},
		{"-r 10.0.0.2 --auth-sync-password-file=/p", "go together"},
		{"-r 10.0.0.2 --auth=sync", "needs --auth-sync-user"},
		{"--auth=passthrough --auth-sync-user=u --auth-sync-password-file=/p", "has no use with --auth=passthrough"},
		{"--auth=token", "is unknown; give auto, relay, users-file, sync or passthrough"},
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
}

// The settings as the engine has them.
func TestIdentitiesOfTheEngine(t *testing.T) {
	dir := t.TempDir()
	users, password, script := filepath.Join(dir, "users"), filepath.Join(dir, "password"), filepath.Join(dir, "x.lua")
	for _, name := range []string{users, password, script} {
		if err := os.WriteFile(name, []byte("ann:a\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		args          []string
		want          engine.AuthMode
		users, hashes bool
	}{
		{nil, engine.AuthPassthrough, false, false}, // nothing is split
		{[]string{"-r", "127.0.0.1:2"}, engine.AuthAuto, false, false},
		{[]string{"-s", script}, engine.AuthPassthrough, false, false},
		{[]string{"-s", script, "--auth=passthrough"}, engine.AuthPassthrough, false, false},
		{[]string{"-s", script, "--auth=relay"}, engine.AuthRelay, false, false},
		{[]string{"-s", script, "--users-file=" + users}, engine.AuthAuto, true, false},
		{[]string{"-s", script, "--auth-sync-user=u", "--auth-sync-password-file=" + password}, engine.AuthAuto, false, true},
		{[]string{"-r", "127.0.0.1:2", "--auth=relay"}, engine.AuthRelay, false, false},
		{[]string{"-r", "127.0.0.1:2", "--auth=users-file", "--users-file=" + users}, engine.AuthUsersFile, true, false},
		{[]string{"-r", "127.0.0.1:2", "--auth=sync", "--auth-sync-user=u", "--auth-sync-password-file=" + password}, engine.AuthSync, false, true},
	} {
		logged, log := newLogLines()
		args := append([]string{"-b", "127.0.0.1:1", "-P", "127.0.0.1:0"}, tc.args...)
		c, err := engineConfig(tlsSettings(t, args...), log, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.Auth != tc.want || (c.Users != nil) != tc.users || (c.Hashes != nil) != tc.hashes || c.PasswordKey == nil {
			t.Errorf("%q: mode %d, users %v, hashes %v", tc.args, c.Auth, c.Users != nil, c.Hashes != nil)
		}
		if !tc.hashes {
			continue
		}
		if got := c.Hashes("ann"); got != nil {
			t.Errorf("hashes of nobody: %v", got)
		}
		for end := time.Now().Add(time.Minute); logged.count("cannot read the hashes", "127.0.0.1:1", "refused") == 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the log does not say that nobody answers")
			}
		}
	}
	if err := os.Chmod(password, 0o644); err != nil {
		t.Fatal(err)
	}
	s := tlsSettings(t, "-r", "127.0.0.1:2", "--auth=sync", "--auth-sync-user=u", "--auth-sync-password-file="+password)
	if err := checkSecurity(s); err == nil || !strings.Contains(err.Error(), "gives access to everybody") {
		t.Errorf("a password that everybody may read: %v", err)
	}
}
