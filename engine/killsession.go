package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"mysqlproxy/packet"
)

// This file is the operator's KILL, of a session by the number that the engine
// has given it. Clients' own are in kill.go.
//
//	Kill --> its loop --> end(ReasonAdminKill)                    the session
//	                  \-> KILL at the backend: as the client's user, where the proxy
//	                      owns that, else as --health-user        what it runs there

// What Kill answers beside what servers say and the context's end.
var (
	ErrNoSession   = errors.New("there is no session with this number")
	ErrCannotKill  = errors.New("the proxy can log in there neither as the session's user (--auth) nor as --health-user; the whole session can be killed")
	errNotThereYet = errors.New("the session's command waits for a backend; the whole session can be killed")
	errEnded       = errors.New("the session has ended meanwhile")
)

// Kill ends the session with this number (SessionFigures.ID), or only what it runs
// now, if anything. What it runs at its backend is killed there as well: servers do
// not notice by themselves that nobody waits for it any more. To end only that takes
// an identity of the session's user, or a --health-user that may kill others'
// statements; where a whole session ends, it is only tried.
func (e *Engine) Kill(ctx context.Context, id uint64, queryOnly bool) error {
	found, err := askLoops(ctx, e, func(l *loop) *killing { return l.kill(id, queryOnly) })
	if err != nil {
		return err
	}
	for _, k := range found {
		if k == nil {
			continue
		}
		what := "a session was killed"
		if queryOnly {
			what = "a session's command was killed"
			if err := k.stop(ctx, e); err != nil {
				return err
			}
		} else if k.thread != 0 {
			if err := k.ask(ctx, e, "KILL "); err != nil {
				e.cfg().Log.Debug("what a killed session runs may go on at its backend", "session", id, "backend", k.backend.Addr.String(), "error", err)
			}
		}
		e.cfg().Log.LogAttrs(ctx, LevelMessage, what, slog.Uint64("session", id), slog.String("user", k.user), slog.String("client", k.client))
		e.events.add(Event{Kind: EventKill, Reason: fmt.Sprintf("%s: number %d, user %q, client %s", what, id, k.user, k.client)})
		return nil
	}
	return ErrNoSession
}

// killing is a session that is killed, and what is left to be done for that.
type killing struct {
	user, client string
	backend      *Backend
	thread       uint32     // what it runs at backend, 0 if it runs nothing
	told         chan error // what came of killing that as its own user; nil: that was not tried
	err          error
}

// kill is the loop's part. It is nil if the session is not one of l's.
func (l *loop) kill(id uint64, queryOnly bool) *killing {
	c := l.clients
	for c != nil && (c.number != id || c.state >= clientClosing) {
		c = c.next
	}
	if c == nil {
		return nil
	}
	k := &killing{user: c.figures(l.Now()).User, client: c.remote.String()}
	busy := c.state == clientBusy || c.state == clientInfile
	switch s := c.server; {
	case busy && s != nil && s.state == serverBusy:
		k.backend, k.thread = s.backend, s.thread
		if queryOnly && c.sp != nil && c.id != nil && c.opening == nil {
			k.told = make(chan error, 1)
			c.stopAt(s, func(err error) { k.told <- err })
		}
	case busy && queryOnly:
		k.err = errNotThereYet
	}
	if !queryOnly {
		c.end(ReasonAdminKill, nil)
	}
	return k
}

// stop waits for the command's end to be asked for, or asks for it.
func (k *killing) stop(ctx context.Context, e *Engine) error {
	switch {
	case k.err != nil || k.thread == 0:
		return k.err
	case k.told == nil:
		return k.ask(ctx, e, "KILL QUERY ")
	}
	select {
	case err := <-k.told:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ask has the backend kill what runs there, in the name of --health-user.
func (k *killing) ask(ctx context.Context, e *Engine, kill string) error {
	p := k.backend.prober.Load()
	if p == nil {
		return ErrCannotKill
	}
	ctx, cancel := context.WithTimeout(ctx, killWithin)
	defer cancel()
	s, err := p.dial(ctx)
	if err != nil {
		return fmt.Errorf("logging in as --health-user: %w", err)
	}
	defer s.close()
	if _, err := s.ask(ctx, kill+strconv.FormatUint(uint64(k.thread), 10)); err != nil {
		return fmt.Errorf("as --health-user: %w", err)
	}
	return nil
}

// killWithin is how long a KILL as --health-user may take with its login.
const killWithin = 5 * time.Second

// stopAt kills what runs for c at s, in the name of c's user. then is told when
// that has been sent, or that it could not be. c splits, has an identity and opens
// nothing.
func (c *client) stopAt(s *server, then func(error)) {
	thread, command := s.thread, c.commands
	s.backend.clients.Add(1)
	s.backend.slots.force()
	c.openAs(s.backend, c.id, opening{collation: c.sp.collation, caps: s.caps}, func(t *server, err error) {
		if err == nil {
			t.reads = true
			if c.server == s && c.commands == command { // else it is over
				t.command(packet.AppendPacket(nil, 0, t.attributed(append([]byte{byte(packet.ComQuery)}, "KILL QUERY "+strconv.FormatUint(uint64(thread), 10)...))))
			}
			t.leave()
		}
		then(err)
		if c.sp.home == nil && c.held && c.state < clientClosing {
			c.sp.resume() // it has waited for the end of this
		}
	})
	c.opening.own.left = func() { then(errEnded) }
}
