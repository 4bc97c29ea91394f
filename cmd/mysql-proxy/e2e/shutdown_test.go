package e2e

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// What is under way at a SIGTERM is finished, what is idle is closed at once,
// and nobody new is let in.
func TestGracefulStop(t *testing.T) {
	p := startProxy(t, []string{bed.Primary.Addr}, "--shutdown-timeout=600") // all waits here end long before that: at once means not then
	mustExec(t, "DROP DATABASE IF EXISTS e2e_stop", "CREATE DATABASE e2e_stop", "CREATE TABLE e2e_stop.t (a INT)")
	idle, trx, running := openSession(t, p.addr), openSession(t, p.addr), openSession(t, p.addr)
	half, err := net.Dial("tcp", p.addr) // never logs in
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	trx.mustAsk("BEGIN", "OK")
	trx.mustAsk("INSERT INTO e2e_stop.t VALUES (1)", "OK")
	release := running.waitsForLock()

	if err := syscall.Kill(p.pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := idle.farewell(); got != "closed" && got != "ERR 1053, closed" {
		t.Errorf("the idle session got %q, want to be closed at once", got)
	}
	eventually(t, patience, "connects are refused", func() bool {
		nc, err := net.Dial("tcp", p.addr)
		if err == nil {
			nc.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	trx.mustAsk("INSERT INTO e2e_stop.t VALUES (2)", "OK")
	release()
	if got := running.answer(); got != "1" {
		t.Errorf("the running statement got %q, want the lock it waited for", got)
	}
	trx.mustAsk("COMMIT", "OK")
	for name, s := range map[string]*session{"after its COMMIT the transaction's session": trx, "after its answer the running session": running} {
		if got := s.farewell(); got != "closed" && got != "ERR 1053, closed" {
			t.Errorf("%s got %q, want to be closed", name, got)
		}
	}
	p.waitGone(t, patience)
	if got := openSession(t, bed.Primary.Addr).ask("SELECT SUM(a) FROM e2e_stop.t"); got != "3" {
		t.Errorf("the transaction left %s, want 3", got)
	}
}

// After --shutdown-timeout the rest is told and closed.
func TestStopAfterItsTimeout(t *testing.T) {
	p := startProxy(t, []string{bed.Primary.Addr}, "--shutdown-timeout=1")
	mustExec(t, "DROP DATABASE IF EXISTS e2e_stop", "CREATE DATABASE e2e_stop", "CREATE TABLE e2e_stop.t (a INT)")
	trx, running, flowing := openSession(t, p.addr), openSession(t, p.addr), openSession(t, p.addr)
	trx.mustAsk("BEGIN", "OK")
	trx.mustAsk("INSERT INTO e2e_stop.t VALUES (1)", "OK")
	running.waitsForLock()
	flowing.start("SELECT REPEAT('x', 1048576) FROM seq_1_to_1000") // nobody reads it
	if err := syscall.Kill(p.pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*session{"the open transaction": trx, "the running statement": running} {
		if got := s.farewell(); got != "ERR 1053, closed" {
			t.Errorf("%s got %q, want ERR 1053 and a close", name, got)
		}
	}
	p.waitGone(t, patience)
	if got := openSession(t, bed.Primary.Addr).ask("SELECT COUNT(*) FROM e2e_stop.t"); got != "0" {
		t.Errorf("the transaction left %s rows, want none", got)
	}
}

// waitsForLock has the session run a statement that waits at the primary for a lock
// until release is called, or the test ends.
func (s *session) waitsForLock() (release func()) {
	s.t.Helper()
	holder := openSession(s.t, bed.Primary.Addr)
	name := "e2e_stop_" + holder.ask("SELECT CONNECTION_ID()") // nobody else's, however late that ends
	holder.mustAsk("SELECT GET_LOCK('"+name+"', 0)", "1")
	s.start("SELECT GET_LOCK('" + name + "', 600)")
	eventually(s.t, patience, "the statement runs", func() bool {
		return holder.ask("SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User lock' AND info LIKE '%"+name+"%'") == "1"
	})
	return func() { holder.mustAsk("SELECT RELEASE_LOCK('"+name+"')", "1") }
}
