package main

import (
	"math/bits"
	"time"
)

// report is what a run found. Latencies are of whole answers, in microseconds;
// everything but TotalQueries and Errors is about the measured window.
type report struct {
	Mode              string   `json:"mode"`
	Conns             int      `json:"conns"`
	Seconds           float64  `json:"seconds"`
	Queries           int64    `json:"queries"`
	QPS               float64  `json:"qps"`
	P50               float64  `json:"p50_us"`
	P99               float64  `json:"p99_us"`
	Max               float64  `json:"max_us"`
	Bytes             int64    `json:"bytes"`                  // received, as they were on the wire
	ClearBytes        int64    `json:"clear_bytes"`            // the same without TLS and compression
	Frames            int64    `json:"frames"`                 // of the compressed protocol
	CPUSeconds        float64  `json:"cpu_seconds"`            // of -pid
	CPUPerQuery       float64  `json:"cpu_us_a_query"`         // of -pid
	BackendCPUSeconds float64  `json:"backend_cpu_seconds"`    // of -backend-pid
	AnswerBytes       int64    `json:"answer_bytes,omitempty"` // of one answer to -query, without TLS and compression
	AnswerSum         string   `json:"answer_sum,omitempty"`   // a checksum of it
	TLS               string   `json:"tls,omitempty"`          // what a handshake agreed upon
	TotalQueries      int64    `json:"total_queries"`          // warm-up included
	Errors            int64    `json:"errors"`
	FirstErrors       []string `json:"first_errors,omitempty"`
}

// histogram counts durations in buckets that are at most 1/64 wide.
type histogram struct {
	counts [64 * 64]int64
	n      int64
	max    time.Duration
}

// bucket: below 64 ns one a nanosecond, then 64 for each power of two.
func bucket(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < 64 {
		return int(v)
	}
	shift := bits.Len64(v) - 7
	return (shift+1)*64 + int(v>>shift) - 64
}

// bucketTop is the largest duration of a bucket.
func bucketTop(b int) time.Duration {
	if b < 64 {
		return time.Duration(b)
	}
	shift := b/64 - 1
	return time.Duration(uint64(b%64+64+1)<<shift - 1)
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucket(d)]++
	h.n++
	h.max = max(h.max, d)
}

// quantile returns the duration that a share q of all does not exceed.
func (h *histogram) quantile(q float64) time.Duration {
	rank := int64(q*float64(h.n) + 0.5)
	for b, n := range h.counts {
		if rank -= n; rank <= 0 && n > 0 {
			return min(bucketTop(b), h.max)
		}
	}
	return h.max
}
