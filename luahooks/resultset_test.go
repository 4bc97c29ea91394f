package luahooks

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"
	"time"

	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

const session41 = packet.CapProtocol41 | packet.CapSecureConnection

// stream is the packets of a response, from sequence id 1.
func stream(payloads ...[]byte) []byte {
	var b []byte
	for i, p := range payloads {
		b = packet.AppendPacket(b, byte(i+1), p)
	}
	return b
}

func column(name string, kind packet.ColumnType, flags uint16) []byte {
	c := packet.Column{
		Catalog: []byte("def"), Schema: []byte("db"), Table: []byte("t"), OrgTable: []byte("table1"),
		Name: []byte(name), OrgName: []byte("org_" + name), Collation: 33, Length: 20, Type: kind, Flags: flags,
		Decimals: packet.NoDecimals,
	}
	return c.Append(nil, session41)
}

// textRow makes a row; "NULL" is NULL.
func textRow(values ...string) []byte {
	row := []byte{}
	for _, v := range values {
		if v == "NULL" {
			row = packet.AppendTextValue(row, nil)
		} else {
			row = packet.AppendTextValue(row, []byte(v))
		}
	}
	return row
}

// twoRows is a response with columns id and name.
func twoRows(caps packet.Capability) []byte {
	list := [][]byte{
		{2}, column("id", packet.TypeLong, 0), column("name", packet.TypeVarString, 0),
	}
	end := packet.OK{Status: packet.StatusInTrans, Warnings: 2}
	if caps&packet.CapDeprecateEOF == 0 {
		list = append(list, packet.AppendEOF(nil, 0, 2))
	}
	list = append(list, textRow("1", "NULL"), textRow("NULL", "b\x00"), end.AppendEnd(nil, caps))
	return stream(list...)
}

// result runs body as read_query_result and returns what it prints.
func result(t *testing.T, r hook.Result, body string) string {
	t.Helper()
	w := newWorld(t, "function read_query_result(inj)\nlocal res = inj.resultset\n"+body+"\nend", nil)
	s, _ := w.open()
	queued := time.Now()
	s.ReadQueryResult(&hook.Injection{
		ID: 12, Query: "\x03SELECT\x00", ResultNeeded: true, Result: r,
		Queued: queued, First: queued.Add(1500 * time.Microsecond), Last: queued.Add(2 * time.Second),
	})
	out := w.stdout.String()
	for _, line := range w.log.all() {
		out += "LOG " + line + "\n"
	}
	return out
}

const printRows = `
	for row in res.rows do print(#res.fields, tostring(row[1]), tostring(row[2])) end
	print("end")`

func TestInjection(t *testing.T) {
	got := result(t, hook.Result{OK: true}, `
		print(inj.id, inj.type, inj.query == "\003SELECT\0", inj.query_time, inj.response_time)
		print(inj.resultset == inj.resultset, inj.nothing)`)
	want := "12\t12\ttrue\t1500\t2000000\nfalse\tnil\nLOG " + levelMessage.String() + " inj.nothing does not exist\n"
	if got != want {
		t.Errorf("prints %q, want %q", got, want)
	}
}

func TestInjectionWithoutResponseHasNoTimes(t *testing.T) {
	w := newWorld(t, "function read_query_result(inj) print(inj.query_time, inj.response_time) end", nil)
	s, _ := w.open()
	s.ReadQueryResult(&hook.Injection{Queued: time.Now()})
	if got := w.stdout.String(); got != "0\t0\n" {
		t.Errorf("prints %q", got)
	}
}

func TestInjectionIsGoneBehindItsHook(t *testing.T) {
	w := newWorld(t, `
		function read_query_result(inj) kept, res = inj, inj.resultset end
		function read_query() print(pcall(function() return kept.id end)) print(res.row_count) end`, nil)
	s, _ := w.open()
	s.ReadQueryResult(&hook.Injection{ID: 1, Result: hook.Result{Rows: 3}})
	s.ReadQuery(nil)
	contains(t, "later", w.stdout.String(), "false", "during read_query_result only", "\n3\n")
}

func TestRows(t *testing.T) {
	const want = "2\t1\tnil\n2\tnil\tb\x00\nend\n"
	for name, caps := range map[string]packet.Capability{
		"EOF": session41, "OK for EOF": session41 | packet.CapDeprecateEOF,
		"progress reports": session41 | packet.CapMariaDBProgress,
	} {
		packets := twoRows(caps)
		if caps&packet.CapMariaDBProgress != 0 {
			p := packet.Progress{Stage: 1, MaxStage: 2, Info: []byte("half")}
			report := stream(p.Append(nil))
			packets = append(append([]byte{}, report...), packets...)
		}
		if got := result(t, hook.Result{Packets: packets, Command: packet.ComQuery, Capabilities: caps}, printRows); got != want {
			t.Errorf("%s: prints %q, want %q", name, got, want)
		}
	}
}

func TestOnlyTheFirstResultIsSeen(t *testing.T) {
	packets := append(twoRows(session41), twoRows(session41)...)
	got := result(t, hook.Result{Packets: packets, Command: packet.ComQuery, Capabilities: session41}, `
		local it, n = res.rows, 0
		while it() do n = n + 1 end
		print(n, it(), it("any", "argument"))`)
	if got != "2\tnil\n" { // nothing, which is nil in the middle of a list
		t.Errorf("prints %q", got)
	}
}

func TestIteratorsOfAResultsetShareTheirPlace(t *testing.T) {
	got := result(t, hook.Result{Packets: twoRows(session41), Command: packet.ComQuery, Capabilities: session41}, `
		local a = res.rows
		local b = res.rows
		print(a()[1], b()[2] ~= nil)
		print(res.rows()[1])
		print(inj.resultset.rows()[1])`)
	if got != "1\ttrue\n1\n1\n" {
		t.Errorf("prints %q", got)
	}
}

func TestFields(t *testing.T) {
	got := result(t, hook.Result{Packets: twoRows(session41), Command: packet.ComQuery, Capabilities: session41}, `
		local f = res.fields
		print(#f, f[0], f[3], f.name, f[1.5] ~= nil)
		print(f[2].name, f[2].type, f[2].table, f[2].org_table, f[2].org_name, f[2].db, f[2].length)
		print(res.raw == "\002", res.anything)
		print(pcall(ipairs, f))`)
	contains(t, "fields", got, "2\tnil\tnil\tnil\ttrue\n", "name\t253\tt\ttable1\torg_name\tnil\tnil\n", "true\tnil\n", "false\t")
}

func TestResponsesWithoutRows(t *testing.T) {
	ok := packet.OK{AffectedRows: 3, LastInsertID: 9, Status: 2}
	for name, r := range map[string]hook.Result{
		"OK":                 {Packets: stream(ok.Append(nil, session41)), OK: true},
		"ERR":                {Packets: stream(packet.AppendERR(nil, 1064, "42000", "syntax")), Failed: true},
		"request for a file": {Packets: stream([]byte("\xfb/etc/passwd")), Upload: true},
	} {
		r.Command, r.Capabilities = packet.ComQuery, session41
		got := result(t, r, `print(#res.fields, res.fields[1], res.rows, #res.raw > 5)
			print(pcall(function() for row in res.rows do end end))`)
		contains(t, name, got, "0\tnil\tnil\ttrue\nfalse\t", "attempt to call")
	}
}

func TestNumbersOfAResult(t *testing.T) {
	const body = `print(res.row_count, res.bytes, res.affected_rows, res.insert_id, res.warning_count, res.query_status)
		local f = res.flags
		print(f.in_trans, f.auto_commit, f.no_good_index_used, f.no_index_used)`
	for _, tc := range []struct {
		name string
		r    hook.Result
		want string
	}{
		{"OK", hook.Result{OK: true, AffectedRows: 3, InsertID: 9, Warnings: 1, Status: 3},
			"0\t0\t3\t9\t1\t0\ntrue\ttrue\tfalse\tfalse\n"},
		{"rows", hook.Result{Rows: 2, RowBytes: 11, Status: 48}, "2\t11\tnil\tnil\t0\t0\nfalse\tfalse\ttrue\ttrue\n"},
		{"ERR", hook.Result{Failed: true}, "0\t0\t0\t0\t0\t255\nfalse\tfalse\tfalse\tfalse\n"},
		{"request for a file", hook.Result{Upload: true}, "0\t0\t0\t0\t0\tnil\nfalse\tfalse\tfalse\tfalse\n"},
		{"other command", hook.Result{Command: packet.ComStatistics}, "0\t0\t0\t0\t0\t0\nfalse\tfalse\tfalse\tfalse\n"},
		{"other command that fails", hook.Result{Command: packet.ComInitDB, Failed: true}, "0\t0\t0\t0\t0\t255\nfalse\tfalse\tfalse\tfalse\n"},
	} {
		if tc.r.Command == 0 {
			tc.r.Command = packet.ComQuery
		}
		if got := result(t, tc.r, body); got != tc.want {
			t.Errorf("%s: prints %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestForwardedResultHasNoRows(t *testing.T) {
	for _, field := range []string{"fields", "rows", "raw"} {
		got := result(t, hook.Result{Rows: 1, Command: packet.ComQuery}, `print(pcall(function() return res.`+field+` end))`)
		contains(t, field, got, "false\t", "."+field+" isn't available if 'resultset_is_needed ~= true'")
	}
}

func TestBinaryRowsAreText(t *testing.T) {
	row := []byte{0, 0x10} // header; the third value, bit 2+2, is NULL
	row = binary.LittleEndian.AppendUint32(row, math.MaxUint32)
	row = binary.LittleEndian.AppendUint32(row, math.MaxUint32)
	row = packet.AppendLenEncString(row, "text\x00")
	packets := stream([]byte{4}, column("a", packet.TypeLong, 0), column("b", packet.TypeLong, packet.ColumnUnsigned),
		column("c", packet.TypeLong, 0), column("d", packet.TypeVarString, 0), packet.AppendEOF(nil, 0, 2), row,
		packet.AppendEOF(nil, 0, 2))
	got := result(t, hook.Result{Packets: packets, Command: packet.ComStmtExecute, Capabilities: session41},
		`for row in res.rows do print(row[1], row[2], row[3], row[4] == "text\0") end`)
	if got != "-1\t4294967295\tnil\ttrue\n" {
		t.Errorf("prints %q", got)
	}
}

func TestCursorHasNoRowsYet(t *testing.T) {
	for _, caps := range []packet.Capability{session41, session41 | packet.CapDeprecateEOF} {
		end := packet.OK{Status: packet.StatusCursorExists}
		packets := stream([]byte{1}, column("a", packet.TypeLong, 0), end.AppendEnd(nil, caps))
		got := result(t, hook.Result{Packets: packets, Command: packet.ComStmtExecute, Capabilities: caps}, `print(#res.fields, res.rows())`)
		if got != "1\n" {
			t.Errorf("%v: prints %q", caps, got)
		}
	}
}

func TestFieldListHasFields(t *testing.T) {
	packets := stream(column("a", packet.TypeLong, 0), column("b", packet.TypeLong, 0), packet.AppendEOF(nil, 0, 2))
	got := result(t, hook.Result{Packets: packets, Command: packet.ComFieldList, Capabilities: session41},
		`print(#res.fields, res.fields[2].name, res.rows())`)
	if got != "2\tb\n" {
		t.Errorf("prints %q", got)
	}
}

func TestPayloadOfSeveralPacketsIsJoined(t *testing.T) {
	big := strings.Repeat("x", packet.MaxPayload)
	packets := stream([]byte{1}, column("a", packet.TypeBlob, 0), packet.AppendEOF(nil, 0, 2))
	packets = packet.AppendPacket(packets, 4, textRow(big))
	packets = packet.AppendPacket(packets, 6, packet.AppendEOF(nil, 0, 2))
	got := result(t, hook.Result{Packets: packets, Command: packet.ComQuery, Capabilities: session41},
		`local it = res.rows print(#it()[1], it() == nil)`)
	if got != "16777215\ttrue\n" {
		t.Errorf("prints %q", got)
	}
}

func TestErrorEndsTheRows(t *testing.T) {
	packets := stream([]byte{1}, column("a", packet.TypeLong, 0), packet.AppendEOF(nil, 0, 2), textRow("1"),
		packet.AppendERR(nil, 1317, "70100", "interrupted"))
	got := result(t, hook.Result{Packets: packets, Command: packet.ComQuery, Capabilities: session41, Failed: true},
		`local n = 0 for row in res.rows do n = n + 1 end print(n, res.query_status)`)
	if got != "1\t255\n" {
		t.Errorf("prints %q", got)
	}
}

// TestTornResponses cuts a response at every byte: a script may see less, or an
// error, but nothing else happens.
func TestTornResponses(t *testing.T) {
	w := newWorld(t, `
		function read_query_result(inj)
			local res = inj.resultset
			print(pcall(function() for row in res.rows do local a = row[1] end return #res.fields, #res.raw end))
		end`, nil)
	s, _ := w.open()
	for _, command := range []packet.Command{packet.ComQuery, packet.ComStmtExecute, packet.ComFieldList} {
		whole := twoRows(session41)
		for cut := range len(whole) + 1 {
			s.ReadQueryResult(&hook.Injection{ResultNeeded: true, Result: hook.Result{
				Packets: whole[:cut:cut], Command: command, Capabilities: session41,
			}})
		}
	}
	if n := strings.Count(w.stdout.String(), "\n"); n != 3*(len(twoRows(session41))+1) {
		t.Errorf("%d lines", n)
	}
	if got := w.log.all(); got != nil {
		t.Errorf("logs %q", got[0])
	}
}

func TestMalformedRowsRaiseAnError(t *testing.T) {
	head := [][]byte{{1}, column("a", packet.TypeLong, 0), packet.AppendEOF(nil, 0, 2)}
	for name, row := range map[string][]byte{
		"too long":                 {200, 'x'},
		"two values in one column": textRow("1", "2"),
	} {
		got := result(t, hook.Result{Packets: stream(append(head, row)...), Command: packet.ComQuery, Capabilities: session41},
			`print(pcall(res.rows))`)
		contains(t, name, got, "false\t", "a row of the result is malformed")
	}
	// a count that no response could have
	got := result(t, hook.Result{Packets: stream(packet.AppendLenEnc(nil, 1<<20)), Command: packet.ComQuery, Capabilities: session41},
		`print(pcall(function() return res.fields end))`)
	contains(t, "count", got, "false\t", "malformed")
}

// FuzzResultset feeds bytes as a response to what a script can do with it.
func FuzzResultset(f *testing.F) {
	f.Add(twoRows(session41), byte(packet.ComQuery), uint64(session41))
	f.Add(twoRows(session41|packet.CapDeprecateEOF), byte(packet.ComStmtExecute), uint64(session41|packet.CapDeprecateEOF))
	f.Add(stream([]byte{1, 1}, []byte{}), byte(packet.ComFieldList), uint64(session41|packet.CapOptionalMetadata))
	w := newWorld(f, `
		function read_query_result(inj)
			local res = inj.resultset
			pcall(function()
				local n = #res.raw + #res.fields
				for i = 1, #res.fields do n = n + #res.fields[i].name end
				for row in res.rows do for i = 1, #res.fields do n = n + #(row[i] or "") end end
			end)
		end`, nil)
	s, _ := w.open()
	f.Fuzz(func(t *testing.T, packets []byte, command byte, caps uint64) {
		s.ReadQueryResult(&hook.Injection{ResultNeeded: true, Result: hook.Result{
			Packets: packets, Command: packet.Command(command), Capabilities: packet.Capability(caps),
		}})
		if got := w.log.all(); got != nil { // all that can fail is within the pcall
			t.Errorf("logs %q", got)
		}
	})
}
