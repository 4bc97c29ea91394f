package enginetest

import "mysqlproxy/packet"

const (
	// Caps are capabilities that both a server and a client of these tests
	// have, of those that change the layout of nothing but logins.
	Caps = packet.CapLongPassword | packet.CapLongFlag | packet.CapProtocol41 | packet.CapTransactions |
		packet.CapSecureConnection | packet.CapPluginAuth | packet.CapPluginAuthLenenc | packet.CapLocalFiles |
		packet.CapMultiStatements | packet.CapMultiResults | packet.CapPSMultiResults
	// ModernCaps has no EOF, as current clients.
	ModernCaps = Caps | packet.CapDeprecateEOF | packet.CapSessionTrack
)

// Greeting is a server's greeting with caps.
func Greeting(caps packet.Capability) packet.Greeting {
	g := packet.Greeting{
		Version: []byte("8.0.36"), ThreadID: 77, ChallengeSize: packet.ChallengeLen, Capabilities: caps,
		Collation: 45, Status: packet.StatusAutocommit, Plugin: []byte("mysql_native_password"),
	}
	for i := range g.Challenge {
		g.Challenge[i] = byte('a' + i)
	}
	return g
}

// Login is a client's login with caps.
func Login(caps packet.Capability) packet.Login {
	return packet.Login{
		Capabilities: caps, MaxPacket: 1 << 24, Collation: 45, User: []byte("app"),
		AuthResponse: []byte("twenty bytes of hash"), Plugin: []byte("mysql_native_password"),
	}
}

// OK is the payload of an OK with autocommit and these flags.
func OK(status uint16) []byte {
	ok := packet.OK{Status: packet.StatusAutocommit | status}
	return ok.Append(nil, 0)
}

// EOF is the payload of an EOF with autocommit and these flags.
func EOF(status uint16) []byte { return packet.AppendEOF(nil, 0, packet.StatusAutocommit|status) }

// Query is the payload of a COM_QUERY.
func Query(sql string) []byte { return append([]byte{byte(packet.ComQuery)}, sql...) }

// Result has the packets of a result with one column, from sequence id seq on.
// The last one has these status flags. next is the id that follows.
func Result(dst []byte, seq byte, caps packet.Capability, status uint16, rows ...string) (_ []byte, next byte) {
	add := func(payload []byte) {
		dst = packet.AppendPacket(dst, seq, payload)
		seq += byte(1 + len(payload)/packet.MaxPayload)
	}
	add(packet.AppendColumnCount(nil, 1, caps))
	col := packet.Column{Catalog: []byte("def"), Name: []byte("c"), Collation: 45, Length: 1 << 24, Type: 0xfd}
	add(col.Append(nil, caps))
	if caps&packet.CapDeprecateEOF == 0 {
		add(EOF(0))
	}
	for _, r := range rows {
		add(packet.AppendTextValue(nil, []byte(r)))
	}
	end := packet.OK{Status: packet.StatusAutocommit | status}
	add(end.AppendEnd(nil, caps))
	return dst, seq
}
