package wire

import (
	"bytes"
	"fmt"
)

// EchoLen is the number of digits at the end of a request that the null server
// repeats at the start of its row: an answer that reached the wrong client is
// recognised.
const EchoLen = 9

// CannedSuffix follows the echoed digits in the row.
const CannedSuffix = "-canned-row-of-null"

// Canned is the row of a request that does not end with EchoLen digits.
const Canned = "000000000" + CannedSuffix

// Template is an answer in which only the echoed digits change.
type Template struct {
	Bytes []byte // the whole answer, sequence id 1 first
	Echo  int    // offset of the digits
}

// TextTemplate is the answer to a query on a connection with these capabilities.
func TextTemplate(caps uint32, status uint16) Template {
	return newTemplate(AppendTextResult(nil, 1, caps, status, Canned))
}

// BinaryTemplate is the answer to an execution of a prepared statement.
func BinaryTemplate(caps uint32, status uint16) Template {
	return newTemplate(AppendBinaryResult(nil, 1, caps, status, Canned))
}

func newTemplate(b []byte) Template {
	return Template{b, bytes.Index(b, []byte(Canned))}
}

// AppendDigits appends n as EchoLen decimal digits.
func AppendDigits(dst []byte, n uint32) []byte {
	var d [EchoLen]byte
	PutDigits(d[:], n)
	return append(dst, d[:]...)
}

// PutDigits writes n as EchoLen decimal digits to the start of dst.
func PutDigits(dst []byte, n uint32) {
	for i := EchoLen - 1; i >= 0; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
}

// EchoOf returns the digits at the end of a request's payload, borrowed from it,
// or nil if it does not end with EchoLen digits.
func EchoOf(payload []byte) []byte {
	if len(payload) < EchoLen {
		return nil
	}
	d := payload[len(payload)-EchoLen:]
	for _, c := range d {
		if c < '0' || c > '9' {
			return nil
		}
	}
	return d
}

// Limits of the length of a bulk row on the wire, header included, in bytes.
const (
	MinRow = 16
	MaxRow = 64 << 10
)

// Rows is the row part of a bulk result. Sequence ids come again after 256
// packets, so 256 rows, sent over and over, are the whole of it.
type Rows struct {
	Cycle []byte // 256 rows; row i has the sequence id i
	Row   int    // bytes a row, header included
}

// NewRows makes rows of row bytes on the wire.
func NewRows(row int) (Rows, error) {
	if row < MinRow || row > MaxRow {
		return Rows{}, fmt.Errorf("a row of %d bytes: must be %d to %d", row, MinRow, MaxRow)
	}
	if row != Fit(row) {
		return Rows{}, fmt.Errorf("a row of %d bytes cannot be made, take %d", row, Fit(row))
	}
	r := Rows{make([]byte, 0, 256*row), row}
	rnd := uint32(2463534242)
	for i := range 256 {
		r.Cycle = AppendHeader(r.Cycle, row-HeaderLen, byte(i))
		end := len(r.Cycle) + row - HeaderLen
		r.Cycle = AppendLenEnc(r.Cycle, textLen(row-HeaderLen))
		for len(r.Cycle) < end {
			rnd ^= rnd << 13 // xorshift: no two rows alike, none compressible
			rnd ^= rnd >> 17
			rnd ^= rnd << 5
			r.Cycle = append(r.Cycle, 'a'+byte(rnd>>24)%26)
		}
	}
	return r, nil
}

// textLen is the length of the text that fills a payload together with its own
// length-encoded length. No payload has 252 or 253 bytes: see Fit.
func textLen(payload int) int {
	if payload-1 < 251 {
		return payload - 1
	}
	return payload - 3 // rows are at most 64 KiB, header included
}

// Fit returns the nearest length at or above row that a row can have: a text of
// 251 bytes needs three bytes of length, so two lengths cannot be made.
func Fit(row int) int {
	for row-HeaderLen == 252 || row-HeaderLen == 253 {
		row++
	}
	return row
}

// Count is how many rows make a result of at least n bytes.
func (r Rows) Count(n int64) int64 { return (n + int64(r.Row) - 1) / int64(r.Row) }

// Start is the offset in the cycle at which a result begins whose first row has
// this sequence id.
func (r Rows) Start(seq byte) int { return int(seq) * r.Row }

// Tail returns the sequence id of the packet behind n rows that began with seq.
func (r Rows) Tail(seq byte, n int64) byte { return byte(int64(seq) + n) }
