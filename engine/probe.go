package engine

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// This file is how the proxy finds out by itself, off the event loops, what its
// backends are fit for.
//
//	time, or a connect that failed --> probe (probeask.go) --> findings --> judge
//	                                                                         |
//	      Backend: State, Health, Lag, Latency <-- log, loops <-- what has changed
//
// A probe that reaches a server and is not let in tells nothing: the backend is
// then what connects show, as without probes.

// prober probes one backend, on a goroutine of its own, which alone touches it but
// for kick.
type prober struct {
	e     *Engine
	b     *Backend
	terms *running     // as of the probe that is on,
	cfg   HealthConfig // and its part
	dial  func(context.Context) (asker, error)

	kicks chan struct{} // somebody has seen a failure: probe now,
	anew  atomic.Bool   // with a login of its own

	session *examiner     // nil while there is none
	login   time.Time     // when it was opened,
	renew   time.Duration // and how old it gets where it may not ask all
	streak  int           // of probes that succeeded in a row; below 0: that failed
	since   time.Time     // when health changed
	seen    time.Time     // when lag was known last,
	last    time.Duration
	mute    string    // what the log has been told of what probes are not told
	began   time.Time // the last probe
	soonest time.Duration
}

const (
	// probeSoonest is from the begin of one probe to the next at least, and the
	// pause after a failure that is not enough to be DOWN.
	probeSoonest = 100 * time.Millisecond
	// probeBarred is the pause after a login was refused, and how old a session gets
	// that may not ask all.
	probeBarred = 5 * time.Second
	// probePatience is for how long a login at a server that is DOWN may take. One
	// that is stopped answers when it goes on; to hang up on it again and again
	// would count, there, against this host (max_connect_errors). One that has gone
	// from the network is told by the kernel (probeAlive).
	probePatience = 5 * time.Minute
)

func newProber(e *Engine, b *Backend) *prober {
	p := &prober{e: e, b: b, terms: e.cfg(), kicks: make(chan struct{}, 1), since: time.Now(), renew: probeBarred}
	p.cfg = *p.terms.Health
	p.dial = func(ctx context.Context) (asker, error) { return dialProbe(ctx, &p.terms.Config, b) }
	b.probed.lag.Store(-1)
	return p
}

// kick has the backend probed now. Any goroutine may call it. A failed connect
// asks for a new login: a session that is there may outlive the listener.
func (p *prober) kick(anew bool) {
	if anew {
		p.anew.Store(true)
	}
	select {
	case p.kicks <- struct{}{}:
	default: // there is one already
	}
}

// probe starts b's probes, until ctx ends. first is called once, after the first of
// them or when there is none.
func (e *Engine) probe(ctx context.Context, b *Backend, first func()) {
	ctx, cancel := context.WithCancel(ctx)
	b.unprobe = cancel
	p := b.prober.Load()
	e.probing.Go(func() {
		defer cancel()
		p.run(ctx, sync.OnceFunc(first))
		if b.prober.Load() == nil {
			b.unprobed()
		}
	})
}

// run probes until ctx ends.
func (p *prober) run(ctx context.Context, first func()) {
	defer p.hangUp()
	defer first()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.kicks:
			if left := time.Until(p.began.Add(p.soonest)); left > 0 {
				select {
				case <-ctx.Done():
					return
				case <-time.After(left):
				}
			}
		case <-pause.C:
		}
		p.began = time.Now()
		if p.terms = p.e.cfg(); p.terms.Health == nil {
			<-ctx.Done() // whoever has changed that ends it
			return
		}
		p.cfg = *p.terms.Health
		f, err := p.probe(ctx)
		if ctx.Err() != nil {
			return
		}
		was, fit := p.b.probed.role.Load(), p.b.Health()
		pause.Reset(p.takes(f, err, time.Now()))
		first()
		if p.b.probed.role.Load() != was || p.b.Health() != fit {
			p.e.elect(ctx)
		}
	}
}

func (p *prober) hangUp() {
	if p.session != nil {
		p.session.close()
		p.session = nil
	}
}

// probe asks the backend, by a new session if there is none.
func (p *prober) probe(ctx context.Context) (f findings, err error) {
	defer func() {
		if no := recover(); no != nil { // a server must not stop the proxy by what it sends
			p.hangUp()
			err = fmt.Errorf("its answer could not be read: %v", no)
		}
	}()
	if p.anew.Swap(false) {
		p.hangUp()
	}
	if p.session == nil {
		within := p.cfg.Timeout
		if p.b.State() == BackendDown {
			within = max(within, probePatience)
		}
		login, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		s, err := p.dial(login)
		if err != nil {
			return f, silent(err, within)
		}
		p.login = time.Now()
		p.session = &examiner{asker: s, lags: p.b.ReadOnly && p.cfg.MaxLag > 0 || p.cfg.Roles}
	}
	f, err = p.session.examine(ctx, p.cfg.Timeout)
	if err != nil || f.unasked != nil && (number(f.unasked) == 0 || time.Since(p.login) >= p.renew) {
		p.hangUp() // what a user may is as of its login: the right may have been granted since
	}
	return f, silent(err, p.cfg.Timeout)
}

// takes acts on what a probe has found, and says how long to wait for the next one.
func (p *prober) takes(f findings, err error, now time.Time) (pause time.Duration) {
	pause, p.soonest = p.cfg.Interval, probeSoonest
	p.b.probed.probes.Add(1)
	if err != nil && number(err) != errOffline {
		p.b.probed.failures.Add(1)
		p.b.failed(err)
	}
	switch {
	case err == nil:
		p.b.probed.spread.add(f.took)
		p.succeeded(f, now)
	case number(err) == errOffline:
		p.succeeded(findings{offline: true, took: p.b.Latency()}, now)
	case unreachable(err):
		p.failed(err, now)
		if -p.streak < p.cfg.Fall {
			pause = min(pause, probeSoonest)
		}
	default:
		p.barred(err, now)
		pause, p.soonest = max(pause, probeBarred), probeBarred
	}
	// Not all backends at once.
	return pause - time.Duration(rand.Int64N(int64(pause)/5+1))
}

// succeeded: the backend answers.
func (p *prober) succeeded(f findings, now time.Time) {
	p.streak = max(p.streak, 0) + 1
	b := p.b
	b.probed.answered(f.took)
	down := b.State() == BackendDown
	if down && p.streak < p.cfg.Rise {
		return
	}
	since := time.Unix(b.since.Load(), 0)
	if b.Health() == HealthDown {
		since = p.since
	}
	b.probed.on.Store(true)
	if b.set(BackendUp, "") {
		if down {
			p.says(LevelMessage, "backend is up", slog.Int("seconds", int(now.Sub(since).Seconds())))
		}
		p.e.turned()
	}
	if f.unasked == nil {
		p.hears("")
	}
	if p.cfg.Roles {
		b.plays(roleOf(f, role(b.probed.role.Load())))
	}
	if b.probed.readOnly.Swap(f.readOnly) != f.readOnly && !b.ReadOnly && !p.cfg.Roles {
		if f.readOnly {
			p.says(LevelMessage, "a read/write backend has become read_only: writes fail there")
		} else {
			p.says(LevelMessage, "a read/write backend is not read_only any more")
		}
	}
	p.is(p.judge(f, now), f.group, now)
}

// judge says what a backend that answers is fit for.
func (p *prober) judge(f findings, now time.Time) Health {
	switch {
	case f.offline:
		return HealthOffline
	case p.cfg.MaxLag == 0 || !p.b.ReadOnly && !p.cfg.Roles:
		return HealthGood
	case p.cfg.Roles && role(p.b.probed.role.Load()) == rolePrimary:
		p.forgetLag()
		return HealthGood
	case f.member && f.group != "":
		return HealthUnsynced
	case f.member:
		return HealthGood
	case f.unasked != nil:
		return p.unasked(f.unasked, now)
	case f.replication.channels == 0 && f.storage:
		return HealthGood
	case f.replication.channels == 0:
		return HealthNotReplica
	}
	return p.follows(f.replication, now)
}

// follows judges a replica by its replication.
func (p *prober) follows(r replication, now time.Time) Health {
	switch {
	case r.stopped:
		p.forgetLag()
		return HealthStopped
	case r.known:
		p.last, p.seen = r.lag, now
	case p.seen.IsZero():
		return HealthStopped // it looks for its primary, and may have done so for long
	}
	return p.lagging(now)
}

// lagging judges by the lag that was known last: since then it may have grown by
// the time that has passed.
func (p *prober) lagging(now time.Time) Health {
	lag := p.last + now.Sub(p.seen)
	p.b.probed.lag.Store(int64(lag))
	if lag > p.cfg.MaxLag {
		return HealthLagging
	}
	return HealthGood
}

func (p *prober) forgetLag() {
	p.seen = time.Time{}
	p.b.probed.lag.Store(-1)
}

// unasked judges a replica that does not say how it replicates. One that may not
// does well; one that does not come to it, because a thread of its replication is
// being stopped or for load, is further behind all the time.
func (p *prober) unasked(err error, now time.Time) Health {
	if number(err) == 0 && !p.seen.IsZero() {
		return p.lagging(now)
	}
	p.forgetLag()
	err = fmt.Errorf("its replication cannot be looked at, and it gets reads however far behind it is; --health-user needs REPLICATION CLIENT at MySQL, REPLICA MONITOR at MariaDB: %w", err)
	p.b.failed(err)
	p.hears(err.Error())
	return HealthGood
}

// failed: the backend does not answer.
func (p *prober) failed(err error, now time.Time) {
	p.streak = min(p.streak, 0) - 1
	if -p.streak < p.cfg.Fall {
		return
	}
	p.b.probed.on.Store(true)
	if p.b.set(BackendDown, err.Error()) {
		p.e.tellsFirst()
	}
	p.forgetLag()
	p.is(HealthDown, err.Error(), now)
}

// barred: the server is there and does not let the probe in.
func (p *prober) barred(err error, now time.Time) {
	p.streak = 0
	p.b.probed.on.Store(false)
	p.b.plays(roleUnknown)
	if p.b.State() == BackendDown {
		p.b.set(BackendUnknown, "the health probe is not let in: "+err.Error()) // connects have to show it
	}
	p.forgetLag()
	p.hears("the health probe is not let in; what connects show is all that is known: " + err.Error())
	p.is(HealthUnknown, "", now)
}

// hears tells the log what keeps probes from knowing more, when that changes.
func (p *prober) hears(what string) {
	switch {
	case p.mute == what:
	case what == "":
		p.says(LevelMessage, "the health probe is told all that it asks for again")
	default:
		p.says(slog.LevelError, what)
	}
	p.mute = what
}

// is notes what the backend is fit for now. detail is for the log.
func (p *prober) is(h Health, detail string, now time.Time) {
	b := p.b
	was := Health(b.probed.health.Swap(int32(h)))
	if was == h {
		return
	}
	b.events.add(Event{Kind: EventHealth, Backend: b.Addr.String(), From: was.String(), To: h.String(), Reason: detail})
	seconds := int(now.Sub(p.since).Seconds())
	p.since = now
	attrs := []slog.Attr{slog.String("reason", h.String()), slog.String("was", was.String()), slog.Int("seconds", seconds)}
	if detail != "" {
		attrs = append(attrs, slog.String("detail", detail))
	}
	if lag, ok := b.Lag(); ok && h == HealthLagging {
		attrs = append(attrs, slog.Duration("lag", lag))
	}
	switch {
	case h == HealthDown:
		p.says(LevelMessage, "backend is down", attrs...)
		for _, l := range p.e.loops {
			l.Post(func() { l.lost(b) })
		}
	case h.reads() && was != HealthUnknown && was != HealthDown:
		p.says(LevelMessage, "backend is fit again", attrs...)
	case !h.reads():
		p.says(LevelMessage, "backend is not fit for use", attrs...)
	}
}

func (p *prober) says(level slog.Level, what string, attrs ...slog.Attr) {
	p.e.cfg().Log.LogAttrs(context.Background(), level, what, append([]slog.Attr{slog.String("backend", p.b.Addr.String())}, attrs...)...)
}
