package luahooks

import (
	"math"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// This file converts as C's Lua 5.1 does. gopher-lua's own conversions print
// 17 digits and refuse "1e2".

// numberOf is the number that v is or, a string, can be read as.
func numberOf(v lua.LValue) (float64, bool) {
	switch v := v.(type) {
	case lua.LNumber:
		return float64(v), true
	case lua.LString:
		return parseNumber(string(v))
	}
	return 0, false
}

// parseNumber reads s as strtod does: blanks around it, decimal or hexadecimal.
func parseNumber(s string) (float64, bool) {
	s = strings.Trim(s, " \t\n\v\f\r")
	if strings.IndexByte(s, '_') >= 0 { // Go's, not C's
		return 0, false
	}
	digits, negative := s, false
	if s != "" && (s[0] == '-' || s[0] == '+') {
		digits, negative = s[1:], s[0] == '-'
	}
	if len(digits) > 2 && digits[0] == '0' && digits[1]|0x20 == 'x' && !strings.ContainsAny(digits, "pP.") {
		n, err := strconv.ParseUint(digits[2:], 16, 64)
		if negative {
			return -float64(n), err == nil
		}
		return float64(n), err == nil
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(n, 0) { // out of range is infinity, as in C
		return 0, false
	}
	return n, true
}

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

// appendNumber appends n as tostring prints it: %.14g.
func appendNumber(dst []byte, n float64) []byte {
	switch {
	case n != n:
		if math.Signbit(n) {
			dst = append(dst, '-')
		}
		return append(dst, "nan"...)
	case math.IsInf(n, 1):
		return append(dst, "inf"...)
	case math.IsInf(n, -1):
		return append(dst, "-inf"...)
	}
	return strconv.AppendFloat(dst, n, 'g', 14, 64)
}

// textOf is the string that v is or, a number, is printed as.
func textOf(v lua.LValue) (string, bool) {
	switch v := v.(type) {
	case lua.LString:
		return string(v), true
	case lua.LNumber:
		var buf [32]byte
		return string(appendNumber(buf[:0], float64(v))), true
	}
	return "", false
}
