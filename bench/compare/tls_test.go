package main

import (
	"math"
	"strings"
	"testing"
)

// lineOf returns a table's row of a contestant, its cells without blanks.
func lineOf(t *testing.T, table, contestant string) []string {
	t.Helper()
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if cells[0] == contestant {
			return cells
		}
	}
	t.Fatalf("no %s in:\n%s", contestant, table)
	return nil
}

func TestTLSTablesCompareWhatIsAlike(t *testing.T) {
	figures := func(name string, cpu ...float64) series {
		return series{name: name, cpu: cpu, qps: cpu, p50: cpu, p99: cpu, rss: cpu}
	}
	all := []series{
		figures(floor, 10, 10), figures(haproxy, 20, 20), figures(ours, 10, 20),
		figures(haproxyTLS, 100, 200), figures(oursTLS, 50, math.NaN()), figures(oursHybrid, 110, 220),
	}
	text := tlsTable(work{title: "a title"}, all)
	for contestant, want := range map[string][3]string{
		"floor (bare C)": {"0.50 (0.50 to 0.50)", "-", "1"},
		"HAProxy, TCP":   {"1", "-", "2.00 (2.00 to 2.00)"},
		"mysql-proxy":    {"0.75 (0.62 to 0.88)", "-", "1.50 (1.25 to 1.75)"},
		"HAProxy, TLS":   {"1", "7.50 (6.25 to 8.75)", "15.00 (12.50 to 17.50)"},
		// One round of two: no quartiles.
		"mysql-proxy, TLS": {"0.50", "5.00", "5.00"},
	} {
		if got := lineOf(t, text, contestant); [3]string(got[2:5]) != want {
			t.Errorf("%s: %q, want %q", contestant, got[2:5], want)
		}
	}
	if want := "mysql-proxy, TLS has no figures of 1 of its 2 rounds"; !strings.Contains(text, want) {
		t.Errorf("no %q in:\n%s", want, text)
	}
	text = handshakeTable(work{title: "a title"}, all)
	for contestant, want := range map[string][3]string{
		"HAProxy, TCP":                     {"1", "-", "-"},
		"HAProxy, TLS":                     {"1", "130", "7,692"},
		"mysql-proxy, TLS":                 {"0.50", "40.0", "25,000"},
		"mysql-proxy, TLS, X25519MLKEM768": {"1.10 (1.10 to 1.10)", "150", "6,667"},
	} {
		if got := lineOf(t, text, contestant); [3]string(got[2:5]) != want {
			t.Errorf("%s: %q, want %q", contestant, got[2:5], want)
		}
	}
}

func TestCompressionIsComparedWithTheServersOwn(t *testing.T) {
	ways := []*packedWay{
		{label: direct, rate: []float64{100, 200}, server: []float64{1, 1}, proxy: []float64{math.NaN(), math.NaN()}, both: []float64{1, 1}, wire: []float64{1, 1}},
		{label: direct, algorithm: "zlib", like: 1, rate: []float64{10, 20}, server: []float64{8, 8}, proxy: []float64{math.NaN(), math.NaN()}, both: []float64{8, 8}, wire: []float64{.5, .5}},
		{label: ours, algorithm: "zlib", like: 1, rate: []float64{20, 40}, server: []float64{1, 1}, proxy: []float64{3, 3}, both: []float64{4, 4}, wire: []float64{.4, .4}, frame: []float64{64, 64}},
	}
	got := lineOf(t, compressTable("a title", ways), ours)
	if want := "mysql-proxy,zlib,30.0,2.00 (2.00 to 2.00),1.00,3.00,4.00,0.50 (0.50 to 0.50),40%,64.0"; strings.Join(got, ",") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestProseIsTheSameEveryTime(t *testing.T) {
	a, b := newProse(), newProse()
	for range 100 {
		row := a.row()
		if other := b.row(); row != other {
			t.Fatalf("%q and %q", row, other)
		}
		if len(row) != textRow || strings.ContainsAny(row, `'\`) {
			t.Fatalf("%d bytes, %q", len(row), row)
		}
	}
}
