package packet

import "testing"

// feed runs one response through r, which has to end with buf.
func feed(b *testing.B, r *Response, buf []byte) {
	r.Begin(Request{Command: ComQuery})
	if n, step := r.Feed(buf); n != len(buf) || step != Done {
		b.Fatalf("%v at %d of %d bytes", step, n, len(buf))
	}
}

// BenchmarkFeedSmall follows a response of one row, the most frequent one.
func BenchmarkFeedSmall(b *testing.B) {
	s := &stream{caps: shapingSet(0), seq: 1}
	buf := s.columns(1).row("42").end(StatusAutocommit).buf
	var r Response
	r.SetCapabilities(s.caps)
	b.ReportAllocs()
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		feed(b, &r, buf)
	}
}

// BenchmarkFeedRows follows 64 KB of rows of 100 bytes, as one read brings them.
func BenchmarkFeedRows(b *testing.B) {
	s := &stream{caps: shapingSet(0), seq: 1}
	s.columns(4)
	value := string(make([]byte, 23))
	for len(s.buf) < 64<<10 {
		s.row(value, value, value, value)
	}
	buf := s.end(StatusAutocommit).buf
	var r Response
	r.SetCapabilities(s.caps)
	b.ReportAllocs()
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		feed(b, &r, buf)
	}
}
