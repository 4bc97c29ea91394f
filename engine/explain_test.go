package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

// lexed is a statement and how it is read.
type lexed struct {
	sql string
	lex packet.Lex
}

// corpus are the statements of packet's corpus, which says how it is written.
func corpus(t *testing.T) (list []lexed) {
	b, err := os.ReadFile("../packet/testdata/statements.txt")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]packet.Lex{"-": 0, "no_backslash": packet.LexNoBackslashEscapes, "ansi": packet.LexAnsiQuotes, "multibyte": packet.LexMultiByte,
		"unknown_charset": packet.LexUnknownCharset, "multistatements": packet.LexMultiStatements}
	var lex packet.Lex
	for i, line := range strings.Split(string(b), "\n") {
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			lex = 0
			for _, name := range strings.Split(strings.Fields(strings.Trim(line, "[]"))[3], "|") {
				l, ok := names[name]
				if !ok {
					t.Fatalf("line %d: lex %q?", i+1, name)
				}
				lex |= l
			}
		default:
			where, text, _ := strings.Cut(line, " ")
			sql, err := strconv.Unquote(`"` + strings.ReplaceAll(strings.ReplaceAll(text, `"`, `\"`), `\0`, `\x00`) + `"`)
			if err != nil {
				t.Fatalf("line %d: %v", i+1, err)
			}
			if !strings.Contains(where, "mariadb") {
				list = append(list, lexed{sql, lex})
			}
			if !strings.Contains(where, "mysql") {
				list = append(list, lexed{sql, lex | packet.LexMariaDB})
			}
		}
	}
	return list
}

// caps are those of a login after which statements are read like this.
func capsFor(lex packet.Lex) packet.Capability {
	caps := ModernCaps &^ packet.CapMultiStatements
	if lex&packet.LexMultiStatements != 0 {
		caps |= packet.CapMultiStatements
	}
	if lex&packet.LexMariaDB != 0 {
		caps &^= packet.CapLongPassword
	}
	return caps
}

// contentWith is a server that lets everybody in and answers each command well, by an
// OK with these flags. It tells heard each COM_QUERY.
func contentWith(caps packet.Capability, status uint16, heard func(sql string)) func(int, *Conn) error {
	return func(_ int, c *Conn) error {
		if err := c.Run(letsWith(caps)); err != nil {
			return nil // the test is over
		}
		for {
			pkt, err := c.ReadPacket()
			if err != nil || len(pkt.Payload()) > 0 && packet.Command(pkt.Payload()[0]) == packet.ComQuit {
				return nil
			}
			if p := pkt.Payload(); len(p) > 0 && packet.Command(p[0]) == packet.ComQuery {
				heard(string(p[1:]))
			}
			if err := c.Run(SendPacket(1, OK(status))); err != nil {
				return nil
			}
		}
	}
}

// Where a statement of the corpus is said to go, and why, there it goes, and for that
// reason; and it leaves the pins that it is said to leave.
func TestExplanationsOfTheCorpus(t *testing.T) {
	byLex := map[packet.Lex][]string{}
	for _, s := range corpus(t) {
		byLex[s.lex] = append(byLex[s.lex], s.sql)
	}
	n := 0
	for lex, list := range byLex {
		n += len(list)
		t.Run(fmt.Sprintf("lex %#x", lex), func(t *testing.T) { explainAndSend(t, lex, list) })
	}
	if n < 2000 {
		t.Errorf("%d statements, want 2000 at least", n)
	}
}

// The same where reads have to see more than what is there.
func TestExplanationsOfDemands(t *testing.T) {
	for name, tc := range map[string]struct {
		consistency Consistency
		list        []string
	}{
		"strong-global, and the primary does not tell": {ConsistencyGlobal, []string{"SELECT a FROM t", "INSERT INTO t VALUES (1)", "SHOW WARNINGS", "BEGIN"}},
		"a token that is none":                         {ConsistencySession, []string{"/* gtid=nonsense */ SELECT a FROM t", "/* gtid=nonsense */ DELETE FROM t"}},
		"primary-writes":                               {ConsistencyNone, []string{"SELECT a FROM t"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, lex := range []packet.Lex{0, packet.LexMariaDB} {
				explainAndSend(t, lex, tc.list, func(c *Config) { c.Consistency = tc.consistency })
			}
		})
	}
}

func explainAndSend(t *testing.T, lex packet.Lex, list []string, change ...func(*Config)) {
	w := newWorld(t)
	caps, status := capsFor(lex), uint16(0)
	if lex&packet.LexNoBackslashEscapes != 0 {
		status |= packet.StatusNoBackslashEscapes
	}
	if lex&packet.LexAnsiQuotes != 0 {
		status |= packet.StatusAnsiQuotes
	}
	var mu sync.Mutex
	got := map[string]string{} // statements to who got them
	hears := func(who string) func(string) {
		return func(sql string) {
			mu.Lock()
			defer mu.Unlock()
			got[sql] += who
		}
	}
	cfg := w.config(w.serverOf(contentWith(caps, status, hears("p"))).Addr(), w.serverOf(contentWith(caps, status, hears("r"))).Addr())
	cfg.Backends[1].ReadOnly = true
	asEverybody(&cfg)
	for _, c := range change {
		c(&cfg)
	}
	w.start(cfg)
	login := Login(caps)
	switch {
	case lex&packet.LexMultiByte != 0:
		login.Collation = 28 // gbk
	case lex&packet.LexUnknownCharset != 0:
		login.Collation = 10 // swe7
	}
	ctx := context.Background()
	fresh := ExplainOptions{Lex: lex, LexKnown: true}
	for i, sql := range list {
		session := uint64(i + 1)
		c, err := Dial(w.front(), "client")
		if err != nil {
			t.Fatal(err)
		}
		enter := All("log in", ExpectWhere("a greeting", func(packet.Packet) error { return nil }), SendPacket(1, login.Append(nil, caps)), ExpectPacket(2, OK(0)))
		if err := c.Run(enter, SendPacket(0, ping), ExpectPacket(1, OK(status))); err != nil {
			t.Fatal(err)
		}
		before, err := w.proxy.Explain(ctx, sql, fresh)
		if err != nil {
			t.Fatal(err)
		}
		x, err := w.proxy.Explain(ctx, sql, ExplainOptions{Session: session})
		if err != nil {
			t.Fatal(err)
		}
		if before.Route != x.Route || before.Reason != x.Reason || before.Digest != x.Digest || before.Text != x.Text || !slices.Equal(before.Effects, x.Effects) || !slices.Equal(before.Pins, x.Pins) || !slices.Equal(before.Backends, x.Backends) {
			t.Errorf("%q: for a new session\n%+v\nfor this one\n%+v", sql, before, x)
		}
		if err := c.Run(SendPacket(0, Query(sql)), ExpectPacket(1, OK(status))); err != nil {
			t.Fatalf("%q: %v", sql, err)
		}
		is, err := w.proxy.Sessions(ctx)
		if err != nil || len(is) == 0 || is[len(is)-1].ID != session {
			t.Fatalf("the sessions are %+v (%v), want number %d", is, err, session)
		}
		s := is[len(is)-1]
		if s.LastRoute != x.Route || s.LastReason != x.Reason {
			t.Errorf("%q went to the %s because of %s, the explanation was %s, %s", sql, s.LastRoute, s.LastReason, x.Route, x.Reason)
		}
		mu.Lock()
		who := got[sql]
		clear(got)
		mu.Unlock()
		if want := map[string]string{"primary": "p", "replica": "r"}[x.Route]; who != want {
			t.Errorf("%q went to %q, the explanation was %s, %s", sql, who, x.Route, x.Reason)
		}
		if want := cfg.Backends[strings.Index("pr", who)].Addr.String(); !slices.Equal(x.Backends, []string{want}) {
			t.Errorf("%q: the explanation has the backends %v, want %s", sql, x.Backends, want)
		}
		told := slices.DeleteFunc(x.Pins, func(p string) bool { return p == RouteInTransaction.String() }) // by the server, if it was a real one
		if !slices.Equal(s.Pins, told) {
			t.Errorf("%q left the pins %v, the explanation had %v", sql, s.Pins, told)
		}
		c.Close()
	}
}

// What a session has done is in the explanation, and an explanation changes nothing.
func TestExplanationsForASession(t *testing.T) {
	w := newWorld(t)
	p, r := w.serverOf(contentWith(ModernCaps, 0, func(string) {})), w.serverOf(func(_ int, c *Conn) error {
		return c.Run(lets(), gets("SELECT a FROM t", one("r")), Drain())
	})
	cfg := w.config(p.Addr(), r.Addr())
	cfg.Backends[1].ReadOnly = true
	asEverybody(&cfg)
	cfg.Consistency = ConsistencyNone
	w.start(cfg)
	c := w.clientNow("client", Enter(ModernCaps))
	ctx := context.Background()
	explain := func(sql, want string) {
		t.Helper()
		for range 2 {
			x, err := w.proxy.Explain(ctx, sql, ExplainOptions{Session: 1})
			if got := fmt.Sprintf("%s %s %v %v", x.Route, x.Reason, x.Effects, x.Pins); err != nil || got != want {
				t.Errorf("%s: %s (%v), want %s", sql, got, err, want)
			}
		}
	}
	runs := func(sql string, told ...Step) {
		t.Helper()
		if err := c.Run(asks(sql, told...)); err != nil {
			t.Fatal(err)
		}
	}
	ok := ExpectPacket(1, OK(0))
	explain("SELECT a FROM t", "replica read [] []")
	explain("SHOW WARNINGS", "primary last_statement [row_state] []")
	runs("SELECT a FROM t", sees("r"))
	explain("SHOW WARNINGS", "replica last_statement [row_state] []")
	explain("SELECT a FROM t", "replica read [] []")
	explain("CREATE TEMPORARY TABLE x (a int)", "primary ddl [write temporary] [temporary_table]")
	explain("SELECT GET_LOCK('x', 1)", "primary function [named_lock] [named_lock]")
	explain("SET autocommit=0", "primary set [write set_variables] []")
	explain("START TRANSACTION", "primary transaction [begin] [in_transaction]")
	runs("CREATE TEMPORARY TABLE x (a int)", ok)
	explain("SELECT a FROM t", "primary temporary_table [] []")
	explain("/* route=primary */ SELECT a FROM t", "primary hint [] []")
	explain("CREATE TEMPORARY TABLE y (a int)", "primary ddl [write temporary] []")
	runs("DROP TEMPORARY TABLE x", ok)
	explain("SELECT a FROM t", "replica read [] []")
	runs("SELECT GET_LOCK('x', 1)", ok)
	explain("SELECT a FROM t", "primary named_lock [] []")
	explain("UPDATE t SET a = '"+strings.Repeat("x", longestRead)+"'", "primary too_long [] []")
	if _, err := w.proxy.Explain(ctx, "SELECT 1", ExplainOptions{Session: 2}); !errors.Is(err, ErrNoSession) {
		t.Errorf("for a session that is not: %v", err)
	}
}

func TestExplanationsWithoutSplitting(t *testing.T) {
	for _, tc := range []struct {
		name          string
		change        func(*Config)
		route, reason string
		backends      int
	}{
		{"no splitting", func(*Config) {}, "primary", "no_splitting", 1},
		{"a script", with(&hooks{query: passQuery}), "", "script", 0},
		{"no secrets", func(c *Config) { c.Split, c.Auth = true, AuthPassthrough }, "primary", "no_identity", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			cfg := w.config(w.server(steps(Admit(Caps), Drain())), w.refused())
			cfg.Backends[1].ReadOnly = true
			tc.change(&cfg)
			w.start(cfg)
			x, err := w.proxy.Explain(context.Background(), "SELECT a FROM t WHERE id = 1", ExplainOptions{})
			if err != nil || x.Route != tc.route || x.Reason != tc.reason || len(x.Backends) != tc.backends || x.Text != "SELECT a FROM t WHERE id = ?" {
				t.Errorf("%+v, %v; want %s, %s, %d backends", x, err, tc.route, tc.reason, tc.backends)
			}
		})
	}
	t.Run("its replicas are down", func(t *testing.T) {
		w := newWorld(t)
		cfg := w.config(w.refused(), w.refused())
		cfg.Backends[1].ReadOnly = true
		asEverybody(&cfg)
		w.start(cfg)
		w.proxy.Backends()[1].set(BackendDown, "")
		x, err := w.proxy.Explain(context.Background(), "SELECT a FROM t", ExplainOptions{})
		if err != nil || x.Route != "primary" || x.Reason != "no_replica" {
			t.Errorf("%+v, %v", x, err)
		}
		x, err = w.proxy.Explain(context.Background(), "SELECT a FROM t", ExplainOptions{Database: "mysql"})
		if err != nil || x.Reason != "system_schema" || !bytes.Equal([]byte(x.Text), []byte("SELECT a FROM t")) {
			t.Errorf("%+v, %v", x, err)
		}
	})
}
