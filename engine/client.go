package engine

import (
	"errors"
	"time"

	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

// clientState is where a client session stands.
//
//	             tls
//	             ^ v
//	greeting --> login --> ready <--> busy <--> infile
//	    \__________\_________\_________\__________\___ closing --> closed
type clientState uint8

const (
	clientGreeting clientState = iota // accepted; a backend's greeting is awaited
	clientTLS                         // the TLS handshake is on
	clientLogin                       // greeting sent; the login dialogue is on
	clientReady                       // logged in, nothing outstanding
	clientBusy                        // at least one exchange outstanding
	clientInfile                      // the client sends the file of a LOAD DATA LOCAL
	clientClosing                     // what is left for the client is sent
	clientClosed
	clientStates // their number
)

func (s clientState) String() string {
	return [...]string{"greeting", "tls", "login", "ready", "busy", "infile", "closing", "closed"}[s]
}

// clientMoves has the states that may follow each.
var clientMoves = [clientStates]uint16{
	clientGreeting: 1<<clientLogin | 1<<clientClosing | 1<<clientClosed,
	clientTLS:      1<<clientLogin | 1<<clientClosing | 1<<clientClosed,
	clientLogin:    1<<clientTLS | 1<<clientReady | 1<<clientClosing | 1<<clientClosed,
	clientReady:    1<<clientBusy | 1<<clientClosing | 1<<clientClosed,
	clientBusy:     1<<clientReady | 1<<clientInfile | 1<<clientClosing | 1<<clientClosed,
	clientInfile:   1<<clientReady | 1<<clientBusy | 1<<clientClosing | 1<<clientClosed,
	clientClosing:  1 << clientClosed,
}

const (
	// maxLogin bounds what a client may send as its login packet, in bytes of
	// payload: 64 KiB of connection attributes and as much for the rest.
	maxLogin = 128 << 10
	// flushWithin is how long a client or server whose session has ended may
	// take nothing of what is left for it.
	flushWithin = 10 * time.Second
)

// maskedCapabilities are those of a backend that say nothing to its clients: TLS
// and compression are between the proxy and either side, and extended ones that
// the proxy does not know may change the shape of responses.
const maskedCapabilities = packet.CapSSL | packet.CapCompress | packet.CapZstd | unknownExtended

// unknownExtended are the bits above the last extended capability of MariaDB
// that packet.Response was made for.
const unknownExtended = ^(packet.CapMariaDBBulkUnitResults<<1 - 1)

// client is the session with a client. It belongs to its loop, as everything it
// points to.
type client struct {
	loop       *loop
	number     uint64  // of the session, for who asks the engine: counted from 1
	prev, next *client // in loop.clients
	conn       *reactor.Conn
	work       *work      // its loop's with sessions like this
	server     *server    // nil before a backend was taken and after it has gone
	opening    *server    // a second one that the proxy logs in on, see ownlogin.go
	sx         *scripted  // nil without a script
	sp         *splitting // nil if its reads stay with the one server
	id         *identity  // what the proxy owns of who it is logged in as, nil if nothing
	backend    *Backend   // the one that was taken last
	user       string     // of the login, or a later COM_CHANGE_USER that was read; "": not known
	remote     reactor.Addr
	state      clientState
	charset    packet.Lex    // of the login
	terms      *running      // by which it logs in
	req        packet.Cursor // where the client's stream stands

	anonymous anonymity // why it has no id, once it is logged in
	knowsSHA2 bool      // it answers caching_sha2_password,
	gives     bool      // and its password if it is asked

	tls       bool // it speaks TLS, or has asked to
	sentLogin bool // the login packet has passed
	spoke     bool // it has said something, in the middle of a response, since the server last did
	answered  bool // the command that is passing has a response
	held      bool // not read from: too many exchanges, or a command before the login's end
	quit      bool // COM_QUIT has passed
	unsafe    bool // a backend did not offer the TLS that it must
	tries     uint8
	seat      int32 // its place among those that wait for a primary, from 1; 0: it does not

	shown   packet.Capability  // of the greeting that the client saw
	auth    *auth              // the dialogue that is on, nil if none is
	packs   packet.Capability  // the compression that was agreed upon, 0 if none was
	level   int                // of that
	zip     *packet.Compressed // nil without compression
	fileSeq byte               // sequence id of the next packet of a file, if zip is there
	timer   reactor.Timer      // of whatever is awaited
	ticket  *ticket            // it waits for a session with a backend, see slots.go
	until   time.Duration      // when the wait for a primary ends, on the loop's clock; 0: it has not begun
	since   time.Duration      // on the loop's clock
	active  time.Duration      // when bytes came last, from either side

	commands, in, out uint64      // packets that are commands; bytes from and to the client
	doom              CloseReason // why it ends when its login packet has come and an ERR can be heard
	reason            CloseReason
	last              clientState // the state in which it ended
	cause             error
}

// accept is called for each new connection, on its loop.
func (l *loop) accept(conn *reactor.Conn, remote reactor.Addr) reactor.Handler {
	c := l.newClient(conn, remote)
	l.accepted++
	if l.engine.scripts != nil {
		c.sx = newScripted(c, l.engine.scripts)
	} else if c.terms.Split {
		c.sp = newSplitting(c)
	}
	if l.draining {
		c.end(ReasonShutdown, nil)
	} else {
		c.connect()
	}
	return c
}

func (l *loop) newClient(conn *reactor.Conn, remote reactor.Addr) *client {
	c := &client{loop: l, conn: conn, remote: remote, number: l.engine.sessions.Add(1), work: &l.work, terms: l.engine.cfg()}
	c.timer.Owner, c.timer.Conn = c, conn
	l.insert(c)
	l.Arm(&c.timer, c.terms.LoginTimeout)
	c.since, c.active = l.Now(), l.Now()
	return c
}

// enter is the only place that changes c.state.
func (c *client) enter(to clientState) {
	if c.state == to {
		return
	}
	if clientMoves[c.state]&(1<<to) == 0 {
		c.loop.engine.illegal("client", c.state.String(), to.String())
	}
	c.state = to
}

// connect takes a backend and starts a session with it.
func (c *client) connect() {
	e := c.loop.engine
	e.backends.wake(time.Now(), e.woken)
	if c.sx != nil {
		c.sx.connect()
		return
	}
	c.dial(e.backends.take())
}

// dial starts a session with b, which was taken for it; nil if none was left.
func (c *client) dial(b *Backend) {
	e := c.loop.engine
	if b == nil || int(c.tries) > 2*len(e.backends.all()) {
		if b != nil {
			b.release()
		}
		if !c.unsafe && c.seeks() {
			c.loop.Disarm(&c.timer)
			return
		}
		c.homeless()
		return
	}
	c.tries++
	c.backend = b
	if c.sx != nil { // how many there are is up to the script
		b.slots.force()
		c.server = newServer(c, b)
		return
	}
	waited := false
	c.await(b, nil, func(*server) {
		if waited {
			c.loop.Arm(&c.timer, e.cfg().LoginTimeout)
		}
		if waited && !(b.open() && e.backends.leads(b)) {
			b.slots.leave()
			b.release()
			c.connect()
			return
		}
		c.server = newServer(c, b)
	})
	if waited = c.ticket != nil; waited {
		c.loop.Arm(&c.timer, e.cfg().Pool.Wait)
	}
}

// greet shows the client the backend's greeting. p is the packet.
func (c *client) greet(p packet.Packet, shown packet.Capability) {
	c.shown, c.until = shown, 0
	c.enter(clientLogin)
	c.write(p)
	c.release() // it may have spoken first, which a server would take as well
}

// write sends p to the client.
func (c *client) write(p []byte) {
	c.out += uint64(len(p))
	c.work.out += uint64(len(p))
	c.conn.Write(p)
}

// hold stops reading from the client until release.
func (c *client) hold() {
	c.held = true
	c.conn.Pause()
}

func (c *client) release() {
	if c.held {
		c.held = false
		c.conn.Resume()
	}
}

// Opened is for connections that were dialled.
func (c *client) Opened(*reactor.Conn) {}

// Data takes what the client sends.
func (c *client) Data(_ *reactor.Conn, p []byte) (used int) {
	c.active = c.loop.Now()
	switch c.state {
	case clientGreeting:
		c.hold()
		return 0
	case clientLogin:
		used = c.login(p)
	case clientReady, clientBusy, clientInfile:
		switch {
		case c.sx != nil:
			used = c.sx.request(p)
		case c.sp != nil && c.server == nil:
			used = c.sp.wake(p)
		default:
			used = c.request(p)
		}
		if c.state >= clientClosing {
			return len(p)
		}
	case clientTLS, clientClosing, clientClosed:
		return len(p)
	}
	c.in += uint64(used)
	c.work.in += uint64(used)
	if c.loop.draining {
		c.drain() // no response may come that would
	}
	return used
}

// request takes commands, and what belongs to commands, to the server: all of p
// in one write, unless it ends in the first bytes of a command.
func (c *client) request(p []byte) (used int) {
	s := c.server
	n, sent := 0, 0
loop:
	for n < len(p) {
		if !c.req.Between() {
			n += c.req.Pass(len(p) - n)
			continue
		}
		b := p[n:]
		if len(b) < packet.HeaderLen {
			break
		}
		size := packet.Packet(b).PayloadLen()
		if c.zip != nil && c.state == clientInfile {
			c.renumber(b)
		}
		switch {
		case c.req.Continued():
			if c.answered && !s.queue.empty() {
				s.queue.last().seq = b[3]
			}
		case c.state == clientInfile:
			c.spoke = true
			if size == 0 {
				c.uploaded()
			}
		case c.auth != nil:
			k := c.changeUserSays(b)
			if n += k; k == 0 || c.state >= clientClosing {
				return n
			}
			sent = n
			continue
		case s.dialogue && (s.queue.last().Command.Streams() || s.converses(b[3])):
			c.spoke = true // a replica's word to a stream, or plugin data of a COM_CHANGE_USER
		case s.dialogue:
			c.hold() // a command that does not wait for the end of the dialogue
			break loop
		default:
			q, ok := packet.Expect(b[packet.HeaderLen:], size)
			if !ok {
				break loop
			}
			if c.answered = q.Command.HasResponse(); c.answered && s.queue.full() {
				c.hold()
				break loop
			}
			if q.Command == packet.ComChangeUser && c.translates(s) && !c.changeable(b) {
				break loop
			}
			if c.sp != nil {
				to, made := c.sp.choose(b, size, q)
				if made == replaced {
					s.conn.Write(p[sent:n])
					c.replace(to, exchange{Request: q, seq: b[3], writes: c.sp.writing, counted: c.digests(to, q, b[packet.HeaderLen:], size)})
					c.req.Open(b)
					n += packet.HeaderLen + c.req.Pass(size)
					sent, s = n, to
					continue
				}
				if made != chosen {
					break loop
				}
				if to != s {
					s.conn.Write(p[sent:n])
					sent, s = n, to
				}
			}
			d := c.digests(s, q, b[packet.HeaderLen:], size)
			if c.answered {
				if q.Command == packet.ComChangeUser && c.translates(s) {
					s.conn.Write(p[sent:n])
					k := c.changeUser(b, q)
					if n += k; k == 0 || c.state >= clientClosing {
						return n
					}
					sent = n
					continue
				}
				s.expect(exchange{Request: q, seq: b[3], writes: c.sp != nil && c.sp.writing, counted: d})
			} else if q.Command == packet.ComQuit {
				c.quit = true
			}
			c.sends(s)
			if s.zip != nil {
				s.conn.Write(p[sent:n])
				sent = n
				s.begin()
			}
		}
		c.req.Open(b)
		n += packet.HeaderLen
	}
	s.conn.Write(p[sent:n])
	s.counts(!c.req.Whole())
	return n
}

// replace sends s what the session that splits has made of a command.
func (c *client) replace(s *server, x exchange) {
	if len(c.loop.packed) == 0 {
		c.keeps()
		return
	}
	c.sends(s)
	if c.answered {
		s.expect(x)
	}
	s.command(c.loop.packed)
}

// uploaded ends a LOAD DATA LOCAL's file. The server may have answered already.
func (c *client) uploaded() {
	if c.server.queue.empty() {
		c.enter(clientReady)
	} else {
		c.enter(clientBusy)
	}
}

// EOF: the client has closed, or at least sends no more, which for a client of
// MySQL is the same.
func (c *client) EOF(*reactor.Conn) {
	if c.quit {
		c.end(ReasonClientQuit, nil)
	} else {
		c.end(ReasonClientClosed, nil)
	}
}

// HungUp: the client has gone while it was not read from. Nobody is left to
// take responses.
func (c *client) HungUp(conn *reactor.Conn) { conn.Close(errHungUp) }

var errHungUp = errors.New("connection reset by peer")

// Closed is the end of the client's socket.
func (c *client) Closed(_ *reactor.Conn, err error) {
	switch {
	case c.quit:
		c.end(ReasonClientQuit, err)
	case errors.Is(err, reactor.ErrPanic):
		c.end(ReasonInternal, err)
	default:
		c.end(ReasonClientLost, err)
	}
	c.enter(clientClosed)
	c.finish()
}

// Expired looks whether something has been awaited for too long.
func (c *client) Expired(*reactor.Timer) {
	cfg := c.loop.engine.cfg()
	now := c.loop.Now()
	next := cfg.WriteTimeout / 4
	switch c.state {
	case clientGreeting:
		if c.ticket != nil {
			c.end(ReasonPoolWait, nil)
			return
		}
		c.server.backend.fail(c.loop.engine, errNoGreeting)
		c.end(ReasonServerSilent, nil)
		return
	case clientTLS, clientLogin:
		if c.state == clientLogin && c.server != nil && c.server.state == serverTLS {
			c.end(ReasonServerHandshake, reactor.ErrTimeout)
			return
		}
		c.end(ReasonLoginTimeout, nil)
		return
	case clientReady, clientBusy, clientInfile:
		if c.server == nil { // a script's
			if now-c.active >= cfg.ReadTimeout {
				c.end(ReasonClientIdle, nil)
				return
			}
			break
		}
		quiet := now - c.active
		switch {
		case c.conn.Stalled() >= cfg.WriteTimeout && c.conn.Waiting() > 0:
			c.end(ReasonClientTooSlow, nil)
			return
		case c.server.conn.Stalled() >= cfg.WriteTimeout && c.server.conn.Waiting() > 0:
			c.end(ReasonServerTooSlow, nil)
			return
		case c.conn.Waiting() > 0 || c.server.conn.Waiting() > 0:
			// One is slow, not silent: the write time-out is for that.
		case quiet < cfg.ReadTimeout:
			next = min(next, cfg.ReadTimeout-quiet)
		case c.server.dialogue && c.server.queue.last().Command.Streams():
			// A stream may be silent for as long as its two ends agree on.
		case c.state == clientBusy && c.req.Whole():
			c.end(ReasonServerTimeout, nil)
			return
		default:
			c.end(ReasonClientIdle, nil)
			return
		}
	case clientClosing, clientClosed:
		return
	}
	c.loop.Arm(&c.timer, max(next, time.Second))
}

// idle tells whether the session can be ended without taking anything from the
// client.
func (c *client) idle() bool {
	return c.state == clientReady && c.req.Whole() && (c.server == nil || !c.server.inTransaction()) // a splitting one's is home
}

// drain ends the session if it is idle, or not yet in use, because the proxy
// stops.
func (c *client) drain() {
	if c.idle() || c.state <= clientLogin {
		c.end(ReasonShutdown, nil)
	}
}

// end is the one door through which a session ends. The client is told by an
// ERR if the reason has one and the protocol a place for it.
func (c *client) end(r CloseReason, cause error) {
	if c.state >= clientClosing {
		return
	}
	c.reason, c.cause, c.last = r, cause, c.state
	c.unseat()
	if r.tells() {
		if seq, ok := c.errSeq(r); ok {
			c.write(r.appendERR(nil, seq, c.state != clientGreeting))
		}
	}
	if c.sx != nil {
		c.sx.disconnect()
	}
	if c.auth != nil {
		clear(c.auth.password)
		c.auth.own.unsee()
	}
	c.known(-1)
	c.anonymous = anonNone
	c.forget()
	c.unwait()
	if c.sp != nil {
		c.sp.end()
	}
	c.loop.Disarm(&c.timer)
	c.enter(clientClosing)
	c.release()
	if r == ReasonClientTooSlow {
		c.conn.Close(nil)
	} else {
		within := flushWithin
		if c.loop.draining {
			within = time.Second // who stops the proxy does not wait longer
		}
		c.conn.CloseAfterFlush(within, true)
	}
	if c.server != nil {
		c.server.end(r)
	}
	if c.opening != nil {
		c.opening.own.fail(errAbandoned)
	}
}

// errSeq is the sequence id that an ERR for r must have now; ok is false if
// none can stand here.
func (c *client) errSeq(r CloseReason) (seq byte, ok bool) {
	if c.state == clientBusy && c.auth != nil { // a COM_CHANGE_USER with ids of its own on either side
		return c.auth.client + 1, true
	}
	if c.sx != nil && c.sx.cmd.running {
		return c.sx.errSeq()
	}
	switch c.state {
	case clientGreeting:
		return 0, true
	case clientTLS:
		return 0, false
	case clientLogin:
		seq := c.req.Seq()
		if c.auth != nil && c.auth.client > 0 {
			seq = c.auth.client
		} else if c.tls {
			return 0, false // after an SSL request comes a login
		}
		return seq + 1, c.sentLogin || seq > 0 // one that has sent nothing does not listen
	case clientReady:
		// Servers say goodbye to a session in the middle of a transaction, and
		// to one that they will not hear any more, by an ERR nobody asked for.
		if c.sp != nil && c.held && c.sp.wish != wishNone {
			return 1, true // to the command that waits
		}
		return 0, r == ReasonShutdownForced || r == ReasonMaintenance || r == ReasonAdminKill
	case clientInfile:
		// The client listens once it has sent its file. Where the server has
		// answered already it has heard all that it wants to.
		switch s := c.server; {
		case s == nil || s.queue.empty() || !s.resp.Whole():
			return 0, false
		case c.req.Seq() == s.queue.first().seq: // nothing of the file has come
			return s.resp.Seq() + 1, true
		}
		return c.req.Seq() + 1, true
	case clientBusy:
		s := c.server
		switch {
		case s == nil || !s.resp.Whole() || s.resp.Streaming():
			return 0, false
		case s.replied():
			return c.req.Seq() + 1, c.req.Whole()
		case s.resp.Begun():
			return s.resp.Seq() + 1, true
		}
		return s.queue.first().seq + 1, true
	}
	return 0, false
}

// finish forgets the session when both its halves are closed.
func (c *client) finish() {
	if c.state != clientClosed || c.server != nil || c.opening != nil {
		return
	}
	c.loop.Disarm(&c.timer)
	c.loop.ended(c)
}
