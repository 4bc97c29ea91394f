package engine

import (
	"math"
	"runtime/metrics"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mysqlproxy/packet"
)

// This file has what loops count by kinds, and what nobody has to be asked for.

// tally is what one loop has counted by kinds.
type tally struct {
	routes    [2][routeReasons]uint64
	closes    [reasons]uint64
	hooks     [callKinds]hookTally
	pins      [pinKinds]int
	owned     [sources]int
	anonymous [anonymities]int
	latency   *Histogram // nil with DigestsOff
}

func (t *tally) add(o *tally) {
	for to := range t.routes {
		for why := range t.routes[to] {
			t.routes[to][why] += o.routes[to][why]
		}
	}
	for i := range t.closes {
		t.closes[i] += o.closes[i]
	}
	for i := range t.hooks {
		t.hooks[i].add(&o.hooks[i])
	}
	for i := range t.pins {
		t.pins[i] += o.pins[i]
	}
	if t.latency == nil {
		t.latency = o.latency // which is nobody else's
	} else if o.latency != nil {
		for i, n := range o.latency.Counts {
			t.latency.Counts[i] += n
		}
		t.latency.Sum += o.latency.Sum
	}
	for i := range t.owned {
		t.owned[i] += o.owned[i]
	}
	for i := range t.anonymous {
		t.anonymous[i] += o.anonymous[i]
	}
}

// routeFigures are those of all reasons for which a command can go home, and of
// those for which it can go to a replica.
func (t *tally) routeFigures() []RouteFigures {
	var list []RouteFigures
	at := map[string]int{} // a reason of a statement and one of its session may have one name
	for why := range routeReasons {
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

func (t *tally) pinFigures() []PinFigures {
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

// String is the label of the metric.
func (f Fault) String() string { return [...]string{"nobody", "client", "server", "proxy"}[f] }

func (t *tally) identityFigures() []IdentityFigures {
	var list []IdentityFigures
	for how := range sources {
		list = append(list, IdentityFigures{How: how.String(), Owned: true, Sessions: t.owned[how]})
	}
	for why := anonNone + 1; why < anonymities; why++ {
		list = append(list, IdentityFigures{How: why.String(), Sessions: t.anonymous[why]})
	}
	return list
}

// call is one of a script's hooks.
type call uint8

const (
	callConnectServer call = iota
	callReadHandshake
	callReadAuth
	callReadAuthResult
	callReadQuery
	callReadQueryResult
	callDisconnectClient
	callKinds // their number
)

// String is the name of the hook's function.
func (h call) String() string {
	return [...]string{"connect_server", "read_handshake", "read_auth", "read_auth_result", "read_query", "read_query_result", "disconnect_client"}[h]
}

// hookTally counts the calls of one hook on one loop.
type hookTally struct {
	calls, failures, timed uint64
	time                   time.Duration
}

func (t *hookTally) add(o *hookTally) {
	t.calls += o.calls
	t.failures += o.failures
	t.timed += o.timed
	t.time += o.time
}

// hookTimed is one of how many calls is timed, so that short hooks do not pay for
// two looks at the clock each.
const hookTimed = 16

// calls counts a call that is about to be made. The time is the zero one unless
// this call is measured.
func (x *scripted) calls(h call) (began time.Time) {
	if x.kind == loginAdmin {
		return began
	}
	t := &x.c.loop.hooks[h]
	if t.calls++; t.calls%hookTimed == 1 {
		began = time.Now()
	}
	return began
}

// called is told that the call is over.
func (x *scripted) called(h call, began time.Time, failed bool) {
	if x.kind == loginAdmin {
		return
	}
	t := &x.c.loop.hooks[h]
	if failed {
		t.failures++
	}
	if !began.IsZero() {
		t.timed++
		t.time += time.Since(began)
	}
}

func (t *tally) hookFigures() []HookFigures {
	var list []HookFigures
	for h := range callKinds {
		n := &t.hooks[h]
		list = append(list, HookFigures{Hook: h.String(), Calls: n.calls, Failures: n.failures, Timed: n.timed, Time: n.time})
	}
	return list
}

// failure is what was wrong with a backend.
type failure struct {
	at   time.Time
	what string
}

// failed keeps what was wrong with b. Servers' own words may be in it.
func (b *Backend) failed(err error) {
	what := err.Error()
	if len(what) > longestReason {
		what = what[:longestReason]
	}
	b.lastError.Store(&failure{time.Now(), strings.ToValidUTF8(what, "\uFFFD")})
}

// figures is what is known of b without the loops.
func (bs *backends) figures(b *Backend) BackendFigures {
	f := BackendFigures{
		Index: b.index, Address: b.Addr.String(), Type: "rw", State: b.State().String(), Health: b.Health().String(),
		Role: role(b.probed.role.Load()).String(), Duty: b.Duty().String(), Leads: bs.leads(b), Weight: int(b.weight.Load()), Clients: b.Clients(), Waiting: b.Waiting(), UUID: scriptBackend{b: b}.UUID(),
		Connects: b.connects.Load(), Failures: b.failures.Load(),
		ProbeLatency: b.Latency(), Probes: b.probed.probes.Load(), ProbeFailures: b.probed.failures.Load(),
	}
	if b.ReadOnly {
		f.Type = "ro"
	}
	if b.prober.Load() != nil {
		f.Lag, f.LagKnown = b.Lag()
		f.ProbeTimes = b.probed.spread.histogram()
	}
	if last := b.lastError.Load(); last != nil {
		f.LastError, f.LastAt = last.what, last.at
	}
	b.events.mu.Lock()
	f.Since = b.toldAt
	b.events.mu.Unlock()
	return f
}

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

// processTime is the time of processors that the process has used.
func processTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
