package main

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// newScriptBench builds what the work with scripts needs, mysql-proxy too.
func newScriptBench(t *testing.T, contestants string) (*bench, *nullServer) {
	t.Helper()
	b := newBench(t)
	set, err := parse([]string{"-works", "scripts", "-script-contestants", contestants, "-contestants", "direct", "-unpinned", "-rounds", "3", "-window", "50ms"})
	if err != nil {
		t.Fatal(err)
	}
	b.settings = set
	if err := b.build(); err != nil {
		t.Fatal(err)
	}
	null, err := b.startNull(1)
	if err != nil {
		t.Fatal(err)
	}
	return b, null
}

func TestScriptsAnswerEveryQueryAndSplit(t *testing.T) {
	b, null := newScriptBench(t, strings.Join(scriptContestants(), ","))
	// The floor, mysql-proxy and each script give right answers only, or there
	// would be failures; those that split do.
	for _, conns := range []int{1, 16} {
		text, err := b.scriptTable(conns, null)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range b.failed {
			t.Error(f)
		}
		for _, name := range b.scriptContestants {
			shown := label(name)
			if name == ours {
				shown = "no script"
			}
			if !strings.Contains(text, "| "+shown+" ") {
				t.Errorf("%q is missing in\n%s", shown, text)
			}
		}
	}
}

// The replica is the second primary of failover.lua, and the others do not know it.
func TestScriptsThatDoNotSplitNeverAskTheReplica(t *testing.T) {
	b, null := newScriptBench(t, "failover,noop,tokenize")
	all, stop, err := b.beginAll(b.scriptContestants, null)
	defer stop()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if share, err := b.replicaShare(i, work{mode: "point", conns: 4}, null, shareWithin); err != nil || share != 0 {
			t.Errorf("%s: share of the replica is %v, %v; want 0", i.name, share, err)
		}
	}
}

func TestAScriptThatWasToSplitAndDidNotHasNoFigures(t *testing.T) {
	known := scriptRuns
	t.Cleanup(func() { scriptRuns = known })
	scriptRuns = append(slices.Clone(known), scriptRun{name: "never", label: "never splits", script: "bench/scripts/noop.lua", replica: .9})
	b, null := newScriptBench(t, "mysql-proxy,never")
	text, err := b.scriptTable(2, null)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.failed) != 1 || !strings.Contains(b.failed[0], "never splits") || !strings.Contains(b.failed[0], "0% of the requests") {
		t.Errorf("failures are %q", b.failed)
	}
	if strings.Contains(text, "never splits") || !strings.Contains(text, "| no script ") {
		t.Errorf("the table is\n%s", text)
	}
}

func TestScriptMarkdown(t *testing.T) {
	nan := math.NaN()
	all := []series{
		{name: floor, cpu: []float64{10, 20}, qps: []float64{40000, 40000}, p99: []float64{20, 20}},
		{name: ours, cpu: []float64{11, 22}, qps: []float64{39000, 39000}, p99: []float64{20, 20}},
		{name: "noop", cpu: []float64{22, nan}, qps: []float64{38000, nan}, p99: []float64{20, nan}},
		{name: "rw-classic", cpu: []float64{33, 66}, qps: []float64{30000, 30000}, p99: []float64{20, 20}},
	}
	got := scriptMarkdown(work{title: "A title", conns: 64}, all, map[string]float64{"rw-classic": .987})
	for _, want := range []string{"### A title\n", "| no script ", "3.00 (3.00 to 3.00)", "3.30 (3.30 to 3.30)", "99%", "returns nothing has no figures of 1 of its 2 rounds.", "measured elsewhere", "1.44 times"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if got := scriptMarkdown(work{title: "A title", conns: 16}, all, nil); strings.Contains(got, "elsewhere") {
		t.Errorf("the reference, which is of 64 connections, is in\n%s", got)
	}
}

func TestEveryScriptIsThere(t *testing.T) {
	for _, r := range scriptRuns {
		if _, err := os.Stat(filepath.Join("..", "..", filepath.FromSlash(r.script))); err != nil {
			t.Errorf("%s: %v", r.name, err)
		}
		if got := label(r.name); got != r.label {
			t.Errorf("%s is called %q", r.name, got)
		}
	}
}
