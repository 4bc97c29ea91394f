package admin

import (
	"net/http"
	"strings"
	"time"

	"github.com/bytedance/sonic"

	"mysqlproxy/engine"
)

// This file is /status.json: what /metrics has and what has happened of late, for
// people and programs that do not speak Prometheus. Fields are added at times;
// none is taken away or changes its meaning. Times are RFC 3339, durations are in
// seconds, sizes in bytes; what is not known is null.

// status is the document.
type status struct {
	Version       string    `json:"version"`
	Started       time.Time `json:"started"`
	Now           time.Time `json:"now"`
	UptimeSeconds float64   `json:"uptime_seconds"`

	Ready    bool     `json:"ready"`
	NotReady []string `json:"not_ready"` // why, in words

	Backends          []statusBackend  `json:"backends"`
	Loops             []statusLoop     `json:"loops"`
	Sessions          statusSessions   `json:"sessions"`
	Routes            []statusRoute    `json:"routes"`
	Pins              []statusPin      `json:"pins"`
	Identities        []statusIdentity `json:"identities"`
	Hooks             []statusHook     `json:"hooks"`
	WaitingForPrimary int              `json:"waiting_for_primary"` // sessions
	Splits            uint64           `json:"split_brains"`
	CPU               float64          `json:"cpu_seconds"`
	Latency           *statusLatency   `json:"latency"` // null with --digests=off
	Memory            statusMemory     `json:"memory"`
	Events            []statusEvent    `json:"events"` // oldest first
}

type statusBackend struct {
	Address             string   `json:"address"`
	Type                string   `json:"type"`
	State               string   `json:"state"`
	Health              string   `json:"health"`
	Role                string   `json:"role"`
	Duty                string   `json:"duty"`
	Leads               bool     `json:"leads"`
	Weight              int      `json:"weight"`
	Clients             int      `json:"clients"`
	Idle                int      `json:"idle_sessions"`
	LagSeconds          *float64 `json:"lag_seconds"`
	ProbeLatencySeconds *float64 `json:"probe_latency_seconds"`

	Since         *time.Time `json:"since"` // when state became what it is
	Servers       int        `json:"sessions"`
	Waiting       int        `json:"waiting_sessions"`
	Connects      uint64     `json:"connects"`
	Failures      uint64     `json:"connect_failures"`
	Commands      uint64     `json:"commands"`
	BytesIn       uint64     `json:"received_bytes"`
	BytesOut      uint64     `json:"sent_bytes"`
	Probes        uint64     `json:"probes"`
	ProbeFailures uint64     `json:"probe_failures"`
	LastError     *string    `json:"last_error"`
	LastErrorAt   *time.Time `json:"last_error_at"`
}

type statusLoop struct {
	Number   int     `json:"number"`
	Sessions int     `json:"sessions"`
	Admin    int     `json:"admin_sessions"`
	Accepted uint64  `json:"accepted"`
	Commands uint64  `json:"commands"`
	BytesIn  uint64  `json:"received_bytes"`
	BytesOut uint64  `json:"sent_bytes"`
	Servers  int     `json:"server_sessions"`
	Turns    uint64  `json:"turns"`
	Busy     float64 `json:"busy_seconds"`
	Waiting  int     `json:"waiting_bytes"`
	Buffers  int     `json:"buffer_bytes"`
}

type statusIdentity struct {
	How      string `json:"how"`
	Owned    bool   `json:"owned"`
	Sessions int    `json:"sessions"`
}

type statusHook struct {
	Hook     string  `json:"hook"`
	Calls    uint64  `json:"calls"`
	Failures uint64  `json:"failures"`
	Timed    uint64  `json:"timed_calls"`   // of the calls; one of 16 is measured,
	Time     float64 `json:"timed_seconds"` // and how long those took
}

type statusSessions struct {
	Open     int           `json:"open"`
	Admin    int           `json:"admin"`
	Accepted uint64        `json:"accepted"`
	Closed   []statusClose `json:"closed"` // reasons of no session are left out
}

type statusClose struct {
	Reason   string `json:"reason"`
	Fault    string `json:"fault"`
	Sessions uint64 `json:"sessions"`
}

type statusRoute struct {
	Route    string `json:"route"`
	Reason   string `json:"reason"`
	Commands uint64 `json:"commands"`
}

type statusPin struct {
	Pin      string `json:"pin"`
	Sessions int    `json:"sessions"`
}

type statusMemory struct {
	Heap       uint64  `json:"heap_bytes"`
	HeapGoal   uint64  `json:"heap_goal_bytes"`
	Total      uint64  `json:"total_bytes"`
	Goroutines uint64  `json:"goroutines"`
	GCs        uint64  `json:"collections"`
	GCPauses   float64 `json:"collection_pauses_seconds"`
}

// statusLatency is how long commands took that were timed.
type statusLatency struct {
	Commands uint64         `json:"timed_commands"`
	Seconds  float64        `json:"timed_seconds"`
	UpTo     []statusBucket `json:"up_to"` // each has those of the ones before
}

type statusBucket struct {
	Seconds  float64 `json:"seconds"`
	Commands uint64  `json:"commands"`
}

type statusEvent struct {
	Number  uint64    `json:"number"`
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`
	Backend string    `json:"backend"`
	From    string    `json:"from"`
	To      string    `json:"to"`
	Reason  string    `json:"reason"`
}

// statusFormat escapes what would be HTML, and replaces what is no UTF-8.
var statusFormat = sonic.Config{EscapeHTML: true, ValidateString: true}.Froze()

func (s *snapshots) serveStatus(w http.ResponseWriter, r *http.Request) {
	f, err := s.take(r.Context())
	if err != nil {
		writeText(w, http.StatusServiceUnavailable, "no figures: "+stuck(err)+"\n")
		return
	}
	b, err := statusFormat.MarshalIndent(f.status(s.src.Events()), "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n'))
}

// status is the document of a snapshot.
func (f *snapshot) status(events []engine.Event) *status {
	why := f.unready()
	d := &status{
		Version: f.Version, Started: f.Started.UTC(), Now: f.Now.UTC(), UptimeSeconds: f.Now.Sub(f.Started).Seconds(),
		Ready: why == nil, NotReady: append([]string{}, why...),
		Backends: []statusBackend{}, Loops: []statusLoop{}, Routes: []statusRoute{}, Pins: []statusPin{}, Identities: []statusIdentity{}, Hooks: []statusHook{}, Events: []statusEvent{},
		WaitingForPrimary: f.WaitingForPrimary, Splits: f.Splits, CPU: f.CPU.Seconds(),
		Memory: statusMemory{f.Memory.Heap, f.Memory.HeapGoal, f.Memory.Total, f.Memory.Goroutines, f.Memory.GCs, f.Memory.GCPauses.Seconds()},
	}
	for i := range f.Backends {
		b := &f.Backends[i]
		d.Backends = append(d.Backends, statusBackend{
			Address: b.Address, Type: b.Type, State: b.State, Health: b.Health, Role: b.Role, Duty: b.Duty, Leads: b.Leads, Weight: b.Weight, Clients: b.Clients, Idle: b.Idle,
			LagSeconds: seconds(b.Lag, b.LagKnown), ProbeLatencySeconds: seconds(b.ProbeLatency, b.ProbeLatency > 0),
			Since: moment(b.Since), Servers: b.Servers, Waiting: b.Waiting, Connects: b.Connects, Failures: b.Failures, Commands: b.Commands, BytesIn: b.BytesIn, BytesOut: b.BytesOut,
			Probes: b.Probes, ProbeFailures: b.ProbeFailures, LastError: word(b.LastError), LastErrorAt: moment(b.LastAt),
		})
	}
	d.Sessions.Closed = []statusClose{}
	for i := range f.Loops {
		l := &f.Loops[i]
		d.Loops = append(d.Loops, statusLoop{l.Number, l.Sessions, l.Admin, l.Accepted, l.Commands, l.BytesIn, l.BytesOut, l.Servers, l.Turns, l.Busy.Seconds(), l.Waiting, l.Buffers})
		d.Sessions.Open += l.Sessions
		d.Sessions.Admin += l.Admin
		d.Sessions.Accepted += l.Accepted
	}
	for _, c := range f.Closes {
		if c.Sessions > 0 {
			d.Sessions.Closed = append(d.Sessions.Closed, statusClose{c.Reason, c.Fault, c.Sessions})
		}
	}
	for _, x := range f.Routes {
		d.Routes = append(d.Routes, statusRoute{x.To, x.Reason, x.Commands})
	}
	for _, p := range f.Pins {
		d.Pins = append(d.Pins, statusPin{p.Reason, p.Sessions})
	}
	for _, i := range f.Identities {
		d.Identities = append(d.Identities, statusIdentity{i.How, i.Owned, i.Sessions})
	}
	for _, h := range f.Hooks {
		d.Hooks = append(d.Hooks, statusHook{h.Hook, h.Calls, h.Failures, h.Timed, h.Time.Seconds()})
	}
	if f.Latency != nil {
		b := bucketsOf(*f.Latency)
		d.Latency = &statusLatency{b.count, b.sum, []statusBucket{}}
		for _, bound := range f.Latency.Bounds {
			d.Latency.UpTo = append(d.Latency.UpTo, statusBucket{bound.Seconds(), b.upTo[bound.Seconds()]})
		}
	}
	for _, ev := range events {
		d.Events = append(d.Events, publicEvent(ev))
	}
	return d
}

// publicEvent is ev without what only operators may read, who log in for it: users'
// names and addresses, values of options and lines of the configuration.
func publicEvent(ev engine.Event) statusEvent {
	switch ev.Kind {
	case engine.EventKill:
		ev.Reason, _, _ = strings.Cut(ev.Reason, ",") // behind the number is who it was
	case engine.EventConfig:
		ev.From, ev.To = "", ""
		ev.Reason, _, _ = strings.Cut(ev.Reason, ":") // behind it is what was wrong
	}
	return statusEvent{ev.Number, ev.At.UTC(), string(ev.Kind), ev.Backend, ev.From, ev.To, ev.Reason}
}

// seconds is d in seconds, nil if it is not known.
func seconds(d time.Duration, known bool) *float64 {
	if !known {
		return nil
	}
	s := d.Seconds()
	return &s
}

// moment is at, nil if it is not known.
func moment(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = at.UTC()
	return &at
}

// word is s, nil if there is none.
func word(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
