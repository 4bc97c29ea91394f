package luahooks

import (
	"mysqlproxy/packet"

	lua "github.com/yuin/gopher-lua"
)

// mysql.proto: payloads as tables and back. Payloads come from scripts and so
// from anybody; what is too short or of the wrong kind raises a Lua error.
//
//	module_proto.go         OK, ERR, EOF, and what all functions share
//	module_proto_login.go   greeting and login
//	module_proto_stmt.go    prepared statements
//	module_proto_master.go  master.info

// openProto is the loader of mysql.proto.
func openProto(l *lua.LState) int {
	return pushModule(l, "proto", map[string]lua.LGFunction{
		"from_err_packet":                  fromPayload(readERR),
		"to_err_packet":                    toPayload(appendERRFields),
		"from_ok_packet":                   fromPayload(readOK),
		"to_ok_packet":                     toPayload(appendOKFields),
		"from_eof_packet":                  fromPayload(readEOF),
		"to_eof_packet":                    toPayload(appendEOFFields),
		"from_challenge_packet":            fromPayload(readGreeting),
		"to_challenge_packet":              toPayload(appendGreeting),
		"from_response_packet":             fromResponsePacket,
		"to_response_packet":               toPayload(appendLogin),
		"from_masterinfo_string":           fromMasterInfo,
		"to_masterinfo_string":             toMasterInfo,
		"from_stmt_prepare_packet":         fromPayload(readPrepare),
		"from_stmt_prepare_ok_packet":      fromPayload(readPrepareOK),
		"stmt_id_from_stmt_execute_packet": statementOfExecute,
		"from_stmt_execute_packet":         fromExecutePacket,
		"from_stmt_close_packet":           fromPayload(readClose),
	})
}

// fromPayload is a function of Lua that takes a payload and returns the table
// that read fills.
func fromPayload(read func(p *payloadReader, t fieldTable)) lua.LGFunction {
	return func(l *lua.LState) int {
		p := payloadReader{l: l, rest: l.CheckString(1)}
		t := fieldTable{l, l.NewTable()}
		read(&p, t)
		p.check()
		l.Push(t.t)
		return 1
	}
}

// toPayload is a function of Lua that takes a table and returns the payload that
// write appends.
func toPayload(write func(dst []byte, t fieldTable) []byte) lua.LGFunction {
	return func(l *lua.LState) int {
		if l.GetTop() != 1 {
			l.RaiseError("exactly one argument expected, a table")
		}
		l.Push(lua.LString(write(nil, fieldTable{l, l.CheckTable(1)})))
		return 1
	}
}

// payloadReader takes a payload apart from the front. Once something is missing, short stays
// set and everything further is zero: check says so once, at the end.
type payloadReader struct {
	l     *lua.LState
	rest  string
	short bool
}

func (p *payloadReader) check() {
	if p.short {
		p.l.RaiseError("packet is too short or cut off")
	}
}

// first takes the first byte, which must be want.
func (p *payloadReader) first(want byte) {
	if len(p.rest) > 0 && p.rest[0] != want {
		p.l.RaiseError("packet starts with %d, expected %d", p.rest[0], want)
	}
	p.number(1)
	p.check()
}

// bytes takes n bytes.
func (p *payloadReader) bytes(n int) string {
	if p.short || n < 0 || n > len(p.rest) {
		p.short, p.rest = true, ""
		return ""
	}
	s := p.rest[:n]
	p.rest = p.rest[n:]
	return s
}

// number takes an unsigned number of n <= 8 bytes, the lowest first.
func (p *payloadReader) number(n int) uint64 {
	s, v := p.bytes(n), uint64(0)
	for i := len(s) - 1; i >= 0; i-- {
		v = v<<8 | uint64(s[i])
	}
	return v
}

// lenenc takes a length-encoded number.
func (p *payloadReader) lenenc() uint64 {
	switch first := p.number(1); first {
	case 0xfb, 0xff: // NULL, and the head of an ERR
		p.short, p.rest = true, ""
		return 0
	case 0xfc:
		return p.number(2)
	case 0xfd:
		return p.number(3)
	case 0xfe:
		return p.number(8)
	default:
		return first
	}
}

// lenencString takes a string behind its length.
func (p *payloadReader) lenencString() string {
	n := p.lenenc()
	if n > uint64(len(p.rest)) {
		p.short, p.rest = true, ""
	}
	if p.short {
		return ""
	}
	return p.bytes(int(n))
}

// nul takes a string up to its NUL, or the rest if optional and there is none.
func (p *payloadReader) nul(optional bool) string {
	for i := range len(p.rest) {
		if p.rest[i] == 0 {
			s := p.rest[:i]
			p.rest = p.rest[i+1:]
			return s
		}
	}
	if optional {
		return p.bytes(len(p.rest))
	}
	p.short, p.rest = true, ""
	return ""
}

// fieldTable is a packet's table. An empty string is no field.
type fieldTable struct {
	l *lua.LState
	t *lua.LTable
}

func (t fieldTable) setNumber(name string, v uint64) {
	t.t.RawSetString(name, lua.LNumber(v))
}

func (t fieldTable) setString(name, s string) {
	if s != "" {
		t.t.RawSetString(name, lua.LString(s))
	}
}

// number is the field name, or def if there is none. It keeps the low bits of
// what is too large.
func (t fieldTable) number(name string, def uint64) uint64 {
	v := t.l.GetField(t.t, name)
	if v == lua.LNil {
		return def
	}
	n, ok := numberOf(v)
	if !ok {
		t.l.RaiseError("field '%s' must be a number, got %s", name, v.Type())
	}
	if n < 0 {
		return uint64(truncate(n)) // a script's way to say all bits
	}
	u, _ := uintOf(v)
	return u
}

// string is the field name, or "" if there is none.
func (t fieldTable) string(name string) string {
	v := t.l.GetField(t.t, name)
	if v == lua.LNil {
		return ""
	}
	s, ok := textOf(v)
	if !ok {
		t.l.RaiseError("field '%s' must be a string, got %s", name, v.Type())
	}
	return s
}

// appendNumberBytes appends the low n bytes of v, the lowest first.
func appendNumberBytes(dst []byte, v uint64, n int) []byte {
	for range n {
		dst = append(dst, byte(v))
		v >>= 8
	}
	return dst
}

func appendZeros(dst []byte, n int) []byte { return append(dst, make([]byte, n)...) }

// maxERRMessage is where MySQL Proxy cuts an ERR's message, in bytes.
const maxERRMessage = 512

func readERR(p *payloadReader, t fieldTable) {
	p.first(0xff)
	t.setNumber("errcode", p.number(2))
	if mark := p.bytes(1); mark != "#" && !p.short {
		t.l.RaiseError("ERR packet without SQLSTATE (expected # behind the error code)")
	}
	t.setString("sqlstate", p.bytes(5))
	t.setString("errmsg", p.rest)
}

func appendERRFields(dst []byte, t fieldTable) []byte {
	state := t.string("sqlstate")
	if state == "" {
		state = "07000"
	}
	msg := t.string("errmsg")
	dst = append(dst, 0xff)
	dst = appendNumberBytes(dst, t.number("errcode", 0), 2)
	dst = append(dst, '#')
	dst = append(dst, (state + "00000")[:5]...)
	return append(dst, msg[:min(len(msg), maxERRMessage)]...)
}

func readOK(p *payloadReader, t fieldTable) {
	p.first(0)
	t.setNumber("affected_rows", p.lenenc())
	t.setNumber("insert_id", p.lenenc())
	t.setNumber("server_status", p.number(2))
	t.setNumber("warnings", p.number(2))
}

func appendOKFields(dst []byte, t fieldTable) []byte {
	dst = append(dst, 0)
	dst = packet.AppendLenEnc(dst, t.number("affected_rows", 0))
	dst = packet.AppendLenEnc(dst, t.number("insert_id", 0))
	dst = appendNumberBytes(dst, t.number("server_status", 0), 2)
	return appendNumberBytes(dst, t.number("warnings", 0), 2)
}

func readEOF(p *payloadReader, t fieldTable) {
	p.first(0xfe)
	t.setNumber("warnings", p.number(2))
	t.setNumber("server_status", p.number(2))
}

func appendEOFFields(dst []byte, t fieldTable) []byte {
	dst = append(dst, 0xfe)
	dst = appendNumberBytes(dst, t.number("warnings", 0), 2)
	return appendNumberBytes(dst, t.number("server_status", 0), 2)
}
