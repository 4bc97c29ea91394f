package e2e

import (
	"bufio"
	"database/sql"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Probes at real servers: what happens to one is seen, and clients whose reads
// are split see nothing of it.

const probeUser, probePassword = "probe", "probe-Secret-1"

// A server that is slow for a moment must not be taken for one that is gone: what a
// client had under way there would be in doubt. Tests whose servers only die, which is
// seen at once, have all patience; those that stop servers wait for as long as a machine
// that does everything at once may well let a server wait for its turn.
const (
	patientProbes   = "--health-timeout=60"
	patientConnects = "--proxy-connect-timeout=60"
	sluggish        = "--health-timeout=4" // two probes in a row have to fail
)

// startProbed starts a primary and two replicas of a flavour of the test's own,
// and a proxy that splits and probes.
func startProbed(t *testing.T, flavour string, args ...string) *proxy {
	t.Helper()
	ownServers(t, "--flavour="+flavour, "--replicas=2")
	args = append(readyForProbes(t), args...)
	for _, r := range servers(t).Replicas {
		args = append(args, "--proxy-read-only-backend-addresses="+r.Addr)
	}
	return startProxy(t, []string{servers(t).Primary.Addr}, append(args, "--log-level=debug")...)
}

// readyForProbes makes the probes' user at the servers, and returns the options for
// it, and for servers that do not answer.
func readyForProbes(t *testing.T) []string {
	t.Helper()
	right := "REPLICA MONITOR"
	if servers(t).mysql() {
		right = "REPLICATION CLIENT"
	}
	mustExec(t, "CREATE USER '"+probeUser+"'@'%' IDENTIFIED BY '"+probePassword+"'", "GRANT "+right+" ON *.* TO '"+probeUser+"'@'%'")
	for _, r := range servers(t).Replicas {
		eventually(t, patience, r.Name+" has the probe's user", func() bool {
			db := openDB(t, r.Addr, user{Name: probeUser, Password: probePassword}, "", "")
			defer db.Close()
			return db.Ping() == nil
		})
	}
	return []string{"--health-user=" + probeUser, "--health-password=" + probePassword, "--proxy-connect-timeout=2"}
}

// reads are clients that read without a pause worth the name, each by a new
// connection now and then.
type reads struct {
	done [8]atomic.Int64 // of each
	over chan struct{}
	wg   sync.WaitGroup
}

// startReads has clients read until the function that it returns is called. An
// error is the test's failure.
func startReads(t *testing.T, p *proxy) (r *reads, end func()) {
	t.Helper()
	r = &reads{over: make(chan struct{})}
	for i := range r.done {
		r.wg.Go(func() {
			for r.connection(t, p, &r.done[i]) {
			}
		})
	}
	end = sync.OnceFunc(func() {
		close(r.over)
		r.wg.Wait()
	})
	t.Cleanup(end)
	return r, end
}

func (r *reads) connection(t *testing.T, p *proxy, done *atomic.Int64) (more bool) {
	db, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s)/%s?timeout=60s&interpolateParams=true", servers(t).Users.App.Name, servers(t).Users.App.Password, p.addr, servers(t).Database))
	if err != nil {
		t.Error(err)
		return false
	}
	defer db.Close()
	c, err := db.Conn(t.Context()) // no error is made good by another connection
	if err != nil {
		t.Error(err)
		return false
	}
	defer c.Close()
	for range 100 {
		var n int
		if err := c.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM items WHERE id <= ?", 7).Scan(&n); err != nil || n != 7 {
			t.Errorf("a read says %d, %v; want 7", n, err)
			return false
		}
		done.Add(1)
		select {
		case <-r.over:
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
	return true
}

// goOn waits until each client has read some more.
func (r *reads) goOn(t *testing.T) {
	t.Helper()
	var before [len(r.done)]int64
	for i := range r.done {
		before[i] = r.done[i].Load()
	}
	eventually(t, patience, "every client reads on", func() bool {
		for i := range r.done {
			if r.done[i].Load() < before[i]+20 {
				return t.Failed()
			}
		}
		return true
	})
}

// told waits for a line that has all the words, in the log from since on, which
// logEnd has said.
func (p *proxy) told(t *testing.T, since int64, words ...string) {
	t.Helper()
	f, err := os.Open(p.logFile())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(since, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	log := bufio.NewReader(f)
	line := "" // that is not whole yet
	eventually(t, patience, fmt.Sprintf("a line of the log with %q", words), func() bool {
		for {
			more, err := log.ReadString('\n')
			switch line += more; {
			case err != nil && err != io.EOF:
				t.Fatal(err)
			case err != nil:
				return false
			case has(line, words):
				return true
			}
			line = ""
		}
	})
}

func has(line string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(line, w) {
			return false
		}
	}
	return true
}

// logEnd is where what is yet to come will be in the log.
func (p *proxy) logEnd() int64 {
	info, err := os.Stat(p.logFile())
	if err != nil {
		return 0 // nothing was logged
	}
	return info.Size()
}

func (p *proxy) logFile() string { return filepath.Join(p.logDir, "log") }

func TestProbes(t *testing.T) { onOwnServers(t, testProbes) }

// A primary dies, a replica is promoted, the old primary comes back and takes
// writes: none gets there.
func TestRoles(t *testing.T) { onOwnServers(t, testRoles) }

func testRoles(t *testing.T, flavour string) {
	p := startProbed(t, flavour, "--roles=auto", "--failover-wait=0", patientProbes, patientConnects)
	first, second := servers(t).Primary, servers(t).Replicas[0]
	defer func() { servers(t).Replicas = nil }() // the one that is promoted writes by itself
	s := openSession(t, p.addr)
	s.mustAsk("INSERT INTO notes (body) VALUES ('at the first')", "OK")
	eventually(t, patience, "the replica has it", func() bool { return notes(t, second, "at the first") == 1 })
	since := p.logEnd()
	servers(t).control(t, "kill "+first.Name)
	p.told(t, since, "no server takes writes")
	if _, err := trySession(t, p.addr, servers(t).Users.App); err == nil || !strings.Contains(err.Error(), "all backends are down") {
		t.Errorf("without a primary a client hears %v", err)
	}
	since = p.logEnd()
	replicate(t, second, "STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = 0")
	at := time.Now()
	p.told(t, since, "writes go to another server", "backend="+second.Addr)
	t.Logf("seen after %v", time.Since(at))
	s = openSession(t, p.addr)
	s.mustAsk("INSERT INTO notes (body) VALUES ('at the second')", "OK")

	since = p.logEnd()
	servers(t).control(t, "start "+first.Name)
	p.told(t, since, "more than one server is writable", "writes go to "+second.Addr+" only")
	for range 10 {
		s := openSession(t, p.addr)
		s.mustAsk("INSERT INTO notes (body) VALUES ('at the second')", "OK")
		s.nc.Close()
	}
	s.mustAsk("INSERT INTO notes (body) VALUES ('at the second')", "OK")
	if a, b := notes(t, first, "at the second"), notes(t, second, "at the second"); a != 0 || b != 12 {
		t.Errorf("%d writes reached the old primary and %d the new one, want 0 and 12", a, b)
	}
	replicate(t, first, "SET GLOBAL read_only = 1")
	s.mustAsk("INSERT INTO notes (body) VALUES ('at the second')", "OK")
}

// notes is how many notes with this text a server has.
func notes(t *testing.T, s server, body string) (n int) {
	t.Helper()
	db := openDB(t, s.Addr, servers(t).Users.App, servers(t).Database, "interpolateParams=true")
	defer db.Close()
	if err := db.QueryRow("SELECT COUNT(*) FROM notes WHERE body = ?", body).Scan(&n); err != nil {
		t.Error(err)
	}
	return n
}

func testProbes(t *testing.T, flavour string) {
	p := startProbed(t, flavour, "--max-replica-lag=2", "--failover-wait=0", sluggish, patientConnects)
	primary, first, second := servers(t).Primary, servers(t).Replicas[0], servers(t).Replicas[1]
	r, end := startReads(t, p)
	readsAt := func(s server) {
		t.Helper()
		p.told(t, p.logEnd(), " route ", "backend="+s.Addr, "reason=read")
	}
	readsAt(first)
	readsAt(second)

	t.Run("a replica is stopped and goes on", func(t *testing.T) {
		since, at := p.logEnd(), time.Now()
		servers(t).control(t, "pause "+first.Name)
		defer func() { servers(t).control(t, "resume "+first.Name) }() // it cannot be stopped otherwise
		p.told(t, since, "backend is down", first.Addr)
		t.Logf("seen after %v", time.Since(at))
		r.goOn(t)
		readsAt(second)
		since, at = p.logEnd(), time.Now()
		servers(t).control(t, "resume "+first.Name)
		p.told(t, since, "backend is up", first.Addr)
		t.Logf("seen to be back after %v", time.Since(at))
		readsAt(first)
	})
	t.Run("a replica is killed and started again", func(t *testing.T) {
		since, at := p.logEnd(), time.Now()
		servers(t).control(t, "kill "+second.Name)
		p.told(t, since, "backend is down", second.Addr)
		t.Logf("seen after %v", time.Since(at))
		r.goOn(t)
		since = p.logEnd()
		servers(t).control(t, "start "+second.Name)
		p.told(t, since, "backend is up", second.Addr)
		readsAt(second)
	})
	t.Run("replication stops", func(t *testing.T) {
		since := p.logEnd()
		for _, s := range servers(t).Replicas {
			replicate(t, s, "STOP SLAVE SQL_THREAD")
			p.told(t, since, "backend is not fit for use", s.Addr, "reason=stopped")
		}
		p.told(t, since, " route ", "backend="+primary.Addr, "reason=lagging")
		r.goOn(t)
		since = p.logEnd()
		for _, s := range servers(t).Replicas {
			replicate(t, s, "START SLAVE SQL_THREAD")
			p.told(t, since, "backend is fit again", s.Addr)
			readsAt(s)
		}
	})
	t.Run("a replica lags", func(t *testing.T) {
		replicate(t, first, "STOP SLAVE", "CHANGE MASTER TO MASTER_DELAY=3600", "START SLAVE")
		since := p.logEnd()
		mustExec(t, "INSERT INTO "+servers(t).Database+".notes (body) VALUES ('delayed')")
		p.told(t, since, "backend is not fit for use", first.Addr, "reason=lagging")
		r.goOn(t)
		since = p.logEnd()
		replicate(t, first, "STOP SLAVE", "CHANGE MASTER TO MASTER_DELAY=0", "START SLAVE")
		p.told(t, since, "backend is fit again", first.Addr)
		readsAt(first)
	})
	end()
	t.Run("the primary is killed", func(t *testing.T) {
		since, at := p.logEnd(), time.Now()
		servers(t).control(t, "kill "+primary.Name)
		p.told(t, since, "backend is down", primary.Addr)
		t.Logf("seen after %v", time.Since(at))
		if _, err := trySession(t, p.addr, servers(t).Users.App); err == nil || !strings.Contains(err.Error(), "all backends are down") {
			t.Errorf("a client hears %v", err)
		}
		since = p.logEnd()
		servers(t).control(t, "start "+primary.Name)
		p.told(t, since, "backend is up", primary.Addr)
		openSession(t, p.addr).mustAsk("SELECT 1", "1")
	})
}

// replicate runs statements of replication at a server, as root. They are given in
// the words of MariaDB.
func replicate(t *testing.T, s server, statements ...string) {
	t.Helper()
	root, err := sql.Open("mysql", servers(t).Users.Root.Name+"@unix("+s.Socket+")/")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, q := range statements {
		if servers(t).mysql() {
			q = strings.NewReplacer("CHANGE MASTER", "CHANGE REPLICATION SOURCE", "MASTER_", "SOURCE_", "SLAVE", "REPLICA").Replace(q)
		}
		execAll(t, root, q)
	}
}

// A probe user that is not let in, or may not ask how a replica replicates, keeps
// no reads from anywhere.
func TestProbesThatAreNotToldMuch(t *testing.T) {
	for _, tc := range []struct{ name, password, says string }{
		{"wrong password", "wrong", "not let in"},
		{"no rights", probePassword, "its replication cannot be looked at"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			replica := servers(t).Replicas[0]
			mustExec(t, "DROP USER IF EXISTS 'mute'@'%'", "CREATE USER 'mute'@'%' IDENTIFIED BY '"+probePassword+"'")
			defer mustExec(t, "DROP USER 'mute'@'%'")
			eventually(t, patience, "the replica has the user", func() bool {
				db := openDB(t, replica.Addr, user{Name: "mute", Password: probePassword}, "", "")
				defer db.Close()
				return db.Ping() == nil
			})
			p := startProxy(t, []string{servers(t).Primary.Addr}, "-r", replica.Addr, "--log-level=debug", "--health-user=mute", "--health-password="+tc.password, patientProbes)
			p.told(t, 0, replica.Addr, tc.says)
			_, end := startReads(t, p)
			p.told(t, 0, " route ", "backend="+replica.Addr, "reason=read")
			end()
		})
	}
}
