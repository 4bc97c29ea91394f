package engine

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"runtime/debug"
	"strings"
	"time"

	"mysqlproxy/engine/hook"
	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

// This file is the admin plugin: a server without a backend. Its sessions are
// scripted ones that the proxy itself lets in, and a command of theirs is
// answered by the script, or by the console behind it:
//
//	loop:       adminCommand --> ReadQuery --> SendResult: respond
//	                 |               \--> nothing --\
//	                 \---- no script --------------> consult
//	goroutine:                                         \--> Console --\
//	loop:       answered <------------------------------------ Post <--/

// AdminConfig is the admin plugin's part of a Config.
type AdminConfig struct {
	Listen         reactor.Addr
	User, Password string // neither is empty
	// Scripts answers the commands; nil: the console answers them all.
	Scripts hook.Scripts
	// Console answers the commands that the script does not, nil: nobody does. It
	// is called on a goroutine that may take its time, for one command of a
	// session at a time and for not more than a few of all. ctx ends with the
	// session, and after a while.
	Console func(ctx context.Context, e *Engine, c AdminCommand) AdminAnswer
}

// AdminCommand is a command that has come to the admin port.
type AdminCommand struct {
	Payload  []byte // the console may keep it
	Session  uint64 // its SessionFigures.ID
	User     string // as whom it has logged in,
	Client   string // and from where
	Database string // that it has selected
	TLS      bool
}

// AdminAnswer is what the console says to a command.
type AdminAnswer struct {
	// Payloads are those of the packets that answer the command. None is right for
	// a command that has no answer.
	Payloads [][]byte
	// Unknown: the console does not know the command, and Payloads say so. Where a
	// script was asked before, its client hears what MySQL Proxy always said then.
	Unknown bool
}

// AdminVersion is the server version that the admin port has always shown: tools
// know the port by it.
const AdminVersion = "5.0.99-agent-admin"

// adminCapabilities are those of the greeting: what it always had, and all that
// tells apart the fields of a login, for some clients send them unbidden.
const adminCapabilities = packet.CapLongPassword | packet.CapProtocol41 | packet.CapSecureConnection |
	packet.CapConnectWithDB | packet.CapPluginAuth | packet.CapPluginAuthLenenc | packet.CapConnectAttrs

const (
	// maxStatement bounds a command for the console, in bytes.
	maxStatement = 1 << 20
	// consoleWithin is how long the console may take for a command.
	consoleWithin = 30 * time.Second
)

// consoles bounds how many commands the consoles of all engines work on at a time.
var consoles = make(chan struct{}, 4)

// acceptAdmin is called for each connection to the admin port, on its loop.
func (l *loop) acceptAdmin(conn *reactor.Conn, remote reactor.Addr) reactor.Handler {
	c := l.newClient(conn, remote)
	scripts := l.engine.admin.Scripts
	if scripts == nil {
		scripts = scriptless{}
	}
	c.sx = newScripted(c, scripts)
	c.sx.kind = loginAdmin
	c.work = &l.adminWork
	l.admins++
	if l.draining {
		c.end(ReasonShutdown, nil)
	} else {
		c.sx.greetAdmin()
	}
	return c
}

// scriptless is the script of who has none.
type scriptless struct{}

func (scriptless) Open(hook.Session) hook.Script                    { return scriptless{} }
func (scriptless) Hooks() hook.Set                                  { return 0 }
func (scriptless) ConnectServer() (v hook.Verdict)                  { return }
func (scriptless) ReadHandshake() (v hook.Verdict)                  { return }
func (scriptless) ReadAuth() (v hook.Verdict)                       { return }
func (scriptless) ReadAuthResult([]byte) (v hook.Verdict)           { return }
func (scriptless) ReadQuery([]byte) (v hook.Verdict)                { return }
func (scriptless) ReadQueryResult(*hook.Injection) (v hook.Verdict) { return }
func (scriptless) DisconnectClient() (failed bool)                  { return }

// greetAdmin greets as the admin port always has, and offers TLS where the proxy
// does: by the same certificate, and whoever must have it there must have it here.
//
// The plugin is caching_sha2_password, which the newest clients have alone. Those
// that do not know it answer by mysql_native_password.
func (x *scripted) greetAdmin() {
	g := packet.Greeting{
		Version: []byte(AdminVersion), ThreadID: 1, Challenge: [packet.ChallengeLen]byte(adminChallenge()), ChallengeSize: packet.ChallengeLen,
		Capabilities: adminCapabilities | x.c.terms.added&packet.CapSSL, Collation: 8, Status: packet.StatusAutocommit,
		Plugin: []byte(packet.PluginCachingSHA2),
	}
	remember(&x.half, &g)
	x.c.auth = new(auth)
	x.c.auth.begin(g.Plugin, g.Challenge[:])
	x.c.greet(packet.AppendPacket(nil, 0, g.Append(nil)), g.Capabilities)
}

// adminChallenge is a challenge as clients of old expect it: printable, and
// without what ends a challenge where newer ones store it.
func adminChallenge() []byte {
	b := make([]byte, packet.ChallengeLen)
	_, _ = rand.Read(b) // it does not fail
	for i := range b {
		b[i] = '%' + b[i]%('~'-'%'+1)
	}
	return b
}

// admit checks a login to the admin port. A client whose response is of another
// plugin than the two, or to another challenge, is asked for one of them once.
func (x *scripted) admit(in packet.Login) {
	c := x.c
	plugin := string(in.Plugin)
	switch len(in.AuthResponse) {
	case nativeLen, sha256.Size:
		x.verify(in.AuthResponse)
		return
	}
	if x.who.caps&packet.CapPluginAuth == 0 {
		x.verify(nil) // it cannot be asked
		return
	}
	if plugin != packet.PluginNative {
		plugin = packet.PluginCachingSHA2
	}
	x.awaiting = true
	sw := packet.AuthSwitch{Plugin: []byte(plugin), Data: adminChallenge()}
	c.auth.begin(sw.Plugin, sw.Data)
	c.carry(toClient, sw.Append(nil))
}

// verify lets the client in, if response is right. The proxy has the password,
// and so needs to be told nothing but the response: no client ever has to send
// its password.
func (x *scripted) verify(response []byte) {
	c := x.c
	cfg := c.loop.engine.admin
	password, challenge := []byte(cfg.Password), c.auth.challenge
	right, fast := false, len(response) == sha256.Size
	if fast {
		want := packet.CachingSHA2Response(password, challenge)
		right = subtle.ConstantTimeCompare(response, want[:]) == 1
	} else {
		_, right = packet.VerifyNative(response, challenge, packet.NativeHash(password))
	}
	refuse := func(text string) {
		c.carry(toClient, packet.AppendERR(nil, 1045, "28000", text))
		c.end(ReasonLoginRefused, nil)
	}
	switch {
	case subtle.ConstantTimeCompare([]byte(x.who.user), []byte(cfg.User)) != 1:
		refuse("unknown user")
	case !right:
		refuse("password doesn't match")
	default:
		if fast {
			c.carry(toClient, []byte{1, packet.CachingSHA2FastOK})
		}
		o := packet.OK{Status: packet.StatusAutocommit}
		c.carry(toClient, o.Append(nil, x.who.caps))
		c.letIn()
	}
}

// adminCommand has the script answer a command, or the console. One that nobody
// answers ends the session, after an ERR that says what was missing.
func (x *scripted) adminCommand(payload []byte) {
	cfg := x.c.loop.engine.admin
	if cfg.Scripts == nil && cfg.Console != nil {
		x.consult(payload)
		return
	}
	var v hook.Verdict
	unfit := forbidden(payload)
	if !unfit && x.has(hook.ReadQuery) {
		v = x.script.ReadQuery(payload)
	}
	x.queue.Reset()
	switch {
	case v.Action == hook.SendResult:
		if x.respond(v.Response); !x.cmd.upload {
			x.goOn()
		}
	case v.Action != hook.Default || v.Failed || unfit:
		x.needResult(" ... got something else")
	case cfg.Console == nil:
		x.needResult("")
	default:
		x.consult(payload)
	}
}

// needResult ends the session as MySQL Proxy did where the script had no answer.
func (x *scripted) needResult(more string) {
	const text = "need a resultset + proxy.PROXY_SEND_RESULT"
	x.c.write(packet.AppendPacket(nil, x.cmd.seq+1, packet.AppendERR(nil, 1105, "07000", text+more)))
	x.c.end(ReasonScript, nil)
}

// consult puts a command, which is borrowed, to the console.
func (x *scripted) consult(payload []byte) {
	c := x.c
	e := c.loop.engine
	if x.cmd.code == packet.ComQuit && len(payload) > 0 {
		c.end(ReasonClientQuit, nil)
		return
	}
	if len(payload) > maxStatement {
		x.answered(AdminAnswer{Payloads: [][]byte{packet.AppendERR(nil, 1153, "08S01", "(proxy) a statement for the console may be 1 MiB long")}})
		return
	}
	command := AdminCommand{
		Payload: bytes.Clone(payload), Session: c.number, User: x.who.user, Client: c.remote.String(), Database: x.half.DefaultDB, TLS: c.tls,
	}
	ctx, cancel := context.WithTimeout(context.Background(), consoleWithin)
	x.leave = cancel
	go func() {
		defer cancel()
		var answer AdminAnswer
		select {
		case consoles <- struct{}{}:
			answer = e.answer(ctx, command)
			<-consoles
		case <-ctx.Done():
			answer.Payloads = [][]byte{packet.AppendERR(nil, 1205, "HY000", "(proxy) the console is busy with the statements of others; try again")}
		}
		c.loop.Post(func() {
			if x.leave = nil; c.state >= clientClosing {
				return
			}
			if x.answered(answer); c.loop.draining {
				c.drain()
			}
		})
	}()
}

// answer has the console answer c. A fault there must not cost the proxy.
func (e *Engine) answer(ctx context.Context, c AdminCommand) (a AdminAnswer) {
	defer func() {
		if fault := recover(); fault != nil {
			e.cfg().Log.Error("the admin console failed", "statement", statementText(c.Payload), "error", fault, "stack", string(debug.Stack()))
			a = AdminAnswer{Payloads: [][]byte{packet.AppendERR(nil, 1105, "HY000", "(proxy) internal error, see the proxy's log")}}
		}
	}()
	return e.admin.Console(ctx, e, c)
}

// statementText is as much of a command's text as a log line needs. What a SET gives
// may be a password, and needs no quotes.
func statementText(payload []byte) string {
	text, _, more := strings.Cut(strings.ToValidUTF8(string(payload[min(1, len(payload)):min(200, len(payload))]), "?"), "=")
	if more {
		text += "= ..."
	}
	return text
}

// answered sends the client what the console says.
func (x *scripted) answered(answer AdminAnswer) {
	if answer.Unknown && x.c.loop.engine.admin.Scripts != nil {
		x.needResult("")
		return
	}
	x.respond(answer.Payloads)
	if x.cmd.code == packet.ComInitDB && len(answer.Payloads) > 0 && answer.Payloads[0][0] == 0 {
		x.half.DefaultDB = x.cmd.schema
	}
	x.goOn()
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
