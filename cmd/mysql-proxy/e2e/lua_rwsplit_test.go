package e2e

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// The testbed's primary has the server_id 1, its replica 2.

func classicSplit(t *testing.T, args ...string) *proxy {
	t.Helper()
	return startLua(t, "rwsplit_classic.lua", []string{bed.Primary.Addr}, append([]string{"-r", bed.Replicas[0].Addr}, args...)...)
}

func TestLuaClassicSplitting(t *testing.T) {
	mustExec(t, "DROP DATABASE IF EXISTS e2e_lua", "CREATE DATABASE e2e_lua", "CREATE TABLE e2e_lua.t (id INT AUTO_INCREMENT PRIMARY KEY, at INT, changed INT DEFAULT 0)")
	waitForReplica(t)
	p := classicSplit(t, "--event-threads=1") // each event thread has idle connections of its own

	// Two logins give the primary its idle connections, and the third one opens
	// the first with the replica.
	for range 2 {
		c := connectAs(t, p.addr, bed.Users.App, "e2e_lua")
		c.mustRows("SELECT @@server_id", "1")
		c.exec("INSERT INTO t (at) SELECT @@server_id", "DO 0")
	}
	for i := range 3 {
		c := connectAs(t, p.addr, bed.Users.App, "e2e_lua")
		c.mustRows("SELECT @@server_id", "2")
		c.exec("INSERT INTO t (at) SELECT @@server_id")
		// The insert id keeps the connection for one more statement.
		c.mustRows("SELECT LAST_INSERT_ID () > 0", "1")
		c.mustRows("SELECT @@server_id", "2")
		c.exec("BEGIN")
		c.mustRows("SELECT @@server_id", "1")
		c.exec("UPDATE t SET changed = changed + 1")
		c.mustRows("SELECT @@server_id", "1")
		c.exec([]string{"COMMIT", "ROLLBACK", "COMMIT"}[i])
		c.mustRows("SELECT @@server_id, DATABASE()", "2 e2e_lua")
		c.mustRows("SHOW VARIABLES LIKE 'server_id'", "server_id 1") // no SELECT
		c.mustFail("INSERT INTO missing VALUES (1)", "1146")
		c.mustFail("SELECT * FROM missing", "1146")
		c.mustRows("SELECT @@server_id", "2")
		c.Close()
	}
	if got := connectAs(t, bed.Primary.Addr, bed.Users.App, "e2e_lua").rows("SELECT COUNT(*), SUM(at = 1) FROM t"); got != "5 5" {
		t.Errorf("the primary's table has rows and rows written there %q, want 5 and 5", got)
	}
	if out, err := mariadbCLI(t, p.addr, bed.Users.App, "USE e2e_lua", "SELECT DATABASE()", "PROXY SHOW CONFIG"); err != nil ||
		out != "e2e_lua\nrwsplit\tis_debug\tfalse\tboolean\nrwsplit\tmax_idle_connections\t2\tnumber\nrwsplit\tmin_idle_connections\t1\tnumber" {
		t.Errorf("mariadb: %q, %v", out, err)
	}
}

func TestLuaClassicSplittingUnderSysbench(t *testing.T) {
	for threads, transactions := range map[string]string{"1": "300", "2": "800"} {
		t.Run("event threads: "+threads, func(t *testing.T) {
			clientDB(t, "e2e_lua")
			sysbench := func(addr string, args ...string) string {
				t.Helper()
				host, port, err := net.SplitHostPort(addr)
				if err != nil {
					t.Fatal(err)
				}
				out, err := runTool(t, nil, "sysbench", append([]string{"oltp_read_write", "--db-driver=mysql", "--mysql-host=" + host, "--mysql-port=" + port,
					"--mysql-user=" + bed.Users.App.Name, "--mysql-password=" + bed.Users.App.Password, "--mysql-db=e2e_lua",
					"--tables=2", "--table-size=1000", "--db-ps-mode=disable"}, args...)...)
				if err != nil {
					t.Fatal(err)
				}
				return out
			}
			sysbench(bed.Primary.Addr, "prepare")
			waitForReplica(t)
			p := classicSplit(t, "--event-threads="+threads)
			out := sysbench(p.addr, "--threads=32", "--time=0", "--events="+transactions, "run")
			if !strings.Contains(out, "reconnects:                          0 ") {
				t.Errorf("sysbench reconnected:\n%s", out)
			}
			p.noneCutOff(t)
		})
	}
}

// noneCutOff looks for sessions that the proxy has ended.
func (p *proxy) noneCutOff(t *testing.T) {
	t.Helper()
	if n := p.logLines(`session ended|\(critical\)`) - p.logLines(`\(critical\) plugin proxy`); n != 0 {
		t.Errorf("the log has %d lines on errors or on sessions that were cut off", n)
	}
}

// Whatever connections are idle, a statement runs with the rights of the user
// who sent it.
func TestLuaClassicSplittingNeverCrossesUsers(t *testing.T) {
	users := bed.Users.App.Name + ":" + bed.Users.App.Password + "\n" + bed.Users.Empty.Name + ":" + bed.Users.Empty.Password + "\n"
	t.Run("sessions of logins", func(t *testing.T) { classicSplittingNeverCrossesUsers(t) })
	t.Run("sessions that the proxy opens", func(t *testing.T) {
		classicSplittingNeverCrossesUsers(t, "--users-file="+secretFile(t, filepath.Join(t.TempDir(), "users"), users))
	})
}

func classicSplittingNeverCrossesUsers(t *testing.T, args ...string) {
	waitForReplica(t)
	p := classicSplit(t, args...)
	users := []user{bed.Users.App, bed.Users.Empty}
	var lost, answered [2]atomic.Int64
	var wg sync.WaitGroup
	for w := range 12 {
		wg.Go(func() {
			u := users[w%2]
			want := u.Name + "@% " + bed.Database
			for range 20 {
				c, err := tryConnectAs(t, p.addr, u, bed.Database)
				if err != nil {
					t.Errorf("login as %s: %v", u.Name, err)
					return
				}
				for i := range 12 {
					got, err := c.tryRows([]string{"SELECT CURRENT_USER(), DATABASE()", "SHOW TABLES LIKE 'none'", "BEGIN",
						"SELECT CURRENT_USER(), DATABASE() FOR UPDATE", "COMMIT", "SELECT CURRENT_USER(), DATABASE() FROM seq_1_to_1"}[i%6])
					if errors.Is(err, mysql.ErrInvalidConn) || errors.Is(err, context.DeadlineExceeded) || err != nil && strings.Contains(err.Error(), "bad connection") {
						lost[w%2].Add(1)
						break
					}
					if err != nil {
						t.Errorf("%s: %v", u.Name, err)
						return
					}
					if answered[w%2].Add(1); got != "" && got != want {
						t.Errorf("%s, statement %d: got %q, want %q", u.Name, i, got, want)
					}
				}
				c.Close()
			}
		})
	}
	wg.Wait()
	for i, u := range users {
		t.Logf("%s: %d statements, %d lost connections", u.Name, answered[i].Load(), lost[i].Load())
		if lost[i].Load() > 0 {
			t.Errorf("%s: %d connections were lost", u.Name, lost[i].Load())
		}
	}
}

// waitForReplica returns when the replica has what the primary has.
func waitForReplica(t *testing.T) {
	t.Helper()
	at := connectAs(t, bed.Primary.Addr, bed.Users.App, "").rows("SELECT @@gtid_binlog_pos")
	connectAs(t, bed.Replicas[0].Addr, bed.Users.App, "").mustRows("SELECT MASTER_GTID_WAIT('"+at+"', 60)", "0")
}
