package packet

import (
	"bytes"
	"errors"
	"testing"
)

func TestTextRowTellsNullFromEmpty(t *testing.T) {
	row := []byte("\x01a\xfb\x00\xfc\x03\x00xyz")
	var got [][]byte
	for rest := row; len(rest) > 0; {
		var v []byte
		var err error
		if v, rest, err = TextValue(rest); err != nil {
			t.Fatal(err)
		}
		got = append(got, v)
	}
	want := [][]byte{[]byte("a"), nil, {}, []byte("xyz")}
	if len(got) != len(want) {
		t.Fatalf("%d values, want %d", len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) || (got[i] == nil) != (want[i] == nil) {
			t.Errorf("value %d: %#v, want %#v", i, got[i], want[i])
		}
	}
}

func TestTextValueRefuses(t *testing.T) {
	for _, row := range []string{"", "\xff", "\x02a", "\xfe\x01"} {
		if v, rest, err := TextValue([]byte(row)); !errors.Is(err, ErrMalformed) || v != nil || rest != nil {
			t.Errorf("%x: %x, %x, %v, want ErrMalformed", row, v, rest, err)
		}
	}
}

func TestBinaryRowNullBitmapStartsAtItsThirdBit(t *testing.T) {
	// Eight columns of one byte; of them the first, the sixth (the last bit of
	// the first byte is the sixth column's) and the seventh are NULL.
	payload := []byte{0, 0b10000100, 0b00000001, 2, 3, 4, 5, 8}
	row, err := ParseBinaryRow(payload, 8)
	if err != nil {
		t.Fatal(err)
	}
	c := Column{Type: TypeTiny}
	var got []int64
	for range 8 {
		v, err := row.Next(&c)
		if err != nil {
			t.Fatal(err)
		}
		if v.Kind == ValueNull {
			got = append(got, 0)
		} else {
			got = append(got, int64(v.Bits))
		}
	}
	want := []int64{0, 2, 3, 4, 5, 0, 0, 8}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
	if len(row.Rest()) != 0 {
		t.Errorf("rest %x, want nothing", row.Rest())
	}
	if _, err := row.Next(&c); !errors.Is(err, ErrMalformed) {
		t.Errorf("a ninth value: error %v, want ErrMalformed", err)
	}
}

func TestParseBinaryRowRefuses(t *testing.T) {
	for _, c := range []struct {
		name    string
		payload []byte
		columns int
	}{
		{"nothing", nil, 1}, {"another head", []byte{1, 0, 1}, 1}, {"no bitmap", []byte{0}, 1},
		{"half a bitmap", []byte{0, 0}, 7}, {"columns beyond all bounds", []byte{0, 0, 0}, 1 << 62}, {"fewer than none", []byte{0, 0}, -1},
	} {
		if _, err := ParseBinaryRow(c.payload, c.columns); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error %v, want ErrMalformed", c.name, err)
		}
	}
}

func TestBinaryRowEndsAtItsFirstError(t *testing.T) {
	row, err := ParseBinaryRow([]byte{0, 0, 9}, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := row.Next(&Column{Type: TypeLong}); !errors.Is(err, ErrMalformed) {
		t.Errorf("4 bytes of 1: error %v, want ErrMalformed", err)
	}
	if _, err := row.Next(&Column{Type: TypeTiny}); !errors.Is(err, ErrMalformed) {
		t.Errorf("behind an error: error %v, want ErrMalformed", err)
	}
}

func TestRowsDoNotAllocate(t *testing.T) {
	text, dst := []byte("\x01a\xfb\x03xyz"), make([]byte, 0, 64)
	binary := []byte{0, 0, 7, 4, 0xe8, 7, 2, 29}
	columns := []Column{{Type: TypeTiny}, {Type: TypeDate}}
	noAllocs(t, "TextValue", func() {
		dst = dst[:0]
		for rest := text; len(rest) > 0; {
			var v []byte
			v, rest, _ = TextValue(rest)
			dst = AppendTextValue(dst, v)
		}
	})
	noAllocs(t, "BinaryRow", func() {
		row, _ := ParseBinaryRow(binary, 2)
		dst = dst[:0]
		for i := range columns {
			v, _ := row.Next(&columns[i])
			dst = v.AppendText(dst, &columns[i])
		}
	})
	if string(dst) != "72024-02-29" {
		t.Errorf("got %q", dst)
	}
}

func FuzzTextRow(f *testing.F) { // property: what Append writes says the same
	f.Add([]byte("\x01a\xfb\x00\xfc\x03\x00xyz"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var values [][]byte
		var out []byte
		for rest := in; len(rest) > 0; {
			v, r, err := TextValue(rest)
			if err != nil {
				break
			}
			if len(r) >= len(rest) {
				t.Fatalf("%x: no way ahead at %x", in, rest)
			}
			values, out, rest = append(values, v), AppendTextValue(out, v), r
		}
		for i, want := range values {
			v, r, err := TextValue(out)
			if err != nil || !bytes.Equal(v, want) || (v == nil) != (want == nil) {
				t.Fatalf("value %d is %x, written again %x, %v", i, want, v, err)
			}
			out = r
		}
	})
}

func FuzzBinaryRow(f *testing.F) { // property: a row is read to its end or not at all, and its text is bounded
	f.Add([]byte{0, 0, 7, 4, 0xe8, 7, 2, 29}, []byte{byte(TypeTiny), byte(TypeDate)}, uint16(ColumnUnsigned), byte(6))
	f.Add([]byte{0, 0, 0, 0, 0xc0, 0x7f, 12, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1}, []byte{byte(TypeFloat), byte(TypeTime)}, uint16(0), byte(31))
	f.Fuzz(func(t *testing.T, in, types []byte, flags uint16, decimals byte) {
		row, err := ParseBinaryRow(in, len(types))
		if err != nil {
			return
		}
		size := 0
		for _, typ := range types {
			c := Column{Type: ColumnType(typ), Flags: flags, Decimals: decimals, Length: uint32(decimals) << 24}
			v, err := row.Next(&c)
			if err != nil {
				return
			}
			text := v.AppendText([]byte("x"), &c)
			if text[0] != 'x' || len(text) > 400+len(v.Bytes) {
				t.Fatalf("%+v of %v is %q", v, c.Type, text)
			}
			size += len(v.Bytes)
		}
		if size+len(row.Rest()) > len(in) {
			t.Fatalf("%d bytes of values and %d left of %d", size, len(row.Rest()), len(in))
		}
	})
}
