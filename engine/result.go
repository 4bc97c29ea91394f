package engine

import (
	"bytes"
	"log/slog"
	"time"

	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// This file is the responses to commands in a session with a script: whose they
// are, and what the script decides of those that it has asked for.

// maxCollected bounds what is held of a response for a script, in bytes.
const maxCollected = 1 << 30

// response takes what the server sends in the command phase.
func (x *scripted) response(s *server, p []byte) (used int) {
	c := x.c
	if c.auth != nil {
		return s.changeUserData(p)
	}
	n := 0
	for n < len(p) {
		if s.client != c || s.state == serverReady {
			break
		}
		b := p[n:]
		if s.zip != nil {
			b = s.number(b)
		}
		if s.prepares() && !s.preparedAs(b) {
			return n
		}
		k, step := s.resp.Feed(b)
		if k > 0 {
			c.spoke = false
		}
		x.take(s, p[n:n+k])
		n += k
		if c.state >= clientClosing {
			return len(p)
		}
		switch step {
		case packet.More:
			if s.zip != nil && k > 0 && n < len(p) {
				continue // b was one packet
			}
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
			s.tainted = true
			c.write(p[n:used])
			c.end(end, nil)
			return len(p)
		}
		return used
	}
	return n
}

// take does with a part of a response what is its fate.
func (x *scripted) take(s *server, p []byte) {
	if len(p) == 0 || s.skip > 0 {
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
		if x.cmd.mute {
			return
		}
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
		if l := x.c.loop; x.cmd.collected == nil {
			x.cmd.collected, l.collected = l.collected, nil
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
// the response, and what it decides of it goes for the file as well. The server
// session stays with the client until it is over, whatever the script says.
func (x *scripted) asked(s *server) {
	c := x.c
	in := x.cmd.in
	x.cmd.in = nil
	x.cmd.uploading, x.cmd.asked = x.cmd.running, s.resp.Seq()
	relayed := x.cmd.fate != fateSwallow
	if in != nil {
		collected := x.cmd.fate == fateCollect
		x.fill(in, s)
		in.Result.Upload = true
		relayed = x.decide(in, collected)
	}
	if relayed && !x.cmd.mute {
		x.cmd.fate = fateForward
		c.asked()
		c.fileSeq += x.cmd.shift
		return
	}
	// Nobody sends one: an empty file, and its result is nobody's.
	x.cmd.fate = fateSwallow
	s.conn.Write(packet.AppendPacket(nil, s.resp.Seq()+1, nil))
}

// done is called when a response is whole.
func (x *scripted) done(s *server) {
	c := x.c
	failed := s.resp.Failed()
	if d := s.queue.first(); d.digest != 0 {
		s.digested(d)
	}
	s.queue.pop()
	if s.queue.empty() {
		s.dialogue = false
		s.enter(serverReady)
	} else {
		s.resp.Begin(s.queue.first().Request)
		if c.zip != nil && s.skip == 0 {
			c.counts(false)
			c.zip.Answer(1) // commands that were sent at once: each began a sequence
		}
	}
	if s.skip > 0 {
		x.renewed(s, failed)
		return
	}
	if !x.cmd.running {
		x.passed(s)
		return
	}
	if !failed {
		x.note(s)
	}
	x.cmd.user = nil
	if in := x.cmd.in; in != nil {
		x.cmd.in = nil
		x.fill(in, s)
		x.decide(in, x.cmd.fate == fateCollect)
	}
	switch {
	case c.state == clientInfile && x.cmd.uploading:
		x.cmd.early = true // the client does not stop sending its file for that
	case x.cmd.uploading:
		x.uploaded()
	case !x.cmd.upload:
		x.goOn()
	}
}

// uploaded ends a query that has asked for a file.
func (x *scripted) uploaded() {
	x.cmd.uploading, x.cmd.early = false, false
	if x.cmd.release {
		x.cmd.release = false
		x.part()
	}
	if !x.cmd.upload {
		x.goOn()
	}
}

// passed ends a command that the script has not seen.
func (x *scripted) passed(s *server) {
	c := x.c
	if s.queue.empty() && c.state == clientBusy {
		c.enter(clientReady)
	}
	if x.closing {
		c.end(ReasonScript, nil)
		return
	}
	c.release()
}

// note keeps track of what a command has changed.
func (x *scripted) note(s *server) {
	if x.cmd.user != nil {
		if x.cmd.in != nil { // the script's: whose password it was is not known
			x.c.forget()
		}
		s.who, x.who, s.tainted = *x.cmd.user, *x.cmd.user, false
		for _, h := range []*hook.Endpoint{&x.half, s.half} {
			h.Username, h.AuthResponse, h.DefaultDB = x.who.user, x.who.response, x.who.database
		}
		return
	}
	code := x.cmd.code
	if x.cmd.in != nil {
		code = x.cmd.in.Result.Command
	}
	if code == packet.ComInitDB && !x.cmd.uploading {
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
		began := x.calls(callReadQueryResult)
		v = x.script.ReadQueryResult(in)
		x.called(callReadQueryResult, began, v.Failed)
	}
	relayed = x.act(v, in, collected)
	if v.Free {
		l := x.c.loop
		if p := in.Result.Packets; cap(p) > cap(l.collected) && cap(p) <= scratch {
			l.collected = p[:0]
		}
		l.injections.Put(in)
	}
	return relayed
}

// act does what the script has decided.
func (x *scripted) act(v hook.Verdict, in *hook.Injection, collected bool) (relayed bool) {
	switch {
	case !collected:
		if v.Action != hook.Default {
			x.log(slog.LevelError, "(read_query_result) the result was sent already, it needs resultset_is_needed to be changed")
		}
		return true
	case v.Action == hook.IgnoreResult, x.cmd.mute:
	case x.cmd.answered:
		x.log(slog.LevelError, "(read_query_result) the client has its result already, this one is dropped")
	case v.Action == hook.SendResult:
		x.respond(v.Response)
	default:
		packets := in.Result.Packets
		if x.cmd.shift != 0 {
			packets = bytes.Clone(packets) // they are the script's
			renumber(new(packet.Cursor), packets, x.cmd.shift)
		}
		x.c.write(packets)
		x.cmd.answered = true
		return true
	}
	return false
}

// errSeq is the sequence id of an ERR in the command phase.
func (x *scripted) errSeq() (seq byte, ok bool) {
	s := x.c.server
	switch {
	case !x.cmd.answered:
		return x.cmd.seq + 1, !x.cmd.mute
	case s == nil || x.cmd.upload || x.cmd.fate != fateForward || !s.resp.Whole() || s.resp.Streaming():
		return 0, false
	case x.c.state == clientInfile && (x.cmd.early || s.queue.empty()):
		return 0, false // it has heard the end already
	case s.replied():
		return x.c.req.Seq() + 1, x.c.req.Whole()
	case x.cmd.uploading && s.resp.Seq() == x.cmd.asked && x.c.req.Seq() != x.cmd.seq: // of the file has come
		return x.c.req.Seq() + 1, true
	}
	return s.resp.Seq() + x.cmd.shift + 1, true
}
