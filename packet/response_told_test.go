package packet

import (
	"bytes"
	"slices"
	"testing"
)

// tracking is session state of n bytes.
func tracking(n int) []byte { return bytes.Repeat([]byte{2, 1, '1'}, (n+2)/3)[:n] }

// okTold says an OK with state, which is told of.
func (s *stream) okTold(status uint16, state []byte) *stream {
	o := OK{Status: status, SessionState: state}
	return s.tell(o.Append(nil, s.caps), status)
}

// endTold ends rows by an OK with state, which is told of; by an EOF, which has
// none, if that is in force.
func (s *stream) endTold(status uint16, state []byte) *stream {
	o := OK{Status: status, SessionState: state}
	if s.caps&CapDeprecateEOF == 0 {
		return s.pay(o.AppendEnd(nil, s.caps))
	}
	return s.tell(o.AppendEnd(nil, s.caps), status)
}

func (s *stream) tell(payload []byte, status uint16) *stream {
	s.pay(payload).see(seen{step: Told, status: status | StatusSessionState, told: HeaderLen + len(payload)})
	return s
}

const flag = StatusSessionState

var toldRows = []tableRow{
	{name: "an OK", asked: query, say: func(s *stream) { s.okTold(auto, tracking(3)).done(auto | flag) }},
	{name: "an OK without state", asked: query, say: func(s *stream) { s.ok(auto).done(auto) }},
	{name: "an OK with the flag and nothing behind it", asked: query, say: func(s *stream) {
		s.tell([]byte{0, 0, 0, 2, 0x40, 0, 0}, auto).done(auto | flag)
	}},
	{name: "an OK too short for state", asked: query, say: func(s *stream) {
		s.bytes(0, 0, 0, 2, 0x40).see(seen{step: Done, status: auto | flag, missed: true})
	}},
	{name: "an OK of one packet", asked: Request{Command: ComInitDB}, say: func(s *stream) { s.okTold(trans, tracking(9)).done(trans | flag) }},
	{name: "an OK with 0xFE", asked: Request{Command: ComSetOption}, only: CapDeprecateEOF, say: func(s *stream) {
		s.endTold(auto, tracking(9)).done(auto | flag)
	}},
	{name: "the end of rows", asked: query, only: CapDeprecateEOF, say: func(s *stream) {
		s.columns(1).row("1").endTold(auto, tracking(300)).done(auto | flag)
	}},
	{name: "an EOF, whose warnings look like the flag", asked: query, say: func(s *stream) {
		s.columns(1).row("1").pay(AppendEOF(nil, flag, auto)).done(auto)
	}},
	{name: "an EOF with the flag", asked: query, say: func(s *stream) {
		s.columns(1).row("1").pay(AppendEOF(nil, 0, auto|flag)).see(seen{step: Done, status: auto | flag, missed: true})
	}},
	{name: "an EOF with the flag behind definitions", asked: query, never: CapDeprecateEOF, say: func(s *stream) {
		s.count(1).defs(1).eof(auto | flag).row("1").end(auto).done(auto)
	}},
	{name: "several results, some with state", asked: query, say: func(s *stream) {
		s.okTold(more, tracking(3)).columns(1).row("1").endTold(more, tracking(6)).ok(more).okTold(more, tracking(250)).okTold(auto, tracking(9)).done(auto | flag)
	}},
	{name: "state, then an ERR", asked: query, say: func(s *stream) {
		s.okTold(more, tracking(3)).err(1064).failed(1064, more|flag)
	}},
	{name: "OUT parameters, then the OK of the CALL", asked: execute, say: func(s *stream) {
		s.columns(1).bytes(0, 0).end(more|StatusPSOutParams).okTold(auto, tracking(40)).done(auto | flag)
	}},
	{name: "the end of LOAD DATA LOCAL", asked: query, say: func(s *stream) {
		s.bytes(0xfb, 'f').turn(2, 0).okTold(auto, tracking(40)).done(auto | flag)
	}},
	{name: "the end of a fetch", asked: fetch, only: CapDeprecateEOF, say: func(s *stream) { s.bytes(0, 0).endTold(cursor, tracking(6)).done(cursor | flag) }},
	{name: "a cursor is opened", asked: opening, only: CapDeprecateEOF, say: func(s *stream) { s.count(1).defs(1).endTold(cursor, tracking(6)).done(cursor | flag) }},
	{name: "the end of a login", asked: user, say: func(s *stream) { s.bytes(1, 3).okTold(auto, tracking(70)).done(auto | flag) }},
	{name: "a column whose count is that of an OK's status", asked: query, say: func(s *stream) { s.columns(2).row("\x00\x02\x40", "").end(auto).done(auto) }},
	{name: "as long as can be told of", asked: query, say: func(s *stream) {
		s.okTold(auto, tracking(64<<10-11)).done(auto | flag)
	}},
	{name: "longer than can be told of", asked: query, say: func(s *stream) {
		o := OK{Status: more, SessionState: tracking(64<<10 - 10)}
		s.pay(o.Append(nil, s.caps)).see(seen{step: Told, status: more | flag})
		s.want = s.want[:len(s.want)-1]
		s.okTold(more, tracking(3)).ok(auto).done(auto)
		for i := range s.want {
			s.want[i].missed = true
		}
	}},
	{name: "longer than a packet", asked: query, long: true, say: func(s *stream) {
		o := OK{Status: auto, SessionState: tracking(MaxPayload + 7)}
		s.pay(o.Append(nil, s.caps)).see(seen{step: Done, status: auto | flag, missed: true})
	}},
}

func TestAWatchedResponseStopsAtSessionStateWhereverItIsTorn(t *testing.T) {
	for _, row := range toldRows {
		t.Run(row.name, func(t *testing.T) {
			row.each(func(mask int, asked []Request, s *stream) {
				at := places(len(s.buf), s.edges)
				if len(s.buf) > 1<<15 && mask > 1 {
					return
				}
				if got, _ := foretell(s.caps|watched, asked, s.buf); !slices.Equal(got, s.want) {
					t.Errorf("the oracle\n got %v\nwant %v", got, s.want)
				}
				check(t, s.caps|watched, asked, s.buf, at, s.want)
			})
		})
	}
}

func TestNothingIsToldOfWithoutTheCapabilityOrWithoutAWatch(t *testing.T) {
	for _, row := range toldRows {
		row.each(func(mask int, asked []Request, s *stream) {
			if len(s.buf) > 1<<15 && mask > 1 {
				return
			}
			want := slices.DeleteFunc(slices.Clone(s.want), func(s seen) bool { return s.step == Told })
			for i := range want {
				want[i].missed = false
			}
			at := append(slices.Clone(s.edges), len(s.buf))
			check(t, s.caps, asked, s.buf, at, want)
			check(t, (s.caps|watched)&^CapSessionTrack, asked, s.buf, at, want)
		})
	}
}

// A watch may begin and end at any time. What has begun to pass is past.
func TestAWatchMayBeginBetweenTwoFeeds(t *testing.T) {
	s := &stream{caps: shapingSet(0), seq: 1}
	o := OK{Status: auto, SessionState: tracking(90)}
	buf := s.pay(o.Append(nil, s.caps)).buf
	var r Response
	r.SetCapabilities(s.caps)
	r.Begin(query)
	r.Watch(true)
	if n, step := r.Feed(buf[:80]); n != 0 || step != More {
		t.Errorf("torn and watched: %v at %d, want more at 0", step, n)
	}
	r.Watch(false)
	if n, step := r.Feed(buf[:80]); n != 80 || step != More {
		t.Errorf("torn: %v at %d, want more at 80", step, n)
	}
	r.Watch(true)
	if n, step := r.Feed(buf[80:]); n != len(buf)-80 || step != Done {
		t.Errorf("the rest, watched: %v at %d, want done at %d", step, n, len(buf)-80)
	}
}

// MariaDB's CALL of a procedure that writes and has rows, for a client without
// CapDeprecateEOF: the last OK has the GTID, which covers those before it.
func TestCaughtUpTakesBackWhatWasMissed(t *testing.T) {
	s := &stream{caps: shapingSet(0), seq: 1}
	s.columns(1).row("1").pay(AppendEOF(nil, 0, more|flag)).okTold(more, tracking(9)).columns(1).row("2").pay(AppendEOF(nil, 0, auto|flag))
	var r Response
	r.SetCapabilities(s.caps)
	r.Watch(true)
	r.Begin(query)
	n, step := r.Feed(s.buf)
	if step != Told || !r.Missed() {
		t.Errorf("%v, missed %v; want told, true", step, r.Missed())
	}
	if r.CaughtUp(); r.Missed() {
		t.Error("caught up, and missed")
	}
	if _, step := r.Feed(s.buf[n:]); step != Done || !r.Missed() {
		t.Errorf("%v, missed %v; want done, true", step, r.Missed())
	}
	r.Begin(query)
	o := OK{Status: auto, SessionState: tracking(64 << 10)}
	r.Feed((&stream{seq: 1}).pay(o.Append(nil, s.caps)).buf)
	if r.CaughtUp(); !r.Missed() {
		t.Error("a long OK is not missed: an EOF only can be caught up with")
	}
	if r.Begin(query); r.Missed() {
		t.Error("missed before anything has come")
	}
}

// BenchmarkFeedTold is BenchmarkFeedSmall with a write, as a session sees it
// that is told of each GTID.
func BenchmarkFeedTold(b *testing.B) {
	s := &stream{caps: shapingSet(0), seq: 1}
	gtid := SessionChange{Kind: SessionGTIDs, Value: []byte("3e11fa47-71ca-11e1-9e33-c80aa9429562:23")}
	o := OK{Status: auto, AffectedRows: 1, SessionState: gtid.Append(nil)}
	buf := s.pay(o.Append(nil, s.caps)).buf
	var r Response
	r.SetCapabilities(s.caps)
	r.Watch(true)
	b.ReportAllocs()
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		r.Begin(query)
		if n, step := r.Feed(buf); n != len(buf) || step != Told || r.Told() != n {
			b.Fatalf("%v at %d", step, n)
		}
		if n, step := r.Feed(nil); n != 0 || step != Done {
			b.Fatalf("%v at %d", step, n)
		}
	}
}
