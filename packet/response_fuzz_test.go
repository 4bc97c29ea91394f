package packet

import (
	"bytes"
	"slices"
	"testing"
)

// kept is how much of a packet of MaxPayload a fuzz input carries, in bytes:
// the rest would only make it slow.
const kept = 40

// squeeze leaves of each packet of MaxPayload what an input carries of it.
func squeeze(buf []byte) (b []byte) {
	pkts, rest := packets(buf)
	for _, p := range pkts {
		if p.PayloadLen() == MaxPayload {
			p = p[:HeaderLen+kept]
		}
		b = append(b, p...)
	}
	return append(b, rest...)
}

var stretched []byte

// stretch makes whole again what squeeze has left, two packets of MaxPayload at
// most. What it returns is good until it is called again.
func stretch(b []byte) []byte {
	stretched = stretched[:0]
	for long := 2; len(b) >= HeaderLen; {
		n := HeaderLen + payloadLen(b)
		if n == HeaderLen+MaxPayload && long > 0 && len(b) >= HeaderLen+kept {
			stretched = append(stretched, b[:HeaderLen+kept]...)
			stretched = append(stretched, filler[:MaxPayload-kept]...)
			b = b[HeaderLen+kept:]
			long--
			continue
		}
		n = min(n, len(b))
		stretched = append(stretched, b[:n]...)
		b = b[n:]
	}
	stretched = append(stretched, b...)
	return stretched
}

var filler = make([]byte, MaxPayload)

// askedBy reads requests off a fuzz input: a byte for the command, a byte of
// which the lowest bit asks for a cursor, the next one for a login.
func askedBy(in []byte) (asked []Request) {
	for ; len(in) >= 2 && len(asked) < 8; in = in[2:] {
		q := Request{Command: Command(in[0]), Cursor: in[1]&1 != 0}
		if in[1]&2 != 0 {
			q = loginRequest
		}
		asked = append(asked, q)
	}
	return asked
}

// FuzzResponse compares a Response with the oracle on any bytes that a server
// may send, torn anywhere.
func FuzzResponse(f *testing.F) {
	for _, row := range table() {
		row.each(func(mask int, asked []Request, s *stream) {
			if len(s.buf) > 1<<12 && !row.long || len(squeeze(s.buf)) > 1<<12 || mask > 1 && row.only == 0 && row.never == 0 {
				return
			}
			var commands []byte
			for _, q := range asked {
				switch {
				case q == loginRequest:
					commands = append(commands, 0, 2)
				case q.Cursor:
					commands = append(commands, byte(q.Command), 1)
				default:
					commands = append(commands, byte(q.Command), 0)
				}
			}
			f.Add(byte(mask), commands, squeeze(s.buf), []byte{1, 7})
			if bytes.Contains(s.buf, []byte{2, 1, '1'}) { // session state
				f.Add(byte(mask)|1<<len(shaping), commands, squeeze(s.buf), []byte{1, 7})
			}
		})
	}
	f.Fuzz(func(t *testing.T, mask byte, commands, in, gaps []byte) {
		caps, asked := shapingSet(int(mask)), askedBy(commands)
		if mask&(1<<len(shaping)) != 0 {
			caps |= watched
		}
		if len(asked) == 0 || len(in) > 1<<14 {
			return
		}
		buf := stretch(in)
		pkts, rest := packets(buf)
		edges := []int{0}
		for _, p := range pkts {
			edges = append(edges, edges[len(edges)-1]+len(p))
		}
		// The oracle takes whole packets only, so a torn one at the end is left
		// to the comparison of the ways to tear the stream.
		whole := buf[:len(buf)-len(rest)]
		want, pos := foretell(caps, asked, whole)
		ways := [][]int{{len(whole)}, places(len(whole), edges)}
		if len(gaps) > 0 {
			var arrive []int
			for at, i := 0, 0; at < len(whole); i++ {
				at = min(at+1+int(gaps[i%len(gaps)])*(1+len(whole)>>14), len(whole))
				arrive = append(arrive, at)
			}
			ways = append(ways, arrive)
		}
		for i, arrive := range ways {
			got, end, err := follow(nil, caps, asked, whole, arrive)
			if err != nil || end != pos || !slices.Equal(got, want) {
				t.Fatalf("%v %v, way %d: consumed %d, want %d; error %v\n got %v\nwant %v", caps, asked, i, end, pos, err, got, want)
			}
		}
		if len(rest) == 0 {
			return
		}
		first, end, err := follow(nil, caps, asked, buf, []int{len(buf)})
		if err != nil || len(first) < len(want) || !slices.Equal(first[:len(want)], want) || len(first) > len(want)+1 {
			t.Fatalf("%v %v, torn at the end: error %v\n got %v\nwant %v", caps, asked, err, first, want)
		}
		got, again, err := follow(nil, caps, asked, buf, places(len(buf), append(edges, len(buf))))
		if err != nil || again != end || !slices.Equal(got, first) {
			t.Fatalf("%v %v, torn at the end: consumed %d, want %d; error %v\n got %v\nwant %v", caps, asked, again, end, err, got, first)
		}
	})
}
