package luahooks

import (
	"math"
	"testing"

	lua "github.com/yuin/gopher-lua"
)

func TestNumbersPrintAsC(t *testing.T) {
	for _, tc := range []struct {
		n    float64
		want string
	}{
		{1, "1"}, {-1, "-1"}, {0, "0"}, {math.Copysign(0, -1), "-0"}, {0.1, "0.1"}, {100000, "100000"},
		{0.1 + 0.2, "0.3"}, {1 << 53, "9.007199254741e+15"}, {99999999999999, "99999999999999"},
		{1e14, "1e+14"}, {1e15, "1e+15"}, {1e-4, "0.0001"}, {1e-5, "1e-05"}, {1.5e300, "1.5e+300"},
		{2.0 / 3, "0.66666666666667"}, {math.Inf(1), "inf"}, {math.Inf(-1), "-inf"},
		{math.NaN(), "nan"},
	} {
		if got := string(appendNumberText(nil, tc.n)); got != tc.want {
			t.Errorf("%v is printed as %q, want %q", tc.n, got, tc.want)
		}
	}
}

func TestStringsAreReadAsNumbers(t *testing.T) {
	for _, tc := range []struct {
		s    string
		want float64
		ok   bool
	}{
		{"1", 1, true}, {" 2 \n", 2, true}, {"1e2", 100, true}, {"-3.7", -3.7, true}, {"+4", 4, true},
		{"0x10", 16, true}, {"-0X10", -16, true}, {"0x1p4", 16, true}, {".5", 0.5, true},
		{"18446744073709551615", 18446744073709551615, true}, {"1e999", math.Inf(1), true},
		{"", 0, false}, {" ", 0, false}, {"1_000", 0, false}, {"0x_1", 0, false}, {"0x", 0, false}, {"1x", 0, false},
		{"one", 0, false}, {"1 2", 0, false},
	} {
		got, ok := numberOf(lua.LString(tc.s))
		if ok != tc.ok || ok && got != tc.want {
			t.Errorf("%q is read as %v, %v; want %v, %v", tc.s, got, ok, tc.want, tc.ok)
		}
	}
}

func TestNumbersAreCutToIntegers(t *testing.T) {
	for _, tc := range []struct {
		n    float64
		i    int
		u    uint64
		name string
	}{
		{2.9, 2, 2, "fraction"}, {-2.9, -2, 0, "below zero"}, {math.NaN(), 0, 0, "not a number"},
		{1e300, math.MaxInt64, math.MaxUint64, "too large"}, {-1e300, math.MinInt64, 0, "too small"},
		{1 << 63, math.MaxInt64, 1 << 63, "beyond int64"},
	} {
		i, _ := intOf(lua.LNumber(tc.n))
		u, _ := uintOf(lua.LNumber(tc.n))
		if i != tc.i || u != tc.u {
			t.Errorf("%s: %v and %v, want %v and %v", tc.name, i, u, tc.i, tc.u)
		}
	}
}
