package luahooks

import (
	"fmt"
	"math"

	lua "github.com/yuin/gopher-lua"

	"mysqlproxy/packet"
)

func readPrepare(p *payloadReader, t fieldTable) {
	p.first(byte(packet.ComStmtPrepare))
	t.setString("stmt_text", p.rest)
}

func readPrepareOK(p *payloadReader, t fieldTable) {
	p.first(0)
	t.setNumber("stmt_id", p.number(4))
	t.setNumber("num_columns", p.number(2))
	t.setNumber("num_params", p.number(2))
	p.bytes(1)
	t.setNumber("warnings", p.number(2))
}

func readClose(p *payloadReader, t fieldTable) {
	p.first(byte(packet.ComStmtClose))
	t.setNumber("stmt_id", p.number(4))
}

// statementOfExecute returns the statement's id alone: how many parameters it
// has must be known to read the rest.
func statementOfExecute(l *lua.LState) int {
	p := payloadReader{l: l, rest: l.CheckString(1)}
	p.first(byte(packet.ComStmtExecute))
	id := p.number(4)
	p.check()
	l.Push(lua.LNumber(id))
	return 1
}

func fromExecutePacket(l *lua.LState) int {
	p := payloadReader{l: l, rest: l.CheckString(1)}
	params, ok := intOf(l.Get(2))
	if !ok {
		l.TypeError(2, lua.LTNumber)
	}
	if params < 0 || params > math.MaxUint16 {
		l.ArgError(2, "number of parameters out of range")
	}
	t := fieldTable{l, l.NewTable()}
	p.first(byte(packet.ComStmtExecute))
	t.setNumber("stmt_id", p.number(4))
	t.setNumber("flags", p.number(1))
	t.setNumber("iteration_count", p.number(4))
	bound := false
	if params > 0 {
		nulls := p.bytes((params + 7) / 8)
		if bound = p.number(1) != 0; bound {
			t.t.RawSetString("params", readParams(&p, params, nulls))
		}
	}
	t.t.RawSetString("new_params_bound", lua.LBool(bound))
	p.check()
	l.Push(t.t)
	return 1
}

// readParams takes the types, two bytes each, and then the values of those
// parameters that are not NULL.
func readParams(p *payloadReader, params int, nulls string) *lua.LTable {
	types := p.bytes(2 * params)
	p.check() // before anything is made for each
	list := p.l.CreateTable(params, 0)
	for i := range params {
		typ := packet.ColumnType(types[2*i])
		param := p.l.CreateTable(0, 2)
		param.RawSetString("type", lua.LNumber(typ))
		if nulls[i/8]>>(i%8)&1 == 0 {
			param.RawSetString("value", p.param(typ))
		}
		list.RawSetInt(i+1, param)
	}
	return list
}

// param takes a value. Integers come without their sign, but for those of 8
// bytes: the type does not carry it to here, and MySQL Proxy has it so.
func (p *payloadReader) param(typ packet.ColumnType) lua.LValue {
	switch typ {
	case packet.TypeNull:
		return lua.LNil
	case packet.TypeTiny:
		return lua.LNumber(p.number(1))
	case packet.TypeShort:
		return lua.LNumber(p.number(2))
	case packet.TypeLong:
		return lua.LNumber(p.number(4))
	case packet.TypeLongLong:
		return lua.LNumber(int64(p.number(8)))
	case packet.TypeFloat:
		return lua.LNumber(math.Float32frombits(uint32(p.number(4))))
	case packet.TypeDouble:
		return lua.LNumber(math.Float64frombits(p.number(8)))
	case packet.TypeDate, packet.TypeDatetime, packet.TypeTimestamp:
		return p.date(typ == packet.TypeDate)
	case packet.TypeTime:
		return p.time()
	case packet.TypeVarchar, packet.TypeVarString, packet.TypeString,
		packet.TypeBlob, packet.TypeMediumBlob, packet.TypeLongBlob:
		return lua.LString(p.lenencString())
	}
	p.l.RaiseError("can't decode type %d yet", typ)
	return lua.LNil
}

// date takes u8 length (0, 4, 7 or 11), u16 year, u8 month, u8 day, u8 hour,
// u8 minute, u8 second, u32 fraction. What the length leaves out is 0.
func (p *payloadReader) date(dayOnly bool) lua.LValue {
	n := p.number(1)
	if n != 0 && n != 4 && n != 7 && n != 11 {
		p.l.RaiseError("date of %d bytes", n)
	}
	v := payloadReader{l: p.l, rest: p.bytes(int(n))} // no more than this
	s := fmt.Sprintf("%04d-%02d-%02d", v.number(2), v.number(1), v.number(1))
	if !dayOnly {
		s += fmt.Sprintf(" %02d:%02d:%02d.%09d", v.number(1), v.number(1), v.number(1), v.number(4))
	}
	return lua.LString(s)
}

// time takes u8 length (0, 8 or 12), u8 negative, u32 days, u8 hour, u8 minute,
// u8 second, u32 fraction.
func (p *payloadReader) time() lua.LValue {
	n := p.number(1)
	if n != 0 && n != 8 && n != 12 {
		p.l.RaiseError("time of %d bytes", n)
	}
	v := payloadReader{l: p.l, rest: p.bytes(int(n))}
	sign := ""
	if v.number(1) != 0 {
		sign = "-"
	}
	return lua.LString(fmt.Sprintf("%s%d %02d:%02d:%02d.%09d", sign,
		v.number(4), v.number(1), v.number(1), v.number(1), v.number(4)))
}
