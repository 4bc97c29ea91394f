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
	outs   bool // the result is the OUT parameters of a CALL, behind which its OK comes
	told   bool // the packet is an OK to be told of
	at     seen // status, failed, code and missed as they are
}

func (o *oracle) has(c Capability) bool { return o.caps&c != 0 }

func (o *oracle) begin(q Request) {
	o.at.failed, o.at.code, o.at.missed = false, 0, false
	o.cursor = q.Cursor && q.Command == ComStmtExecute
	o.outs = false
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
		o.outs = len(p) >= 5 && binary.LittleEndian.Uint16(p[3:])&0x1000 != 0
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
		case rowsEnd && o.outs:
			o.outs = false
			if o.ended(p, true) == Malformed {
				return Malformed
			}
			o.state = "FIRST"
			return More
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
	if o.has(watched) && o.has(CapSessionTrack) && present && status&0x4000 != 0 {
		o.told = len(p) >= 7 && len(p) <= 65536
		o.at.missed = o.at.missed || !o.told
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
		if o.told = false; !cont {
			if step = o.packet(pkt.Payload()); step == Malformed {
				return append(want, seen{at: pos, step: Malformed}), pos
			}
		}
		pos += len(pkt)
		if o.told {
			s := o.at
			s.at, s.step, s.seq, s.told = pos, Told, pkt.Seq(), len(pkt)
			want = append(want, s)
		}
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
