package main

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"

	"mysqlproxy/bench/wire"
)

// salt is the challenge of every greeting. Nobody checks the reply to it.
const salt = "null-server-20-bytes"

func appendGreeting(dst []byte, id uint32) []byte {
	at := len(dst)
	dst = wire.AppendHeader(dst, 0, 0)
	dst = append(dst, 10)
	dst = append(dst, "5.5.5-"+version+"\x00"...)
	dst = binary.LittleEndian.AppendUint32(dst, id)
	dst = append(dst, salt[:8]...)
	dst = append(dst, 0, wire.ServerCaps&0xff, wire.ServerCaps>>8&0xff, 45, wire.StatusAutocommit, 0,
		wire.ServerCaps>>16&0xff, wire.ServerCaps>>24&0xff, byte(len(salt)+1))
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) // reserved, and no extended capabilities
	dst = append(dst, salt[8:]...)
	dst = append(dst, 0)
	dst = append(dst, wire.NativePassword...)
	dst = append(dst, 0)
	dst[at] = byte(len(dst) - at - wire.HeaderLen)
	return dst
}

// request appends the answer to one request to s.out.
func (s *server) request(c *conn, seq byte, p []byte) {
	if !c.loggedIn {
		s.login(c, seq, p)
		return
	}
	if seq != 0 {
		s.out = wire.AppendErr(s.out, 0, 1156, "08S01", "Got packets out of order")
		c.closing = true
		return
	}
	if len(p) == 0 {
		s.out = wire.AppendErr(s.out, 1, 1047, "08S01", "Unknown command")
		return
	}
	s.requests[c.listener]++
	switch p[0] {
	case wire.ComQuery:
		s.query(c, p)
	case wire.ComStmtExecute:
		s.execute(c, p)
	case wire.ComStmtPrepare:
		c.lastStmt++
		params := min(bytes.Count(p, []byte("?")), 1<<16-1)
		s.out = wire.AppendPrepareOK(s.out, 1, c.caps, c.status, c.lastStmt, params)
	case wire.ComQuit:
		c.closing = true
	case wire.ComStmtClose, wire.ComStmtSendLong:
		// no answer
	case wire.ComStatistics:
		s.out = wire.AppendPacket(s.out, 1, []byte("Uptime: 0"))
	case wire.ComSetOption:
		s.out = wire.AppendEOF(s.out, 1, c.caps, c.status)
	case wire.ComResetConnection, wire.ComChangeUser:
		c.status, c.tracks = wire.StatusAutocommit, false
		s.out = wire.AppendOK(s.out, 1, c.status)
	case wire.ComPing, wire.ComInitDB, wire.ComStmtReset:
		s.out = wire.AppendOK(s.out, 1, c.status)
	default:
		s.out = wire.AppendErr(s.out, 1, 1047, "08S01", "Unknown command")
	}
}

// login lets everybody in who speaks the protocol of version 4.1.
func (s *server) login(c *conn, seq byte, p []byte) {
	if len(p) < 32 || seq != 1 || binary.LittleEndian.Uint32(p)&wire.CapProtocol41 == 0 {
		s.out = wire.AppendErr(s.out, seq+1, 1043, "08S01", "Bad handshake")
		c.closing = true
		return
	}
	c.caps = binary.LittleEndian.Uint32(p) & wire.ServerCaps
	c.loggedIn = true
	s.out = wire.AppendOK(s.out, seq+1, c.status)
}

func (s *server) query(c *conn, p []byte) {
	text := p[1:]
	switch {
	case bytes.HasPrefix(text, []byte("bulk ")):
		s.startBulk(c, string(text[len("bulk "):]))
		return
	case string(text) == "nullserver counts":
		var b []byte
		for i, n := range s.requests {
			if i > 0 {
				b = append(b, ' ')
			}
			b = strconv.AppendUint(b, n, 10)
		}
		s.out = wire.AppendTextResult(s.out, 1, c.caps, c.status, string(b))
		return
	case withoutRows(c, text):
		s.done(c, text)
		return
	case string(text) == asksLog:
		s.out = wire.AppendTextResult(s.out, 1, c.caps, c.status, "1")
		return
	case bytes.HasPrefix(text, []byte(asksWait)):
		s.out = wire.AppendTextResult(s.out, 1, c.caps, c.status, "0") // it is there
		return
	case bytes.HasPrefix(text, []byte(asksVariables)):
		s.out = wire.AppendTable(s.out, 1, c.caps, c.status, []string{"Variable_name", "Value"}, []string{"read_only", "OFF"}, []string{"version", version})
		return
	case string(text) == asksReadOnly:
		s.out = wire.AppendTable(s.out, 1, c.caps, c.status, []string{"read_only"}, []string{"0"})
		return
	}
	s.canned(c, &s.text, p)
}

// What a proxy asks that is to know which writes a replica has.
const (
	asksLog  = "SELECT @@GLOBAL.log_bin"
	asksWait = "SELECT MASTER_GTID_WAIT("
)

// What it asks that probes whether a server is well: it is.
const (
	asksVariables = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version','read_only',"
	asksReadOnly  = "SELECT @@GLOBAL.read_only AS read_only"
)

// version is the server's.
const version = "10.11.8-MariaDB-nullserver"

// done appends the OK of a statement that has no rows.
func (s *server) done(c *conn, text []byte) {
	switch text[0] | 0x20 {
	case 's':
		if bytes.Contains(text, []byte(wire.LastGTID)) {
			c.tracks = c.caps&wire.CapSessionTrack != 0
		}
	case 'i', 'u', 'd':
		if c.tracks && c.status&wire.StatusInTrans == 0 {
			s.writes++
			gtid := strconv.AppendUint([]byte("0-1-"), s.writes, 10)
			s.out = wire.AppendWriteOK(s.out, 1, c.status, string(gtid))
			return
		}
	}
	s.out = wire.AppendOK(s.out, 1, c.status)
}

// withoutRows says whether a statement answers OK, and follows transactions.
// The common case, SELECT, is out after one byte.
func withoutRows(c *conn, text []byte) bool {
	if len(text) < 2 {
		return false
	}
	switch text[0] | 0x20 {
	case 'b', 's', 'c', 'r', 'u', 'd', 'i':
	default:
		return false
	}
	if second := text[1] | 0x20; text[0]|0x20 == 's' && second == 'e' && len(text) > 2 && text[2]|0x20 == 'l' {
		return false // SELECT
	}
	word := text[:min(len(text), 10)]
	if i := bytes.IndexAny(word, " ;\t\n"); i >= 0 {
		word = word[:i]
	}
	switch strings.ToLower(string(word)) {
	case "begin", "start":
		c.status |= wire.StatusInTrans
	case "commit", "rollback":
		c.status &^= wire.StatusInTrans
	case "set", "use", "do", "insert", "update", "delete", "create", "replace", "drop", "savepoint", "release":
	default:
		return false
	}
	return true
}

func (s *server) execute(c *conn, p []byte) {
	if len(p) < 10 {
		s.out = wire.AppendErr(s.out, 1, 1835, "HY000", "Malformed communication packet")
		return
	}
	id := binary.LittleEndian.Uint32(p[1:])
	if id == 1<<32-1 {
		id = c.lastStmt // MariaDB's "the statement prepared last"
	}
	if id == 0 || id > c.lastStmt {
		s.out = wire.AppendErr(s.out, 1, 1243, "HY000", "Unknown prepared statement handler")
		return
	}
	s.canned(c, &s.binary, p)
}

// canned appends the answer from a template with the digits of the request.
func (s *server) canned(c *conn, of *[2]wire.Template, p []byte) {
	t := &of[0]
	if c.caps&wire.CapDeprecateEOF != 0 {
		t = &of[1]
	}
	at := len(s.out)
	s.out = append(s.out, t.Bytes...)
	if echo := wire.EchoOf(p); echo != nil {
		copy(s.out[at+t.Echo:], echo)
	}
	if c.status != wire.StatusAutocommit {
		s.setStatus(c, s.out[at:])
	}
}

// setStatus writes the connection's status into the packets of an answer that
// was made from a template: the last, and with EOF packets the third.
func (s *server) setStatus(c *conn, answer []byte) {
	set := func(b []byte) { binary.LittleEndian.PutUint16(b, c.status) }
	if c.caps&wire.CapDeprecateEOF != 0 {
		set(answer[len(answer)-4:])
		return
	}
	set(answer[len(answer)-2:])
	third := 0
	for range 2 {
		third += wire.HeaderLen + wire.PayloadLen(answer[third:])
	}
	set(answer[third+wire.HeaderLen+3:])
}

// startBulk begins a result of "N" or "N R": bytes in all and bytes a row.
func (s *server) startBulk(c *conn, args string) {
	total, row, _ := strings.Cut(strings.TrimSpace(args), " ")
	n, err := strconv.ParseInt(total, 10, 64)
	size := 1024
	if err == nil && row != "" {
		size, err = strconv.Atoi(row)
	}
	if err != nil || n < 0 {
		s.out = wire.AppendErr(s.out, 1, 1064, "42000", "bulk N [R]: two numbers of bytes")
		return
	}
	rows, ok := s.rows[size]
	if !ok {
		if len(s.rows) >= 8 {
			clear(s.rows) // results under way keep theirs
		}
		if rows, err = wire.NewRows(size); err != nil {
			s.out = wire.AppendErr(s.out, 1, 1064, "42000", err.Error())
			return
		}
		s.rows[size] = rows
	}
	var first byte
	s.out, first = wire.AppendResultHead(s.out, 1, c.caps, c.status)
	count := rows.Count(n)
	c.bulk = bulk{rows: rows, at: rows.Start(first), left: count * int64(size), end: rows.Tail(first, count), on: true}
}
