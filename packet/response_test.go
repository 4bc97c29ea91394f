package packet

import (
	"fmt"
	"slices"
	"testing"
)

// torn is the most that Feed leaves of a packet that has only begun, in bytes.
const torn = 28

// watched stands for Watch. It is no capability, it only travels with them.
const watched Capability = 1 << 63

// shaping are the capabilities that shape responses. Each row of the table is
// run with every set of them that it is for.
var shaping = []Capability{
	CapDeprecateEOF, CapOptionalMetadata, CapMariaDBCacheMetadata, CapMariaDBProgress, CapMariaDBExtendedMetadata,
}

// shapingSet is the set of them that mask has the bits of.
func shapingSet(mask int) Capability {
	c := CapProtocol41 | CapTransactions | CapSessionTrack
	for i, s := range shaping {
		if mask&(1<<i) != 0 {
			c |= s
		}
	}
	return c
}

// seen is a step other than More, and what the Response said then.
type seen struct {
	at     int // bytes of the stream that had been consumed
	step   Step
	seq    byte // of the last packet, not for Malformed
	status uint16
	failed bool
	code   uint16
	told   int // only for Told
	missed bool
}

func (s seen) String() string {
	return fmt.Sprintf("%v at %d, sequence id %d, status %04x, failed %v, code %d, told %d, missed %v",
		s.step, s.at, s.seq, s.status, s.failed, s.code, s.told, s.missed)
}

// stream is what a server says, packet by packet, with what a Response must
// say of it and where.
type stream struct {
	caps  Capability
	buf   []byte
	edges []int // where packets begin
	seq   byte  // of the next one
	want  []seen
}

// pay says one payload, in as many packets as it needs.
func (s *stream) pay(payload []byte) *stream {
	at := len(s.buf)
	s.buf = AppendPacket(s.buf, s.seq, payload)
	for at < len(s.buf) {
		s.edges = append(s.edges, at)
		at += HeaderLen + payloadLen(s.buf[at:])
		s.seq++
	}
	return s
}

func (s *stream) bytes(b ...byte) *stream { return s.pay(b) }

// long says a payload of n bytes that starts with first; where it is
// continued, the continuations start with again.
func (s *stream) long(n int, first, again []byte) *stream {
	p := make([]byte, n)
	copy(p, first)
	for at := MaxPayload; at < n; at += MaxPayload {
		copy(p[at:], again)
	}
	return s.pay(p)
}

// count opens a result of n columns whose definitions follow.
func (s *stream) count(n uint64) *stream { return s.pay(AppendColumnCount(nil, n, s.caps)) }

// known opens a result of n columns whose definitions the client has.
func (s *stream) known(n uint64) *stream { return s.pay(append(AppendLenEnc(nil, n), 0)) }

func (s *stream) defs(n int) *stream {
	c := Column{Catalog: []byte("def"), Schema: []byte("shop"), Name: []byte("id"), Type: 3, Extended: []byte{0, 1, 'x'}}
	for range n {
		s.pay(c.Append(nil, s.caps))
	}
	return s
}

// eof says the EOF that stands behind definitions, if it does.
func (s *stream) eof(status uint16) *stream {
	if s.caps&CapDeprecateEOF == 0 {
		s.pay(AppendEOF(nil, 0, status))
	}
	return s
}

// columns opens a result: count, definitions, EOF.
func (s *stream) columns(n int) *stream {
	return s.count(uint64(n)).defs(n).eof(StatusAutocommit | StatusMoreResults)
}

func (s *stream) row(values ...string) *stream {
	var p []byte
	for _, v := range values {
		p = AppendTextValue(p, []byte(v))
	}
	return s.pay(p)
}

// end ends rows, by an EOF or an OK.
func (s *stream) end(status uint16) *stream {
	o := OK{Status: status, Warnings: 0x0841} // warnings that would be flags if they were read for them
	return s.pay(o.AppendEnd(nil, s.caps))
}

func (s *stream) ok(status uint16) *stream {
	o := OK{Status: status, Warnings: 0x0841}
	return s.pay(o.Append(nil, s.caps))
}

func (s *stream) err(code uint16) *stream { return s.pay(AppendERR(nil, code, "HY000", "no")) }

func (s *stream) progress() *stream {
	p := Progress{Stage: 1, MaxStage: 2, Done: 50000, Info: []byte("copy to tmp table")}
	return s.pay(p.Append(nil))
}

func (s *stream) see(w seen) {
	w.at, w.seq = len(s.buf), s.seq-1
	s.want = append(s.want, w)
}

// done is where the response ends; status is that of the last OK or EOF.
func (s *stream) done(status uint16) { s.see(seen{step: Done, status: status}) }

// failed is where it ends in an ERR.
func (s *stream) failed(code, status uint16) {
	s.see(seen{step: Done, failed: true, code: code, status: status})
}

// turn is where the server waits for a file, which the client then sends in n
// packets.
func (s *stream) turn(n byte, status uint16) *stream {
	s.see(seen{step: ClientTurn, status: status})
	s.seq += n
	return s
}

// bad says a payload that cannot stand here.
func (s *stream) bad(payload ...byte) {
	s.want = append(s.want, seen{at: len(s.buf), step: Malformed})
	s.pay(payload)
}

// ended tells whether the last thing to be seen is the end of a response.
func (s *stream) ended() bool { return len(s.want) > 0 && s.want[len(s.want)-1].step == Done }

// places are where a stream of n bytes may be torn: everywhere, or, if it is
// long, where packets begin and some way into them. Of many packets a few at
// both ends will do.
func places(n int, edges []int) (at []int) {
	const few = 12
	if len(edges) > 8*few {
		edges = slices.Concat(edges[:few], edges[len(edges)-few:])
	} else if n < 1<<16 {
		for i := range n + 1 {
			at = append(at, i)
		}
		return at
	}
	for _, e := range edges {
		for i := max(e-2, 0); i < min(e+HeaderLen+torn, n); i++ {
			if len(at) == 0 || at[len(at)-1] < i {
				at = append(at, i)
			}
		}
	}
	return append(at, n)
}

// begin expects the response to q; a login's if q is what stands for one.
func begin(r *Response, q Request) {
	if q == loginRequest {
		r.BeginLogin()
		return
	}
	r.Begin(q)
}

// loginRequest stands for a login packet, which is no command.
var loginRequest = Request{Command: ComConnect, Cursor: true}

// follow feeds buf to a Response as it arrives, up to each of the places in
// turn, as a caller would: what was not consumed again with what has come. It
// returns what was seen, appended to got, and how much was consumed.
func follow(got []seen, caps Capability, asked []Request, buf []byte, arrive []int) (_ []seen, pos int, err error) {
	var r Response
	r.SetCapabilities(caps)
	r.Watch(caps&watched != 0)
	begin(&r, asked[0])
	start, step := 0, More
	for _, end := range arrive {
		for pos < end || step == Told {
			var n int
			n, step = r.Feed(buf[pos:end:end])
			if n < 0 || n > end-pos {
				return got, pos, fmt.Errorf("consumed %d of %d bytes", n, end-pos)
			}
			pos += n
			if r.Begun() != (pos > start) {
				return got, pos, fmt.Errorf("at %d: begun is %v, the response started at %d", pos, r.Begun(), start)
			}
			if step == More {
				ok := caps&watched != 0 && end-pos > HeaderLen && (buf[pos+HeaderLen] == headOK || buf[pos+HeaderLen] == headEOF) &&
					payloadLen(buf[pos:]) <= 64<<10 && end-pos < HeaderLen+payloadLen(buf[pos:])
				if end-pos > torn && !ok {
					return got, pos, fmt.Errorf("at %d: More, and %d bytes are left", pos, end-pos)
				}
				break
			}
			s := seen{at: pos, step: step}
			if step != Malformed {
				s.seq, s.status, s.failed, s.code, s.missed = r.Seq(), r.Status(), r.Failed(), r.Code(), r.Missed()
				if !r.Whole() {
					return got, pos, fmt.Errorf("at %d: %v inside of a packet", pos, step)
				}
			}
			if step == Told {
				if s.told = r.Told(); s.told > n || payloadLen(buf[pos-s.told:]) != s.told-HeaderLen {
					return got, pos, fmt.Errorf("at %d: told of %d bytes, %d were consumed", pos, s.told, n)
				}
			}
			got = append(got, s)
			switch {
			case step == Malformed:
				return got, pos, nil
			case step == Done:
				if asked = asked[1:]; len(asked) == 0 {
					return got, pos, nil
				}
				begin(&r, asked[0])
				start = pos
			}
		}
	}
	return got, pos, nil
}

// check follows buf whole, torn in two at every place, and in pieces from place
// to place. want must be seen each time, and consumed to where the last of it
// is, or to the end of buf if the response is not over.
func check(t *testing.T, caps Capability, asked []Request, buf []byte, places []int, want []seen) {
	t.Helper()
	try := trial(t, caps, asked, buf, want)
	try("whole", len(buf))
	for _, at := range places {
		try(fmt.Sprint("torn at ", at), at, len(buf))
	}
	try("in pieces", places...)
}

// checkInPieces is check without tearing buf in two.
func checkInPieces(t *testing.T, caps Capability, asked []Request, buf []byte, places []int, want []seen) {
	t.Helper()
	try := trial(t, caps, asked, buf, want)
	try("whole", len(buf))
	try("in pieces", places...)
}

// trial follows buf as it arrives and compares what is seen with want.
func trial(t *testing.T, caps Capability, asked []Request, buf []byte, want []seen) func(how string, arrive ...int) {
	to := len(buf)
	if n := len(want); n > 0 && (want[n-1].step == Malformed || n == len(asked) && want[n-1].step == Done) {
		to = want[n-1].at
	}
	got := make([]seen, 0, len(want)+1)
	return func(how string, arrive ...int) {
		t.Helper()
		got, pos, err := follow(got[:0], caps, asked, buf, arrive)
		if err != nil || pos != to || !slices.Equal(got, want) {
			t.Fatalf("%v, %s: consumed %d, want %d; error %v\n got %v\nwant %v\n%.300x", caps, how, pos, to, err, got, want, buf)
		}
	}
}

// tail is the response to a COM_PING behind the row's own.
func (s *stream) tail() {
	s.seq = 1
	s.ok(StatusAutocommit | StatusAnsiQuotes).done(StatusAutocommit | StatusAnsiQuotes)
}

// each calls f with each set of capabilities that the row is for.
func (row *tableRow) each(f func(mask int, asked []Request, s *stream)) {
	for mask := range 1 << len(shaping) {
		s := &stream{caps: shapingSet(mask), seq: 1}
		if !row.isFor(s.caps) || row.long && mask > 1 {
			continue
		}
		asked := []Request{row.asked}
		row.say(s)
		if s.ended() {
			asked = append(asked, Request{Command: ComPing})
			s.tail()
		}
		f(mask, asked, s)
		if row.asked.Command == ComChangeUser {
			f(mask, append([]Request{loginRequest}, asked[1:]...), s)
		}
	}
}

func (row *tableRow) isFor(c Capability) bool { return c.Has(row.only) && c&row.never == 0 }

func TestResponseIsFollowedWhereverItIsTorn(t *testing.T) {
	for _, row := range table() {
		t.Run(row.name, func(t *testing.T) {
			row.each(func(mask int, asked []Request, s *stream) {
				at := places(len(s.buf), s.edges)
				check := check
				if underRace && (mask&(mask-1) != 0 && mask != 1<<len(shaping)-1 || len(s.edges) > 10_000) {
					check = checkInPieces
				}
				check(t, s.caps, asked, s.buf, at, s.want)
				want, _ := foretell(s.caps|watched, asked, s.buf)
				check(t, s.caps|watched, asked, s.buf, at, want)
			})
		})
	}
}

// Where a client sends commands without waiting, responses lie one behind the
// other in the stream.
func TestPipelinedResponses(t *testing.T) {
	for mask := range 1 << len(shaping) {
		s := &stream{caps: shapingSet(mask)}
		var asked []Request
		for _, row := range table() {
			if row.long || !row.isFor(s.caps) {
				continue
			}
			one := &stream{caps: s.caps, seq: 1}
			row.say(one)
			if !one.ended() {
				continue
			}
			for _, w := range one.want {
				w.at += len(s.buf)
				if w.status == 0 { // nothing was said: the flags stay as they were
					w.status = s.want[len(s.want)-1].status
				}
				s.want = append(s.want, w)
			}
			asked = append(asked, row.asked)
			s.buf = append(s.buf, one.buf...)
		}
		if len(asked) < 50 {
			t.Fatalf("%d responses only", len(asked))
		}
		var pieces []int
		for at := range s.buf {
			pieces = append(pieces, at)
		}
		for _, arrive := range [][]int{{len(s.buf)}, append(pieces, len(s.buf))} {
			got, pos, err := follow(nil, s.caps, asked, s.buf, arrive)
			if err != nil || pos != len(s.buf) || !slices.Equal(got, s.want) {
				t.Fatalf("%v: consumed %d of %d, error %v", s.caps, pos, len(s.buf), err)
			}
		}
	}
}

func TestFeedDoesNotAllocate(t *testing.T) {
	for _, row := range table() {
		row.each(func(mask int, asked []Request, s *stream) {
			if mask > 1 {
				return
			}
			got := make([]seen, 0, 2*len(s.want)+1)
			half := []int{len(s.buf) / 2, len(s.buf)}
			for _, caps := range []Capability{s.caps, s.caps | watched} {
				if n := testing.AllocsPerRun(10, func() { got, _, _ = follow(got[:0], caps, asked, s.buf, half) }); n != 0 {
					t.Errorf("%s, %v: %v allocs, want 0", row.name, caps, n)
				}
			}
		})
	}
}

func TestAnERRSaysNothingOfTheStatus(t *testing.T) {
	var r Response
	r.Begin(Request{Command: ComQuery})
	r.Feed((&stream{seq: 1}).ok(StatusInTrans).buf)
	r.Begin(Request{Command: ComQuery})
	if r.Begun() || r.Failed() || r.Code() != 0 {
		t.Errorf("begun %v, failed %v, code %d before anything has come", r.Begun(), r.Failed(), r.Code())
	}
	r.Feed((&stream{seq: 1}).err(1213).buf)
	if !r.Failed() || r.Code() != 1213 || r.Status() != StatusInTrans {
		t.Errorf("failed %v, code %d, status %04x; want true, 1213, 0001", r.Failed(), r.Code(), r.Status())
	}
	r.Begin(Request{Command: ComPing})
	if r.Failed() || r.Code() != 0 || r.Status() != StatusInTrans {
		t.Errorf("failed %v, code %d, status %04x of the next one; want false, 0, 0001", r.Failed(), r.Code(), r.Status())
	}
}

func TestStreamingIsSaidOfStreamsOnly(t *testing.T) {
	for i := range 256 {
		var r Response
		r.Begin(Request{Command: Command(i)})
		if r.Streaming() != Command(i).Streams() {
			t.Errorf("%v: streaming is %v", Command(i), r.Streaming())
		}
	}
	var r Response
	r.Begin(Request{Command: ComBinlogDump})
	if r.Feed((&stream{seq: 1}).err(1236).buf); r.Streaming() {
		t.Error("a stream that has ended is streaming")
	}
}
