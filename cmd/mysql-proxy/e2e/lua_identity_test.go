package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"mysqlproxy/packet"
)

// A script of MySQL Proxy's time reads at the replica from the first statement of
// the first client on, without connections that logins have left, where the proxy
// can log in as its users.
func TestLuaClassicSplittingFromTheFirstStatement(t *testing.T) {
	mustExec(t, "DROP DATABASE IF EXISTS e2e_lua", "CREATE DATABASE e2e_lua", "CREATE TABLE e2e_lua.t (id INT AUTO_INCREMENT PRIMARY KEY, at INT)")
	waitForReplica(t)
	app, empty := bed.Users.App, bed.Users.Empty
	dir := t.TempDir()
	file := func(name, text string) string { return secretFile(t, filepath.Join(dir, name), text) }
	passwords := app.Name + ":" + app.Password + "\n" + empty.Name + ":\n"
	hashes := fmt.Sprintf("%s:*%X\n%s:\n", app.Name, packet.NativeHash([]byte(app.Password)), empty.Name)
	for name, args := range map[string][]string{
		"passwords": {"--users-file=" + file("passwords", passwords)},
		"hashes":    {"--users-file=" + file("hashes", hashes)},
		"sync":      {"--auth-sync-user=" + app.Name, "--auth-sync-password-file=" + file("sync", app.Password+"\n")},
		"relay":     {"--auth=relay"},
	} {
		t.Run(name, func(t *testing.T) {
			p := classicSplit(t, args...)
			const where = "SELECT @@server_id, DATABASE(), CURRENT_USER(), @@character_set_client, @@collation_connection"
			c := connectAs(t, p.addr, app, "e2e_lua")
			direct := connectAs(t, bed.Replicas[0].Addr, app, "e2e_lua")
			c.mustRows(where, direct.rows(where))
			c.exec("INSERT INTO t (at) SELECT @@server_id", "DO 0")
			c.mustRows(where, direct.rows(where))
			c.exec("BEGIN")
			c.mustRows("SELECT @@server_id, DATABASE()", "1 e2e_lua")
			c.exec("COMMIT")
			latin := openDB(t, p.addr, app, "", "collation=latin1_swedish_ci&readTimeout=60s")
			var id, database, charset string
			if err := latin.QueryRow("SELECT @@server_id, COALESCE(DATABASE(), 'none'), @@character_set_client").Scan(&id, &database, &charset); err != nil || id != "2" || database != "none" || charset != "latin1" {
				t.Errorf("a client without a database is on server %s in %s with %s, %v; want 2, none and latin1", id, database, charset, err)
			}
			if name != "sync" { // there is no hash of an empty password
				other := connectAs(t, p.addr, empty, "")
				other.mustRows("SELECT @@server_id, CURRENT_USER()", "2 "+empty.Name+"@%")
			}
			p.noneCutOff(t)
		})
	}
}

// secretFile writes a file that only its owner may read.
func secretFile(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// A user whom the replica does not let in reads where it writes.
func TestLuaClassicSplittingWhereTheReplicaRefuses(t *testing.T) {
	waitForReplica(t)
	only := user{Name: "e2e_only_primary", Password: "only"}
	mustExec(t, "SET sql_log_bin=0", "CREATE OR REPLACE USER "+only.Name+" IDENTIFIED BY '"+only.Password+"'", "SET sql_log_bin=1")
	t.Cleanup(func() { mustExec(t, "SET sql_log_bin=0", "DROP USER "+only.Name, "SET sql_log_bin=1") })
	users := secretFile(t, filepath.Join(t.TempDir(), "users"), only.Name+":"+only.Password+"\n")
	p := classicSplit(t, "--users-file="+users, "--log-level=info")
	c := connectAs(t, p.addr, only, "")
	for range 3 {
		c.mustRows("SELECT @@server_id, CURRENT_USER()", "1 "+only.Name+"@%")
		c.exec("DO 0")
	}
	if n := p.logLines(`could not be opened.*Access denied`); n != 1 {
		t.Errorf("the log says %d times that the replica refuses, want once", n)
	}
}
