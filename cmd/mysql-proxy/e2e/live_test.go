package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"mysqlproxy/engine/enginetest"
)

// What an operator changes while clients work: none of them may notice.

// live is a proxy whose options are in a file, between clients that work all the
// time and servers of the test's own.
type live struct {
	*proxy
	t       *testing.T
	file    string
	fixed   []string // its lines in any case
	console *sql.DB
}

// startLive starts a primary, two replicas, and a proxy that has them, and these lines,
// in its defaults-file.
func startLive(t *testing.T, flavour string, lines ...string) *live {
	t.Helper()
	ownServers(t, "--flavour="+flavour, "--replicas=2")
	admin := enginetest.FreeAddr(t)
	l := &live{t: t, file: filepath.Join(t.TempDir(), "proxy.cnf"), fixed: []string{
		"plugins = proxy, admin", "admin-address = " + admin, "admin-username = admin", "admin-password = secret",
		"proxy-login-timeout = 60", "proxy-connect-timeout = 60", // none of these tests is about a server that is slow
		"proxy-backend-addresses = " + servers(t).Primary.Addr,
	}}
	l.write(append(lines, replicaLine(servers(t).Replicas...))...)
	l.proxy = startProxy(t, nil, "--defaults-file="+l.file)
	l.console = openDB(t, admin, user{Name: "admin", Password: "secret"}, "", "")
	return l
}

// write writes the file, in place of what is there, and returns how many lines it has.
func (l *live) write(lines ...string) (n int) {
	l.t.Helper()
	all := append(append([]string{"[mysql-proxy]"}, l.fixed...), lines...)
	if err := os.WriteFile(l.file, []byte(strings.Join(all, "\n")+"\n"), 0o600); err != nil {
		l.t.Fatal(err)
	}
	return len(all)
}

func replicaLine(list ...server) string {
	var addrs []string
	for _, s := range list {
		addrs = append(addrs, s.Addr)
	}
	return "proxy-read-only-backend-addresses = " + strings.Join(addrs, ", ")
}

// says runs a statement at the console.
func (l *live) says(statement string) error {
	_, err := l.console.Exec(statement)
	return err
}

// column is a column of SHOW BACKENDS by the backends' addresses.
func (l *live) column(name string) map[string]string {
	l.t.Helper()
	rows, err := l.console.Query("SHOW BACKENDS")
	if err != nil {
		l.t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		l.t.Fatal(err)
	}
	all := map[string]string{}
	for rows.Next() {
		values, into := make([]sql.NullString, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			l.t.Fatal(err)
		}
		var address, value string
		for i, n := range names {
			switch n {
			case "address":
				address = values[i].String
			case name:
				value = values[i].String
			}
		}
		all[address] = value
	}
	return all
}

// wants waits until a backend has this duty; "" is that it is not known any more.
func (l *live) wants(addr, duty string) {
	l.t.Helper()
	eventually(l.t, patience, addr+" is "+duty, func() bool { return l.column("duty")[addr] == duty || l.t.Failed() })
}

// sessionsAt is how many connections of the application's user a server has.
func sessionsAt(t *testing.T, s server) (n int) {
	t.Helper()
	db, err := sql.Open("mysql", servers(t).Users.Root.Name+"@unix("+s.Socket+")/") // who sees them all
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow("SELECT COUNT(*) FROM information_schema.processlist WHERE user = ?", servers(t).Users.App.Name).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// left waits until a server itself says that nobody is connected: it may take a moment
// to deal with a COM_QUIT.
func left(t *testing.T, s server) {
	t.Helper()
	eventually(t, patience, "nobody has a session with "+s.Name, func() bool { return sessionsAt(t, s) == 0 })
}

// workers are clients that read and write without a pause, each by a connection of
// its own that is opened anew now and then.
type workers struct {
	done  [8]atomic.Int64
	reads bool // they write nothing: any server may have their transactions
	over  chan struct{}
	wg    sync.WaitGroup
}

// startWorkers has clients work until the test ends. An error of any of them is the
// test's failure, as is a read that misses what the client has written before.
func startWorkers(t *testing.T, p *proxy, reads bool) *workers {
	t.Helper()
	mustExec(t, "CREATE TABLE IF NOT EXISTS "+servers(t).Database+".live (id INT PRIMARY KEY, v INT NOT NULL)", "TRUNCATE "+servers(t).Database+".live")
	w := &workers{over: make(chan struct{}), reads: reads}
	for i := range w.done {
		mustExec(t, fmt.Sprintf("INSERT INTO %s.live VALUES (%d, 0)", servers(t).Database, i))
	}
	for _, s := range servers(t).Replicas {
		db := openDB(t, s.Addr, servers(t).Users.App, servers(t).Database, "")
		eventually(t, patience, s.Name+" has the rows", func() bool {
			var n int
			return db.QueryRow("SELECT COUNT(*) FROM live").Scan(&n) == nil && n == len(w.done)
		})
		db.Close()
	}
	for i := range w.done {
		w.wg.Go(func() {
			for w.connection(t, p, i) && !t.Failed() {
			}
		})
	}
	t.Cleanup(w.end)
	return w
}

func (w *workers) end() {
	select {
	case <-w.over:
	default:
		close(w.over)
	}
	w.wg.Wait()
}

// connection works on for a while, and tells whether there is more to do. What it has
// written itself it has to read.
func (w *workers) connection(t *testing.T, p *proxy, i int) (more bool) {
	db, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s)/%s?timeout=60s&interpolateParams=true", servers(t).Users.App.Name, servers(t).Users.App.Password, p.addr, servers(t).Database))
	if err != nil {
		t.Error(err)
		return false
	}
	defer db.Close()
	ctx := context.Background()
	c, err := db.Conn(ctx) // no error is made good by another connection
	if err != nil {
		t.Errorf("client %d cannot connect: %v", i, err)
		return false
	}
	defer c.Close()
	v := 0 // what this session itself has written last
	read := func(q interface {
		QueryRowContext(context.Context, string, ...any) *sql.Row
	}, wrote bool) bool {
		var got int
		if err := q.QueryRowContext(ctx, "SELECT v FROM live WHERE id = ?", i).Scan(&got); err != nil || got < v {
			t.Errorf("client %d reads %d, %v; want %d", i, got, err, v)
			return false
		}
		if wrote {
			v = got
		}
		return true
	}
	for range 50 {
		for range 3 {
			if !read(c, false) {
				return false
			}
		}
		tx, err := c.BeginTx(ctx, nil)
		if err != nil {
			t.Errorf("client %d, BEGIN: %v", i, err)
			return false
		}
		if !w.reads {
			_, err = tx.Exec("UPDATE live SET v = v + 1 WHERE id = ?", i)
		}
		if err == nil && read(tx, !w.reads) {
			err = tx.Commit()
		}
		if err != nil {
			t.Errorf("client %d, a transaction: %v", i, err)
			return false
		}
		w.done[i].Add(1)
		select {
		case <-w.over:
			return false
		default:
		}
	}
	return true
}

// goOn waits until each client has done some more.
func (w *workers) goOn(t *testing.T) {
	t.Helper()
	var before [len(w.done)]int64
	for i := range w.done {
		before[i] = w.done[i].Load()
	}
	eventually(t, patience, "every client works on", func() bool {
		for i := range w.done {
			if w.done[i].Load() < before[i]+5 {
				return t.Failed()
			}
		}
		return true
	})
}

// commandsAt is how many commands a backend has got so far.
func (l *live) commandsAt(s server) string { return l.column("commands")[s.Addr] }

// getsReads waits until a replica gets reads.
func (l *live) getsReads(s server) {
	l.t.Helper()
	before := l.commandsAt(s)
	eventually(l.t, patience, s.Name+" gets reads", func() bool { return l.commandsAt(s) != before || l.t.Failed() })
}

// Replicas are drained, one after the other, twenty times, and are left by every
// session; the clients do not notice.
func TestDrainUnderLoad(t *testing.T) { onOwnServers(t, testDrainUnderLoad) }

func testDrainUnderLoad(t *testing.T, flavour string) {
	l := startLive(t, flavour)
	w := startWorkers(t, l.proxy, false)
	w.goOn(t)
	if n := sessionsAt(t, servers(t).Replicas[0]) + sessionsAt(t, servers(t).Replicas[1]); n == 0 {
		t.Error("nobody has a session with a replica")
	}
	for round := range 20 {
		s := servers(t).Replicas[round%2]
		if err := l.says("DRAIN '" + s.Addr + "'"); err != nil {
			t.Fatal(err)
		}
		l.wants(s.Addr, "maintenance")
		left(t, s)
		w.goOn(t)
		if err := l.says("ONLINE '" + s.Addr + "'"); err != nil {
			t.Fatal(err)
		}
		l.getsReads(s)
		if t.Failed() {
			return
		}
	}
	w.end()
	t.Logf("%d transactions, three reads with each", w.total())
}

func (w *workers) total() (n int64) {
	for i := range w.done {
		n += w.done[i].Load()
	}
	return n
}

// The first of two read/write servers is drained twenty times, and is online again:
// the sessions, with their transactions, go over to the other one and back.
func TestDrainOfAWriterUnderLoad(t *testing.T) { onOwnServers(t, testDrainOfAWriterUnderLoad) }

func testDrainOfAWriterUnderLoad(t *testing.T, flavour string) {
	l := startLive(t, flavour, "failover = ordered")
	first, second := servers(t).Primary, servers(t).Replicas[0]
	w := startWorkers(t, l.proxy, true)
	l.fixed[len(l.fixed)-1] += ", " + second.Addr
	l.write("failover = ordered", replicaLine(servers(t).Replicas[1]))
	if err := l.says("RELOAD"); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		w.goOn(t)
		if err := l.says("DRAIN '" + first.Addr + "'"); err != nil {
			t.Fatal(err)
		}
		l.wants(first.Addr, "maintenance")
		left(t, first)
		w.goOn(t)
		if err := l.says("ONLINE '" + first.Addr + "'"); err != nil {
			t.Fatal(err)
		}
		l.getsReads(first)
		if t.Failed() {
			return
		}
	}
	if err := l.says("DRAIN '" + second.Addr + "'"); err != nil {
		t.Error(err)
	}
	l.wants(second.Addr, "maintenance")
	if err := l.says("DRAIN '" + first.Addr + "'"); err == nil || !strings.Contains(err.Error(), "no other backend than "+first.Addr+" could take writes now") {
		t.Errorf("the last one is drained: %v", err)
	}
	w.goOn(t)
	w.end()
	t.Logf("%d transactions, three reads with each", w.total())
}

// The file is read again a hundred times, by a signal and by the console, every other
// time with a fault in it; the clients do not notice.
func TestReloadUnderLoad(t *testing.T) { onOwnServers(t, testReloadUnderLoad) }

func testReloadUnderLoad(t *testing.T, flavour string) {
	l := startLive(t, flavour, "log-level = message")
	w := startWorkers(t, l.proxy, false)
	w.goOn(t)
	a, b := servers(t).Replicas[0], servers(t).Replicas[1]
	good := [][]string{
		{replicaLine(a)},
		{replicaLine(b), "proxy-connect-timeout = 50"},
		{replicaLine(a, b), "read-weights = " + a.Addr + "=3", "multiplex = on", "multiplex-delay = 0.1"},
		{replicaLine(), "shutdown-timeout = 5"},
		{replicaLine(b, a), "proxy-read-timeout = 60", "consistency = session"},
	}
	bad := []struct{ line, says string }{
		{"proxy-connect-timeout = soon", "is not a number of seconds"},
		{"nonsense", "has no value"},
		{"max-open-files = 7", "--max-open-files: 0 -> 7: it cannot be changed while the proxy runs"},
		{"consistency = some", "--consistency=some is unknown"},
		{"read-weights = 127.0.0.1:1=2", "127.0.0.1:1 is none of the read-only servers"},
		{"users-file = /nowhere", "--users-file: cannot read /nowhere"},
		{"proxy-backend-addresses = x:y", "address \"x:y\""},
	}
	reload := func(byConsole bool, says ...string) {
		t.Helper()
		since := l.logEnd()
		if byConsole {
			err := l.says("RELOAD")
			if (err != nil) != (len(says) > 0) || err != nil && !has(err.Error(), says) {
				t.Errorf("RELOAD says %v, want %q", err, says)
			}
		} else if err := syscall.Kill(l.pid, syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		if len(says) == 0 {
			says = []string{"the configuration was read again, "}
		}
		l.told(t, since, says...)
	}
	for round := range 50 {
		lines := append([]string{"log-level = message"}, good[round%len(good)]...)
		l.write(lines...)
		reload(round%4 < 2)
		wrong := bad[round%len(bad)]
		n := l.write(append(lines, wrong.line)...)
		reload(round%4 >= 2, fmt.Sprintf("line %d: ", n), wrong.says, l.file)
		if round%10 == 9 {
			w.goOn(t)
		}
		if t.Failed() {
			return
		}
	}

	// One that is left out is left by all, one that is put in gets reads.
	l.write(replicaLine(a))
	reload(true)
	l.wants(b.Addr, "")
	left(t, b)
	l.getsReads(a)
	l.write(replicaLine(a, b))
	reload(true)
	l.getsReads(b)
	w.goOn(t)
	w.end()
	t.Logf("%d transactions, three reads with each", w.total())
}
