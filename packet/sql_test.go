package packet

import (
	"math/bits"
	"testing"
)

func TestSQLNamesAreComplete(t *testing.T) {
	for r := range reasonCount {
		if r.String() == "" {
			t.Errorf("reason %d has no name", r)
		}
	}
	if got, want := len(effectNames), bits.TrailingZeros64(uint64(effectEnd)); got != want {
		t.Errorf("%d names of effects, want %d", got, want)
	}
}

func TestClassifyBasics(t *testing.T) {
	for sql, want := range map[string]Route{
		"select id, name FROM items where id = 5": RouteReplica,
		"select 1 into outfile 'x'":               RoutePrimary,
		"select f(1)":                             RoutePrimary,
		"insert into t values (1)":                RoutePrimary,
		"select 1 for update":                     RoutePrimary,
	} {
		if got := Classify([]byte(sql), 0); got.Route != want {
			t.Errorf("%s: %v, want %v", sql, got.Route, want)
		}
	}
}
