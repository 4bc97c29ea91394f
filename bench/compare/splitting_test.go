package main

import (
	"strings"
	"testing"
)

// newSplitBench builds what splitting needs and starts it in front of replicas.
func newSplitBench(t *testing.T, contestants string) (*bench, *nullServer, []instance) {
	t.Helper()
	b := newBench(t)
	set, err := parse([]string{"-works", "splitting", "-split-contestants", contestants, "-contestants", "direct", "-unpinned", "-rounds", "2", "-window", "50ms"})
	if err != nil {
		t.Fatal(err)
	}
	b.settings = set
	if err := b.build(); err != nil {
		t.Fatal(err)
	}
	null, err := b.startNull(splitReplicas)
	if err != nil {
		t.Fatal(err)
	}
	all, stop, err := b.beginAll(b.splitContestants, null)
	t.Cleanup(stop)
	if err != nil {
		t.Fatal(err)
	}
	return b, null, all
}

func TestSplittingReadsFromBothReplicasAndWritesToThePrimary(t *testing.T) {
	b, null, all := newSplitBench(t, oursSplit)
	for _, what := range splitWorks {
		before, err := null.counts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s, err := b.load(all[0], what.mode, 16, "-duration", "100ms", "-answers", "3000")
		if err != nil {
			t.Fatal(err)
		}
		after, err := null.counts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := 1; i <= splitReplicas; i++ {
			if got := after[i] - before[i]; got < s.TotalQueries/20 {
				t.Errorf("%s: %d of %d queries went to replica %d", what.title, got, s.TotalQueries, i)
			}
		}
		reads := s.TotalQueries * 9 / 10
		if what.mode == "point" {
			reads = s.TotalQueries
		}
		// The first read of each session may come while its replica is not ready.
		if got := after[1] + after[2] - before[1] - before[2]; got < reads-2*16 {
			t.Errorf("%s: %d requests went to replicas, and there were %d reads", what.title, got, reads)
		}
		// Its own count and four questions a session are no writes.
		writes := s.TotalQueries - reads
		if got := after[0] - before[0]; got < writes-16 || got > writes+1+5*16 {
			t.Errorf("%s: %d requests went to the primary, and there were %d writes", what.title, got, writes)
		}
	}
}

func TestSplittingThatDidNotHappenHasNoFigures(t *testing.T) {
	b, null, all := newSplitBench(t, floor+","+ours)
	all[1].name = oursSplit // it has no replicas
	text, err := b.splitTable(work{title: "a title", mode: "point", conns: 2}, all, null, .5)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.failed) != 1 || !strings.Contains(b.failed[0], "0% of the requests went to the replicas") {
		t.Errorf("failures are %q", b.failed)
	}
	if !strings.Contains(text, "floor (bare C)") || strings.Contains(text, label(oursSplit)) {
		t.Errorf("the table is\n%s", text)
	}
}

func TestReplicasPart(t *testing.T) {
	for _, tt := range []struct {
		selects []int64
		want    string
	}{
		{nil, "-"}, {[]int64{0, 0, 0}, "-"}, {[]int64{5, 0, 0}, "0.0%"}, {[]int64{1, 2, 1}, "75.0%"},
	} {
		if got := replicasPart(tt.selects); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.selects, got, tt.want)
		}
	}
}

func TestSysbenchTestsMayHaveOptions(t *testing.T) {
	b := newBench(t)
	got := b.sysArgs(testbedState{}, "127.0.0.1:3306", "oltp_read_only --skip-trx=on", "auto", 3)
	if want := "sysbench oltp_read_only --skip-trx=on --db-driver=mysql --mysql-host=127.0.0.1 --mysql-port=3306"; !strings.HasPrefix(strings.Join(got, " "), want) {
		t.Errorf("got %q, want %q and more", got, want)
	}
}
