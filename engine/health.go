package engine

import (
	"sync/atomic"
	"time"
)

// Health is what a backend is fit for by what health probes have found. It stands
// beside its BackendState, which is all that scripts see.
type Health int32

// What probes find.
const (
	HealthUnknown    Health = iota // no probe, or one that may not log in
	HealthGood                     // fit for what it is configured for
	HealthDown                     // it does not answer
	HealthOffline                  // it takes no ordinary users: offline_mode
	HealthLagging                  // it is more than HealthConfig.MaxLag behind
	HealthStopped                  // its replication has stopped
	HealthNotReplica               // it is configured as read-only and follows nobody
	HealthUnsynced                 // it is a member of a group, Galera's or MySQL's, and not in step with it
)

// String is the word of the log.
func (h Health) String() string {
	return [...]string{"unknown", "good", "down", "offline", "lagging", "stopped", "not_replica", "unsynced"}[h]
}

// reads tells whether reads that are safe at a replica may go there.
func (h Health) reads() bool { return h <= HealthGood }

// behind tells whether a replica answers and has yet no reads because of what it
// may lack.
func (h Health) behind() bool { return h >= HealthLagging }

// HealthConfig says how backends are probed. It is complete, like Config.
type HealthConfig struct {
	Interval time.Duration // from one probe of a backend to the next
	Timeout  time.Duration // for a connect, and for the answer to a query
	Rise     int           // so many probes in a row have to succeed before one that is DOWN is UP
	Fall     int           // so many have to fail before it is DOWN
	User     string
	// Password is User's. It is called for each login, on a goroutine of the
	// probe's, and may read a file.
	Password func() (string, error)
	// MaxLag is how far behind a read-only backend may be and still get reads. At
	// 0 its replication is not looked at.
	MaxLag time.Duration
	// Roles has probes tell who is the primary (--roles=auto). It is for sessions
	// without a script.
	Roles bool
}

// probed is what probes have found of a backend. Loops read it without a lock.
type probed struct {
	on       atomic.Bool  // probes tell whether the backend is DOWN
	health   atomic.Int32 // a Health
	lag      atomic.Int64 // nanoseconds; -1: nobody knows
	latency  atomic.Int64 // nanoseconds, of late; 0: nobody knows
	readOnly atomic.Bool  // it said so when it was last asked
	role     atomic.Int32 // a role

	probes, failures atomic.Uint64
	spread           probeSpread // of how long those took that were answered
}

// Health is what probes have found.
func (b *Backend) Health() Health { return Health(b.probed.health.Load()) }

// Lag is how far behind its primary a read-only backend is. ok is false if nobody
// knows.
func (b *Backend) Lag() (lag time.Duration, ok bool) {
	n := b.probed.lag.Load()
	return max(0, time.Duration(n)), n >= 0
}

// Latency is how long the backend took of late to answer a probe; 0 if none has
// been answered.
func (b *Backend) Latency() time.Duration { return time.Duration(b.probed.latency.Load()) }

// unprobed forgets what probes have found: from now on connects show what b is.
func (b *Backend) unprobed() {
	b.probed.on.Store(false)
	b.probed.health.Store(int32(HealthUnknown))
	b.probed.lag.Store(-1)
	b.probed.latency.Store(0)
	b.probed.role.Store(int32(roleUnknown))
	if b.State() == BackendDown {
		b.set(BackendUnknown, "it is not probed any more")
	}
}

// answered notes how long a probe took.
func (p *probed) answered(took time.Duration) {
	before := p.latency.Load()
	if before == 0 {
		before = int64(took)
	}
	p.latency.Store(max(1, before+(int64(took)-before)/4))
}
