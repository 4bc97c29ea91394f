package packet

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

func aColumn() Column {
	return Column{
		Catalog: []byte("def"), Schema: []byte("shop"), Table: []byte("k"), OrgTable: []byte("kinds"), Name: []byte("ident"),
		OrgName: []byte("id"), Collation: 63, Length: 11, Type: TypeLong, Flags: ColumnNotNull | ColumnPrimaryKey, Decimals: 0,
	}
}

// equalColumn compares columns by what they say: an empty slice is as good as none,
// but a Default of NULL is not one of no bytes.
func equalColumn(a, b Column) bool {
	null := (a.Default == nil) == (b.Default == nil)
	for _, c := range []*Column{&a, &b} {
		for _, s := range []*[]byte{&c.Catalog, &c.Schema, &c.Table, &c.OrgTable, &c.Name, &c.OrgName, &c.Extended, &c.Default} {
			*s = append([]byte{}, *s...)
		}
	}
	return null && reflect.DeepEqual(a, b)
}

func TestColumnLayout(t *testing.T) {
	c := aColumn()
	want := "\x03def\x04shop\x01k\x05kinds\x05ident\x02id\x0c\x3f\x00\x0b\x00\x00\x00\x03\x03\x00\x00\x00\x00"
	if got := c.Append(nil, 0); string(got) != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	c.Extended = []byte("\x00\x04uuid")
	want = "\x03def\x04shop\x01k\x05kinds\x05ident\x02id\x06\x00\x04uuid\x0c\x3f\x00\x0b\x00\x00\x00\x03\x03\x00\x00\x00\x00"
	if got := c.Append(nil, CapMariaDBExtendedMetadata); string(got) != want {
		t.Errorf("extended\ngot  %q\nwant %q", got, want)
	}
}

func TestColumnForms(t *testing.T) {
	plain, extended, null, empty, zero := aColumn(), aColumn(), aColumn(), aColumn(), aColumn()
	extended.Extended = []byte("\x00\x04uuid")
	null.HasDefault = true
	empty.HasDefault, empty.Default = true, []byte{}
	zero.HasDefault, zero.Default = true, []byte("0")
	for _, c := range []struct {
		name string
		col  Column
		caps Capability
	}{
		{"plain", plain, 0},
		{"no extended metadata, but the capability", plain, CapMariaDBExtendedMetadata},
		{"extended metadata", extended, CapMariaDBExtendedMetadata},
		{"default NULL", null, 0},
		{"default empty", empty, 0},
		{"default 0", zero, 0},
		{"default and extended metadata", Column{Extended: []byte("x"), HasDefault: true, Default: []byte("y")}, CapMariaDBExtendedMetadata},
	} {
		payload := c.col.Append(nil, c.caps)
		if got, err := ParseColumn(payload, c.caps); err != nil || !equalColumn(got, c.col) {
			t.Errorf("%s: got %+v, %v\nwant %+v", c.name, got, err, c.col)
		}
	}
}

func TestParseColumnRefuses(t *testing.T) {
	c := aColumn()
	payload := c.Append(nil, 0)
	everyCut(t, payload, len(payload), func(b []byte) error { _, err := ParseColumn(b, 0); return err })
	fixed := bytes.LastIndexByte(payload, columnFixedLen)
	for name, change := range map[string]func([]byte){
		"a fixed part too short": func(b []byte) { b[fixed] = 9 },
		"a fixed part too long":  func(b []byte) { b[fixed] = 13 },
		"a NULL name":            func(b []byte) { b[0] = 0xfb },
	} {
		b := bytes.Clone(payload)
		change(b)
		if _, err := ParseColumn(b, 0); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error %v, want ErrMalformed", name, err)
		}
	}
}

func TestExtendedMetadataGoesEntryByEntry(t *testing.T) {
	kind, value, rest, ok := NextExtended([]byte("\x00\x05point\x01\x04json"))
	if !ok || kind != ExtendedType || string(value) != "point" {
		t.Fatalf("first: %d %q %v", kind, value, ok)
	}
	kind, value, rest, ok = NextExtended(rest)
	if !ok || kind != ExtendedFormat || string(value) != "json" || len(rest) != 0 {
		t.Fatalf("second: %d %q %q %v", kind, value, rest, ok)
	}
	for _, b := range []string{"", "\x00", "\x00\x05poin"} {
		if _, _, rest, ok := NextExtended([]byte(b)); ok || string(rest) != b {
			t.Errorf("%q: %q, %v, want the input and false", b, rest, ok)
		}
	}
}

func TestColumnCountHasItsFlagBehindIt(t *testing.T) {
	for _, c := range []struct {
		payload string
		caps    Capability
		n       uint64
		follow  bool
	}{
		{"\x03", 0, 3, true},
		{"\xfc\x00\x10", 0, 4096, true},
		{"\x03\x01", CapOptionalMetadata, 3, true},
		{"\x02\x00", CapOptionalMetadata, 2, false},
		{"\x02\x00", CapMariaDBCacheMetadata, 2, false},
		{"\x02", CapMariaDBCacheMetadata, 2, true},
	} {
		if n, follow, err := ParseColumnCount([]byte(c.payload), c.caps); err != nil || n != c.n || follow != c.follow {
			t.Errorf("%x with %v: %d, %v, %v, want %d, %v", c.payload, c.caps, n, follow, err, c.n, c.follow)
		}
	}
	if got := AppendColumnCount(nil, 3, CapMariaDBCacheMetadata); string(got) != "\x03\x01" {
		t.Errorf("Append: %x, want 0301", got)
	}
	for _, payload := range []string{"", "\x00", "\xfbfile", "\xff\x10\x04", "\xfd\x00\x00\x01", "\xfc\x01"} {
		if _, _, err := ParseColumnCount([]byte(payload), 0); !errors.Is(err, ErrMalformed) {
			t.Errorf("%x: error %v, want ErrMalformed", payload, err)
		}
	}
}

func TestColumnTypeString(t *testing.T) {
	for typ, want := range map[ColumnType]string{TypeDecimal: "DECIMAL", TypeGeometry: "GEOMETRY", 99: "type99"} {
		if got := typ.String(); got != want {
			t.Errorf("%d: got %q, want %q", byte(typ), got, want)
		}
	}
}

func TestColumnDoesNotAllocate(t *testing.T) {
	const caps = CapMariaDBExtendedMetadata | CapMariaDBCacheMetadata
	c := aColumn()
	c.Extended, c.HasDefault = []byte("\x00\x04uuid"), true
	payload, dst := c.Append(nil, caps), make([]byte, 0, 128)
	noAllocs(t, "ParseColumn", func() { c, _ = ParseColumn(payload, caps) })
	noAllocs(t, "Append", func() { dst = c.Append(dst[:0], caps) })
	noAllocs(t, "NextExtended", func() { _, _, _, _ = NextExtended(c.Extended) })
	noAllocs(t, "AppendColumnCount", func() { dst = AppendColumnCount(dst[:0], 300, caps) })
	noAllocs(t, "ParseColumnCount", func() { _, _, _ = ParseColumnCount(dst, caps) })
}

func FuzzColumn(f *testing.F) { // property: what Append writes says the same
	for _, c := range conversations(f) {
		for _, s := range c.packets {
			if p := s.pkt.Payload(); s.from == 'S' && bytes.HasPrefix(p, []byte("\x03def")) {
				f.Add(p, uint64(CapMariaDBExtendedMetadata))
			}
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, flags uint64) {
		caps := Capability(flags)
		if c, err := ParseColumn(in, caps); err == nil {
			for rest := c.Extended; len(rest) > 0; {
				var ok bool
				if _, _, rest, ok = NextExtended(rest); !ok {
					break
				}
			}
			if again, err := ParseColumn(c.Append(nil, caps), caps); err != nil || !equalColumn(c, again) {
				t.Fatalf("%x is %+v, written again %+v, %v", in, c, again, err)
			}
		}
		if n, follow, err := ParseColumnCount(in, caps); err == nil && follow {
			if m, _, err := ParseColumnCount(AppendColumnCount(nil, n, caps), caps); err != nil || m != n {
				t.Fatalf("count %x is %d, written again %d, %v", in, n, m, err)
			}
		}
	})
}
