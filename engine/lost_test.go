package engine

import (
	"context"
	"fmt"
	"testing"
	"time"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

// A server that is silent: who waits for it hears of it once probes know.
func TestSilentPrimary(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Config)
		caps   packet.Capability
	}{
		{"plain sessions", func(*Config) {}, ModernCaps},
		{"splitting ones", identified, ModernCaps},
		{"those of a script", with(&hooks{query: passQuery}), ModernCaps &^ classicOnly},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t).inTime()
			a, aAddr := w.simple("A")
			patients := w.failing(func(c *Config) { tc.change(c); c.Health.Timeout = 100 * time.Millisecond }, aAddr)
			writes, idle := w.clientNow("writes", Enter(tc.caps)), w.clientNow("idle", Enter(tc.caps), asks("SET @a = 1", ExpectPacket(1, OK(0))))
			a.hangs.Store(true)
			if err := writes.Run(SendPacket(0, Query("INSERT INTO t VALUES (1)"))); err != nil {
				t.Fatal(err)
			}
			patients[0].is(table{}, context.DeadlineExceeded)
			if err := writes.Run(ExpectERR(1, 2013, "HY000", lostText), ExpectEnd()); err != nil {
				t.Error(err)
			}
			// A session that is idle is left, as it may go on; its next command is not.
			if err := idle.Run(asks("INSERT INTO t VALUES (1)", ExpectERR(1, 2013, "HY000", lostText), ExpectEnd())); err != nil {
				t.Error(err)
			}
		})
	}
}

// A read of which nothing has come when its primary dies, or hangs, is asked again
// at the next one; a write is not, nor is one in a transaction.
func TestReadsAtAPrimaryThatDies(t *testing.T) {
	for _, tc := range []struct {
		name   string
		before []Step
		sql    string
		tells  []Step
	}{
		{"a read", steps(who("A")), "SELECT 'who', 'slow' FROM t", steps(sees("B"), who("B"))},
		{"a read behind a write", steps(writeOK), "SELECT 'who', 'slow' FROM t", steps(sees("B"), who("B"))},
		{"a read in a transaction", steps(beginOK), "SELECT 'who', 'slow' FROM t", steps(ExpectERR(1, 2013, "HY000", lostText), ExpectEnd())},
		{"a read with state", steps(asks("SET @a = 1", ExpectPacket(1, OK(0)))), "SELECT 'who', 'slow' FROM t", steps(ExpectERR(1, 2013, "HY000", lostText), ExpectEnd())},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			a, b := &simple{name: "A", slow: make(chan struct{})}, &simple{name: "B"}
			cfg := w.config(w.serverOf(a.serve).Addr(), w.serverOf(b.serve).Addr())
			ordered(&cfg)
			w.start(cfg)
			c := w.clientNow("client", append(steps(Enter(ModernCaps)), tc.before...)...)
			if err := c.Run(SendPacket(0, Query(tc.sql))); err != nil {
				t.Fatal(err)
			}
			a.slow <- struct{}{} // it has the read
			w.proxy.Backends()[0].fail(w.proxy, noAnswer)
			w.proxy.Backends()[0].since.Add(3600) // it is not tried again, however long this takes
			close(a.slow)
			if err := c.Run(tc.tells...); err != nil {
				t.Error(err)
			}
		})
	}
}

// A primary dies while replicas live: reads go on, in the middle of one too, and a
// write waits for the next primary.
func TestReadsGoOnWithoutAPrimary(t *testing.T) {
	w := newWorld(t)
	a, b := &simple{name: "A"}, &simple{name: "B", slow: make(chan struct{})}
	patients := w.failing(func(c *Config) { identified(c); c.Backends[1].ReadOnly, c.FailoverWait = true, time.Hour }, w.serverOf(a.serve).Addr(), w.serverOf(b.serve).Addr())
	reads, runs, writes := w.clientNow("reads", Enter(ModernCaps), who("B")), w.clientNow("in a read", Enter(ModernCaps), who("B")), w.clientNow("writes", Enter(ModernCaps), who("B"))
	fresh := w.clientNow("has not read", Enter(ModernCaps), asks("COMMIT", ExpectPacket(1, OK(0))))
	if err := runs.Run(SendPacket(0, Query("SELECT 'who', 'slow' FROM t"))); err != nil {
		t.Fatal(err)
	}
	b.slow <- struct{}{}
	patients[0].is(table{}, noAnswer)
	w.becomes(0, HealthDown)
	a.dies()
	eventually(t, "A's sessions are over", func() error {
		if n := a.sessions.Load(); n != 0 {
			return fmt.Errorf("%d are there", n)
		}
		return nil
	})
	for _, c := range []*Conn{reads, fresh, reads} {
		if err := c.Run(who("B")); err != nil {
			t.Error(err)
		}
	}
	close(b.slow) // B's session ends over the read: no primary is there to ask
	w.waiting(1)
	if err := writes.Run(SendPacket(0, Query("INSERT INTO t VALUES (1)"))); err != nil {
		t.Fatal(err)
	}
	w.waiting(2)
	if err := reads.Run(who("B")); err != nil {
		t.Error(err)
	}
	patients[0].is(table{}, nil)
	if err := writes.Run(ExpectPacket(1, OK(0)), who("B")); err != nil {
		t.Error(err)
	}
	if err := runs.Run(sees("A"), who("B")); err != nil {
		t.Error(err)
	}
	if err := reads.Run(writeOK, who("B")); err != nil {
		t.Error(err)
	}
}
