package engine

import (
	"bytes"
	"crypto/subtle"
	"slices"

	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// This file is what a script has to say to a login, and what a login is for where
// the server session is a pooled one or there is none.
//
//	login --> enroll --> ReadAuth --> sendLogin, changeUser, loginAgain --> server
//	                          \--> decided, admit
//	client <-- ReadAuthResult <-- toldLogin <------------------------------ server

// enroll decides what becomes of the login packet.
func (x *scripted) enroll(pkt packet.Packet, in packet.Login) {
	c := x.c
	x.who = login{
		user: string(in.User), response: bytes.Clone(in.AuthResponse), database: string(in.Database), collation: in.Collation,
		caps: packet.Effective(c.shown, in.Capabilities) &^ c.terms.masked, direct: true,
	}
	x.half.LoggedIn, x.half.Username, x.half.AuthResponse, x.half.DefaultDB = true, x.who.user, x.who.response, x.who.database
	if x.who.caps&packet.CapPluginAuth != 0 {
		x.half.AuthPlugin = string(in.Plugin)
		if len(in.Plugin) > 0 {
			c.auth.plugin = x.half.AuthPlugin // a pooled session's may be another
		}
	}
	if x.kind == loginAdmin {
		x.admit(in)
		return
	}
	var v hook.Verdict
	if x.has(hook.ReadAuth) {
		x.queue.Reset()
		began := x.calls(callReadAuth)
		v = x.script.ReadAuth()
		x.called(callReadAuth, began, v.Failed)
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
		c.letIn()
	case loginFresh:
		x.raw = bytes.Clone(pkt) // the script may want another session besides
		s.caps = x.who.caps
		if x.owns(in) && c.auth.own.enrolls(pkt.Payload()) {
			return
		}
		c.sendLogin(s, pkt.Payload(), in)
	case loginPooled:
		x.raw = bytes.Clone(pkt) // the session may turn out to be of no use
		x.owns(in)
		x.changeUser(s, pkt, in)
	case loginAgain, loginAdmin: // not here
	}
}

// owns prepares for the proxy to own the client's identity, if it wants to.
func (x *scripted) owns(in packet.Login) bool {
	c := x.c
	if !c.owns() {
		return false
	}
	c.auth.own = c.newOwning(in.User, in.Attributes)
	c.auth.own.meets(in)
	return true
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
	c.letIn()
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
		if !s.fits(x.who.caps) || s.bares(c) || len(payload) == 0 || packet.Command(payload[0]) != packet.ComChangeUser {
			c.end(ReasonPoolLogin, nil)
			return
		}
		x.changeUserTo(s, payload)
		return
	}
	c.auth.clientIs, c.auth.serverIs = s.safety(), s.safety() // what the script says is not the client's password
	c.auth.server = s.loginSeq()
	s.caps = x.who.caps
	in, err := packet.ParseLogin(payload, s.shown)
	if err != nil { // as the script will have it
		s.conn.Write(packet.AppendPacket(nil, c.auth.server, payload))
		return
	}
	x.who.caps = packet.Effective(s.shown, in.Capabilities) &^ c.terms.masked
	s.caps = x.who.caps
	s.sendLogin(c.auth.server, payload)
}

// changeUserTo sends payload to s, a COM_CHANGE_USER that takes the place of the
// login packet on a pooled session.
func (x *scripted) changeUserTo(s *server, payload []byte) {
	a := x.c.auth
	a.clientIs, a.serverIs, a.server = x.c.safety(), s.safety(), 0
	s.enter(serverLogin)
	s.resp.BeginLogin()
	s.command(packet.AppendPacket(nil, 0, payload))
}

// errMustChangePassword is what a server says to any command of an account with
// an expired password, COM_CHANGE_USER among them.
const errMustChangePassword = 1820

// longestResponse is what COM_CHANGE_USER's length byte can hold and servers
// take, in bytes.
const longestResponse = 250

// changeUser makes a pooled session the client's.
func (x *scripted) changeUser(s *server, pkt packet.Packet, in packet.Login) {
	c := x.c
	switch {
	case !s.fits(x.who.caps), x.who.caps&^s.caps&packet.CapPluginAuth != 0, s.bares(c):
		x.loginAgain(s, pkt)
	case c.loop.engine.cfg().PoolNoChangeUser && s.who.direct:
		if s.who.user != x.who.user || subtle.ConstantTimeCompare(s.who.response, x.who.response) != 1 {
			c.end(ReasonPoolLogin, nil)
			return
		}
		x.vouched = true
		s.lentTo(x)
		s.stale = false // as it always was: the option says so
		x.ok()
		c.letIn()
	case len(in.AuthResponse) >= longestResponse:
		c.end(ReasonLoginTooLarge, nil)
	default:
		u := packet.ChangeUser{User: in.User, AuthResponse: in.AuthResponse, Database: in.Database, Collation: uint16(in.Collation), Plugin: in.Plugin, Attributes: in.Attributes}
		if x.who.caps&packet.CapPluginAuth == 0 { // as a server takes a login without a plugin's name
			u.Plugin = []byte(packet.PluginNative)
		}
		if c.safety() != s.safety() && sendsPassword(string(u.Plugin)) {
			u.AuthResponse = nil // the server asks for it by an AuthSwitch, and then it is translated
		}
		if c.auth.own != nil {
			c.auth.own.sends(in)
		}
		x.changeUserTo(s, u.Append(nil, s.caps))
	}
}

// loginAgain opens a new session with the same backend, because the pooled one
// was negotiated with other capabilities than this client's, or without TLS. The client has
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
	c.auth.begin(a.Plugin, a.Data)
	if c.auth.own != nil {
		c.auth.own.nonce = bytes.Clone(a.Data)
	}
	c.auth.client++
	c.write(packet.AppendPacket(nil, c.auth.client, a.Append(nil)))
	s.secured(packet.Packet(x.raw).Payload())
	c.release()
}

// wants is the backend that the script, having let go of s, has named for a new
// session. As in connect_server, an idle session that was attached goes back unless
// the script returned IGNORE_RESULT.
func (x *scripted) wants(s *server, v hook.Verdict) *Backend {
	list := x.c.loop.engine.backends.all()
	switch at := x.c.server; {
	case at == s, at != nil && v.Action == hook.IgnoreResult, v.Action == hook.SendResult:
		return nil
	case x.chosen < 1 || x.chosen > len(list) || !list[x.chosen-1].open():
		return nil
	}
	return list[x.chosen-1]
}

// askable tells whether the client can be asked once more. Clients follow one
// AuthSwitch and not a second, and none when they have been asked for their
// password.
func (x *scripted) askable() bool {
	return x.kind == loginFresh && !x.switched && x.raw != nil && x.who.caps&packet.CapPluginAuth != 0
}

// answer makes the login packet for the new session from the first one and the
// client's answer.
func (x *scripted) answer(pkt packet.Packet) {
	c := x.c
	s := c.server
	x.awaiting = false
	if x.kind == loginAdmin {
		x.verify(pkt.Payload())
		return
	}
	if s == nil {
		c.end(ReasonNoBackend, nil)
		return
	}
	in, err := packet.ParseLogin(packet.Packet(x.raw).Payload(), c.shown)
	if err != nil {
		c.end(ReasonClientProtocol, err)
		return
	}
	if caps := packet.Effective(s.shown, in.Capabilities) &^ c.terms.masked; !sameCommands(caps, x.who.caps) {
		c.end(ReasonPoolLogin, nil) // another version of the server by now: not what the client was shown
		return
	}
	in.AuthResponse = pkt.Payload()
	in.Plugin = []byte(s.half.AuthPlugin)
	x.who.response = bytes.Clone(pkt.Payload())
	payload := in.Append(nil, c.shown)
	x.raw = nil
	s.caps = x.who.caps
	c.sendLogin(s, payload, in)
}

// toldLogin has the script see a packet of the server's part of the dialogue,
// and takes it to the client. It tells whether the dialogue goes on.
func (x *scripted) toldLogin(s *server, pkt packet.Packet, done bool) bool {
	c := x.c
	refused := done && s.resp.Failed()
	if refused && x.kind == loginPooled && s.resp.Code() == errMustChangePassword && !x.switched && x.raw != nil {
		s.tainted = true // it is of the account that has to, and takes no other
		x.loginAgain(s, x.raw)
		return false
	}
	if done && !refused {
		s.who = x.who
		s.owner, s.stale, s.moved = x.id, false, false
		s.half.LoggedIn, s.half.Username, s.half.AuthResponse, s.half.DefaultDB = true, x.who.user, x.who.response, x.who.database
		s.half.AuthPlugin = x.half.AuthPlugin
		s.admitted(s.caps)
		x.vouched = true
		if own := c.auth.own; own != nil {
			own.done()
			c.auth.own = nil
		}
	}
	var v hook.Verdict
	if x.has(hook.ReadAuthResult) {
		began := x.calls(callReadAuthResult)
		v = x.script.ReadAuthResult(pkt.Payload())
		x.called(callReadAuthResult, began, v.Failed)
	}
	switch b := x.wants(s, v); {
	case b == nil || refused:
	case x.opens(b):
		if c.server != nil {
			x.part()
		}
		x.promises(x.chosen)
	case x.askable(): // also if the server would have its password now
		if c.server != nil {
			x.part()
		}
		x.kind, x.fast = loginAgain, false // the client hears the new one's word in place of this
		b.clients.Add(1)
		c.dial(b)
		return false
	}
	switch says := pkt.Payload(); {
	case done || len(says) == 0:
	case says[0] == 0xfe:
		x.switched = true
	case c.auth.plugin == packet.PluginCachingSHA2 && len(says) == 2 && says[0] == 1:
		x.switched = x.switched || says[1] == packet.CachingSHA2FullAuth
		if says[1] == packet.CachingSHA2FastOK && v.Action != hook.SendResult && c.server == s {
			// Behind this a client takes nothing but an OK. It is told with that,
			// for the script may want another session first.
			x.fast = true
			return true
		}
	}
	if x.fast {
		x.fast = false
		c.carry(toClient, []byte{1, packet.CachingSHA2FastOK})
	}
	switch {
	case v.Action == hook.SendResult:
		refused = refused || refuses(v.Response)
		c.write(appendPackets(nil, c.auth.client+1, v.Response))
		c.auth.client++
	case !done && c.server != s: // the script let go of it in the middle of the dialogue
		c.end(ReasonNoServer, nil)
		return false
	default:
		c.carry(toClient, pkt.Payload())
	}
	switch {
	case refused:
		c.end(ReasonLoginRefused, nil)
	case done:
		c.letIn()
	case c.server != s:
		c.end(ReasonNoServer, nil)
	default:
		return true
	}
	return false
}

// ok tells the client that it is in.
func (x *scripted) ok() {
	o := packet.OK{Status: packet.StatusAutocommit}
	x.c.write(packet.AppendPacket(nil, x.c.req.Seq()+1, o.Append(nil, packet.CapProtocol41)))
}
