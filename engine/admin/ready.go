package admin

import (
	"net/http"
	"strings"
)

// serveReady tells whether clients should be sent here: whether a server is known
// that takes writes, and the proxy takes clients.
func (s *snapshots) serveReady(w http.ResponseWriter, r *http.Request) {
	f, err := s.take(r.Context())
	if err != nil {
		writeText(w, http.StatusServiceUnavailable, "not ready: "+stuck(err)+"\n")
		return
	}
	// This is what a rolling restart waits for, so it is not as old as the rest.
	f = newSnapshot(f.Figures, s.src.Stopping())
	if why := f.unready(); why != nil {
		writeText(w, http.StatusServiceUnavailable, "not ready: "+strings.Join(why, "\nnot ready: ")+"\n")
		return
	}
	writeText(w, http.StatusOK, "ready\n")
}

// unready says why clients had better go elsewhere; nil if they are welcome.
func (f *snapshot) unready() (why []string) {
	if f.stopping {
		why = append(why, "the proxy is shutting down")
	}
	var bars []string // why each backend takes no writes
	for i := range f.Backends {
		b := &f.Backends[i]
		at := "backend " + b.Address
		switch {
		case b.Type == "ro" && b.Role != "primary" && !b.Leads:
			// It never was to take any.
		case b.State == "down":
			bars = append(bars, at+" is down")
		case b.Duty == "draining":
			bars = append(bars, at+" is draining")
		case b.Duty == "maintenance":
			bars = append(bars, at+" is in maintenance")
		case b.Leads:
			return why
		default:
			bars = append(bars, at+" is not the primary")
		}
	}
	switch {
	case len(f.Backends) == 0:
		return append(why, "no backend is configured")
	case len(bars) == 0:
		return append(why, "no server takes writes: all backends are read-only")
	}
	return append(append(why, "no server takes writes"), bars...)
}
