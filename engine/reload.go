package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// This file is another configuration for an engine that runs.
//
//	Apply --> could it be? --> running --> backends: new, drained, with other weights --> probes, election
//
// Sessions go on. A login goes to its end by what it began with; everything else is
// looked up where it is used, and so holds from its next use on.

// Apply has the engine run with cfg from now on: all of it, or nothing and an error.
// Listen, Loops, HealthConfig.Roles, and whether there are Scripts and Admin, cannot
// change. Backends that are new get sessions at once; those that are not there any
// more, or in the other list, are drained without a limit, and stay known until
// their last session has ended. Any goroutine may call it.
func (e *Engine) Apply(ctx context.Context, cfg Config) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.changing.Lock()
	defer e.changing.Unlock()
	switch old := e.cfg(); {
	case !e.alive():
		return errStopped
	case cfg.Loops != old.Loops:
		return errors.New("the number of event threads cannot be changed while the proxy runs")
	case !slices.Equal(cfg.Listen, old.Listen):
		return errors.New("the addresses cannot be changed while the proxy runs")
	case (cfg.Scripts == nil) != (old.Scripts == nil), (cfg.Admin == nil) != (old.Admin == nil):
		return errors.New("plugins and scripts cannot be added or removed while the proxy runs")
	case (cfg.Health != nil && cfg.Health.Roles) != e.backends.auto:
		return errors.New("who tells the roles of backends cannot be changed while the proxy runs")
	}
	if err := distinct(cfg.Backends); err != nil {
		return err
	}
	e.now.Store(newRunning(cfg))
	e.backends.ordered.Store(cfg.Failover == FailoverOrdered)
	for _, b := range e.backends.all() {
		b.slots.changed()
	}
	for _, l := range e.loops {
		l.Post(func() { l.countsDigests(cfg.Digests) })
	}
	e.restock(cfg.Backends)
	e.reprobe()
	e.probing.Go(func() { e.reroute(e.life) })
	return nil
}

// distinct refuses a backend that is given twice.
func distinct(list []BackendConfig) error {
	for i, b := range list {
		if slices.ContainsFunc(list[:i], func(o BackendConfig) bool { return o.Addr == b.Addr }) {
			return fmt.Errorf("backend %s is given twice", b.Addr)
		}
	}
	return nil
}

// restock has the backends be those that are configured. The caller has e.changing.
func (e *Engine) restock(configured []BackendConfig) {
	bs := &e.backends
	all := slices.Clone(bs.all())
	var listed []*Backend
	var back []*Backend // they were removed, and have sessions still
	for _, cfg := range configured {
		i := slices.IndexFunc(all, func(b *Backend) bool {
			return b.Addr == cfg.Addr && !b.gone.Load() && (bs.auto || b.ReadOnly == cfg.ReadOnly)
		})
		if i < 0 {
			if i = slices.IndexFunc(all, func(b *Backend) bool { return b.gone.Load() }); i < 0 {
				i = len(all)
				all = append(all, nil)
			}
			all[i] = newBackend(e, cfg, i, len(e.loops))
		} else if b := all[i]; b.removed {
			back = append(back, b)
		}
		b := all[i]
		b.weight.Store(int32(max(1, cfg.Weight)))
		b.host.Store(&cfg.Host)
		listed = append(listed, b)
	}
	var left []*Backend
	for _, b := range bs.listed() {
		if !slices.Contains(listed, b) {
			b.removed = true
			left = append(left, b)
		}
	}
	bs.is(e, all, listed)
	for _, b := range back {
		b.removed = false
		e.turn(b, DutyOnline, 0, "it is configured again")
	}
	for _, b := range left {
		switch b.Duty() {
		case DutyOnline:
			e.turn(b, DutyDraining, forever, "it is not configured any more")
		case DutyDraining: // its end is the backend's
		case DutyMaintenance:
			e.bury(b)
		}
	}
}

// bury forgets a backend that is not configured any more and has no sessions. Its
// place is free then. The caller has e.changing.
func (e *Engine) bury(b *Backend) {
	b.gone.Store(true)
	e.unprobe(b)
}

// reprobe has each backend probed as is configured now. The caller has e.changing.
func (e *Engine) reprobe() {
	for _, b := range e.backends.all() {
		p := b.prober.Load()
		switch probed := e.cfg().Health != nil && !b.gone.Load(); {
		case !probed && p != nil:
			e.unprobe(b)
		case probed && p == nil:
			b.prober.Store(newProber(e, b))
			e.probe(e.life, b, func() {})
		case p != nil:
			p.kick(true) // by a login of the user that is configured now
		}
	}
}

// unprobe ends b's probes. Connects show what it is from then on. The caller has
// e.changing.
func (e *Engine) unprobe(b *Backend) {
	b.prober.Store(nil)
	if b.unprobe != nil {
		b.unprobe()
		b.unprobe = nil
	}
}
