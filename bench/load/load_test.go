package main

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"mysqlproxy/bench/wire"
	"mysqlproxy/engine/enginetest"
)

// script is a server that lets everybody in and answers as a test says.
type script struct {
	tls     *tls.Config // begins as mode says
	mode    tlsMode
	pack    func(p []byte) []byte        // what is sent behind the login; as it is if nil
	verdict func() []byte                // to the login; OK if nil
	answer  func(n int, p []byte) []byte // to the request n, counted from 1; nil closes
	caps    uint32
}

// start serves until the test ends.
func (s script) start(t *testing.T) string {
	t.Helper()
	l := enginetest.Listen(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	return l.Addr().String()
}

func (s script) serve(c net.Conn) {
	defer c.Close()
	if s.mode == tlsRaw {
		c = tls.Server(c, s.tls)
	}
	g := append([]byte{10}, "10.11.8-MariaDB-script\x00\x01\x00\x00\x00saltsalt\x00"...)
	g = binary.LittleEndian.AppendUint16(g, uint16(s.caps))
	g = append(g, 45, 2, 0)
	g = binary.LittleEndian.AppendUint16(g, uint16(s.caps>>16))
	g = append(append(g, 21), make([]byte, 10)...)
	g = append(g, "saltsaltsalt\x00mysql_native_password\x00"...)
	if _, err := c.Write(wire.AppendPacket(nil, 0, g)); err != nil {
		return
	}
	login := readPacket(c)
	verdict := wire.AppendOK(nil, 2, wire.StatusAutocommit)
	if s.mode == tlsMySQL && len(login) == 32 {
		c = tls.Server(c, s.tls)
		login = readPacket(c)
		verdict[3] = 3
	}
	if len(login) < 33 {
		return
	}
	if s.verdict != nil {
		verdict = s.verdict()
	}
	if _, err := c.Write(verdict); err != nil {
		return
	}
	for n := 1; ; n++ {
		if s.pack != nil {
			// The header of a frame whose body is stored.
			if _, err := io.CopyN(io.Discard, c, frameHeader); err != nil {
				return
			}
		}
		p := readPacket(c)
		if len(p) == 0 || p[0] == wire.ComQuit {
			return
		}
		a := s.answer(n, p)
		if a == nil {
			return
		}
		if s.pack != nil {
			a = s.pack(a)
		}
		if _, err := c.Write(a); err != nil {
			return
		}
	}
}

func readPacket(c net.Conn) []byte {
	var h [wire.HeaderLen]byte
	if _, err := io.ReadFull(c, h[:]); err != nil {
		return nil
	}
	p := make([]byte, wire.PayloadLen(h[:]))
	if _, err := io.ReadFull(c, p); err != nil {
		return nil
	}
	return p
}

// right is the answer that the load generator wants.
func right(caps uint32, p []byte) []byte {
	var a []byte
	switch {
	case p[0] == wire.ComStmtPrepare:
		return wire.AppendPrepareOK(nil, 1, caps, wire.StatusAutocommit, 77, 1)
	case p[0] == wire.ComStmtExecute:
		a = wire.AppendBinaryResult(nil, 1, caps, wire.StatusAutocommit, string(wire.EchoOf(p))+wire.CannedSuffix)
	case strings.HasPrefix(string(p[1:]), "UPDATE "):
		return wire.AppendOK(nil, 1, wire.StatusAutocommit)
	case strings.HasPrefix(string(p[1:]), "bulk "):
		rows, err := wire.NewRows(100)
		if err != nil {
			panic(err)
		}
		head, first := wire.AppendResultHead(nil, 1, caps, wire.StatusAutocommit)
		at := rows.Start(first)
		a = append(head, rows.Cycle[at:at+100*100]...)
		a = wire.AppendEOF(a, rows.Tail(first, 100), caps, wire.StatusAutocommit)
	default:
		a = wire.AppendTextResult(nil, 1, caps, wire.StatusAutocommit, string(wire.EchoOf(p))+wire.CannedSuffix)
	}
	return a
}

func optionsFor(addr, mode string) options {
	o := options{
		addr: addr, mode: mode, conns: 2, duration: 20 * time.Millisecond, timeout: time.Minute, answers: 1,
		user: "u", bulk: 10_000, row: 100, rate: 1_000_000,
	}
	if mode == "query" {
		o.query = "SELECT 000000001"
	}
	return o
}

func runAgainst(t *testing.T, addr, mode string) *report {
	t.Helper()
	return mustRun(t, optionsFor(addr, mode))
}

func mustRun(t *testing.T, o options) *report {
	t.Helper()
	r, err := run(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRightAnswersAreNoErrors(t *testing.T) {
	for _, caps := range []uint32{wire.ServerCaps, wire.ServerCaps &^ wire.CapDeprecateEOF} {
		addr := script{caps: caps, answer: func(_ int, p []byte) []byte { return right(caps&wire.CapDeprecateEOF, p) }}.start(t)
		for _, mode := range modes {
			r := runAgainst(t, addr, mode)
			if r.Errors != 0 {
				t.Errorf("%s: %d errors: %q", mode, r.Errors, r.FirstErrors)
			}
			if r.TotalQueries == 0 && mode != "idle" {
				t.Errorf("%s: no queries", mode)
			}
		}
	}
}

func TestWrongAnswersAreErrors(t *testing.T) {
	const caps = wire.ServerCaps
	// The third request of a connection goes wrong, the others are right.
	spoil := func(f func(a []byte) []byte) script {
		return script{caps: caps, answer: func(n int, p []byte) []byte {
			if a := right(caps, p); n != 3 {
				return a
			} else {
				return f(a)
			}
		}}
	}
	change := func(at func(a []byte) int) script {
		return spoil(func(a []byte) []byte { a[at(a)] ^= 1; return a })
	}
	for _, tt := range []struct {
		name, mode string
		server     script
		message    string
	}{
		{"another row", "point", change(func(a []byte) int { return strings.Index(string(a), "canned") }), "wrong answer"},
		{"another's row", "point", change(func(a []byte) int { return strings.Index(string(a), wire.CannedSuffix) - 1 }), "wrong answer"},
		{"another's binary row", "execute", change(func(a []byte) int { return strings.Index(string(a), wire.CannedSuffix) - 1 }), "wrong answer"},
		{"wrong sequence id", "point", change(func([]byte) int { return 3 }), "wrong answer"},
		{"wrong status at the end", "point", change(func(a []byte) int { return len(a) - 4 }), "wrong answer"},
		{"one byte short", "point", spoil(func(a []byte) []byte { return a[:len(a)-1] }), "no answer"},
		{"no answer", "point", spoil(func([]byte) []byte { return []byte{} }), "no answer"},
		{"one byte more", "point", spoil(func(a []byte) []byte { return append(a, 0) }), "bytes behind"},
		{"the answer twice", "point", spoil(func(a []byte) []byte { return append(a, a...) }), "bytes behind"},
		{"ERR", "point", spoil(func([]byte) []byte { return wire.AppendErr(nil, 1, 1317, "70100", "stopped") }), `ERR 1317 "stopped"`},
		{"closed", "point", spoil(func([]byte) []byte { return nil }), "closed"},
		{"a byte of a large result", "bulk", change(func(a []byte) int { return 7000 }), "wrong answer"},
		{"a row too few", "bulk", spoil(func(a []byte) []byte { return append(a[:300:300], a[400:]...) }), "wrong answer"},
		{"a large result cut short", "bulk", spoil(func(a []byte) []byte { return a[:5000] }), "no answer"},
		{"login refused", "point", script{caps: caps, verdict: func() []byte { return wire.AppendErr(nil, 2, 1045, "28000", "denied") }}, `ERR 1045 "denied"`},
		{"unknown plugin", "point", script{caps: caps, verdict: func() []byte { return wire.AppendPacket(nil, 2, []byte("\xfeparsec\x00salt")) }}, "parsec"},
		{"answer before the request", "idle", script{caps: caps, verdict: func() []byte {
			return append(wire.AppendOK(nil, 2, 2), right(caps, []byte("\x03SELECT 000000001"))...)
		}}, "bytes behind"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := optionsFor(tt.server.start(t), tt.mode)
			o.answers = 1 << 40 // until all connections have gone wrong
			if tt.message == "no answer" {
				// It is a time-out that is to end it, and not that of the logins.
				o.answers, o.timeout = 5, time.Second
			}
			r := mustRun(t, o)
			for tt.message == "no answer" && strings.Contains(strings.Join(r.FirstErrors, "\n"), "not logged in") {
				o.timeout *= 2
				r = mustRun(t, o)
			}
			if r.Errors == 0 || !strings.Contains(strings.Join(r.FirstErrors, "\n"), tt.message) {
				t.Errorf("%d errors, %q; want %q", r.Errors, r.FirstErrors, tt.message)
			}
		})
	}
}

func TestNobodyListening(t *testing.T) {
	l := enginetest.Listen(t)
	l.Close()
	if r := runAgainst(t, l.Addr().String(), "point"); r.Errors != 2 {
		t.Errorf("%d errors, want one for each of the 2 connections", r.Errors)
	}
}

func TestPasswordIsScrambled(t *testing.T) {
	// The reply as hashlib makes it: SHA1(p) ^ SHA1(salt + SHA1(SHA1(p))).
	got := fmt.Sprintf("%x", scramble("secret", []byte("abcdefghijklmnopqrst")))
	if want := "8817c50fa779daef010ee7577825b0847df9842e"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestHostileGreetings(t *testing.T) {
	whole := append([]byte{10}, "v\x00\x01\x00\x00\x00saltsalt\x00\xff\xff\x2d\x02\x00\xff\xff\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00saltsaltsalt\x00mysql_native_password\x00"...)
	g, err := parseGreeting(whole)
	if err != nil || g.plugin != wire.NativePassword || string(g.salt) != "saltsaltsaltsaltsalt" || g.caps != 0xffffffff {
		t.Errorf("whole: %+v, %v", g, err)
	}
	for cut := range 3 + 4 + 8 + 1 + 2 + 1 + 2 + 2 + 1 + 10 + 12 {
		if _, err := parseGreeting(whole[:cut]); err == nil {
			t.Errorf("a greeting of %d bytes is accepted", cut)
		}
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	for d := range time.Duration(100_000) {
		h.add(d)
	}
	for _, q := range []float64{.01, .5, .99, 1} {
		want := q * 100_000
		if got := float64(h.quantile(q)); got < want-2 || got > want*(1+1./64)+2 {
			t.Errorf("quantile %v is %v, want about %v", q, got, want)
		}
	}
	for d := time.Duration(0); d < 1<<58; d = d*5/4 + 1 {
		b := bucket(d)
		if top := bucketTop(b); top < d || b > 0 && bucketTop(b-1) >= d {
			t.Errorf("%d is in bucket %d, which ends at %d", d, b, top)
		}
	}
	if new(histogram).quantile(.5) != 0 {
		t.Error("quantile of nothing is not 0")
	}
}
