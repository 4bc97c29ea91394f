package engine

import (
	"fmt"
	"slices"
	"testing"
	"time"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

// left waits until no client is counted at backend i.
func left(w *world, i int) Step {
	return Do("wait until nobody is there", func(*Conn) error {
		eventually(w, fmt.Sprint("nobody at backend ", i), func() error {
			if n := w.engine().Backends()[i].Clients(); n != 0 {
				return fmt.Errorf("%d clients are", n)
			}
			return nil
		})
		return nil
	})
}

// A primary that dies while a read runs at a replica is not missed by it, also in a
// session that could rest afterwards.
func TestHomeDiesBesideARead(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Config)
	}{{"one that stays", func(*Config) {}}, {"one that multiplexes", func(c *Config) { c.Multiplex, c.MultiplexDelay = true, time.Hour }}} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			runs := make(chan struct{})
			cfg := w.config(w.server(
				append(atHomeBegins(), Do("wait for the read", func(*Conn) error { <-runs; return nil }), Reset()),
				steps(lets(), ExpectPacket(0, trackMySQL), SendPacket(1, OK(0)), gets("COMMIT", SendPacket(1, OK(0))), Drain()),
			), w.server(steps(lets(), gets("SELECT a FROM t", Do("have the primary die", func(*Conn) error { close(runs); return nil }), left(w, 0), one("r")), Drain())))
			cfg.Backends[1].ReadOnly = true
			asEverybody(&cfg)
			tc.change(&cfg)
			w.start(cfg)
			w.clientNow("client", Enter(ModernCaps), asks("SELECT a FROM t", sees("r")), asks("COMMIT", ExpectPacket(1, OK(0))))
		})
	}
}

// A replica that dies in the middle of its rows ends the session, also when the
// primary has died before it: nothing of the session is left.
func TestBothServersDieBesideARead(t *testing.T) {
	w := newWorld(t)
	runs := make(chan struct{})
	rows, _ := Result(nil, 1, ModernCaps, 0, "r")
	part := rows[:len(rows)-11] // without the packet behind the row
	cfg := w.config(w.server(append(atHomeBegins(), Do("wait for the read", func(*Conn) error { <-runs; return nil }), Reset())),
		w.server(steps(lets(), gets("SELECT a FROM t", Send(part), Do("have the primary die", func(*Conn) error { close(runs); return nil }), left(w, 0), Reset()))))
	cfg.Backends[1].ReadOnly = true
	asEverybody(&cfg)
	w.start(cfg)
	w.clientNow("client", Enter(ModernCaps), asks("SELECT a FROM t", Expect(part), ExpectERR(4, 2013, "HY000", lostText), ExpectEnd()))
	eventually(t, "the session's end", func() error {
		if s, err := w.engine().Sessions(w.Context()); err != nil || len(s) != 0 {
			return fmt.Errorf("there are %d, %w", len(s), err)
		}
		return nil
	})
}

// The next primary may have no room for all sessions at once that move to it: they
// try again for as long as clients wait for a primary.
func TestThePrimaryThatIsNextIsFullForAMoment(t *testing.T) {
	w := newWorld(t).inTime() // it is tried again now and then
	full := SendPacket(0, packet.AppendERR(nil, 1040, "", "Too many connections"))
	a := &simple{name: "A"}
	ln := w.listen()
	w.servers = append(w.servers, NewServer(ln, a.serve))
	b := w.server(steps(full, ExpectEnd()), steps(full, ExpectEnd()), append(atHomeBegins(), gets("SELECT a FROM t", one("B")), Drain()))
	cfg := w.config(ln.Addr(), b)
	ordered(&cfg)
	cfg.FailoverWait = time.Hour
	w.start(cfg)
	c := w.clientNow("client", Enter(ModernCaps), writeOK)
	ln.Close()
	a.dies()
	if err := c.Run(left(w, 0), asks("SELECT a FROM t", sees("B"))); err != nil {
		t.Error(err)
	}
}

// A script's session is killed as --health-user also where the proxy owns the
// client's identity.
func TestKillOfAScriptsCommand(t *testing.T) {
	var saw []string
	killed, query := NewGate(), Query("ONE")
	interrupted := packet.AppendERR(nil, 1317, "70100", "Query execution was interrupted")
	w := choosingWorld(t, choosing(false, &saw), Scripts(steps(admitAs(shopLogin(), ownCaps), ExpectPacket(0, query), Await(killed), SendPacket(1, interrupted), ExpectEnd())), Scripts())
	k := &killer{}
	c := w.clientNow("client", enterAs(shopLogin(), ownCaps), SendPacket(0, query))
	w.killedBy(k)
	if err := c.Run(kill(w, "busy", true)); err != nil {
		t.Error(err)
	}
	close(killed)
	if got := k.kills(); !slices.Equal(got, []string{"KILL QUERY 77"}) {
		t.Errorf("the backend was asked for %q", got)
	}
	if err := c.Run(ExpectPacket(1, interrupted), Fin()); err != nil {
		t.Error(err)
	}
}

// A read whose primary dies while its KILL is being logged in is answered all the
// same when that is over.
func TestHomeDiesBesideAKill(t *testing.T) {
	w := newWorld(t)
	logsIn, read := NewGate(), gets("SELECT a FROM t", one("p"))
	cfg := w.config(w.server(
		append(atHomeBegins(), ExpectPacket(0, Query("SELECT a FROM t")), Await(logsIn), Reset()),
		steps(Greet(Greeting(ModernCaps)), ExpectWhere("a login", func(packet.Packet) error { return nil }), Open(logsIn), Do("wait for the end of home", func(*Conn) error {
			eventually(w, "home's end", func() error {
				if n := w.engine().Backends()[0].Clients(); n != 1 {
					return fmt.Errorf("%d clients", n)
				}
				return nil
			})
			return nil
		}), Reset()),
		steps(lets(), ExpectPacket(0, trackMySQL), SendPacket(1, OK(0)), read, Drain())))
	asEverybody(&cfg)
	w.start(cfg)
	c := w.clientNow("client", Enter(ModernCaps), SendPacket(0, Query("SELECT a FROM t")))
	if err := c.Run(kill(w, "busy", true)); err == nil {
		t.Error("a KILL whose login was cut off has succeeded")
	}
	if err := c.Run(sees("p")); err != nil {
		t.Error(err)
	}
}

// A session whose LAST_INSERT_ID() cannot be had stays where it is.
func TestASessionStaysWhoseInsertIDIsNotTold(t *testing.T) {
	for _, tc := range []struct {
		name  string
		tells Step
	}{{"an ERR", SendPacket(1, errs(1047))}, {"no row", func() Step { b, _ := Result(nil, 1, ModernCaps, 0); return Send(b) }()}} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			wrote := (&packet.OK{LastInsertID: 5, Status: packet.StatusAutocommit}).Append(nil, 0)
			a, b := w.server(), w.server(append(atHomeBegins(), gets("INSERT INTO t VALUES (1)", SendPacket(1, wrote)),
				gets("SELECT LAST_INSERT_ID()", tc.tells), gets("SELECT a FROM t", one("B")), gets("SELECT b FROM t", one("B")), Drain()))
			patients := w.failing(ordered, a, b)
			patients[0].is(table{}, noAnswer)
			w.becomes(0, HealthDown)
			c := w.clientNow("client", Enter(ModernCaps), asks("INSERT INTO t VALUES (1)", ExpectPacket(1, wrote)))
			patients[0].is(table{}, nil)
			w.becomes(0, HealthGood)
			if err := c.Run(asks("SELECT a FROM t", sees("B")), asks("SELECT b FROM t", sees("B"))); err != nil {
				t.Error(err)
			}
		})
	}
}

// What a statement has left that home took with it is asked for in vain also by a
// prepared statement.
func TestAPreparedStatementAsksForWhatIsGone(t *testing.T) {
	w := newWorld(t)
	a := &simple{name: "A"}
	ln := w.listen()
	w.servers = append(w.servers, NewServer(ln, a.serve))
	const sql = "SELECT ROW_COUNT()"
	b := w.server(append(atHomeBegins(), getsPrepare(sql, home1, 1, 0), ExpectEnd()))
	cfg := w.config(ln.Addr(), b)
	ordered(&cfg)
	w.start(cfg)
	c := w.clientNow("client", Enter(ModernCaps), writeOK)
	ln.Close()
	a.dies()
	if err := c.Run(left(w, 0), asksPrepare(sql, home1, 1, 0), asksFor(runs(home1, noType), ExpectERR(1, 2013, "HY000", lostText), ExpectEnd())); err != nil {
		t.Error(err)
	}
}

// What a read was to see that was refused for want of a session with the primary is
// of no matter to the next one.
func TestARefusedReadLeavesNoDemand(t *testing.T) {
	w := newWorld(t)
	opens, full, refused := NewGate(), NewGate(), NewGate()
	again := steps(lets(), ExpectPacket(0, trackMySQL), SendPacket(1, OK(0)), Drain())
	cfg := w.config(
		w.server(append(atHomeBegins(), Await(opens), Reset()), again, again),
		w.server(steps(Open(opens), Await(full), lets(), causal(uuid+":9"), gets(second, one("r")), Drain())))
	cfg.Backends[1].ReadOnly = true
	asEverybody(&cfg)
	fewSessions(1, short)(&cfg)
	w.start(cfg)
	c := w.clientNow("client", Enter(ModernCaps))
	w.client("who waits", Enter(ModernCaps), Open(full), queued(w, 1), passes(w, 2*short), Await(refused), Fin())
	if err := c.Run(queued(w, 1), asks(first, ExpectPacket(1, ReasonPoolWait.appendERR(nil, 0, true)[packet.HeaderLen:])), Open(refused), left(w, 0), asks(second, sees("r"))); err != nil {
		t.Error(err)
	}
}

const (
	first  = "/* gtid=" + uuid + ":7 */ SELECT a FROM t"
	second = "/* gtid=" + uuid + ":9 */ SELECT a FROM t"
)

// Who waits for room at a server that does not lead any more is let in at the one
// that does.
func TestWhoWaitsForRoomFollowsThePrimary(t *testing.T) {
	w := newWorld(t)
	patients := w.roled([]bool{true, false}, w.serverOf(named("A")).Addr(), w.serverOf(named("B")).Addr())
	w.leadIs(0)
	cfg := w.proxy.cfg().Config
	cfg.FailoverWait = time.Hour // there is none while sessions with the one before end
	fewSessions(1, time.Hour)(&cfg)
	if err := w.proxy.Apply(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	there := w.clientNow("there", Enter(Caps), is("A"))
	waits := w.clientNow("waits", queued(w, 1))
	patients[0].leads(false)
	patients[1].leads(true)
	w.leadIs(1)
	if err := there.Run(ExpectEnd()); err != nil {
		t.Error(err)
	}
	if err := waits.Run(Enter(Caps), is("B")); err != nil {
		t.Error(err)
	}
}

// What is kept for a script's session that is in a transaction there is kept while
// probes get no answers: they may be wrong, and nobody would hear of its end.
func TestATransactionThatAScriptHasLeftOutlastsProbes(t *testing.T) {
	var saw []string
	open := OK(packet.StatusInTrans)
	w := choosingWorld(t, choosing(true, &saw), Scripts(steps(admitAs(shopLogin(), ownCaps),
		ExpectPacket(0, Query("LET GO")), SendPacket(1, open), ExpectPacket(0, Query("ONE")), SendPacket(1, open), ExpectEnd())), Scripts())
	lost := Do("lose the server", func(*Conn) error {
		e := w.engine()
		_, err := askLoops(w.Context(), e, func(l *loop) int { l.lost(e.Backends()[0]); return 0 })
		return err
	})
	w.talk(1, ReasonClientClosed, enterAs(shopLogin(), ownCaps), SendPacket(0, Query("LET GO")), ExpectPacket(1, open), lost, SendPacket(0, Query("ONE")), ExpectPacket(1, open), Fin())
}

// A script's session ends, and hears of it, with a transaction that it has left with
// a server that is taken out of service.
func TestATransactionThatAScriptHasLeftEndsWithItsServer(t *testing.T) {
	var saw []string
	open := OK(packet.StatusInTrans)
	w := choosingWorld(t, choosing(true, &saw), Scripts(steps(admitAs(shopLogin(), ownCaps),
		ExpectPacket(0, Query("LET GO")), SendPacket(1, open), Drain())), Scripts())
	takeOut := Do("take the server out", func(*Conn) error {
		e := w.engine()
		return e.ForceBackend(w.Context(), e.Backends()[0].Addr.String(), DutyMaintenance, 0)
	})
	w.talk(1, ReasonMaintenance, enterAs(shopLogin(), ownCaps), SendPacket(0, Query("LET GO")), ExpectPacket(1, open), takeOut,
		ExpectPacket(0, ReasonMaintenance.appendERR(nil, 0, true)[packet.HeaderLen:]), ExpectEnd())
}
