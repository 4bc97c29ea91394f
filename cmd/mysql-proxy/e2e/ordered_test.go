package e2e

import (
	"testing"
	"time"
)

// --failover=ordered: A, then B while A is down, then A again.
func TestOrderedFailover(t *testing.T) {
	ownTestbed(t, "--replicas=1")
	options := readyForProbes(t)
	createLedger(t)
	a, b := bed.Primary, bed.Replicas[0]
	eventually(t, patience, "B has the table", func() bool { return hasLedger(t, b) })
	replicate(t, b, "STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = 0") // two servers that know nothing of each other
	defer func() { bed.Replicas = nil }()
	p := startProxy(t, []string{a.Addr, b.Addr}, append(options, "--failover=ordered", "--failover-wait=300", patientProbes, patientConnects, usersFile(t))...)
	l := startLedger(t, p.addr)
	l.goesOn(time.Now())
	idle, pinned := openSession(t, p.addr), openSession(t, p.addr)
	idle.mustAsk("SELECT @@server_id", "1")
	pinned.mustAsk("SELECT @a := 1", "1")
	if n := len(ledgerOf(t, b)); n != 0 {
		t.Errorf("%d writes are at B while A is up", n)
	}
	since := p.logEnd()
	bed.control(t, "kill "+a.Name)
	p.told(t, since, "is down", a.Addr)
	l.goesOn(time.Now())
	idle.mustAsk("SELECT @@server_id", "2")
	if got := pinned.ask("SELECT @a"); got != "ERR 2013" && got != "closed" && got != "ERR 2013, closed" {
		t.Errorf("a session with state of A's hears %q, want ERR 2013 or a close", got)
	}
	open := openSession(t, p.addr)
	open.mustAsk("BEGIN", "OK")
	open.mustAsk("SELECT @@server_id", "2")

	since = p.logEnd()
	bed.control(t, "start "+a.Name)
	p.told(t, since, "backend is up", a.Addr)
	goesTo(t, idle, "1")
	open.mustAsk("SELECT @@server_id", "2") // it is in a transaction
	open.mustAsk("COMMIT", "OK")
	goesTo(t, open, "1")
	var atB int
	eventually(t, patience, "B gets no writes any more", func() bool {
		before := atB
		atB = len(ledgerOf(t, b))
		l.goesOn(time.Now())
		return atB == before && atB == len(ledgerOf(t, b))
	})
	l.end()
	l.check(a, b)
}

// goesTo waits until a session's statements run at the server with this id: the log may
// tell of a change before its event loop has heard of it.
func goesTo(t *testing.T, s *session, id string) {
	t.Helper()
	eventually(t, patience, "the session goes to server "+id, func() bool {
		got := s.ask("SELECT @@server_id")
		if got != "1" && got != "2" {
			t.Fatalf("a session that is to go to server %s hears %q", id, got)
		}
		return got == id
	})
}
