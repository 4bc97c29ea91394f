package main

import (
	"fmt"
	"strings"
	"time"
)

// Reads that go to replicas without a script: what it costs to look at each
// statement, and to have two servers for a client, beside forwarding.

// splitReplicas is how many replicas stand behind the one that splits.
const splitReplicas = 2

// splitWorks are what is measured, with the least share of the requests that the
// replicas must have; what the proxy itself asks the primary when a session
// begins, and the replicas about GTIDs, counts as requests.
var splitWorks = []struct {
	title, mode string
	share       float64
}{
	{"Point query", "point", .95},
	{"Nine point queries and a write in turn", "mix", .8},
}

// splittingSection measures splitting beside forwarding.
func (b *bench) splittingSection() error {
	if !b.does("splitting") {
		return nil
	}
	null, err := b.startNull(splitReplicas)
	if err != nil {
		return err
	}
	defer null.proc.stop()
	all, stop, err := b.beginAll(b.splitContestants, null)
	defer stop()
	if err != nil {
		return err
	}
	var text strings.Builder
	text.WriteString(b.machine.markdown() + "\n")
	for _, what := range splitWorks {
		for _, n := range b.splitConns {
			t := time.Now()
			w := work{title: what.title + ", " + connections(n), mode: what.mode, conns: n}
			s, err := b.splitTable(w, all, null, what.share)
			if err != nil {
				return err
			}
			text.WriteString(shown(s, t))
		}
	}
	return b.save("splitting", text.String())
}

// splitTable measures and shows one work. Who was to split and did not has no
// figures: they would be a lie.
func (b *bench) splitTable(w work, all []instance, null *nullServer, least float64) (string, error) {
	shares := map[string]float64{}
	var fit []instance
	for _, i := range all {
		share, err := b.replicaShare(i, w, null, time.Second)
		if b.procs.ctx.Err() != nil {
			return "", b.procs.ctx.Err()
		}
		if err == nil && i.name == oursSplit && share < least {
			err = fmt.Errorf("%.0f%% of the requests went to the replicas, so no figures of it", share*100)
		}
		if err != nil {
			b.fail("%s, %s: %v", label(i.name), w.title, err)
			continue
		}
		shares[i.name] = share
		fit = append(fit, i)
	}
	result, err := b.measure(w, fit)
	if err != nil {
		return "", err
	}
	return splitMarkdown(w, result, shares), nil
}

// splitMarkdown shows one work; shares are those of the replicas.
func splitMarkdown(w work, all []series, shares map[string]float64) string {
	t := newTable(w.title, "contestant", "CPU us a query", "times floor", "times HAProxy", "times forwarding", "a second", "p50 us", "p99 us", "to replicas")
	base, ha, plain := find(all, floor), find(all, haproxy), find(all, ours)
	for _, s := range all {
		t.row(label(s.name), spreadOf(s.cpu).String(), against(s, base, cpuOf), against(s, ha, cpuOf), against(s, plain, cpuOf),
			spreadOf(s.qps).String(), spreadOf(s.p50).String(), spreadOf(s.p99).String(), fmt.Sprintf("%.0f%%", 100*shares[s.name]))
		t.missing(s)
	}
	return t.markdown()
}
