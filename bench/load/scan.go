package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"mysqlproxy/bench/wire"
)

// scanner finds the end of a text result that is not known beforehand, and sums
// it up: lengths and payloads, but not sequence ids, which servers number
// otherwise in the compressed protocol.
type scanner struct {
	deprecateEOF bool
	sum          uint32
	bytes        int64
	head         [wire.HeaderLen + 9]byte // of the packet at hand: its first bytes
	seen         int                      // bytes of head
	left         int                      // bytes of the packet behind head
	columns      int
	packets      int
	ended        bool
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s *scanner) begin(deprecateEOF bool) { *s = scanner{deprecateEOF: deprecateEOF} }

// take takes bytes of the result. rest is what lies behind it, when it is done.
func (s *scanner) take(b []byte) (rest []byte, done bool, err error) {
	for len(b) > 0 {
		if s.left > 0 {
			n := min(s.left, len(b))
			s.add(b[:n])
			if s.left -= n; s.left > 0 {
				return nil, false, nil
			}
			b, s.seen = b[n:], 0
		} else {
			want := wire.HeaderLen
			if s.seen >= want {
				want += min(len(s.head)-wire.HeaderLen, wire.PayloadLen(s.head[:]))
			}
			n := copy(s.head[s.seen:want], b)
			s.seen += n
			b = b[n:]
			if s.seen < want || want == wire.HeaderLen && wire.PayloadLen(s.head[:]) > 0 {
				continue
			}
			if err := s.packet(); err != nil {
				return nil, false, err
			}
		}
		if s.left == 0 {
			s.seen = 0
			if s.ended {
				return b, true, nil
			}
		}
	}
	return nil, false, nil
}

// packet is called when the start of a packet is there.
func (s *scanner) packet() error {
	n := wire.PayloadLen(s.head[:])
	p := s.head[wire.HeaderLen:s.seen]
	s.add(s.head[:3])
	s.bytes++ // the sequence id
	s.add(p)
	s.left = n - len(p)
	s.packets++
	switch {
	case n == 0:
		return errors.New("an empty packet in a result")
	case p[0] == 0xff && len(p) > 2:
		return fmt.Errorf("answered with ERR %d", binary.LittleEndian.Uint16(p[1:]))
	case s.packets == 1:
		if n != 1 || p[0] == 0 || p[0] > 250 {
			return fmt.Errorf("no result set, but %q", p)
		}
		s.columns = int(p[0])
		if !s.deprecateEOF {
			s.columns++ // for the EOF behind them
		}
	case s.packets > 1+s.columns && p[0] == 0xfe:
		// A row may begin so, but then it is longer than a packet can be.
		s.ended = n < 9 || s.deprecateEOF && n < 1<<24-1
	}
	return nil
}

func (s *scanner) add(b []byte) {
	s.sum = crc32.Update(s.sum, castagnoli, b)
	s.bytes += int64(len(b))
}

// answerSum is what all answers of a run have in common.
type answerSum struct {
	sum   uint32
	bytes int64 // 0 before the first
}

func (a *answerSum) add(s *scanner) error {
	if a.bytes == 0 {
		a.sum, a.bytes = s.sum, s.bytes
	}
	if a.sum != s.sum || a.bytes != s.bytes {
		return fmt.Errorf("an answer of %d bytes with the sum %08x after one of %d with %08x", s.bytes, s.sum, a.bytes, a.sum)
	}
	return nil
}

func (a *answerSum) String() string {
	if a.bytes == 0 {
		return ""
	}
	return fmt.Sprintf("%08x", a.sum)
}
