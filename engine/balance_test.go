package engine

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestChoiceAmongReplicas(t *testing.T) {
	type b struct {
		weight  int
		clients int64
		latency time.Duration
	}
	const ms = time.Millisecond
	for _, tc := range []struct {
		name     string
		backends []b
		stay     bool // the sessions that choose do
		low      []int
		high     []int // of 1000 sessions, at each
	}{
		{"equals", []b{{weight: 1}, {weight: 1}}, true, []int{490, 490}, []int{510, 510}},
		{"three of them", []b{{weight: 1}, {weight: 1}, {weight: 1}}, true, []int{320, 320, 320}, []int{346, 346, 346}},
		{"weights", []b{{weight: 3}, {weight: 1}}, true, []int{740, 240}, []int{760, 260}},
		{"a large weight among many", []b{{weight: 8}, {weight: 1}, {weight: 1}}, true, []int{760, 70, 70}, []int{860, 130, 130}},
		{"one that has many clients already", []b{{weight: 1, clients: 2000}, {weight: 1}}, true, []int{0, 1000}, []int{0, 1000}},
		{"one that is slow", []b{{weight: 1, latency: 19 * ms}, {weight: 1}}, true, []int{40, 940}, []int{60, 960}},
		{"one that is slow, and nobody stays", []b{{weight: 1, latency: 100 * ms}, {weight: 1}, {weight: 1}}, false, []int{0, 450, 450}, []int{0, 550, 550}},
		{"differences that mean nothing", []b{{weight: 1, latency: ms / 10}, {weight: 1, latency: ms / 20}}, true, []int{470, 490}, []int{510, 530}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := &Engine{}
			l := &loop{engine: e, dice: rand.New(rand.NewPCG(1, 2))}
			var bs []*Backend
			for i, c := range tc.backends {
				b := newBackend(e, BackendConfig{ReadOnly: true, Weight: c.weight}, i, 1)
				b.clients.Store(c.clients)
				b.probed.latency.Store(int64(c.latency))
				bs = append(bs, b)
			}
			burden := func(b *Backend) float64 { return l.burden(b, 0) }
			got := make([]int, len(bs))
			for range 1000 {
				b := choose(bs, l.dice, burden)
				got[b.index]++
				if tc.stay {
					b.clients.Add(1)
				}
			}
			for i := range got {
				if got[i] < tc.low[i] || got[i] > tc.high[i] {
					t.Errorf("%v, want %v to %v", got, tc.low, tc.high)
					break
				}
			}
		})
	}
	if b := choose(nil, rand.New(rand.NewPCG(1, 2)), nil); b != nil {
		t.Errorf("chose %v among none", b)
	}
}

func TestResponseTimesFade(t *testing.T) {
	var s speed
	for i := range 1000 {
		s.add(50*time.Millisecond, time.Duration(i)*10*time.Millisecond)
	}
	now := 10 * time.Second
	if m := s.mean(now); m < 45*time.Millisecond || m > 50*time.Millisecond {
		t.Errorf("after many of 50 ms the mean is %v", m)
	}
	s.add(10*time.Second, now) // one long read
	if m := s.mean(now); m > time.Second {
		t.Errorf("one long read makes it %v", m)
	}
	for i := range 1000 {
		s.add(time.Millisecond, now+time.Duration(i)*10*time.Millisecond)
	}
	if m := s.mean(now + 10*time.Second); m > 2*time.Millisecond {
		t.Errorf("after many of 1 ms the mean is %v", m)
	}
	if m := s.mean(now + time.Hour); m != 0 {
		t.Errorf("after an hour it is %v", m)
	}
}
