package admin

import (
	"net/http"
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

	Backends []statusBackend `json:"backends"`
	Loops    []statusLoop    `json:"loops"`
	Sessions statusSessions  `json:"sessions"`
	Routes   []statusRoute   `json:"routes"`
	Pins     []statusPin     `json:"pins"`
	Splits   uint64          `json:"split_brains"`
	Memory   statusMemory    `json:"memory"`
	Events   []statusEvent   `json:"events"` // oldest first
}

type statusBackend struct {
	Address             string   `json:"address"`
	Type                string   `json:"type"`
	State               string   `json:"state"`
	Health              string   `json:"health"`
	Role                string   `json:"role"`
	Leads               bool     `json:"leads"`
	Weight              int      `json:"weight"`
	Clients             int      `json:"clients"`
	Idle                int      `json:"idle_sessions"`
	LagSeconds          *float64 `json:"lag_seconds"`
	ProbeLatencySeconds *float64 `json:"probe_latency_seconds"`
}

type statusLoop struct {
	Number   int    `json:"number"`
	Sessions int    `json:"sessions"`
	Admin    int    `json:"admin_sessions"`
	Accepted uint64 `json:"accepted"`
	Commands uint64 `json:"commands"`
	BytesIn  uint64 `json:"received_bytes"`
	BytesOut uint64 `json:"sent_bytes"`
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
		Backends: []statusBackend{}, Loops: []statusLoop{}, Routes: []statusRoute{}, Pins: []statusPin{}, Events: []statusEvent{},
		Splits: f.Splits,
		Memory: statusMemory{f.Memory.Heap, f.Memory.HeapGoal, f.Memory.Total, f.Memory.Goroutines, f.Memory.GCs, f.Memory.GCPauses.Seconds()},
	}
	for i := range f.Backends {
		b := &f.Backends[i]
		d.Backends = append(d.Backends, statusBackend{
			Address: b.Address, Type: b.Type, State: b.State, Health: b.Health, Role: b.Role, Leads: b.Leads, Weight: b.Weight, Clients: b.Clients, Idle: b.Idle,
			LagSeconds: seconds(b.Lag, b.LagKnown), ProbeLatencySeconds: seconds(b.ProbeLatency, b.ProbeLatency > 0),
		})
	}
	d.Sessions.Closed = []statusClose{}
	for i := range f.Loops {
		l := &f.Loops[i]
		d.Loops = append(d.Loops, statusLoop{l.Number, l.Sessions, l.Admin, l.Accepted, l.Commands, l.BytesIn, l.BytesOut})
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
	for _, ev := range events {
		d.Events = append(d.Events, statusEvent{ev.Number, ev.At.UTC(), string(ev.Kind), ev.Backend, ev.From, ev.To, ev.Reason})
	}
	return d
}

// seconds is d in seconds, nil if it is not known.
func seconds(d time.Duration, known bool) *float64 {
	if !known {
		return nil
	}
	s := d.Seconds()
	return &s
}
