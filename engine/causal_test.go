package engine

import (
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

// wrote is the server's part of a write, and is the client's, which has session
// tracking and did not ask for GTIDs.
func wrote(gtid string) (server, client Step) {
	o := packet.OK{Status: packet.StatusAutocommit | packet.StatusSessionState}
	c := packet.SessionChange{Kind: packet.SessionGTIDs, Value: []byte(gtid)}
	o.SessionState = c.Append(nil)
	plain := packet.OK{Status: packet.StatusAutocommit} // nothing of it is for the client
	return SendPacket(1, o.Append(nil, ModernCaps)), ExpectPacket(1, plain.Append(nil, ModernCaps))
}

// consistent has reads see that.
func consistent(what Consistency) func(*Config) { return func(c *Config) { c.Consistency = what } }

func TestTokens(t *testing.T) {
	sent, ok := wrote(uuid + ":7")
	hinted := "SELECT /* gtid=" + uuid + ":1-9 */ a FROM t"
	insert := "INSERT INTO t VALUES (1)"
	unknown := ExpectPacket(1, errs(1193))
	for _, tc := range []struct {
		name                     string
		consistency              Consistency
		primary, replica, client []Step
	}{
		{"of a session that has not written", ConsistencySession,
			steps(gets("SELECT '' AS `@@proxy_gtid`", one("")), ExpectEnd()), nil,
			steps(asks("SELECT @@proxy_gtid", sees("")))},
		{"of one that has", ConsistencySession,
			steps(gets(insert, sent), gets("SELECT '"+uuid+":7' AS `@@proxy_gtid`", one("x")), ExpectEnd()), nil,
			steps(asks(insert, ok), asks(" select\t@@Session.Proxy_GTID ;", sees("x")))},
		{"of one that has, where reads do not care", ConsistencyNone,
			steps(gets(insert, sent), gets("SELECT '"+uuid+":7' AS `@@proxy_gtid`", one("x")), ExpectEnd()), nil,
			steps(asks(insert, ok), asks("SELECT @@proxy_gtid", sees("x")))},
		{"sent at once with the write", ConsistencySession,
			steps(gets(insert, sent), gets("SELECT '"+uuid+":7' AS `@@proxy_gtid`", one("x")), ExpectEnd()), nil,
			steps(Send(append(packet.AppendPacket(nil, 0, Query(insert)), packet.AppendPacket(nil, 0, Query("SELECT @@proxy_gtid"))...)), ok, sees("x"))},
		{"behind a write that failed", ConsistencySession,
			steps(gets(insert, SendPacket(1, errs(1062))), gets("SELECT @@GLOBAL.gtid_executed", one(uuid+":1-8")), gets("SELECT '"+uuid+":1-8' AS `@@proxy_gtid`", one("x")), ExpectEnd()), nil,
			steps(asks(insert, ExpectPacket(1, errs(1062))), asks("SELECT @@proxy_gtid", sees("x")))},
		{"that are not known", ConsistencySession,
			steps(gets(insert, SendPacket(1, errs(1062))), gets("SELECT @@GLOBAL.gtid_executed", SendPacket(1, errs(1227))), gets("SELECT NULL AS `@@proxy_gtid`", one("x")), ExpectEnd()), nil,
			steps(asks(insert, ExpectPacket(1, errs(1062))), asks("SELECT @@proxy_gtid", sees("x")))},
		{"something else of that name", ConsistencySession,
			steps(gets("SELECT @@proxy_gtid2", SendPacket(1, errs(1193))), ExpectEnd()), nil,
			steps(asks("SELECT @@proxy_gtid2", unknown))},
		{"in a comment", ConsistencySession, steps(ExpectEnd()),
			steps(causal(uuid+":1-9"), gets(hinted, one("r")), gets(hinted, one("s")), gets("SELECT a FROM t", one("u")), gone),
			steps(asks(hinted, sees("r")), asks(hinted, sees("s")), asks("SELECT a FROM t", sees("u")))},
		{"in a comment, where reads do not care else", ConsistencyNone, steps(gets(insert, sent), ExpectEnd()),
			steps(gets("SELECT a FROM t", one("u")), causal(uuid+":1-9"), gets(hinted, one("r")), gone),
			steps(asks(insert, ok), asks("SELECT a FROM t", sees("u")), asks(hinted, sees("r")))},
		{"in a comment, with writes of its own", ConsistencySession, steps(gets(insert, sent), ExpectEnd()),
			steps(causal(uuid+":1-9"), gets(hinted, one("r")), gone),
			steps(asks(insert, ok), asks(hinted, sees("r")))},
		{"in a comment, not there in time", ConsistencySession, steps(gets(hinted, one("p")), ExpectEnd()),
			steps(gets("SELECT WAIT_FOR_EXECUTED_GTID_SET('"+uuid+":1-9',0.02)", one("1")), gets("SELECT a FROM t", one("u")), gone),
			steps(asks(hinted, sees("p")), asks("SELECT a FROM t", sees("u")))},
		{"in a comment, of another kind", ConsistencySession, steps(gets("SELECT /* gtid=0-1-7 */ a FROM t", one("p")), ExpectEnd()),
			steps(gets("SELECT a FROM t", one("u")), gone),
			steps(asks("SELECT /* gtid=0-1-7 */ a FROM t", sees("p")), asks("SELECT a FROM t", sees("u")))},
		{"in a comment, nonsense", ConsistencySession, steps(gets("SELECT /* gtid='); DROP */ a FROM t", one("p")), ExpectEnd()), nil,
			steps(asks("SELECT /* gtid='); DROP */ a FROM t", sees("p")))},
		{"in a comment, none", ConsistencySession, steps(ExpectEnd()), steps(gets("SELECT /* gtid= */ a FROM t", one("r")), gone),
			steps(asks("SELECT /* gtid= */ a FROM t", sees("r")))},
		{"of all writes", ConsistencyGlobal,
			steps(gets("SELECT @@GLOBAL.gtid_executed", one(uuid+":1-5")), gets("SELECT @@GLOBAL.gtid_executed", one(uuid+":1-5")), gets("SELECT @@GLOBAL.gtid_executed", one(uuid+":1-6")),
				gets("SELECT a FROM t", one("p")), ExpectEnd()),
			steps(causal(uuid+":1-5"), gets("SELECT a FROM t", one("r")), gets("SELECT a FROM t", one("s")), gets("SELECT WAIT_FOR_EXECUTED_GTID_SET('"+uuid+":1-6',0.02)", one("1")), gone),
			steps(asks("SELECT a FROM t", sees("r")), asks("SELECT a FROM t", sees("s")), asks("SELECT a FROM t", sees("p")))},
		{"of all writes, which the primary does not tell", ConsistencyGlobal,
			steps(gets("SELECT @@GLOBAL.gtid_executed", SendPacket(1, errs(1227))), gets("SELECT a FROM t", one("p")), ExpectEnd()), steps(gone),
			steps(asks("SELECT a FROM t", sees("p")))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			split(t, tc.primary, tc.replica, tc.client, consistent(tc.consistency))
		})
	}
}

// Where writes have no GTIDs, reads that have to see all of them stay home.
func TestAllWritesWithoutGTIDs(t *testing.T) {
	w := newWorld(t)
	home := steps(lets(), ExpectPacket(0, tellsMySQL), one("0"), ExpectPacket(0, trackMySQL), SendPacket(1, OK(0)), gets("SELECT a FROM t", one("p")),
		gets("SELECT NULL AS `@@proxy_gtid`", one("x")), ExpectEnd())
	cfg := w.config(w.server(home), w.server(steps(lets(), gone)))
	cfg.Backends[1].ReadOnly = true
	asEverybody(&cfg)
	consistent(ConsistencyGlobal)(&cfg)
	w.start(cfg)
	w.client("client", Enter(ModernCaps), asks("SELECT a FROM t", sees("p")), asks("SELECT @@proxy_gtid", sees("x")), Fin())
	w.peers.Wait()
}

// With query attributes the proxy's own queries have their number in front as well.
func TestOwnQueriesWithAttributes(t *testing.T) {
	const caps = ModernCaps | packet.CapQueryAttributes
	attributed := func(sql string) []byte { return append([]byte{byte(packet.ComQuery), 0, 1}, sql...) }
	sent, ok := wrote(uuid + ":7")
	splits(t, caps,
		steps(SendPacket(0, attributed("INSERT INTO t VALUES (1)")), ok, SendPacket(0, attributed("SELECT @@proxy_gtid")), sees("x"), SendPacket(0, attributed("SELECT a FROM t")), sees("r")),
		append(attributesBegin(caps), ExpectPacket(0, attributed("INSERT INTO t VALUES (1)")), sent, ExpectPacket(0, attributed("SELECT '"+uuid+":7' AS `@@proxy_gtid`")), one("x")),
		steps(ExpectPacket(0, attributed("SELECT WAIT_FOR_EXECUTED_GTID_SET('"+uuid+":7',0.02)")), one("0"), ExpectPacket(0, attributed("SELECT a FROM t")), one("r"), quits()))
}
