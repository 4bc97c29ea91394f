package packet

import (
	"bytes"
	"errors"
	"testing"
)

func equalOK(a, b OK) bool {
	return a.AffectedRows == b.AffectedRows && a.LastInsertID == b.LastInsertID && a.Status == b.Status &&
		a.Warnings == b.Warnings && bytes.Equal(a.Info, b.Info) && bytes.Equal(a.SessionState, b.SessionState)
}

func TestParseOK(t *testing.T) {
	const track = CapSessionTrack
	for _, c := range []struct {
		name    string
		payload string
		caps    Capability
		want    OK
	}{
		{"seven bytes", "\x00\x00\x00\x02\x00\x00\x00", 0, OK{Status: 2}},
		{"seven bytes with session tracking", "\x00\x00\x00\x02\x00\x00\x00", track, OK{Status: 2}},
		{"counts that need more than a byte", "\x00\xfc\x2c\x01\xfe\x00\x00\x00\x00\x01\x00\x00\x00\x03\x00\x05\x00", 0,
			OK{AffectedRows: 300, LastInsertID: 1 << 32, Status: 3, Warnings: 5}},
		{"info with a length, as servers send it", "\x00\x00\x00\x02\x00\x00\x00\x02hi", 0, OK{Status: 2, Info: []byte("hi")}},
		{"info to the end, as documented", "\x00\x00\x00\x02\x00\x00\x00hello", 0, OK{Status: 2, Info: []byte("hello")}},
		{"info and no state", "\x00\x00\x00\x02\x00\x00\x00\x02hi", track, OK{Status: 2, Info: []byte("hi")}},
		{"state", "\x00\x00\x00\x02\x40\x00\x00\x00\x04\x01\x02\x01s", track,
			OK{Status: 0x4002, SessionState: []byte("\x01\x02\x01s")}},
		{"the flag of state, and none, as MariaDB's EOFs have it", "\x00\x00\x00\x02\x40\x00\x00", track, OK{Status: 0x4002}},
		{"0xFE at the end of rows", "\xfe\x00\x00\x22\x00\x01\x00", CapDeprecateEOF, OK{Status: 0x22, Warnings: 1}},
	} {
		got, err := ParseOK([]byte(c.payload), c.caps)
		if err != nil || !equalOK(got, c.want) {
			t.Errorf("%s: got %+v, %v\nwant %+v", c.name, got, err, c.want)
		}
	}
}

func TestParseOKRefuses(t *testing.T) {
	for name, payload := range map[string]string{
		"nothing": "", "another head": "\x01\x00\x00\x02\x00\x00\x00", "an EOF": "\xfe\x00\x00\x02\x00",
		"rows that are NULL":       "\x00\xfb\x00\x02\x00\x00\x00",
		"info longer than packet":  "\x00\x00\x00\x02\x00\x00\x00\x05hi",
		"state longer than packet": "\x00\x00\x00\x02\x40\x00\x00\x00\x09\x01",
	} {
		if got, err := ParseOK([]byte(payload), CapSessionTrack); !errors.Is(err, ErrMalformed) || !equalOK(got, OK{}) {
			t.Errorf("%s: %+v, %v, want ErrMalformed", name, got, err)
		}
	}
}

func TestOKIsWrittenForWhoReadsIt(t *testing.T) {
	o := OK{AffectedRows: 1, Status: StatusAutocommit, Warnings: 2, Info: []byte("hi"), SessionState: []byte("\x01\x02\x01s")}
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"with session tracking", o.Append(nil, CapSessionTrack), "\x00\x01\x00\x02\x40\x02\x00\x02hi\x04\x01\x02\x01s"},
		{"without", o.Append(nil, 0), "\x00\x01\x00\x02\x00\x02\x00\x02hi"},
		{"end of rows", o.AppendEnd(nil, 0), "\xfe\x02\x00\x02\x00"},
		{"end of rows without EOF", o.AppendEnd(nil, CapDeprecateEOF), "\xfe\x01\x00\x02\x00\x02\x00\x02hi"},
		{"end of rows without EOF, with state", o.AppendEnd(nil, CapDeprecateEOF|CapSessionTrack),
			"\xfe\x01\x00\x02\x40\x02\x00\x02hi\x04\x01\x02\x01s"},
		{"state without info", (&OK{SessionState: []byte("\x02\x011")}).Append(nil, CapSessionTrack), "\x00\x00\x00\x00\x40\x00\x00\x00\x03\x02\x011"},
	} {
		if string(c.got) != c.want {
			t.Errorf("%s: got %q, want %q", c.name, c.got, c.want)
		}
	}
}

// EOF has warnings before status, the OK in its place status before warnings.
func TestParseEndReadsEitherForm(t *testing.T) {
	want := OK{Status: 0x22, Warnings: 7}
	for _, c := range []struct {
		name    string
		payload string
		caps    Capability
	}{
		{"EOF", "\xfe\x07\x00\x22\x00", 0},
		{"OK", "\xfe\x00\x00\x22\x00\x07\x00", CapDeprecateEOF},
		{"EOF though OK was agreed on", "\xfe\x07\x00\x22\x00", CapDeprecateEOF},
	} {
		if got, err := ParseEnd([]byte(c.payload), c.caps); err != nil || !equalOK(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", c.name, got, err, want)
		}
	}
	for _, payload := range []string{"", "\x00\x00\x00\x22\x00\x07\x00", "\xfe", "\xfe\x00\x00\x00"} {
		if _, err := ParseEnd([]byte(payload), 0); !errors.Is(err, ErrMalformed) {
			t.Errorf("%x: error %v, want ErrMalformed", payload, err)
		}
	}
}

func TestIsEndIsNotFooledByALongFirstColumn(t *testing.T) {
	long := append([]byte{0xfe, 0, 0, 0, 1, 0, 0, 0, 0}, make([]byte, MaxPayload-9)...) // a row's first packet
	for _, c := range []struct {
		name    string
		payload []byte
		caps    Capability
		want    bool
	}{
		{"EOF", []byte{0xfe, 0, 0, 2, 0}, 0, true},
		{"nothing", nil, 0, false},
		{"a row", []byte{1, 'a'}, 0, false},
		{"a long row", long, 0, false},
		{"a long row without EOF", long, CapDeprecateEOF, false},
		{"an OK with much state", long[:400], CapDeprecateEOF, true},
		{"the same bytes are a row", long[:400], 0, false},
	} {
		if got := IsEnd(c.payload, c.caps); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestERRWithAndWithoutState(t *testing.T) {
	for _, c := range []struct {
		name    string
		payload string
		code    uint16
		state   string
		message string
	}{
		{"with", "\xff\x15\x04#28000Access denied", 1045, "28000", "Access denied"},
		{"before the login", "\xff\x10\x04Too many connections", 1040, "", "Too many connections"},
		{"nothing behind the code", "\xff\x10\x04", 1040, "", ""},
		{"state and no message", "\xff\x10\x04#08004", 1040, "08004", ""},
		{"too short for a state", "\xff\x10\x04#0800", 1040, "", "#0800"},
		{"code 0xFFFF without progress reports", "\xff\xff\xff#HY000x", 0xffff, "HY000", "x"},
	} {
		e, err := ParseERR([]byte(c.payload), 0)
		if err != nil || e.Code != c.code || string(e.State) != c.state || string(e.Message) != c.message {
			t.Errorf("%s: got %d %q %q, %v", c.name, e.Code, e.State, e.Message, err)
		}
		if got := AppendERR(nil, c.code, c.state, c.message); string(got) != c.payload {
			t.Errorf("%s: AppendERR gives %q, want %q", c.name, got, c.payload)
		}
	}
	if got := AppendERR(nil, 1105, "no state", "m"); string(got) != "\xff\x51\x04#HY000m" {
		t.Errorf("a state of another length: %q", got)
	}
}

func TestProgressIsNotAnERR(t *testing.T) {
	p := Progress{Stage: 1, MaxStage: 2, Done: 66562, Info: []byte("copy to tmp table")}
	payload := p.Append(nil)
	if want := "\xff\xff\xff\x01\x01\x02\x02\x04\x01\x11copy to tmp table"; string(payload) != want {
		t.Fatalf("Append: %q, want %q", payload, want)
	}
	got, err := ParseProgress(payload)
	if err != nil || got.Stage != 1 || got.MaxStage != 2 || got.Done != 66562 || string(got.Info) != "copy to tmp table" {
		t.Errorf("ParseProgress: %+v, %v", got, err)
	}
	if !IsProgress(payload, CapMariaDBProgress) || IsProgress(payload, 0) || IsProgress(payload[:3], CapMariaDBProgress) {
		t.Error("IsProgress: want it with the capability only, and with more than a code")
	}
	if _, err := ParseERR(payload, CapMariaDBProgress); !errors.Is(err, ErrMalformed) {
		t.Errorf("ParseERR: %v, want ErrMalformed", err)
	}
	if _, err := ParseProgress([]byte("\xff\x10\x04Too many connections")); !errors.Is(err, ErrMalformed) {
		t.Errorf("ParseProgress of an ERR: %v, want ErrMalformed", err)
	}
}

func TestPrepareOKSaysWhetherDefinitionsFollow(t *testing.T) {
	p := PrepareOK{Statement: 0x220, Columns: 3, Params: 1, Warnings: 2}
	if got := p.Append(nil, 0); string(got) != "\x00\x20\x02\x00\x00\x03\x00\x01\x00\x00\x02\x00" {
		t.Errorf("Append: %q", got)
	}
	for _, none := range []bool{false, true} {
		p.NoMetadata = none
		got, err := ParsePrepareOK(p.Append(nil, CapOptionalMetadata), CapOptionalMetadata)
		if err != nil || got != p {
			t.Errorf("got %+v, %v, want %+v", got, err, p)
		}
	}
	if _, err := ParsePrepareOK(AppendERR(nil, 1064, "42000", "You have an error"), 0); !errors.Is(err, ErrMalformed) {
		t.Errorf("an ERR: error %v, want ErrMalformed", err)
	}
}

func TestRepliesAtEveryCut(t *testing.T) {
	o := OK{AffectedRows: 300, LastInsertID: 70000, Status: 2, Info: []byte("info"), SessionState: []byte("\x01\x02\x01s")}
	everyCut(t, o.Append(nil, CapSessionTrack), 12, func(b []byte) error { _, err := ParseOK(b, CapSessionTrack); return err })
	everyCut(t, AppendEOF(nil, 1, 2), 5, func(b []byte) error { _, err := ParseEOF(b); return err })
	everyCut(t, AppendEOF(nil, 1, 2), 5, func(b []byte) error { _, err := ParseEnd(b, 0); return err })
	everyCut(t, AppendERR(nil, 1045, "28000", "no"), 3, func(b []byte) error { _, err := ParseERR(b, 0); return err })
	p := Progress{Info: []byte("copy")}
	everyCut(t, p.Append(nil), 14, func(b []byte) error { _, err := ParseProgress(b); return err })
	prep := PrepareOK{Statement: 1}
	everyCut(t, prep.Append(nil, 0), 12, func(b []byte) error { _, err := ParsePrepareOK(b, 0); return err })
}

func TestRepliesDoNotAllocate(t *testing.T) {
	const caps = CapSessionTrack | CapDeprecateEOF
	o := OK{AffectedRows: 300, Status: 2, Info: []byte("info"), SessionState: []byte("\x01\x02\x01s")}
	ok, errPayload := o.Append(nil, caps), AppendERR(nil, 1045, "28000", "no")
	eof, prepPayload := AppendEOF(nil, 0, 2), (&PrepareOK{}).Append(nil, 0)
	p := Progress{Info: []byte("copy")}
	progress := p.Append(nil)
	dst := make([]byte, 0, 128)
	var e ERR
	var end OK
	var prep PrepareOK
	noAllocs(t, "ParseOK", func() { o, _ = ParseOK(ok, caps) })
	noAllocs(t, "OK.Append", func() { dst = o.Append(dst[:0], caps) })
	noAllocs(t, "OK.AppendEnd", func() { dst = o.AppendEnd(dst[:0], caps) })
	noAllocs(t, "ParseEnd", func() { end, _ = ParseEnd(eof, 0) })
	noAllocs(t, "AppendEOF", func() { dst = AppendEOF(dst[:0], end.Warnings, end.Status) })
	noAllocs(t, "ParseEOF", func() { _, _ = ParseEOF(eof) })
	noAllocs(t, "ParseERR", func() { e, _ = ParseERR(errPayload, caps) })
	noAllocs(t, "ERR.Append", func() { dst = e.Append(dst[:0]) })
	noAllocs(t, "AppendERR", func() { dst = AppendERR(dst[:0], 1045, "28000", "no") })
	noAllocs(t, "ParseProgress", func() { p, _ = ParseProgress(progress) })
	noAllocs(t, "Progress.Append", func() { dst = p.Append(dst[:0]) })
	noAllocs(t, "ParsePrepareOK", func() { prep, _ = ParsePrepareOK(prepPayload, 0) })
	noAllocs(t, "PrepareOK.Append", func() { dst = prep.Append(dst[:0], 0) })
}

func FuzzReplies(f *testing.F) { // property: what Append writes says the same
	for _, c := range conversations(f) {
		for _, s := range c.packets {
			if p := s.pkt.Payload(); s.from == 'S' && len(p) > 0 && (p[0] == headOK || p[0] >= headEOF) {
				f.Add(p, uint64(0x1d_81fffffe))
			}
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, flags uint64) {
		caps := Capability(flags)
		if o, err := ParseOK(in, caps); err == nil {
			want := o
			if caps&CapSessionTrack == 0 {
				want.Status &^= StatusSessionState
			}
			if again, err := ParseOK(o.Append(nil, caps), caps); err != nil || !equalOK(want, again) {
				t.Fatalf("OK %x is %+v, written again %+v, %v", in, o, again, err)
			}
		}
		if o, err := ParseEnd(in, caps); err == nil {
			again, err := ParseEnd(o.AppendEnd(nil, caps), caps)
			if err != nil || again.Status|StatusSessionState != o.Status|StatusSessionState || again.Warnings != o.Warnings {
				t.Fatalf("end %x is %+v, written again %+v, %v", in, o, again, err)
			}
			if !IsEnd(in, caps) && len(in) < 9 {
				t.Fatalf("%x with %v is no end but parses as one", in, caps)
			}
		}
		if e, err := ParseERR(in, caps); err == nil {
			if again := e.Append(nil); !bytes.Equal(again, in) {
				t.Fatalf("ERR %x, written again %x", in, again)
			}
		}
		if p, err := ParseProgress(in); err == nil {
			again, err := ParseProgress(p.Append(nil))
			if err != nil || again.Stage != p.Stage || again.MaxStage != p.MaxStage || again.Done != p.Done || !bytes.Equal(again.Info, p.Info) {
				t.Fatalf("progress %x is %+v, written again %+v, %v", in, p, again, err)
			}
		}
		if p, err := ParsePrepareOK(in, caps); err == nil {
			if again, err := ParsePrepareOK(p.Append(nil, caps), caps); err != nil || again != p {
				t.Fatalf("prepare %x is %+v, written again %+v, %v", in, p, again, err)
			}
		}
	})
}
