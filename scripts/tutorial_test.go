package scripts

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// said waits for text in what the proxy's scripts print.
func (p *proxy) said(t *testing.T, text string) {
	t.Helper()
	eventually(t, "the script prints "+text, func() bool { return strings.Contains(p.read("output"), text) })
}

func TestTutorialPass(t *testing.T) {
	p := one(t, "tutorial-1-pass.lua")
	s := connect(t, p.addr, bed.Users.App, "test")
	if got := s.value("SELECT COUNT(*) FROM fixed"); got != "100" {
		t.Errorf("%s rows, want 100", got)
	}
	if err := s.PingContext(t.Context()); err != nil {
		t.Error(err)
	}
	p.said(t, "a statement: SELECT COUNT(*) FROM fixed\n")
	p.said(t, "command 14\n")
}

func TestTutorialAnswer(t *testing.T) {
	p := one(t, "tutorial-2-answer.lua")
	s := connect(t, p.addr, bed.Users.App, "test")
	rows, err := s.all("SHOW PROXY")
	if err != nil || len(rows) != 3 || !strings.HasPrefix(rows[0][1], "127.0.0.1:") || rows[1][1] != bed.Primary.Addr || rows[2][1] != "NULL" {
		t.Errorf("SHOW PROXY: %v, %v", rows, err)
	}
	r, err := s.ExecContext(t.Context(), "DO PROXY")
	if err != nil {
		t.Fatal(err)
	}
	n, err1 := r.RowsAffected()
	id, err2 := r.LastInsertId()
	if n != 2 || id != 7 || err1 != nil || err2 != nil {
		t.Errorf("DO PROXY: %d rows, id %d, %v, %v; want 2 rows, id 7", n, id, err1, err2)
	}
	if _, err := s.all("DROP PROXY"); err == nil || !strings.Contains(err.Error(), "the proxy stays") {
		t.Errorf("DROP PROXY: %v", err)
	}
	if got := s.value("SELECT 1 + 1"); got != "2" {
		t.Errorf("1 + 1 is %s", got)
	}
}

func TestTutorialRewrite(t *testing.T) {
	p := one(t, "tutorial-3-rewrite.lua")
	s := connect(t, p.addr, bed.Users.App, "test")
	if got := s.value("WHO AM I"); !strings.HasPrefix(got, "app@") {
		t.Errorf("I am %s, want app@...", got)
	}
	if _, err := time.Parse(time.TimeOnly, s.value("WHAT TIME IS IT")); err != nil {
		t.Error(err)
	}
	if _, err := s.all("WHO ARE YOU"); err == nil {
		t.Error("no error for a statement that is none")
	}
}

func TestTutorialInject(t *testing.T) { onEveryFlavour(t, testTutorialInject) }

func testTutorialInject(t *testing.T) {
	p := one(t, "tutorial-4-inject.lua")
	s := connect(t, p.addr, bed.Users.App, "test")
	if got := s.value("SELECT CAST('12x' AS SIGNED)"); got != "12" {
		t.Errorf("got %s, want 12", got)
	}
	if got := s.value("SELECT 3"); got != "3" {
		t.Errorf("got %s, want 3", got)
	}
	p.said(t, "ms, 1 warnings: SELECT CAST('12x' AS SIGNED)\n")
	p.said(t, "  Warning 1292: ")
	p.said(t, "ms, 0 warnings: SELECT 3\n")
}

func TestTutorialResults(t *testing.T) {
	p := one(t, "tutorial-5-results.lua")
	s := connect(t, p.addr, bed.Users.App, "test")
	rows, err := s.all("SELECT 'a', NULL, 'b', NULL UNION ALL SELECT 1, 2, 3, 4")
	if want := "1 a NULL b NULL; 2 1 2 3 4"; err != nil || flat(rows) != want {
		t.Errorf("%s, %v; want %s", flat(rows), err, want)
	}
	rows, err = s.all("SELECT word FROM fixed WHERE 0")
	if err != nil || len(rows) != 0 {
		t.Errorf("no rows: %v, %v", rows, err)
	}
	if _, err := s.all("SELECT no_such_column FROM fixed"); err == nil {
		t.Error("no error for an unknown column")
	}
	if got := asText(t, s, "SHOW TABLES LIKE 'fixed'"); got != "fixed" {
		t.Errorf("SHOW TABLES: %s", got)
	}
}

func TestTutorialPool(t *testing.T) { onEveryFlavour(t, testTutorialPool) }

func testTutorialPool(t *testing.T) {
	p := start(t, setup{script: "tutorial-6-pool.lua", backends: []string{bed.Primary.Addr}, args: []string{"--event-threads=1"}})
	ids := map[string]bool{}
	for range 5 {
		s := connect(t, p.addr, bed.Users.App, "test")
		ids[s.value("SELECT CONNECTION_ID()")] = true
		if got := s.value("SELECT @a"); got != "NULL" {
			t.Errorf("the variable of the client before is %s, want NULL", got)
		}
		s.exec("SET @a = 1")
		s.close()
		p.settled(t, 0)
	}
	if len(ids) != 1 {
		t.Errorf("5 clients had %d connections, want one", len(ids))
	}
	s := connect(t, p.addr, bed.Users.App, "test")
	s.exec("BEGIN", "INSERT INTO own (client, v) VALUES (8700, 1)")
	s.close()
	p.settled(t, 0)
	n := connect(t, p.addr, bed.Users.Empty, "test")
	if ids[n.value("SELECT CONNECTION_ID()")] {
		t.Error("the connection with an open transaction was given on")
	}
	if got := n.value("SELECT COUNT(*) FROM own WHERE client = 8700"); got != "0" {
		t.Errorf("%s rows, want the transaction rolled back", got)
	}
}

// Each script says what it does, how to start it, and where its limits are.
func TestHeaders(t *testing.T) {
	list, err := filepath.Glob("*.lua")
	if err != nil || len(list) < 14 {
		t.Fatalf("%d scripts, %v", len(list), err)
	}
	for _, name := range list {
		text := readFile(t, name)
		head, _, ok := strings.Cut(text, "]]")
		if !ok || !strings.HasPrefix(head, "--[[\n"+name+" - ") {
			t.Errorf("%s does not begin with its header", name)
		}
		for _, part := range []string{"--proxy-lua-script=scripts/" + name, "What to set:", "Limits"} {
			if !strings.Contains(head, part) {
				t.Errorf("%s: its header has no %q", name, part)
			}
		}
	}
}
