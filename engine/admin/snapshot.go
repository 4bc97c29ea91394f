package admin

import (
	"context"
	"time"

	"mysqlproxy/engine"
)

const (
	// loopPatience is how long the loops have to answer. One that turns does so in
	// less than a millisecond; a Lua hook may take long.
	loopPatience = 2 * time.Second
	// snapshotAge is how old figures may be that are told again: however many ask,
	// the loops are disturbed four times a second at most.
	snapshotAge = 250 * time.Millisecond
)

// snapshot is what a source told at one moment.
type snapshot struct {
	engine.Figures
	byAddress []engine.BackendFigures // Figures.Backends, each address once
	stopping  bool
}

func newSnapshot(f engine.Figures, stopping bool) *snapshot {
	return &snapshot{f, mergeBackends(f.Backends), stopping}
}

// mergeBackends adds up those that have the same address: one that has got from the
// read/write servers to the read-only ones, or the other way round, while the proxy
// runs, is another backend until the sessions of the one before have ended. What is
// no number is that of the later one, which is not on its way out.
func mergeBackends(all []engine.BackendFigures) (merged []engine.BackendFigures) {
	at := map[string]int{}
	for _, b := range all {
		i, again := at[b.Address]
		if !again {
			at[b.Address] = len(merged)
			merged = append(merged, b)
			continue
		}
		o := merged[i]
		if b.Duty != "online" && o.Duty == "online" {
			b, o = o, b
		}
		b.Clients += o.Clients
		b.Idle += o.Idle
		b.Servers += o.Servers
		b.Waiting += o.Waiting
		b.Connects += o.Connects
		b.Failures += o.Failures
		b.Commands += o.Commands
		b.BytesIn += o.BytesIn
		b.BytesOut += o.BytesOut
		b.Probes += o.Probes
		b.ProbeFailures += o.ProbeFailures
		merged[i] = b
	}
	return merged
}

// snapshots asks a source, once for all who want to know at about the same time.
type snapshots struct {
	src  Source
	turn chan struct{} // holds one while somebody has the fields below
	last *snapshot     // what was answered last, or
	err  error         // why nothing was
	at   time.Time     // of that; zero before
}

// take is what the source tells, not older than snapshotAge. The snapshot is
// shared: nobody may change it. An error is ctx's, or that of the source, which has
// loopPatience to answer.
func (s *snapshots) take(ctx context.Context) (*snapshot, error) {
	// Who waits for another's question hears its answer, be it late.
	wait, cancel := context.WithTimeout(ctx, loopPatience+snapshotAge)
	defer cancel()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-wait.Done():
		return nil, wait.Err()
	}
	if !s.at.IsZero() && time.Since(s.at) < snapshotAge {
		return s.last, s.err
	}
	// The answer is for the others, too, should this client leave.
	ask, cancel := context.WithTimeout(context.WithoutCancel(ctx), loopPatience)
	defer cancel()
	f, err := s.src.Figures(ask)
	s.at = time.Now()
	if s.last, s.err = nil, err; err == nil {
		s.last = newSnapshot(f, s.src.Stopping())
	}
	return s.last, s.err
}
