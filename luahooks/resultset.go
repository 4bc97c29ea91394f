package luahooks

import (
	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"

	lua "github.com/yuin/gopher-lua"
)

// resultset is inj.resultset. It has its own hold on the packets and may be
// kept. It is decoded as far as the script looks at it.
type resultset struct {
	hook.Result
	object  lua.LUserData
	columns []packet.Column // borrow Packets
	bare    bool            // no result at all: OK, ERR, or a request for a file
	unnamed bool            // the column definitions have been left out
	rows    []byte          // Packets behind the column definitions
	decoded bool

	next []byte // what the iterator has not read yet
}

func (v *vm) resultsetIndex(l *lua.LState) int {
	r := self[*resultset](l)
	var value lua.LValue = lua.LNil
	switch name := key(l); name {
	case "fields":
		r.decode(l, name)
		value = v.object(v.class.fields, r)
	case "rows":
		r.decode(l, name)
		if !r.bare {
			r.next = r.rows
			value = l.NewFunction(r.row)
		}
	case "raw":
		r.collected(l, name)
		if payload, _, ok := cutPayload(r.Packets); ok {
			value = lua.LString(payload)
		}
	case "flags":
		value = r.flags(l)
	default:
		value, _ = r.value(name)
	}
	l.Push(value)
	return 1
}

// field is for the loop.
func (r *resultset) field(v *vm, ud *lua.LUserData, name string) (lua.LValue, bool) {
	if ud.Metatable != lua.LValue(v.class.resultset) {
		return nil, false
	}
	return r.value(name)
}

// value is a field that takes neither decoding nor a new object.
func (r *resultset) value(name string) (value lua.LValue, ok bool) {
	switch name {
	case "row_count":
		return lua.LNumber(r.Rows), true
	case "bytes":
		return lua.LNumber(r.RowBytes), true
	case "affected_rows":
		return r.count(r.AffectedRows), true
	case "insert_id":
		return r.count(r.InsertID), true
	case "warning_count":
		return intValue(int(r.Warnings)), true
	case "query_status":
		switch {
		case r.Upload:
			return lua.LNil, true
		case r.Failed:
			return intValue(packetERR), true
		}
		return intValue(packetOK), true
	}
	return lua.LNil, false
}

// count is one of an OK's numbers: nil if there were rows, 0 if there was
// neither.
func (r *resultset) count(n uint64) lua.LValue {
	switch {
	case r.OK:
		return lua.LNumber(n)
	case r.Failed || r.Upload || r.Command != packet.ComQuery && r.Command != packet.ComStmtExecute:
		return lua.LNumber(0)
	}
	return lua.LNil
}

// resultFlags are the fields of flags.
var resultFlags = [...]struct {
	name string
	bit  uint16
}{
	{"in_trans", packet.StatusInTrans},
	{"auto_commit", packet.StatusAutocommit},
	{"no_good_index_used", 0x10},
	{"no_index_used", 0x20},
}

func (r *resultset) flags(l *lua.LState) *lua.LTable {
	t := l.CreateTable(0, len(resultFlags))
	for _, f := range resultFlags {
		t.RawSetString(f.name, lua.LBool(r.Status&f.bit != 0))
	}
	return t
}

func (r *resultset) collected(l *lua.LState, field string) {
	if r.Packets == nil {
		l.RaiseError(".resultset.%s isn't available if 'resultset_is_needed ~= true'", field)
	}
}

// decode reads what stands before the rows.
func (r *resultset) decode(l *lua.LState, field string) {
	r.collected(l, field)
	if r.decoded {
		return
	}
	if err := r.parse(); err != nil {
		l.RaiseError(".resultset.%s: the response is malformed", field)
	}
	r.decoded = true
}

func (r *resultset) parse() error {
	r.columns, r.rows, r.bare = nil, nil, false
	first, rest, ok := r.cut(r.Packets)
	if !ok || len(first) == 0 {
		return packet.ErrMalformed
	}
	if r.Command == packet.ComFieldList && first[0] != headERR {
		_, err := r.definitions(r.Packets, -1)
		return err
	}
	switch first[0] {
	case headOK, headERR, headEOF, headFile:
		r.bare = true
		return nil
	}
	count, follow, err := packet.ParseColumnCount(first, r.Capabilities)
	if err != nil {
		return err
	}
	if !follow {
		r.rows, r.unnamed = rest, true
		return nil
	}
	if count > uint64(len(rest)) { // each has a header at least
		return packet.ErrMalformed
	}
	if rest, err = r.definitions(rest, int(count)); err != nil {
		return err
	}
	if r.Capabilities&packet.CapDeprecateEOF == 0 {
		end, behind, ok := r.cut(rest)
		if !ok || !packet.IsEnd(end, r.Capabilities) {
			return packet.ErrMalformed
		}
		rest = behind
	}
	r.rows = rest
	return nil
}

// First bytes of payloads.
const (
	headOK   = 0x00
	headFile = 0xfb
	headEOF  = 0xfe
	headERR  = 0xff
)

// definitions reads count column definitions, or all up to the end of the
// result if count is below 0.
func (r *resultset) definitions(b []byte, count int) (rest []byte, err error) {
	for ; count != 0; count-- {
		payload, behind, ok := r.cut(b)
		if !ok || len(payload) == 0 {
			return nil, packet.ErrMalformed
		}
		if count < 0 && packet.IsEnd(payload, r.Capabilities) {
			return behind, nil
		}
		c, err := packet.ParseColumn(payload, r.Capabilities)
		if err != nil {
			return nil, err
		}
		r.columns, b = append(r.columns, c), behind
	}
	return b, nil
}

// row is the iterator: a table of strings, nil where the value is NULL, or
// nothing at the end. Its arguments do not matter.
func (r *resultset) row(l *lua.LState) int {
	payload, rest, ok := r.cut(r.next)
	if !ok || len(payload) == 0 || payload[0] == headERR || packet.IsEnd(payload, r.Capabilities) {
		r.next = nil
		return 0
	}
	r.next = rest
	var t *lua.LTable
	var err error
	if r.Command == packet.ComStmtExecute {
		t, err = r.binaryRow(l, payload)
	} else {
		t, err = r.textRow(l, payload)
	}
	if err != nil {
		r.next = nil
		l.RaiseError("a row of the result is malformed")
	}
	l.Push(t)
	return 1
}

func (r *resultset) textRow(l *lua.LState, row []byte) (*lua.LTable, error) {
	t := l.CreateTable(len(r.columns), 0)
	n := 0
	for ; len(row) > 0; n++ {
		value, rest, err := packet.TextValue(row)
		if err != nil {
			return nil, err
		}
		if row = rest; value != nil {
			t.RawSetInt(n+1, lua.LString(value))
		}
	}
	if n != len(r.columns) && !r.unnamed {
		return nil, packet.ErrMalformed
	}
	return t, nil
}

func (r *resultset) binaryRow(l *lua.LState, payload []byte) (*lua.LTable, error) {
	row, err := packet.ParseBinaryRow(payload, len(r.columns))
	if err != nil {
		return nil, err
	}
	t := l.CreateTable(len(r.columns), 0)
	var text []byte
	for i := range r.columns {
		value, err := row.Next(&r.columns[i])
		if err != nil {
			return nil, err
		}
		if value.Kind != packet.ValueNull {
			text = value.AppendText(text[:0], &r.columns[i])
			t.RawSetInt(i+1, lua.LString(text))
		}
	}
	return t, nil
}

// cut cuts the first payload off b, progress reports left out.
func (r *resultset) cut(b []byte) (payload, rest []byte, ok bool) {
	for {
		payload, rest, ok = cutPayload(b)
		if !ok || !packet.IsProgress(payload, r.Capabilities) {
			return payload, rest, ok
		}
		b = rest
	}
}

// cutPayload cuts the first payload off b. One that came in several packets is
// joined, which copies it.
func cutPayload(b []byte) (payload, rest []byte, ok bool) {
	p, rest, ok := packet.Next(b)
	if !ok {
		return nil, b, false
	}
	payload = p.Payload()
	if len(payload) < packet.MaxPayload {
		return payload, rest, true
	}
	payload = append([]byte(nil), payload...)
	for {
		if p, rest, ok = packet.Next(rest); !ok {
			return nil, b, false
		}
		payload = append(payload, p.Payload()...)
		if p.PayloadLen() < packet.MaxPayload {
			return payload, rest, true
		}
	}
}

func (v *vm) fieldsIndex(l *lua.LState) int {
	r := self[*resultset](l)
	i, ok := intOf(l.Get(2))
	if !ok || i < 1 || i > len(r.columns) {
		l.Push(lua.LNil)
		return 1
	}
	l.Push(v.object(v.class.field, &r.columns[i-1]))
	return 1
}

func (v *vm) fieldsLen(l *lua.LState) int {
	l.Push(lua.LNumber(len(self[*resultset](l).columns)))
	return 1
}

func (v *vm) fieldIndex(l *lua.LState) int {
	c := self[*packet.Column](l)
	var value lua.LValue = lua.LNil
	switch key(l) {
	case "name":
		value = lua.LString(c.Name)
	case "org_name":
		value = lua.LString(c.OrgName)
	case "table":
		value = lua.LString(c.Table)
	case "org_table":
		value = lua.LString(c.OrgTable)
	case "type":
		value = lua.LNumber(c.Type)
	}
	l.Push(value)
	return 1
}
