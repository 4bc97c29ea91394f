package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// MySQL and MariaDB behind one listener differ in the capabilities of their
// greetings, in the first plugin and in what they remember of a session. Each
// client must get on with the server that it is sent to, whichever that is.
func TestMixedFlavours(t *testing.T) {
	for _, pair := range [][2]string{{"mariadb10.11", "mysql9"}, {"mysql9", "mariadb11.8"}} {
		t.Run(pair[0]+" and "+pair[1], func(t *testing.T) {
			first, second := mustBed(t, pair[0]), mustBed(t, pair[1])
			primary, replica := []string{first.Primary.Addr}, "--proxy-read-only-backend-addresses="+second.Replicas[0].Addr
			for _, r := range []struct {
				name     string
				backends []string
				args     []string
				on       []*testbed // whose servers sessions get, each at least one
			}{
				{"a primary and a replica", primary, []string{replica}, []*testbed{first}},
				{"two primaries", []string{first.Primary.Addr, second.Primary.Addr}, nil, []*testbed{first, second}},
				{"a script that pools", primary, []string{replica, scriptArg(t, "tutorial-6-pool.lua")}, []*testbed{first}},
				{"a script that has clients on the replica", primary, []string{replica, scriptArg(t, "ro-balance.lua")}, []*testbed{second}},
			} {
				t.Run(r.name, func(t *testing.T) {
					testMixed(t, startProxy(t, r.backends, append(r.args, "--event-threads=1")...), r.on)
				})
			}
		})
	}
}

func mustBed(t *testing.T, flavour string) *testbed {
	t.Helper()
	b, err := bedOf(flavour)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// scriptArg has the proxy run a script of the folder scripts.
func scriptArg(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../../scripts", name))
	if err != nil {
		t.Fatal(err)
	}
	return "--proxy-lua-script=" + path
}

// testMixed logs in as different users, by different layers, again and again.
func testMixed(t *testing.T, p *proxy, on []*testbed) {
	sessions := map[string]int{} // by the server's flavour
	for i := range 12 {
		u := []user{bed.Users.App, bed.Users.Empty}[i%2]
		how := []layers{{}, {tls: anyServer()}, {zip: capCompress}}[i/2%3]
		what := fmt.Sprintf("login %d as %s", i, u.Name)
		s, said := dialLayers(t, p.addr, how)
		if s == nil {
			t.Fatalf("%s: no greeting: %s", what, said)
		}
		defer s.nc.Close() // where a check below fails
		mariaDB := s.caps&capLongPassword == 0
		if said = s.login(login{user: u.Name, password: u.Password, db: bed.Database, caps: capsBase}); said != "OK" {
			t.Fatalf("%s: %s", what, said)
		}
		version := s.ask("SELECT VERSION()")
		if shown := strings.TrimPrefix(s.version, "5.5.5-"); shown != version || strings.Contains(version, "MariaDB") != mariaDB {
			t.Errorf("%s: the greeting is of %q, MariaDB's: %t; the server is %q", what, s.version, mariaDB, version)
		}
		for _, b := range on {
			if b.mysql() != mariaDB {
				sessions[b.Flavour]++
			}
		}
		s.mustAsk("SELECT CONCAT(CURRENT_USER(), ' ', DATABASE(), ' ', @@autocommit + 0)", u.Name+"@% "+bed.Database+" 1")
		s.mustAsk("SELECT COALESCE(@left, 'nothing')", "nothing")
		s.mustAsk("SET @left = 'something'", "OK")
		s.mustAsk("SELECT COUNT(*) FROM information_schema.collations WHERE collation_name = 'utf8mb4_bin'", "1")
		s.mustAsk("SELECT missing FROM missing", "ERR 1146")
		s.mustAsk("PREPARE p FROM 'SELECT ? + 1'", "OK")
		s.mustAsk("EXECUTE p USING @left", "1") // a text that is no number
		s.mustAsk("SELECT REPEAT('ab', 3)", "ababab")
		if len(on) == 1 || i%2 == 1 { // else it stays, so that the next one has reason to go elsewhere
			s.quit()
		}
	}
	total := 0
	for _, b := range on {
		if total += sessions[b.Flavour]; sessions[b.Flavour] == 0 {
			t.Errorf("nobody was sent to %s", b.Flavour)
		}
	}
	if total != 12 {
		t.Errorf("12 sessions were at %v", sessions)
	}

	var three int
	db := openDB(t, p.addr, bed.Users.App, bed.Database, "")
	if err := db.QueryRow("SELECT ? + 1", 2).Scan(&three); err != nil || three != 3 {
		t.Errorf("go-sql-driver: a prepared statement says %d, %v", three, err)
	}
	if out, err := mariadbCLI(t, p.addr, bed.Users.App, "SELECT 1", "SELECT 'two'"); out != "1\ntwo" || err != nil {
		t.Errorf("mariadb: %q, %v", out, err)
	}
	host, port, _ := strings.Cut(p.addr, ":")
	out, err := runTool(t, nil, filepath.Join(fetchedBin(t, "mysql9"), "mysql"), "--no-defaults", "--protocol=tcp", "-h", host, "-P", port,
		"-u", bed.Users.App.Name, "-p"+bed.Users.App.Password, "--batch", "--skip-column-names", "--ssl-mode=REQUIRED", "-e", "SELECT 1; SELECT 'two'")
	if !strings.HasSuffix(out, "1\ntwo") || err != nil {
		t.Errorf("mysql: %q, %v", out, err)
	}
}
