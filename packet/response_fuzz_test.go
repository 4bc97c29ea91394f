package packet

import (
	"encoding/binary"
	"slices"
	"testing"
)

// oracle is the protocol's state table word for word, on packets that are whole.
// It is slow, knows nothing of Response, and says what a Response must say.
type oracle struct {
	caps   Capability
	state  string
	left   int    // packets, in COUNT
	then   string // the state behind them
	cursor bool
	at     seen // status, failed and code as they are
}

func (o *oracle) has(c Capability) bool { return o.caps&c != 0 }

func (o *oracle) begin(q Request) {
	o.at.failed, o.at.code = false, 0
	o.cursor = q.Cursor && q.Command == ComStmtExecute
	if q == loginRequest {
		o.state = "AUTH"
		return
	}
	switch q.Command {
	case ComQuery, ComStmtExecute, ComStmtBulkExecute, ComProcessInfo:
		o.state = "FIRST"
	case ComStmtPrepare:
		o.state = "PREP"
	case ComFieldList:
		o.state = "FIELDS"
	case ComStmtFetch:
		o.state = "FETCH"
	case ComStatistics:
		o.state = "STAT"
	case ComChangeUser:
		o.state = "AUTH"
	case ComBinlogDump, ComBinlogDumpGTID, ComTableDump:
		o.state = "STREAM"
	case ComClone, ComSubscribe:
		o.state = "TUNNEL"
	case ComQuit, ComStmtClose, ComStmtSendLongData:
		o.state = "NOTHING"
	default:
		o.state = "SIMPLE"
	}
}

// number reads a length-encoded integer that is neither NULL nor malformed.
func number(p []byte) (v uint64, rest []byte, ok bool) {
	if len(p) == 0 || p[0] == lenencNull {
		return 0, nil, false
	}
	v, n := LenEnc(p)
	if n <= 0 {
		return 0, nil, false
	}
	return v, p[n:], true
}

// flags reads the status flags of an OK or an EOF.
func flags(p []byte) (status uint16, present, ok bool) {
	if p[0] == 0xfe && len(p) < 5 {
		return 0, false, true
	}
	if p[0] == 0xfe && len(p) < 7 {
		return binary.LittleEndian.Uint16(p[3:]), true, true
	}
	_, rest, ok1 := number(p[1:])
	_, rest, ok2 := number(rest)
	if !ok1 || !ok2 || len(rest) < 2 {
		return 0, false, false
	}
	return binary.LittleEndian.Uint16(rest), true, true
}

// packet takes a payload, or as much of it as its first packet carries.
func (o *oracle) packet(p []byte) Step {
	if len(p) == 0 {
		switch o.state {
		case "ROWS", "FETCH", "AUTH", "STREAM":
			return More
		case "STAT":
			return Done
		}
		return Malformed
	}
	oldEOF := p[0] == 0xfe && len(p) < 9
	rowsEnd := oldEOF
	if o.has(CapDeprecateEOF) {
		rowsEnd = p[0] == 0xfe && len(p) < MaxPayload
	}
	progress := o.has(CapMariaDBProgress) && len(p) > 3 && p[0] == 0xff && p[1] == 0xff && p[2] == 0xff
	switch o.state {
	case "FIRST":
		switch {
		case progress:
			return More
		case p[0] == 0xff:
			return o.failed(p)
		case p[0] == 0x00, oldEOF:
			return o.ended(p, true)
		case p[0] == 0xfb:
			return ClientTurn
		}
		return o.count(p)
	case "COUNT":
		if p[0] == 0xff {
			return o.failed(p)
		}
		if o.left--; o.left == 0 {
			o.state = o.then
		}
		if o.state == "DONE" {
			return Done
		}
		return More
	case "COLEOF":
		switch {
		case p[0] == 0xff:
			return o.failed(p)
		case !oldEOF:
			return Malformed
		}
		o.state = "ROWS"
		if len(p) >= 5 && o.cursor {
			if status := binary.LittleEndian.Uint16(p[3:]); status&0x40 != 0 && status&0x08 == 0 {
				o.at.status = status
				return Done
			}
		}
		return More
	case "ROWS":
		switch {
		case progress:
			return More
		case p[0] == 0xff:
			return o.failed(p)
		case rowsEnd:
			return o.ended(p, true)
		}
		return More
	case "FETCH", "FIELDS", "STREAM":
		switch {
		case p[0] == 0xff:
			return o.failed(p)
		case rowsEnd:
			return o.ended(p, false)
		}
		return More
	case "SIMPLE":
		switch p[0] {
		case 0xff:
			return o.failed(p)
		case 0x00, 0xfe:
			return o.ended(p, false)
		}
		return Malformed
	case "STAT":
		return Done
	case "AUTH":
		switch p[0] {
		case 0xff:
			return o.failed(p)
		case 0x00:
			return o.ended(p, false)
		}
		return More
	case "PREP":
		return o.prepared(p)
	}
	return Malformed
}

func (o *oracle) failed(p []byte) Step {
	o.at.failed = true
	if len(p) >= 3 {
		o.at.code = binary.LittleEndian.Uint16(p[1:])
	}
	return Done
}

func (o *oracle) ended(p []byte, mayHaveMore bool) Step {
	status, present, ok := flags(p)
	if !ok {
		return Malformed
	}
	if present {
		o.at.status = status
	}
	if mayHaveMore && status&0x08 != 0 {
		o.state = "FIRST"
		return More
	}
	return Done
}

func (o *oracle) count(p []byte) Step {
	n, rest, ok := number(p)
	if !ok || p[0] == 0xfe || n == 0 || n > 65535 {
		return Malformed
	}
	behind := "COLEOF"
	if o.has(CapDeprecateEOF) {
		behind = "ROWS"
	}
	if o.has(CapOptionalMetadata|CapMariaDBCacheMetadata) && len(rest) > 0 && rest[0] == 0 {
		o.state = behind
		return More
	}
	o.state, o.left, o.then = "COUNT", int(n), behind
	return More
}

func (o *oracle) prepared(p []byte) Step {
	if p[0] == 0xff {
		return o.failed(p)
	}
	if p[0] != 0 || len(p) < 9 {
		return Malformed
	}
	o.left = 0
	for _, n := range []uint16{binary.LittleEndian.Uint16(p[7:]), binary.LittleEndian.Uint16(p[5:])} {
		if n == 0 {
			continue
		}
		if !(o.has(CapOptionalMetadata) && len(p) >= 13 && p[12] == 0) {
			o.left += int(n)
		}
		if !o.has(CapDeprecateEOF) {
			o.left++
		}
	}
	if o.left == 0 {
		return Done
	}
	o.state, o.then = "COUNT", "DONE"
	return More
}

// foretell says what must be seen of the packets of buf, and how much of them
// is consumed.
func foretell(caps Capability, asked []Request, buf []byte) (want []seen, pos int) {
	o := oracle{caps: caps}
	o.begin(asked[0])
	step, cont := More, false
	for {
		if o.state == "TUNNEL" {
			return want, len(buf)
		}
		pkt, _, ok := Next(buf[pos:])
		if !ok {
			return want, pos
		}
		if !cont {
			if step = o.packet(pkt.Payload()); step == Malformed {
				return append(want, seen{at: pos, step: Malformed}), pos
			}
		}
		pos += len(pkt)
		if cont = pkt.PayloadLen() == MaxPayload; cont || step == More {
			continue
		}
		s := o.at
		s.at, s.step, s.seq = pos, step, pkt.Seq()
		want = append(want, s)
		if step == Done {
			if asked = asked[1:]; len(asked) == 0 {
				return want, pos
			}
			o.begin(asked[0])
		}
	}
}

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
		})
	}
	f.Fuzz(func(t *testing.T, mask byte, commands, in, gaps []byte) {
		caps, asked := shapingSet(int(mask)), askedBy(commands)
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

// The table and the oracle were written from the same text: they must agree.
func TestTheOracleAgreesWithTheTable(t *testing.T) {
	for _, row := range table() {
		row.each(func(_ int, asked []Request, s *stream) {
			want := s.want
			if got, _ := foretell(s.caps, asked, s.buf); !slices.Equal(got, want) {
				t.Errorf("%s: %v\n got %v\nwant %v", row.name, s.caps, got, want)
			}
		})
	}
}
