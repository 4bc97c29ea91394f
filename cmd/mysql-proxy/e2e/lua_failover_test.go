package e2e

import (
	"path/filepath"
	"testing"
	"time"
)

// A script of old times that adds a number to a text, which is an error, before
// it chooses: each call fails and is logged, and clients get on by what the proxy
// does without a script. Mended, it does what it was meant to.
func TestLuaOldFailoverScript(t *testing.T) {
	a, b := bed.Primary, bed.Replicas[0]
	mended := filepath.Join(t.TempDir(), "mended.lua")
	writeScript(t, mended, luaText(t, "failover_old.lua", `"s.state:" +`, `"s.state:" ..`))
	faulty := startLua(t, "failover_old.lua", []string{a.Addr, b.Addr})
	proxies := map[string]*proxy{
		"as it was": faulty,
		"mended":    startProxy(t, []string{a.Addr, b.Addr}, "--proxy-lua-script="+mended, patientHooks),
	}
	files := map[*proxy]int{}
	for _, p := range proxies {
		files[p] = p.openFiles(t)
	}
	reach := func(phase, id string) {
		t.Helper()
		for name, p := range proxies {
			for range 3 {
				s := openSession(t, p.addr)
				if got := s.ask("SELECT @@server_id"); got != id {
					t.Errorf("%s, %s: a client reached server %q, want %s", name, phase, got, id)
				}
				s.nc.Close()
				settled(t, p, files[p]) // without the script the number of clients decides
			}
		}
	}
	reach("both up", "1")
	staying := openSession(t, proxies["mended"].addr)
	bed.control(t, "kill "+a.Name)
	if got := staying.ask("SELECT 1"); got == "1" {
		t.Errorf("a session outlived its server: %q", got)
	}
	reach("the first one killed", "2")
	connectedToB := openSession(t, proxies["mended"].addr)
	connectedToB.mustAsk("SELECT @@server_id", "2")

	bed.control(t, "start "+a.Name)
	eventually(t, patience, "clients reach the server that came back", func() bool {
		for _, p := range proxies {
			s := openSession(t, p.addr)
			id := s.ask("SELECT @@server_id")
			s.nc.Close()
			if id != "1" {
				time.Sleep(200 * time.Millisecond)
				return false
			}
		}
		return true
	})
	connectedToB.mustAsk("SELECT @@server_id", "2")
	connectedToB.nc.Close()
	for _, p := range proxies {
		settled(t, p, files[p])
	}
	reach("back", "1")

	for hook, line := range map[string]string{"connect_server": "4", "read_query": "16"} {
		pattern := `\(critical\) .*\(` + hook + `\) \[string ".*"\]:` + line + `: attempt to perform arithmetic on a string value`
		// One for each call: at least a login and a statement for each client above.
		if n := faulty.logLines(pattern); n < 10 {
			t.Errorf("the faulty script's log has %d lines like %s, want one for each call", n, pattern)
		}
	}
	if n := faulty.logLines("^connecting to"); n != 0 {
		t.Errorf("the faulty script printed %d lines behind its error", n)
	}
	if n := proxies["mended"].logLines("^connecting to 2"); n == 0 {
		t.Error("the mended script did not print that it connects to the second server")
	}
	if n := proxies["mended"].logLines("attempt to"); n != 0 {
		t.Errorf("the mended script's log has %d lines on errors", n)
	}
}
