package luahooks

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// conversion is one item of a format: %-05.3d.
type conversion struct {
	left, sign, space, alt, zero bool
	width                        int
	precision                    int // -1: none
	verb                         byte
}

// parseConversion reads what stands behind a %. rest is what follows it. why is
// set where the item is no item.
func parseConversion(format string) (c conversion, rest, why string) {
	i := 0
flags:
	for i < len(format) {
		switch format[i] {
		case '-':
			c.left = true
		case '+':
			c.sign = true
		case ' ':
			c.space = true
		case '#':
			c.alt = true
		case '0':
			c.zero = true
		default:
			break flags
		}
		i++
	}
	if i > 5 {
		return c, "", "invalid format (repeated flags)"
	}
	number := func() (n int) {
		for digits := 0; digits < 2 && i < len(format) && isDigit(format[i]); digits++ {
			n = n*10 + int(format[i]-'0')
			i++
		}
		return n
	}
	c.width = number()
	c.precision = -1
	if i < len(format) && format[i] == '.' {
		i++
		c.precision = number()
	}
	if i < len(format) && isDigit(format[i]) {
		return c, "", "invalid format (width or precision too long)"
	}
	if i < len(format) {
		c.verb = format[i]
		i++
	}
	return c, format[i:], ""
}

func (s *stdlib) stringFormat(l *lua.LState) int {
	format := checkString(l, 1)
	var scratch [256]byte
	out := scratch[:0]
	arg, top := 1, l.GetTop()
	for {
		i := strings.IndexByte(format, '%')
		if i < 0 {
			out = append(out, format...)
			break
		}
		out, format = append(out, format[:i]...), format[i+1:]
		if format != "" && format[0] == '%' {
			out, format = append(out, '%'), format[1:]
			continue
		}
		if arg++; arg > top {
			argError(l, arg, "no value")
		}
		c, rest, why := parseConversion(format)
		if why != "" {
			raise(l, why)
		}
		format = rest
		out = c.append(l, out, arg)
	}
	l.Push(stringValue(string(out), ""))
	return 1
}

// append appends argument arg.
func (c conversion) append(l *lua.LState, out []byte, arg int) []byte {
	switch c.verb {
	case 'c':
		b := byte(checkNumber32(l, arg))
		if b == 0 { // C's string ends there
			if c.left {
				return out
			}
			return c.pad(out, "", max(c.width-1, 0))
		}
		return c.pad(out, string([]byte{b}), c.width)
	case 'd', 'i':
		return c.integer(out, int64(cutInt(checkNumber(l, arg))))
	case 'o', 'u', 'x', 'X':
		return c.unsigned(out, cutUnsigned(checkNumber(l, arg)))
	case 'e', 'E', 'f', 'g', 'G':
		return c.float(out, checkNumber(l, arg))
	case 'q':
		return appendQuoted(out, checkString(l, arg))
	case 's':
		str := checkString(l, arg)
		if c.precision < 0 && len(str) >= 100 { // C's Lua takes it as it is
			return append(out, str...)
		}
		str, _, _ = strings.Cut(str, "\x00")
		if c.precision >= 0 && len(str) > c.precision {
			str = str[:c.precision]
		}
		return c.pad(out, str, c.width)
	}
	verb := ""
	if c.verb != 0 {
		verb = string([]byte{c.verb})
	}
	raise(l, "invalid option '%"+verb+"' to 'format'")
	return out
}

func checkNumber32(l *lua.LState, n int) int32 {
	f := checkNumber(l, n)
	if f >= math.MinInt32 && f <= math.MaxInt32 {
		return int32(f)
	}
	return math.MinInt32
}

// cutUnsigned is the unsigned long that C on x86-64 makes of f.
func cutUnsigned(f float64) uint64 {
	if f >= 1<<63 {
		return uint64(cutInt(f-1<<63)) ^ 1<<63
	}
	return uint64(cutInt(f))
}

// pad appends text, filled with blanks up to width.
func (c conversion) pad(out []byte, text string, width int) []byte {
	fill := width - len(text)
	if c.left {
		out = append(out, text...)
	}
	for ; fill > 0; fill-- {
		out = append(out, ' ')
	}
	if !c.left {
		out = append(out, text...)
	}
	return out
}

// number appends prefix (sign, 0x) and digits, filled up to the width: with zeros
// between the two if zeros is set.
func (c conversion) number(out []byte, prefix string, digits []byte, zeros bool) []byte {
	fill := c.width - len(prefix) - len(digits)
	if !c.left && !zeros {
		for ; fill > 0; fill-- {
			out = append(out, ' ')
		}
	}
	out = append(out, prefix...)
	if !c.left {
		for ; fill > 0; fill-- {
			out = append(out, '0')
		}
	}
	out = append(out, digits...)
	for ; fill > 0; fill-- {
		out = append(out, ' ')
	}
	return out
}

func (c conversion) signOf(negative bool) string {
	switch {
	case negative:
		return "-"
	case c.sign:
		return "+"
	case c.space:
		return " "
	}
	return ""
}

// digits are those of n, at least as many as the precision says.
func (c conversion) digits(buf []byte, n uint64, base int) []byte {
	if n == 0 && c.precision == 0 {
		return buf
	}
	var tmp [72]byte
	d := strconv.AppendUint(tmp[:0], n, base)
	for i := len(d); i < c.precision; i++ {
		buf = append(buf, '0')
	}
	return append(buf, d...)
}

func (c conversion) integer(out []byte, n int64) []byte {
	var buf [128]byte
	u := uint64(n)
	if n < 0 {
		u = -u
	}
	return c.number(out, c.signOf(n < 0), c.digits(buf[:0], u, 10), c.zero && c.precision < 0)
}

func (c conversion) unsigned(out []byte, n uint64) []byte {
	var buf [128]byte
	prefix, base := "", 10
	switch c.verb {
	case 'o':
		base = 8
	case 'x', 'X':
		base = 16
		if c.alt && n != 0 {
			prefix = "0" + string([]byte{c.verb})
		}
	}
	d := c.digits(buf[:0], n, base)
	if c.verb == 'o' && c.alt && (len(d) == 0 || d[0] != '0') {
		d = append([]byte{'0'}, d...)
	}
	if c.verb == 'X' {
		upper(d)
	}
	return c.number(out, prefix, d, c.zero && c.precision < 0)
}

func upper(b []byte) {
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			b[i] = c &^ 0x20
		}
	}
}

func (c conversion) float(out []byte, f float64) []byte {
	var buf [512]byte
	sign := c.signOf(math.Signbit(f))
	zeros := c.zero
	var d []byte
	switch {
	case f != f:
		d, zeros = append(buf[:0], "nan"...), false
	case math.IsInf(f, 0):
		d, zeros = append(buf[:0], "inf"...), false
	default:
		precision := c.precision
		if precision < 0 {
			precision = 6
		}
		verb := c.verb | 0x20
		if verb == 'g' && precision == 0 {
			precision = 1
		}
		if c.alt {
			d = fmt.Appendf(buf[:0], "%#."+strconv.Itoa(precision)+string([]byte{verb}), math.Abs(f))
		} else {
			d = strconv.AppendFloat(buf[:0], math.Abs(f), verb, precision, 64)
		}
	}
	if c.verb < 'a' {
		upper(d)
	}
	return c.number(out, sign, d, zeros)
}

// appendQuoted appends a string as Lua reads it.
func appendQuoted(out []byte, str string) []byte {
	out = append(out, '"')
	for i := range len(str) {
		switch c := str[i]; c {
		case '"', '\\', '\n':
			out = append(out, '\\', c)
		case '\r':
			out = append(out, `\r`...)
		case 0:
			out = append(out, `\000`...)
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}
