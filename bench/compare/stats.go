package main

import (
	"fmt"
	"math"
	"slices"
)

// spread is the median of some figures with their quartiles.
type spread struct {
	n              int
	q1, median, q3 float64
}

// spreadOf leaves out what is not a number: a round in which one side failed.
func spreadOf(values []float64) spread {
	v := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	slices.Sort(v)
	return spread{len(v), quantile(v, .25), quantile(v, .5), quantile(v, .75)}
}

// quantile of sorted values, between two of them in proportion.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := q * float64(len(sorted)-1)
	low := int(at)
	if low == len(sorted)-1 {
		return sorted[low]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}

// ratios divides round by round: two figures of one round share its weather.
func ratios(a, b []float64) []float64 {
	out := make([]float64, min(len(a), len(b)))
	for i := range out {
		if out[i] = a[i] / b[i]; b[i] == 0 {
			out[i] = math.NaN()
		}
	}
	return out
}

// differences subtracts round by round.
func differences(a, b []float64) []float64 {
	out := make([]float64, min(len(a), len(b)))
	for i := range out {
		out[i] = a[i] - b[i]
	}
	return out
}

// String is the median alone, in three digits or so.
func (s spread) String() string {
	switch m := math.Abs(s.median); {
	case s.n == 0:
		return "-"
	case m >= 1000:
		return thousands(s.median)
	case m >= 100:
		return fmt.Sprintf("%.0f", s.median)
	case m >= 10:
		return fmt.Sprintf("%.1f", s.median)
	default:
		return fmt.Sprintf("%.2f", s.median)
	}
}

// withQuartiles is for ratios.
func (s spread) withQuartiles() string {
	if s.n == 0 {
		return "-"
	}
	if s.n == 1 {
		return fmt.Sprintf("%.2f", s.median)
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", s.median, s.q1, s.q3)
}

// thousands writes a whole number with commas.
func thousands(v float64) string {
	s := fmt.Sprintf("%.0f", math.Abs(v))
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if v < 0 {
		s = "-" + s
	}
	return s
}
