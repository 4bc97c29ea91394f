package engine

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"slices"

	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// This file is the login: the client's packet, TLS on either side before it, and
// the dialogue behind it (auth.go), a packet at a time.
//
//	client: login --> SSL request --> TLS --> login --> dialogue
//	server: greeting --> [SSL request --> TLS] --> login --> dialogue --> admitted
//
// With a script:
//
//	login --> enroll --> ReadAuth --> sendLogin, changeUser, loginAgain --> server
//	                          \--> decided, admit
//	client <-- ReadAuthResult <-- loginData <------------------------------ server

// login takes the login packet and what the client says in the dialogue behind
// it.
func (c *client) login(p []byte) (used int) {
	for c.state == clientLogin {
		b := p[used:]
		if len(b) < packet.HeaderLen {
			return used
		}
		if !c.listens(b[3]) {
			c.hold()
			return used
		}
		if packet.Packet(b).PayloadLen() > maxLogin {
			if c.req.Open(b); c.auth != nil {
				c.auth.client = b[3]
			}
			c.end(ReasonLoginTooLarge, nil)
			return len(p)
		}
		pkt, _, ok := packet.Next(b)
		if !ok {
			return used
		}
		if c.sentLogin {
			c.opened(pkt)
			used += len(pkt)
			c.answers(pkt)
			continue
		}
		in, reason, err := c.parseLogin(pkt.Payload())
		switch {
		case reason != reasonNone:
			c.opened(pkt)
			c.end(reason, err)
			return len(p)
		case in.SSLRequest:
			c.opened(pkt)
			c.startTLS(pkt.Payload())
			return used + len(pkt)
		case c.doom != reasonNone:
			c.auth.client = pkt.Seq()
			c.end(c.doom, c.cause)
			return len(p)
		case c.server != nil && !c.server.secured(pkt.Payload()):
			c.auth.client = pkt.Seq()
			c.hold()
			return used
		}
		c.opened(pkt)
		used += len(pkt)
		c.enroll(pkt, in)
	}
	if c.state >= clientClosing {
		return len(p)
	}
	return used
}

// opened notes that pkt is passing.
func (c *client) opened(pkt packet.Packet) {
	c.req.Open(pkt)
	c.req.Pass(len(pkt))
}

// listens tells whether a packet of the client's with this sequence id has a
// place in the login now: not if it is a command that does not wait for the
// login's end (what responds to packet 255 starts at 0 too), not while a server
// session is made ready for the login, and not while the proxy works on what the
// client has said before.
func (c *client) listens(seq byte) bool {
	s := c.server
	switch {
	case c.auth != nil && c.auth.busy, s != nil && s.state == serverTLS:
		return false
	case !c.sentLogin || s == nil:
		return true
	}
	return s.state == serverLogin && (seq != 0 || s.resp.Begun() && c.auth.client == 255)
}

// answers takes a packet of the dialogue.
func (c *client) answers(pkt packet.Packet) {
	c.auth.client = pkt.Seq()
	switch x := c.sx; {
	case x != nil && x.awaiting:
		x.answer(pkt)
	case c.server == nil:
		c.end(ReasonClientProtocol, nil)
	default:
		if x != nil {
			x.who.direct = false
		}
		c.says(pkt)
	}
}

// parseLogin reads a login packet or an SSL request. A reason says why the
// session cannot go on.
func (c *client) parseLogin(payload []byte) (packet.Login, CloseReason, error) {
	cfg := &c.loop.engine.cfg
	in, err := packet.ParseLogin(payload, c.shown)
	switch {
	case errors.Is(err, packet.ErrOldProtocol):
		return in, ReasonClientOldProtocol, nil
	case err != nil:
		return in, ReasonClientProtocol, err
	case in.SSLRequest && c.shown&packet.CapSSL == 0:
		return in, ReasonClientTLS, nil
	case in.SSLRequest && c.tls:
		return in, ReasonClientProtocol, nil
	case !in.SSLRequest && !c.safe() && cfg.ClientTLS == TLSRequire && c.shown&packet.CapSSL != 0:
		return in, ReasonTLSRequired, nil
	}
	return in, reasonNone, nil
}

// enroll takes the whole login packet.
func (c *client) enroll(pkt packet.Packet, in packet.Login) {
	c.sentLogin = true
	c.packs = compression(packet.Effective(c.shown, in.Capabilities))
	c.level = int(in.ZstdLevel)
	if c.auth == nil { // the proxy itself, or a script, plays the server
		c.auth = new(auth)
	}
	c.auth.client = pkt.Seq()
	if c.sx != nil {
		c.sx.enroll(pkt, in)
		return
	}
	c.server.caps = packet.Effective(c.shown, in.Capabilities) &^ c.loop.engine.masked
	c.sendLogin(c.server, pkt.Payload(), in)
}

// sendLogin sends s a login packet that the client has sent, or as much of it as
// is safe. payload is borrowed.
func (c *client) sendLogin(s *server, payload []byte, in packet.Login) {
	a := c.auth
	if len(in.Plugin) > 0 {
		a.plugin = string(in.Plugin)
	}
	a.server = s.loginSeq() - 1
	a.clientSafe, a.serverSafe = c.safe(), s.safe()
	response := bytes.Clone(in.AuthResponse)
	payload = bytes.Clone(payload)
	shown := s.shown
	a.login = func(says []byte) {
		if !bytes.Equal(says, response) {
			in, err := packet.ParseLogin(payload, shown)
			if err != nil {
				c.end(ReasonClientProtocol, err)
				return
			}
			in.AuthResponse = says
			payload = in.Append(nil, shown)
		}
		a.server++
		s.sendLogin(a.server, payload)
	}
	c.carry(a.fromClient(response))
}

// enroll decides what becomes of the login packet.
func (x *scripted) enroll(pkt packet.Packet, in packet.Login) {
	c := x.c
	x.who = login{
		user: string(in.User), response: bytes.Clone(in.AuthResponse), database: string(in.Database), collation: in.Collation,
		caps: packet.Effective(c.shown, in.Capabilities) &^ c.loop.engine.masked, direct: true,
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
		c.letIn()
	case loginFresh:
		x.raw = bytes.Clone(pkt) // the script may want another session besides
		s.caps = x.who.caps
		c.sendLogin(s, pkt.Payload(), in)
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
		if !s.fits(x.who.caps) || len(payload) == 0 || packet.Command(payload[0]) != packet.ComChangeUser {
			c.end(ReasonPoolLogin, nil)
			return
		}
		x.changeUserTo(s, payload)
		return
	}
	c.auth.clientSafe = s.safe() // what the script says is not the client's password
	c.auth.serverSafe = s.safe()
	c.auth.server = s.loginSeq()
	s.caps = x.who.caps
	in, err := packet.ParseLogin(payload, s.shown)
	if err != nil { // as the script will have it
		s.conn.Write(packet.AppendPacket(nil, c.auth.server, payload))
		return
	}
	x.who.caps = packet.Effective(s.shown, in.Capabilities) &^ c.loop.engine.masked
	s.caps = x.who.caps
	s.sendLogin(c.auth.server, payload)
}

// changeUserTo sends payload to s, a COM_CHANGE_USER that takes the place of the
// login packet on a pooled session.
func (x *scripted) changeUserTo(s *server, payload []byte) {
	a := x.c.auth
	a.clientSafe, a.serverSafe, a.server = x.c.safe(), s.safe(), 0
	s.enter(serverLogin)
	s.resp.BeginLogin()
	s.command(packet.AppendPacket(nil, 0, payload))
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
		c.letIn()
	case len(in.AuthResponse) >= longestResponse:
		c.end(ReasonLoginTooLarge, nil)
	default:
		u := packet.ChangeUser{User: in.User, AuthResponse: in.AuthResponse, Database: in.Database, Collation: uint16(in.Collation), Plugin: in.Plugin, Attributes: in.Attributes}
		if x.who.caps&packet.CapPluginAuth == 0 { // as a server takes a login without a plugin's name
			u.Plugin = []byte(packet.PluginNative)
		}
		if c.safe() != s.safe() && sendsPassword(string(u.Plugin)) {
			u.AuthResponse = nil // the server asks for it by an AuthSwitch, and then it is translated
		}
		x.changeUserTo(s, u.Append(nil, s.caps))
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
	c.auth.begin(a.Plugin, a.Data)
	c.auth.client++
	c.write(packet.AppendPacket(nil, c.auth.client, a.Append(nil)))
	s.secured(packet.Packet(x.raw).Payload())
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
	if caps := packet.Effective(s.shown, in.Capabilities) &^ c.loop.engine.masked; !sameCommands(caps, x.who.caps) {
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

// loginData takes the server's part of the dialogue.
func (s *server) loginData(p []byte) (used int) {
	c := s.client
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
		unasked := !c.sentLogin || c.auth.login != nil || c.sx != nil && c.sx.awaiting
		if step == packet.Malformed || unasked && (!done || !s.resp.Failed()) {
			c.end(ReasonServerProtocol, nil) // nonsense, or an answer to nothing
			return len(p)
		}
		c.auth.server = pkt.Seq()
		if !done {
			to, out, err := c.auth.fromServer(pkt.Payload())
			if err != nil {
				c.end(ReasonServerProtocol, err)
				return len(p)
			}
			if to == toServer {
				c.carry(to, out)
				continue
			}
		}
		if c.sx != nil {
			if !c.sx.toldLogin(s, pkt, done) {
				return used
			}
			continue
		}
		c.carry(toClient, pkt.Payload())
		switch {
		case !done:
		case s.resp.Failed():
			c.end(ReasonLoginRefused, nil)
			return len(p)
		default:
			s.admitted(s.caps)
			c.letIn()
			return used
		}
	}
}

// admitted is told that the login, of a client with caps, is over.
func (s *server) admitted(caps packet.Capability) {
	s.resp.SetCapabilities(caps)
	s.enter(serverReady)
	s.compress()
}

// letIn begins the command phase.
func (c *client) letIn() {
	if x := c.sx; x != nil {
		x.raw = nil
	}
	c.auth = nil
	c.enter(clientReady)
	c.compress()
	c.loop.Arm(&c.timer, 0) // from now on other limits hold
	c.hold()                // so that what came behind the login is delivered again
	c.release()
}

// toldLogin has the script see a packet of the server's part of the dialogue,
// and takes it to the client. It tells whether the dialogue goes on.
func (x *scripted) toldLogin(s *server, pkt packet.Packet, done bool) bool {
	c := x.c
	refused := done && s.resp.Failed()
	if done && !refused {
		s.who = x.who
		s.owner, s.stale, s.moved = x.id, false, false
		s.half.LoggedIn, s.half.Username, s.half.AuthResponse, s.half.DefaultDB = true, x.who.user, x.who.response, x.who.database
		s.half.AuthPlugin = x.half.AuthPlugin
		s.admitted(s.caps)
		x.vouched = true
	}
	var v hook.Verdict
	if x.has(hook.ReadAuthResult) {
		v = x.script.ReadAuthResult(pkt.Payload())
	}
	if b := x.wants(s, v); b != nil && done && !refused {
		if c.server != nil {
			x.part()
		}
		x.kind = loginAgain // the client hears the new one's word in place of this
		b.clients.Add(1)
		c.dial(b)
		return false
	}
	x.switched = x.switched || len(pkt.Payload()) > 0 && pkt.Payload()[0] == 0xfe
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
