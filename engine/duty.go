package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"mysqlproxy/engine/reactor"
)

// This file is what an operator has a backend do, and drain.go how its sessions
// leave it.
//
//	online --drain--> draining --no session is left--> maintenance --> online
//	                     \--the grace is over: those that are left end--^
//
// It stands beside BackendState, what connects show, and Health, what probes find:
// those go on meanwhile. A script sees a backend that is not online as DOWN, which
// scripts of MySQL Proxy know how to avoid.

// Duty is what an operator has a backend do.
type Duty int32

// The duties.
const (
	DutyOnline      Duty = iota
	DutyDraining         // it gets no new sessions and no new reads; what runs comes to its end
	DutyMaintenance      // it has no sessions, until it is online again
)

// String is the word of the log and the console.
func (d Duty) String() string { return [...]string{"online", "draining", "maintenance"}[d] }

// Duty is what an operator has b do.
func (b *Backend) Duty() Duty { return Duty(b.duty.Load()) }

// open tells whether b may get sessions.
func (b *Backend) open() bool { return b.State() != BackendDown && b.Duty() == DutyOnline }

// ErrNoBackend is that of an address that no backend has.
var ErrNoBackend = errors.New("there is no such backend")

var errStopped = errors.New("the proxy does not run, or is about to stop")

// LastWriterError is why SetBackend does not take a backend out: no other could
// take writes.
type LastWriterError struct{ Address string }

func (e *LastWriterError) Error() string {
	return "no other backend than " + e.Address + " could take writes now, sessions would have nowhere to go; it stays online unless that is forced"
}

// SetBackend has the backend with the address addr do its duty, and returns at
// once. From DutyDraining on it gets no new sessions; those that can be elsewhere go
// there, the others may go on for as long as their clients stay, or for grace if
// that is above 0. With DutyMaintenance the grace is always a limit, and 0 is none
// at all. When the last session has left, the backend is in DutyMaintenance, and the
// log and an Event say so. DutyOnline takes it back at any time.
//
// A backend that alone could take writes is not taken out, which is a
// *LastWriterError. Any goroutine may call it.
func (e *Engine) SetBackend(ctx context.Context, addr string, to Duty, grace time.Duration) error {
	return e.setBackend(ctx, addr, to, grace, false)
}

// ForceBackend is SetBackend also for the last backend that takes writes. Clients
// that come meanwhile are refused, or wait for --failover-wait.
func (e *Engine) ForceBackend(ctx context.Context, addr string, to Duty, grace time.Duration) error {
	return e.setBackend(ctx, addr, to, grace, true)
}

func (e *Engine) setBackend(ctx context.Context, addr string, to Duty, grace time.Duration, forced bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.changing.Lock()
	defer e.changing.Unlock()
	if !e.alive() {
		return errStopped
	}
	list := e.backends.named(addr)
	if len(list) == 0 {
		return fmt.Errorf("%w: %s", ErrNoBackend, addr)
	}
	if to != DutyOnline && !forced && !slices.ContainsFunc(list, func(b *Backend) bool { return b.Duty() != DutyOnline }) {
		if b := list[0]; e.backends.takesWrites(b) && !slices.ContainsFunc(e.backends.listed(), func(o *Backend) bool { return o != b && e.backends.takesWrites(o) }) {
			return &LastWriterError{b.Addr.String()}
		}
	}
	for _, b := range list {
		if b.removed && to == DutyOnline {
			continue // the configuration says when it comes back
		}
		limit := grace
		if to == DutyDraining && grace <= 0 {
			limit = forever
		}
		e.turn(b, to, max(0, limit), "")
	}
	return nil
}

// forever is no limit.
const forever time.Duration = 1 << 62

// takesWrites tells whether b takes writes, or would if no other did.
func (bs *backends) takesWrites(b *Backend) bool {
	if !b.open() {
		return false
	}
	if !bs.auto {
		return !b.ReadOnly
	}
	switch role(b.probed.role.Load()) {
	case rolePrimary, rolePeer:
		return b.Health() == HealthGood
	case roleUnknown, roleReplica:
	}
	return false
}

// named are the backends with an address, which may be given as it is or as it was
// configured: one, and maybe one that has been removed from the configuration and
// still has sessions.
func (bs *backends) named(addr string) (list []*Backend) {
	given, err := reactor.SplitAddr(addr)
	for _, b := range bs.all() {
		is := b.Addr.String() == addr
		if !is && err == nil {
			is = given.Path != "" && given.Path == b.Addr.Path || given.Path == "" && given.Host == b.config().Host && b.Addr.Path == "" && given.Port == b.Addr.IP.Port()
		}
		if is && !b.gone.Load() {
			list = append(list, b)
		}
	}
	slices.SortFunc(list, func(a, b *Backend) int { return compareBool(a.removed, b.removed) })
	return list
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// turn has b do its duty. The caller has e.changing.
func (e *Engine) turn(b *Backend, to Duty, grace time.Duration, why string) {
	if b.undrain != nil {
		b.undrain()
		b.undrain = nil
	}
	if to != DutyOnline {
		ctx, cancel := context.WithCancel(e.life)
		b.undrain = cancel
		e.duty(b, DutyDraining, why)
		e.probing.Go(func() { e.drain(ctx, b, grace) })
		return
	}
	e.duty(b, DutyOnline, why)
	e.probing.Go(func() { e.reroute(e.life) })
}

// duty notes b's duty. The caller has e.changing.
func (e *Engine) duty(b *Backend, to Duty, why string) {
	was := Duty(b.duty.Swap(int32(to)))
	if was == to {
		return
	}
	attrs := []slog.Attr{slog.String("backend", b.Addr.String()), slog.String("was", was.String())}
	if why != "" {
		attrs = append(attrs, slog.String("reason", why))
	}
	e.cfg().Log.LogAttrs(e.life, LevelMessage, [...]string{"backend is online", "backend is draining", "backend is in maintenance"}[to], attrs...)
	e.events.add(Event{Kind: EventDuty, Backend: b.Addr.String(), From: was.String(), To: to.String(), Reason: why})
}

// reroute has elections and sessions know that backends, or what they are to do, have
// changed.
func (e *Engine) reroute(ctx context.Context) {
	e.elect(ctx)
	e.turned()
}

// alive tells whether the engine runs. The caller has e.changing.
func (e *Engine) alive() bool { return e.life != nil && e.life.Err() == nil }
