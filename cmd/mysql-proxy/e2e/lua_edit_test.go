package e2e

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What clients get first whose script does not load, or whose main chunk fails.
const (
	failedToLoad    = "\x44\x00\x00\x00\xff\x51\x04#07000MySQL Proxy Lua script failed to load. Check the error log."
	failedToExecute = "\x47\x00\x00\x00\xff\x51\x04#07000MySQL Proxy Lua script failed to execute. Check the error log."
)

// A script that is edited while it runs is for new clients; those who are there
// keep what they have, and nobody is cut off.
func TestLuaScriptIsEditedUnderLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "version.lua")
	writeScript(t, path, luaText(t, "version.lua"))
	p := startProxy(t, []string{bed.Primary.Addr}, "--proxy-lua-script="+path, patientHooks)

	// The load: sessions that stay, and clients that come and go.
	var stop, broken atomic.Bool
	var asked atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		s := openSession(t, p.addr)
		s.mustAsk("SELECT version", "one")
		wg.Go(func() {
			for !stop.Load() {
				for _, q := range [][2]string{{"SELECT version", "one"}, {"SELECT 1", "1"}} {
					if got := s.ask(q[0]); got != q[1] {
						t.Errorf("a session from before the edit: %s got %q, want %q", q[0], got, q[1])
						return
					}
				}
				asked.Add(2)
			}
		})
	}
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				before := broken.Load()
				s, err := trySession(t, p.addr, bed.Users.App)
				if err != nil {
					if !before && !broken.Load() {
						t.Errorf("login: %v", err)
						return
					}
					continue
				}
				first := s.ask("SELECT version")
				if got := s.ask("SELECT 1"); got != "1" || !strings.Contains("one two three", first) {
					t.Errorf("a new session: version %q, SELECT 1 is %q", first, got)
					return
				}
				if again := s.ask("SELECT version"); again != first {
					t.Errorf("a session ran with version %q, and then with %q", first, again)
				}
				s.nc.Close()
			}
		})
	}
	newSession := func(want string) {
		t.Helper()
		s := openSession(t, p.addr)
		s.mustAsk("SELECT version", want)
		s.nc.Close()
	}
	loaded := func() {
		t.Helper()
		n := asked.Load()
		eventually(t, patience, "the load goes on", func() bool { return t.Failed() || asked.Load() > n+100 })
	}

	loaded()
	writeScript(t, path, luaText(t, "version.lua", `"one"`, `"two"`))
	newSession("two")
	loaded()
	broken.Store(true)
	writeScript(t, path, luaText(t, "version.lua", `"one"`, `"two"`, "if packet:find", "if if packet:find"))
	for range 3 {
		mustReadAll(t, p.addr, failedToLoad)
	}
	loaded()
	p.mustLog(t, `\(critical\) .*version\.lua.*:15: `)
	writeScript(t, path, luaText(t, "version.lua", `"one"`, `"three" .. nil`))
	mustReadAll(t, p.addr, failedToExecute)
	p.mustLog(t, `\(critical\) .*version\.lua.*:3: attempt to concatenate a nil value`)
	loaded()
	writeScript(t, path, luaText(t, "version.lua", `"one"`, `"three"`))
	newSession("three")
	broken.Store(false)
	loaded()
	stop.Store(true)
	wg.Wait()
}

// mustReadAll reads what a new client gets before it says anything, to the
// connection's end.
func mustReadAll(t *testing.T, addr, want string) {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	if got, err := io.ReadAll(nc); string(got) != want || err != nil {
		t.Errorf("a client got %q, %v; want %q", got, err, want)
	}
}

// A hook that does not come back is stopped: its session goes on as if the hook
// had failed, and so do all others.
func TestLuaHookThatNeverEnds(t *testing.T) {
	p := startLua(t, "version.lua", []string{bed.Primary.Addr}, "--lua-hook-time=1")
	spinning, other := openSession(t, p.addr), openSession(t, p.addr)
	for range 2 {
		spinning.start("SELECT 'SPIN'")
		for range 20 { // in its time, or once the lock is free
			other.mustAsk("SELECT 1", "1")
		}
		if got := spinning.answer(); got != "SPIN" { // forwarded, as there is no decision
			t.Fatalf("the statement whose hook was stopped: got %q, want the server's answer", got)
		}
		spinning.mustAsk("SELECT version", "one")
		openSession(t, p.addr).mustAsk("SELECT version", "one")
	}
	// Once: a line that repeats the last one is counted only.
	p.mustLog(t, `\(critical\) .*\(read_query\) \[string ".*"\]:16: `)
}
