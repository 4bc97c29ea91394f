package engine

import (
	"fmt"
	"strings"
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// A chain of three queries of which the second's result is the client's, with a
// death at each of its steps. The script gives sessions back at the end, as
// scripts do.
func TestDeathsInAChain(t *testing.T) {
	query := Query("SELECT")
	row, _ := Result(nil, 1, Caps, 0, "a")
	chain := func() *hooks {
		return &hooks{
			query: queueing(needed(1, "SELECT 1"), needed(2, "SELECT 2"), needed(3, "SELECT 3")),
			result: func(_ hook.Session, in *hook.Injection) hook.Verdict {
				if in.ID == 2 {
					return hook.Verdict{}
				}
				return ignoreResult()
			},
			gone: func(s hook.Session) { s.SetBackend(0) },
		}
	}
	served := steps(Admit(Caps))
	for i := 1; i <= 3; i++ {
		served = append(served, ExpectPacket(0, Query(fmt.Sprint("SELECT ", i))), Send(row[:20]), Send(row[20:]))
	}
	// Until the second response is whole the client has heard nothing.
	whole := 1 + 2*3
	for at := 2; at <= len(served); at++ {
		if (at-2)%3 == 2 && at < len(served) {
			continue // the next query is on its way: that is the next step
		}
		for name, death := range map[string]Step{"closes": HalfClose(), "resets": Reset(), "talks nonsense": Send(packet.AppendPacket(nil, 9, nil))} {
			if name == "talks nonsense" && (at-2)%3 == 1 {
				continue // it would be the rest of a packet
			}
			t.Run(fmt.Sprintf("the server %s at step %d", name, at), func(t *testing.T) {
				server := append(append([]Step(nil), served[:at]...), death)
				if name != "resets" {
					server = append(server, ExpectEnd())
				}
				client := steps(Enter(Caps), SendPacket(0, query))
				if at >= whole {
					client = append(client, Expect(row))
				} else if code := uint16(2013); name != "talks nonsense" {
					client = append(client, ExpectERR(1, code, "HY000", lostText))
				} else {
					client = append(client, ExpectERR(1, 2027, "HY000", "(proxy) the backend sent a packet that does not belong here"))
				}
				w := scriptedTalk(t, chain(), server, append(client, ExpectEnd()))
				reason := w.session(1).attrs["reason"]
				if !strings.HasPrefix(reason, "server_") {
					t.Errorf("the reason is %s", reason)
				}
				w.idleSessions(0, "app", 0)
			})
		}
		t.Run(fmt.Sprintf("the client leaves at step %d", at), func(t *testing.T) {
			w := newWorld(t)
			gate := NewGate()
			cfg := w.config(w.server(append(append([]Step(nil), served[:at]...), Open(gate), Drain())))
			with(chain())(&cfg)
			w.start(cfg)
			w.client("client", Enter(Caps), SendPacket(0, query), Await(gate), Reset())
			w.peers.Wait()
			w.session(1)
			if at < len(served) {
				w.idleSessions(0, "app", 0)
			}
		})
		if at < len(served) {
			t.Run(fmt.Sprintf("the proxy is stopped at step %d", at), func(t *testing.T) {
				w := newWorld(t)
				// A row that has begun to come is not complete: that would be a step on.
				server := append(append([]Step(nil), served[:at]...), w.shutdown(), passes(w, 3*short), ExpectEnd())
				client := steps(Enter(Caps), SendPacket(0, query))
				if at >= whole {
					client = append(client, Expect(row))
				} else {
					client = append(client, ExpectERR(1, 1053, "08S01", stopping))
				}
				converse(w, server, append(client, ExpectEnd()), impatient, with(chain()))
				w.wantEnd(1, ReasonShutdownForced)
				w.waitFor(w.proxy)
			})
		}
	}
	t.Run("the proxy is stopped, and the chain goes on to its end", func(t *testing.T) {
		w := newWorld(t)
		server := append(append(append([]Step(nil), served[:3]...), w.shutdown()), append(served[3:len(served):len(served)], ExpectEnd())...)
		converse(w, server, steps(Enter(Caps), SendPacket(0, query), Expect(row), ExpectEnd()), with(chain()))
		w.wantEnd(1, ReasonShutdown)
		w.waitFor(w.proxy)
	})
}

// connection_close ends the session behind a result.
func TestCloseAfterResult(t *testing.T) {
	query := Query("SELECT")
	rows, _ := Result(nil, 1, Caps, 0, "a")
	closing := func(s hook.Session) { s.CloseAfterResult(true) }
	own := OK(packet.StatusInTrans)
	for name, tc := range map[string]struct {
		h              *hooks
		server, client []Step
	}{
		"of the script": {&hooks{query: func(s hook.Session, _ []byte) hook.Verdict { closing(s); return sendResult(own) }}, nil, steps(ExpectPacket(1, own))},
		"forwarded": {&hooks{query: func(s hook.Session, _ []byte) hook.Verdict { closing(s); return hook.Verdict{} }},
			steps(ExpectPacket(0, query), Send(rows)), steps(Expect(rows))},
		"set when the result has come": {&hooks{query: queueing(needed(1, "SELECT")), result: func(s hook.Session, _ *hook.Injection) hook.Verdict { closing(s); return hook.Verdict{} }},
			steps(ExpectPacket(0, query), Send(rows)), steps(Expect(rows))},
		"with queries left": {&hooks{query: queueing(needed(1, "SELECT"), needed(2, "SELECT 2")), result: func(s hook.Session, _ *hook.Injection) hook.Verdict { closing(s); return hook.Verdict{} }},
			steps(ExpectPacket(0, query), Send(rows)), steps(Expect(rows))},
		"set at the login, of a script that reads no commands": {&hooks{auth: func(s hook.Session) hook.Verdict { closing(s); return hook.Verdict{} }},
			steps(ExpectPacket(0, query), Send(rows)), steps(Expect(rows))},
	} {
		t.Run(name, func(t *testing.T) {
			w := scriptedTalk(t, tc.h, inARow(steps(Admit(Caps)), tc.server, steps(ExpectEnd())), inARow(steps(Enter(Caps), SendPacket(0, query)), tc.client, steps(ExpectEnd())))
			w.wantEnd(1, ReasonScript)
		})
	}
	t.Run("and not if it is taken back", func(t *testing.T) {
		h := &hooks{query: func(s hook.Session, _ []byte) hook.Verdict {
			closing(s)
			s.CloseAfterResult(false)
			return sendResult(own)
		}}
		scriptedTalk(t, h, steps(Admit(Caps), ExpectEnd()), steps(Enter(Caps), SendPacket(0, query), ExpectPacket(1, own), SendPacket(0, query), ExpectPacket(1, own), Fin())).wantEnd(1, ReasonClientClosed)
	})
}

// A second result that cannot be held back ends the session: the client would
// take it for the response to its next command.
func TestTwoStreamedResults(t *testing.T) {
	query := Query("SELECT")
	h := &hooks{query: queueing(streamed(1, "SELECT 1")), result: func(s hook.Session, _ *hook.Injection) hook.Verdict {
		s.Queue().Append(inject(2, Query("SELECT 2"), false))
		return hook.Verdict{}
	}}
	w := scriptedTalk(t, h, steps(Admit(Caps), ExpectPacket(0, Query("SELECT 1")), SendPacket(1, OK(0)), ExpectEnd()), steps(Enter(Caps), SendPacket(0, query), ExpectPacket(1, OK(0)), ExpectEnd()))
	w.wantEnd(1, ReasonScript)
	if len(w.log.about("can only have one injected query without resultset_is_needed")) != 1 {
		t.Error("the log does not say why")
	}
}

// COM_CHANGE_USER by the client and by the script: whose session it is then.
func TestScriptedChangeUser(t *testing.T) {
	change := changeOf(other, Caps)
	one, oneDone := chat("SELECT 1")
	user := func(t *testing.T, name string, h *hooks, server, client []Step, app, others int) {
		t.Run(name, func(t *testing.T) {
			h.gone = func(s hook.Session) { s.SetBackend(0) }
			w := scriptedTalk(t, h, inARow(steps(Admit(Caps)), server, steps(ExpectEnd())), inARow(steps(Enter(Caps)), client, steps(Fin())))
			w.wantEnd(1, ReasonClientClosed)
			w.idleSessions(0, "app", app)
			w.idleSessions(0, "other", others)
		})
	}
	collected := func(s hook.Session, p []byte) hook.Verdict {
		s.Queue().Append(inject(1, p, true))
		return sendQuery()
	}
	user(t, "by the client", &hooks{query: passQuery}, inARow(steps(ExpectPacket(0, change), SendPacket(1, OK(0))), one),
		inARow(steps(SendPacket(0, change), ExpectPacket(1, OK(0))), oneDone), 0, 1)
	user(t, "by the client, with a switch", &hooks{query: passQuery},
		inARow(steps(ExpectPacket(0, change), SendPacket(1, demand), ExpectPacket(2, answer), SendPacket(3, OK(0))), one),
		inARow(steps(SendPacket(0, change), ExpectPacket(1, demand), SendPacket(2, answer), ExpectPacket(3, OK(0))), oneDone), 0, 1)
	user(t, "by the client, through the queue", &hooks{query: collected}, inARow(steps(ExpectPacket(0, change), SendPacket(1, OK(0))), one),
		inARow(steps(SendPacket(0, change), ExpectPacket(1, OK(0))), oneDone), 0, 1)
	user(t, "by the script", &hooks{query: queueing(func() *hook.Injection { return inject(1, change, true) })}, steps(ExpectPacket(0, change), SendPacket(1, OK(0))),
		steps(SendPacket(0, ping), ExpectPacket(1, OK(0))), 0, 1)
	user(t, "by the script, refused", &hooks{query: queueing(func() *hook.Injection { return inject(1, change, true) })}, steps(ExpectPacket(0, change), SendPacket(1, denied)),
		steps(SendPacket(0, ping), ExpectPacket(1, denied)), 0, 0)
	user(t, "that cannot be read", &hooks{query: passQuery}, steps(ExpectPacket(0, []byte("\x11other")), SendPacket(1, OK(0))),
		steps(SendPacket(0, []byte("\x11other")), ExpectPacket(1, OK(0))), 0, 0)
}
