package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

// split has one client talk to a primary and a replica through a proxy that
// splits. primary and replica begin behind the login, and a nil replica is never
// connected to.
func split(t *testing.T, primary, replica, client []Step, change ...func(*Config)) *world {
	t.Helper()
	w := newWorld(t)
	p := w.server(append(atHomeBegins(), primary...))
	var r [][]Step
	if replica != nil {
		r = [][]Step{append(steps(lets()), replica...)}
	}
	cfg := w.config(p, w.server(r...))
	cfg.Backends[1].ReadOnly = true
	asEverybody(&cfg)
	for _, c := range change {
		c(&cfg)
	}
	w.start(cfg)
	client = slices.Clone(client)
	for i := range client {
		if client[i].Name == idles.Name {
			client[i] = rests(w)
		}
	}
	w.client("client", append(append(steps(Enter(ModernCaps)), client...), Fin())...)
	w.peers.Wait()
	return w
}

// gone is how a server session ends whose client has quit.
var gone = All("gone", ExpectPacket(0, []byte{1}), ExpectEnd())

const uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562"

// errs is the payload of an ERR.
func errs(code uint16) []byte { return packet.AppendERR(nil, code, "HY000", "no") }

// causal is the reader's part of waiting for GTIDs.
func causal(set string) Step {
	return gets("SELECT WAIT_FOR_EXECUTED_GTID_SET('"+set+"',0.02)", one("0"))
}

// What a statement has written before its ERR is not told by anything that the
// server says later of itself.
func TestWritesOfStatementsThatFail(t *testing.T) {
	for _, tc := range []struct {
		name            string
		primary, client []Step
	}{
		{"an INSERT that fails half-way",
			steps(gets("INSERT INTO t VALUES (1),(1)", SendPacket(1, errs(1062)))),
			steps(asks("INSERT INTO t VALUES (1),(1)", ExpectPacket(1, errs(1062))))},
		{"a transaction that was committed by what then failed",
			steps(gets("BEGIN", SendPacket(1, OK(packet.StatusInTrans))), gets("INSERT INTO t VALUES (1)", SendPacket(1, OK(packet.StatusInTrans))),
				gets("LOCK TABLES nowhere READ", SendPacket(1, errs(1146))), gets("DO 0", SendPacket(1, OK(0)))),
			steps(asks("BEGIN", ExpectPacket(1, OK(packet.StatusInTrans))), asks("INSERT INTO t VALUES (1)", ExpectPacket(1, OK(packet.StatusInTrans))),
				asks("LOCK TABLES nowhere READ", ExpectPacket(1, errs(1146))), asks("DO 0", ExpectPacket(1, OK(0))))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			split(t,
				append(tc.primary, gets("SELECT @@GLOBAL.gtid_executed", one(uuid+":1-5")), ExpectEnd()),
				steps(causal(uuid+":1-5"), gets("SELECT a FROM t", one("r")), gone),
				append(tc.client, asks("SELECT a FROM t", sees("r"))))
		})
	}
}

// What is written while the client has the server tell nothing is asked for when a
// reset has ended that.
func TestWritesThatTheClientHasLeftUntold(t *testing.T) {
	const off = "SET session_track_gtids=OFF"
	ok, sent := ExpectPacket(1, OK(0)), SendPacket(1, OK(0))
	split(t,
		steps(gets(off, sent), gets("INSERT INTO t VALUES (1)", sent), ExpectPacket(0, resetSession), sent, ExpectPacket(0, trackMySQL), sent,
			gets("SELECT @@GLOBAL.gtid_executed", one(uuid+":1-5")), ExpectEnd()),
		steps(ExpectPacket(0, resetSession), sent, causal(uuid+":1-5"), gets("SELECT a FROM t", one("r")), gone),
		steps(asks(off, ok), asks("INSERT INTO t VALUES (1)", ok), SendPacket(0, resetSession), ok, asks("SELECT a FROM t", sees("r"))))
}

func TestWritesThatCannotBeAskedForStayHome(t *testing.T) {
	reset := []byte{byte(packet.ComResetConnection)}
	split(t,
		steps(gets("INSERT INTO t VALUES (1),(1)", SendPacket(1, errs(1062))), gets("SELECT @@GLOBAL.gtid_executed", SendPacket(1, errs(1227))),
			gets("SELECT a FROM t", one("p")),
			ExpectPacket(0, reset), SendPacket(1, OK(0)), ExpectPacket(0, trackMySQL), SendPacket(1, OK(0)), // the writes are what they were
			gets("SELECT a FROM t", one("q")), ExpectEnd()),
		steps(gone),
		steps(asks("INSERT INTO t VALUES (1),(1)", ExpectPacket(1, errs(1062))), asks("SELECT a FROM t", sees("p")),
			SendPacket(0, reset), ExpectPacket(1, OK(0)), asks("SELECT a FROM t", sees("q"))))
}

// multiplexed has the session give its home away when time passes.
func multiplexed(cfg *Config) { cfg.Multiplex, cfg.MultiplexDelay = true, time.Millisecond }

// idles gives a session the time to rest, in a script that is there before the world
// is.
var idles = Step{Name: "idle"}

// rests gives sessions the time to.
func rests(w *world) Step { return passes(w, 200*time.Millisecond) }

// shelved waits until the pool has n sessions with the primary.
func shelved(w *world, n int) Step {
	return Do("wait for idle sessions", func(*Conn) error {
		p := w.engine().Backends()[0].pools[0]
		eventually(w, "idle sessions", func() error {
			if w.restless() {
				w.pass(100 * time.Millisecond)
			}
			if got := p.idleOf("app"); got != n {
				return fmt.Errorf("%d are idle, want %d", got, n)
			}
			return nil
		})
		return nil
	})
}

// restless tells whether a session is to rest when time passes.
func (w *world) restless() (yes bool) {
	w.onLoop(func() {
		for c := w.proxy.loops[0].clients; c != nil; c = c.next {
			yes = yes || c.sp != nil && c.sp.resting.Armed()
		}
	})
	return yes
}

var resetSession = []byte{byte(packet.ComResetConnection)}

// restored is what a pooled session is asked before it is used again.
var restored = All("restored", ExpectPacket(0, resetSession), SendPacket(1, OK(0)),
	gets("SET character_set_client=45,character_set_results=45,collation_connection=45", SendPacket(1, OK(0))), ExpectPacket(0, trackMySQL), SendPacket(1, OK(0)))

// A role survives what makes a session new for another client, so whoever has set
// one keeps its session.
func TestRolesKeepSessionsFromThePool(t *testing.T) {
	ok, sent := ExpectPacket(1, OK(0)), SendPacket(1, OK(0))
	for _, tc := range []struct {
		name            string
		primary, client []Step
	}{
		{"set",
			steps(gets("SET ROLE r", sent), gets("COMMIT", sent)),
			steps(asks("SET ROLE r", ok), idles, asks("COMMIT", ok))},
		{"set before a reset",
			steps(gets("SET ROLE r", sent), ExpectPacket(0, resetSession), sent, ExpectPacket(0, trackMySQL), sent, gets("COMMIT", sent), gets("COMMIT", sent)),
			steps(asks("SET ROLE r", ok), SendPacket(0, resetSession), ok, asks("COMMIT", ok), idles, asks("COMMIT", ok))},
		{"perhaps set by a procedure before a reset",
			steps(gets("CALL p()", sent), ExpectPacket(0, resetSession), sent, ExpectPacket(0, trackMySQL), sent, gets("COMMIT", sent), gets("COMMIT", sent)),
			steps(asks("CALL p()", ok), SendPacket(0, resetSession), ok, asks("COMMIT", ok), idles, asks("COMMIT", ok))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			split(t, append(tc.primary, Drain()), nil, tc.client, multiplexed)
		})
	}
}

// The reader has the role that home has kept over a reset.
func TestRolesStayOverAReset(t *testing.T) {
	ok, sent := ExpectPacket(1, OK(0)), SendPacket(1, OK(0))
	split(t,
		steps(gets("SET ROLE r", sent), ExpectPacket(0, resetSession), sent, ExpectPacket(0, trackMySQL), sent, ExpectEnd()),
		steps(ExpectPacket(0, resetSession), sent, gets("SET ROLE r", sent), gets("SELECT a FROM t", one("r")), gone),
		steps(asks("SET ROLE r", ok), SendPacket(0, resetSession), ok, asks("SELECT a FROM t", sees("r"))))
}

// A session without a database takes none from the pool that has one.
func TestPooledSessionsWithADatabase(t *testing.T) {
	w := newWorld(t)
	ok, sent := ExpectPacket(1, OK(0)), SendPacket(1, OK(0))
	none := append(steps(lets(), ExpectPacket(0, tellsMySQL), one("1"), ExpectPacket(0, trackMySQL), sent), gets("COMMIT", sent), restored, gets("COMMIT", sent), Drain())
	with := steps(lets(), ExpectPacket(0, trackMySQL), sent, ExpectPacket(0, []byte("\x02db")), sent, gets("COMMIT", sent), Drain())
	cfg := w.config(w.server(none, with), w.server())
	cfg.Backends[1].ReadOnly = true
	asEverybody(&cfg)
	multiplexed(&cfg)
	w.start(cfg)
	a := w.clientNow("without", Enter(ModernCaps), asks("COMMIT", ok), shelved(w, 1))
	w.clientNow("with", Enter(ModernCaps), SendPacket(0, []byte("\x02db")), ok, asks("COMMIT", ok), shelved(w, 2))
	if err := a.Run(asks("COMMIT", ok)); err != nil {
		t.Error(err)
	}
}

// A reset leaves the database, but not its character set: it is chosen again.
func TestPooledSessionsChooseTheirDatabaseAgain(t *testing.T) {
	w := newWorld(t)
	ok, sent := ExpectPacket(1, OK(0)), SendPacket(1, OK(0))
	chooses := has([]byte("\x02db"), OK(0))
	home := append(atHomeBegins(), chooses, restored, chooses, gets("COMMIT", sent), restored, chooses, Drain())
	back := All("back", ExpectPacket(0, resetSession), sent, gets("SET character_set_client=45,character_set_results=45,collation_connection=45", sent), chooses)
	reader := steps(lets(), gets("SELECT a FROM t", one("r")), back, gets("SELECT a FROM t", one("s")), Drain())
	cfg := w.config(w.server(home), w.server(reader))
	cfg.Backends[1].ReadOnly = true
	asEverybody(&cfg)
	multiplexed(&cfg)
	w.start(cfg)
	w.clientNow("client", Enter(ModernCaps), sends([]byte("\x02db"), OK(0)),
		asks("SELECT a FROM t", sees("r")), shelved(w, 1), asks("COMMIT", ok), shelved(w, 1), asks("SELECT a FROM t", sees("s")))
}

// MariaDB forgets a session's state before it refuses a COM_CHANGE_USER.
func TestReadsStayHomeAfterARefusedChangeOfUser(t *testing.T) {
	sent := SendPacket(1, OK(0))
	change := append([]byte{byte(packet.ComChangeUser)}, "nobody\x00\x00\x00"...)
	split(t,
		steps(gets("SET sql_mode='ANSI'", sent), ExpectPacket(0, change), SendPacket(1, errs(1045)), gets("SELECT a FROM t", one("p")), ExpectEnd()),
		nil,
		steps(asks("SET sql_mode='ANSI'", ExpectPacket(1, OK(0))), SendPacket(0, change), ExpectPacket(1, errs(1045)), asks("SELECT a FROM t", sees("p"))))
}

// What is asked about a read is asked where that ran, or that runs again where it
// is asked.
func TestQuestionsAboutReads(t *testing.T) {
	ok, sent := ExpectPacket(1, OK(0)), SendPacket(1, OK(0))
	initDB := []byte("\x02other")
	for _, tc := range []struct {
		name                     string
		primary, replica, client []Step
	}{
		{"warnings, behind a COM_INIT_DB",
			steps(ExpectPacket(0, initDB), sent, ExpectEnd()),
			steps(gets("SELECT 1/0", one("r")), gets("SHOW WARNINGS", one("w")), gone),
			steps(asks("SELECT 1/0", sees("r")), SendPacket(0, initDB), ok, asks("SHOW WARNINGS", sees("w")))},
		{"warnings, and the replica dies over them",
			steps(gets("SELECT 1/0", one("p")), gets("SHOW WARNINGS", one("w")), ExpectEnd()),
			steps(gets("SELECT 1/0", one("r")), gets("SHOW WARNINGS", Reset())),
			steps(asks("SELECT 1/0", sees("r")), asks("SHOW WARNINGS", sees("w")))},
		{"how many there were, behind these",
			steps(gets("SELECT 1/0", one("p")), gets("SHOW WARNINGS", one("w")), gets("SELECT @@warning_count, ROW_COUNT()", one("1")), ExpectEnd()),
			steps(gets("SELECT 1/0", one("r")), gets("SHOW WARNINGS", one("w")), gone),
			steps(asks("SELECT 1/0", sees("r")), asks("SHOW WARNINGS", sees("w")), asks("SELECT @@warning_count, ROW_COUNT()", sees("1")))},
		{"how many rows, behind an EXPLAIN, which mostly leaves that",
			steps(gets("SELECT a FROM t", one("p")), gets("EXPLAIN SELECT a FROM t", one("e")), gets("SELECT FOUND_ROWS()", one("1")), ExpectEnd()),
			steps(gets("SELECT a FROM t", one("r")), gone),
			steps(asks("SELECT a FROM t", sees("r")), asks("EXPLAIN SELECT a FROM t", sees("e")), asks("SELECT FOUND_ROWS()", sees("1")))},
		{"how many rows, behind a SHOW CREATE TABLE, which leaves that",
			steps(gets("SELECT a FROM t", one("p")), gets("show create TABLE t", one("e")), gets("SELECT FOUND_ROWS()", one("1")), ExpectEnd()),
			steps(gets("SELECT a FROM t", one("r")), gone),
			steps(asks("SELECT a FROM t", sees("r")), asks("show create TABLE t", sees("e")), asks("SELECT FOUND_ROWS()", sees("1")))},
	} {
		t.Run(tc.name, func(t *testing.T) { split(t, tc.primary, tc.replica, tc.client) })
	}
}

// A session that has given its reader away has the read run again.
func TestWarningsOfAReadWhoseReaderIsAway(t *testing.T) {
	w := newWorld(t)
	home := append(atHomeBegins(), restored, gets("SELECT 1/0", one("p")), gets("SHOW WARNINGS", one("w")), Drain())
	cfg := w.config(w.server(home), w.server(steps(lets(), gets("SELECT 1/0", one("r")), Drain())))
	cfg.Backends[1].ReadOnly = true
	asEverybody(&cfg)
	multiplexed(&cfg)
	w.start(cfg)
	w.clientNow("client", Enter(ModernCaps), asks("SELECT 1/0", sees("r")), shelved(w, 1), asks("SHOW WARNINGS", sees("w")))
}

// Where servers tell tables apart by case, two temporary ones may differ in that
// alone.
func TestTemporaryTablesThatDifferInCase(t *testing.T) {
	ok, sent := ExpectPacket(1, OK(0)), SendPacket(1, OK(0))
	split(t,
		steps(gets("CREATE TEMPORARY TABLE t (a INT)", sent), gets("CREATE TEMPORARY TABLE T (a INT)", sent), gets("DROP TABLE T", sent),
			gets("SELECT a FROM t", one("p")), gets("DROP TABLE t", sent), ExpectEnd()),
		steps(gets("SELECT a FROM t", one("r")), gone),
		steps(asks("CREATE TEMPORARY TABLE t (a INT)", ok), asks("CREATE TEMPORARY TABLE T (a INT)", ok), asks("DROP TABLE T", ok),
			asks("SELECT a FROM t", sees("p")), asks("DROP TABLE t", ok), asks("SELECT a FROM t", sees("r"))))
}

// What only matters to writes is for another home, and not for a reader.
func TestVariablesForWrites(t *testing.T) {
	ok, sent := ExpectPacket(1, OK(0)), SendPacket(1, OK(0))
	t.Run("are not set at the replica", func(t *testing.T) {
		split(t, steps(gets("SET foreign_key_checks=0", sent), ExpectEnd()), steps(gets("SELECT a FROM t", one("r")), gone),
			steps(asks("SET foreign_key_checks=0", ok), asks("SELECT a FROM t", sees("r"))))
	})
	for _, tc := range []struct {
		set     string
		idle    int // sessions, after a while
		primary []Step
	}{
		{"SET foreign_key_checks=0", 1, steps(restored, gets("SET SESSION foreign_key_checks=0", sent), gets("COMMIT", sent))},
		{"SET insert_id=5", 0, steps(gets("COMMIT", sent))},
		{"SET foreign_key_checks=@before", 0, steps(gets("COMMIT", sent))},
	} {
		t.Run(tc.set+" with multiplexing", func(t *testing.T) {
			w := newWorld(t)
			home := append(append(atHomeBegins(), gets(tc.set, sent)), tc.primary...)
			cfg := w.config(w.server(append(home, Drain())), w.server())
			cfg.Backends[1].ReadOnly = true
			asEverybody(&cfg)
			multiplexed(&cfg)
			w.start(cfg)
			w.clientNow("client", Enter(ModernCaps), asks(tc.set, ok), rests(w), shelved(w, tc.idle), asks("COMMIT", ok))
		})
	}
}

// COM_SET_OPTION outlives a reset: a session that has had one keeps its home.
func TestOptionsKeepSessionsFromThePool(t *testing.T) {
	ok, sent := ExpectPacket(1, OK(0)), SendPacket(1, OK(0))
	option, end := []byte{byte(packet.ComSetOption), 0, 0}, []byte{0xfe, 0, 0, 2, 0, 0, 0}
	split(t, steps(ExpectPacket(0, option), SendPacket(1, end), gets("COMMIT", sent), gets("COMMIT", sent), Drain()), nil,
		steps(SendPacket(0, option), ExpectPacket(1, end), asks("COMMIT", ok), idles, asks("COMMIT", ok)), multiplexed)
}

// An INSERT that is too long to be looked at has an insert id as well.
func TestInsertIDOfALongStatement(t *testing.T) {
	w := newWorld(t)
	ok, sent := ExpectPacket(1, OK(0)), SendPacket(1, OK(0))
	long := "INSERT INTO t VALUES ('" + strings.Repeat("x", longestRead) + "')"
	home := append(atHomeBegins(), ExpectPacket(0, Query(long)), sent, gets("COMMIT", sent), gets("SELECT LAST_INSERT_ID()", one("5")),
		restored, gets("SET last_insert_id=5", sent), gets("SELECT LAST_INSERT_ID()", one("5")), Drain())
	cfg := w.config(w.server(home), w.server())
	cfg.Backends[1].ReadOnly = true
	asEverybody(&cfg)
	multiplexed(&cfg)
	w.start(cfg)
	single := ModernCaps &^ packet.CapMultiStatements
	g, l := Greeting(ModernCaps), Login(single)
	enter := All("log in", ExpectPacket(0, g.Append(nil)), SendPacket(1, l.Append(nil, ModernCaps)), ExpectPacket(2, OK(0)))
	w.clientNow("client", enter, SendPacket(0, Query(long)), ok, asks("COMMIT", ok), shelved(w, 1), asks("SELECT LAST_INSERT_ID()", sees("5")))
}

// A session that could go on without its home ends all the same when its client
// quits.
func TestQuitEndsASessionThatCouldGoOn(t *testing.T) {
	split(t, steps(ExpectPacket(0, []byte{byte(packet.ComQuit)})), steps(gets("SELECT a FROM t", one("r")), gone),
		steps(asks("SELECT a FROM t", sees("r")), SendPacket(0, []byte{byte(packet.ComQuit)}), ExpectEnd()))
}

// A session that the server closes because its client has said so ends, though it
// could go on at another.
func TestReleaseEndsASessionThatCouldGoOn(t *testing.T) {
	for _, sql := range []string{"COMMIT RELEASE", "rollback work release"} {
		t.Run(sql, func(t *testing.T) {
			split(t, steps(gets(sql, SendPacket(1, OK(0)), Fin())), nil, steps(asks(sql, ExpectPacket(1, OK(0))), ExpectEnd()), multiplexed)
		})
	}
	t.Run("by completion_type", func(t *testing.T) {
		split(t, steps(gets("SET completion_type=2", SendPacket(1, OK(0))), gets("COMMIT", SendPacket(1, OK(0)), Fin())), nil,
			steps(asks("SET completion_type=2", ExpectPacket(1, OK(0))), asks("COMMIT", ExpectPacket(1, OK(0))), ExpectEnd()))
	})
}
