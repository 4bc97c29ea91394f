package packet

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A conversation is what a client (C) and a server (S) said on one connection.
// The files in testdata hold such, a packet a line; their head line says whose.
type conversation struct {
	name    string
	packets []said
}

type said struct {
	from byte // 'C' or 'S'
	pkt  Packet
}

func conversations(t testing.TB) []conversation {
	t.Helper()
	names, err := filepath.Glob("testdata/*.hex")
	if err != nil || len(names) == 0 {
		t.Fatalf("testdata/*.hex: %d files, %v", len(names), err)
	}
	var all []conversation
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		c := conversation{name: strings.TrimSuffix(filepath.Base(name), ".hex")}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			line := lines.Text()
			if strings.HasPrefix(line, "#") {
				continue
			}
			from, bytes, _ := strings.Cut(line, " ")
			pkt, err := hex.DecodeString(bytes)
			if err != nil || len(pkt) < HeaderLen || len(pkt) != HeaderLen+payloadLen(pkt) {
				t.Fatalf("%s: not a packet: %q", name, line)
			}
			c.packets = append(c.packets, said{from[0], pkt})
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
		f.Close()
		all = append(all, c)
	}
	return all
}

// result is one result with rows, as the captures have it.
type result struct {
	columns []Column
	rows    [][]string // as text; "NULL" is NULL
	end     OK
}

// follower follows a conversation and checks, of every packet, that it parses and
// that Append gives back the very bytes that were captured.
type follower struct {
	t      *testing.T
	left   []said
	caps   Capability
	text   []result
	binary []result
	oks    []OK
	errs   []ERR
	counts struct{ progress, defaults, switches, extended int }
}

func (r *follower) next(from byte) []byte {
	r.t.Helper()
	if len(r.left) == 0 || r.left[0].from != from {
		r.t.Fatalf("%d packets left, want one from %c", len(r.left), from)
	}
	p := r.left[0].pkt.Payload()
	r.left = r.left[1:]
	return p
}

func (r *follower) same(what string, got, want []byte) {
	r.t.Helper()
	if !bytes.Equal(got, want) {
		r.t.Errorf("%s:\n got %x\nwant %x", what, got, want)
	}
}

func must[T any](t *testing.T, payload []byte) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatalf("%T of %x: %v", v, payload, err)
		}
		return v
	}
}

// login follows the connection phase and returns its two packets.
func (r *follower) login() (g Greeting, l Login) {
	p := r.next('S')
	g = must[Greeting](r.t, p)(ParseGreeting(p))
	r.same("greeting", g.Append(nil), p)
	p = r.next('C')
	l = must[Login](r.t, p)(ParseLogin(p, g.Capabilities))
	r.same("login", l.Append(nil, g.Capabilities), p)
	r.caps = Effective(g.Capabilities, l.Capabilities)
	r.ok(r.next('S'))
	return g, l
}

func (r *follower) ok(p []byte) OK {
	r.t.Helper()
	o := must[OK](r.t, p)(ParseOK(p, r.caps))
	if p[0] == headOK {
		r.same("OK", o.Append(nil, r.caps), p)
	} else {
		r.same("OK at the end of rows", o.AppendEnd(nil, r.caps), p)
	}
	r.oks = append(r.oks, o)
	return o
}

func (r *follower) err(p []byte) {
	r.t.Helper()
	e := must[ERR](r.t, p)(ParseERR(p, r.caps))
	r.same("ERR", e.Append(nil), p)
	r.errs = append(r.errs, e)
}

func (r *follower) eof() {
	r.t.Helper()
	if r.caps&CapDeprecateEOF != 0 {
		return
	}
	p := r.next('S')
	e := must[EOF](r.t, p)(ParseEOF(p))
	r.same("EOF", AppendEOF(nil, e.Warnings, e.Status), p)
}

func (r *follower) column(p []byte) Column {
	r.t.Helper()
	c := must[Column](r.t, p)(ParseColumn(p, r.caps))
	r.same("column", c.Append(nil, r.caps), p)
	if string(c.Catalog) != "def" {
		r.t.Errorf("catalog %q, want def", c.Catalog)
	}
	if len(c.Extended) > 0 {
		r.counts.extended++
	}
	return c
}

// commands follows the command phase to its end.
func (r *follower) commands() {
	var prepared []Column
	for len(r.left) > 0 {
		p := r.next('C')
		switch cmd := Command(p[0]); cmd {
		case ComQuit, ComStmtClose:
		case ComQuery, ComStmtExecute:
			r.results(cmd == ComStmtExecute, prepared)
		case ComStmtPrepare:
			prepared = r.prepare()
		case ComFieldList:
			for p = r.next('S'); !IsEnd(p, r.caps); p = r.next('S') {
				if c := r.column(p); c.HasDefault {
					r.counts.defaults++
				}
			}
		case ComChangeUser:
			r.changeUser(p)
		default: // COM_PING, COM_SET_OPTION and other commands with one packet
			if p = r.next('S'); p[0] == headEOF && r.caps&CapDeprecateEOF == 0 {
				must[EOF](r.t, p)(ParseEOF(p))
			} else {
				r.ok(p)
			}
		}
	}
}

func (r *follower) prepare() (columns []Column) {
	p := r.next('S')
	ok := must[PrepareOK](r.t, p)(ParsePrepareOK(p, r.caps))
	r.same("COM_STMT_PREPARE_OK", ok.Append(nil, r.caps), p)
	if ok.Params > 0 {
		for range ok.Params {
			r.column(r.next('S'))
		}
		r.eof()
	}
	if ok.Columns > 0 {
		for range ok.Columns {
			columns = append(columns, r.column(r.next('S')))
		}
		r.eof()
	}
	return columns
}

func (r *follower) changeUser(p []byte) {
	u := must[ChangeUser](r.t, p)(ParseChangeUser(p, r.caps))
	r.same("COM_CHANGE_USER", u.Append(nil, r.caps), p)
	p = r.next('S')
	a := must[AuthSwitch](r.t, p)(ParseAuthSwitch(p))
	r.same("AuthSwitch", a.Append(nil), p)
	r.counts.switches++
	// MariaDB asks again for the response it has just got.
	r.same("response to the switch", r.next('C'), u.AuthResponse)
	if p = r.next('S'); p[0] == headERR {
		r.err(p)
	} else {
		r.ok(p)
	}
}

func (r *follower) results(isBinary bool, prepared []Column) {
	for {
		p := r.next('S')
		switch {
		case IsProgress(p, r.caps):
			g := must[Progress](r.t, p)(ParseProgress(p))
			r.same("progress", g.Append(nil), p)
			r.counts.progress++
			continue
		case p[0] == headERR:
			r.err(p)
			return
		case p[0] == headOK:
			if r.ok(p).Status&StatusMoreResults == 0 {
				return
			}
			continue
		}
		n, follow, err := ParseColumnCount(p, r.caps)
		if err != nil {
			r.t.Fatalf("column count %x: %v", p, err)
		}
		res := result{columns: prepared}
		if follow {
			res.columns = nil
			for range n {
				res.columns = append(res.columns, r.column(r.next('S')))
			}
			r.same("column count", AppendColumnCount(nil, n, r.caps), p)
		}
		r.eof()
		for p = r.next('S'); !IsEnd(p, r.caps); p = r.next('S') {
			row := r.textRow
			if isBinary {
				row = r.binaryRow
			}
			res.rows = append(res.rows, row(p, res.columns))
		}
		res.end = must[OK](r.t, p)(ParseEnd(p, r.caps))
		if r.caps&CapDeprecateEOF != 0 {
			r.ok(p)
		}
		if isBinary {
			r.binary = append(r.binary, res)
		} else {
			r.text = append(r.text, res)
		}
		if res.end.Status&StatusMoreResults == 0 {
			return
		}
	}
}

func (r *follower) textRow(p []byte, columns []Column) (row []string) {
	var again []byte
	rest := p
	for range columns {
		var v []byte
		var err error
		if v, rest, err = TextValue(rest); err != nil {
			r.t.Fatalf("text row %x: %v", p, err)
		}
		again = AppendTextValue(again, v)
		if v == nil {
			row = append(row, "NULL")
		} else {
			row = append(row, string(v))
		}
	}
	if len(rest) > 0 {
		r.t.Errorf("text row %x: %d bytes behind the last value", p, len(rest))
	}
	r.same("text row", again, p)
	return row
}

func (r *follower) binaryRow(p []byte, columns []Column) (row []string) {
	b := must[BinaryRow](r.t, p)(ParseBinaryRow(p, len(columns)))
	for i := range columns {
		v, err := b.Next(&columns[i])
		if err != nil {
			r.t.Fatalf("binary row %x, column %s %v: %v", p, columns[i].Name, columns[i].Type, err)
		}
		if v.Kind == ValueNull {
			row = append(row, "NULL")
		} else {
			row = append(row, string(v.AppendText(nil, &columns[i])))
		}
	}
	if len(b.Rest()) > 0 {
		r.t.Errorf("binary row %x: %d bytes behind the last value", p, len(b.Rest()))
	}
	return row
}
