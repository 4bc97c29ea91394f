package engine

import (
	"math/bits"
	"time"
)

const (
	// latencyPart is how many buckets of Latencies there are from one power of
	// two to the next, latencyBits of how many microseconds it tells apart; what
	// took longer than 67 s is in the last bucket.
	latencyPart    = 8
	latencyBits    = 26
	latencyBuckets = (latencyBits - 2) * latencyPart
)

// Latencies is how long commands took, an eighth fine: a bucket ends at nine eighths
// of where it begins, or closer. The zero Latencies has none.
type Latencies struct {
	Count   uint64
	Sum     time.Duration
	Max     time.Duration
	buckets [latencyBuckets]uint64
}

// bucketOf is the bucket of us microseconds.
func bucketOf(us uint32) int {
	if us < latencyPart {
		return int(us)
	}
	e := bits.Len32(us) - 4
	return min(e*latencyPart+int(us>>e), latencyBuckets-1)
}

// bucketFrom is where a bucket begins, in microseconds.
func bucketFrom(i int) uint64 {
	if i < 2*latencyPart {
		return uint64(i)
	}
	e := i/latencyPart - 1
	return uint64(i%latencyPart+latencyPart) << e
}

// add adds one that took so long.
func (h *Latencies) add(took time.Duration) {
	h.Count++
	h.Sum += took
	h.Max = max(h.Max, took)
	h.buckets[bucketOf(uint32(min(took/time.Microsecond, 1<<32-1)))]++
}

// merge adds those of o.
func (h *Latencies) merge(o *Latencies) {
	h.Count += o.Count
	h.Sum += o.Sum
	h.Max = max(h.Max, o.Max)
	for i, n := range o.buckets {
		h.buckets[i] += n
	}
}

// Quantile is the time that a share of q, 0 to 1, did not exceed: an eighth too much
// at most, and never more than Max. It is 0 if there are none.
func (h *Latencies) Quantile(q float64) time.Duration {
	rank := uint64(q*float64(h.Count) + .9999999)
	rank = max(1, min(rank, h.Count))
	var n uint64
	for i, in := range h.buckets {
		if n += in; n >= rank && i < latencyBuckets-1 {
			return min(h.Max, time.Duration(bucketFrom(i+1))*time.Microsecond)
		}
	}
	return h.Max
}

// latencyBounds are those of histogram: powers of two from 32 µs to 67 s.
var latencyBounds = func() (list []time.Duration) {
	for e := 5; e <= latencyBits; e++ {
		list = append(list, time.Microsecond<<e)
	}
	return list
}()

// histogram is h by latencyBounds.
func (h *Latencies) histogram() *Histogram {
	out := &Histogram{Bounds: latencyBounds, Counts: make([]uint64, len(latencyBounds)+1), Sum: h.Sum}
	bound := 0
	for i, n := range h.buckets {
		for bound < len(latencyBounds) && time.Duration(bucketFrom(i))*time.Microsecond >= latencyBounds[bound] {
			bound++
		}
		out.Counts[bound] += n
	}
	return out
}
