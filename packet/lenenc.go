package packet

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// ErrMalformed says that bytes are not what the protocol has at this place.
var ErrMalformed = errors.New("packet: malformed payload")

// byteseq is what text and binary data come as.
type byteseq interface{ ~string | ~[]byte }

const lenencNull = 0xfb // where a length-encoded string may be NULL

// AppendLenEnc appends v as a length-encoded integer (1, 3, 4 or 9 bytes).
func AppendLenEnc(dst []byte, v uint64) []byte {
	switch {
	case v < lenencNull:
		return append(dst, byte(v))
	case v < 1<<16:
		return append(dst, 0xfc, byte(v), byte(v>>8))
	case v < 1<<24:
		return append(dst, 0xfd, byte(v), byte(v>>8), byte(v>>16))
	}
	return binary.LittleEndian.AppendUint64(append(dst, 0xfe), v)
}

// LenEnc reads the length-encoded integer at the start of b. n is the number of
// bytes it takes: 0 if b ends before it does, -1 if b starts with 0xFB, which
// is NULL, or 0xFF, which is never valid.
func LenEnc(b []byte) (v uint64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	switch b[0] {
	case lenencNull, 0xff:
		return 0, -1
	case 0xfc:
		if len(b) < 3 {
			return 0, 0
		}
		return uint64(b[1]) | uint64(b[2])<<8, 3
	case 0xfd:
		if len(b) < 4 {
			return 0, 0
		}
		return uint64(b[1]) | uint64(b[2])<<8 | uint64(b[3])<<16, 4
	case 0xfe:
		if len(b) < 9 {
			return 0, 0
		}
		return binary.LittleEndian.Uint64(b[1:]), 9
	}
	return uint64(b[0]), 1
}

// AppendLenEncString appends s behind its length.
func AppendLenEncString[T byteseq](dst []byte, s T) []byte {
	return append(AppendLenEnc(dst, uint64(len(s))), s...)
}

// LenEncString cuts the length-encoded string at the start of b off. s and rest
// alias b. ok is false if b ends before the string does or has none.
func LenEncString(b []byte) (s, rest []byte, ok bool) {
	v, n := LenEnc(b)
	if n <= 0 || v > uint64(len(b)-n) {
		return nil, b, false
	}
	end := n + int(v)
	return b[n:end:end], b[end:], true
}

// AppendNulString appends s and a NUL. Of an s with a NUL in it only what comes
// before that is written: nothing in a user's name can pass for a next field.
func AppendNulString[T byteseq](dst []byte, s T) []byte {
	for i := range len(s) {
		if s[i] == 0 {
			s = s[:i]
			break
		}
	}
	return append(append(dst, s...), 0)
}

// NulString cuts the NUL-terminated string at the start of b off. s is without
// the NUL; s and rest alias b. ok is false if there is no NUL in b.
func NulString(b []byte) (s, rest []byte, ok bool) {
	n := bytes.IndexByte(b, 0)
	if n < 0 {
		return nil, b, false
	}
	return b[:n:n], b[n+1:], true
}

// fields takes a payload apart from the front. Once something is missing, bad
// stays set and everything further is zero, so that a parser asks once, at its
// end.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) take(n int) []byte {
	if n > len(f.b) || n < 0 {
		f.b, f.bad = nil, true
		return nil
	}
	s := f.b[:n:n]
	f.b = f.b[n:]
	return s
}

func (f *fields) u8() byte {
	if s := f.take(1); s != nil {
		return s[0]
	}
	return 0
}

func (f *fields) u16() uint16 {
	if s := f.take(2); s != nil {
		return binary.LittleEndian.Uint16(s)
	}
	return 0
}

func (f *fields) u32() uint32 {
	if s := f.take(4); s != nil {
		return binary.LittleEndian.Uint32(s)
	}
	return 0
}

func (f *fields) u64() uint64 {
	if s := f.take(8); s != nil {
		return binary.LittleEndian.Uint64(s)
	}
	return 0
}

func (f *fields) lenenc() uint64 {
	v, n := LenEnc(f.b)
	if n <= 0 {
		f.b, f.bad = nil, true
		return 0
	}
	f.b = f.b[n:]
	return v
}

func (f *fields) lenencString() []byte {
	s, rest, ok := LenEncString(f.b)
	if !ok {
		f.b, f.bad = nil, true
		return nil
	}
	f.b = rest
	return s
}

func (f *fields) nulString() []byte {
	s, rest, ok := NulString(f.b)
	if !ok {
		f.b, f.bad = nil, true
		return nil
	}
	f.b = rest
	return s
}

// lastString is a NUL-terminated string that may end with the payload instead.
func (f *fields) lastString() []byte {
	if s, rest, ok := NulString(f.b); ok {
		f.b = rest
		return s
	}
	return f.take(len(f.b))
}
