package engine

import (
	"context"
	"log/slog"
	"time"

	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// This file is the command phase of a session whose script reads commands: one
// at a time is collected, given to ReadQuery, and answered by the server, by
// the script, or by what the queue brings.
//
//	request --> ReadQuery --> forward ----------------> response: forward
//	                     \--> next: a query of the queue --> forward or collect
//	                     |      ^                             |
//	                     |      \--- ReadQueryResult <--------/
//	                     \--> respond: the script's own packets

// fate is what becomes of a response.
type fate uint8

const (
	fateForward fate = iota
	fateCollect      // for the script, which decides when it is whole
	fateSwallow
)

// command is the client's command that a script has in hand.
type command struct {
	running  bool
	code     packet.Command
	schema   string // of a COM_INIT_DB
	user     *login // of a COM_CHANGE_USER
	seq      byte   // sequence id of its last packet
	many     bool   // its queue had more than one query: all are collected
	answered bool   // a response has gone to the client, or begun to
	upload   bool   // a file is uploaded to nobody: the script asked for it

	in        *hook.Injection // whose response is coming, nil for the client's own command
	fate      fate
	swallow   int           // responses that come before it and are nobody's
	shift     byte          // the client's sequence ids less the server's
	out       packet.Cursor // where the forwarded response stands
	collected []byte
}

// maxCommand bounds what is held of a command for a script, in bytes.
const maxCommand = 64 << 20

// maxCollected bounds what is held of a response for a script, in bytes.
const maxCollected = 1 << 30

// request takes what the client sends in the command phase.
func (x *scripted) request(p []byte) (used int) {
	c, s := x.c, x.c.server
	switch {
	case c.state == clientInfile:
		return x.file(p)
	case s != nil && s.dialogue:
		return x.converse(p)
	case x.cmd.running:
		c.hold()
		return 0
	case !x.has(hook.ReadQuery) && s != nil:
		return c.request(p)
	}
	n, whole := 0, false
	for n < len(p) && !whole {
		if !c.req.Between() {
			n += c.req.Pass(len(p) - n)
		} else if b := p[n:]; len(b) >= packet.HeaderLen {
			c.req.Open(b)
			n += packet.HeaderLen
		} else {
			break
		}
		whole = c.req.Whole()
	}
	cmd := p[:n]
	if !whole || len(x.raw) > 0 {
		if len(x.raw)+n > maxCommand {
			c.end(ReasonCommandTooLarge, nil)
			return len(p)
		}
		x.raw = append(x.raw, cmd...)
		if !whole {
			return n
		}
		cmd, x.raw = x.raw, nil
	}
	x.command(cmd)
	if c.state >= clientClosing {
		return len(p)
	}
	return n
}

// converse takes packets that belong to a dialogue or to a stream.
func (x *scripted) converse(p []byte) (used int) {
	c, s := x.c, x.c.server
	n := 0
	for n < len(p) {
		if !c.req.Between() {
			n += c.req.Pass(len(p) - n)
			continue
		}
		b := p[n:]
		if len(b) < packet.HeaderLen {
			break
		}
		if !c.req.Continued() && !s.queue.last().Command.Streams() && !s.converses(b[3]) {
			c.hold()
			break
		}
		c.req.Open(b)
		n += packet.HeaderLen
	}
	s.conn.Write(p[:n])
	return n
}

// file takes the file of a LOAD DATA LOCAL, to its empty packet.
func (x *scripted) file(p []byte) (used int) {
	c := x.c
	n, ended := 0, false
	for n < len(p) && !ended {
		if !c.req.Between() {
			n += c.req.Pass(len(p) - n)
			continue
		}
		b := p[n:]
		if len(b) < packet.HeaderLen {
			break
		}
		ended = packet.Packet(b).PayloadLen() == 0 && !c.req.Continued()
		c.req.Open(b)
		b[3] -= x.cmd.shift
		n += packet.HeaderLen
	}
	if x.cmd.upload {
		if ended {
			x.cmd.upload = false
			c.enter(clientBusy)
			x.ok()
			x.finish()
		}
		return n
	}
	c.server.conn.Write(p[:n])
	if ended {
		c.uploaded()
	}
	return n
}

// command gives a whole command to the script. cmd is its packets, borrowed.
func (x *scripted) command(cmd []byte) {
	c := x.c
	payload := join(cmd)
	x.cmd = command{running: true, seq: c.req.Seq()}
	c.commands++
	c.enter(clientBusy)
	if len(payload) > 0 {
		x.cmd.code = packet.Command(payload[0])
	}
	switch x.cmd.code {
	case packet.ComInitDB:
		x.cmd.schema = string(payload[1:])
	case packet.ComQuit:
		c.quit = len(payload) > 0
	}
	x.queue.Reset()
	var v hook.Verdict
	if x.has(hook.ReadQuery) && len(payload) > 0 {
		v = x.script.ReadQuery(payload)
	}
	queued := x.queue.Len()
	switch {
	case x.kind == loginAdmin:
		x.queue.Reset()
		x.adminCommand(v)
	case v.Action == hook.SendResult:
		x.queue.Reset()
		x.respond(v.Response)
		if x.cmd.code == packet.ComInitDB && len(v.Response) > 0 && len(v.Response[0]) > 0 && v.Response[0][0] == 0 {
			x.half.DefaultDB = x.cmd.schema
		}
		if !x.cmd.upload {
			x.finish()
		}
	case v.Action == hook.SendQuery && queued > 0:
		x.cmd.many = queued > 1
		x.next()
	default:
		if v.Action == hook.SendQuery {
			x.log(slog.LevelError, "(read_query) returned SEND_QUERY with an empty queue, the command is forwarded")
		} else if queued > 0 {
			x.log(slog.LevelError, "(read_query) queued queries and did not return SEND_QUERY, they are dropped")
		}
		x.queue.Reset()
		x.forward(cmd, payload)
	}
}

// join is the payload of a command's packets.
func join(cmd []byte) []byte {
	pkt, rest, _ := packet.Next(cmd)
	payload := pkt.Payload()
	for len(rest) > 0 {
		pkt, rest, _ = packet.Next(rest)
		payload = append(payload, pkt.Payload()...)
	}
	return payload
}

// forward sends the client's own command.
func (x *scripted) forward(cmd, payload []byte) {
	c, s := x.c, x.c.server
	if s == nil {
		x.log(slog.LevelError, "there is no backend to send the command to")
		c.end(ReasonNoServer, nil)
		return
	}
	if x.cmd.code == packet.ComChangeUser {
		if u, err := packet.ParseChangeUser(payload, s.caps); err == nil {
			x.cmd.user = &login{user: string(u.User), database: string(u.Database), collation: byte(u.Collation), caps: s.who.caps}
		}
	}
	x.cmd.fate, x.cmd.shift = fateForward, 0
	q, _ := packet.Expect(payload, len(payload))
	x.refresh(s)
	if q.Command.HasResponse() {
		s.expect(exchange{q, x.cmd.seq})
	}
	s.conn.Write(cmd)
	if !q.Command.HasResponse() {
		x.finish()
	}
}

// refresh has a session that was another client's forget what that client left
// in it. The OK to it is nobody's.
func (x *scripted) refresh(s *server) {
	if !s.stale {
		return
	}
	s.stale = false
	x.cmd.swallow++
	s.expect(exchange{packet.Request{Command: packet.ComResetConnection}, 0})
	s.conn.Write([]byte{1, 0, 0, 0, byte(packet.ComResetConnection)})
}

// next sends the query at the queue's head.
func (x *scripted) next() {
	c, s := x.c, x.c.server
	in := x.queue.Pop()
	payload := []byte(in.Query)
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
	q, _ := packet.Expect(payload, len(payload))
	last := byte(len(payload) / packet.MaxPayload)
	x.cmd.in, x.cmd.fate, x.cmd.shift = in, fateForward, x.cmd.seq-last
	x.cmd.out = packet.Cursor{}
	if in.ResultNeeded || x.cmd.many {
		x.cmd.fate = fateCollect
	}
	if q.Command == packet.ComInitDB {
		x.cmd.schema = in.Query[1:]
	}
	in.Result.Command, in.Result.Capabilities = q.Command, s.caps
	x.refresh(s)
	if q.Command.HasResponse() {
		s.expect(exchange{q, last})
	}
	s.conn.Write(packet.AppendPacket(nil, 0, payload))
	if !q.Command.HasResponse() {
		x.cmd.in = nil
		x.goOn()
	}
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
	c.release()
}

// respond sends the script's own response.
func (x *scripted) respond(response [][]byte) {
	if x.cmd.code == packet.ComStmtClose || x.cmd.code == packet.ComStmtSendLongData {
		return // the client does not expect one
	}
	x.c.write(appendPackets(nil, x.cmd.seq+1, response))
	x.cmd.answered = true
	if len(response) > 0 && len(response[0]) > 0 && response[0][0] == 0xfb && x.c.server == nil {
		x.cmd.upload = true // to nobody: it is taken and dropped
		x.c.enter(clientInfile)
	}
}

// response takes what the server sends in the command phase.
func (x *scripted) response(s *server, p []byte) (used int) {
	c := x.c
	n := 0
	for n < len(p) {
		if s.client != c || s.state == serverReady {
			break
		}
		k, step := s.resp.Feed(p[n:])
		x.take(p[n : n+k])
		n += k
		switch step {
		case packet.More:
			return n
		case packet.ClientTurn:
			x.asked(s)
		case packet.Done:
			x.done(s)
		case packet.Malformed:
			c.end(ReasonServerProtocol, nil)
		}
		if c.state >= clientClosing {
			return len(p)
		}
	}
	switch {
	case n == len(p):
	case s.client != c: // in its pool, and speaking unasked
		if s.state == serverIdle {
			s.idleEnded()
		}
		return len(p)
	default:
		used, end := s.unasked(p, n)
		if end != reasonNone {
			c.write(p[n:used])
			c.end(end, nil)
			return len(p)
		}
		return used
	}
	return n
}

// take does with a part of a response what is its fate.
func (x *scripted) take(p []byte) {
	if len(p) == 0 || x.cmd.swallow > 0 {
		return
	}
	if in := x.cmd.in; in != nil {
		in.Last = time.Now()
		if in.First.IsZero() {
			in.First = in.Last
		}
	}
	switch x.cmd.fate {
	case fateForward:
		x.cmd.answered = true
		if x.cmd.shift != 0 {
			renumber(&x.cmd.out, p, x.cmd.shift)
		}
		x.c.write(p)
	case fateCollect:
		if len(x.cmd.collected)+len(p) > maxCollected {
			x.log(slog.LevelError, "the response is too large to be collected for the script")
			x.c.end(ReasonScript, nil)
			return
		}
		x.cmd.collected = append(x.cmd.collected, p...)
	case fateSwallow:
	}
}

// renumber adds shift to the sequence id of each packet that begins in p, which
// continues at at and tears no header.
func renumber(at *packet.Cursor, p []byte, shift byte) {
	for n := 0; n < len(p); {
		if !at.Between() {
			n += at.Pass(len(p) - n)
			continue
		}
		at.Open(p[n:])
		p[n+3] += shift
		n += packet.HeaderLen
	}
}

// asked is called when the server has asked for a file. For a script this is
// the response, and what it decides of it goes for the file as well.
func (x *scripted) asked(s *server) {
	c := x.c
	in := x.cmd.in
	x.cmd.in = nil
	if in == nil {
		c.enter(clientInfile)
		return
	}
	collected := x.cmd.fate == fateCollect
	x.fill(in, s)
	in.Result.Upload = true
	if x.decide(in, collected) {
		x.cmd.fate = fateForward
		c.enter(clientInfile)
		return
	}
	// Nobody sends one: an empty file, and its result is nobody's.
	x.cmd.fate = fateSwallow
	s.conn.Write(packet.AppendPacket(nil, s.resp.Seq()+1, nil))
}

// done is called when a response is whole.
func (x *scripted) done(s *server) {
	c := x.c
	s.queue.pop()
	if s.queue.empty() {
		s.dialogue = false
		s.enter(serverReady)
	} else {
		s.resp.Begin(s.queue.first().Request)
	}
	if x.cmd.swallow > 0 {
		if x.cmd.swallow--; s.resp.Failed() {
			c.end(ReasonServerLost, nil) // it would go on with what another client left
		}
		return
	}
	if !s.resp.Failed() {
		x.note(s)
	} else if x.cmd.user != nil {
		s.tainted = true // MariaDB goes on as the old user, MySQL closes
	}
	x.cmd.user = nil
	if in := x.cmd.in; in != nil {
		x.cmd.in = nil
		x.fill(in, s)
		x.decide(in, x.cmd.fate == fateCollect)
	}
	x.goOn()
}

// note keeps track of what a command has changed.
func (x *scripted) note(s *server) {
	if x.cmd.user != nil {
		s.who, x.who = *x.cmd.user, *x.cmd.user
		x.half.Username, s.half.Username = x.who.user, x.who.user
		x.half.DefaultDB, s.half.DefaultDB = x.who.database, x.who.database
		return
	}
	code := x.cmd.code
	if x.cmd.in != nil {
		code = x.cmd.in.Result.Command
	}
	if code == packet.ComInitDB {
		s.who.database, s.half.DefaultDB = x.cmd.schema, x.cmd.schema
		x.half.DefaultDB = x.cmd.schema
	}
}

// fill tells the injection what became of it.
func (x *scripted) fill(in *hook.Injection, s *server) {
	r := &in.Result
	r.Packets = x.cmd.collected
	x.cmd.collected = nil
	r.Failed = s.resp.Failed()
	r.OK, r.AffectedRows, r.InsertID = s.resp.Counted()
	r.Rows, r.RowBytes = s.resp.Rows()
	r.Warnings, r.Status = s.resp.Warnings(), s.resp.Status()
}

// decide asks the script what becomes of a response, and does it. It tells
// whether the response itself went to the client.
func (x *scripted) decide(in *hook.Injection, collected bool) (relayed bool) {
	var v hook.Verdict
	if x.has(hook.ReadQueryResult) {
		v = x.script.ReadQueryResult(in)
	}
	switch {
	case !collected:
		if v.Action != hook.Default {
			x.log(slog.LevelError, "(read_query_result) the result was sent already, it needs resultset_is_needed to be changed")
		}
		return true
	case v.Action == hook.IgnoreResult:
	case x.cmd.answered:
		x.log(slog.LevelError, "(read_query_result) the client has its result already, this one is dropped")
	case v.Action == hook.SendResult:
		x.respond(v.Response)
	default:
		if x.cmd.shift != 0 {
			renumber(new(packet.Cursor), in.Result.Packets, x.cmd.shift)
		}
		x.c.write(in.Result.Packets)
		x.cmd.answered = true
		return true
	}
	return false
}

// errSeq is the sequence id of an ERR in the command phase.
func (x *scripted) errSeq() (seq byte, ok bool) {
	s := x.c.server
	switch {
	case !x.cmd.answered || s == nil:
		return x.cmd.seq + 1, !x.cmd.answered
	case x.cmd.fate != fateForward || !s.resp.Whole() || s.resp.Streaming():
		return 0, false
	}
	return s.resp.Seq() + x.cmd.shift + 1, true
}

func (x *scripted) log(level slog.Level, text string) {
	x.c.loop.engine.cfg.Log.Log(context.Background(), level, text, "client", x.c.remote.String())
}
