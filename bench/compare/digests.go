package main

import (
	"fmt"
	"strings"
	"time"
)

// What it costs a query that is forwarded to count it by its digest, and to probe
// the server beside.

// digestRun is mysql-proxy with digests, probes, both or neither.
type digestRun struct {
	name, label string
	args        []string
}

// digestBase is what the others are compared with.
const digestBase = "digests-off"

var probes = []string{"--health-user=bench", "--health-password="}

// digestRuns in the order in which they are printed.
var digestRuns = []digestRun{
	{digestBase, "neither", []string{"--digests=off"}},
	{"digests-sampled", "--digests=sampled", []string{"--digests=sampled"}},
	{"digests-on", "--digests=on", []string{"--digests=on"}},
	{"digests-off-probes", "probes", append([]string{"--digests=off"}, probes...)},
	{"digests-sampled-probes", "--digests=sampled, probes", append([]string{"--digests=sampled"}, probes...)},
}

func digestRunOf(name string) (digestRun, bool) {
	for _, r := range digestRuns {
		if r.name == name {
			return r, true
		}
	}
	return digestRun{}, false
}

// digestContestants are the names of all that may take part.
func digestContestants() (names []string) {
	for _, r := range digestRuns {
		names = append(names, r.name)
	}
	return names
}

// probesASecond is how many requests at least a proxy with probes sends a server a
// second: it asks every half a second.
const probesASecond = 1

// digestSection measures the runs beside each other.
func (b *bench) digestSection() error {
	if !b.does("digests") {
		return nil
	}
	null, err := b.startNull(1)
	if err != nil {
		return err
	}
	defer null.proc.stop()
	all, stop, err := b.beginAll(b.digestContestants, null)
	defer stop()
	if err != nil {
		return err
	}
	if err := b.probed(all, null); err != nil {
		b.fail("%v", err)
		return nil
	}
	var text strings.Builder
	text.WriteString(b.machine.markdown() + "\n")
	for _, what := range []struct{ title, mode string }{{"Point query", "point"}, {"Prepared statement", "execute"}} {
		for _, n := range b.digestConns {
			t := time.Now()
			w := work{title: what.title + ", " + connections(n), mode: what.mode, conns: n}
			result, err := b.measure(w, all)
			if err != nil {
				return err
			}
			text.WriteString(shown(digestMarkdown(w, result), t))
		}
	}
	return b.save("digests", text.String())
}

// probed tells whether the server gets the probes that are to be measured.
func (b *bench) probed(all []instance, null *nullServer) error {
	want := int64(0)
	for _, i := range all {
		if strings.HasSuffix(i.name, "-probes") {
			want += probesASecond
		}
	}
	if want == 0 {
		return nil
	}
	before, err := null.counts(b.procs.ctx)
	if err != nil {
		return err
	}
	time.Sleep(1500 * time.Millisecond)
	after, err := null.counts(b.procs.ctx)
	if err != nil {
		return err
	}
	if got := after[0] - before[0] - 1; got < want { // the one is the count itself
		return fmt.Errorf("the server was asked %d times in a second and a half without any load, so no figures of probes", got)
	}
	return nil
}

// digestMarkdown shows one work.
func digestMarkdown(w work, all []series) string {
	t := newTable(w.title, "contestant", "CPU us a query", "times neither", "a second", "p50 us", "p99 us", "peak RSS MB")
	base := find(all, digestBase)
	for _, s := range all {
		t.row(label(s.name), spreadOf(s.cpu).String(), against(s, base, cpuOf), spreadOf(s.qps).String(), spreadOf(s.p50).String(), spreadOf(s.p99).String(), spreadOf(s.rss).String())
		t.missing(s)
	}
	return t.markdown()
}
