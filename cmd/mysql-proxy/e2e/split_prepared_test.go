package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"mysqlproxy/engine/enginetest"
)

// splittingProxy starts a proxy that reads from replicas in app's name.
func splittingProxy(t *testing.T, args ...string) *proxy {
	t.Helper()
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte(bed.Users.App.Name+":"+bed.Users.App.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args = append(args, "--users-file="+users)
	for _, r := range bed.Replicas {
		args = append(args, "--proxy-read-only-backend-addresses="+r.Addr)
	}
	openDB(t, bed.Primary.Addr, bed.Users.App, "", "tls=skip-verify").Ping() // from here on MySQL has it in its cache
	return startProxy(t, []string{bed.Primary.Addr}, args...)
}

// globalStatus is a figure of a server's.
func globalStatus(t *testing.T, db *sql.DB, name string) (n int) {
	t.Helper()
	if err := db.QueryRow("SHOW GLOBAL STATUS LIKE '"+name+"'").Scan(&name, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// onReplica waits until the replica answers query with want.
func onReplica(t *testing.T, query string, want int) {
	t.Helper()
	for _, r := range bed.Replicas {
		db := openDB(t, r.Addr, bed.Users.App, "", "")
		eventually(t, patience, r.Name+" has what the primary has", func() bool {
			var n int
			return db.QueryRow(query).Scan(&n) == nil && n == want
		})
	}
}

// readsThatWentHome is how many reads the proxy has had run at the primary because no
// replica was to be had in time, which is up to the machine.
func readsThatWentHome(t *testing.T, http string) (n int) {
	t.Helper()
	m := samples(t, http)
	for _, why := range []string{"no_replica", "behind"} {
		n += int(m["mysql_proxy_routed_commands_total{reason="+why+",route=primary}"])
	}
	return n
}

func TestSplittingPreparedStatementsUnderSysbench(t *testing.T) {
	onEveryFlavour(t, func(t *testing.T) {
		clientDB(t, "e2e_ps")
		sysbench := func(addr string, args ...string) string {
			t.Helper()
			host, port, err := net.SplitHostPort(addr)
			if err != nil {
				t.Fatal(err)
			}
			out, err := runTool(t, nil, "sysbench", append([]string{"oltp_read_only", "--db-driver=mysql", "--mysql-host=" + host, "--mysql-port=" + port,
				"--mysql-user=" + bed.Users.App.Name, "--mysql-password=" + bed.Users.App.Password, "--mysql-db=e2e_ps",
				"--tables=2", "--table-size=1000", "--db-ps-mode=auto", "--skip-trx=on"}, args...)...)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		sysbench(bed.Primary.Addr, "prepare")
		onReplica(t, "SELECT (SELECT COUNT(*) FROM e2e_ps.sbtest1) + (SELECT COUNT(*) FROM e2e_ps.sbtest2)", 2000)
		primary, replica := openDB(t, bed.Primary.Addr, bed.Users.App, "", ""), openDB(t, bed.Replicas[0].Addr, bed.Users.App, "", "")
		http := enginetest.FreeAddr(t)
		p := splittingProxy(t, "--http-address="+http)
		home, there := globalStatus(t, primary, "Com_stmt_execute"), globalStatus(t, replica, "Com_stmt_execute")
		out := sysbench(p.addr, "--threads=16", "--time=0", "--events=1500", "run")
		home, there = globalStatus(t, primary, "Com_stmt_execute")-home, globalStatus(t, replica, "Com_stmt_execute")-there
		for _, line := range []string{"ignored errors:                      0 ", "reconnects:                          0 "} {
			if !strings.Contains(out, line) {
				t.Errorf("sysbench does not say %q:\n%s", line, out)
			}
		}
		t.Logf("%d executions at the primary, %d at the replica", home, there)
		if !relayOnly {
			if late := readsThatWentHome(t, http); there == 0 || (home-late)*20 > there {
				t.Errorf("%d executions at the primary, %d of them because no replica was to be had, and %d at the replica, want nearly all there", home, late, there)
			}
		}
		p.noneCutOff(t)
	})
}

// Of many statements that clients keep open, a replica has a few.
func TestSplittingManyPreparedStatements(t *testing.T) {
	const clients, each, most = 4, 1000, 200
	onEveryFlavour(t, func(t *testing.T) {
		clientDB(t, "e2e_ps")
		mustExec(t, "CREATE TABLE e2e_ps.t (id INT PRIMARY KEY, v INT)", "INSERT INTO e2e_ps.t VALUES (1, 10), (2, 20), (3, 30)")
		onReplica(t, "SELECT COUNT(*) FROM e2e_ps.t", 3)
		primary, replica := openDB(t, bed.Primary.Addr, bed.Users.App, "", ""), openDB(t, bed.Replicas[0].Addr, bed.Users.App, "", "")
		http := enginetest.FreeAddr(t)
		p := splittingProxy(t, "--http-address="+http)
		there, openThere, openHome := globalStatus(t, replica, "Com_stmt_execute"), globalStatus(t, replica, "Prepared_stmt_count"), globalStatus(t, primary, "Prepared_stmt_count")
		db := openDB(t, p.addr, bed.Users.App, "e2e_ps", "")
		var all, done sync.WaitGroup
		closing := make(chan struct{})
		for c := range clients {
			all.Add(1)
			done.Go(func() {
				err := func() error {
					defer all.Done()
					ctx := context.Background()
					conn, err := db.Conn(ctx)
					if err != nil {
						return err
					}
					defer func() { go func() { <-closing; conn.Close() }() }()
					var list []*sql.Stmt
					ask := func(st *sql.Stmt, id int) error {
						var v int
						if err := st.QueryRow(id).Scan(&v); err != nil || v != 10*id {
							return fmt.Errorf("got %d of row %d, %v", v, id, err)
						}
						return nil
					}
					for i := range each {
						st, err := conn.PrepareContext(ctx, fmt.Sprintf("SELECT v FROM t WHERE id = ? AND %d = %d", c*each+i, c*each+i))
						if err != nil {
							return err
						}
						list = append(list, st)
						if err := ask(st, 1+i%3); err != nil {
							return err
						}
					}
					for i, st := range append(list[:20:20], list[each-20:]...) { // those that the replica has forgotten, and others
						if err := ask(st, 1+i%3); err != nil {
							return err
						}
					}
					return nil
				}()
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		n, now, open := globalStatus(t, replica, "Com_stmt_execute")-there, globalStatus(t, replica, "Prepared_stmt_count")-openThere, globalStatus(t, primary, "Prepared_stmt_count")-openHome
		t.Logf("%d executions at the replica, which has %d of %d statements", n, now, open)
		if open != clients*each {
			t.Errorf("the primary has %d statements, want all %d", open, clients*each)
		}
		if !relayOnly && (now > clients*most || now == 0) {
			t.Errorf("the replica has %d statements, want some, and at most %d for each of %d clients", now, most, clients)
		}
		if want := clients * (each + 40); !relayOnly && n < want*9/10 {
			if late := readsThatWentHome(t, http); n+late < want*9/10 {
				t.Errorf("%d executions at the replica, want nearly all of %d, but for %d when no replica was to be had", n, want, late)
			}
		}
		close(closing)
		done.Wait()
		db.Close()
		eventually(t, patience, "all statements are closed", func() bool {
			return globalStatus(t, primary, "Prepared_stmt_count") <= openHome && globalStatus(t, replica, "Prepared_stmt_count") <= openThere
		})
		p.noneCutOff(t)
	})
}
