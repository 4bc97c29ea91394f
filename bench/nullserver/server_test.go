package main

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	_ "github.com/go-sql-driver/mysql"

	"mysqlproxy/bench/wire"
	"mysqlproxy/engine/enginetest"
)

// start runs a null server for the length of the test.
func start(t *testing.T) string {
	t.Helper()
	s, err := newServer()
	if err != nil {
		t.Fatal(err)
	}
	addr, err := s.listen(netip.MustParseAddrPort(enginetest.FreeAddr(t)))
	if err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	s.stopped = stop.Load
	done := make(chan error)
	go func() { done <- s.serve() }()
	t.Cleanup(func() {
		stop.Store(true)
		if c, err := net.Dial("tcp", addr.String()); err == nil { // wakes it
			c.Close()
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return addr.String()
}

// raw is a client that writes and reads packets itself.
type raw struct {
	t *testing.T
	net.Conn
}

func dial(t *testing.T, addr string, caps uint32) raw {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	r := raw{t, c}
	if p := r.packet(0); p[0] != 10 {
		t.Fatalf("greeting begins with %d, want 10", p[0])
	}
	login := make([]byte, 32)
	binary.LittleEndian.PutUint32(login, caps|wire.CapProtocol41|wire.CapSecureConnection)
	r.write(wire.AppendPacket(nil, 1, append(login, "someone\x00\x00"...)))
	if p := r.packet(2); p[0] != 0 {
		t.Fatalf("login is answered with % x", p)
	}
	return r
}

func (r raw) write(b []byte) {
	r.t.Helper()
	if _, err := r.Write(b); err != nil {
		r.t.Fatal(err)
	}
}

func (r raw) read(n int) []byte {
	r.t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		r.t.Fatal(err)
	}
	return b
}

func (r raw) packet(seq byte) []byte {
	r.t.Helper()
	h := r.read(wire.HeaderLen)
	if h[3] != seq {
		r.t.Fatalf("sequence id %d, want %d", h[3], seq)
	}
	return r.read(wire.PayloadLen(h))
}

func query(text string) []byte {
	return wire.AppendPacket(nil, 0, append([]byte{wire.ComQuery}, text...))
}

func TestGoSQLDriverGetsTheRow(t *testing.T) {
	db, err := sql.Open("mysql", "user:secret@tcp("+start(t)+")/sbtest")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var got string
	if err := db.QueryRow("SELECT c FROM sbtest1 WHERE id = 000004711").Scan(&got); err != nil || got != "000004711"+wire.CannedSuffix {
		t.Errorf("text: %q, %v", got, err)
	}
	if err := db.QueryRow("SELECT c FROM sbtest1 WHERE id = ?", "000000815").Scan(&got); err != nil || got != "000000815"+wire.CannedSuffix {
		t.Errorf("prepared: %q, %v", got, err)
	}
	if err := db.QueryRow("SELECT 1").Scan(&got); err != nil || got != wire.Canned {
		t.Errorf("no digits: %q, %v", got, err)
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.QueryRow("SELECT 1").Scan(&got); err != nil || got != wire.Canned {
		t.Errorf("in a transaction: %q, %v", got, err)
	}
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
	if err := db.Ping(); err != nil {
		t.Error(err)
	}
	rows, err := db.Query("bulk 1000000 1000")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for rows.Next() {
		var b sql.RawBytes
		if err := rows.Scan(&b); err != nil {
			t.Fatal(err)
		}
		if len(b) != 1000-wire.HeaderLen-3 {
			t.Fatalf("row of %d bytes", len(b))
		}
		n++
	}
	if rows.Err() != nil || n != 1000 {
		t.Errorf("bulk: %d rows, %v; want 1000", n, rows.Err())
	}
}

func TestAnswersWithoutDeprecateEOF(t *testing.T) {
	r := dial(t, start(t), 0)
	r.write(query("SELECT 000000001"))
	want := wire.AppendTextResult(nil, 1, 0, wire.StatusAutocommit, "000000001"+wire.CannedSuffix)
	if got := r.read(len(want)); !bytes.Equal(got, want) {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
	r.write(query("BEGIN"))
	r.packet(1)
	r.write(query("SELECT 000000002"))
	want = wire.AppendTextResult(nil, 1, 0, wire.StatusAutocommit|wire.StatusInTrans, "000000002"+wire.CannedSuffix)
	if got := r.read(len(want)); !bytes.Equal(got, want) {
		t.Errorf("in a transaction: got\n%q, want\n%q", got, want)
	}
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	r := dial(t, start(t), wire.CapDeprecateEOF)
	var ask, want []byte
	for i := range uint32(20000) { // answers of 2 MB, more than one burst
		ask = append(ask, query("SELECT "+string(wire.AppendDigits(nil, i)))...)
		want = wire.AppendTextResult(want, 1, wire.CapDeprecateEOF, wire.StatusAutocommit, string(wire.AppendDigits(nil, i))+wire.CannedSuffix)
	}
	sent := make(chan error)
	go func() { _, err := r.Conn.Write(ask); sent <- err }()
	if got := r.read(len(want)); !bytes.Equal(got, want) {
		t.Error("the answers differ from what was asked")
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestTornRequestsAreAnswered(t *testing.T) {
	r := dial(t, start(t), wire.CapDeprecateEOF)
	ask := query("SELECT 000000042")
	want := wire.AppendTextResult(nil, 1, wire.CapDeprecateEOF, wire.StatusAutocommit, "000000042"+wire.CannedSuffix)
	for cut := 1; cut < len(ask); cut++ {
		r.write(ask[:cut])
		r.write(ask[cut:])
		if got := r.read(len(want)); !bytes.Equal(got, want) {
			t.Fatalf("cut at %d: %q", cut, got)
		}
	}
}

func TestRequestBehindBulkWaitsForIt(t *testing.T) {
	r := dial(t, start(t), 0)
	const row, total = 1021, 20 << 20
	r.write(append(query(fmt.Sprintf("bulk %d %d", total, row)), query("SELECT 000000007")...))
	rows, err := wire.NewRows(row)
	if err != nil {
		t.Fatal(err)
	}
	head, first := wire.AppendResultHead(nil, 1, 0, wire.StatusAutocommit)
	if got := r.read(len(head)); !bytes.Equal(got, head) {
		t.Fatalf("head is %q", got)
	}
	at := rows.Start(first)
	for i := range rows.Count(total) {
		if got := r.read(row); !bytes.Equal(got, rows.Cycle[at:at+row]) {
			t.Fatalf("row %d differs", i)
		}
		at = (at + row) % len(rows.Cycle)
	}
	want := wire.AppendEOF(nil, rows.Tail(first, rows.Count(total)), 0, wire.StatusAutocommit)
	want = wire.AppendTextResult(want, 1, 0, wire.StatusAutocommit, "000000007"+wire.CannedSuffix)
	if got := r.read(len(want)); !bytes.Equal(got, want) {
		t.Errorf("behind the rows: %q, want %q", got, want)
	}
}

func TestHostileRequestsAreRefused(t *testing.T) {
	long := wire.AppendHeader(nil, readSize, 0)
	for _, tt := range []struct {
		name string
		send []byte
		seq  byte
		code uint16
	}{
		{"sequence id not 0", wire.AppendPacket(nil, 3, []byte{wire.ComPing}), 0, 1156},
		{"longer than the buffer", long, 1, 1153},
		{"empty", wire.AppendPacket(nil, 0, nil), 1, 1047},
		{"unknown command", wire.AppendPacket(nil, 0, []byte{0x77}), 1, 1047},
		{"bulk without number", query("bulk x"), 1, 1064},
		{"bulk with negative row", query("bulk 10 -5"), 1, 1064},
		{"execute cut short", wire.AppendPacket(nil, 0, []byte{wire.ComStmtExecute, 1}), 1, 1835},
		{"execute of nothing", wire.AppendPacket(nil, 0, append([]byte{wire.ComStmtExecute, 9}, make([]byte, 20)...)), 1, 1243},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := dial(t, start(t), 0)
			r.write(tt.send)
			p := r.packet(tt.seq)
			if p[0] != 0xff || binary.LittleEndian.Uint16(p[1:]) != tt.code {
				t.Errorf("answer is %q, want ERR %d", p, tt.code)
			}
		})
	}
}

func TestCountsAreByListener(t *testing.T) {
	r := dial(t, start(t), wire.CapDeprecateEOF)
	for range 3 {
		r.write(wire.AppendPacket(nil, 0, []byte{wire.ComPing}))
		r.packet(1)
	}
	r.write(query("nullserver counts"))
	want := wire.AppendTextResult(nil, 1, wire.CapDeprecateEOF, wire.StatusAutocommit, "4")
	if got := r.read(len(want)); !bytes.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestProbesFindItWell(t *testing.T) {
	db, err := sql.Open("mysql", "user:secret@tcp("+start(t)+")/")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(asksVariables + "'wsrep_on')")
	if err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{}
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			t.Fatal(err)
		}
		vars[name] = value
	}
	if rows.Err() != nil || vars["read_only"] != "OFF" || vars["version"] != version {
		t.Errorf("the variables are %v (%v)", vars, rows.Err())
	}
	var value string
	if err := db.QueryRow(asksReadOnly).Scan(&value); err != nil || value != "0" {
		t.Errorf("read_only is %q (%v)", value, err)
	}
}

func TestStatementsWithoutRows(t *testing.T) {
	c := &conn{status: wire.StatusAutocommit}
	for text, want := range map[string]bool{
		"SET NAMES utf8mb4": true, "set autocommit=1": true, "COMMIT": true, "INSERT INTO t": true, "USE x": true,
		"SELECT 1": false, "select 1": false, "SHOW TABLES": false, "bulk 5": false, "": false, "s": false, "sel": false, "se": false,
		strings.Repeat("x", 50): false,
	} {
		if got := withoutRows(c, []byte(text)); got != want {
			t.Errorf("withoutRows(%q) = %v, want %v", text, got, want)
		}
	}
}

func TestWritesBringGTIDsToThoseThatTrackThem(t *testing.T) {
	addr := start(t)
	plain, tracks := dial(t, addr, 0), dial(t, addr, wire.CapSessionTrack)
	ok := wire.AppendOK(nil, 1, wire.StatusAutocommit)
	say := func(r raw, sql string, want []byte) {
		t.Helper()
		r.write(query(sql))
		if got := r.read(len(want)); !bytes.Equal(got, want) {
			t.Errorf("%s: got %x, want %x", sql, got, want)
		}
	}
	say(tracks, "UPDATE t SET a=1", ok)
	for _, r := range []raw{plain, tracks} {
		say(r, "SET SESSION session_track_system_variables=CONCAT(@@SESSION.session_track_system_variables,',last_gtid')", ok)
	}
	say(plain, "UPDATE t SET a=1", ok)
	say(tracks, "UPDATE t SET a=1", wire.AppendWriteOK(nil, 1, wire.StatusAutocommit, "0-1-1"))
	say(tracks, "insert into t values (1)", wire.AppendWriteOK(nil, 1, wire.StatusAutocommit, "0-1-2"))
	say(tracks, "SET a=1", ok)
	say(plain, "SELECT @@GLOBAL.log_bin", wire.AppendTextResult(nil, 1, 0, wire.StatusAutocommit, "1"))
	say(plain, "SELECT MASTER_GTID_WAIT('0-1-2',0.02)", wire.AppendTextResult(nil, 1, 0, wire.StatusAutocommit, "0"))
	tracks.write(wire.AppendPacket(nil, 0, []byte{wire.ComResetConnection}))
	tracks.read(len(ok))
	say(tracks, "DELETE FROM t", ok)
}
