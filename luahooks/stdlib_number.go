package luahooks

import (
	"math"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// Numbers as C's Lua 5.1 on Linux writes and reads them.

// appendNumberText appends f as %.14g prints it.
func appendNumberText(dst []byte, f float64) []byte {
	if i := int64(f); float64(i) == f && i > -1e14 && i < 1e14 && (i != 0 || !math.Signbit(f)) {
		return strconv.AppendInt(dst, i, 10)
	}
	switch {
	case f != f:
		if math.Signbit(f) {
			dst = append(dst, '-')
		}
		return append(dst, "nan"...)
	case math.IsInf(f, 0):
		if f < 0 {
			dst = append(dst, '-')
		}
		return append(dst, "inf"...)
	}
	return strconv.AppendFloat(dst, f, 'g', 14, 64)
}

// numberText is f as tostring prints it.
func numberText(f float64) string {
	if f >= 0 && f < 100 && f == math.Trunc(f) && !math.Signbit(f) {
		return strconv.Itoa(int(f)) // without an allocation
	}
	var buf [32]byte
	return string(appendNumberText(buf[:0], f))
}

// readNumber reads all of s, up to a zero byte, as C's strtod does: blanks around
// it, decimal, hexadecimal, inf and nan.
func readNumber(s string) (float64, bool) {
	// The usual: a few digits.
	if n := len(s); n > 0 && n < 16 {
		i, whole := 0, 0
		for i < n && isDigit(s[i]) {
			whole = whole*10 + int(s[i]-'0')
			i++
		}
		if i == n {
			return float64(whole), true
		}
	}
	s, _, _ = strings.Cut(s, "\x00")
	f, n := strtod(s)
	if n == 0 {
		return 0, false
	}
	for ; n < len(s); n++ {
		if !isSpace(s[n]) {
			return 0, false
		}
	}
	return f, true
}

// strtod reads the number at the beginning of s, behind blanks. n is where it
// ends, 0 if there is none.
func strtod(s string) (f float64, n int) {
	i := 0
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	negative := false
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		negative = s[i] == '-'
		i++
	}
	f, n = strtodUnsigned(s[i:])
	if n == 0 {
		return 0, 0
	}
	if negative {
		f = -f
	}
	return f, i + n
}

func strtodUnsigned(s string) (float64, int) {
	if hasFold(s, "0x") {
		if f, n := strtodHex(s[2:]); n > 0 {
			return f, n + 2
		}
		return 0, 1 // the 0 alone
	}
	switch {
	case hasFold(s, "infinity"):
		return math.Inf(1), 8
	case hasFold(s, "inf"):
		return math.Inf(1), 3
	case hasFold(s, "nan"):
		n := 3
		if rest := s[3:]; strings.HasPrefix(rest, "(") {
			i := 1
			for i < len(rest) && (isAlpha(rest[i]) || isDigit(rest[i]) || rest[i] == '_') {
				i++
			}
			if i < len(rest) && rest[i] == ')' {
				n += i + 1
			}
		}
		return math.Float64frombits(0x7ff8 << 48), n
	}
	n := mantissa(s, isDigit)
	if n == 0 {
		return 0, 0
	}
	n += exponent(s[n:], 'e')
	f, _ := strconv.ParseFloat(s[:n], 64) // out of range: infinity or 0, as in C
	return f, n
}

// strtodHex reads what stands behind 0x.
func strtodHex(s string) (float64, int) {
	n := mantissa(s, func(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' })
	if n == 0 {
		return 0, 0
	}
	digits := s[:n]
	power := "p0"
	if e := exponent(s[n:], 'p'); e > 0 {
		power = s[n : n+e]
		n += e
	}
	f, _ := strconv.ParseFloat("0x"+digits+power, 64)
	return f, n
}

// mantissa is the length of digits with at most one point, 0 if there is no digit.
func mantissa(s string, digit func(byte) bool) int {
	i, digits := 0, 0
	for ; i < len(s) && digit(s[i]); i++ {
		digits++
	}
	if i < len(s) && s[i] == '.' {
		for i++; i < len(s) && digit(s[i]); i++ {
			digits++
		}
	}
	if digits == 0 {
		return 0
	}
	return i
}

// exponent is the length of e+10 (p+10) at the beginning of s, or 0.
func exponent(s string, letter byte) int {
	if s == "" || s[0]|0x20 != letter {
		return 0
	}
	i := 1
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		i++
	}
	from := i
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	if i == from {
		return 0
	}
	return i
}

func hasFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// readInteger reads s in a base as C's strtoul does: a sign, wrapping below 0, the
// greatest value for what is too large.
func readInteger(s string, base int) (float64, bool) {
	s, _, _ = strings.Cut(s, "\x00")
	i := 0
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	negative := false
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		negative = s[i] == '-'
		i++
	}
	if base == 16 && hasFold(s[i:], "0x") && i+2 < len(s) && digitOf(s[i+2]) < 16 {
		i += 2
	}
	from, n, over := i, uint64(0), false
	for ; i < len(s) && digitOf(s[i]) < base; i++ {
		d := uint64(digitOf(s[i]))
		if n > (math.MaxUint64-d)/uint64(base) {
			over = true
		}
		n = n*uint64(base) + d
	}
	if i == from {
		return 0, false
	}
	for ; i < len(s); i++ {
		if !isSpace(s[i]) {
			return 0, false
		}
	}
	switch {
	case over:
		n = math.MaxUint64
	case negative:
		n = -n
	}
	return float64(n), true
}

// digitOf is the value of a digit in bases up to 36, or 36.
func digitOf(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case isAlpha(c):
		return int(c|0x20-'a') + 10
	}
	return 36
}

// number is the number that v is or, a string, reads as.
func toNumber(v lua.LValue) (float64, bool) {
	switch v := v.(type) {
	case lua.LNumber:
		return float64(v), true
	case lua.LString:
		return readNumber(string(v))
	}
	return 0, false
}

func baseToNumber(l *lua.LState) int {
	base := optInt(l, 2, 10)
	if base == 10 {
		v := checkAny(l, 1)
		if f, ok := toNumber(v); !ok {
			v = lua.LNil
		} else if v.Type() != lua.LTNumber {
			v = lua.LNumber(f)
		}
		l.Push(v)
		return 1
	}
	s := checkString(l, 1)
	if base < 2 || base > 36 {
		argError(l, 2, "base out of range")
	}
	if f, ok := readInteger(s, base); ok {
		l.Push(lua.LNumber(f))
	} else {
		l.Push(lua.LNil)
	}
	return 1
}
