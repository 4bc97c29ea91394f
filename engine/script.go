package engine

import (
	"bytes"
	"strconv"

	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// This file is a session's life with a script up to the command phase; commands
// are in inject.go. A session without a script has nothing of this and passes
// by it with one comparison.

// classicOnly are capabilities that a scripted session does without, so that
// the script sees the packets that MySQL Proxy's scripts were written for, and
// a response of one server session means the same as another's.
const classicOnly = packet.CapDeprecateEOF | packet.CapOptionalMetadata | packet.CapQueryAttributes | packet.CapSessionTrack |
	packet.CapMultiFactor | packet.CapMariaDBProgress | packet.CapMariaDBMulti | packet.CapMariaDBBulk |
	packet.CapMariaDBExtendedMetadata | packet.CapMariaDBCacheMetadata | packet.CapMariaDBBulkUnitResults

// loginKind is what a client's login packet is for.
type loginKind uint8

const (
	loginFresh  loginKind = iota // a server session that was opened for it: passed through
	loginPooled                  // a pooled one: it becomes a COM_CHANGE_USER
	loginAgain                   // a pooled one did not fit; a new one asks the client once more
	loginMock                    // none: the script is the server
	loginAdmin                   // none: the admin port's own
)

// scripted is what a client session has beside because there is a script. It is
// the script's hook.Session.
type scripted struct {
	c      *client
	script hook.Script
	id     uint64 // tells whether a server session was lent to another session in between
	queue  hook.Queue
	half   hook.Endpoint // the client's
	chosen int           // what backend_ndx reads
	who    login         // of the login packet
	raw    []byte        // the login packet, then a command that is being collected

	kind     loginKind
	shift    byte // the client's sequence ids less the server's
	vouched  bool // a server has let this client in as who
	noted    bool // DisconnectClient was called
	awaiting bool // loginAgain: the client's answer makes the login packet
	closing  bool // connection_close

	cmd command
}

func newScripted(c *client, scripts hook.Scripts) *scripted {
	x := &scripted{c: c, id: c.loop.engine.sessions.Add(1)}
	x.half.Src = hookAddr(c.remote)
	x.half.Dst = hookAddr(c.conn.LocalAddr())
	x.script = scripts.Open(x)
	return x
}

// has tells whether the script defines h. Who asks is about to call it.
func (x *scripted) has(h hook.Set) bool {
	x.c.loop.asking = x
	return x.script.Hooks()&h != 0
}

// hook.Session

func (x *scripted) Loop() int                 { return x.c.loop.number }
func (x *scripted) Queue() *hook.Queue        { return &x.queue }
func (x *scripted) Backend() int              { return x.chosen }
func (x *scripted) Client() *hook.Endpoint    { return &x.half }
func (x *scripted) CloseAfterResult(yes bool) { x.closing = yes }

func (x *scripted) Server() *hook.Endpoint {
	if s := x.c.server; s != nil && s.state > serverDialing {
		return s.half
	}
	return nil
}

// SetBackend gives the server session away, or takes an idle one in its place.
func (x *scripted) SetBackend(n int) {
	c := x.c
	if n <= 0 {
		if c.server != nil {
			x.chosen = 0
			x.part()
		}
		return
	}
	if t := x.idle(n); t != nil {
		if c.server != nil {
			x.part()
		}
		t.lend(c)
	}
	x.chosen = n
}

// part lets go of the server session.
func (x *scripted) part() {
	s := x.c.server
	x.c.server = nil
	s.park()
}

// idle takes an idle session of the n-th backend that this client may have:
// before its login any, for COM_CHANGE_USER will say who it is; then only one of
// the user that a server has let it in as.
func (x *scripted) idle(n int) *server {
	c := x.c
	list := c.loop.engine.backends.list
	if n > len(list) || c.state >= clientClosing {
		return nil
	}
	b := list[n-1]
	switch {
	case c.state == clientGreeting:
		return c.loop.pool(b).takeAny(int(b.minIdle.Load()))
	case x.vouched:
		return c.loop.pool(b).take(x)
	}
	return nil
}

// connect asks the script for a backend and takes one.
func (x *scripted) connect() {
	c := x.c
	e := c.loop.engine
	if c.state != clientGreeting { // the one that loginAgain needs is not to be had
		c.end(ReasonNoBackend, nil)
		return
	}
	x.chosen, x.kind = 0, loginFresh
	var v hook.Verdict
	if x.has(hook.ConnectServer) {
		v = x.script.ConnectServer()
	}
	if v.Action == hook.SendResult {
		if c.server != nil {
			x.part()
		}
		x.mock(v.Response)
		return
	}
	if s := c.server; s != nil {
		if v.Action == hook.IgnoreResult {
			x.replay(s)
			return
		}
		x.part()
	}
	var b *Backend
	switch n := x.chosen; {
	case n > len(e.backends.list):
	case n > 0 && e.backends.list[n-1].State() != BackendDown:
		b = e.backends.list[n-1]
		b.clients.Add(1)
	default:
		if b = e.backends.take(); b != nil {
			x.chosen = b.index + 1
		}
	}
	c.dial(b)
}

// mock has the script play the server: response is its greeting, or what it
// says instead.
func (x *scripted) mock(response [][]byte) {
	c := x.c
	if len(response) == 0 || len(response[0]) == 0 {
		c.end(ReasonScript, nil)
		return
	}
	if first := response[0]; first[0] == 10 {
		err := packet.MaskGreeting(first, c.loop.engine.masked)
		g, err2 := packet.ParseGreeting(first)
		if err == nil && err2 == nil {
			x.kind = loginMock
			remember(&x.half, &g)
			c.greet(appendPackets(nil, 0, response), g.Capabilities)
			return
		}
	}
	c.write(appendPackets(nil, 0, response))
	c.end(ReasonScript, nil)
}

// replay shows the client the greeting of a pooled session.
func (x *scripted) replay(s *server) {
	x.kind = loginPooled
	x.greeting(s.half)
	x.c.greet(s.greeted, s.shown)
}

// greeting has the client's half know what the client is shown.
func (x *scripted) greeting(s *hook.Endpoint) {
	x.half.Greeted, x.half.Version, x.half.ThreadID, x.half.Challenge = true, s.Version, s.ThreadID, s.Challenge
	x.half.AuthPlugin = s.AuthPlugin
}

// greeted takes the greeting of a server session that was opened for the client.
func (x *scripted) greeted(s *server, pkt packet.Packet, g *packet.Greeting) {
	c := x.c
	s.greeted, s.shown = bytes.Clone(pkt), g.Capabilities
	s.half = &hook.Endpoint{Src: hookAddr(s.conn.LocalAddr()), Dst: hookAddr(s.backend.Addr)}
	remember(s.half, g)
	if x.kind == loginAgain {
		x.ask(s, g)
		return
	}
	x.greeting(s.half)
	if x.has(hook.ReadHandshake) {
		if v := x.script.ReadHandshake(); v.Action == hook.SendResult {
			c.write(appendPackets(nil, 0, v.Response))
			c.end(ReasonScript, nil)
			return
		}
		if c.server != s { // the script let go of it
			c.end(ReasonNoBackend, nil)
			return
		}
	}
	c.greet(pkt, g.Capabilities)
}

// remember fills h from a greeting.
func remember(h *hook.Endpoint, g *packet.Greeting) {
	h.Greeted = true
	h.Version = versionNumber(g.Version)
	h.ThreadID = g.ThreadID
	h.Challenge = bytes.Clone(g.Challenge[:g.ChallengeSize])
	if g.Capabilities&packet.CapPluginAuth != 0 {
		h.Challenge = append(h.Challenge, 0)
	}
	h.AuthPlugin = string(g.Plugin)
}

// versionNumber is 50144 for "5.1.44-log", as far as there are numbers.
func versionNumber(v []byte) uint32 {
	var parts [3]uint64
	for i := range parts {
		n := 0
		for n < len(v) && v[n] >= '0' && v[n] <= '9' {
			n++
		}
		parts[i], _ = strconv.ParseUint(string(v[:min(n, 4)]), 10, 32)
		if v = v[n:]; len(v) == 0 || v[0] != '.' {
			break
		}
		v = v[1:]
	}
	return uint32(parts[0]*10000 + parts[1]*100 + parts[2])
}

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
		if c.sentLogin && pkt.Seq() == 0 { // a command that does not wait for the login's end
			c.hold()
			return used
		}
		used += len(pkt)
		c.req.Open(pkt)
		c.req.Pass(len(pkt))
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
			pkt[3] -= x.shift
			c.server.conn.Write(pkt)
		}
	}
	if c.state >= clientClosing {
		return len(p)
	}
	return used
}

// enroll decides what becomes of the login packet.
func (x *scripted) enroll(pkt packet.Packet, in packet.Login) {
	c := x.c
	x.who = login{
		user: string(in.User), response: bytes.Clone(in.AuthResponse), database: string(in.Database), collation: in.Collation,
		caps: packet.Effective(c.shown, in.Capabilities&^c.loop.engine.masked),
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
			x.sendLogin(s, []byte(in.Query))
			return
		}
	}
	switch x.kind {
	case loginMock:
		x.ok()
		x.letIn()
	case loginFresh:
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
	refused := false
	for _, p := range response {
		refused = refused || len(p) > 0 && p[0] == 0xff
	}
	c.write(appendPackets(nil, c.req.Seq()+1, response))
	if c.server != nil {
		x.part()
	}
	if refused {
		c.end(ReasonLoginRefused, nil)
		return
	}
	x.letIn()
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
	case !s.fits(x.who.caps):
		x.loginAgain(s, pkt)
	case c.loop.engine.cfg.PoolNoChangeUser:
		if s.who.user != x.who.user || len(s.who.response) == 0 != (len(x.who.response) == 0) || !bytes.Equal(s.who.response, x.who.response) {
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
		plugin = []byte("mysql_native_password")
	}
	a := packet.AuthSwitch{Plugin: plugin, Data: g.Challenge[:g.ChallengeSize]}
	x.awaiting = true
	c.write(packet.AppendPacket(nil, c.req.Seq()+1, a.Append(nil)))
	c.release()
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
		if done && !s.resp.Failed() {
			s.resp.SetCapabilities(s.caps)
			s.who = x.who
			s.owner, s.stale = x.id, false
			s.half.LoggedIn, s.half.Username, s.half.AuthResponse, s.half.DefaultDB = true, x.who.user, x.who.response, x.who.database
			s.half.AuthPlugin = x.half.AuthPlugin
			s.enter(serverReady)
			x.vouched = true
		}
		var v hook.Verdict
		if x.has(hook.ReadAuthResult) {
			v = x.script.ReadAuthResult(pkt.Payload())
		}
		if v.Action == hook.SendResult {
			c.write(appendPackets(nil, pkt.Seq()+x.shift, v.Response))
		} else {
			pkt[3] += x.shift
			c.write(pkt)
		}
		switch {
		case done && s.resp.Failed():
			c.end(ReasonLoginRefused, nil)
			return len(p)
		case done:
			x.shift = 0
			x.letIn()
			return used
		case step == packet.Malformed:
			c.end(ReasonServerProtocol, nil)
			return len(p)
		}
	}
}

// data takes what the server of a scripted session sends once it has greeted.
func (x *scripted) data(s *server, p []byte) (used int) {
	c := x.c
	if s.state == serverLogin {
		used = x.loginData(s, p)
		if c.state >= clientClosing {
			return len(p)
		}
		if s.state == serverLogin {
			return used
		}
	}
	if used < len(p) {
		used += x.response(s, p[used:])
	}
	if c.loop.draining {
		c.drain()
	}
	return used
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
	c.release()
}

// disconnect tells the script that the session ends. What it gives back now is
// kept if it is in order.
func (x *scripted) disconnect() {
	if x.noted {
		return
	}
	x.noted = true
	if x.has(hook.DisconnectClient) && x.kind != loginAdmin {
		x.script.DisconnectClient()
	}
	for i := range x.c.loop.pools {
		for _, s := range x.c.loop.pools[i].left(x.who.user, x.id) {
			s.retire()
		}
	}
}

// appendPackets appends payloads as packets, the first with sequence id seq.
func appendPackets(dst []byte, seq byte, payloads [][]byte) []byte {
	for _, p := range payloads {
		dst = packet.AppendPacket(dst, seq, p)
		seq += byte(1 + len(p)/packet.MaxPayload)
	}
	return dst
}

// lentTo notes whose a pooled session is now.
func (s *server) lentTo(x *scripted) {
	s.stale = s.stale || s.owner != x.id
	s.owner = x.id
}
