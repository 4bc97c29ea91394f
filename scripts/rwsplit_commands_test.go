package scripts

import (
	"net"
	"strings"
	"testing"

	"mysqlproxy/packet"
)

// rawSplit is a proxy that has connections for clients such as dialRaw's.
func rawSplit(t *testing.T, users ...user) *proxy {
	t.Helper()
	p := split(t)
	for range 10 {
		for _, u := range users {
			c := dialRaw(t, p.addr, u, "test")
			c.send(packet.ComQuit, "")
			c.nc.Close()
			p.settled(t, 0)
		}
	}
	return p
}

// settled waits for the proxy to know that all but n clients have left.
func (p *proxy) settled(t *testing.T, n int) {
	t.Helper()
	eventually(t, "the clients that left are forgotten", func() bool { return p.clients(t) == n })
}

// clients is how many the proxy has.
func (p *proxy) clients(t *testing.T) int {
	t.Helper()
	return strings.Count(connections(t, p.cmd.Process.Pid), hexPort(t, p.addr)) - 1 // one listens
}

func TestCommands(t *testing.T) { onEveryFlavour(t, testCommands) }

func testCommands(t *testing.T) {
	p := rawSplit(t, bed.Users.App)
	replica := func(c *rawConn) bool { return onReplica(c.value(whoAnswers)) }
	ok := func(t *testing.T, c *rawConn, code packet.Command, arg string) {
		t.Helper()
		if _, err := c.do(code, arg); err != nil {
			t.Errorf("command %d: %v", code, err)
		}
	}
	for _, tc := range []struct {
		name string
		run  func(t *testing.T, c *rawConn)
	}{
		{"COM_INIT_DB travels with the session", func(t *testing.T, c *rawConn) {
			ok(t, c, packet.ComInitDB, "other")
			for range 3 {
				if got := c.value("SELECT DATABASE()"); got != "other" {
					t.Errorf("the database is %s, want other", got)
				}
			}
			if !replica(c) {
				t.Error("a read behind COM_INIT_DB is on the primary")
			}
			if got := c.value("/* route=primary */ SELECT DATABASE()"); got != "other" {
				t.Errorf("the primary's database is %s, want other", got)
			}
		}},
		{"COM_INIT_DB of no database changes nothing", func(t *testing.T, c *rawConn) {
			if _, err := c.do(packet.ComInitDB, "no_such_db"); err == nil || !strings.Contains(err.Error(), "no_such_db") {
				t.Errorf("got %v, want the server's error", err)
			}
			if got := c.value("SELECT DATABASE()"); got != "test" {
				t.Errorf("the database is %s, want test", got)
			}
		}},
		{"commands in a transaction leave it open", func(t *testing.T, c *rawConn) {
			ok(t, c, packet.ComQuery, "BEGIN")
			ok(t, c, packet.ComQuery, "INSERT INTO own (client, v) VALUES (8300, 1)")
			ok(t, c, packet.ComPing, "")
			ok(t, c, packet.ComInitDB, "test")
			ok(t, c, packet.ComStatistics, "")
			if got := c.value("SELECT COUNT(*) FROM own WHERE client = 8300"); got != "1" {
				t.Errorf("the transaction sees %s rows, want its own", got)
			}
			ok(t, c, packet.ComQuery, "ROLLBACK")
			if !replica(c) {
				t.Error("a read behind ROLLBACK is on the primary")
			}
			if got := c.value("/* route=primary */ SELECT COUNT(*) FROM own WHERE client = 8300"); got != "0" {
				t.Errorf("%s rows are left behind ROLLBACK, want none", got)
			}
		}},
		{"COM_PING and COM_STATISTICS pin nothing", func(t *testing.T, c *rawConn) {
			ok(t, c, packet.ComPing, "")
			ok(t, c, packet.ComStatistics, "")
			if !replica(c) {
				t.Error("the primary answers")
			}
		}},
		{"COM_RESET_CONNECTION frees the session", func(t *testing.T, c *rawConn) {
			ok(t, c, packet.ComQuery, "SET @a = 1, sql_mode = 'ANSI'")
			ok(t, c, packet.ComQuery, "CREATE TEMPORARY TABLE tmp (i INT)")
			if replica(c) {
				t.Error("a replica answers a session with a user variable")
			}
			ok(t, c, packet.ComResetConnection, "")
			if !replica(c) {
				t.Error("the primary answers a session that was reset")
			}
			if got := c.value("SELECT @a"); got != "NULL" {
				t.Errorf("the user variable is %s behind the reset, want NULL", got)
			}
			if got := c.value("SELECT @@sql_mode LIKE '%ANSI%'"); got != "0" {
				t.Error("sql_mode is kept behind the reset")
			}
			if _, err := c.do(packet.ComQuery, "SELECT * FROM tmp"); err == nil {
				t.Error("the temporary table is there behind the reset")
			}
		}},
		{"COM_RESET_CONNECTION in a transaction rolls back", func(t *testing.T, c *rawConn) {
			ok(t, c, packet.ComQuery, "BEGIN")
			ok(t, c, packet.ComQuery, "INSERT INTO own (client, v) VALUES (8301, 1)")
			ok(t, c, packet.ComResetConnection, "")
			if got := c.value("/* route=primary */ SELECT COUNT(*) FROM own WHERE client = 8301"); got != "0" {
				t.Errorf("%s rows are left, want none", got)
			}
		}},
		{"COM_CHANGE_USER makes the session another user's", func(t *testing.T, c *rawConn) {
			ok(t, c, packet.ComQuery, "SET @a = 1")
			u := packet.ChangeUser{User: []byte(bed.Users.Empty.Name), Database: []byte("other"), Collation: 45, Plugin: []byte(packet.PluginNative)}
			c.write(packet.AppendPacket(nil, 0, u.Append(nil, c.caps)))
			c.dialogue(bed.Users.Empty)
			for query, want := range map[string]string{
				"SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1)": bed.Users.Empty.Name, "SELECT DATABASE()": "other", "SELECT @a": "NULL", whoAnswers: "1",
			} {
				if got := c.value(query); got != want {
					t.Errorf("%s: %s, want %s", query, got, want)
				}
			}
		}},
		{"COM_SET_OPTION pins", func(t *testing.T, c *rawConn) {
			ok(t, c, packet.ComSetOption, "\x00\x00")
			if replica(c) {
				t.Error("a replica answers")
			}
			ok(t, c, packet.ComQuery, "SELECT 1; SELECT 2")
		}},
		{"commands that are sent at once are answered in order", func(t *testing.T, c *rawConn) {
			const n = 30
			var all []byte
			for i := range n {
				q := []string{"SELECT 100", "/* route=primary */ SELECT 101", "SELECT 102 FROM fixed LIMIT 1"}[i%3]
				all = packet.AppendPacket(all, 0, append([]byte{byte(packet.ComQuery)}, q...))
			}
			c.write(all)
			for i := range n {
				for k := range 5 { // count, definition, EOF, row, EOF
					p := c.packet()
					if want := "\x03" + []string{"100", "101", "102"}[i%3]; k == 3 && string(p.Payload()) != want {
						t.Fatalf("row %d is %q, want %q", i, p.Payload(), want)
					}
				}
			}
		}},
		{"a statement is closed and the next command comes with it", func(t *testing.T, c *rawConn) {
			r, err := c.do(packet.ComStmtPrepare, "SELECT 1")
			if err != nil {
				t.Fatal(err)
			}
			both := packet.AppendPacket(nil, 0, append([]byte{byte(packet.ComStmtClose)}, r[0][1:5]...))
			c.write(packet.AppendPacket(both, 0, []byte{byte(packet.ComPing)}))
			if p := c.packet(); p.Payload()[0] != 0 {
				t.Errorf("the answer to COM_PING is %q", p.Payload())
			}
			if !replica(c) {
				t.Error("a read behind COM_STMT_CLOSE is on the primary")
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := dialRaw(t, p.addr, bed.Users.App, "test")
			if !replica(c) {
				t.Error("at first the primary answers")
			}
			tc.run(t, c)
			c.send(packet.ComQuit, "")
			c.nc.Close()
			p.settled(t, 0)
		})
	}
}

// A client that vanishes leaves nothing that the next one sees.
func TestClientsThatVanish(t *testing.T) { onEveryFlavour(t, testClientsThatVanish) }

func testClientsThatVanish(t *testing.T) {
	p := rawSplit(t, bed.Users.App)
	for _, leave := range []string{"BEGIN; INSERT", "SET @x = 1", "CREATE TEMPORARY TABLE", "SLEEP", "LOCK TABLES", "a half command", "a result that is not read"} {
		c := dialRaw(t, p.addr, bed.Users.App, "test")
		do := func(q string) {
			if _, err := c.do(packet.ComQuery, q); err != nil {
				t.Errorf("%s: %v", q, err)
			}
		}
		switch leave {
		case "BEGIN; INSERT":
			do("BEGIN")
			do("INSERT INTO own (client, v) VALUES (8310, 1)")
		case "SET @x = 1":
			do("SET @x = 1")
		case "CREATE TEMPORARY TABLE":
			do("CREATE TEMPORARY TABLE tmp (i INT)")
		case "SLEEP":
			c.send(packet.ComQuery, "SELECT SLEEP(0.2)")
		case "LOCK TABLES":
			do("LOCK TABLES own WRITE")
		case "a half command":
			c.write([]byte{50, 0, 0, 0, byte(packet.ComQuery), 'S', 'E'})
		case "a result that is not read":
			c.send(packet.ComQuery, "SELECT REPEAT('a', 8000000)")
		}
		if err := c.nc.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		c.nc.Close()
		p.settled(t, 0)
		n := dialRaw(t, p.addr, bed.Users.App, "test")
		for query, want := range map[string]string{
			"SELECT COUNT(*) FROM fixed": "100", "/* route=primary */ SELECT COUNT(*) FROM own WHERE client = 8310": "0", inTransaction: "0", "SELECT @x": "NULL",
		} {
			if got := n.value(query); got != want {
				t.Errorf("behind %s: %s: %s, want %s", leave, query, got, want)
			}
		}
		if _, err := n.do(packet.ComQuery, "SELECT * FROM tmp"); err == nil {
			t.Errorf("behind %s: a temporary table is there", leave)
		}
		if _, err := n.do(packet.ComQuery, "UPDATE own SET v = 1 WHERE id = 0"); err != nil {
			t.Errorf("behind %s: %v", leave, err)
		}
		n.send(packet.ComQuit, "")
		n.nc.Close()
		p.settled(t, 0)
	}
}
