package engine

import (
	"log/slog"

	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// This file takes what the client of a scripted session sends in the command
// phase. If the script reads commands, one at a time is collected, given to
// ReadQuery, and answered by the server, by the script, or by what the queue
// brings; inject.go has the way of the responses.
//
//	request --> some --> pass ---------------------------> server
//	                \--> converse, file -----------------> server
//	                \--> command --> ReadQuery --> forward, next, respond

// command is the client's command that a script has in hand.
type command struct {
	running  bool
	code     packet.Command
	schema   string // of a COM_INIT_DB
	user     *login // of a COM_CHANGE_USER
	seq      byte   // sequence id of its last packet
	many     bool   // its queue had more than one query: all are collected
	mute     bool   // the client expects no response
	answered bool   // a response has gone to the client, or begun to
	upload   bool   // a file is uploaded to nobody: the script asked for it

	uploading bool // the server has asked for a file, and the query is not over
	asked     byte // sequence id of that
	early     bool // the query is over before the client has sent its file
	release   bool // the script has let go of the server session while uploading

	in        *hook.Injection // whose response is coming, nil for the client's own command
	held      *query          // what is sent when the server session has been reset, or is where it belongs
	placed    bool            // it has to be there first, and needs no reset
	fate      fate
	shift     byte          // the client's sequence ids less the server's
	out       packet.Cursor // where the forwarded response stands
	collected []byte
}

// maxCommand bounds what is held of a command for a script, in bytes.
const maxCommand = 64 << 20

// request takes what the client sends in the command phase, up to what has to
// wait.
func (x *scripted) request(p []byte) (used int) {
	for used < len(p) {
		n := x.some(p[used:])
		if x.c.state >= clientClosing {
			return len(p)
		}
		if n == 0 {
			break
		}
		used += n
	}
	return used
}

// some takes what goes one way: a command or a part of it, a part of a file or
// of a dialogue, or as many commands as there are if the script sees none.
func (x *scripted) some(p []byte) (used int) {
	c, s := x.c, x.c.server
	switch {
	case c.state == clientInfile:
		return x.file(p)
	case s != nil && s.dialogue:
		return x.converse(p)
	case x.cmd.running:
		c.hold()
		return 0
	case x.passing || len(x.raw) == 0 && x.passes(s):
		return x.pass(s, p)
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
	if n == 0 {
		return 0
	}
	cmd := p[:n]
	if !whole || len(x.raw) > 0 {
		if len(x.raw)+n > maxCommand {
			x.cmd = command{running: true, seq: c.req.Seq()} // the ERR is its response
			c.end(ReasonCommandTooLarge, nil)
			return n
		}
		x.raw = append(x.raw, cmd...)
		if !whole {
			return n
		}
		cmd, x.raw = x.raw, nil
	}
	if x.waits(cmd) {
		return n
	}
	x.command(cmd)
	return n
}

// passes tells whether commands go to s as they come: the script does not want
// to see them, and s has nobody else's state. While some are outstanding others
// follow them.
func (x *scripted) passes(s *server) bool {
	return s != nil && x.promised.backend == nil && !s.stale && (s.state == serverBusy && s.skip == 0 || !x.has(hook.ReadQuery))
}

// pass sends to s what it can of p.
func (x *scripted) pass(s *server, p []byte) (used int) {
	c := x.c
	x.cmd = command{}
	used = c.request(p)
	x.passing = !c.req.Whole()
	if c.quit {
		s.tainted = true
	}
	return used
}

// converse takes packets that belong to a dialogue or to a stream.
func (x *scripted) converse(p []byte) (used int) {
	c, s := x.c, x.c.server
	if c.auth != nil && len(p) >= packet.HeaderLen {
		return c.changeUserSays(p)
	}
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
		mine := x.cmd.fate == fateForward // a script's own dialogue is none of the client's
		if !c.req.Continued() && !s.queue.last().Command.Streams() && (!mine || !s.converses(b[3])) {
			c.hold()
			break
		}
		c.spoke = true
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
		if c.spoke = true; c.zip != nil {
			c.renumber(b)
		}
		c.req.Open(b)
		b[3] -= x.cmd.shift
		n += packet.HeaderLen
	}
	if !x.cmd.upload {
		c.server.conn.Write(p[:n])
	}
	switch {
	case !ended:
	case x.cmd.upload:
		x.cmd.upload = false
		c.enter(clientBusy)
		x.ok()
		x.goOn()
	case x.cmd.early:
		c.enter(clientBusy)
		x.uploaded()
	default:
		c.uploaded()
	}
	return n
}

// command gives a whole command to the script. cmd is its packets, borrowed.
func (x *scripted) command(cmd []byte) {
	c := x.c
	payload := join(cmd)
	x.cmd = command{running: true, seq: c.req.Seq()}
	c.keeps()
	c.enter(clientBusy)
	if len(payload) > 0 {
		x.cmd.code = packet.Command(payload[0])
		x.cmd.mute = !x.cmd.code.HasResponse()
	}
	switch x.cmd.code {
	case packet.ComInitDB:
		x.cmd.schema = string(payload[1:])
	case packet.ComQuit:
		c.quit = len(payload) > 0
	}
	x.queue.Reset()
	if x.kind == loginAdmin {
		x.adminCommand(payload)
		return
	}
	var v hook.Verdict
	if x.has(hook.ReadQuery) && len(payload) > 0 {
		began := x.calls(callReadQuery)
		v = x.script.ReadQuery(payload)
		x.called(callReadQuery, began, v.Failed)
	}
	queued := x.queue.Len()
	switch {
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
