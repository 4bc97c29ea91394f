package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	nan := math.NaN()
	for _, tt := range []struct {
		name string
		in   []float64
		want spread
	}{
		{"odd", []float64{5, 1, 3}, spread{3, 2, 3, 4}},
		{"even", []float64{4, 1, 2, 3}, spread{4, 1.75, 2.5, 3.25}},
		{"one", []float64{7}, spread{1, 7, 7, 7}},
		{"failed rounds do not count", []float64{nan, 1, nan, 3}, spread{2, 1.5, 2, 2.5}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := spreadOf(tt.in); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
	if got := spreadOf(nil); got.String() != "-" || got.withQuartiles() != "-" {
		t.Errorf("nothing is shown as %q and %q", got, got.withQuartiles())
	}
}

func TestRatiosAreTakenRoundByRound(t *testing.T) {
	// The second round was slow for both: the ratio does not see it.
	got := spreadOf(ratios([]float64{10, 50, 11}, []float64{20, 100, 22}))
	if got.median != .5 || got.q1 != .5 || got.q3 != .5 {
		t.Errorf("got %+v, want .5 all over", got)
	}
	if r := ratios([]float64{1, 2}, []float64{0, 2}); !math.IsNaN(r[0]) || r[1] != 1 {
		t.Errorf("got %v, want NaN and 1", r)
	}
}

func TestFiguresAreReadable(t *testing.T) {
	for in, want := range map[float64]string{1234567: "1,234,567", 999.6: "1000", 123.4: "123", 12.34: "12.3", 1.234: "1.23", 0: "0.00"} {
		if got := spreadOf([]float64{in}).String(); got != want {
			t.Errorf("%v is shown as %q, want %q", in, got, want)
		}
	}
}

func TestReplaceSectionKeepsWhatPeopleWrote(t *testing.T) {
	doc := "# Title\n\nWords.\n<!-- figures: a -->\nold\n<!-- end of figures: a -->\nmore\n<!-- figures: b -->\nb's\n<!-- end of figures: b -->\nend\n"
	want := strings.Replace(doc, "old\n", "\nnew\n\n", 1)
	got, err := replaceSection(doc, "a", "\nnew\n\n")
	if err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if again, err := replaceSection(got, "a", "new"); err != nil || again != want {
		t.Errorf("a second time: %q, %v", again, err)
	}
	for _, bad := range []string{"", "<!-- figures: c -->\n", "<!-- end of figures: c -->\n<!-- figures: c -->\n"} {
		if out, err := replaceSection(bad, "c", "x"); err == nil {
			t.Errorf("%q became %q, want an error", bad, out)
		}
	}
}

func TestBenchmarksFileHasTheMarks(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "BENCHMARKS.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, section := range []string{"null server", "scripts", "sysbench"} {
		if _, err := replaceSection(string(doc), section, "x"); err != nil {
			t.Error(err)
		}
	}
}

func TestTable(t *testing.T) {
	got := table(work{title: "A title", mode: "point"}, []series{
		{name: direct, cpu: []float64{math.NaN(), math.NaN()}, qps: []float64{50000, 52000}, p50: []float64{10, 10}, p99: []float64{20, 20}},
		{name: floor, cpu: []float64{10, 20}, qps: []float64{40000, 40000}, p50: []float64{10, 10}, p99: []float64{20, 20}, rss: []float64{1, 1}},
		{name: ours, cpu: []float64{11, 22}, qps: []float64{39000, math.NaN()}, p50: []float64{10, 10}, p99: []float64{20, 20}, rss: []float64{5, 5}},
	})
	for _, want := range []string{"### A title\n", "| direct         |              - |", "51,000", "1.10 (1.10 to 1.10)", "mysql-proxy has no figures of 1 of its 2 rounds."} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

// A report of sysbench 1.0.20, shortened.
const sysbenchReport = `sysbench 1.0.20 (using system LuaJIT 2.1.0-beta3)

Latency histogram (values are in milliseconds)
       value  ------------- distribution ------------- count
       0.163 |                                         12
       0.166 |*****                                    88
       0.200 |**************************************** 880
       1.759 |*                                        20

SQL statistics:
    queries performed:
        read:                            1000
    transactions:                        1000   (499.90 per sec.)
    queries:                             20000  (9998.10 per sec.)
    ignored errors:                      0      (0.00 per sec.)
    reconnects:                          0      (0.00 per sec.)

Latency (ms):
         99th percentile:                        0.52
`

func TestParseSysbench(t *testing.T) {
	got, err := parseSysbench(sysbenchReport)
	if want := (sysRun{qps: 9998.10, queries: 20000, p50: .2, p99: 1.759}); err != nil || got != want {
		// 99 of 100 events are at or below 1.759: 980 of 1,000 at or below 0.2
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"", "FATAL: no\n", "queries: 10 (5 per sec.)\n", "0.163 |* 12\n"} {
		if got, err := parseSysbench(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, got)
		}
	}
}

func TestParseStrace(t *testing.T) {
	got, err := parseStrace(`% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 51.22    0.012345           3      4000           read
 40.00    0.010000           2      4100        12 write
------ ----------- ----------- --------- --------- ----------------
100.00    0.022345           2      8100        12 total
`)
	if err != nil || len(got) != 2 || got["read"] != 4000 || got["write"] != 4100 {
		t.Errorf("got %v, %v", got, err)
	}
	if cells := perQuery(got, 2000); cells[0] != "4.0" && cells[0] != "4.1" || cells[1] != "write 2.05, read 2.00" {
		t.Errorf("cells are %q", cells)
	}
	if _, err := parseStrace("strace: attach: Operation not permitted\n"); err == nil {
		t.Error("a table without calls is read")
	}
}

func TestTidyVersion(t *testing.T) {
	for _, tt := range [][3]string{
		{"haproxy", "HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/", "haproxy 2.6.12-1+deb12u4"},
		{"gcc", "gcc (Debian 12.2.0-14+deb12u1) 12.2.0", "gcc 12.2.0-14+deb12u1"},
		{"x", "no number", "x (no number)"},
	} {
		if got := tidyVersion(tt[0], tt[1]); got != tt[2] {
			t.Errorf("got %q, want %q", got, tt[2])
		}
	}
}

func TestFlags(t *testing.T) {
	s, err := parse([]string{"-quick", "-rounds", "9", "-conns", "2,3", "-works", "point,idle"})
	if err != nil {
		t.Fatal(err)
	}
	if s.rounds != 9 || s.window != 250*time.Millisecond || s.write || len(s.conns) != 2 || !s.does("idle") || s.does("sysbench") {
		t.Errorf("-quick with others is %+v", s)
	}
	for _, bad := range []string{"-works nothing", "-conns 0", "-conns x", "-rounds 0", "-sysbench-time 100ms", "word"} {
		if _, err := parse(strings.Fields(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
