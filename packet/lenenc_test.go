package packet

import (
	"bytes"
	"math"
	"testing"
)

func TestLenEncTakesTheShortestForm(t *testing.T) {
	for _, c := range []struct {
		v    uint64
		want []byte
	}{
		{0, []byte{0}},
		{250, []byte{250}},
		{251, []byte{0xfc, 251, 0}},
		{0xffff, []byte{0xfc, 0xff, 0xff}},
		{0x10000, []byte{0xfd, 0, 0, 1}},
		{0xffffff, []byte{0xfd, 0xff, 0xff, 0xff}},
		{0x1000000, []byte{0xfe, 0, 0, 0, 1, 0, 0, 0, 0}},
		{math.MaxUint64, []byte{0xfe, 255, 255, 255, 255, 255, 255, 255, 255}},
	} {
		got := AppendLenEnc(nil, c.v)
		if !bytes.Equal(got, c.want) {
			t.Errorf("AppendLenEnc(%d) = %x, want %x", c.v, got, c.want)
		}
		if v, n := LenEnc(append(got, 7)); v != c.v || n != len(c.want) {
			t.Errorf("LenEnc(%x) = %d, %d, want %d, %d", got, v, n, c.v, len(c.want))
		}
		for cut := range c.want {
			if v, n := LenEnc(c.want[:cut:cut]); v != 0 || n != 0 {
				t.Errorf("LenEnc(%x) = %d, %d, want 0, 0", c.want[:cut], v, n)
			}
		}
		if got, want := stringLen(make([]byte, min(c.v, 1<<25))), uint64(len(c.want))+c.v; c.v <= 1<<25 && got != want {
			t.Errorf("stringLen of %d bytes = %d, want %d", c.v, got, want)
		}
	}
}

func TestLenEncRefusesNullAndInvalid(t *testing.T) {
	for _, first := range []byte{0xfb, 0xff} {
		if _, n := LenEnc([]byte{first, 1, 2, 3, 4, 5, 6, 7, 8}); n != -1 {
			t.Errorf("LenEnc(%#x...): n = %d, want -1", first, n)
		}
	}
}

func TestLenEncStringNeverReadsPastTheEnd(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing": {}, "NULL": {0xfb}, "one byte short": {3, 'a', 'b'}, "half a length": {0xfc, 1},
		"length that is negative as an int":  {0xfe, 255, 255, 255, 255, 255, 255, 255, 255, 'a'},
		"length that overflows with its own": {0xfe, 0xf7, 255, 255, 255, 255, 255, 255, 0x7f, 'a'},
	} {
		if s, rest, ok := LenEncString(b); ok || s != nil || !bytes.Equal(rest, b) {
			t.Errorf("%s: %q, %x, %v, want nothing and the input", name, s, rest, ok)
		}
	}
}

func TestStringsAreCutSoThatAppendingIsSafe(t *testing.T) {
	b := []byte("\x02abcd\x00ef")
	s, rest, ok := LenEncString(b)
	if !ok || string(s) != "ab" || string(rest) != "cd\x00ef" || cap(s) != 2 {
		t.Fatalf("LenEncString: %q (cap %d), %q, %v", s, cap(s), rest, ok)
	}
	s, rest, ok = NulString(rest)
	if !ok || string(s) != "cd" || string(rest) != "ef" || cap(s) != 2 {
		t.Fatalf("NulString: %q (cap %d), %q, %v", s, cap(s), rest, ok)
	}
	if _, rest, ok = NulString(rest); ok || string(rest) != "ef" {
		t.Fatalf("NulString without a NUL: %q, %v", rest, ok)
	}
}

func TestNulStringCannotSmuggleAField(t *testing.T) {
	if got := AppendNulString(nil, "root\x00\x00admin"); string(got) != "root\x00" {
		t.Errorf("got %q, want the part before the NUL", got)
	}
	if got := AppendNulString(nil, []byte{}); string(got) != "\x00" {
		t.Errorf("got %q, want one NUL", got)
	}
}

func FuzzLenEnc(f *testing.F) { // property: a value read and written again reads the same, in no more bytes
	f.Add([]byte{0xfd, 1, 2, 3})
	f.Add([]byte{0xfe, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Fuzz(func(t *testing.T, in []byte) {
		v, n := LenEnc(in)
		if n <= 0 {
			return
		}
		out := AppendLenEnc(nil, v)
		if again, m := LenEnc(out); again != v || m != len(out) || m > n {
			t.Fatalf("%x is %d in %d bytes, written %x reads %d in %d", in, v, n, out, again, m)
		}
	})
}
