package engine

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"mysqlproxy/engine/hook"
	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

// serverState is where the session with a backend stands.
//
//	                                    idle (in its pool)
//	                                     ^
//	                                     v
//	dialing --> greeting --> login <--> ready <--> busy
//	     \          \        ^ v         \         \
//	      \          \       tls          \         \
//	       \__________\________\___________\_________\___ closing --> closed
type serverState uint8

const (
	serverDialing  serverState = iota // the connect is on its way
	serverGreeting                    // connected; the greeting is awaited
	serverTLS                         // the TLS handshake is on
	serverLogin                       // greeted; the login dialogue is on
	serverReady                       // logged in, nothing outstanding
	serverBusy                        // at least one exchange outstanding
	serverIdle                        // in its pool, without a client
	serverClosing                     // what is left for the server is sent
	serverClosed
	serverStates // their number
)

func (s serverState) String() string {
	return [...]string{"dialing", "greeting", "tls", "login", "ready", "busy", "idle", "closing", "closed"}[s]
}

// serverMoves has the states that may follow each.
var serverMoves = [serverStates]uint16{
	serverDialing:  1<<serverGreeting | 1<<serverClosing | 1<<serverClosed,
	serverGreeting: 1<<serverLogin | 1<<serverClosing | 1<<serverClosed,
	serverTLS:      1<<serverLogin | 1<<serverClosing | 1<<serverClosed,
	serverLogin:    1<<serverTLS | 1<<serverReady | 1<<serverClosing | 1<<serverClosed,
	serverReady:    1<<serverBusy | 1<<serverIdle | 1<<serverLogin | 1<<serverClosing | 1<<serverClosed,
	serverBusy:     1<<serverReady | 1<<serverClosing | 1<<serverClosed,
	serverIdle:     1<<serverReady | 1<<serverClosing | 1<<serverClosed,
	serverClosing:  1 << serverClosed,
}

// maxGreeting bounds a server's first packet, in bytes of payload. The longest
// that servers send is far below.
const maxGreeting = 4 << 10

// server is the session with a backend, for one client. It belongs to its loop.
type server struct {
	loop    *loop
	client  *client // nil while it is idle
	conn    *reactor.Conn
	backend *Backend
	queue   exchanges
	resp    packet.Response
	terms   *running           // by which it logs in
	own     *ownLogin          // set while the proxy itself logs in on it
	caps    packet.Capability  // in force between client and server
	offers  packet.Capability  // of its greeting, as it came
	shown   packet.Capability  // of its greeting, as clients are shown it
	zip     *packet.Compressed // nil without compression
	state   serverState

	stmts  map[uint32]digestRef // with digests and without splitting: of prepared statements, by their ids
	latest digestRef            // of the one that was prepared last
	sent   time.Duration        // when a command was that is counted, on the loop's clock

	// dialogue is set while the last exchange is one to which the client sends
	// packets that are no commands.
	dialogue bool

	work *traffic // its loop's with its backend

	// Of a scripted session.
	moved     bool           // its database may be another than who says: there was a USE
	collation byte           // the server's own, of its greeting
	stale     bool           // it was another client's, and has that client's state
	renews    bool           // it has taken a COM_RESET_CONNECTION
	skip      uint8          // responses outstanding to what the proxy itself has sent
	reserved  bool           // idle, but only for its owner: it is not clean
	tainted   bool           // it cannot be told any more whose it is: not for the pool
	reads     bool           // it is the reader of a session that splits
	thread    uint32         // its connection id at the backend
	born      time.Duration  // when it was logged in, on the loop's clock
	mark      mark           // idle: of the secret that it was opened with
	since     time.Duration  // idle: since when, on the loop's clock
	owner     uint64         // the session that had it last
	who       login          // as whom it is logged in
	half      *hook.Endpoint // what scripts see of it
	greeted   packet.Packet  // its greeting, as it was shown
}

// newServer starts to connect to b, which was taken for c, and whose slots count
// the session.
func newServer(c *client, b *Backend) *server {
	s := &server{loop: c.loop, client: c, backend: b, terms: c.terms}
	s.conn = c.loop.Dial(b.Addr, c.loop.engine.cfg().ConnectTimeout, s)
	s.meets()
	reactor.Link(c.conn, s.conn)
	return s
}

// enter is the only place that changes s.state.
func (s *server) enter(to serverState) {
	if s.state == to {
		return
	}
	if serverMoves[s.state]&(1<<to) == 0 {
		s.loop.engine.illegal("server", s.state.String(), to.String())
	}
	s.state = to
}

// inTransaction tells what the server said last.
func (s *server) inTransaction() bool {
	return s.resp.Status()&(packet.StatusInTrans|packet.StatusInTransReadonly) != 0
}

// Opened: the backend has taken the connection.
func (s *server) Opened(*reactor.Conn) {
	s.enter(serverGreeting)
	if s.backend.reached() {
		s.loop.engine.turned()
	}
	if s.own != nil {
		s.own.opened()
	}
}

// Data takes what the server sends.
func (s *server) Data(_ *reactor.Conn, p []byte) (used int) {
	if s.own != nil {
		return s.own.data(p)
	}
	c := s.client
	switch s.state {
	case serverGreeting:
		c.active = c.loop.Now()
		return s.greeting(p)
	case serverLogin:
		c.active = c.loop.Now()
		if used = s.loginData(p); c.state >= clientClosing {
			return len(p)
		}
		if used < len(p) && s.state != serverLogin {
			s.conn.Pause() // what came behind the login is delivered again
			s.conn.Resume()
		}
		if c.loop.draining {
			c.drain()
		}
		return used
	case serverReady, serverBusy:
		c.active = c.loop.Now()
		if c.sx != nil {
			return c.sx.data(s, p)
		}
		if c.sp != nil && (c.auth == nil || s.reads) {
			return c.sp.data(s, p)
		}
		if c.auth != nil {
			if used = s.changeUserData(p); c.loop.draining {
				c.drain()
			}
			return used
		}
	case serverIdle:
		s.idleEnded()
		return len(p)
	case serverDialing, serverTLS, serverClosing, serverClosed:
		return len(p)
	}
	n, sent := 0, 0
	end := reasonNone
loop:
	for n < len(p) {
		if s.state == serverReady {
			n, end = s.unasked(p, n)
			break
		}
		b := p[n:]
		if s.zip != nil {
			b = s.number(b)
		}
		if s.prepares() && !s.preparedAs(b) {
			break
		}
		k, step := s.resp.Feed(b)
		n += k
		if k > 0 {
			c.spoke = false
		}
		switch step {
		case packet.More:
			if s.zip != nil && k > 0 && n < len(p) {
				continue // b was one packet
			}
			break loop
		case packet.ClientTurn:
			c.asked()
		case packet.Done:
			s.done()
			if c.zip != nil && !s.queue.empty() {
				c.write(p[sent:n])
				sent = n
				c.counts(false)
				c.zip.Answer(1) // commands that were sent at once: each began a sequence
			}
		case packet.Malformed:
			end = ReasonServerProtocol
			break loop
		}
	}
	if n > sent {
		c.write(p[sent:n])
	}
	c.counts(c.state == clientBusy && s.resp.Begun() && !s.dialogue)
	switch {
	case end != reasonNone:
		c.end(end, nil)
		return len(p)
	case c.held && !s.queue.full() && !s.dialogue && s.state >= serverReady:
		c.release()
	}
	if c.loop.draining {
		c.drain()
	}
	return n
}

// greeting takes the server's first packet.
func (s *server) greeting(p []byte) (used int) {
	c := s.client
	if len(p) < packet.HeaderLen {
		return 0
	}
	if n := packet.Packet(p).PayloadLen(); n > maxGreeting || n == 0 {
		c.end(ReasonServerProtocol, nil)
		return len(p)
	}
	pkt, rest, ok := packet.Next(p)
	if !ok {
		return 0
	}
	if pkt.Payload()[0] == 0xff { // too many connections, host not allowed and the like
		if c.sentLogin && c.sx != nil {
			pkt[3] = c.auth.client + 1
		}
		c.write(pkt)
		c.end(ReasonServerRefused, nil)
		return len(p)
	}
	g, err := packet.ParseGreeting(pkt.Payload())
	s.offers = g.Capabilities
	n := len(pkt)
	if err == nil {
		pkt, g, err = s.edited(c, pkt)
	}
	if err != nil || len(rest) > 0 {
		c.end(ReasonServerProtocol, err)
		return len(p)
	}
	s.shown, s.collation, s.thread = g.Capabilities, g.Collation, g.ThreadID
	if s.terms.BackendTLS == TLSRequire && !s.safe() && s.offers&packet.CapSSL == 0 {
		if c.state == clientGreeting && len(s.loop.engine.backends.all()) > 1 { // another may have it, and this one must not draw all clients
			c.unsafe = true
			s.conn.Close(errNoTLS)
		} else {
			c.end(ReasonServerNoTLS, nil)
		}
		return len(p)
	}
	s.enter(serverLogin)
	s.resp.BeginLogin()
	if c.auth == nil {
		c.auth = new(auth)
	}
	if !c.sentLogin {
		c.auth.begin(g.Plugin, g.Challenge[:g.ChallengeSize])
	}
	if c.sx != nil {
		c.sx.greeted(s, pkt, &g)
	} else {
		c.greet(pkt, g.Capabilities)
	}
	return n
}

// edited is pkt, a backend's greeting, as c is shown it. pkt itself may be changed
// for that.
func (s *server) edited(c *client, pkt packet.Packet) (packet.Packet, packet.Greeting, error) {
	err := packet.EditGreeting(pkt.Payload(), s.terms.masked, s.terms.added)
	if err != nil {
		return pkt, packet.Greeting{}, err
	}
	g, err := packet.ParseGreeting(pkt.Payload())
	if err == nil && c.relays() && g.Capabilities.Has(packet.CapPluginAuth|packet.CapSecureConnection) {
		g.Plugin = []byte(packet.PluginCachingSHA2)
		pkt = packet.AppendPacket(nil, 0, g.Append(nil))
	}
	return pkt, g, err
}

// expect is told of a command that is being sent.
func (s *server) expect(x exchange) {
	s.queue.push(x)
	s.dialogue = x.Command == packet.ComChangeUser || x.Command.Streams()
	if x.Command == packet.ComChangeUser {
		s.tainted = true
		s.client.user = "" // until the new one is known
	}
	if s.state == serverReady {
		s.resp.Begin(x.Request)
		s.enter(serverBusy)
		s.client.enter(clientBusy)
	}
}

// converses tells whether a packet of the client's that has this sequence id
// belongs to the authentication dialogue that is on. A command starts at 0, and
// so does what responds to the server's packet 255.
func (s *server) converses(seq byte) bool {
	return seq != 0 || s.queue.n <= 1 && s.resp.Begun() && s.resp.Seq() == 255
}

// replied tells whether the client has had the last word in an authentication
// dialogue.
func (s *server) replied() bool { return s.dialogue && s.client.spoke && !s.resp.Streaming() }

// done is called when a response has passed.
func (s *server) done() {
	c := s.client
	var was outcome
	if c.sp != nil {
		was = s.outcome()
	}
	if x := s.queue.first(); x.digest != 0 {
		s.digested(x)
	}
	s.queue.pop()
	if !s.queue.empty() {
		s.resp.Begin(s.queue.first().Request)
	} else {
		s.dialogue = false
		s.enter(serverReady)
		if c.state == clientBusy { // not while it uploads a file that is not wanted any more
			c.enter(clientReady)
		}
	}
	if c.sp != nil {
		c.sp.done(s, was)
	}
}

// unasked takes p[n:], which came while nothing was outstanding. A server says
// goodbye like that; anything else would be taken for the response to the next
// command, so the session cannot go on.
func (s *server) unasked(p []byte, n int) (used int, end CloseReason) {
	if len(p)-n < packet.HeaderLen {
		return n, reasonNone
	}
	if packet.Packet(p[n:]).PayloadLen() > maxGreeting {
		return n, ReasonServerProtocol
	}
	pkt, _, ok := packet.Next(p[n:])
	switch {
	case !ok:
		return n, reasonNone
	case len(pkt.Payload()) > 0 && pkt.Payload()[0] == 0xff:
		return n + len(pkt), ReasonServerGoodbye
	}
	return n, ReasonServerProtocol
}

// EOF: the server has closed.
func (s *server) EOF(*reactor.Conn) {
	c := s.client
	s.tainted = true
	if s.state > serverGreeting && s.state < serverClosing {
		s.backend.suspect()
	}
	switch {
	case s.own != nil:
		s.own.eof()
	case s.state == serverIdle:
		s.idleEnded()
	case s.state >= serverClosing:
	case s.reads:
		c.sp.readerEnded(s)
	case c.sp != nil && c.sp.home == s && (c.sp.orphaned(s) || c.sp.unrestored(s)):
		s.enter(serverClosing)
		s.conn.Close(nil)
	case s.state == serverGreeting:
		s.conn.Close(errNoGreeting)
	case s.state == serverReady && c.quit:
		c.end(ReasonClientQuit, nil)
	case s.state == serverReady || s.resp.Streaming():
		c.end(ReasonServerClosed, nil)
	default:
		c.end(ReasonServerLost, nil)
	}
}

var errNoTLS = errors.New("it does not offer TLS, which --backend-tls requires")

var errNoGreeting = errors.New("it took the connection and sent no greeting")

// HungUp: the server has gone while it was not read from, because the client is
// slow. What it had sent is still read when the client has room for it.
func (s *server) HungUp(*reactor.Conn) {}

// Closed is the end of the server's socket.
func (s *server) Closed(_ *reactor.Conn, err error) {
	c := s.client
	was := s.state
	if was == serverIdle {
		s.loop.pool(s.backend).drop(s)
	}
	s.enter(serverClosed)
	s.work.servers--
	s.backend.slots.leave()
	if was > serverGreeting && was < serverClosing {
		s.backend.suspect()
	}
	if s.own != nil {
		s.own.closed(was, err)
		return
	}
	if c == nil {
		return
	}
	s.backend.release()
	if s.reads {
		c.sp.readerEnded(s)
		return
	}
	if c.sp != nil && (s != c.server && c.sp.home != s || was >= serverReady && was < serverClosing && c.sp.home == s && (c.sp.orphaned(s) || c.sp.unrestored(s))) {
		c.finish()
		return
	}
	switch {
	case c.state >= clientClosing, c.doom != reasonNone:
	case errors.Is(err, reactor.ErrPanic):
		c.end(ReasonInternal, err)
	case was == serverReady && c.quit: // some servers reset after a COM_QUIT
		c.end(ReasonClientQuit, nil)
	case was > serverGreeting:
		c.end(ReasonServerLost, err)
	case exhausted(err):
		c.end(ReasonExhausted, err)
	default:
		s.backend.fail(c.loop.engine, err)
		c.server = nil
		c.connect() // to the next one, if there is one
		c.finish()
		return
	}
	if c.server == s { // a script may have taken another at the session's end
		c.server = nil
	}
	c.finish()
}

// exhausted tells whether err is for want of something on this machine, which
// says nothing about the backend.
func exhausted(err error) bool {
	for _, e := range []unix.Errno{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EADDRNOTAVAIL} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// end closes the server's side of a session that ends for r.
func (s *server) end(r CloseReason) {
	if s.state >= serverClosing {
		return
	}
	s.enter(serverClosing)
	if s.conn.Waiting() > 0 && reasonTable[r].fault == FaultNobody && r != ReasonAdminKill {
		// Commands of a client that has gone without waiting for responses
		// are carried out all the same, as they would be by a server.
		s.conn.CloseAfterFlush(flushWithin, false)
		return
	}
	s.conn.Close(nil)
}
