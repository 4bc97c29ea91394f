package engine

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// hooks is a script for tests: functions for the hooks that it defines, which
// all sessions share. Like a script engine it has a lock around them.
type hooks struct {
	mu     sync.Mutex
	global hook.Global

	connect, handshake, auth func(hook.Session) hook.Verdict
	authResult, query        func(hook.Session, []byte) hook.Verdict
	result                   func(hook.Session, *hook.Injection) hook.Verdict
	gone                     func(hook.Session)
}

func (h *hooks) Open(s hook.Session) hook.Script { return &scriptOf{h, s} }

// scriptOf is the script of one session.
type scriptOf struct {
	*hooks
	s hook.Session
}

func (o *scriptOf) Hooks() (set hook.Set) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for h, defined := range map[hook.Set]bool{
		hook.ConnectServer: o.connect != nil, hook.ReadHandshake: o.handshake != nil, hook.ReadAuth: o.auth != nil,
		hook.ReadAuthResult: o.authResult != nil, hook.ReadQuery: o.query != nil, hook.ReadQueryResult: o.result != nil,
		hook.DisconnectClient: o.gone != nil,
	} {
		if defined {
			set |= h
		}
	}
	return set
}

func (o *scriptOf) locked(f func() hook.Verdict) hook.Verdict {
	o.mu.Lock()
	defer o.mu.Unlock()
	return f()
}

func (o *scriptOf) ConnectServer() hook.Verdict {
	return o.locked(func() hook.Verdict { return o.connect(o.s) })
}
func (o *scriptOf) ReadHandshake() hook.Verdict {
	return o.locked(func() hook.Verdict { return o.handshake(o.s) })
}
func (o *scriptOf) ReadAuth() hook.Verdict {
	return o.locked(func() hook.Verdict { return o.auth(o.s) })
}
func (o *scriptOf) ReadAuthResult(p []byte) hook.Verdict {
	return o.locked(func() hook.Verdict { return o.authResult(o.s, p) })
}
func (o *scriptOf) ReadQuery(p []byte) hook.Verdict {
	return o.locked(func() hook.Verdict { return o.query(o.s, p) })
}
func (o *scriptOf) ReadQueryResult(in *hook.Injection) hook.Verdict {
	return o.locked(func() hook.Verdict { return o.result(o.s, in) })
}
func (o *scriptOf) DisconnectClient() (failed bool) {
	o.locked(func() hook.Verdict { o.gone(o.s); return hook.Verdict{} })
	return false
}

// with is a change of a configuration that gives it the script h.
func with(h *hooks) func(*Config) {
	return func(c *Config) {
		c.Scripts = func(g hook.Global) (hook.Scripts, error) { h.global = g; return h, nil }
	}
}

// The verdicts.
func pass(hook.Session) hook.Verdict                  { return hook.Verdict{} }
func passQuery(hook.Session, []byte) (v hook.Verdict) { return v }
func sendQuery() hook.Verdict                         { return hook.Verdict{Action: hook.SendQuery} }
func ignoreResult() hook.Verdict                      { return hook.Verdict{Action: hook.IgnoreResult} }
func sendResult(payloads ...[]byte) hook.Verdict {
	return hook.Verdict{Action: hook.SendResult, Response: payloads}
}

// inject is a query for the queue. Needed has it collected.
func inject(id int, payload []byte, needed bool) *hook.Injection {
	return &hook.Injection{ID: id, Query: string(payload), ResultNeeded: needed}
}

// queueing is a ReadQuery that replaces each command by these.
func queueing(ins ...func() *hook.Injection) func(hook.Session, []byte) hook.Verdict {
	return func(s hook.Session, _ []byte) hook.Verdict {
		for _, in := range ins {
			s.Queue().Append(in())
		}
		return sendQuery()
	}
}

func needed(id int, sql string) func() *hook.Injection {
	return func() *hook.Injection { return inject(id, Query(sql), true) }
}

func streamed(id int, sql string) func() *hook.Injection {
	return func() *hook.Injection { return inject(id, Query(sql), false) }
}

// pooling is the script of a pool with one backend: a login is given to the
// pool, a new client gets what is there, each command takes a session of the
// client's user, and each result gives it back.
func pooling() *hooks {
	return &hooks{
		connect: func(s hook.Session) hook.Verdict {
			s.SetBackend(1)
			if s.Server() != nil {
				return ignoreResult()
			}
			return hook.Verdict{}
		},
		authResult: func(s hook.Session, p []byte) hook.Verdict {
			if len(p) > 0 && p[0] == 0 {
				s.SetBackend(0)
			}
			return hook.Verdict{}
		},
		query: func(s hook.Session, p []byte) hook.Verdict {
			if p[0] == byte(packet.ComQuit) {
				return sendResult(OK(0))
			}
			s.SetBackend(1)
			s.Queue().Append(inject(1, p, false))
			return sendQuery()
		},
		result: func(s hook.Session, in *hook.Injection) hook.Verdict {
			s.SetBackend(0)
			return hook.Verdict{}
		},
		gone: func(s hook.Session) { s.SetBackend(0) },
	}
}

// talk has a client take these steps, which begin with its login, and waits for
// the end of the session, which is the n-th.
func (w *world) talk(n int, want CloseReason, steps ...Step) {
	w.Helper()
	c, err := Dial(w.front(), fmt.Sprint("client ", n))
	if err != nil {
		w.Fatal(err)
	}
	defer c.Close()
	err = c.Run(steps...)
	c.Close()
	if err != nil {
		w.Fatal(err)
	}
	w.wantEnd(n, want)
	if w.Failed() {
		w.FailNow()
	}
}

// idleSessions waits until the n-th backend, from 0, has so many idle sessions
// for user.
func (w *world) idleSessions(n int, user string, want int) {
	w.Helper()
	b := scriptBackend{w.proxy.Backends()[n], w.proxy}
	eventually(w, fmt.Sprintf("%d idle sessions of %q", want, user), func() error {
		if got := b.Idle(-1, user); got != want {
			return fmt.Errorf("%d", got)
		}
		return nil
	})
}

// scriptedTalk is converse with a script.
func scriptedTalk(t *testing.T, h *hooks, server, client []Step, change ...func(*Config)) *world {
	t.Helper()
	w := newWorld(t)
	converse(w, server, client, append(slices.Clone(change), with(h))...)
	return w
}

// loginOf is a login of another user, with a response of its own.
func loginOf(user, response string, caps packet.Capability) packet.Login {
	l := Login(caps)
	l.User, l.AuthResponse = []byte(user), []byte(response)
	return l
}

// enterAs logs in with l, at a greeting with caps.
func enterAs(l packet.Login, caps packet.Capability) Step {
	g := Greeting(caps)
	return All("log in", ExpectPacket(0, g.Append(nil)), SendPacket(1, l.Append(nil, caps)), ExpectPacket(2, OK(0)))
}

// admitAs is a server's part of the login l.
func admitAs(l packet.Login, caps packet.Capability) Step {
	return All("admit", Greet(Greeting(caps)), ExpectLogin(l, caps), SendPacket(2, OK(0)))
}

// changeOf is the COM_CHANGE_USER that takes the place of l.
func changeOf(l packet.Login, caps packet.Capability) []byte {
	u := packet.ChangeUser{User: l.User, AuthResponse: l.AuthResponse, Database: l.Database, Collation: uint16(l.Collation), Plugin: l.Plugin}
	return u.Append(nil, caps)
}

// chat are the two sides of commands that are answered with OK.
func chat(sqls ...string) (server, client []Step) {
	for _, sql := range sqls {
		server = append(server, ExpectPacket(0, Query(sql)), SendPacket(1, OK(0)))
		client = append(client, SendPacket(0, Query(sql)), ExpectPacket(1, OK(0)))
	}
	return server, client
}

// reset is a server's part of a COM_RESET_CONNECTION.
func reset() Step {
	return All("reset", ExpectPacket(0, []byte{byte(packet.ComResetConnection)}), SendPacket(1, OK(0)))
}

// quit is a client's leave, which the pooling script answers.
var quit = []Step{SendPacket(0, []byte{byte(packet.ComQuit)}), ExpectPacket(1, OK(0)), Fin()}

func inARow(parts ...[]Step) (all []Step) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
