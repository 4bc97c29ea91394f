package engine

import (
	"bytes"
	"context"
	"log/slog"
	"strconv"

	"mysqlproxy/packet"
)

// This file is who answers a command that a script has read; result.go is what
// becomes of the answers.
//
//	forward --------------------------> response: forward
//	next: a query of the queue -------> response: forward or collect
//	^                                          |
//	\--- goOn <--- decide: ReadQueryResult <---/
//	respond: the script's own packets

// fate is what becomes of a response.
type fate uint8

const (
	fateForward fate = iota
	fateCollect      // for the script, which decides when it is whole
	fateSwallow
)

// query is a command on its way to the server.
type query struct {
	exchange
	packets []byte
}

// forward sends the client's own command.
func (x *scripted) forward(cmd, payload []byte) {
	c := x.c
	if x.unneeded() {
		return
	}
	if x.promised.backend != nil {
		cmd, payload = bytes.Clone(cmd), bytes.Clone(payload)
		if x.redeem(func() { x.forward(cmd, payload) }) {
			return
		}
	}
	s := c.server
	if s == nil {
		x.log(slog.LevelError, "there is no backend to send the command to")
		c.end(ReasonNoServer, nil)
		return
	}
	x.cmd.fate, x.cmd.shift = fateForward, 0
	q, _ := packet.Expect(payload, len(payload))
	x.send(s, query{exchange{Request: q, seq: x.cmd.seq}, cmd}, payload)
}

// send sends q, whose payload is given beside and whose packets are borrowed. A
// session that was another client's is told to forget what that client left in
// it; the OK to that is nobody's. Of one that has not shown yet that it can
// forget, the OK is waited for: no command must run on what another has left.
func (x *scripted) send(s *server, q query, payload []byte) {
	q.counted = x.c.digests(s, q.Request, payload, len(payload))
	switch q.Command {
	case packet.ComChangeUser:
		if u, err := packet.ParseChangeUser(payload, s.caps); err == nil {
			x.cmd.user = &login{
				user: string(u.User), response: bytes.Clone(u.AuthResponse), database: string(u.Database), collation: byte(u.Collation), caps: s.who.caps,
			}
		}
	case packet.ComQuit:
		s.tainted = true
	}
	if s.stale {
		var wait bool
		if q.packets, wait = x.renew(s, q.packets); wait {
			q.packets = bytes.Clone(q.packets)
			x.cmd.held = &q
			return
		}
	} else if x.strayed(s) {
		q.packets = bytes.Clone(q.packets)
		x.cmd.held = &q
		return
	}
	x.transmit(s, q)
}

// renew has s, which was another client's, forget what that client left in it,
// and restores what a COM_RESET_CONNECTION leaves or takes. It returns packets, of
// the command that is next, as they are to be sent, and whether they have to wait
// for the server's word. Where they need not, and lie behind a COM_RESET_CONNECTION
// already, one write has both.
func (x *scripted) renew(s *server, packets []byte) (_ []byte, wait bool) {
	more := x.restore(s)
	wait = len(more) > 0 || !s.renews
	both, ok := x.c.loop.behindReset(packets)
	s.stale, s.stmts = false, nil
	s.skip += uint8(1 + len(more)) // at most 3
	s.expect(exchange{Request: packet.Request{Command: packet.ComResetConnection}})
	if ok && !wait && s.zip == nil {
		return both, false
	}
	s.command(resetConnection)
	for _, p := range more {
		s.expect(exchange{Request: packet.Request{Command: packet.Command(p[packet.HeaderLen])}})
		s.command(p)
	}
	return packets, wait
}

// restore has the commands that give s back the charset of its login, and select
// this client's database.
func (x *scripted) restore(s *server) (commands [][]byte) {
	add := func(c packet.Command, arg string) {
		commands = append(commands, packet.AppendPacket(nil, 0, append([]byte{byte(c)}, arg...)))
	}
	if own := s.who.collation; own != 0 && own != s.collation && s.offers&packet.CapLongPassword != 0 {
		// MariaDB goes back to what the login has asked for, MySQL to its own default.
		n := strconv.Itoa(int(own))
		add(packet.ComQuery, "SET character_set_client="+n+",character_set_results="+n+",collation_connection="+n)
	}
	if db := x.half.DefaultDB; db != "" && (s.moved || s.half.DefaultDB != db) {
		add(packet.ComInitDB, db)
		s.who.database, s.half.DefaultDB, s.moved = db, db, false
	}
	return commands
}

// mayMove tells whether a COM_QUERY could be a USE, or hide one. To say so of
// another costs one command when the session is lent the next time.
func mayMove(query []byte) bool {
	for i := 0; i+2 < len(query); i++ {
		if query[i]|0x20 == 'u' && query[i+1]|0x20 == 's' && query[i+2]|0x20 == 'e' {
			return true
		}
	}
	return false
}

// transmit is the last step of send.
func (x *scripted) transmit(s *server, q query) {
	s.work.commands++
	if q.Command.HasResponse() {
		s.expect(q.exchange)
	}
	if q.Command == packet.ComQuery {
		s.moved = s.moved || mayMove(q.packets)
	}
	if q.Command == packet.ComChangeUser && x.cmd.in == nil && x.c.translates(s) {
		payload := join(q.packets)
		err := packet.ErrMalformed
		if len(payload) <= maxLogin {
			payload, err = x.c.translated(payload)
		}
		if err != nil {
			x.c.end(ReasonClientProtocol, err)
			return
		}
		q.packets = packet.AppendPacket(nil, 0, payload)
	}
	s.command(q.packets)
	if !q.Command.HasResponse() {
		x.cmd.in = nil
		x.goOn()
	}
}

// renewed is told of a response to renew.
func (x *scripted) renewed(s *server, failed bool) {
	s.skip--
	if failed {
		s.tainted = true
		x.c.end(ReasonServerLost, nil) // it would go on with what another client left
		return
	}
	s.renews = s.renews || !x.cmd.placed
	if s.skip > 0 {
		return
	}
	if q := x.cmd.held; q != nil {
		x.cmd.held = nil
		x.transmit(s, *q)
	}
}

// next sends the query at the queue's head.
func (x *scripted) next() {
	if x.unneeded() || x.promised.backend != nil && x.redeem(x.next) {
		return
	}
	c, s := x.c, x.c.server
	in := x.queue.Pop()
	switch {
	case s == nil:
		x.queue.Reset()
		if !x.cmd.answered {
			x.log(slog.LevelError, "there is no backend to send the queue to")
			c.end(ReasonNoServer, nil)
			return
		}
		x.finish()
		return
	case !in.ResultNeeded && !x.cmd.many && x.cmd.answered:
		x.log(slog.LevelError, "can only have one injected query without resultset_is_needed")
		c.end(ReasonScript, nil)
		return
	}
	packets, payload := x.pack(in.Query)
	q, _ := packet.Expect(payload, len(payload))
	last := byte(len(payload) / packet.MaxPayload)
	x.cmd.in, x.cmd.fate, x.cmd.shift = in, fateForward, x.cmd.seq-last
	x.cmd.out = packet.Cursor{}
	if x.cmd.many {
		in.ResultNeeded = true // else there would be more than one result for the client
	}
	if in.ResultNeeded && !q.Command.Streams() {
		x.cmd.fate = fateCollect
	}
	if q.Command == packet.ComInitDB {
		x.cmd.schema = in.Query[1:]
	}
	in.Result.Command, in.Result.Capabilities = q.Command, s.caps
	x.send(s, query{exchange{Request: q, seq: last}, packets}, payload)
}

// resetConnection is the packet of a COM_RESET_CONNECTION.
var resetConnection = []byte{1, 0, 0, 0, byte(packet.ComResetConnection)}

// scratch is how much memory for packets a loop keeps, in bytes.
const scratch = 64 << 10

// pack makes packets of a query. They borrow the loop's memory up to the next call;
// before them is room for resetConnection.
func (x *scripted) pack(query string) (packets, payload []byte) {
	if len(query) > scratch {
		payload = []byte(query)
		return packet.AppendPacket(nil, 0, payload), payload
	}
	l := x.c.loop
	l.packed = append(l.packed[:0], resetConnection...)
	l.packed = append(packet.AppendHeader(l.packed, len(query), 0), query...)
	packets = l.packed[len(resetConnection):]
	return packets, packets[packet.HeaderLen:]
}

// behindReset is packets with a COM_RESET_CONNECTION before them, if they are those
// of pack.
func (l *loop) behindReset(packets []byte) (both []byte, ok bool) {
	n := len(resetConnection)
	if len(l.packed) != n+len(packets) || &l.packed[n] != &packets[0] {
		return nil, false
	}
	return l.packed, true
}

// goOn sends the next query, or ends the command.
func (x *scripted) goOn() {
	switch {
	case x.c.state >= clientClosing:
	case x.closing && x.cmd.answered:
		x.c.end(ReasonScript, nil)
	case x.queue.Len() > 0:
		x.next()
	default:
		x.finish()
	}
}

// finish ends the command: the client may send the next one.
func (x *scripted) finish() {
	c := x.c
	if c.state >= clientClosing {
		return
	}
	if x.closing {
		c.end(ReasonScript, nil)
		return
	}
	x.cmd.running, x.cmd.in, x.cmd.collected = false, nil, nil
	if c.state == clientBusy {
		c.enter(clientReady)
	}
	if c.counts(false); c.zip != nil && c.held {
		c.zip.Answer(c.zip.Last() + 1) // the next command lies here already
	}
	c.release()
}

// respond sends the script's own response.
func (x *scripted) respond(response [][]byte) {
	if x.cmd.mute && x.cmd.code != packet.ComQuit { // it does no harm there, and scripts always did it
		return
	}
	x.c.write(appendPackets(nil, x.cmd.seq+1, response))
	x.cmd.answered = true
	if len(response) > 0 && len(response[0]) > 0 && response[0][0] == 0xfb && asksFiles(x.cmd.code) {
		x.cmd.upload = true // to nobody: it is taken and dropped
		x.c.enter(clientInfile)
	}
}

// asksFiles tells whether clients take the response to a command for one that
// may ask for a file.
func asksFiles(c packet.Command) bool { return c == packet.ComQuery || c == packet.ComStmtExecute }

func (x *scripted) log(level slog.Level, text string) {
	x.c.loop.engine.cfg().Log.Log(context.Background(), level, text, "client", x.c.remote.String())
}
