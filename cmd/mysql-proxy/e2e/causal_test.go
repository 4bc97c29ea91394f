package e2e

import (
	"fmt"
	"sync"
	"testing"
)

// Reads see what somebody else has written, at a replica that lags again and again.
func TestReadsThatSeeOthersWrites(t *testing.T) {
	onEveryFlavour(t, func(t *testing.T) {
		clientDB(t, "e2e_causal")
		direct := openDB(t, bed.Primary.Addr, bed.Users.App, "", "")
		execAll(t, direct, "CREATE TABLE e2e_causal.t (id INT PRIMARY KEY)")
		onReplica(t, "SELECT COUNT(*) FROM e2e_causal.t", 0)
		for _, tc := range []struct{ name, consistency string }{{"asked for by the proxy", "strong-global"}, {"named by the client", "session"}, {"and nothing else", "primary-writes"}} {
			t.Run(tc.name, func(t *testing.T) {
				p := splittingProxy(t, "--consistency="+tc.consistency)
				defer readsAtReplicas(t, 1)()
				steady := sync.OnceFunc(lag(t, bed.Replicas[0]))
				defer steady()
				execAll(t, direct, "DELETE FROM e2e_causal.t")
				writer := openDB(t, p.addr, bed.Users.App, "", "interpolateParams=true")
				reader := openDB(t, p.addr, bed.Users.App, "", "interpolateParams=true")
				writer.SetMaxOpenConns(1)
				reader.SetMaxOpenConns(1)
				if tc.consistency == "strong-global" {
					writer = direct // the proxy sees nothing of it
				}
				for i := 1; i <= 60; i++ {
					execAll(t, writer, fmt.Sprintf("INSERT INTO e2e_causal.t VALUES (%d)", i))
					hint := ""
					if tc.consistency != "strong-global" {
						var token string
						if err := writer.QueryRow("SELECT @@proxy_gtid").Scan(&token); err != nil || token == "" {
							t.Fatalf("the token is %q, %v", token, err)
						}
						hint = "/* gtid=" + token + " */ "
					}
					var n int
					if err := reader.QueryRow(hint + "SELECT COUNT(*) FROM e2e_causal.t").Scan(&n); err != nil || n != i {
						t.Fatalf("%d rows, want %d: %v", n, i, err)
					}
				}
				// On a slow machine it may have been behind at every one of them.
				steady()
				at := openDB(t, bed.Replicas[0].Addr, bed.Users.App, "", "")
				before := selects(t, at)
				eventually(t, patience, "a read goes to the replica", func() bool {
					execAll(t, reader, "SELECT COUNT(*) FROM e2e_causal.t")
					return selects(t, at) > before
				})
			})
		}
	})
}

// More clients than sessions.
func TestFewSessions(t *testing.T) {
	onEveryFlavour(t, func(t *testing.T) {
		clientDB(t, "e2e_few")
		direct := openDB(t, bed.Primary.Addr, bed.Users.App, "", "")
		execAll(t, direct, "CREATE TABLE e2e_few.t (id INT AUTO_INCREMENT PRIMARY KEY, worker INT)")
		onReplica(t, "SELECT COUNT(*) FROM e2e_few.t", 0)
		for _, multiplex := range []string{"on", "off"} {
			t.Run("multiplex "+multiplex, func(t *testing.T) {
				p := splittingProxy(t, "--pool-max-sessions=3", "--multiplex="+multiplex, "--pool-wait=600", "--event-threads=2")
				execAll(t, direct, "DELETE FROM e2e_few.t")
				const workers, rounds = 9, 20
				var wg sync.WaitGroup
				for w := range workers {
					wg.Go(func() {
						db := openDB(t, p.addr, bed.Users.App, "", "interpolateParams=true")
						defer db.Close()
						for range rounds {
							tx, err := db.Begin()
							if err != nil {
								t.Error(err)
								return
							}
							if _, err = tx.Exec("INSERT INTO e2e_few.t (worker) VALUES (?)", w); err == nil {
								err = tx.Commit()
							}
							var n int
							if err == nil {
								err = db.QueryRow("SELECT COUNT(*) FROM e2e_few.t WHERE worker = ?", w).Scan(&n)
							}
							if err != nil {
								t.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				var n int
				if err := direct.QueryRow("SELECT COUNT(*) FROM e2e_few.t").Scan(&n); err != nil || n != workers*rounds {
					t.Errorf("%d rows, want %d: %v", n, workers*rounds, err)
				}
			})
		}
	})
}
