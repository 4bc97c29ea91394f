package engine

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// This file is what the control plane can ask a running engine. Nothing of it is
// called on a loop: each question is put to the loops by Post, and their answers
// are added up (figuresask.go). On the forward path there are plain counters only,
// which belong to a loop or a session.

// Figures is what an engine has done and does.
type Figures struct {
	Started time.Time // of the engine's Start
	Now     time.Time // when this was put together
	Version string    // of the program, Config.Version

	Backends []BackendFigures // by Index; also those that are not configured any more and still have sessions
	Loops    []LoopFigures    // without those that have stopped
	Routes   []RouteFigures   // those of 0 commands too; empty without splitting
	Pins     []PinFigures     // those of no session too; empty without splitting
	Closes   []CloseFigures   // those of no session too
	Splits   uint64           // how often more than one backend was found to be a primary
	// WaitingForPrimary is how many sessions wait for a read/write backend, while there
	// is none: new ones, and those with a command.
	WaitingForPrimary int
	// Identities are of sessions that are logged in; empty without splitting.
	Identities []IdentityFigures
	Hooks      []HookFigures // of the script, in the order of a session's life; empty without one
	CPU        time.Duration // that the process has used, user and system together
	Memory     MemoryFigures

	// Latency is that of all commands that were timed since the start, as in
	// DigestFigures; nil with DigestsOff.
	Latency *Histogram
}

// BackendFigures is what is known of a backend.
type BackendFigures struct {
	Index   int    // from 0; scripts count from 1
	Address string //
	Type    string // "rw" or "ro": the list of the configuration that it is in
	State   string // of its BackendState: what connects show
	Health  string // of its Health: what probes find
	Role    string // "primary", "replica", "peer", or "unknown" where probes do not tell (--roles)
	Duty    string // of its Duty: online, draining, maintenance
	Leads   bool   // writes may go there now
	Weight  int    // of its reads, next to others'
	Clients int    // sessions that have a session with it, or are connecting to it
	Idle    int    // server sessions in the loops' pools
	Servers int    // connections to it, those of Idle and those that are begun or being closed too
	Waiting int    // sessions that wait for one with it, which has as many as it may (PoolConfig.MaxSessions)

	Since     time.Time // when State became what it is; one that is down and is tried again is still down
	Connects  uint64    // connections that it has taken so far, those of probes apart
	Failures  uint64    // connects, and greetings and handshakes behind them, that failed so far, those of probes apart
	Commands  uint64    // of clients and scripts that were sent to it; those that the proxy asks for itself are not in it
	BytesIn   uint64    // from it, so far, as they were before encryption and compression
	BytesOut  uint64    // to it, likewise
	LastError string    // of connects and probes, however long ago; "" if there was none
	LastAt    time.Time // of that
	UUID      string    // what a script has noted, "" if none has

	Lag          time.Duration // behind its primary,
	LagKnown     bool          // if that is known
	ProbeLatency time.Duration // how long it took of late to answer a probe; 0: none was answered

	Probes        uint64 // so far
	ProbeFailures uint64 // of which failed
	// ProbeTimes are of the probes that were answered; empty without probes.
	ProbeTimes Histogram
}

// LoopFigures is what an event loop has done and does.
type LoopFigures struct {
	Number   int // from 0
	Sessions int // client sessions now, without those of the admin port
	Admin    int // sessions of the admin port now
	Servers  int // connections to backends now, whatever their state

	Accepted uint64 // client sessions so far, without those of the admin port
	Commands uint64 // of those sessions
	BytesIn  uint64 // from clients, as they were before encryption and compression
	BytesOut uint64 // to clients, likewise

	Turns uint64 // how often a socket, or another descriptor of the loop's, was found ready
	// Busy is about how long handling those took, in sum; one of 64 is timed. A loop
	// for which it grows by a second in a second has no more to give.
	Busy    time.Duration
	Waiting int // bytes that wait for peers to take them
	Buffers int // memory for what is read and what waits, in bytes
}

// RouteFigures counts commands of sessions that split.
type RouteFigures struct {
	To       string // "primary" or "replica"
	Reason   string // of a RouteReason
	Commands uint64 // so far
}

// PinFigures counts sessions whose reads stay at the primary until something ends.
type PinFigures struct {
	Reason   string // of a RouteReason
	Sessions int    // now; one that has several reasons counts for each
}

// CloseFigures counts client sessions that have ended, without those of the admin
// port.
type CloseFigures struct {
	Reason   string // of a CloseReason
	Fault    string // of its Fault
	Sessions uint64 // so far
}

// IdentityFigures counts sessions by how the proxy has come to own what it needs
// to log in as their users, or by why it has not.
type IdentityFigures struct {
	How      string // "users_file", "relay", "sync"; or the reason of Engine.Anonymous
	Owned    bool   // the former
	Sessions int    // now
}

// HookFigures counts the calls of one of a script's hooks.
type HookFigures struct {
	Hook     string // "read_query" and so on
	Calls    uint64
	Failures uint64 // calls that raised an error or returned what means nothing
	// Timed is how many of the calls were measured, one of 16 on each loop, and Time
	// is how long those took in sum, with the wait for the other hooks that run at
	// the time.
	Timed uint64
	Time  time.Duration
}

// MemoryFigures is what the process takes. Sizes are in bytes.
type MemoryFigures struct {
	Heap       uint64        // of live objects, and dead ones that are not swept yet
	HeapGoal   uint64        // at which the next collection ends
	Total      uint64        // all that the runtime has from the system and has not given back
	Goroutines uint64        //
	GCs        uint64        // collections so far
	GCPauses   time.Duration // in sum, about: the runtime keeps a histogram
}

// SessionFigures is one client session.
type SessionFigures struct {
	ID   uint64 // for Kill; of this process, from 1, never given twice
	Loop int

	User   string // of the login; "" before it
	Client string // its address; "" of a unix socket's client
	State  string // greeting, tls, login, ready, busy, infile, closing, closed
	Admin  bool   // it is a session of the admin port
	Script bool   // a script has it in hand
	TLS    bool   // between client and proxy
	// Compression between client and proxy: "zlib", "zstd" or "".
	Compression string

	Database      string // that is selected,
	DatabaseKnown bool   // if that is known: not without a script or splitting

	Home   string // the backend whose session it writes at; "" if it has none now
	Thread uint32 // its connection id there, 0 if it has none now
	// Identity is how the proxy owns what it needs to log in as the user, or why it
	// does not: see IdentityFigures. It is "" without splitting.
	Identity string
	Reader   string // the replica that it has a session with, "" if it has none

	Pins          []string // why its reads stay at the primary, as RouteReason; nil if they do not, and without splitting
	InTransaction bool     // as the server has said last
	Statements    int      // prepared ones that are open; -1: not known, for nobody splits

	LastRoute  string // "primary" or "replica", where its last command went; "" without splitting
	LastReason string // of a RouteReason: why

	Waits string // what the client's next command waits for: "primary" while there is none, "pool" for room at a backend or for one of its idle sessions, "reader", "home", "answer" of the proxy's own, "state"; "" if it does not wait

	Commands uint64
	BytesIn  uint64 // from the client, before encryption and compression
	BytesOut uint64

	Age  time.Duration // since it was accepted, 100 ms fine
	Idle time.Duration // since bytes came last, from either side, 100 ms fine
}

// PoolFigures is what one loop has of idle server sessions with one backend for
// one user.
type PoolFigures struct {
	Loop    int
	Backend string // its address
	User    string
	Idle    int
	// Reserved are those of Idle that are kept for the session that had them last,
	// as they are in a transaction or the like.
	Reserved   int
	OldestIdle time.Duration // 100 ms fine
}

// Figures asks for all that is counted. An error is ctx's.
func (e *Engine) Figures(ctx context.Context) (Figures, error) {
	loops, err := askLoops(ctx, e, (*loop).figures)
	if err != nil {
		return Figures{}, err
	}
	f := Figures{Started: e.started, Now: time.Now(), Version: e.cfg().Version, Splits: e.Splits(), CPU: processTime(), Memory: memoryFigures()}
	var all tally
	for _, l := range loops {
		f.Loops = append(f.Loops, l.loop)
		f.WaitingForPrimary += l.waiting
		all.add(&l.tally)
	}
	for _, b := range e.backends.all() {
		if b.gone.Load() {
			continue
		}
		bf := e.backends.figures(b)
		for _, l := range loops {
			t := l.backends[b]
			t.fill(&bf)
		}
		f.Backends = append(f.Backends, bf)
	}
	f.Closes, f.Latency = all.closeFigures(), all.latency
	if e.scripts != nil {
		f.Hooks = all.hookFigures()
	} else if e.cfg().Split {
		f.Routes, f.Pins, f.Identities = all.routeFigures(), all.pinFigures(), all.identityFigures()
	}
	return f, nil
}

// Sessions are all client sessions, those of the admin port too, the oldest first.
// An error is ctx's.
func (e *Engine) Sessions(ctx context.Context) ([]SessionFigures, error) {
	lists, err := askLoops(ctx, e, (*loop).sessions)
	if err != nil {
		return nil, err
	}
	var all []SessionFigures
	for _, list := range lists {
		for i := range list {
			all = append(all, list[i].session())
		}
	}
	slices.SortFunc(all, func(a, b SessionFigures) int { return cmp.Compare(a.ID, b.ID) })
	return all, nil
}

// Pools are the idle server sessions, by loop, backend and user. An error is ctx's.
func (e *Engine) Pools(ctx context.Context) ([]PoolFigures, error) {
	lists, err := askLoops(ctx, e, (*loop).poolFigures)
	return slices.Concat(lists...), err
}
