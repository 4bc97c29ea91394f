package engine

import (
	"bytes"
	"errors"

	"mysqlproxy/packet"
)

// This file is the login: the client's packet, TLS on either side before it, and
// the dialogue behind it (auth.go), a packet at a time.
//
//	client: login --> SSL request --> TLS --> login --> dialogue
//	server: greeting --> [SSL request --> TLS] --> login --> dialogue --> admitted

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
	cfg := c.terms
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
	c.user, c.charset = string(in.User), packet.LexCollation(uint16(in.Collation))
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
	c.server.caps = packet.Effective(c.shown, in.Capabilities) &^ c.terms.masked
	if c.sp != nil {
		c.sp.enroll(in)
	}
	if c.owns() {
		c.auth.own = c.newOwning(in.User, in.Attributes)
		if c.auth.own.meets(in); c.auth.own.enrolls(pkt.Payload()) {
			return
		}
	}
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
	a.clientIs, a.serverIs = c.safety(), s.safety()
	if a.own != nil {
		a.own.sends(in)
	}
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

// loginData takes the server's part of the dialogue.
func (s *server) loginData(p []byte) (used int) {
	c := s.client
	for {
		b := p[used:]
		if c.auth.own.holds() {
			s.conn.Pause()
			return used
		}
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
		unasked := !c.sentLogin || c.auth.login != nil || c.auth.busy || c.auth.own.waits() || c.sx != nil && c.sx.awaiting
		if step == packet.Malformed || unasked && (!done || !s.resp.Failed()) {
			c.end(ReasonServerProtocol, nil) // nonsense, or an answer to nothing
			return len(p)
		}
		c.auth.server = pkt.Seq()
		if !done {
			if c.auth.own != nil && c.auth.own.told(pkt.Payload()) {
				if c.state >= clientClosing {
					return len(p)
				}
				continue
			}
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
		if c.sp != nil && done {
			pkt = c.sp.admits(pkt)
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
	s.born = s.loop.Now()
	s.enter(serverReady)
	s.compress()
}

// letIn begins the command phase.
func (c *client) letIn() {
	if x := c.sx; x != nil {
		x.raw = nil
	}
	switch {
	case c.auth.own != nil:
		c.auth.own.done()
	case c.sp != nil:
		c.identified(nil, "", anonOff)
	}
	c.auth = nil
	c.enter(clientReady)
	c.compress()
	if c.sp != nil {
		c.sp.begin()
	}
	c.loop.Arm(&c.timer, 0) // from now on other limits hold
	c.hold()                // so that what came behind the login is delivered again
	c.release()
}
