package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"mysqlproxy/engine/enginetest"
)

var adminUser = user{Name: "admin", Password: "s3cret"}

// startAdmin starts the proxy with the admin plugin, and returns the address of
// that as well.
func startAdmin(t *testing.T, backends []string, args ...string) (p *proxy, addr string) {
	t.Helper()
	if relayOnly {
		t.Fatal("a relay has no admin port")
	}
	addr = enginetest.FreeAddr(t)
	p = startProxy(t, backends, append([]string{"--plugins=proxy", "--plugins=admin", "--admin-address=" + addr,
		"--admin-username=" + adminUser.Name, "--admin-password=" + adminUser.Password}, args...)...)
	eventually(t, patience, "the admin port listens", func() bool { return listening(t, addr) })
	return p, addr
}

// What 0.8.5's admin plugin did with its own script, the console does.
func TestAdminPort(t *testing.T) {
	p, admin := startAdmin(t, []string{bed.Primary.Addr}, "-r", bed.Replicas[0].Addr)
	backends := func(state, clients string) string {
		return "1\t" + bed.Primary.Addr + "\t" + state + "\trw\tNULL\t" + clients + "\n" +
			"2\t" + bed.Replicas[0].Addr + "\tunknown\tro\tNULL\t0"
	}
	cli := func(want string, statements ...string) {
		t.Helper()
		if out, err := mariadbCLI(t, admin, adminUser, statements...); out != want || err != nil {
			t.Errorf("mariadb, %s: %q, %v; want %q", statements, out, err, want)
		}
	}
	cli(backends("unknown", "0"), "SELECT * FROM backends")
	held := openSession(t, p.addr)
	held.mustAsk("SELECT 1", "1")
	cli(backends("up", "1"), "select * from BACKENDS")
	out, err := mariadbCLI(t, admin, adminUser, "SELECT * FROM help")
	if lines := strings.Split(out, "\n"); err != nil || len(lines) < 2 || !strings.HasPrefix(strings.ToLower(lines[0]), "select * from help\t") ||
		!strings.HasPrefix(strings.ToLower(lines[1]), "select * from backends\t") && !strings.HasPrefix(strings.ToLower(lines[1]), "lists the backends") {
		t.Errorf("SELECT * FROM help: %q, %v", out, err)
	}
	if out, err := mariadbCLI(t, admin, adminUser, "TABLES"); err == nil || !strings.Contains(out, "ERROR 1105 (07000)") || !strings.Contains(out, "SELECT * FROM help") {
		t.Errorf("an unknown statement: %q, %v; want ERR 1105 that points to the help", out, err)
	}
	for _, r := range []struct {
		who  user
		want string
	}{
		{user{Name: "admin", Password: "wrong"}, "ERROR 1045 (28000): password doesn't match"},
		{user{Name: "nobody", Password: "s3cret"}, "ERROR 1045 (28000): unknown user"},
	} {
		if out, err := mariadbCLI(t, admin, r.who, "SELECT * FROM backends"); err == nil || !strings.Contains(out, r.want) {
			t.Errorf("login as %s: %q, %v; want %s", r.who.Name, out, err, r.want)
		}
	}

	out, err = pyMySQL(t, admin, adminUser, `
c = connect(autocommit=None)
print(c.server_version)
cur = c.cursor()
cur.execute("SELECT * FROM backends")
print([d[0] for d in cur.description], [(type(r[0]).__name__, r[2], r[4], r[5]) for r in cur.fetchall()])
c.ping()
c.select_db("x")
try:
    cur.execute("TABLES")
except pymysql.MySQLError as e:
    print(e.args[0], "help" in e.args[1])
cur.execute("SELECT * FROM help")
print([d[0] for d in cur.description])
c.close()
try:
    os.environ["DB_PASSWORD"] = ""
    connect(autocommit=None)
except pymysql.MySQLError as e:
    print(e.args)
`)
	if want := "5.0.99-agent-admin\n" +
		"['backend_ndx', 'address', 'state', 'type', 'uuid', 'connected_clients'] [('int', 'up', None, 1), ('int', 'unknown', None, 0)]\n" +
		"1105 True\n['command', 'description']\n(1045, \"password doesn't match\")"; out != want || err != nil {
		t.Errorf("PyMySQL: %q, %v; want %q", out, err, want)
	}
	held.mustAsk("SELECT 1", "1")
}

// A script of a user's own shares proxy.global with the proxy's script, and
// takes servers out.
func TestAdminScriptSetsStates(t *testing.T) {
	p, admin := startAdmin(t, []string{bed.Primary.Addr, bed.Replicas[0].Addr},
		"--admin-lua-script="+luaFile(t, "admin.lua"), "--proxy-lua-script="+luaFile(t, "admin_proxy.lua"), patientHooks)
	a := connectAs(t, admin, adminUser, "")
	a.mustRows("SHOW", "1 0 NULL,2 0 NULL")
	s := openSession(t, p.addr)
	s.mustAsk("SELECT @@server_id", "1")
	a.mustRows("SHOW", "1 1 a client came from 127.0.0.1,2 0 a client came from 127.0.0.1")

	// A state that a script sets does not count as a change: a server that went
	// up long ago is woken by the next client. Waking is a change, so the second
	// time the server stays down.
	taken := func(server, other string) {
		t.Helper()
		files := p.openFiles(t)
		eventually(t, patience, "clients avoid server "+server, func() bool {
			a.exec("SERVER " + server + " DOWN")
			c := openSession(t, p.addr)
			defer c.nc.Close()
			return c.ask("SELECT @@server_id") == other
		})
		settled(t, p, files) // those who came for this do not count any more
	}
	openSession(t, p.addr).mustAsk("SELECT @@server_id", "2")
	taken("1", "2")                      // which would be the next one's
	s.mustAsk("SELECT @@server_id", "1") // who is there stays
	a.exec("SERVER 1 UP")
	openSession(t, p.addr).mustAsk("SELECT @@server_id", "1") // two sessions there, and one with the other
	taken("2", "1")
	a.exec("SERVER 2 UNKNOWN")
	a.mustRows("SHOW", "1 1 a client came from 127.0.0.1,2 0 a client came from 127.0.0.1")

	// What the script does not answer, or fails at, ends the session after an ERR.
	for statement, more := range map[string]string{"SERVER 3 DOWN": "", "BREAK": " ... got something else", "LOAD DATA": " ... got something else"} {
		c := openAdmin(t, admin)
		c.start(statement)
		payload := ""
		c.attempt(func() { payload = string(c.packet()) })
		if want := "\xff\x51\x04#07000need a resultset + proxy.PROXY_SEND_RESULT" + more; payload != want {
			t.Errorf("%s: got %q, want %q", statement, payload, want)
		}
		if got := c.farewell(); got != "closed" {
			t.Errorf("%s: behind the ERR came %q, want a close", statement, got)
		}
	}
	p.mustLog(t, `\(critical\) .*\(read_query\) .*broken`)
}

func openAdmin(t *testing.T, addr string) *session {
	t.Helper()
	c, err := dialRaw(addr, &trace{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.nc.Close() })
	s := &session{c, t}
	if s.attempt(func() {
		c.login(login{user: adminUser.Name, password: adminUser.Password, caps: capsBase &^ capConnectWithDB})
	}) {
		t.Fatalf("login at the admin port: %s", c.tr.last())
	}
	return s
}

// The admin port has TLS by the certificate and the mode of --proxy-tls.
func TestAdminPortWithTLS(t *testing.T) {
	ours := newAuthority(t, "the proxy's authority")
	ours.issue("proxy")
	_, admin := startAdmin(t, []string{bed.Primary.Addr}, "--proxy-tls=require",
		"--proxy-tls-cert="+ours.file("proxy.pem"), "--proxy-tls-key="+ours.file("proxy-key.pem"))
	host, port, _ := strings.Cut(admin, ":")
	want := "1\t" + bed.Primary.Addr + "\tunknown\trw\tNULL\t0"
	for _, c := range []struct {
		name, flavour, program string
		args                   []string
		want                   string // in what it prints
	}{
		{"mariadb", "", "mariadb", []string{"--ssl-ca=" + ours.file("ca.pem"), "--ssl-verify-server-cert"}, want},
		{"mariadb, another authority", "", "mariadb", []string{"--ssl-ca=" + bed.TLS.CA, "--ssl-verify-server-cert"}, "ERROR 2026"},
		{"mariadb without TLS", "", "mariadb", []string{"--skip-ssl"}, "ERROR 3159 (HY000)"},
		{"mariadb 11.8", "mariadb11.8", "mariadb", []string{"--ssl-ca=" + ours.file("ca.pem")}, want},
		{"mysql 9", "mysql9", "mysql", []string{"--ssl-mode=VERIFY_IDENTITY", "--ssl-ca=" + ours.file("ca.pem")}, want},
		{"mysql 9, another authority", "mysql9", "mysql", []string{"--ssl-mode=VERIFY_CA", "--ssl-ca=" + bed.TLS.CA}, "ERROR 2026"},
		{"mysql 9 without TLS", "mysql9", "mysql", []string{"--ssl-mode=DISABLED"}, "ERROR 3159 (HY000)"},
	} {
		program := c.program
		if c.flavour != "" {
			program = filepath.Join(fetchedBin(t, c.flavour), c.program)
		}
		out, err := runTool(t, nil, program, append([]string{"--no-defaults", "--protocol=tcp", "-h", host, "-P", port,
			"-u", adminUser.Name, "-p" + adminUser.Password, "--batch", "--skip-column-names", "-e", "SELECT * FROM backends"}, c.args...)...)
		if !strings.Contains(out, c.want) || (err == nil) != (c.want == want) {
			t.Errorf("%s: %q, %v; want %q", c.name, out, err, c.want)
		}
	}
}
