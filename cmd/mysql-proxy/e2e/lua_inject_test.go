package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestLuaTimesOfInjectedQueries(t *testing.T) {
	p := startLua(t, "timings.lua", []string{bed.Primary.Addr})
	c := connectAs(t, p.addr, bed.Users.App, bed.Database)
	c.mustRows("SELECT SLEEP(0.2)", "0")
	c.mustRows("SELECT SLEEP(0.2), 'alone'", "0 alone")
	c.mustRows("SELECT seq FROM seq_1_to_3", "1,2,3")
	c.mustFail("SELECT nothing FROM nowhere", "1146")

	other := connectAs(t, p.addr, bed.Users.App, bed.Database)
	for i, line := range strings.Split(other.rows("SELECT * FROM timings"), ",SELECT") {
		var first, last, rows int
		at := strings.LastIndexAny(line[:strings.LastIndex(line[:strings.LastIndex(line, " ")], " ")], " ")
		if _, err := fmt.Sscan(line[at:], &first, &last, &rows); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if want := []int{1, 1, 3, 0}[i]; rows != want {
			t.Errorf("%s: %d rows, want %d", line, rows, want)
		}
		// A server cannot be back before it has slept.
		if least := []int{200000, 200000, 1, 1}[i]; last < least || first < 1 || first > last {
			t.Errorf("%s: first packet after %d µs, last one after %d, want them in order and at least %d", line, first, last, least)
		}
	}
}

func TestLuaRewritesResults(t *testing.T) {
	mustExec(t, "DROP DATABASE IF EXISTS e2e_lua", "CREATE DATABASE e2e_lua", "CREATE TABLE e2e_lua.t (id INT, secret VARCHAR(20))",
		"INSERT INTO e2e_lua.t VALUES (1, 'abc'), (2, NULL), (3, '')")
	p := startLua(t, "redact.lua", []string{bed.Primary.Addr})
	c := connectAs(t, p.addr, bed.Users.App, "e2e_lua")
	c.mustRows("SELECT * FROM t ORDER BY id", "1 ***,2 NULL,3 ***,3 NULL")
	c.mustRows("SELECT id AS secret FROM t WHERE 0", "0")
	c.mustFail("SELECT * FROM missing", "1146")
	c.mustRows("SHOW TABLES", "t")
	// Statements of the binary protocol are not what the script asks for.
	stmt, err := c.PrepareContext(context.Background(), "SELECT secret FROM t WHERE id = ?")
	if err != nil {
		t.Fatal(err)
	}
	var secret string
	if err := stmt.QueryRow(1).Scan(&secret); err != nil || secret != "abc" {
		t.Errorf("prepared: %q, %v; want abc", secret, err)
	}
	// Longer than a packet: its pieces are joined for the script.
	if got := c.rows("SELECT REPEAT('x', 17000000) AS big"); len(got) != 17000000+len(",1") {
		t.Errorf("a long cell: %d bytes, want 17000002", len(got))
	}
	out, err := mariadbCLI(t, p.addr, bed.Users.App, "SELECT * FROM e2e_lua.t ORDER BY id LIMIT 1")
	if want := "1\t***\n1\tNULL"; out != want || err != nil {
		t.Errorf("mariadb: %q, %v; want %q", out, err, want)
	}
}

func TestLuaUnionOfInjectedResults(t *testing.T) {
	p := startLua(t, "union.lua", []string{bed.Primary.Addr})
	c := connectAs(t, p.addr, bed.Users.App, bed.Database)
	c.mustRows("BOTH SELECT seq, 'a' FROM seq_1_to_2 AND SELECT 3, NULL", "1 a,2 a,3 NULL")
	c.mustFail("BOTH SELECT * FROM missing AND SELECT 3", "1146")
	c.mustFail("BOTH SELECT 1 AND SELECT * FROM missing", "1146")
	c.mustRows("SELECT 'as it is'", "as it is")
}

func TestLuaShapesAreCountedForAll(t *testing.T) {
	p := startLua(t, "shapes.lua", []string{bed.Primary.Addr})
	const sessions = 8
	var wg sync.WaitGroup
	for i := range sessions {
		s := openSession(t, p.addr)
		wg.Go(func() {
			for j := range 20 {
				s.ask(fmt.Sprintf("SELECT /* %d */ COUNT(*) FROM items WHERE id = %d", i, j))
			}
			s.ask(fmt.Sprintf("select 'it''s', %d.5", i))
		})
	}
	wg.Wait()
	c := connectAs(t, p.addr, bed.Users.App, bed.Database)
	c.mustRows("SELECT * FROM shapes", "160 SELECT COUNT( * ) FROM `items` WHERE `id` = ? ,8 SELECT ? , ? ")
}

func TestLuaModulesAreFoundByLuaPath(t *testing.T) {
	mustExec(t, "DROP DATABASE IF EXISTS e2e_lua", "CREATE DATABASE e2e_lua", "CREATE TABLE e2e_lua.sales (region VARCHAR(9), year INT, amount INT)",
		"INSERT INTO e2e_lua.sales VALUES ('north', 2025, 1), ('south', 2025, 2), ('north', 2026, 3), ('north', 2026, 4)")
	dir := filepath.Dir(luaFile(t, "modules"))
	use := func(p *proxy) {
		t.Helper()
		c := connectAs(t, p.addr, bed.Users.App, "e2e_lua")
		c.mustRows("CROSSTAB sales region year amount", "north 1 7,south 2 0")
		c.mustRows("CROSSTAB sales year region amount", "2025 1 2,2026 7 0")
		c.mustFail("CROSSTAB missing a b c", "1146")
		c.mustRows("SELECT COUNT(*) FROM sales", "4")
		// The module's table is shared, what one session wishes is not.
		d := connectAs(t, p.addr, bed.Users.App, "e2e_lua")
		d.mustRows("CROSSTAB sales region year amount", "north 1 7,south 2 0")
	}
	use(startLua(t, "crosstab.lua", []string{bed.Primary.Addr}, "--lua-path="+dir+"/modules/?.lua"))
	t.Setenv("LUA_PATH", "/nowhere/?.lua;"+dir+"/modules/?.lua")
	use(startLua(t, "crosstab.lua", []string{bed.Primary.Addr}))
}

func TestLuaInAChainOfProxies(t *testing.T) {
	inner := startLua(t, "chain_inner.lua", []string{bed.Primary.Addr, bed.Replicas[0].Addr})
	outer := startLua(t, "chain_outer.lua", []string{inner.addr})
	c := connectAs(t, outer.addr, bed.Users.App, bed.Database)
	c.mustRows("SELECT 'chain'", "chain outer inner,inner of 2,outer of 1")
}

func TestLuaAutoConfig(t *testing.T) {
	p := startLua(t, "config.lua", []string{bed.Primary.Addr})
	c := connectAs(t, p.addr, bed.Users.App, bed.Database)
	c.mustRows("PROXY SHOW CONFIG", "demo greeting hello string,demo loud true boolean,demo max_rows 5 number")
	c.mustRows("SELECT greeting", "HELLO")
	c.exec(`PROXY SET GLOBAL demo.greeting = "good day"`, "PROXY SET GLOBAL demo.loud = false", "PROXY SET GLOBAL demo.max_rows = -7")
	other := connectAs(t, p.addr, bed.Users.App, bed.Database)
	other.mustRows("SELECT greeting", "good day")
	other.mustFail("PROXY SET GLOBAL demo.max_rows = true", "expected a number, got boolean")
	other.mustFail("PROXY SET GLOBAL none.max_rows = 1", "module not known")
	other.mustFail("PROXY SET GLOBAL demo.none = 1", "option not know")
	other.mustFail("PROXY SET NONSENSE", "1064") // the server's

	file := filepath.Join(t.TempDir(), "config.lua")
	other.exec(`PROXY SAVE CONFIG INTO "`+file+`"`, `PROXY SET GLOBAL demo.greeting = "lost"`, `PROXY LOAD CONFIG FROM "`+file+`"`)
	c.mustRows("PROXY SHOW CONFIG", "demo greeting good day string,demo loud false boolean,demo max_rows -7 number")
	other.mustFail(`PROXY LOAD CONFIG FROM "`+file+`.no"`, "No such file")
}
