package main

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"mysqlproxy/bench/wire"
)

// expect is the answer that a connection waits for, byte by byte.
type expect struct {
	head []byte // borrowed by the connection's request
	rows wire.Rows
	at   int   // offset in the cycle of rows
	left int64 // bytes of rows
	tail []byte
}

// done says whether the whole answer has been seen.
func (e *expect) done() bool { return len(e.head) == 0 && e.left == 0 && len(e.tail) == 0 }

// take compares b with what is due. It returns the bytes behind the answer, and
// false if b differs from it.
func (e *expect) take(b []byte) (rest []byte, ok bool) {
	if e.head, b, ok = match(e.head, b); !ok {
		return b, false
	}
	for len(b) > 0 && e.left > 0 {
		part := e.rows.Cycle[e.at:]
		part = part[:min(int64(len(part)), e.left, int64(len(b)))]
		if !bytes.Equal(part, b[:len(part)]) {
			return b, false
		}
		if e.at += len(part); e.at == len(e.rows.Cycle) {
			e.at = 0
		}
		e.left -= int64(len(part))
		b = b[len(part):]
	}
	if e.left > 0 {
		return b, true
	}
	e.tail, b, ok = match(e.tail, b)
	return b, ok
}

// match cuts the common start off want and b; false if neither ends there.
func match(want, b []byte) (restWant, rest []byte, ok bool) {
	n := min(len(want), len(b))
	if !bytes.Equal(want[:n], b[:n]) {
		return want, b, false
	}
	return want[n:], b[n:], true
}

// describe makes a message of bytes that differ from the answer due.
func describe(got, want []byte) string {
	if len(got) > wire.HeaderLen+9 && got[wire.HeaderLen] == 0xff {
		code := binary.LittleEndian.Uint16(got[wire.HeaderLen+1:])
		end := min(len(got), wire.HeaderLen+max(9, wire.PayloadLen(got)))
		return fmt.Sprintf("answered with ERR %d %q", code, got[wire.HeaderLen+9:end])
	}
	clip := func(b []byte) []byte { return b[:min(len(b), 120)] }
	return fmt.Sprintf("wrong answer: got %q, want %q", clip(got), clip(want))
}
