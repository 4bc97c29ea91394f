package e2e

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"
)

// What is under way at a SIGTERM is finished, what is idle is closed at once,
// and nobody new is let in.
func TestGracefulStop(t *testing.T) {
	p := startProxy(t, []string{bed.Primary.Addr}, "--shutdown-timeout=25")
	mustExec(t, "DROP DATABASE IF EXISTS e2e_stop", "CREATE DATABASE e2e_stop", "CREATE TABLE e2e_stop.t (a INT)")
	idle, trx, running := openSession(t, p.addr), openSession(t, p.addr), openSession(t, p.addr)
	half, err := net.Dial("tcp", p.addr) // never logs in
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	trx.mustAsk("BEGIN", "OK")
	trx.mustAsk("INSERT INTO e2e_stop.t VALUES (1)", "OK")
	running.start("SELECT SLEEP(2)")
	waitForSleep(t, bed.Primary.Addr, 1)

	if err := syscall.Kill(p.pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	// All waits here end long before the 25 seconds: at once means not then.
	idle.timeout = 10 * time.Second
	if got := idle.farewell(); got != "closed" && got != "ERR 1053, closed" {
		t.Errorf("the idle session got %q, want to be closed at once", got)
	}
	eventually(t, 5*time.Second, "connects are refused", func() bool {
		nc, err := net.Dial("tcp", p.addr)
		if err == nil {
			nc.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	trx.mustAsk("INSERT INTO e2e_stop.t VALUES (2)", "OK")
	if got := running.answer(); got != "0" {
		t.Errorf("the running SELECT SLEEP(2) got %q, want its 0", got)
	}
	trx.mustAsk("COMMIT", "OK")
	for name, s := range map[string]*session{"after its COMMIT the transaction's session": trx, "after its answer the running session": running} {
		s.timeout = 10 * time.Second
		if got := s.farewell(); got != "closed" && got != "ERR 1053, closed" {
			t.Errorf("%s got %q, want to be closed", name, got)
		}
	}
	p.waitGone(t, 10*time.Second)
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
	running.start("SELECT SLEEP(60)")
	waitForSleep(t, bed.Primary.Addr, 1)
	flowing.start("SELECT REPEAT('x', 1048576) FROM seq_1_to_1000") // nobody reads it
	if err := syscall.Kill(p.pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*session{"the open transaction": trx, "the running statement": running} {
		s.timeout = 15 * time.Second
		if got := s.farewell(); got != "ERR 1053, closed" {
			t.Errorf("%s got %q, want ERR 1053 and a close", name, got)
		}
	}
	p.waitGone(t, 20*time.Second)
	if got := openSession(t, bed.Primary.Addr).ask("SELECT COUNT(*) FROM e2e_stop.t"); got != "0" {
		t.Errorf("the transaction left %s rows, want none", got)
	}
}
