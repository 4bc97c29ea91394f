package engine

import (
	"cmp"
	"context"
	"math"
	"runtime/metrics"
	"slices"
	"sort"
	"time"

	"mysqlproxy/packet"
)

// This file asks the loops for the figures of figures.go.
//
//	askLoops --> Post --> each loop adds its sessions' counters to its own --> sum

// askLoops has each loop answer a question, on its goroutine, and returns the
// answers in the loops' order. Loops that have stopped give none, nor does one on
// which ask panics. An error is ctx's: the wait for a loop that is busy, or does
// not run yet, ends with it.
func askLoops[T any](ctx context.Context, e *Engine, ask func(*loop) T) ([]T, error) {
	type answer struct {
		ok bool
		is T
	}
	waits := make([]chan answer, len(e.loops))
	for i, l := range e.loops {
		got := make(chan answer, 1)
		waits[i] = got
		l.Post(func() {
			var a answer
			defer func() { got <- a }()
			a = answer{is: ask(l), ok: true}
		})
	}
	var all []T
	for i, l := range e.loops {
		var a answer
		select {
		case a = <-waits[i]:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-l.Done():
			select { // it may have answered before
			case a = <-waits[i]:
			default:
			}
		}
		if a.ok {
			all = append(all, a.is)
		}
	}
	return all, nil
}

// gather is askLoops for lists, sorted by less if that is not nil.
func gather[T any](ctx context.Context, e *Engine, ask func(*loop) []T, less func(a, b T) bool) ([]T, error) {
	lists, err := askLoops(ctx, e, ask)
	if err != nil {
		return nil, err
	}
	all := slices.Concat(lists...)
	if less != nil {
		sort.Slice(all, func(i, j int) bool { return less(all[i], all[j]) })
	}
	return all, nil
}

// tally is what one loop has counted that is not told by loop.
type tally struct {
	routes [2][routeReasons]uint64
	pins   [pinKinds]int
	closes [reasons]uint64
}

func (t *tally) add(o *tally) {
	for to := range t.routes {
		for why := range t.routes[to] {
			t.routes[to][why] += o.routes[to][why]
		}
	}
	for i := range t.pins {
		t.pins[i] += o.pins[i]
	}
	for i := range t.closes {
		t.closes[i] += o.closes[i]
	}
}

// loopFigures is a loop's answer.
type loopFigures struct {
	tally
	loop LoopFigures
	idle map[*Backend]int // by backend
}

// figures adds up what l's sessions have done, those that are over included.
func (l *loop) figures() *loopFigures {
	f := &loopFigures{loop: LoopFigures{Number: l.number, Accepted: l.accepted, Commands: l.over.commands, BytesIn: l.over.in, BytesOut: l.over.out}}
	f.routes, f.closes = l.routes, l.closes
	l.each(func(c *client) {
		if c.ofAdmin() {
			f.loop.Admin++
			return
		}
		f.loop.Sessions++
		f.loop.Commands += c.commands
		f.loop.BytesIn += c.in
		f.loop.BytesOut += c.out
		if c.sp != nil && c.state < clientClosing {
			for i := range f.pins {
				if c.sp.state.pins&(1<<i) != 0 {
					f.pins[i]++
				}
			}
		}
	})
	f.idle = map[*Backend]int{} // their list may be another one by the time that this is read
	for _, b := range l.engine.backends.all() {
		l.pool(b).users(func(_ string, idle []*server) { f.idle[b] += len(idle) })
	}
	return f
}

// ofAdmin tells whether c is a session of the admin port.
func (c *client) ofAdmin() bool { return c.sx != nil && c.sx.kind == loginAdmin }

// users calls do for each user that has idle sessions.
func (p *pool) users(do func(user string, idle []*server)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for user, list := range p.idle {
		do(user, list)
	}
}

// sessions tells of all of l's sessions.
func (l *loop) sessions() []SessionFigures {
	list := make([]SessionFigures, 0, l.n)
	now := l.Now()
	l.each(func(c *client) { list = append(list, c.figures(now)) })
	return list
}

// figures tells of c. now is on the loop's clock.
func (c *client) figures(now time.Duration) SessionFigures {
	f := SessionFigures{
		ID: c.number, Loop: c.loop.number, User: c.user, Client: c.remote.String(), State: c.state.String(), Admin: c.ofAdmin(), Script: c.sx != nil && !c.ofAdmin(),
		TLS: c.tls, Statements: -1, Commands: c.commands, BytesIn: c.in, BytesOut: c.out, Age: now - c.since, Idle: now - c.active,
	}
	switch {
	case c.zip == nil:
	case c.packs&packet.CapZstd != 0:
		f.Compression = "zstd"
	default:
		f.Compression = "zlib"
	}
	home := c.server
	switch {
	case c.sx != nil:
		f.User = c.sx.who.user
		f.Database = c.sx.half.DefaultDB
		f.DatabaseKnown = c.state >= clientReady && !(home != nil && home.moved)
	case c.sp != nil && c.state >= clientReady && c.state < clientClosing:
		home = c.sp.figures(&f)
	}
	if home != nil && home.state < serverClosing {
		f.Home, f.Thread, f.InTransaction = home.backend.Addr.String(), home.thread, home.inTransaction()
	}
	return f
}

// figures fills in what is known of a session that splits, and returns its home.
func (sp *splitting) figures(f *SessionFigures) *server {
	st := &sp.state
	f.Database, f.DatabaseKnown = st.database, true
	f.Statements = sp.prep.n()
	for i := range pinKinds {
		if p := st.pins & (1 << i); p != 0 {
			f.Pins = append(f.Pins, p.reason().String())
		}
	}
	if r := sp.reader; r != nil {
		f.Reader = r.backend.Addr.String()
	}
	if sp.routed {
		f.LastRoute, f.LastReason = sp.went.String(), sp.wentFor.String()
	}
	return sp.home
}

// poolFigures tells of l's idle server sessions.
func (l *loop) poolFigures() []PoolFigures {
	var list []PoolFigures
	for _, b := range l.engine.backends.all() {
		from := len(list)
		l.pool(b).users(func(user string, idle []*server) {
			list = append(list, PoolFigures{Loop: l.number, Backend: b.Addr.String(), User: user, Idle: len(idle)})
		})
		slices.SortFunc(list[from:], func(a, b PoolFigures) int { return cmp.Compare(a.User, b.User) })
	}
	return list
}

// String is where commands went, in the words of packet.Route.
func (w where) String() string { return [...]string{"primary", "replica"}[w] }

// routeFigures are those of all reasons for which a command can go home, and of
// those for which it can go to a replica.
func (t *tally) routeFigures(e *Engine) []RouteFigures {
	if !e.cfg().Split || e.scripts != nil {
		return nil
	}
	var list []RouteFigures
	at := map[string]int{} // a reason of a statement and one of its session may have one name
	for why := range RouteReason(routeReasons) {
		if why < RouteCommand && int(why) >= packet.RouteReasons {
			continue
		}
		name := why.String()
		if i, ok := at[name]; ok {
			list[i].Commands += t.routes[atHome][why]
			continue
		}
		at[name] = len(list)
		list = append(list, RouteFigures{To: atHome.String(), Reason: name, Commands: t.routes[atHome][why]})
	}
	for _, why := range [...]RouteReason{RouteRead, RouteLastStatement} {
		list = append(list, RouteFigures{To: atReader.String(), Reason: why.String(), Commands: t.routes[atReader][why]})
	}
	return list
}

func (t *tally) pinFigures(e *Engine) []PinFigures {
	if !e.cfg().Split || e.scripts != nil {
		return nil
	}
	list := make([]PinFigures, pinKinds)
	for i := range list {
		list[i] = PinFigures{Reason: pin(1 << i).reason().String(), Sessions: t.pins[i]}
	}
	return list
}

func (t *tally) closeFigures() []CloseFigures {
	var list []CloseFigures
	for r := reasonNone + 1; r < reasons; r++ {
		list = append(list, CloseFigures{Reason: r.String(), Fault: r.Fault().String(), Sessions: t.closes[r]})
	}
	return list
}

// String is the word of the metric.
func (f Fault) String() string { return [...]string{"nobody", "client", "server", "proxy"}[f] }

// memoryFigures asks the runtime, which is not stopped for it.
func memoryFigures() MemoryFigures {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/goal:bytes"}, {Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"}, {Name: "/sched/goroutines:goroutines"}, {Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/sched/pauses/total/gc:seconds"},
	}
	metrics.Read(samples)
	n := func(i int) uint64 { return samples[i].Value.Uint64() }
	m := MemoryFigures{Heap: n(0), HeapGoal: n(1), Total: n(2) - n(3), Goroutines: n(4), GCs: n(5)}
	h := samples[6].Value.Float64Histogram()
	for i, count := range h.Counts {
		from, to := h.Buckets[i], h.Buckets[i+1]
		if math.IsInf(from, -1) {
			from = 0
		}
		if math.IsInf(to, 1) {
			to = from
		}
		m.GCPauses += time.Duration(float64(count) * (from + to) / 2 * float64(time.Second))
	}
	return m
}
