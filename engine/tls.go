package engine

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"

	"mysqlproxy/packet"
)

// This file is TLS on either side of a session, and which sides are safe. The
// handshakes are the reactor's.
//
// Whether a server session speaks it is decided when its client has said whether
// it does: at the client's first packet.

// safety tells who could listen on the client's connection.
func (c *client) safety() safety {
	switch {
	case c.tls:
		return encrypted
	case c.conn.LocalAddr().Path != "":
		return local
	}
	return readable
}

// safe tells whether nobody can.
func (c *client) safe() bool { return c.safety() != readable }

// safety tells who could listen on the server's connection.
func (s *server) safety() safety {
	switch {
	case s.conn.Encrypted():
		return encrypted
	case s.backend.Addr.Path != "":
		return local
	}
	return readable
}

// safe tells whether nobody can.
func (s *server) safe() bool { return s.safety() != readable }

// startTLS has the client's connection speak TLS after its SSL request, and
// begins with the server's if it will.
func (c *client) startTLS(request []byte) {
	c.tls = true
	c.enter(clientTLS)
	c.conn.StartTLS(c.terms.ClientTLSConfig, true, c.handshaken)
	if c.server != nil {
		c.server.secured(request)
	}
}

// handshaken is told of the end of the client's handshake.
func (c *client) handshaken(_ tls.ConnectionState, err error) {
	switch {
	case c.state >= clientClosing:
	case err != nil:
		c.end(ReasonClientHandshake, err)
	default:
		c.enter(clientLogin)
	}
}

// secured tells whether s is as safe as it has to be for its client's login. If
// not it is made so, and the client is released when that is done. login is the
// client's login packet or SSL request.
func (s *server) secured(login []byte) bool {
	if s.state != serverLogin || s.resp.Begun() || s.safe() || !s.wantsTLS(s.client, s.terms) {
		return s.state != serverTLS
	}
	s.enter(serverTLS)
	login = bytes.Clone(login)
	if err := packet.MaskLogin(login, s.terms.masked); err != nil {
		s.client.end(ReasonClientProtocol, err)
		return true
	}
	// MySQL goes by what this says of compression, and not by the login.
	add := s.compression()
	if s.client.sp != nil {
		add |= s.offers & packet.CapSessionTrack
	}
	binary.LittleEndian.PutUint32(login, binary.LittleEndian.Uint32(login)|uint32(add))
	request, err := packet.AppendSSLRequest(nil, login)
	if err != nil {
		s.client.end(ReasonClientProtocol, err)
		return true
	}
	s.conn.Write(packet.AppendPacket(nil, 1, request))
	s.conn.StartTLS(s.terms.BackendTLSConfig(s.backend.config()), false, s.handshaken)
	return false
}

// wantsTLS tells whether a session with s's backend speaks TLS if it is c's, by
// these terms.
func (s *server) wantsTLS(c *client, by *running) bool {
	switch by.BackendTLS {
	case TLSOff:
		return false
	case TLSSame:
		return c.tls && s.offers&packet.CapSSL != 0
	case TLSPrefer, TLSRequire:
	}
	return s.offers&packet.CapSSL != 0
}

// handshaken is told of the end of the server's handshake.
func (s *server) handshaken(_ tls.ConnectionState, err error) {
	c := s.client
	if s.state != serverTLS || c == nil {
		return
	}
	if err != nil {
		s.loop.engine.cfg().Log.Error("the TLS handshake with a backend failed", "backend", s.backend.Addr.String(), "error", err)
		// It would draw all clients, as the one with the fewest. Alone it is better
		// asked each time, for an ERR that says more, and with TLSSame it is good
		// for clients without TLS.
		if e := s.loop.engine; s.terms.BackendTLS != TLSSame && len(e.backends.all()) > 1 {
			s.backend.fail(e, err)
		}
		if c.auth.client > 0 {
			c.end(ReasonServerHandshake, err)
			return
		}
		c.doom, c.cause = ReasonServerHandshake, err
		s.enter(serverClosing)
		s.conn.Close(nil)
		c.release() // its login may wait already
		return
	}
	s.enter(serverLogin)
	c.release()
}

// bares tells whether s, which is logged in, would carry in clear what --backend-tls
// has encrypted for c: a session of the pool may have been opened for a client
// without TLS.
func (s *server) bares(c *client) bool { return !s.safe() && s.wantsTLS(c, s.loop.engine.cfg()) }

// loginSeq is the sequence id of the login packet: an SSL request before it has
// taken the first.
func (s *server) loginSeq() byte {
	if s.conn.Encrypted() {
		return 2
	}
	return 1
}

// sendLogin sends a client's login packet, less what is between the client and
// the proxy, and with what is between the proxy and s.
func (s *server) sendLogin(seq byte, payload []byte) {
	add := s.compression() | s.caps&packet.CapSessionTrack // which a session that splits has in any case
	if s.conn.Encrypted() {
		add |= packet.CapSSL
	}
	login, err := packet.AppendEditedLogin(nil, payload, s.shown, s.terms.masked, add, byte(s.terms.ZstdLevel))
	if err != nil {
		s.client.end(ReasonClientProtocol, err)
		return
	}
	s.conn.Write(packet.AppendPacket(nil, seq, login))
}
