package e2e

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"mysqlproxy/engine/enginetest"
)

// allDown is the packet that a client gets when no backend is left: an ERR in
// the form before the login, without an SQLSTATE, with sequence id 0.
const allDown = "\x20\x00\x00\x00\xff\x51\x04(proxy) all backends are down"

func TestFailover(t *testing.T) { onEveryKind(t, testFailover) }

func testFailover(t *testing.T) {
	if relayOnly {
		t.Fatal("a relay cannot fail over")
	}
	first, second := bed.Primary, bed.Replicas[0]
	p, addr := startAdmin(t, []string{first.Addr, second.Addr})
	admin := openDB(t, addr, adminUser, "", "")
	clients := func(s server) string {
		t.Helper()
		return oneRow(t, admin, "SHOW BACKENDS LIKE '"+s.Addr+"'")["clients"]
	}

	// Least connected: they alternate.
	var on [3][]*session // by server id
	var order []string
	for range 8 {
		s := openSession(t, p.addr)
		id := s.ask("SELECT @@server_id")
		order = append(order, id)
		on[id[0]-'0'] = append(on[id[0]-'0'], s)
	}
	if want := []string{"1", "2", "1", "2", "1", "2", "1", "2"}; !slices.Equal(order, want) {
		t.Errorf("sessions went to servers %v, want %v", order, want)
	}

	// Who has gone is not counted: the next two come to where two have left.
	for _, s := range on[1][:2] {
		s.nc.Close()
	}
	on[1] = on[1][2:]
	eventually(t, patience, "the proxy knows of two that have left", func() bool { return clients(first) == "2" && clients(second) == "4" })
	for range 2 {
		s := openSession(t, p.addr)
		s.mustAsk("SELECT @@server_id", "1")
		on[1] = append(on[1], s)
	}

	idle, running, inTrx := on[2][0], on[2][1], on[2][2]
	inTrx.mustAsk("BEGIN", "OK")
	inTrx.mustAsk("SELECT COUNT(*) FROM items", "5000")
	running.start("SELECT SLEEP(60)")
	waitForSleep(t, second.Addr, 1)
	bed.control(t, "kill "+second.Name)
	for what, got := range map[string]string{"the running statement": running.answer(), "the idle session": idle.farewell(),
		"the session in a transaction": inTrx.ask("SELECT 1")} {
		if got != "ERR 2013" && got != "closed" && got != "ERR 2013, closed" {
			t.Errorf("after the backend's end %s got %q, want ERR 2013 or a close", what, got)
		}
	}
	for _, s := range on[1] {
		s.mustAsk("SELECT @@server_id", "1")
	}
	// New clients land on what is left, without an error.
	for range 6 {
		s := openSession(t, p.addr)
		s.mustAsk("SELECT @@server_id", "1")
		on[1] = append(on[1], s)
	}

	// When it is back, it is tried again 5 seconds after it was found down.
	bed.control(t, "start "+second.Name)
	back := false
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		s := openSession(t, p.addr)
		id := s.ask("SELECT @@server_id")
		if back = id == "2"; back {
			break
		}
		if id != "1" {
			t.Fatalf("a client got %q while a server came back", id)
		}
		s.nc.Close()
	}
	if !back {
		t.Errorf("no client reached the server that came back:\n%s", p.logs())
	}
	for _, s := range on[1] {
		s.mustAsk("SELECT @@server_id", "1")
	}
}

func TestAllBackendsDown(t *testing.T) { onEveryKind(t, testAllBackendsDown) }

func testAllBackendsDown(t *testing.T) {
	first, second := bed.Primary, bed.Replicas[0]
	p := startProxy(t, []string{first.Addr, second.Addr}, "--failover-wait=0")
	s := openSession(t, p.addr)
	s.mustAsk("SELECT 1", "1")
	bed.control(t, "kill "+first.Name)
	bed.control(t, "kill "+second.Name)
	for i := range 3 {
		nc, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(nc)
		nc.Close()
		if string(got) != allDown || err != nil {
			t.Errorf("client %d got %q, %v; want %q", i, got, err, allDown)
		}
	}
	bed.control(t, "start "+first.Name)
	bed.control(t, "start "+second.Name)
	var last error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		if s, last = trySession(t, p.addr, bed.Users.App); last == nil {
			s.mustAsk("SELECT 1", "1")
			return
		}
		if !strings.Contains(last.Error(), "all backends are down") {
			t.Fatalf("while the servers were started: %v", last)
		}
	}
	t.Errorf("the servers are back, and still: %v", last)
}

// A backend that takes connections and never answers them.
func TestConnectTimeout(t *testing.T) {
	hole := enginetest.BlackHole(t).String()
	p := startProxy(t, []string{hole, bed.Primary.Addr}, "--proxy-connect-timeout=1")
	for range 3 {
		openSession(t, p.addr).mustAsk("SELECT @@server_id", "1")
	}
}

// waitForSleep returns when n statements are inside SLEEP() at the server.
func waitForSleep(t *testing.T, addr string, n int) {
	t.Helper()
	db := openDB(t, addr, bed.Users.App, "", "")
	eventually(t, 20*time.Second, fmt.Sprintf("%d statements in SLEEP()", n), func() bool {
		var got int
		if err := db.QueryRow("SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User sleep'").Scan(&got); err != nil {
			t.Fatal(err)
		}
		return got == n
	})
}
