package main

import (
	"bytes"
	"crypto/tls"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"mysqlproxy/bench/wire"
	"mysqlproxy/engine/enginetest"
)

// certificate makes one for a server, and the file for the load generator.
func certificate(t *testing.T) (server *tls.Config, file string) {
	t.Helper()
	id := enginetest.NewAuthority("load")
	file = filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(file, id.CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{id.TLS()}}, file
}

func TestTLSBothWays(t *testing.T) {
	const caps = wire.ServerCaps | wire.CapSSL
	server, file := certificate(t)
	for _, tt := range []struct {
		name   string
		mode   tlsMode
		hybrid bool
		want   string
	}{
		{"as MySQL's clients", tlsMySQL, false, "TLS 1.3, X25519"},
		{"from the first byte", tlsRaw, false, "TLS 1.3, X25519"},
		{"hybrid", tlsMySQL, true, "TLS 1.3, X25519MLKEM768"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr := script{caps: caps, tls: server, mode: tt.mode, answer: func(_ int, p []byte) []byte { return right(caps&wire.CapDeprecateEOF, p) }}.start(t)
			for _, mode := range []string{"point", "execute", "bulk", "connect"} {
				o := optionsFor(addr, mode)
				o.tls = tt.mode
				var err error
				if o.tlsConfig, err = newTLSConfig(file, tt.hybrid); err != nil {
					t.Fatal(err)
				}
				r := mustRun(t, o)
				if r.Errors != 0 || r.TotalQueries == 0 || withoutSuite(r.TLS) != tt.want {
					t.Errorf("%s: %d errors: %q; %d queries by %q", mode, r.Errors, r.FirstErrors, r.TotalQueries, r.TLS)
				}
			}
		})
	}
}

// withoutSuite leaves out the cipher suite: it depends on the processor.
func withoutSuite(s string) string {
	f := strings.Split(s, ", ")
	return strings.Join(slices.Delete(f, min(1, len(f)), min(2, len(f))), ", ")
}

func TestTLSThatIsNotAsItShouldBe(t *testing.T) {
	server, file := certificate(t)
	_, other := certificate(t)
	old := server.Clone()
	old.MaxVersion = tls.VersionTLS12
	for _, tt := range []struct {
		name, file string
		server     *tls.Config
		caps       uint32
		message    string
	}{
		{"another certificate", other, server, wire.ServerCaps | wire.CapSSL, "another certificate"},
		{"TLS 1.2 only", file, old, wire.ServerCaps | wire.CapSSL, "version"},
		{"none on offer", file, server, wire.ServerCaps, "no TLS on offer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := optionsFor(script{caps: tt.caps, tls: tt.server, mode: tlsMySQL, answer: func(_ int, p []byte) []byte { return right(tt.caps, p) }}.start(t), "point")
			o.tls = tlsMySQL
			var err error
			if o.tlsConfig, err = newTLSConfig(tt.file, false); err != nil {
				t.Fatal(err)
			}
			r, err := run(o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Errors != 2 || !strings.Contains(strings.Join(r.FirstErrors, "\n"), tt.message) {
				t.Errorf("%d errors, %q; want %q", r.Errors, r.FirstErrors, tt.message)
			}
		})
	}
}

// packed makes frames of at most 1,000 bytes, every third stored.
func packed(t *testing.T, algorithm string, b []byte) []byte {
	var out []byte
	for i := 0; len(b) > 0; i++ {
		part := b[:min(len(b), 1000)]
		b = b[len(part):]
		var body bytes.Buffer
		size := len(part)
		switch {
		case i%3 == 2:
			size = 0
			body.Write(part)
		case algorithm == "zlib":
			w := zlib.NewWriter(&body)
			if _, err := w.Write(part); err != nil {
				t.Error(err)
			}
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		default:
			e, err := zstd.NewWriter(nil)
			if err != nil {
				t.Error(err)
			}
			body.Write(e.EncodeAll(part, nil))
		}
		out = wire.AppendHeader(out, body.Len(), byte(i))
		out = append(out, byte(size), byte(size>>8), byte(size>>16))
		out = append(out, body.Bytes()...)
	}
	return out
}

func TestCompressedAnswers(t *testing.T) {
	const caps = wire.ServerCaps | wire.CapCompress | wire.CapZstd
	plain := mustRun(t, optionsFor(script{caps: caps, answer: func(_ int, p []byte) []byte { return right(caps, p) }}.start(t), "query"))
	for _, algorithm := range []string{"zlib", "zstd"} {
		s := script{caps: caps, answer: func(_ int, p []byte) []byte { return right(caps, p) }}
		s.pack = func(a []byte) []byte { return packed(t, algorithm, a) }
		addr := s.start(t)
		spoilt := s
		spoilt.pack = func(a []byte) []byte {
			a = packed(t, algorithm, a)
			a[len(a)-2] ^= 0x10
			return a
		}
		for _, mode := range []string{"point", "bulk", "query"} {
			o := optionsFor(addr, mode)
			o.compress = algorithm
			r := mustRun(t, o)
			if r.Errors != 0 || r.TotalQueries == 0 {
				t.Errorf("%s, %s: %d errors: %q; %d queries", algorithm, mode, r.Errors, r.FirstErrors, r.TotalQueries)
			}
			if mode == "query" && (r.AnswerSum != plain.AnswerSum || r.AnswerBytes != plain.AnswerBytes || r.AnswerBytes == 0) {
				t.Errorf("%s: the sum is %s of %d bytes, not compressed it is %s of %d", algorithm, r.AnswerSum, r.AnswerBytes, plain.AnswerSum, plain.AnswerBytes)
			}
		}
		o := optionsFor(spoilt.start(t), "point")
		o.compress = algorithm
		if r := mustRun(t, o); r.Errors == 0 {
			t.Errorf("%s: no error of a bit that is wrong", algorithm)
		}
	}
}

func TestScannerFindsTheEndWhereverAResultIsCut(t *testing.T) {
	for _, caps := range []uint32{0, wire.CapDeprecateEOF} {
		whole := right(caps, []byte("\x03bulk 10000 100"))
		var want scanner
		want.begin(caps != 0)
		if _, done, err := want.take(whole); !done || err != nil || want.bytes != int64(len(whole)) {
			t.Fatalf("whole: %v, %v, %d of %d bytes", done, err, want.bytes, len(whole))
		}
		for cut := range whole {
			var s scanner
			s.begin(caps != 0)
			if _, done, err := s.take(whole[:cut]); done || err != nil {
				t.Fatalf("done after %d of %d bytes: %v, %v", cut, len(whole), done, err)
			}
			rest, done, err := s.take(append(bytes.Clone(whole[cut:]), "more"...))
			if !done || err != nil || string(rest) != "more" || s.sum != want.sum {
				t.Fatalf("cut at %d: %v, %v, %q", cut, done, err, rest)
			}
		}
	}
}

func TestScannerTellsAnswersApart(t *testing.T) {
	var a answerSum
	sum := func(b []byte) error {
		var s scanner
		s.begin(true)
		if _, done, err := s.take(b); err != nil || !done {
			t.Fatal(done, err)
		}
		return a.add(&s)
	}
	one := wire.AppendTextResult(nil, 1, wire.CapDeprecateEOF, 2, "one")
	if err := sum(one); err != nil {
		t.Error(err)
	}
	one[3], one[8] = 77, 78 // sequence ids
	if err := sum(one); err != nil {
		t.Error(err)
	}
	if err := sum(wire.AppendTextResult(nil, 1, wire.CapDeprecateEOF, 2, "two")); err == nil {
		t.Error("another answer is not told")
	}
	var s scanner
	s.begin(true)
	if _, _, err := s.take(wire.AppendErr(nil, 1, 1146, "42S02", "no table")); err == nil || !strings.Contains(err.Error(), "1146") {
		t.Errorf("an ERR is %v", err)
	}
}

func TestArrivalsComeAtTheirRate(t *testing.T) {
	addr := script{caps: wire.ServerCaps, answer: func(_ int, p []byte) []byte { return right(wire.ServerCaps, p) }}.start(t)
	for _, mode := range []string{"connect", "point"} {
		o := optionsFor(addr, mode)
		o.conns, o.arrivals, o.duration = 20, 100, 300*time.Millisecond
		ready := 0
		o.onReady = func() { ready++ }
		begun := time.Now()
		r := mustRun(t, o)
		// Not more than were due, however slow the machine is.
		if r.Errors != 0 || r.TotalQueries == 0 || float64(r.TotalQueries) > 1+o.arrivals*time.Since(begun).Seconds() || ready == 0 {
			t.Errorf("%s: %d errors: %q; %d answers, ready %d times", mode, r.Errors, r.FirstErrors, r.TotalQueries, ready)
		}
	}
}
