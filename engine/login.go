package engine

import (
	"bytes"
	"crypto/subtle"
	"slices"

	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// This file is the login of a session with a script.
//
//	login --> enroll --> ReadAuth --> sendLogin, changeUser, loginAgain --> server
//	                          \--> decided, admit
//	client <-- ReadAuthResult <-- loginData <------------------------------ server

// login takes the login packet and what the client says in the dialogue behind
// it, a packet at a time.
func (x *scripted) login(p []byte) (used int) {
	c := x.c
	for c.state == clientLogin {
		b := p[used:]
		if len(b) < packet.HeaderLen {
			return used
		}
		if packet.Packet(b).PayloadLen() > maxLogin {
			c.req.Open(b)
			c.end(ReasonLoginTooLarge, nil)
			return len(p)
		}
		pkt, _, ok := packet.Next(b)
		if !ok {
			return used
		}
		if c.sentLogin && !x.listens(pkt.Seq()) {
			c.hold()
			return used
		}
		used += len(pkt)
		c.req.Open(pkt)
		c.req.Pass(len(pkt))
		x.last = pkt.Seq()
		switch {
		case !c.sentLogin:
			in, ok := c.parseLogin(pkt.Payload())
			if !ok {
				return len(p)
			}
			c.sentLogin = true
			x.enroll(pkt, in)
		case x.awaiting:
			x.answer(pkt)
		case c.server == nil:
			c.end(ReasonClientProtocol, nil)
		default:
			x.who.direct = false
			pkt[3] -= x.shift
			c.server.conn.Write(pkt)
		}
	}
	if c.state >= clientClosing {
		return len(p)
	}
	return used
}

// listens tells whether a packet of the client's with this sequence id has a
// place in the dialogue now: not if it is a command that does not wait for the
// login's end (what responds to packet 255 starts at 0 too), and not while a
// server session is opened that has not been sent the login.
func (x *scripted) listens(seq byte) bool {
	s := x.c.server
	if s == nil {
		return true
	}
	return s.state == serverLogin && (seq != 0 || s.resp.Begun() && s.resp.Seq()+x.shift == 255)
}

// enroll decides what becomes of the login packet.
func (x *scripted) enroll(pkt packet.Packet, in packet.Login) {
	c := x.c
	x.who = login{
		user: string(in.User), response: bytes.Clone(in.AuthResponse), database: string(in.Database), collation: in.Collation,
		caps: packet.Effective(c.shown, in.Capabilities&^c.loop.engine.masked), direct: true,
	}
	x.half.LoggedIn, x.half.Username, x.half.AuthResponse, x.half.DefaultDB = true, x.who.user, x.who.response, x.who.database
	if x.who.caps&packet.CapPluginAuth != 0 {
		x.half.AuthPlugin = string(in.Plugin)
	}
	if x.kind == loginAdmin {
		x.admit(in)
		return
	}
	var v hook.Verdict
	if x.has(hook.ReadAuth) {
		x.queue.Reset()
		v = x.script.ReadAuth()
	}
	if v.Action == hook.SendResult {
		x.decided(v.Response)
		return
	}
	s := c.server
	if s == nil && x.kind != loginMock {
		c.end(ReasonNoBackend, nil) // the script let go of it; nobody can say who this is
		return
	}
	if v.Action == hook.SendQuery {
		if in := x.queue.Pop(); in != nil {
			if s == nil {
				c.end(ReasonScript, nil)
				return
			}
			x.replaceLogin(s, []byte(in.Query))
			return
		}
	}
	switch x.kind {
	case loginMock:
		x.ok()
		x.letIn()
	case loginFresh:
		x.raw = bytes.Clone(pkt) // the script may want another session besides
		x.sendLogin(s, pkt.Payload())
	case loginPooled:
		x.changeUser(s, pkt, in)
	case loginAgain, loginAdmin: // not here
	}
}

// decided has the script's own answer to a login go to the client. The server
// session has not seen the login and is of no use to this client.
func (x *scripted) decided(response [][]byte) {
	c := x.c
	c.write(appendPackets(nil, c.req.Seq()+1, response))
	if c.server != nil {
		x.part()
	}
	if refuses(response) {
		c.end(ReasonLoginRefused, nil)
		return
	}
	x.letIn()
}

// refuses tells whether a response has an ERR among its packets.
func refuses(response [][]byte) bool {
	return slices.ContainsFunc(response, func(p []byte) bool { return len(p) > 0 && p[0] == 0xff })
}

// replaceLogin sends the script's payload in place of the client's login. What
// the server makes of it proves nothing about the client's own.
func (x *scripted) replaceLogin(s *server, payload []byte) {
	c := x.c
	x.who.direct = false
	if x.kind == loginPooled {
		if !s.fits(x.who.caps) || len(payload) == 0 || packet.Command(payload[0]) != packet.ComChangeUser {
			c.end(ReasonPoolLogin, nil)
			return
		}
		x.sendLogin(s, payload)
		return
	}
	if in, err := packet.ParseLogin(payload, s.shown); err == nil && packet.MaskLogin(payload, c.loop.engine.masked) == nil {
		x.who.caps = packet.Effective(s.shown, in.Capabilities&^c.loop.engine.masked)
	}
	x.sendLogin(s, payload)
}

// sendLogin sends payload to s as the login packet, or as the COM_CHANGE_USER
// that takes its place on a pooled session.
func (x *scripted) sendLogin(s *server, payload []byte) {
	seq := x.c.req.Seq()
	if x.kind == loginPooled {
		x.shift = seq
		seq = 0
		s.enter(serverLogin)
		s.resp.BeginLogin()
	} else {
		s.login(x.who.caps)
	}
	s.conn.Write(packet.AppendPacket(nil, seq, payload))
}

// longestResponse is what COM_CHANGE_USER's length byte can hold and servers
// take, in bytes.
const longestResponse = 250

// changeUser makes a pooled session the client's.
func (x *scripted) changeUser(s *server, pkt packet.Packet, in packet.Login) {
	c := x.c
	switch {
	case !s.fits(x.who.caps), x.who.caps&^s.caps&packet.CapPluginAuth != 0:
		x.loginAgain(s, pkt)
	case c.loop.engine.cfg.PoolNoChangeUser && s.who.direct:
		if s.who.user != x.who.user || subtle.ConstantTimeCompare(s.who.response, x.who.response) != 1 {
			c.end(ReasonPoolLogin, nil)
			return
		}
		x.vouched = true
		s.lentTo(x)
		s.stale = false // as it always was: the option says so
		x.ok()
		x.letIn()
	case len(in.AuthResponse) >= longestResponse:
		c.end(ReasonLoginTooLarge, nil)
	default:
		u := packet.ChangeUser{User: in.User, AuthResponse: in.AuthResponse, Database: in.Database, Collation: uint16(in.Collation), Plugin: in.Plugin, Attributes: in.Attributes}
		if x.who.caps&packet.CapPluginAuth == 0 { // as a server takes a login without a plugin's name
			u.Plugin = []byte(packet.PluginNative)
		}
		x.sendLogin(s, u.Append(nil, s.caps))
	}
}

// loginAgain opens a new session with the same backend, because the pooled one
// was negotiated with other capabilities than this client's. The client has
// already answered the pooled one's challenge, so it will be asked again.
func (x *scripted) loginAgain(s *server, pkt packet.Packet) {
	c := x.c
	if x.who.caps&packet.CapPluginAuth == 0 { // it cannot be asked
		c.end(ReasonPoolLogin, nil)
		return
	}
	b := s.backend
	x.part()
	x.kind, x.raw = loginAgain, bytes.Clone(pkt)
	b.clients.Add(1)
	c.dial(b)
}

// ask has the client answer the challenge of the session that was opened for it.
func (x *scripted) ask(s *server, g *packet.Greeting) {
	c := x.c
	plugin := g.Plugin
	if len(plugin) == 0 {
		plugin = []byte(packet.PluginNative)
	}
	a := packet.AuthSwitch{Plugin: plugin, Data: g.Challenge[:g.ChallengeSize]}
	x.awaiting = true
	x.switched = true
	x.last++
	c.write(packet.AppendPacket(nil, x.last, a.Append(nil)))
	c.release()
}

// wants tells whether the script, having let go of s, which has just logged in,
// has named a backend for a new session, and the client can be asked once more
// for it. As in connect_server, an idle session that was attached goes back
// unless the script returned IGNORE_RESULT. Clients follow one AuthSwitch and
// not a second.
func (x *scripted) wants(s *server, v hook.Verdict) *Backend {
	list := x.c.loop.engine.backends.list
	switch at := x.c.server; {
	case at == s, at != nil && v.Action == hook.IgnoreResult, v.Action == hook.SendResult:
		return nil
	case x.chosen < 1 || x.chosen > len(list) || list[x.chosen-1].State() == BackendDown:
		return nil
	case x.kind != loginFresh || x.switched || x.raw == nil || x.who.caps&packet.CapPluginAuth == 0:
		return nil
	}
	return list[x.chosen-1]
}

// answer makes the login packet for the new session from the first one and the
// client's answer.
func (x *scripted) answer(pkt packet.Packet) {
	c := x.c
	s := c.server
	x.awaiting = false
	if s == nil {
		c.end(ReasonNoBackend, nil)
		return
	}
	in, err := packet.ParseLogin(packet.Packet(x.raw).Payload(), c.shown)
	if err != nil {
		c.end(ReasonClientProtocol, err)
		return
	}
	if caps := packet.Effective(s.shown, in.Capabilities); !sameCommands(caps, x.who.caps) {
		c.end(ReasonPoolLogin, nil) // another version of the server by now: not what the client was shown
		return
	}
	in.AuthResponse = pkt.Payload()
	in.Plugin = []byte(s.half.AuthPlugin)
	x.who.response = bytes.Clone(pkt.Payload())
	x.raw = nil
	x.shift = pkt.Seq() - 1
	s.login(x.who.caps)
	s.conn.Write(packet.AppendPacket(nil, 1, in.Append(nil, s.shown)))
}

// loginData takes the server's part of the dialogue, a packet at a time.
func (x *scripted) loginData(s *server, p []byte) (used int) {
	c := x.c
	for {
		b := p[used:]
		if len(b) < packet.HeaderLen {
			return used
		}
		if packet.Packet(b).PayloadLen() > maxLogin {
			c.end(ReasonServerProtocol, nil)
			return len(p)
		}
		pkt, _, ok := packet.Next(b)
		if !ok {
			return used
		}
		used += len(pkt)
		_, step := s.resp.Feed(pkt)
		done := step == packet.Done
		if step == packet.Malformed || (!c.sentLogin || x.awaiting) && (!done || !s.resp.Failed()) {
			c.end(ReasonServerProtocol, nil) // nonsense, or an answer to nothing
			return len(p)
		}
		if done && !s.resp.Failed() {
			s.resp.SetCapabilities(s.caps)
			s.who = x.who
			s.owner, s.stale, s.moved = x.id, false, false
			s.half.LoggedIn, s.half.Username, s.half.AuthResponse, s.half.DefaultDB = true, x.who.user, x.who.response, x.who.database
			s.half.AuthPlugin = x.half.AuthPlugin
			s.enter(serverReady)
			x.vouched = true
		}
		var v hook.Verdict
		if x.has(hook.ReadAuthResult) {
			v = x.script.ReadAuthResult(pkt.Payload())
		}
		refused := done && s.resp.Failed()
		if b := x.wants(s, v); b != nil && done && !refused {
			if c.server != nil {
				x.part()
			}
			x.kind = loginAgain // the client hears the new one's word in place of this
			b.clients.Add(1)
			c.dial(b)
			return used
		}
		x.switched = x.switched || len(pkt.Payload()) > 0 && pkt.Payload()[0] == 0xfe
		switch {
		case v.Action == hook.SendResult:
			refused = refused || refuses(v.Response)
			c.write(appendPackets(nil, pkt.Seq()+x.shift, v.Response))
			x.last = pkt.Seq() + x.shift
		case !done && c.server != s: // the script let go of it in the middle of the dialogue
			c.end(ReasonNoServer, nil)
			return len(p)
		default:
			pkt[3] += x.shift
			x.last = pkt.Seq()
			c.write(pkt)
		}
		switch {
		case refused:
			c.end(ReasonLoginRefused, nil)
			return len(p)
		case done:
			x.shift = 0
			x.letIn()
			return used
		case c.server != s:
			c.end(ReasonNoServer, nil)
			return len(p)
		}
	}
}

// ok tells the client that it is in.
func (x *scripted) ok() {
	o := packet.OK{Status: packet.StatusAutocommit}
	x.c.write(packet.AppendPacket(nil, x.c.req.Seq()+1, o.Append(nil, packet.CapProtocol41)))
}

// letIn begins the command phase.
func (x *scripted) letIn() {
	c := x.c
	x.raw = nil
	c.enter(clientReady)
	c.loop.Arm(&c.timer, 0) // from now on other limits hold
	c.hold()                // so that what came behind the login is delivered again
	c.release()
}
