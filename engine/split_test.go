package engine

import (
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

// asEverybody has the proxy split, and own the secret of every client of the test.
func asEverybody(c *Config) {
	c.Split, c.Auth = true, AuthUsersFile
	c.Users = func(string) (UserSecret, bool) { return UserSecret{Password: []byte("x")}, true }
}

// track is what home is asked for at the session's begin.
var (
	tellsMySQL = Query("SELECT @@GLOBAL.gtid_mode='ON' AND @@GLOBAL.log_bin")
	trackMySQL = Query("SET SESSION session_track_gtids=OWN_GTID,session_track_state_change=ON")
)

// one is a result of one row.
func one(value string) Step {
	b, _ := Result(nil, 1, ModernCaps, 0, value)
	return Send(b)
}

// sees is the client's part of one.
func sees(value string) Step {
	b, _ := Result(nil, 1, ModernCaps, 0, value)
	return Expect(b)
}

// asks is the client's command and what it is told.
func asks(sql string, told ...Step) Step {
	return All(sql, append(steps(SendPacket(0, Query(sql))), told...)...)
}

// gets is the server's part of it.
func gets(sql string, tells ...Step) Step {
	return All(sql, append(steps(ExpectPacket(0, Query(sql))), tells...)...)
}

// lets lets a client in, or the proxy.
func lets() Step {
	return All("let in", Greet(Greeting(ModernCaps)), ExpectWhere("a login", func(packet.Packet) error { return nil }), SendPacket(2, OK(0)))
}

// atHomeBegins is the beginning of a session at home.
func atHomeBegins() []Step {
	return steps(lets(), ExpectPacket(0, tellsMySQL), one("1"), ExpectPacket(0, trackMySQL), SendPacket(1, OK(0)))
}

func TestSplitting(t *testing.T) {
	ok, okSent := ExpectPacket(1, OK(0)), SendPacket(1, OK(0))
	quits := []Step{ExpectPacket(0, []byte{1}), ExpectEnd()}
	for _, tc := range []struct {
		name                          string
		primary, replica, client, end []Step
	}{
		{"a read goes to the replica", steps(), steps(gets("SELECT a FROM t", one("r"))), steps(asks("SELECT a FROM t", sees("r"))), quits},
		{"a write goes home", steps(gets("INSERT INTO t VALUES (1)", okSent)), nil, steps(asks("INSERT INTO t VALUES (1)", ok)), nil},
		{"a transaction stays home",
			steps(gets("BEGIN", SendPacket(1, OK(packet.StatusInTrans))), gets("SELECT a FROM t", one("p")), gets("COMMIT", okSent)),
			steps(gets("SELECT a FROM t", one("r"))),
			steps(asks("BEGIN", ExpectPacket(1, OK(packet.StatusInTrans))), asks("SELECT a FROM t", sees("p")), asks("COMMIT", ok), asks("SELECT a FROM t", sees("r"))), quits},
		{"an ERR of the replica is not shown",
			steps(gets("SELECT a FROM t", one("p"))),
			steps(gets("SELECT a FROM t", SendPacket(1, packet.AppendERR(nil, 1290, "HY000", "read only")))),
			steps(asks("SELECT a FROM t", sees("p"))), quits},
		{"the replica dies over a read", steps(gets("SELECT a FROM t", one("p"))), steps(gets("SELECT a FROM t", Reset())), steps(asks("SELECT a FROM t", sees("p"))), nil},
		{"the replica dies between reads", steps(), steps(gets("SELECT a FROM t", one("r"))), steps(asks("SELECT a FROM t", sees("r"))), quits},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			primary := append(atHomeBegins(), tc.primary...)
			p := w.server(append(primary, ExpectEnd()))
			var r []Step
			if tc.replica != nil {
				r = append(append(steps(lets()), tc.replica...), tc.end...)
			}
			cfg := w.config(p, w.server(r))
			cfg.Backends[1].ReadOnly = true
			asEverybody(&cfg)
			w.start(cfg)
			w.client("client", append(append(steps(Enter(ModernCaps)), tc.client...), Fin())...)
			w.peers.Wait()
		})
	}
}
