package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// A storm of new TLS connections hits a proxy whose plain sessions go on with
// their queries.

// stormSlots are the connections that a storm may have at once. One that takes
// longer than 64 others need to arrive holds it up, and the table shows that.
const stormSlots = 64

// pace is how many queries a second the plain sessions send: few enough to leave
// both CPUs idle at times, or latency would be that of a queue.
const pace = 4000

// stormed is what plain sessions had of a contestant, calm and in the storm, in
// each round; NaN where it failed.
type stormed struct {
	instance
	calm, storm series
	rate        []float64 // TLS connections a second
}

// stormTable measures 16 plain sessions, with and without a storm in turn.
func (b *bench) stormTable(all []instance) (string, error) {
	var in []*stormed
	for _, i := range all {
		if i.name == haproxyTLS || i.name == oursTLS {
			in = append(in, &stormed{instance: i})
		}
	}
	w := work{
		title: fmt.Sprintf("Point query, 16 plain sessions, %s a second in all, in a storm of TLS handshakes", thousands(pace)),
		mode:  "point", conns: 16, args: []string{"-arrivals", fmt.Sprint(pace)},
	}
	for round := range b.rounds {
		order := slices.Clone(in)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for k, s := range order {
			// Which of the two comes first changes with the round and the place.
			for n := range 2 {
				var err error
				if (round+k+n)%2 == 0 {
					err = b.calmWindow(s, w)
				} else {
					err = b.stormWindow(s, w)
				}
				if b.procs.ctx.Err() != nil {
					return "", b.procs.ctx.Err()
				}
				if err != nil && !errors.Is(err, errEmptyWindow) {
					b.fail("%s, %s, round %d: %v", label(s.name), w.title, round+1, err)
				}
			}
		}
	}
	t := newTable(w.title, "contestant", "handshakes a second", "p50 us calm", "p50 in the storm", "times", "p99 us calm", "p99 in the storm", "times", "a second calm", "in the storm")
	for _, s := range in {
		t.row(label(s.name), spreadOf(s.rate).String(),
			spreadOf(s.calm.p50).String(), spreadOf(s.storm.p50).String(), spreadOf(ratios(s.storm.p50, s.calm.p50)).withQuartiles(),
			spreadOf(s.calm.p99).String(), spreadOf(s.storm.p99).String(), spreadOf(ratios(s.storm.p99, s.calm.p99)).withQuartiles(),
			spreadOf(s.calm.qps).String(), spreadOf(s.storm.qps).String())
		if n := len(s.rate) - spreadOf(ratios(s.storm.p50, s.calm.p50)).n; n > 0 {
			t.note += fmt.Sprintf("%s has not both figures in %d of its %d rounds. ", label(s.name), n, len(s.rate))
		}
	}
	t.note += fmt.Sprintf("%.0f new connections a second were asked for, each with a full handshake, a login, a query and a quit.", b.storm)
	return t.markdown(), nil
}

// noSample is a round without figures.
var noSample = sample{QPS: math.NaN(), P50: math.NaN(), P99: math.NaN(), CPUPerQuery: math.NaN()}

func (b *bench) calmWindow(s *stormed, w work) error {
	got, err := b.window(s.withoutTLS(), w)
	if err != nil {
		got = noSample
	}
	s.calm.add(s.instance, got)
	return err
}

func (b *bench) stormWindow(s *stormed, w work) error {
	got, rate := noSample, math.NaN()
	end, err := b.beside("storm", s.instance, "-mode", "connect", "-conns", fmt.Sprint(stormSlots), "-arrivals", fmt.Sprint(b.storm))
	if err == nil {
		plain, failed := b.window(s.withoutTLS(), w)
		storm, endErr := end()
		if err = errors.Join(failed, endErr); err == nil {
			got, rate = plain, storm.QPS
		}
	}
	s.storm.add(s.instance, got)
	s.rate = append(s.rate, rate)
	return err
}
