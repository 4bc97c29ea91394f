package e2e

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A replica whose primary is the proxy's address: registration, the endless
// stream of events, semi-synchronous acknowledgements and reconnects.
func TestReplicaThroughTheProxy(t *testing.T) {
	p := startProxy(t, []string{bed.Primary.Addr})
	primary := openDB(t, bed.Primary.Addr, bed.Users.App, "", "")
	replica, root := startReplica(t, primary, p.addr)

	transactions := 100 // of each writer, each time
	if long {
		transactions = 2500
	}
	execAll(t, primary, "DROP DATABASE IF EXISTS e2e_repl", "CREATE DATABASE e2e_repl", "FLUSH BINARY LOGS",
		"CREATE TABLE e2e_repl.t (id INT AUTO_INCREMENT PRIMARY KEY, worker INT, v LONGBLOB, KEY (worker))")
	logName := binaryLog(t, primary)

	write := func() {
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() { writeTransactions(t, w, transactions) })
		}
		wg.Wait()
	}
	write()
	inSync(t, primary, replica) // it is connected
	// An event of more than a packet's length.
	execAll(t, primary, "INSERT INTO e2e_repl.t (worker, v) SELECT 99, REPEAT('big', 8000000)")
	// The replica comes back by itself after its dump thread was killed.
	var dump int
	if err := primary.QueryRow("SELECT MAX(id) FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'").Scan(&dump); err != nil {
		t.Fatal(err)
	}
	execAll(t, primary, fmt.Sprintf("KILL %d", dump))
	write()
	inSync(t, primary, replica)

	// Semi-synchronous: now the replica speaks in the middle of the stream.
	execAll(t, primary, "SET GLOBAL rpl_semi_sync_master_enabled = ON")
	t.Cleanup(func() { execAll(t, primary, "SET GLOBAL rpl_semi_sync_master_enabled = OFF") })
	execAll(t, root, "STOP SLAVE", "SET GLOBAL rpl_semi_sync_slave_enabled = ON", "START SLAVE")
	eventually(t, patience, "the replica is a semi-synchronous one", func() bool {
		return status(t, primary, "Rpl_semi_sync_master_clients") == "1"
	})
	write()
	inSync(t, primary, replica)
	if n := status(t, primary, "Rpl_semi_sync_master_yes_tx"); n == "0" {
		t.Error("no transaction was acknowledged by the replica")
	}

	execAll(t, primary, "FLUSH BINARY LOGS")
	sameBinaryLog(t, logName, p.addr)
}

// startReplica starts a server of its own that follows the proxy at addr, and
// returns a pool of the app user and one of root.
func startReplica(t *testing.T, primary *sql.DB, addr string) (app, root *sql.DB) {
	t.Helper()
	own, err := startTestbed(binDir, "--replicas=0", "--option=server-id=77", "--option=gtid-strict-mode=0",
		"--option=replicate-wild-do-table=e2e_repl.%", "--option=slave-net-timeout=10")
	if own != nil {
		t.Cleanup(own.stop)
	}
	if err != nil {
		t.Fatal(err)
	}
	root, err = sql.Open("mysql", own.Users.Root.Name+"@unix("+own.Primary.Socket+")/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	var at string
	if err := primary.QueryRow("SELECT @@gtid_binlog_pos").Scan(&at); err != nil {
		t.Fatal(err)
	}
	host, port, _ := strings.Cut(addr, ":")
	execAll(t, root, "RESET MASTER", "SET GLOBAL gtid_slave_pos = '"+at+"'",
		fmt.Sprintf("CHANGE MASTER TO MASTER_HOST='%s', MASTER_PORT=%s, MASTER_USER='%s', MASTER_PASSWORD='%s', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1",
			host, port, bed.Users.Replication.Name, bed.Users.Replication.Password),
		"START SLAVE")
	return openDB(t, own.Primary.Addr, own.Users.App, "", ""), root
}

// writeTransactions writes n small transactions.
func writeTransactions(t *testing.T, worker, n int) {
	db := openDB(t, bed.Primary.Addr, bed.Users.App, "e2e_repl", "interpolateParams=true")
	for i := range n {
		tx, err := db.Begin()
		if err != nil {
			t.Error(err)
			return
		}
		for _, q := range []string{
			fmt.Sprintf("INSERT INTO t (worker, v) VALUES (%d, REPEAT('%c', %d))", worker, 'a'+i%26, i*i%20000),
			fmt.Sprintf("UPDATE t SET v = CONCAT(v, 'u') WHERE worker = %d ORDER BY id DESC LIMIT 3", worker),
			fmt.Sprintf("DELETE FROM t WHERE worker = %d ORDER BY id LIMIT %d", worker, i%2),
		} {
			if _, err := tx.Exec(q); err != nil {
				t.Errorf("%.80s: %v", q, err)
				_ = tx.Rollback() // the first error is the one to know
				return
			}
		}
		if err := tx.Commit(); err != nil {
			t.Error(err)
			return
		}
		time.Sleep(5 * time.Millisecond) // a steady stream, not all that the machine can do
	}
}

// inSync waits for the replica to have everything and compares checksums.
func inSync(t *testing.T, primary, replica *sql.DB) {
	t.Helper()
	var at string
	if err := primary.QueryRow("SELECT @@gtid_binlog_pos").Scan(&at); err != nil {
		t.Fatal(err)
	}
	var reached int
	if err := replica.QueryRow("SELECT MASTER_GTID_WAIT(?, 60)", at).Scan(&reached); err != nil || reached != 0 {
		t.Fatalf("the replica did not reach %s: %d, %v; it says: %s", at, reached, err, slaveStatus(replica))
	}
	want, got := checksum(t, primary), checksum(t, replica)
	if want != got || want == "" {
		t.Errorf("checksum %q at the replica, want %q", got, want)
	}
}

func checksum(t *testing.T, db *sql.DB) string {
	t.Helper()
	var table, sum string
	var n int
	if err := db.QueryRow("CHECKSUM TABLE e2e_repl.t EXTENDED").Scan(&table, &sum); err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRow("SELECT COUNT(*) FROM e2e_repl.t").Scan(&n); err != nil || n < 100 {
		t.Errorf("%d rows, %v; want 100 at least", n, err)
	}
	return fmt.Sprintf("%s of %d rows", sum, n)
}

// sameBinaryLog reads a finished binary log from the server, as events and as
// a file, directly and through the proxy.
func sameBinaryLog(t *testing.T, name, addr string) {
	t.Helper()
	read := func(addr string, args ...string) {
		t.Helper()
		host, port, _ := strings.Cut(addr, ":")
		args = append([]string{"--no-defaults", "--read-from-remote-server", "--protocol=tcp", "-h", host, "-P", port,
			"-u", bed.Users.App.Name, "-p" + bed.Users.App.Password}, append(args, name)...)
		if out, err := exec.Command("mariadb-binlog", args...).CombinedOutput(); err != nil {
			t.Fatalf("mariadb-binlog at %s: %v\n%s", addr, err, out)
		}
	}
	dir := t.TempDir()
	for _, form := range []string{"raw", "text"} {
		var sum [2][]byte
		for i, addr := range []string{bed.Primary.Addr, addr} {
			out := filepath.Join(dir, fmt.Sprintf("%s%d-", form, i))
			if form == "raw" {
				read(addr, "--raw", "--result-file="+out)
				out += name
			} else {
				read(addr, "--verbose", "--result-file="+out)
			}
			b, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			sum[i] = b
		}
		if len(sum[0]) < 20<<20 {
			t.Errorf("%s: the binary log has %d bytes, want the 24 MB of the large event at least", form, len(sum[0]))
		}
		if !bytes.Equal(sum[0], sum[1]) {
			t.Errorf("%s: the binary log read through the proxy differs from the one read directly (%d and %d bytes)", form, len(sum[1]), len(sum[0]))
		}
	}
}

// binaryLog is the name of the log that is being written.
func binaryLog(t *testing.T, db *sql.DB) string {
	t.Helper()
	var name, do, ignore string
	var pos int
	if err := db.QueryRow("SHOW MASTER STATUS").Scan(&name, &pos, &do, &ignore); err != nil {
		t.Fatal(err)
	}
	return name
}

func status(t *testing.T, db *sql.DB, name string) (value string) {
	t.Helper()
	if err := db.QueryRow("SHOW GLOBAL STATUS LIKE '"+name+"'").Scan(&name, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// slaveStatus is what a replica says of itself, for a failure's message.
func slaveStatus(db *sql.DB) string {
	rows, err := db.Query("SHOW REPLICA STATUS")
	if err != nil {
		return err.Error()
	}
	defer rows.Close()
	cols, err := rows.Columns()
	if err != nil || !rows.Next() {
		return "nothing"
	}
	vals := make([]any, len(cols))
	for i := range vals {
		vals[i] = new(sql.NullString)
	}
	if err := rows.Scan(vals...); err != nil {
		return err.Error()
	}
	var b strings.Builder
	for i, c := range cols {
		if v := vals[i].(*sql.NullString).String; strings.Contains(c, "Err") || strings.Contains(c, "Running") || strings.Contains(c, "Pos") {
			fmt.Fprintf(&b, "%s=%s ", c, v)
		}
	}
	return b.String()
}

func execAll(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, q := range statements {
		if _, err := db.Exec(q); err != nil {
			t.Fatalf("%.100s: %v", q, err)
		}
	}
}
