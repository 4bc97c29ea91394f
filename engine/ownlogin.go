package engine

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"

	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

// This file is a login of the proxy's own: a second server session for a client
// session, as the client's user, with the secret that the proxy owns of it.
//
//	openAs --> dial --> greeting --> [SSL request --> TLS] --> login --> dialogue --> then
//
// The session belongs to the client session (client.opening) and is not the one
// that works for it (client.server). Whatever becomes of it, the client session
// goes on.

// opening says how openAs logs in.
type opening struct {
	database  string // empty: none
	collation byte   // of the login
	// caps are those that have to be in force: of the client's session with its
	// backend, so that responses are laid out alike and statements do the same.
	// Compression is not of them but up to --backend-compression.
	caps packet.Capability
	// track adds packet.CapSessionTrack, if the backend has it.
	track bool
}

// refusal is the ERR by which a backend has refused a connection or a login.
type refusal struct {
	code        uint16
	state, text string // state is empty in a greeting's place
}

func (r *refusal) Error() string { return fmt.Sprintf("ERR %d (%s): %s", r.code, r.state, r.text) }

// refused reads an ERR.
func refused(payload []byte) error {
	e, err := packet.ParseERR(payload, 0)
	if err != nil {
		return err
	}
	return &refusal{e.Code, string(e.State), string(e.Message[:min(len(e.Message), maxRefusal)])}
}

// maxRefusal is how much of an ERR's text is kept, in bytes.
const maxRefusal = 512

var (
	errOpening    = errors.New("another session is being opened")
	errAbandoned  = errors.New("the client session has ended")
	errLoginSlow  = errors.New("the login took longer than --proxy-login-timeout")
	errCaps       = errors.New("its capabilities are not those of the client's session")
	errUnexpected = errors.New("it sent a packet that does not belong here")
	errClosed     = errors.New("it closed the connection during the login")
)

// ownLogin is such a login. It belongs to its server session until that is
// logged in or closed.
type ownLogin struct {
	c          *client
	s          *server
	how        opening
	user       string
	attributes []byte
	secret     *packet.Secret // a copy
	auth       *packet.Authenticator
	then       func(*server, error)
	left       func() // is told if then is not, as the client session has ended; nil: nobody
	timer      reactor.Timer
	plugin     []byte // of the greeting
	challenge  []byte
	caps       packet.Capability // that the login claims
	busy       bool              // a goroutine has auth and secret
	over       bool
	err        error
}

// openAs starts to open a session with b, which was taken and counted for it, also
// among its slots, and
// calls then on the loop when that is logged in and ready, or with the reason why
// not: a *refusal if the backend has said it. then is not called within openAs,
// and not at all if the client session ends before; a session that could not be
// opened is closed and given back to b by then. Who gets one is told of all that
// becomes of it, as of any server session.
//
// One session is opened at a time. id may be wiped meanwhile.
func (c *client) openAs(b *Backend, id *identity, how opening, then func(s *server, err error)) {
	if c.opening != nil {
		b.release()
		b.slots.leave()
		c.loop.Post(func() {
			if c.state < clientClosing {
				then(nil, errOpening)
			}
		})
		return
	}
	secret := id.secret.Clone()
	o := &ownLogin{c: c, how: how, user: id.user, attributes: bytes.Clone(id.attributes), secret: secret, then: then}
	o.s = &server{loop: c.loop, client: c, backend: b, terms: c.loop.engine.cfg(), own: o}
	c.opening = o.s
	o.s.conn = c.loop.Dial(b.Addr, o.s.terms.ConnectTimeout, o.s)
	o.s.meets()
	o.timer.Owner, o.timer.Conn = o, o.s.conn
}

// opened: the greeting has as long to come as the connect had.
func (o *ownLogin) opened() { o.s.loop.Arm(&o.timer, o.s.terms.ConnectTimeout) }

// Expired ends what takes too long.
func (o *ownLogin) Expired(*reactor.Timer) {
	if o.s.state == serverGreeting {
		o.s.conn.Close(errNoGreeting)
		return
	}
	o.fail(errLoginSlow)
}

// fail ends the login. then is told when the session is closed.
func (o *ownLogin) fail(err error) {
	if o.over {
		return
	}
	o.err = err
	o.finish()
	o.s.enter(serverClosing)
	o.s.conn.Close(nil)
}

// finish forgets what the login needed.
func (o *ownLogin) finish() {
	o.over = true
	o.s.loop.Disarm(&o.timer)
	if !o.busy {
		o.secret.Clear()
	}
}

// eof: the backend has closed.
func (o *ownLogin) eof() {
	if o.s.state == serverGreeting {
		o.s.conn.Close(errNoGreeting)
		return
	}
	o.fail(errClosed)
}

// closed is the end of the socket of a session that was not logged in. was is the
// state before.
func (o *ownLogin) closed(was serverState, err error) {
	c, b := o.c, o.s.backend
	if !o.over {
		o.finish()
		if o.err = err; err == nil {
			o.err = errClosed
		}
		if was <= serverGreeting && !exhausted(err) && !errors.Is(err, reactor.ErrPanic) {
			b.fail(c.loop.engine, o.err)
		}
	}
	b.release()
	c.opening = nil
	if c.state < clientClosing {
		o.then(nil, o.err)
	} else if o.left != nil {
		o.left()
	}
	c.finish()
}

// data takes what the backend sends until the session is logged in.
func (o *ownLogin) data(p []byte) (used int) {
	switch s := o.s; {
	case o.over:
		return len(p)
	case s.state == serverGreeting:
		return o.greeting(p)
	case s.state == serverLogin:
		return o.dialogue(p)
	}
	return len(p)
}

// greeting takes the backend's first packet.
func (o *ownLogin) greeting(p []byte) (used int) {
	s := o.s
	if len(p) < packet.HeaderLen {
		return 0
	}
	if n := packet.Packet(p).PayloadLen(); n > maxGreeting || n == 0 {
		o.fail(errUnexpected)
		return len(p)
	}
	pkt, rest, ok := packet.Next(p)
	if !ok {
		return 0
	}
	if pkt.Payload()[0] == 0xff {
		o.fail(refused(pkt.Payload()))
		return len(p)
	}
	g, err := packet.ParseGreeting(pkt.Payload())
	if err == nil && len(rest) > 0 {
		err = errUnexpected
	}
	if err == nil && o.c.sx != nil {
		err = s.introduced(o.c, pkt)
	}
	if err != nil {
		o.fail(err)
		return len(p)
	}
	cfg := s.terms
	s.offers, s.collation, s.thread = g.Capabilities, g.Collation, g.ThreadID
	if cfg.BackendTLS == TLSRequire && !s.safe() && s.offers&packet.CapSSL == 0 {
		s.conn.Close(errNoTLS)
		return len(p)
	}
	if !o.negotiate() {
		o.fail(errCaps)
		return len(p)
	}
	o.plugin, o.challenge = bytes.Clone(g.Plugin), bytes.Clone(g.Challenge[:g.ChallengeSize])
	s.enter(serverLogin)
	s.resp.BeginLogin()
	s.loop.Arm(&o.timer, cfg.LoginTimeout)
	if s.safe() || !s.wantsTLS(o.c, cfg) {
		o.login()
		return len(pkt)
	}
	o.caps |= packet.CapSSL
	s.enter(serverTLS)
	request := packet.Login{Capabilities: o.caps, MaxPacket: maxPacket, Collation: o.how.collation, SSLRequest: true}
	s.conn.Write(packet.AppendPacket(nil, 1, request.Append(nil, s.offers)))
	s.conn.StartTLS(cfg.BackendTLSConfig(s.backend.config()), false, o.handshaken)
	return len(pkt)
}

// maxPacket is what logins of the proxy's own say they take, in bytes: the most
// that there is.
const maxPacket = 1 << 30

// negotiate settles the capabilities, and tells whether the backend has all that
// have to be in force.
func (o *ownLogin) negotiate() bool {
	const must = packet.CapsFormat | packet.CapsBehaviour
	s := o.s
	need := o.how.caps & must &^ (packet.CapCompress | packet.CapZstd)
	caps := need | s.compression() | packet.CapProtocol41 | packet.CapSecureConnection | packet.CapTransactions | packet.CapLongFlag |
		packet.CapPluginAuth | packet.CapPluginAuthLenenc
	const extended = packet.CapMariaDBProgress | packet.CapMariaDBBulk | packet.CapMariaDBExtendedMetadata | packet.CapMariaDBCacheMetadata |
		packet.CapMariaDBBulkUnitResults
	if o.how.caps&extended != 0 {
		caps |= o.how.caps & packet.CapMariaDBBulk
	} else {
		caps |= packet.CapLongPassword
	}
	if o.how.track {
		caps |= packet.CapSessionTrack
	}
	if o.how.database != "" {
		caps |= packet.CapConnectWithDB
	}
	if len(o.attributes) > 0 {
		caps |= packet.CapConnectAttrs
	}
	// What a backend has not offered is not claimed, MariaDB's part apart: it is
	// known by the absence of CapLongPassword.
	o.caps = caps & (s.offers | packet.CapLongPassword)
	s.caps = packet.Effective(s.offers, o.caps) &^ maskedCapabilities
	return s.caps&must == need|o.how.tracks()&s.offers
}

// tracks is the capability that track adds.
func (how *opening) tracks() packet.Capability {
	if how.track {
		return packet.CapSessionTrack
	}
	return 0
}

// handshaken is told of the end of the TLS handshake.
func (o *ownLogin) handshaken(_ tls.ConnectionState, err error) {
	s := o.s
	if o.over {
		return
	}
	if err != nil {
		s.loop.engine.cfg().Log.Error("the TLS handshake with a backend failed", "backend", s.backend.Addr.String(), "error", err)
		if s.terms.BackendTLS != TLSSame {
			s.backend.fail(s.loop.engine, err)
		}
		o.fail(err)
		return
	}
	s.enter(serverLogin)
	o.login()
}

// login sends the login packet.
func (o *ownLogin) login() {
	s := o.s
	o.auth = packet.NewAuthenticator(o.secret, s.safety().leg())
	plugin, response, err := o.auth.Greet(o.plugin, o.challenge)
	if err != nil {
		o.fail(err)
		return
	}
	l := packet.Login{
		Capabilities: o.caps, MaxPacket: maxPacket, Collation: o.how.collation, User: []byte(o.user), AuthResponse: response,
		Database: []byte(o.how.database), Plugin: []byte(plugin), Attributes: o.attributes, ZstdLevel: byte(s.terms.ZstdLevel),
	}
	s.conn.Write(packet.AppendPacket(nil, s.loginSeq(), l.Append(nil, s.offers)))
}

// leg is what s is to a packet.Authenticator.
func (s safety) leg() packet.Leg {
	switch s {
	case local:
		return packet.LegLocal
	case encrypted:
		return packet.LegTLS
	case readable:
	}
	return packet.LegReadable
}

// dialogue takes what follows the login packet.
func (o *ownLogin) dialogue(p []byte) (used int) {
	s := o.s
	for !o.over {
		b := p[used:]
		if len(b) < packet.HeaderLen {
			return used
		}
		if packet.Packet(b).PayloadLen() > maxLogin || o.busy || o.auth == nil {
			o.fail(errUnexpected)
			break
		}
		pkt, _, ok := packet.Next(b)
		if !ok {
			return used
		}
		used += len(pkt)
		switch _, step := s.resp.Feed(pkt); {
		case step == packet.More:
			o.answer(pkt)
		case step != packet.Done:
			o.fail(errUnexpected)
		case s.resp.Failed():
			o.fail(refused(pkt.Payload()))
		default:
			o.admitted()
			if used < len(p) {
				s.conn.Pause() // what came behind is delivered again
				s.conn.Resume()
			}
			return used
		}
	}
	return len(p)
}

// answer answers a packet of the dialogue, on a goroutine if it is some work.
func (o *ownLogin) answer(pkt packet.Packet) {
	seq := pkt.Seq() + 1
	if !o.auth.Costly(pkt.Payload()) {
		o.says(seq)(o.auth.Answer(pkt.Payload()))
		return
	}
	payload := bytes.Clone(pkt.Payload())
	o.busy = true
	go func() {
		ciphers <- struct{}{}
		response, speaks, err := o.auth.Answer(payload)
		<-ciphers
		o.s.loop.Post(func() {
			if o.busy = false; o.over {
				o.secret.Clear()
				return
			}
			o.says(seq)(response, speaks, err)
		})
	}()
}

// says sends what the Authenticator has made.
func (o *ownLogin) says(seq byte) func([]byte, bool, error) {
	return func(response []byte, speaks bool, err error) {
		switch {
		case err != nil:
			o.fail(err)
		case speaks:
			o.s.conn.Write(packet.AppendPacket(nil, seq, response))
			clear(response)
		}
	}
}

// admitted: the backend has let the user in.
func (o *ownLogin) admitted() {
	s := o.s
	o.finish()
	s.own = nil
	o.c.opening = nil
	s.admitted(s.caps)
	o.then(s, nil)
}
