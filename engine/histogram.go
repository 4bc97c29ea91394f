package engine

import (
	"sync/atomic"
	"time"
)

// Histogram is how durations are spread.
type Histogram struct {
	// Bounds are the longest durations of each count, rising. They are shared and
	// must not be changed.
	Bounds []time.Duration
	Counts []uint64      // one for each bound, and one behind them for what is longer
	Sum    time.Duration // of all durations
}

// Total is how many durations there are.
func (h Histogram) Total() (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// probeBounds are those of probes: from a server on this machine to the longest
// time-out that is of use.
var probeBounds = [...]time.Duration{
	250 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond,
	500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second,
}

// probeSpread is how long probes took. One goroutine adds, any may look.
type probeSpread struct {
	counts [len(probeBounds) + 1]atomic.Uint64
	sum    atomic.Int64 // nanoseconds
}

func (s *probeSpread) add(took time.Duration) {
	i := 0
	for i < len(probeBounds) && took > probeBounds[i] {
		i++
	}
	s.counts[i].Add(1)
	s.sum.Add(int64(took))
}

func (s *probeSpread) histogram() Histogram {
	h := Histogram{Bounds: probeBounds[:], Counts: make([]uint64, len(s.counts)), Sum: time.Duration(s.sum.Load())}
	for i := range s.counts {
		h.Counts[i] = s.counts[i].Load()
	}
	return h
}
