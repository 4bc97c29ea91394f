package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

// kill kills the only session when it is in this state.
func kill(w *world, state string, queryOnly bool) Step {
	return Do("kill the session", func(*Conn) error {
		s, err := w.only(state)
		if err != nil {
			return err
		}
		return w.engine().Kill(w.Context(), s.ID, queryOnly)
	})
}

// busy waits until the only session is.
func busy(w *world) Step {
	return Do("wait until the session is busy", func(*Conn) error { _, err := w.only("busy"); return err })
}

// only waits until the only session is in this state.
func (w *world) only(state string) (SessionFigures, error) {
	ctx, cancel := context.WithTimeout(w.Context(), Patience)
	defer cancel()
	for {
		s, err := w.engine().Sessions(ctx)
		if err != nil {
			return SessionFigures{}, fmt.Errorf("waiting for a session that is %s: %w", state, err)
		}
		if len(s) == 1 && s[0].State == state {
			return s[0], nil
		}
		time.Sleep(time.Millisecond)
	}
}

// killer is a session of --health-user that notes the KILLs which it is asked for.
type killer struct {
	mu    sync.Mutex
	asked []string
	err   error
}

func (k *killer) close() {}

func (k *killer) ask(_ context.Context, query string) (table, error) {
	if !strings.HasPrefix(query, "KILL ") {
		return table{}, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked = append(k.asked, query)
	return table{}, k.err
}

func (k *killer) kills() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.asked)
}

// killedBy has the first backend's KILLs go to k.
func (w *world) killedBy(k *killer) {
	b := w.proxy.Backends()[0]
	b.prober.Store(&prober{e: w.proxy, b: b, kicks: make(chan struct{}, 1), dial: func(context.Context) (asker, error) { return k, nil }})
}

func TestKillOfAnIdleSession(t *testing.T) {
	w := newWorld(t)
	w.start(w.config(w.serverOf(yes).Addr()))
	k := &killer{}
	w.clientNow("client", Enter(Caps), SendPacket(0, ping), ExpectPacket(1, OK(0)), Do("have a killer", func(*Conn) error {
		w.killedBy(k)
		return nil
	}), kill(w, "ready", true), SendPacket(0, ping), ExpectPacket(1, OK(0)), kill(w, "ready", false), ExpectERR(0, 1317, "70100", reasonTable[ReasonAdminKill].text), ExpectEnd())
	w.wantEnd(1, ReasonAdminKill)
	if got := k.kills(); len(got) != 0 {
		t.Errorf("the backend was asked for %v", got)
	}
	if err := w.proxy.Kill(t.Context(), 1, false); !errors.Is(err, ErrNoSession) {
		t.Errorf("killed again: %v", err)
	}
	if got := closed(w.figures()); got["admin_kill"] != 1 {
		t.Errorf("sessions ended by %v", got)
	}
	var told []string
	for _, ev := range w.proxy.Events() {
		if ev.Kind == EventKill {
			told = append(told, ev.Reason)
		}
	}
	if len(told) != 2 || !strings.HasPrefix(told[0], `a session's command was killed: number 1, user "app", client 127.0.0.1:`) || !strings.HasPrefix(told[1], "a session was killed: number 1, ") {
		t.Errorf("the events are %q", told)
	}
}

// What a session runs is killed as --health-user where the proxy cannot be its own
// user; the session itself only if that is asked for.
func TestKillAsHealthUser(t *testing.T) {
	query := Query("SELECT SLEEP(1000)")
	interrupted := packet.AppendERR(nil, 1317, "70100", "Query execution was interrupted")
	for _, tc := range []struct {
		name      string
		queryOnly bool
		refuses   error
		asked     string
		want      string // the error
		reason    CloseReason
	}{
		{"the command", true, nil, "KILL QUERY 77", "", ReasonClientClosed},
		{"the command, and it may not", true, errors.New("you are not owner of thread 77"), "KILL QUERY 77", "as --health-user: you are not owner of thread 77", ReasonClientClosed},
		{"the session", false, nil, "KILL 77", "", ReasonAdminKill},
		{"the session, and it may not", false, errors.New("you are not owner of thread 77"), "KILL 77", "", ReasonAdminKill},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			killed := NewGate()
			server := steps(Admit(Caps), ExpectPacket(0, query), Await(killed))
			if tc.queryOnly {
				server = append(server, SendPacket(1, interrupted))
			}
			w.start(w.config(w.server(append(server, ExpectEnd()))))
			k := &killer{err: tc.refuses}
			c := w.clientNow("client", Enter(Caps), SendPacket(0, query))
			w.killedBy(k)
			if err := c.Run(kill(w, "busy", tc.queryOnly)); (err == nil) != (tc.want == "") || err != nil && !strings.HasSuffix(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
			close(killed)
			if got := k.kills(); !slices.Equal(got, []string{tc.asked}) {
				t.Errorf("the backend was asked for %q, want %q", got, tc.asked)
			}
			end := steps(ExpectERR(1, 1317, "70100", reasonTable[ReasonAdminKill].text), ExpectEnd())
			if tc.queryOnly {
				end = steps(ExpectPacket(1, interrupted), Fin())
			}
			if err := c.Run(end...); err != nil {
				t.Error(err)
			}
			w.wantEnd(1, tc.reason)
		})
	}
}

// Where nobody can, the session goes on.
func TestKillByNobody(t *testing.T) {
	w := newWorld(t)
	query, over := Query("SELECT SLEEP(1000)"), NewGate()
	w.start(w.config(w.server(served(ExpectPacket(0, query), Await(over), SendPacket(1, OK(0))))))
	c := w.clientNow("client", Enter(Caps), SendPacket(0, query))
	if err := c.Run(kill(w, "busy", true)); !errors.Is(err, ErrCannotKill) {
		t.Errorf("%v, want %v", err, ErrCannotKill)
	}
	close(over)
	if err := c.Run(ExpectPacket(1, OK(0)), Fin()); err != nil {
		t.Error(err)
	}
	w.wantEnd(1, ReasonClientClosed)
	for _, only := range []bool{true, false} {
		if err := w.proxy.Kill(t.Context(), 1, only); !errors.Is(err, ErrNoSession) {
			t.Errorf("a session that has ended: %v", err)
		}
	}
	if n := len(w.proxy.Events()); n != 1 { // the backend is up
		t.Errorf("%d events: %v", n, w.proxy.Events())
	}
}

// The command of a client whose user the proxy can be is killed as that user, be it
// at home or at the reader.
func TestKillAsTheClient(t *testing.T) {
	interrupted := packet.AppendERR(nil, 1317, "70100", "Query execution was interrupted")
	kills := func(killed Gate) []Step {
		return steps(lets(), ExpectPacket(0, Query("KILL QUERY 77")), Open(killed), ExpectPacket(0, []byte{byte(packet.ComQuit)}), ExpectEnd())
	}
	for _, tc := range []struct {
		sql    string
		reader bool
	}{{"UPDATE t SET a = 1", false}, {"SELECT a FROM t", true}} {
		t.Run(tc.sql, func(t *testing.T) {
			w := newWorld(t)
			killed := NewGate()
			runs := steps(gets(tc.sql, Await(killed), SendPacket(1, interrupted)))
			primary, replica := [][]Step{append(atHomeBegins(), ExpectEnd())}, [][]Step{}
			if tc.reader {
				replica = [][]Step{append(append(steps(lets()), runs...), ExpectPacket(0, []byte{byte(packet.ComQuit)}), ExpectEnd()), kills(killed)}
			} else {
				primary = [][]Step{append(append(atHomeBegins(), runs...), ExpectEnd()), kills(killed)}
			}
			cfg := w.config(w.server(primary...), w.server(replica...))
			cfg.Backends[1].ReadOnly = true
			asEverybody(&cfg)
			w.start(cfg)
			w.client("client", Enter(ModernCaps), SendPacket(0, Query(tc.sql)), kill(w, "busy", true), ExpectPacket(1, interrupted), Fin())
			w.peers.Wait()
			w.wantEnd(1, ReasonClientClosed)
			eventually(t, "the killer's end", func() error {
				if n := w.figures().Loops[0].Servers; n != 0 {
					return fmt.Errorf("%d connections to backends", n)
				}
				return nil
			})
		})
	}
}
