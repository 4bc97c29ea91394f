package scripts

import (
	"os"
	"path/filepath"
	"testing"
)

// owning is a --users-file with the testbed's users, by which the proxy can log in
// as them.
func owning(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "users")
	text := bed.Users.App.Name + ":" + bed.Users.App.Password + "\n" + bed.Users.Empty.Name + ":" + bed.Users.Empty.Password + "\n"
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return "--users-file=" + name
}

// Where the proxy can open connections itself, no login has to leave some.
func TestReadsFromTheFirstStatement(t *testing.T) { onEveryFlavour(t, testReadsFromTheFirstStatement) }

func testReadsFromTheFirstStatement(t *testing.T) {
	const where = "SELECT CONCAT(DATABASE(), ' ', CURRENT_USER(), ' ', @@character_set_client, ' ', @@collation_connection)"
	for name, change := range map[string][]string{
		"no warm-up": {"primary_after_write = 2", "primary_after_write = 0", "warm_up = true", "warm_up = false"},
		"warm-up":    {"primary_after_write = 2", "primary_after_write = 0"},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, setup{script: "rw-splitting.lua", change: change, backends: []string{bed.Primary.Addr}, replicas: bed.replicaAddrs(),
				args: []string{"--event-threads=1", owning(t)}})
			answered := map[string]bool{}
			for i := range 8 {
				u := []user{bed.Users.App, bed.Users.Empty}[i%2]
				s := connect(t, p.addr, u, "test")
				direct := connect(t, bed.Replicas[0].Addr, u, "test")
				got := s.value(whoAnswers)
				if answered[got] = true; !onReplica(got) {
					t.Errorf("client %d: server %s answers the first statement, want a replica", i, got)
				}
				if got, want := s.value(where), direct.value(where); got != want {
					t.Errorf("client %d is in %s, want %s", i, got, want)
				}
				s.exec("BEGIN")
				if got := s.value(whoAnswers); got != "1" {
					t.Errorf("client %d: server %s answers in a transaction", i, got)
				}
				s.exec("INSERT INTO own (client, v) VALUES (9700, 1)")
				if got := s.value("SELECT COUNT(*) FROM own WHERE client = 9700"); got != "1" {
					t.Errorf("client %d sees %s rows in its transaction, want 1", i, got)
				}
				s.exec("ROLLBACK")
				if got := s.value(whoAnswers); !onReplica(got) {
					t.Errorf("client %d: server %s answers a read, want a replica", i, got)
				}
				s.close()
			}
			if len(answered) != 2 {
				t.Errorf("only %v have answered, want both replicas", answered)
			}
		})
	}
}

// A replica that does not know the password's hash by heart asks for the password,
// and behind that a client cannot be asked once more for the primary. Nobody is
// turned away for that.
func TestReplicasThatAskForThePassword(t *testing.T) {
	withFlavour(t, "mysql9", func(t *testing.T) {
		forget := func() {
			for _, r := range bed.Replicas {
				connectRoot(t, r).exec("FLUSH PRIVILEGES")
			}
		}
		for name, args := range map[string][]string{"as logins leave them": nil, "opened": {owning(t)}} {
			t.Run(name, func(t *testing.T) {
				p := start(t, setup{script: "rw-splitting.lua", change: []string{"primary_after_write = 2", "primary_after_write = 0", "min_idle_connections = 4", "min_idle_connections = 40"},
					backends: []string{bed.Primary.Addr}, replicas: bed.replicaAddrs(), args: append([]string{"--event-threads=1"}, args...)})
				for _, r := range bed.Replicas { // so that the first login there shows that the client can be asked
					connect(t, r.Addr, bed.Users.App, "test").close()
				}
				for range 3 {
					s := connect(t, p.addr, bed.Users.App, "test")
					s.exec("DO 0")
					s.close()
					p.settled(t, 0)
				}
				for round := range 4 {
					for i := range 4 { // they stay, so that none leaves anything to the next one
						s := connect(t, p.addr, bed.Users.App, "test")
						s.exec("BEGIN", "INSERT INTO own (client, v) VALUES (9800, 1)")
						if got := s.value("SELECT COUNT(*) FROM own WHERE client = 9800"); got != "1" {
							t.Errorf("round %d, client %d sees %s rows in its transaction, want 1", round, i, got)
						}
						s.exec("ROLLBACK")
					}
					forget()
				}
				s := connect(t, p.addr, bed.Users.App, "test")
				if got := s.value(whoAnswers); !onReplica(got) {
					t.Errorf("server %s answers in the end, want a replica", got)
				}
			})
		}
	})
}
