package e2e

import (
	"strings"
	"testing"

	"mysqlproxy/engine/enginetest"
)

// A script that is the server: nothing listens where the backend should be.
func TestLuaMockServer(t *testing.T) {
	p := startLua(t, "mock.lua", []string{enginetest.FreeAddr(t)})
	anybody := user{Name: "any", Password: "thing"}

	out, err := mariadbCLI(t, p.addr, anybody, "SELECT who", "SELECT lines", "INSERT 1", "SELECT 7")
	if want := "any  nil 50645\none\nNULL\n\n" + strings.Repeat("three ", 20000) + "\nSELECT 7"; out != want || err != nil {
		t.Errorf("mariadb: %q, %v; want %q", clip(out), err, clip(want))
	}
	if out, err := mariadbCLI(t, p.addr, anybody, "FAIL to find it"); err == nil || !strings.Contains(out, "ERROR 1234 (42S02) at line 1: FAIL to find it") {
		t.Errorf("mariadb: %q, %v; want the script's error", out, err)
	}
	if out, err := mariadbCLI(t, p.addr, user{Name: "stranger", Password: "x"}, "SELECT 1"); err == nil || !strings.Contains(out, "ERROR 1045 (28000): we do not know you") {
		t.Errorf("mariadb as a stranger: %q, %v", out, err)
	}

	out, err = pyMySQL(t, p.addr, anybody, `
c = connect()
cur = c.cursor()
cur.execute("SELECT lines")
assert [len(r[0] or "-") for r in cur.fetchall()] == [3, 1, 1, 120000]
assert cur.execute("INSERT 1") == 3 and cur.lastrowid == 70000
c.select_db("here")
cur.execute("SELECT who")
print(cur.fetchone()[0])
try:
    cur.execute("FAIL for good")
except pymysql.MySQLError as e:
    print(e.args)
c.ping(reconnect=False)
c.close()
`)
	if want := "any here nil 50645\n(1234, 'FAIL for good')"; out != want || err != nil {
		t.Errorf("PyMySQL: %q, %v; want %q", out, err, want)
	}

	s := openSession(t, p.addr)
	s.mustAsk("SELECT count", "1")
	s.mustAsk("anything", "OK")
	s.mustAsk("SELECT count", "3")
}
