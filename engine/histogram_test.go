package engine

import (
	"slices"
	"testing"
	"time"
)

func TestProbeSpread(t *testing.T) {
	var s probeSpread
	longest := probeBounds[len(probeBounds)-1]
	took := []time.Duration{0, probeBounds[0], probeBounds[0] + 1, longest, longest + 1, time.Hour}
	var sum time.Duration
	for _, d := range took {
		s.add(d)
		sum += d
	}
	want := make([]uint64, len(probeBounds)+1)
	want[0], want[1], want[len(want)-2], want[len(want)-1] = 2, 1, 1, 2
	h := s.histogram()
	if !slices.Equal(h.Counts, want) || h.Sum != sum || h.Total() != uint64(len(took)) {
		t.Errorf("%v, sum %v, total %d; want %v, %v, %d", h.Counts, h.Sum, h.Total(), want, sum, len(took))
	}
	if !slices.IsSorted(h.Bounds) {
		t.Errorf("bounds %v", h.Bounds)
	}
}
