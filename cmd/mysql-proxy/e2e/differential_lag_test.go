package e2e

import (
	"database/sql"
	"testing"
	"time"
)

// The replicas of a differential run: one that lags, and what they were asked.

// lag makes a replica apply nothing for a while, again and again, until the
// function that it returns is called.
func lag(t *testing.T, r server) (end func()) {
	t.Helper()
	stop, start := "STOP SLAVE SQL_THREAD", "START SLAVE SQL_THREAD"
	if bed.mysql() {
		stop, start = "STOP REPLICA SQL_THREAD", "START REPLICA SQL_THREAD"
	}
	root, err := sql.Open("mysql", bed.Users.Root.Name+"@unix("+r.Socket+")/")
	if err != nil {
		t.Fatal(err)
	}
	over, gone := make(chan struct{}), make(chan struct{})
	var fault error
	go func() {
		defer close(gone)
		defer root.Close()
		var last time.Duration // what it took to stop: so much more it needs to catch up
		for on := true; fault == nil; on = !on {
			statement, pause := start, 100*time.Millisecond+2*last
			if on {
				statement, pause = stop, 150*time.Millisecond
			}
			begun := time.Now()
			_, fault = root.Exec(statement)
			last = time.Since(begun)
			select {
			case <-time.After(pause):
			case <-over:
				_, _ = root.Exec(start) // a note if it runs already
				return
			}
		}
	}()
	return func() {
		close(over)
		<-gone
		if fault != nil {
			t.Errorf("%s: %v", r.Name, fault)
		}
	}
}

// readsAtReplicas counts the SELECTs that replicas answer until the function
// that it returns is called. There have to be some at each: a proxy that sends
// everything to the primary passes any comparison.
func readsAtReplicas(t *testing.T, n int) (end func()) {
	t.Helper()
	var pools []*sql.DB
	var before []int
	for _, r := range bed.Replicas[:n] {
		db := openDB(t, r.Addr, bed.Users.App, "", "")
		pools = append(pools, db)
		before = append(before, selects(t, db))
	}
	return func() {
		for i, db := range pools {
			now := selects(t, db) - before[i]
			if now == 0 {
				t.Errorf("%s has answered no SELECT", bed.Replicas[i].Name)
			}
			t.Logf("%s has answered %d SELECTs", bed.Replicas[i].Name, now)
		}
	}
}

func selects(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	var name string
	if err := db.QueryRow("SHOW GLOBAL STATUS LIKE 'Com_select'").Scan(&name, &n); err != nil {
		t.Fatal(err)
	}
	return n
}
