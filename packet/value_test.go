package packet

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"
)

func le64(x float64) []byte { return binary.LittleEndian.AppendUint64(nil, math.Float64bits(x)) }
func le32(x float32) []byte { return binary.LittleEndian.AppendUint32(nil, math.Float32bits(x)) }

func TestBinaryValueAsText(t *testing.T) {
	const dec = NoDecimals
	for _, c := range []struct {
		name string
		b    []byte
		col  Column
		want string
	}{
		{"signed byte", []byte{0x80}, Column{Type: TypeTiny}, "-128"},
		{"unsigned byte", []byte{0x80}, Column{Type: TypeTiny, Flags: ColumnUnsigned}, "128"},
		{"signed short", []byte{0xff, 0xff}, Column{Type: TypeShort}, "-1"},
		{"three bytes come as four", []byte{0xff, 0xff, 0xff, 0xff}, Column{Type: TypeInt24}, "-1"},
		{"unsigned long", []byte{0xff, 0xff, 0xff, 0xff}, Column{Type: TypeLong, Flags: ColumnUnsigned}, "4294967295"},
		{"smallest bigint", []byte{0, 0, 0, 0, 0, 0, 0, 0x80}, Column{Type: TypeLongLong}, "-9223372036854775808"},
		{"largest unsigned bigint", []byte{255, 255, 255, 255, 255, 255, 255, 255}, Column{Type: TypeLongLong, Flags: ColumnUnsigned}, "18446744073709551615"},
		{"zerofill", []byte{42, 0, 0, 0}, Column{Type: TypeLong, Flags: ColumnUnsigned | ColumnZerofill, Length: 8}, "00000042"},
		{"zerofill that is too narrow", []byte{42, 1, 0, 0}, Column{Type: TypeLong, Flags: ColumnUnsigned | ColumnZerofill, Length: 2}, "298"},
		{"year", []byte{0, 0}, Column{Type: TypeYear, Flags: ColumnUnsigned | ColumnZerofill, Length: 4}, "0000"},
		{"double", le64(0.1), Column{Type: TypeDouble, Decimals: dec}, "0.1"},
		{"double with exponent", le64(1.5e300), Column{Type: TypeDouble, Decimals: dec}, "1.5e300"},
		{"double, zero", le64(0), Column{Type: TypeDouble, Decimals: dec}, "0"},
		{"double that is a whole number", le64(-120), Column{Type: TypeDouble, Decimals: dec}, "-120"},
		{"double with decimals", le64(2.5), Column{Type: TypeDouble, Decimals: 4}, "2.5000"},
		{"float", le32(0.1), Column{Type: TypeFloat, Decimals: dec}, "0.1"},
		{"float shows six digits", le32(16777216), Column{Type: TypeFloat, Decimals: dec}, "16777200"},
		{"not a number", le64(math.NaN()), Column{Type: TypeDouble, Decimals: dec}, "0"},
		{"infinity", le32(float32(math.Inf(1))), Column{Type: TypeFloat, Decimals: 2}, "0"},
		{"date", []byte{4, 0xe8, 7, 2, 29}, Column{Type: TypeDate}, "2024-02-29"},
		{"zero date", []byte{0}, Column{Type: TypeDate}, "0000-00-00"},
		{"datetime at midnight", []byte{4, 0xe8, 7, 2, 29}, Column{Type: TypeDatetime}, "2024-02-29 00:00:00"},
		{"datetime", []byte{7, 0xe8, 7, 2, 29, 23, 5, 9}, Column{Type: TypeTimestamp}, "2024-02-29 23:05:09"},
		{"datetime that has no fraction today", []byte{7, 0xe8, 7, 2, 29, 23, 5, 9}, Column{Type: TypeDatetime, Decimals: 3}, "2024-02-29 23:05:09.000"},
		{"fraction", []byte{11, 0xe8, 7, 2, 29, 23, 5, 9, 0x40, 0x42, 0x04, 0}, Column{Type: TypeDatetime, Decimals: 4}, "2024-02-29 23:05:09.2791"},
		{"fraction of a column that does not say", []byte{11, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0}, Column{Type: TypeDatetime, Decimals: dec}, "0000-00-00 00:00:00.000001"},
		{"time of days", []byte{8, 1, 34, 0, 0, 0, 22, 59, 59}, Column{Type: TypeTime}, "-838:59:59"},
		{"time, zero", []byte{0}, Column{Type: TypeTime, Decimals: 2}, "00:00:00.00"},
		{"time with fraction", []byte{12, 0, 0, 0, 0, 0, 1, 2, 3, 0x20, 0xa1, 7, 0}, Column{Type: TypeTime, Decimals: 1}, "01:02:03.5"},
		{"decimal", []byte("\x041.50"), Column{Type: TypeNewDecimal, Decimals: 2}, "1.50"},
		{"string", []byte("\x03abc"), Column{Type: TypeVarString}, "abc"},
		{"a type of the future", []byte("\x03abc"), Column{Type: 0xa0}, "abc"},
		{"null type", nil, Column{Type: TypeNull}, ""},
	} {
		v, rest, err := BinaryValue(c.b, c.col.Type, c.col.Flags&ColumnUnsigned != 0)
		if err != nil || len(rest) != 0 {
			t.Errorf("%s: %x left, %v", c.name, rest, err)
			continue
		}
		if got := string(v.AppendText(nil, &c.col)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		whole := len(c.b)
		everyCut(t, c.b, whole, func(b []byte) error {
			_, _, err := BinaryValue(b, c.col.Type, false)
			return err
		})
	}
}

func TestBinaryValueRefusesOddLengths(t *testing.T) {
	for _, c := range []struct {
		typ ColumnType
		b   []byte
	}{
		{TypeDate, []byte{3, 1, 1, 1}},
		{TypeDatetime, append([]byte{12}, make([]byte, 12)...)},
		{TypeTime, append([]byte{7}, make([]byte, 7)...)},
		{TypeTime, []byte{8, 0, 255, 255, 255, 255, 0, 0, 0}}, // more days than hours can count
		{TypeBlob, []byte{0xfb}},
		{TypeBlob, []byte{0xfe, 255, 255, 255, 255, 255, 255, 255, 255}},
	} {
		if v, _, err := BinaryValue(c.b, c.typ, false); !errors.Is(err, ErrMalformed) {
			t.Errorf("%v %x: %+v, %v, want ErrMalformed", c.typ, c.b, v, err)
		}
	}
}
