package e2e

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"
)

// guardReplicas fails the test at its end if one of the replicas has written
// anything by itself into its binary log: whatever a proxy sends there, it must
// be nothing that a primary would have to hear of.
func guardReplicas(t *testing.T) {
	t.Helper()
	b := servers(t)
	t.Cleanup(func() {
		for _, r := range b.Replicas {
			wrote, err := ownWrites(b, r)
			if err != nil {
				t.Errorf("%s: %v", r.Name, err)
			}
			if wrote != "" {
				t.Errorf("%s has written by itself: %s", r.Name, wrote)
			}
		}
	})
}

// ownWrites is the part of a replica's log position that is its own, empty if
// all that it has written came from its primary.
func ownWrites(b *testbed, r server) (wrote string, err error) {
	db, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s)/?timeout=60s", b.Users.App.Name, b.Users.App.Password, r.Addr))
	if err != nil {
		return "", err
	}
	defer db.Close()
	query := "SELECT @@server_id, @@gtid_binlog_state"
	if b.mysql() {
		query = "SELECT @@server_uuid, @@gtid_executed"
	}
	var own, position string
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) { // it may be about to come back
		if err = db.QueryRow(query).Scan(&own, &position); err == nil || time.Now().After(end) {
			break
		}
	}
	for part := range strings.SplitSeq(position, ",") {
		part = strings.TrimSpace(part) // MariaDB: domain-server-number; MySQL: uuid:numbers
		fields := strings.Split(part, "-")
		if b.mysql() && strings.HasPrefix(part, own+":") || !b.mysql() && len(fields) == 3 && fields[1] == own {
			wrote += part + " "
		}
	}
	return wrote, err
}

// TestGuardOfReplicas holds that the guard sees what a replica writes.
func TestGuardOfReplicas(t *testing.T) {
	for _, f := range flavours {
		t.Run(f.name, func(t *testing.T) {
			own, err := startTestbed(binDir, "--flavour="+f.name, "--replicas=1")
			if own != nil {
				t.Cleanup(own.stop)
			}
			if err != nil {
				t.Fatal(err)
			}
			r := own.Replicas[0]
			if wrote, err := ownWrites(own, r); err != nil || wrote != "" {
				t.Fatalf("before anything was written: %q, %v", wrote, err)
			}
			root, err := sql.Open("mysql", own.Users.Root.Name+"@unix("+r.Socket+")/"+own.Database)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			execAll(t, root, "INSERT INTO notes (body) VALUES ('by itself')") // root may, although it is read_only
			if wrote, err := ownWrites(own, r); err != nil || wrote == "" {
				t.Errorf("after a write: %q, %v; want its place in the log", wrote, err)
			}
		})
	}
}
