package engine

import (
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

// split has one client talk to a primary and a replica through a proxy that
// splits. primary and replica begin behind the login, and a nil replica is never
// connected to.
func split(t *testing.T, primary, replica, client []Step, change ...func(*Config)) *world {
	t.Helper()
	owned(t)
	w := newWorld(t)
	p := w.server(append(atHomeBegins(), primary...))
	var r [][]Step
	if replica != nil {
		r = [][]Step{append(steps(lets()), replica...)}
	}
	cfg := w.config(p, w.server(r...))
	cfg.Backends[1].ReadOnly = true
	cfg.Split = true
	for _, c := range change {
		c(&cfg)
	}
	w.start(cfg)
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

func TestWritesThatCannotBeAskedForStayHome(t *testing.T) {
	split(t,
		steps(gets("INSERT INTO t VALUES (1),(1)", SendPacket(1, errs(1062))), gets("SELECT @@GLOBAL.gtid_executed", SendPacket(1, errs(1227))),
			gets("SELECT a FROM t", one("p")), ExpectEnd()),
		steps(gone),
		steps(asks("INSERT INTO t VALUES (1),(1)", ExpectPacket(1, errs(1062))), asks("SELECT a FROM t", sees("p"))))
}
