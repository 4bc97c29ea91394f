package engine

import "mysqlproxy/packet"

// This file is COM_CHANGE_USER where only one side of the session is safe, so
// that its dialogue has to be translated (auth.go), and where the proxy wants to
// own the new user's identity (identityrelay.go). Elsewhere its packets pass like
// those of any command.

// translates tells whether a COM_CHANGE_USER of c's at s is one of this file's.
func (c *client) translates(s *server) bool { return c.safety() != s.safety() || c.owns() }

// translated prepares for the dialogue of such a COM_CHANGE_USER, and returns the payload for the server: a password that is
// in it is left out, for servers ask for it by an AuthSwitch in any case.
func (c *client) translated(payload []byte) ([]byte, error) {
	s := c.server
	u, err := packet.ParseChangeUser(payload, s.caps)
	if err != nil {
		return nil, err
	}
	c.terms = c.loop.engine.cfg() // this login, too, goes by what holds when it begins
	c.auth = &auth{clientIs: c.safety(), serverIs: s.safety(), client: c.req.Seq()}
	c.auth.begin(u.Plugin, nil)
	if c.owns() {
		c.auth.own = c.newOwning(u.User, u.Attributes)
		c.auth.own.changes(u)
	}
	if c.auth.clientIs == c.auth.serverIs || !sendsPassword(c.auth.plugin) {
		return payload, nil
	}
	u.AuthResponse = nil
	return u.Append(nil, s.caps), nil
}

// changeable tells whether the COM_CHANGE_USER that p begins with is whole and
// has its turn; else it is to be tried again. One that is too long is changeUser's
// to refuse.
func (c *client) changeable(p []byte) bool {
	if packet.Packet(p).PayloadLen() > maxLogin {
		return true
	}
	if _, _, ok := packet.Next(p); !ok {
		return false
	}
	if !c.server.queue.empty() {
		c.hold()
		return false
	}
	return true
}

// changeUser takes a COM_CHANGE_USER that has to be translated. p begins with
// it; none of it is used if it is not whole, or not its turn.
func (c *client) changeUser(p []byte, q packet.Request) (used int) {
	s := c.server
	if packet.Packet(p).PayloadLen() > maxLogin {
		c.end(ReasonClientProtocol, nil)
		return len(p)
	}
	pkt, _, ok := packet.Next(p)
	if !ok {
		return 0
	}
	if !s.queue.empty() {
		c.hold()
		return 0
	}
	c.opened(pkt)
	payload, err := c.translated(pkt.Payload())
	if err != nil {
		c.end(ReasonClientProtocol, err)
		return len(p)
	}
	c.sends(s)
	s.expect(exchange{Request: q, seq: pkt.Seq()})
	s.command(packet.AppendPacket(nil, 0, payload))
	return len(pkt)
}

// changeUserSays takes a packet of that dialogue, which p begins with.
func (c *client) changeUserSays(p []byte) (used int) {
	if packet.Packet(p).PayloadLen() > maxLogin {
		c.end(ReasonClientProtocol, nil)
		return len(p)
	}
	pkt, _, ok := packet.Next(p)
	switch {
	case !ok:
		return 0
	case c.auth.busy, pkt.Seq() == 0 && c.auth.client != 255:
		c.hold()
		return 0
	}
	c.opened(pkt)
	c.says(pkt)
	return len(pkt)
}

// changeUserData takes the server's part of that dialogue.
func (s *server) changeUserData(p []byte) (used int) {
	c := s.client
	for c.auth != nil {
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
		if step == packet.Told { // the OK tells of the session's state, which is known
			_, step = s.resp.Feed(nil)
		}
		c.auth.server = pkt.Seq()
		to, out := toClient, pkt.Payload()
		var err error
		switch step {
		case packet.More:
			switch own := c.auth.own; {
			case c.auth.busy, own.waits():
				err = packet.ErrMalformed // an answer to what it has not heard
			case own != nil && own.told(out):
				if c.state >= clientClosing {
					return len(p)
				}
				continue
			default:
				to, out, err = c.auth.fromServer(out)
			}
		case packet.Malformed, packet.ClientTurn, packet.Told:
			err = packet.ErrMalformed
		case packet.Done:
		}
		if err != nil {
			c.end(ReasonServerProtocol, err)
			return len(p)
		}
		if step == packet.Done && c.sp != nil {
			out = c.sp.admits(pkt).Payload()
		}
		c.carry(to, out)
		if step == packet.Done {
			if own := c.auth.own; own != nil && !s.resp.Failed() {
				own.done()
			}
			c.auth.own.unsee()
			c.auth = nil
			if c.sx != nil {
				c.sx.cmd.answered = true
				c.sx.done(s)
			} else {
				s.done()
				c.release()
			}
		}
	}
	if used < len(p) && c.state < clientClosing {
		s.conn.Pause() // what came behind is delivered again
		s.conn.Resume()
	}
	return used
}
