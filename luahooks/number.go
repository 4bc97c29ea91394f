package luahooks

import (
	"math"

	lua "github.com/yuin/gopher-lua"
)

// What scripts give where MySQL Proxy wants a number or a string is converted as
// Lua 5.1 does, see stdlib_number.go.

// numberOf is the number that v is or, a string, can be read as.
func numberOf(v lua.LValue) (float64, bool) { return toNumber(v) }

// textOf is the string that v is or, a number, is printed as.
func textOf(v lua.LValue) (string, bool) { return textOfValue(v) }

// intOf is numberOf cut to an integer. What no int can hold becomes the
// nearest that it can, NaN becomes 0.
func intOf(v lua.LValue) (int, bool) {
	n, ok := numberOf(v)
	return truncate(n), ok
}

func truncate(n float64) int {
	switch {
	case n != n:
		return 0
	case n >= math.MaxInt64:
		return math.MaxInt64
	case n <= math.MinInt64:
		return math.MinInt64
	}
	return int(n)
}

// uintOf is for counters: cut to an integer, below 0 is 0.
func uintOf(v lua.LValue) (uint64, bool) {
	n, ok := numberOf(v)
	switch {
	case !(n > 0):
		return 0, ok
	case n >= math.MaxUint64:
		return math.MaxUint64, ok
	}
	return uint64(n), ok
}
