package packet

import (
	"math"
	"strconv"
)

// ValueKind says which fields of a Value count.
type ValueKind uint8

// The kinds of values.
const (
	ValueNull     ValueKind = iota
	ValueInt                // int64(Bits)
	ValueUint               // Bits
	ValueFloat              // math.Float32frombits(uint32(Bits))
	ValueDouble             // math.Float64frombits(Bits)
	ValueBytes              // Bytes
	ValueDate               // Year, Month, Day
	ValueDatetime           // Year to Micros
	ValueTime               // Negative, Hours to Micros
)

// Value is one value in binary form, of a binary row or a statement's
// parameter.
type Value struct {
	Kind  ValueKind
	Bits  uint64
	Bytes []byte // borrows the payload

	Year             uint16
	Month, Day       byte
	Hours            uint32 // of a ValueTime the days are in them
	Minutes, Seconds byte
	Micros           uint32
	Negative         bool
}

// BinaryValue cuts a value of type t, not NULL, off the front of b.
// v.Bytes and rest alias b.
func BinaryValue(b []byte, t ColumnType, unsigned bool) (v Value, rest []byte, err error) {
	f := fields{b: b}
	switch t {
	case TypeNull:
		v.Kind = ValueNull
	case TypeTiny:
		n := f.u8()
		v.setInt(int64(int8(n)), uint64(n), unsigned)
	case TypeShort:
		n := f.u16()
		v.setInt(int64(int16(n)), uint64(n), unsigned)
	case TypeYear: // unsigned, whatever its flags say
		v.setInt(0, uint64(f.u16()), true)
	case TypeLong, TypeInt24:
		n := f.u32()
		v.setInt(int64(int32(n)), uint64(n), unsigned)
	case TypeLongLong:
		n := f.u64()
		v.setInt(int64(n), n, unsigned)
	case TypeFloat:
		v.Kind, v.Bits = ValueFloat, uint64(f.u32())
	case TypeDouble:
		v.Kind, v.Bits = ValueDouble, f.u64()
	case TypeDate, TypeNewDate:
		v.date(&f)
		v.Kind = ValueDate
	case TypeDatetime, TypeTimestamp:
		v.date(&f)
		v.Kind = ValueDatetime
	case TypeTime:
		v.time(&f)
		v.Kind = ValueTime
	default: // strings, blobs, decimals, bits: all as they are, behind their length
		v.Kind, v.Bytes = ValueBytes, f.lenencString()
	}
	if f.bad {
		return Value{}, nil, ErrMalformed
	}
	return v, f.b, nil
}

func (v *Value) setInt(s int64, u uint64, unsigned bool) {
	v.Kind, v.Bits = ValueInt, uint64(s)
	if unsigned {
		v.Kind, v.Bits = ValueUint, u
	}
}

// date reads u8 length (0, 4, 7 or 11), u16 year, u8 month, u8 day, u8 hour,
// u8 minute, u8 second, u32 microseconds. What the length leaves out is 0.
func (v *Value) date(f *fields) {
	n := f.u8()
	d := fields{b: f.take(int(n))}
	switch n {
	case 0, 4, 7, 11:
	default:
		f.bad = true
		return
	}
	if n >= 4 {
		v.Year, v.Month, v.Day = d.u16(), d.u8(), d.u8()
	}
	if n >= 7 {
		v.Hours, v.Minutes, v.Seconds = uint32(d.u8()), d.u8(), d.u8()
	}
	if n >= 11 {
		v.Micros = d.u32()
	}
}

// time reads u8 length (0, 8 or 12), u8 negative, u32 days, u8 hour, u8 minute,
// u8 second, u32 microseconds.
func (v *Value) time(f *fields) {
	n := f.u8()
	d := fields{b: f.take(int(n))}
	switch n {
	case 0, 8, 12:
	default:
		f.bad = true
		return
	}
	if n >= 8 {
		v.Negative = d.u8() != 0
		days := d.u32()
		v.Hours = uint32(d.u8())
		if days > (math.MaxUint32-255)/24 { // a server's TIME ends at 838 hours
			f.bad = true
			return
		}
		v.Hours += days * 24
		v.Minutes, v.Seconds = d.u8(), d.u8()
	}
	if n >= 12 {
		v.Micros = d.u32()
	}
}

// AppendText appends the value as a server would have written it in a text row,
// c being its column. NULL appends nothing.
func (v *Value) AppendText(dst []byte, c *Column) []byte {
	start := len(dst)
	switch v.Kind {
	case ValueNull:
		return dst
	case ValueInt:
		dst = strconv.AppendInt(dst, int64(v.Bits), 10)
	case ValueUint:
		dst = strconv.AppendUint(dst, v.Bits, 10)
	case ValueFloat:
		dst = appendReal(dst, float64(math.Float32frombits(uint32(v.Bits))), floatDigits, c.Decimals)
	case ValueDouble:
		dst = appendReal(dst, math.Float64frombits(v.Bits), shortest, c.Decimals)
	case ValueBytes:
		return append(dst, v.Bytes...)
	case ValueDate:
		return v.appendDate(dst)
	case ValueDatetime:
		return v.appendClock(append(v.appendDate(dst), ' '), c.Decimals)
	case ValueTime:
		if v.Negative {
			dst = append(dst, '-')
		}
		return v.appendClock(dst, c.Decimals)
	}
	if c.Flags&ColumnZerofill != 0 {
		dst = padZeros(dst, start, int(min(c.Length, 255)))
	}
	return dst
}

// padZeros puts zeros before dst[start:] until it is width bytes long.
func padZeros(dst []byte, start, width int) []byte {
	n := width - (len(dst) - start)
	if n <= 0 {
		return dst
	}
	for range n {
		dst = append(dst, '0')
	}
	copy(dst[start+n:], dst[start:])
	for i := range n {
		dst[start+i] = '0'
	}
	return dst
}

func appendPadded(dst []byte, n uint64, width int) []byte {
	start := len(dst)
	return padZeros(strconv.AppendUint(dst, n, 10), start, width)
}

func (v *Value) appendDate(dst []byte) []byte {
	dst = append(appendPadded(dst, uint64(v.Year), 4), '-')
	dst = append(appendPadded(dst, uint64(v.Month), 2), '-')
	return appendPadded(dst, uint64(v.Day), 2)
}

// appendClock appends hours to microseconds. Of the latter as many digits as
// the column has decimals; six if it does not say and there is something.
func (v *Value) appendClock(dst []byte, decimals byte) []byte {
	dst = append(appendPadded(dst, uint64(v.Hours), 2), ':')
	dst = append(appendPadded(dst, uint64(v.Minutes), 2), ':')
	dst = appendPadded(dst, uint64(v.Seconds), 2)
	digits := int(decimals)
	if digits > 6 {
		digits = 0
		if v.Micros > 0 {
			digits = 6
		}
	}
	if digits == 0 {
		return dst
	}
	dst = append(dst, '.')
	start := len(dst)
	return appendPadded(dst, uint64(v.Micros%1e6), 6)[:start+digits]
}

const (
	floatDigits = 6  // significant digits that servers show of a FLOAT
	shortest    = -1 // as many digits as tell a DOUBLE from its neighbours
	// Between these places of the decimal point (1 is behind the first
	// significant digit) servers write a number without an exponent.
	minPlainPoint, maxPlainPoint = -14, 15
)

// appendReal appends x with decimals digits behind the point or, if that is
// NoDecimals or more, with the significant digits that it has.
func appendReal(dst []byte, x float64, significant int, decimals byte) []byte {
	if math.IsNaN(x) || math.IsInf(x, 0) { // no server stores one
		return append(dst, '0')
	}
	if decimals < NoDecimals {
		return strconv.AppendFloat(dst, x, 'f', int(decimals), 64)
	}
	var buf [32]byte
	prec := significant
	if significant != shortest {
		prec-- // those behind the point
	}
	s := strconv.AppendFloat(buf[:0], x, 'e', prec, 64) // -d.ddde+dd
	if s[0] == '-' {
		dst, s = append(dst, '-'), s[1:]
	}
	digits, exp := cutExponent(s)
	point := exp + 1
	switch n := len(digits); {
	case point < minPlainPoint || point > maxPlainPoint:
		dst = append(dst, digits[0])
		if n > 1 {
			dst = append(append(dst, '.'), digits[1:]...)
		}
		return strconv.AppendInt(append(dst, 'e'), int64(exp), 10)
	case point <= 0:
		dst = append(dst, "0."...)
		for range -point {
			dst = append(dst, '0')
		}
		return append(dst, digits...)
	case point >= n:
		dst = append(dst, digits...)
		for range point - n {
			dst = append(dst, '0')
		}
		return dst
	default:
		dst = append(append(dst, digits[:point]...), '.')
		return append(dst, digits[point:]...)
	}
}

// cutExponent takes d.ddde+dd apart into its digits, without zeros at their
// end, and the exponent. It moves bytes within s.
func cutExponent(s []byte) (digits []byte, exp int) {
	e := len(s) - 1
	for s[e] != 'e' {
		e--
	}
	for _, d := range s[e+2:] {
		exp = 10*exp + int(d-'0')
	}
	if s[e+1] == '-' {
		exp = -exp
	}
	digits = s[:e]
	if e > 1 { // there is a point: move the first digit over it
		s[1] = s[0]
		digits = s[1:e]
	}
	for len(digits) > 1 && digits[len(digits)-1] == '0' {
		digits = digits[:len(digits)-1]
	}
	return digits, exp
}
