package engine

import (
	"bytes"
	"context"
	"strconv"
	"time"

	"mysqlproxy/engine/hook"
	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

// This file is a session with a script: what the script sees and steers, its
// beginning and its end. The login is in login.go, commands are in request.go,
// inject.go and result.go. A session without a script has nothing of this and
// passes by it with one comparison.

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
	c        *client
	script   hook.Script
	id       uint64 // tells whether a server session was lent to another session in between
	queue    hook.Queue
	half     hook.Endpoint   // the client's
	chosen   int             // what backend_ndx reads
	promised promise         // see promise.go
	who      login           // of the login packet
	raw      []byte          // the login packet, then a command that is being collected
	given    []*server       // what it gave back last, by index of the backend; see own
	again    []time.Duration // when a session may be tried to open again, by index of the backend, on the loop's clock

	kind     loginKind
	vouched  bool // a server has let this client in as who
	reserves bool // it may have left sessions that are only for it
	noted    bool // DisconnectClient was called
	switched bool // the client has been asked by an AuthSwitch, or for its password
	fast     bool // it has to be told yet that a server knows its password's hash
	awaiting bool // the client's answer makes the login packet (loginAgain), or is what the admin port goes by
	closing  bool // connection_close
	passing  bool // a command is passing that the script does not see
	strays   bool // it goes on with another backend than the script has chosen

	cmd command

	waiting  []byte        // a command that waits for a pooled session, see wait.go
	since    time.Duration // when it began to wait, on the loop's clock
	patience reactor.Timer // when it looks again

	leave context.CancelFunc // tells the admin console that nobody waits for its answer; nil while there is nothing to answer
}

func newScripted(c *client, scripts hook.Scripts) *scripted {
	x := &scripted{c: c, id: c.number}
	x.queue.Spare = &c.loop.injections
	x.half.Src = hookAddr(c.remote)
	x.half.Dst = hookAddr(c.conn.LocalAddr())
	c.sx = x // the script's main chunk runs in Open and may look at the session
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
	if h := x.promised.half; h != nil {
		h.DefaultDB = x.half.DefaultDB // as it will be opened
		return h
	}
	if s := x.c.server; s != nil && s.state > serverDialing {
		return s.half
	}
	return nil
}

// SetBackend gives the server session away, or takes an idle one in its place, or
// is promised one.
func (x *scripted) SetBackend(n int) {
	c := x.c
	if n <= 0 {
		if c.server != nil || x.promised.backend != nil {
			x.chosen, x.promised = 0, promise{}
		}
		if c.server != nil {
			x.part()
		}
		return
	}
	x.chosen = n
	if x.cmd.uploading {
		return // the server session is in the middle of the command
	}
	if t := x.idle(n); t != nil {
		x.promised = promise{}
		if c.server != nil {
			x.part()
		}
		t.lend(c)
		return
	}
	x.promises(n)
}

// part lets go of the server session. One that waits for a file, or for the end
// of one, is let go of when the command is over; one that has ended is not the
// pool's.
func (x *scripted) part() {
	s := x.c.server
	switch {
	case s.state >= serverClosing:
		return
	case x.cmd.uploading:
		x.cmd.release = true
		return
	}
	if x.passing || x.c.state == clientInfile && !x.cmd.upload {
		s.tainted = true // the rest of a command or of a file is missing
	}
	x.c.server = nil
	s.park()
}

// idle takes an idle session of the n-th backend that this client may have:
// before its login any, for COM_CHANGE_USER will say who it is; then only one of
// the user that a server has let it in as.
func (x *scripted) idle(n int) *server {
	c := x.c
	list := c.loop.engine.backends.all()
	if n > len(list) || c.state >= clientClosing {
		return nil
	}
	b := list[n-1]
	switch {
	case c.state == clientGreeting:
		return c.loop.pool(b).takeAny(int(b.minIdle.Load()))
	case x.vouched:
		return c.loop.pool(b).take(x, x.own(b))
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
		began := x.calls(callConnectServer)
		v = x.script.ConnectServer()
		x.called(callConnectServer, began, v.Failed)
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
	case n > len(e.backends.all()):
	case n > 0 && e.backends.all()[n-1].open():
		b = e.backends.all()[n-1]
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
		err := packet.EditGreeting(first, c.terms.masked, c.terms.added)
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
	x.c.auth = new(auth)
	x.c.auth.begin([]byte(s.half.AuthPlugin), s.half.Challenge)
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
	s.greeted = bytes.Clone(pkt)
	s.half = &hook.Endpoint{Src: hookAddr(s.conn.LocalAddr()), Dst: hookAddr(s.backend.Addr)}
	remember(s.half, g)
	c.loop.pool(s.backend).version = s.half.Version
	if x.kind == loginAgain {
		x.ask(s, g)
		return
	}
	x.greeting(s.half)
	if x.has(hook.ReadHandshake) {
		began := x.calls(callReadHandshake)
		v := x.script.ReadHandshake()
		x.called(callReadHandshake, began, v.Failed)
		if v.Action == hook.SendResult {
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

// data takes what the server of a scripted session sends in the command phase.
func (x *scripted) data(s *server, p []byte) (used int) {
	used = x.response(s, p)
	if c := x.c; c.zip != nil && c.state < clientClosing {
		under := x.cmd.answered // without the script, what the server has begun
		if !x.cmd.running {
			under = s.client == c && s.state == serverBusy && s.resp.Begun()
		}
		c.counts(c.state == clientBusy && under && !s.dialogue)
	}
	if x.c.loop.draining {
		x.c.drain()
	}
	return used
}

// disconnect tells the script that the session ends. What it gives back now is
// kept if it is in order.
func (x *scripted) disconnect() {
	if x.noted {
		return
	}
	x.noted = true
	if x.waiting != nil {
		x.unwait()
		x.c.loop.Disarm(&x.patience)
		x.waiting = nil
	}
	if x.leave != nil {
		x.leave()
	}
	if x.has(hook.DisconnectClient) && x.kind != loginAdmin {
		began := x.calls(callDisconnectClient)
		x.called(callDisconnectClient, began, x.script.DisconnectClient())
	}
	if x.promised.backend != nil && x.c.server != nil {
		x.promised = promise{}
		x.part() // as it was when the script chose the other one
	}
	if !x.reserves {
		return
	}
	for _, b := range x.c.loop.engine.backends.all() {
		for _, s := range x.c.loop.pool(b).left(x.id) {
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
