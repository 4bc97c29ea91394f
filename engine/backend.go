package engine

import (
	"context"
	"sync/atomic"
	"time"

	"mysqlproxy/engine/hook"
	"mysqlproxy/engine/reactor"
)

// BackendState is what connecting to a backend has shown, by the names and
// numbers of MySQL Proxy.
type BackendState int32

const (
	BackendUnknown BackendState = iota // not tried yet, or down for long enough to be tried again
	BackendUp
	BackendDown
)

func (s BackendState) String() string { return [...]string{"unknown", "up", "down"}[s] }

// Backend is a configured server. All loops share it; its fields are atomic.
type Backend struct {
	Addr     reactor.Addr
	ReadOnly bool

	host  atomic.Pointer[string] // as it was given
	index int                    // among all there are, from 0

	state   atomic.Int32
	since   atomic.Int64 // unix seconds
	events  *events      // the engine's; nil: nobody is told
	told    BackendState // that the events know of, and since when; under their lock
	toldAt  time.Time
	clients atomic.Int64

	connects, failures atomic.Uint64           // of sessions' connects, those of probes apart
	lastError          atomic.Pointer[failure] // nil: none so far

	duty    atomic.Int32
	removed bool               // from the configuration; under Engine.changing
	gone    atomic.Bool        // and it has no sessions any more: another may take its place
	undrain context.CancelFunc // ends the drain that is on; under Engine.changing
	unprobe context.CancelFunc // ends its probes; likewise

	auto   bool         // probes tell its role
	weight atomic.Int32 // of a read-only one next to others, at least 1
	slots  slots
	probed probed
	prober atomic.Pointer[prober] // nil without health probes

	// pools has what each loop has with it, by the loop's number.
	pools []*pool

	// What scripts keep here: the numbers are theirs, but for the limit of idle
	// sessions, which is kept where there is one.
	uuid             atomic.Pointer[string]
	minIdle, maxIdle atomic.Int32
}

// State is what the last connects have shown.
func (b *Backend) State() BackendState { return BackendState(b.state.Load()) }

// Clients is the number of client sessions that have a session with b, or are
// connecting to it.
func (b *Backend) Clients() int { return int(b.clients.Load()) }

// reached is told that the backend has taken a connection. Where probes tell
// whether one that is DOWN is back, that is not enough. It tells whether its state
// has changed.
func (b *Backend) reached() (changed bool) {
	b.connects.Add(1)
	if b.probed.on.Load() && b.State() == BackendDown {
		return false
	}
	return b.set(BackendUp, "")
}

// suspect is told that a session with the backend has ended without a word.
func (b *Backend) suspect() {
	if p := b.prober.Load(); p != nil {
		p.kick(false)
	}
}

// set tells whether the state changed by it. why is for the events; "" says nothing.
func (b *Backend) set(s BackendState, why string) bool {
	was := BackendState(b.state.Swap(int32(s)))
	if was == s {
		if s == BackendDown {
			b.since.Store(time.Now().Unix()) // it has been tried again in vain
		}
		return false
	}
	b.since.Store(time.Now().Unix())
	b.changed(s, why)
	return true
}

// changed has the events tell of a new state. One that is only tried again is
// still what it was: nobody wants to read so every few seconds.
func (b *Backend) changed(s BackendState, why string) {
	if b.events == nil {
		return
	}
	b.events.mu.Lock()
	defer b.events.mu.Unlock()
	if now := b.State(); now != s || now == b.told {
		return // who has changed it since tells of it
	}
	b.events.put(Event{Kind: EventBackendState, Backend: b.Addr.String(), From: b.told.String(), To: s.String(), Reason: why})
	b.told, b.toldAt = s, time.Now()
}

// backends are all backends in the order of the configuration.
type backends struct {
	roster  atomic.Pointer[roster]
	checked atomic.Int64 // unix seconds of the last wake-up

	ordered atomic.Bool // the first that is not DOWN takes sessions

	auto bool                    // probes tell who is the primary
	lead atomic.Pointer[Backend] // who it is then, nil while nobody is
}

// roster is a list of backends that does not change; another takes its place.
type roster struct {
	list   []*Backend     // each at its index; one that has gone stays until its place is taken
	shown  []hook.Backend // the same, as scripts see them
	listed []*Backend     // those that are configured, in that order
}

// all are the backends of now, each at its index, those too that are not configured
// any more. The slice does not change. Any goroutine may call it.
func (bs *backends) all() []*Backend {
	if r := bs.roster.Load(); r != nil {
		return r.list
	}
	return nil
}

// listed are those that are configured, in that order. The slice does not change.
// Any goroutine may call it.
func (bs *backends) listed() []*Backend {
	if r := bs.roster.Load(); r != nil {
		return r.listed
	}
	return nil
}

// is has list be the backends from now on, of which listed are configured.
func (bs *backends) is(e *Engine, list, listed []*Backend) {
	r := &roster{list: list, listed: listed}
	for _, b := range list {
		r.shown = append(r.shown, scriptBackend{b, e})
	}
	bs.roster.Store(r)
}

// newBackend is a backend at index i, of an engine with so many loops.
func newBackend(e *Engine, cfg BackendConfig, i, loops int) *Backend {
	b := &Backend{Addr: cfg.Addr, ReadOnly: cfg.ReadOnly, index: i, auto: e.backends.auto, events: &e.events, toldAt: time.Now()}
	b.slots.now = &e.now
	b.weight.Store(int32(max(1, cfg.Weight)))
	b.host.Store(&cfg.Host)
	for range loops {
		b.pools = append(b.pools, new(pool))
	}
	return b
}

// config is b as it is configured.
func (b *Backend) config() BackendConfig {
	return BackendConfig{Addr: b.Addr, Host: *b.host.Load(), ReadOnly: b.ReadOnly, Weight: int(b.weight.Load())}
}

// wakeAfter is for how many seconds more than which a backend is left alone
// once it is down. Like MySQL Proxy's, its clock has whole seconds.
const wakeAfter = 4

// wake makes backends that have been down for a while worth a try again, but for
// those that are probed. There is no other way back: a client has to try. It
// reports those it woke.
func (bs *backends) wake(now time.Time, woken func(*Backend)) {
	last, sec := bs.checked.Load(), now.Unix()
	if sec == last || !bs.checked.CompareAndSwap(last, sec) {
		return
	}
	for _, b := range bs.listed() {
		if b.State() == BackendDown && !b.probed.on.Load() && sec-b.since.Load() > wakeAfter &&
			b.state.CompareAndSwap(int32(BackendDown), int32(BackendUnknown)) {
			woken(b)
		}
	}
}

// take chooses the read/write backend with the fewest clients that is open,
// one that has room for sessions before others, the first of equals, or just the first
// of all (FailoverOrdered), and counts the client that asked to it. It is nil if
// there is none. release gives it back.
func (bs *backends) take() *Backend {
	if bs.auto {
		b := bs.lead.Load()
		if b == nil || !b.open() {
			return nil
		}
		b.clients.Add(1)
		return b
	}
	if bs.ordered.Load() {
		b := bs.first()
		if b != nil {
			b.clients.Add(1)
		}
		return b
	}
	for {
		var best *Backend
		var fewest int64
		var crowded bool
		for _, b := range bs.listed() {
			if b.ReadOnly || !b.open() {
				continue
			}
			n, full := b.clients.Load(), b.slots.full()
			if best == nil || crowded && !full || crowded == full && n < fewest {
				best, fewest, crowded = b, n, full
			}
		}
		if best == nil || best.clients.CompareAndSwap(fewest, fewest+1) {
			return best
		}
	}
}

func (b *Backend) release() { b.clients.Add(-1) }
