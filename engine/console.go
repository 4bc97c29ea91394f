package engine

import (
	"crypto/rand"
	"crypto/subtle"
	"strings"

	"mysqlproxy/engine/hook"
	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

// This file is the admin plugin: a server without a backend, whose script
// answers each command. Its sessions are scripted ones that the proxy itself
// lets in.

// AdminConfig is the admin plugin's part of a Config.
type AdminConfig struct {
	Listen         reactor.Addr
	User, Password string // neither is empty
	Scripts        hook.Scripts
}

// adminVersion is what the admin port has always called itself: tools know the
// port by it.
const adminVersion = "5.0.99-agent-admin"

const adminCapabilities = packet.CapLongPassword | packet.CapProtocol41 | packet.CapSecureConnection

// acceptAdmin is called for each connection to the admin port, on its loop.
func (l *loop) acceptAdmin(conn *reactor.Conn, remote reactor.Addr) reactor.Handler {
	c := l.newClient(conn, remote)
	c.sx = newScripted(c, l.engine.admin.Scripts)
	c.sx.kind = loginAdmin
	if l.draining {
		c.end(ReasonShutdown, nil)
	} else {
		c.sx.greetAdmin()
	}
	return c
}

// greetAdmin greets as the admin port always has, and offers TLS where the proxy
// does: by the same certificate, and whoever must have it there must have it here.
func (x *scripted) greetAdmin() {
	g := packet.Greeting{
		Version: []byte(adminVersion), ThreadID: 1, ChallengeSize: 20,
		Capabilities: adminCapabilities | x.c.loop.engine.added&packet.CapSSL, Collation: 8, Status: packet.StatusAutocommit,
	}
	if _, err := rand.Read(g.Challenge[:]); err != nil {
		x.c.end(ReasonInternal, err)
		return
	}
	for i, b := range g.Challenge {
		g.Challenge[i] = '!' + b%('~'-'!'+1) // printable, as clients of old expect
	}
	remember(&x.half, &g)
	x.c.greet(packet.AppendPacket(nil, 0, g.Append(nil)), g.Capabilities)
}

// admit checks a login to the admin port.
func (x *scripted) admit(in packet.Login) {
	c := x.c
	cfg := c.loop.engine.admin
	refuse := func(text string) {
		c.write(packet.AppendPacket(nil, c.req.Seq()+1, packet.AppendERR(nil, 1045, "28000", text)))
		c.end(ReasonLoginRefused, nil)
	}
	if subtle.ConstantTimeCompare(in.User, []byte(cfg.User)) != 1 {
		refuse("unknown user")
		return
	}
	if _, ok := packet.VerifyNative(in.AuthResponse, x.half.Challenge[:20], packet.NativeHash([]byte(cfg.Password))); !ok {
		refuse("password doesn't match")
		return
	}
	x.ok()
	c.letIn()
}

// adminCommand has the script answer a command. One that it does not answer
// ends the session, after an ERR that says what was missing.
func (x *scripted) adminCommand(payload []byte) {
	c := x.c
	var v hook.Verdict
	unfit := forbidden(payload)
	if !unfit && x.has(hook.ReadQuery) {
		v = x.script.ReadQuery(payload)
	}
	x.queue.Reset()
	if v.Action == hook.SendResult {
		if x.respond(v.Response); !x.cmd.upload {
			x.goOn()
		}
		return
	}
	text := "need a resultset + proxy.PROXY_SEND_RESULT"
	if v.Action != hook.Default || v.Failed || unfit {
		text += " ... got something else"
	}
	c.write(packet.AppendPacket(nil, x.cmd.seq+1, packet.AppendERR(nil, 1105, "07000", text)))
	c.end(ReasonScript, nil)
}

// forbidden tells whether the admin plugin's script is not asked: a query
// without a text, and one for a file, which tools send to what they take for a
// server.
func forbidden(payload []byte) bool {
	const head = "LOAD "
	if len(payload) == 0 || packet.Command(payload[0]) != packet.ComQuery {
		return len(payload) == 0
	}
	text := payload[1:]
	return len(text) == 0 || len(text) >= len(head) && strings.EqualFold(string(text[:len(head)]), head)
}
