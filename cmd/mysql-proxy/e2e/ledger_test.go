package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mysqlproxy/engine/enginetest"
)

// ledger is a workload that knows what has to be in a table: every write has a number
// of its own, and is remembered as acknowledged, or as doubtful if its client did not
// hear what came of it. The table has no unique key, so that a write that was made
// twice is there twice.
type ledger struct {
	t    *testing.T
	addr string
	next atomic.Int64
	over chan struct{}
	wg   sync.WaitGroup

	mu       sync.Mutex
	acked    map[int64]time.Time
	doubtful map[int64]error
}

const ledgerWriters = 8

// createLedger makes its table at the primary.
func createLedger(t *testing.T) {
	t.Helper()
	mustExec(t, "DROP TABLE IF EXISTS "+servers(t).Database+".ledger", "CREATE TABLE "+servers(t).Database+".ledger (id BIGINT NOT NULL, writer INT NOT NULL, KEY (id))")
}

// startLedger has clients write until end is called.
func startLedger(t *testing.T, addr string) *ledger {
	t.Helper()
	l := &ledger{t: t, addr: addr, over: make(chan struct{}), acked: map[int64]time.Time{}, doubtful: map[int64]error{}}
	for w := range ledgerWriters {
		l.wg.Go(func() {
			for l.connection(w) {
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

// end stops the clients.
func (l *ledger) end() {
	l.mu.Lock()
	select {
	case <-l.over:
	default:
		close(l.over)
	}
	l.mu.Unlock()
	l.wg.Wait()
}

// connection writes by one connection until that fails.
func (l *ledger) connection(writer int) (more bool) {
	select {
	case <-l.over:
		return false
	default:
	}
	db, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s)/%s?timeout=60s&interpolateParams=true", servers(l.t).Users.App.Name, servers(l.t).Users.App.Password, l.addr, servers(l.t).Database))
	if err != nil {
		l.t.Error(err)
		return false
	}
	defer db.Close()
	c, err := db.Conn(context.Background())
	if err != nil {
		time.Sleep(20 * time.Millisecond) // nothing was written
		return true
	}
	defer c.Close()
	for {
		select {
		case <-l.over:
			return false
		case <-time.After(2 * time.Millisecond):
		}
		id := l.next.Add(1)
		_, err := c.ExecContext(context.Background(), "INSERT INTO ledger VALUES (?, ?)", id, writer)
		l.mu.Lock()
		if err == nil {
			l.acked[id] = time.Now()
		} else {
			l.doubtful[id] = err
		}
		l.mu.Unlock()
		if err != nil {
			return true
		}
	}
}

// goesOn waits until more writes are acknowledged, and says when the first of them
// was that came after since.
func (l *ledger) goesOn(since time.Time) time.Time {
	l.t.Helper()
	var first time.Time
	eventually(l.t, patience, "writes are acknowledged", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		n := 0
		for _, at := range l.acked {
			if at.After(since) {
				n++
				if first.IsZero() || at.Before(first) {
					first = at
				}
			}
		}
		return n >= 10*ledgerWriters
	})
	return first
}

// wantNoDoubt fails the test if a write was not acknowledged.
func (l *ledger) wantNoDoubt() {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, err := range l.doubtful {
		l.t.Errorf("write %d: %v", id, err)
	}
}

// check compares with what servers have: each acknowledged write is at exactly one of
// them, once; one that is in doubt at one at most; and there is no other.
func (l *ledger) check(servers ...server) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	found := map[int64]int{}
	for _, s := range servers {
		for id, n := range ledgerOf(l.t, s) {
			found[id] += n
			if _, in := l.acked[id]; !in && l.doubtful[id] == nil {
				l.t.Errorf("write %d is at %s, and nobody has made it", id, s.Name)
			}
		}
	}
	missing := 0
	for id := range l.acked {
		switch n := found[id]; {
		case n == 0:
			missing++
		case n > 1:
			l.t.Errorf("write %d was acknowledged and is there %d times", id, n)
		}
	}
	for id := range l.doubtful {
		if found[id] > 1 {
			l.t.Errorf("write %d, which was not acknowledged, is there %d times", id, found[id])
		}
	}
	if missing > 0 || len(l.acked) == 0 {
		l.t.Errorf("%d of %d acknowledged writes are missing", missing, len(l.acked))
	}
	l.t.Logf("%d writes acknowledged, %d in doubt", len(l.acked), len(l.doubtful))
}

// usersFile is the option with a file that has the app user's password, for clients
// that do not show it.
func usersFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte(servers(t).Users.App.Name+":"+servers(t).Users.App.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return "--users-file=" + path
}

// ledgerOf is how often each write is at a server.
func ledgerOf(t *testing.T, s server) map[int64]int {
	t.Helper()
	db := openDB(t, s.Addr, servers(t).Users.App, servers(t).Database, "")
	defer db.Close()
	rows, err := db.Query("SELECT id, COUNT(*) FROM ledger GROUP BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	m := map[int64]int{}
	for rows.Next() {
		var id int64
		var n int
		if err := rows.Scan(&id, &n); err != nil {
			t.Fatal(err)
		}
		m[id] = n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return m
}

// ackedAfter are the writes that were acknowledged later.
func (l *ledger) ackedAfter(at time.Time) (ids []int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, t := range l.acked {
		if t.After(at) {
			ids = append(ids, id)
		}
	}
	return ids
}

// A replica that is killed, and one that is stopped, under load: no read and no write
// fails.
func TestReplicaFailsUnderLoad(t *testing.T) { onOwnServers(t, testReplicaFailsUnderLoad) }

func testReplicaFailsUnderLoad(t *testing.T, flavour string) {
	p := startProbed(t, flavour, sluggish, patientConnects)
	createLedger(t)
	for _, r := range servers(t).Replicas {
		eventually(t, patience, r.Name+" has the table", func() bool { return hasLedger(t, r) })
	}
	l := startLedger(t, p.addr)
	r, end := startReads(t, p)
	r.goOn(t)
	first, second := servers(t).Replicas[0], servers(t).Replicas[1]
	for _, event := range []struct {
		s               server
		fails, recovers string
	}{
		{first, "kill", "start"},
		{second, "kill", "start"},
		{first, "pause", "resume"},
	} {
		since, at := p.logEnd(), time.Now()
		servers(t).control(t, event.fails+" "+event.s.Name)
		p.told(t, since, "backend is down", event.s.Addr)
		t.Logf("%s %s, seen after %v", event.fails, event.s.Name, time.Since(at))
		r.goOn(t)
		since = p.logEnd()
		servers(t).control(t, event.recovers+" "+event.s.Name)
		p.told(t, since, "backend is up", event.s.Addr)
		r.goOn(t)
	}
	end()
	l.goesOn(time.Now())
	l.end()
	l.wantNoDoubt()
	l.check(servers(t).Primary)
}

func hasLedger(t *testing.T, s server) bool {
	db := openDB(t, s.Addr, servers(t).Users.App, servers(t).Database, "")
	defer db.Close()
	_, err := db.Exec("SELECT COUNT(*) FROM ledger")
	return err == nil
}

// A primary that is killed under load, and its replica promoted: writes go on there,
// and each that was acknowledged is there once. The old one comes back, takes writes,
// and gets none.
func TestPrimaryFailsUnderLoad(t *testing.T) { onOwnServers(t, testPrimaryFailsUnderLoad) }

func testPrimaryFailsUnderLoad(t *testing.T, flavour string) {
	ownServers(t, "--flavour="+flavour, "--replicas=1")
	options := readyForProbes(t)
	createLedger(t)
	first, second := servers(t).Primary, servers(t).Replicas[0]
	synchronous(t)
	http := enginetest.FreeAddr(t)
	p := startProxy(t, []string{first.Addr, second.Addr}, append(options, "--roles=auto", "--failover-wait=300", "--http-address="+http, patientProbes, patientConnects, usersFile(t))...)
	defer func() { servers(t).Replicas = nil }() // it is promoted, and writes by itself then

	l := startLedger(t, p.addr)
	r, end := startReads(t, p)
	r.goOn(t)
	l.goesOn(time.Now())
	idle := openSession(t, p.addr)
	idle.mustAsk("INSERT INTO ledger VALUES (-1, -1)", "OK")
	open := openSession(t, p.addr)
	open.mustAsk("BEGIN", "OK")
	open.mustAsk("INSERT INTO ledger VALUES (-2, -1)", "OK")

	since := p.logEnd()
	servers(t).control(t, "kill "+first.Name)
	p.told(t, since, "no server takes writes")
	if got := open.ask("INSERT INTO ledger VALUES (-3, -1)"); got != "ERR 2013" && got != "closed" && got != "ERR 2013, closed" {
		t.Errorf("in a transaction a client hears %q, want ERR 2013 or a close", got)
	}
	eventually(t, patience, "writers wait for a primary", func() bool {
		return samples(t, http)["mysql_proxy_sessions_waiting_for_primary"] >= ledgerWriters
	})
	since = p.logEnd()
	// It has received all that was acknowledged, and applies it before it takes writes.
	replicate(t, second, "STOP SLAVE IO_THREAD")
	eventually(t, patience, "the replica has applied all", func() bool { return applied(t, second) })
	replicate(t, second, "STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = 0")
	promoted := time.Now()
	p.told(t, since, "writes go to another server", "backend="+second.Addr)
	t.Logf("writes go on %v after the promotion", l.goesOn(promoted).Sub(promoted))
	idle.mustAsk("DELETE FROM ledger WHERE id = -1", "OK") // it has noticed nothing
	r.goOn(t)

	since = p.logEnd()
	servers(t).control(t, "start "+first.Name)
	p.told(t, since, "more than one server is writable", "writes go to "+second.Addr+" only")
	if n := samples(t, http)["mysql_proxy_split_brains_total"]; n != 1 {
		t.Errorf("%v split brains are counted, want 1", n)
	}
	back := time.Now()
	l.goesOn(back)
	end()
	l.end()
	l.check(second)
	old := ledgerOf(t, first)
	for _, id := range l.ackedAfter(promoted) {
		if old[id] != 0 {
			t.Errorf("write %d is at the old primary", id)
		}
	}
}

// synchronous has the primary acknowledge a write when the replica has received it.
func synchronous(t *testing.T) {
	t.Helper()
	first, second := servers(t).Primary, servers(t).Replicas[0]
	clients := "Rpl_semi_sync_master_clients"
	if servers(t).mysql() {
		clients = "Rpl_semi_sync_source_clients"
		replicate(t, first, "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'",
			"SET GLOBAL rpl_semi_sync_source_timeout = 3600000", "SET GLOBAL rpl_semi_sync_source_enabled = 1")
		replicate(t, second, "INSTALL PLUGIN rpl_semi_sync_replica SONAME 'semisync_replica.so'", "SET GLOBAL rpl_semi_sync_replica_enabled = 1")
	} else {
		replicate(t, first, "SET GLOBAL rpl_semi_sync_master_wait_point = 'AFTER_SYNC'", "SET GLOBAL rpl_semi_sync_master_timeout = 3600000", "SET GLOBAL rpl_semi_sync_master_enabled = 1")
		replicate(t, second, "SET GLOBAL rpl_semi_sync_slave_enabled = 1")
	}
	replicate(t, second, "STOP SLAVE IO_THREAD", "START SLAVE IO_THREAD")
	db := openDB(t, first.Addr, servers(t).Users.App, "", "")
	defer db.Close()
	eventually(t, patience, "the replica is a semi-synchronous one", func() bool { return status(t, db, clients) == "1" })
}

// applied tells whether a replica has applied all that it has received.
func applied(t *testing.T, s server) bool {
	t.Helper()
	db := openDB(t, s.Addr, servers(t).Users.App, "", "")
	defer db.Close()
	rows, err := db.Query("SHOW REPLICA STATUS")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	cols, err := rows.Columns()
	if err != nil || !rows.Next() {
		t.Fatal(errors.Join(err, errors.New("it is no replica")))
	}
	vals := make([]any, len(cols))
	for i := range vals {
		vals[i] = new(sql.NullString)
	}
	if err := rows.Scan(vals...); err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for i, c := range cols {
		m[strings.NewReplacer("Source", "Master").Replace(c)] = vals[i].(*sql.NullString).String
	}
	return m["Master_Log_File"] == m["Relay_Master_Log_File"] && m["Read_Master_Log_Pos"] == m["Exec_Master_Log_Pos"]
}
