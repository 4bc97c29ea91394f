package e2e

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// Other people's clients at the admin console: each logs in, reads a table, and
// hears an ERR. What it prints ends with the address of the backend, the number 1,
// and the code of the ERR.
func TestConsoleClients(t *testing.T) {
	_, admin := startAdmin(t, []string{bed.Primary.Addr})
	host, port, err := net.SplitHostPort(admin)
	if err != nil {
		t.Fatal(err)
	}
	const sql = "SELECT 'at', address, backend_ndx FROM backends; KILL QUERY 99999"
	cli := func(program string, args ...string) []string {
		return append([]string{program, "--no-defaults", "--protocol=tcp", "-h", host, "-P", port, "-u", adminUser.Name, "-p" + adminUser.Password,
			"--batch", "--skip-column-names", "-e", sql}, args...)
	}
	for _, c := range []struct {
		name    string
		flavour string // whose fetched programs it is of; "": the system's
		command []string
	}{
		{"mariadb", "", cli("mariadb", "--skip-ssl")},
		{"mariadb, TLS", "", cli("mariadb", "--ssl")},
		{"mariadb, a database", "", cli("mariadb", "--skip-ssl", "-D", "proxy")},
		{"mariadb 11.8", "mariadb11.8", cli("mariadb", "--skip-ssl")},
		{"mariadb 11.8, TLS", "mariadb11.8", cli("mariadb", "--disable-ssl-verify-server-cert")},
		{"mysql 9", "mysql9", cli("mysql", "--ssl-mode=DISABLED")},
		{"mysql 9, TLS", "mysql9", cli("mysql", "--ssl-mode=REQUIRED")},
		{"mysql 9, a database", "mysql9", cli("mysql", "--ssl-mode=DISABLED", "-D", "proxy")},
		{"mysql 9, sha256_password", "mysql9", cli("mysql", "--ssl-mode=DISABLED", "--default-auth=sha256_password")},
		{"PyMySQL", "", []string{"/usr/bin/python3", "-c", `
import os, pymysql
c = pymysql.connect(host=os.environ["DB_HOST"], port=int(os.environ["DB_PORT"]), user=os.environ["DB_USER"], password=os.environ["DB_PASSWORD"], database="proxy")
c.ping()
cur = c.cursor(pymysql.cursors.DictCursor)
cur.execute("SHOW BACKENDS")
for r in cur.fetchall():
    print("at", r["address"], r["backend_ndx"], r["lag_seconds"])
try:
    cur.execute("KILL QUERY %s", (99999,))
except pymysql.MySQLError as e:
    print("error", e.args[0])
`}},
		{"mysqlclient", "", []string{"/usr/bin/python3", "-c", `
import os, MySQLdb
c = MySQLdb.connect(host=os.environ["DB_HOST"], port=int(os.environ["DB_PORT"]), user=os.environ["DB_USER"], passwd=os.environ["DB_PASSWORD"])
cur = c.cursor()
cur.execute("SHOW BACKENDS")
for r in cur.fetchall():
    print("at", r[1], r[0])
c.commit()
try:
    cur.execute("KILL QUERY %s", (99999,))
except MySQLdb.Error as e:
    print("error", e.args[0])
`}},
		{"PHP mysqli", "", []string{"php", "-r", `
$db = new mysqli(getenv("DB_HOST"), getenv("DB_USER"), getenv("DB_PASSWORD"), "proxy", (int)getenv("DB_PORT"));
$db->set_charset("utf8mb4");
foreach ($db->query("SHOW BACKENDS") as $r) echo "at $r[address] $r[backend_ndx]\n";
try { $db->query("KILL QUERY 99999"); } catch (mysqli_sql_exception $e) { echo "error ", $e->getCode(), "\n"; }
`}},
		{"PHP PDO", "", []string{"php", "-r", `
$db = new PDO("mysql:host=" . getenv("DB_HOST") . ";port=" . getenv("DB_PORT") . ";charset=utf8mb4", getenv("DB_USER"), getenv("DB_PASSWORD"));
$s = $db->prepare("SHOW BACKENDS LIKE ?");
$s->execute(["%"]);
foreach ($s as $r) echo "at $r[address] $r[backend_ndx]\n";
try { $db->query("KILL QUERY 99999"); } catch (PDOException $e) { echo "error ", $e->errorInfo[1], "\n"; }
`}},
		{"DBD::mysql", "", []string{"perl", "-MDBI", "-e", `
my $db = DBI->connect("DBI:mysql:host=$ENV{DB_HOST};port=$ENV{DB_PORT};database=proxy", $ENV{DB_USER}, $ENV{DB_PASSWORD}, { RaiseError => 1, PrintError => 0 });
print "at $_->{address} $_->{backend_ndx}\n" for @{$db->selectall_arrayref("SHOW BACKENDS LIKE ?", { Slice => {} }, "%")};
$db->ping or die;
eval { $db->do("KILL QUERY 99999") };
print "error ", $db->err, "\n";
`}},
		{"node mysql2", "", []string{"node", "-e", `
const mysql = require("mysql2/promise"), e = process.env;
(async () => {
  const db = await mysql.createConnection({ host: e.DB_HOST, port: +e.DB_PORT, user: e.DB_USER, password: e.DB_PASSWORD, database: "proxy" });
  const [rows] = await db.query("SHOW BACKENDS LIKE ?", ["%"]);
  for (const r of rows) console.log("at", r.address, r.backend_ndx);
  await db.ping();
  await db.query("KILL QUERY 99999").catch(e => console.log("error", e.errno));
  await db.end();
})();
`}},
		{"node mariadb", "", []string{"node", "-e", `
const mariadb = require("mariadb"), e = process.env;
(async () => {
  const db = await mariadb.createConnection({ host: e.DB_HOST, port: +e.DB_PORT, user: e.DB_USER, password: e.DB_PASSWORD, database: "proxy" });
  for (const r of await db.query("SHOW BACKENDS")) console.log("at", r.address, Number(r.backend_ndx));
  await db.ping();
  await db.query("KILL QUERY 99999").catch(e => console.log("error", e.errno));
  await db.end();
})();
`}},
		{"MariaDB Connector/J", "", java("ConsoleJ")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			program := c.command[0]
			if c.flavour != "" {
				program = filepath.Join(fetchedBin(t, c.flavour), program)
			}
			env := append(clientEnv(t, ""), "DB_HOST="+host, "DB_PORT="+port, "DB_USER="+adminUser.Name, "DB_PASSWORD="+adminUser.Password)
			out, _ := runTool(t, env, program, c.command[1:]...) // a command line client ends with the ERR
			flat := strings.Join(strings.Fields(out), " ")
			if !strings.Contains(flat, "at "+bed.Primary.Addr+" 1") || !strings.Contains(strings.ToLower(flat), "error 1094") {
				t.Errorf("it says %s", out)
			}
			if i := slices.Index(c.command, "-p"+adminUser.Password); i > 0 {
				c.command[i] = "-pwrong"
				if out, err := runTool(t, env, program, c.command[1:]...); err == nil || !strings.Contains(out, "ERROR 1045 (28000)") {
					t.Errorf("with a wrong password: %s, %v", out, err)
				}
			}
		})
	}
	for _, params := range []string{"", "tls=skip-verify", "allowNativePasswords=false", "interpolateParams=true"} {
		t.Run("go-sql-driver "+params, func(t *testing.T) { goDriverAtConsole(t, admin, params) })
	}
	for command, want := range map[string]string{
		"ping": "mysqld is alive", "status": "Uptime: ", "processlist": "| " + adminUser.Name + " ", "variables": "| version_comment ", "extended-status": "| Questions ", "kill 99999": "there is no session 99999",
	} {
		for flavour, options := range map[string][]string{"mysql9": {"--ssl-mode=DISABLED"}, "": {"--skip-ssl"}} {
			program := "mysqladmin"
			if flavour != "" {
				program = filepath.Join(fetchedBin(t, flavour), program)
			}
			args := append([]string{"--no-defaults", "-h", host, "-P", port, "--protocol=tcp", "-u", adminUser.Name, "-p" + adminUser.Password}, options...)
			if out, _ := runTool(t, nil, program, append(args, strings.Fields(command)...)...); !strings.Contains(out, want) {
				t.Errorf("mysqladmin %s of %q: %s", command, flavour, out)
			}
		}
	}
}

func goDriverAtConsole(t *testing.T, admin, params string) {
	db := openDB(t, admin, adminUser, "proxy", params)
	var address string
	var ndx int
	var lag sql.NullFloat64
	err := db.QueryRowContext(context.Background(), "SELECT address, backend_ndx, NULL FROM proxy.backends").Scan(&address, &ndx, &lag)
	if err != nil || address != bed.Primary.Addr || ndx != 1 || lag.Valid {
		t.Errorf("%v: %q, %d, %v", err, address, ndx, lag)
	}
	_, err = db.Exec("KILL QUERY 99999")
	if e := (*mysql.MySQLError)(nil); !errors.As(err, &e) || e.Number != 1094 {
		t.Errorf("%v, want an ERR 1094", err)
	}
	err = db.QueryRow("SHOW BACKENDS LIKE ?", "%").Err()
	if e := (*mysql.MySQLError)(nil); (err == nil) != (params == "interpolateParams=true") || err != nil && (!errors.As(err, &e) || e.Number != 1295) {
		t.Errorf("with a parameter: %v", err)
	}
	wrong := openDB(t, admin, user{Name: adminUser.Name, Password: "wrong"}, "", params)
	if e := (*mysql.MySQLError)(nil); !errors.As(wrong.Ping(), &e) || e.Number != 1045 {
		t.Errorf("with a wrong password: %v", wrong.Ping())
	}
}
