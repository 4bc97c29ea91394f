package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"mysqlproxy/engine/hook"
	"mysqlproxy/engine/reactor"
)

// Engine is a running proxy: its loops, listeners and backends.
type Engine struct {
	now       atomic.Pointer[running] // what it runs with now, see live.go
	loops     []*loop
	listeners []*reactor.Listener
	backends  backends
	scripts   hook.Scripts // nil without a script
	admin     *AdminConfig // nil without the plugin
	started   time.Time
	sessions  atomic.Uint64 // so far: the last one's number
	anonymous strangers     // sessions without an identity
	threads   threads
	events    events
	running   sync.WaitGroup
	stops     atomic.Int32 // calls of Shutdown

	changing sync.Mutex      // held by who changes what it runs with, or a backend's duty
	life     context.Context // until Wait ends it; nil before Start

	election  election
	probing   sync.WaitGroup
	probeless context.CancelFunc // ends the probes
}

// New checks cfg and binds the listeners; nothing is accepted before Start.
// An error says which address failed and why.
func New(cfg Config) (_ *Engine, err error) {
	if cfg.Loops < 1 {
		return nil, fmt.Errorf("the number of event threads must be at least 1, not %d", cfg.Loops)
	}
	e := &Engine{}
	e.now.Store(newRunning(cfg))
	defer func() {
		if err != nil {
			e.abandon()
		}
	}()
	if err := distinct(cfg.Backends); err != nil {
		return nil, err
	}
	e.backends.ordered.Store(cfg.Failover == FailoverOrdered)
	e.backends.auto = cfg.Health != nil && cfg.Health.Roles
	var list []*Backend
	for i, b := range cfg.Backends {
		list = append(list, newBackend(e, b, i, cfg.Loops))
		if cfg.Health != nil {
			list[i].prober.Store(newProber(e, list[i]))
		}
	}
	e.backends.is(e, list, list)
	var loops []*reactor.Loop
	for range cfg.Loops {
		l, err := reactor.NewLoop(cfg.Log)
		if err != nil {
			return nil, fmt.Errorf("starting an event loop: %w", err)
		}
		loops = append(loops, l)
		e.loops = append(e.loops, &loop{
			Loop: l, engine: e, number: len(e.loops), dice: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), empty: make(chan struct{}),
		})
		e.loops[len(e.loops)-1].countsDigests(cfg.Digests)
	}
	byLoop := map[*reactor.Loop]*loop{}
	for i, l := range loops {
		byLoop[l] = e.loops[i]
	}
	accept := func(c *reactor.Conn, remote reactor.Addr) reactor.Handler { return byLoop[c.Loop()].accept(c, remote) }
	if cfg.Scripts != nil {
		if e.scripts, err = cfg.Scripts(global{e}); err != nil {
			return nil, err
		}
	}
	for _, a := range cfg.Listen {
		ln, err := reactor.Listen(a, loops, accept)
		if err != nil {
			return nil, fmt.Errorf("cannot listen on %s: %w", a, err)
		}
		e.listeners = append(e.listeners, ln)
	}
	if cfg.Admin != nil {
		if e.admin, err = cfg.Admin(global{e}); err != nil {
			return nil, err
		}
		accept := func(c *reactor.Conn, remote reactor.Addr) reactor.Handler {
			return byLoop[c.Loop()].acceptAdmin(c, remote)
		}
		ln, err := reactor.Listen(e.admin.Listen, loops, accept)
		if err != nil {
			return nil, fmt.Errorf("cannot listen on %s for the admin plugin: %w", e.admin.Listen, err)
		}
		e.listeners = append(e.listeners, ln)
	}
	if len(e.listeners) == 0 {
		return nil, errors.New("there is no address to listen on")
	}
	return e, nil
}

// abandon gives back what New took before it failed.
func (e *Engine) abandon() {
	for _, ln := range e.listeners {
		ln.CloseHere()
	}
	for _, l := range e.loops {
		l.Discard()
	}
}

// Addrs are the addresses that New bound, in the order of Config.Listen, with
// the real port where 0 was asked for.
func (e *Engine) Addrs() []reactor.Addr {
	var as []reactor.Addr
	for _, ln := range e.listeners {
		as = append(as, ln.Addr())
	}
	return as
}

// Backends are the configured servers, in the order of Config.Backends.
func (e *Engine) Backends() []*Backend { return e.backends.listed() }

// Start starts the loops and begins to accept.
func (e *Engine) Start() error {
	e.started = time.Now()
	for _, l := range e.loops {
		e.running.Add(1)
		go func() {
			defer e.running.Done()
			if err := l.Run(); err != nil {
				e.cfg().Log.Error("an event loop failed", "error", err)
			}
		}()
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.probeless = cancel
	for _, b := range e.backends.all() {
		if b.prober.Load() != nil {
			e.election.first.Add(1)
			e.probe(ctx, b, e.election.first.Done)
		}
	}
	if e.backends.auto {
		e.convene(ctx)
	}
	e.changing.Lock()
	e.life = ctx
	e.changing.Unlock()
	for _, ln := range e.listeners {
		ln.Start()
	}
	return nil
}

// Shutdown stops accepting, lets running commands and transactions finish for
// up to Config.ShutdownTimeout, then closes what is left. It returns at once;
// a second call closes everything now. Any goroutine may call it.
func (e *Engine) Shutdown() {
	if e.stops.Add(1) == 1 {
		for _, ln := range e.listeners {
			ln.Close()
		}
		for _, l := range e.loops {
			l.Post(l.drain)
		}
		return
	}
	for _, l := range e.loops {
		l.Post(l.force)
	}
}

// Wait returns when all sessions have ended after Shutdown and the loops have
// stopped.
func (e *Engine) Wait() {
	for _, l := range e.loops {
		<-l.empty
	}
	e.changing.Lock()
	e.probeless()
	e.changing.Unlock()
	e.probing.Wait()
	for _, l := range e.loops {
		l.Stop()
	}
	e.running.Wait()
}

// illegal is told of a move that a session must not make: a fault of ours,
// which costs the session that has it. The event loop catches the panic.
func (e *Engine) illegal(half, from, to string) {
	panic("illegal move of a " + half + " session from " + from + " to " + to)
}

func (e *Engine) woken(b *Backend) {
	e.cfg().Log.Debug("backend was down for more than 4 sec, waking it up", "backend", b.Addr.String())
}

// fail is told that connecting to b did not work.
func (b *Backend) fail(e *Engine, err error) {
	b.failures.Add(1)
	b.failed(err)
	if b.set(BackendDown, err.Error()) {
		e.cfg().Log.Log(context.Background(), LevelMessage, "connecting to backend failed, it is down; retrying with a different backend", "backend", b.Addr.String(), "error", err)
		e.tellsFirst()
	}
	if p := b.prober.Load(); p != nil {
		p.kick(true)
	}
}

// Stopping tells whether Shutdown has been called. Any goroutine may ask.
func (e *Engine) Stopping() bool { return e.stops.Load() > 0 }
