package luahooks

import (
	"errors"
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// Texts that clients and other people's tests know.
const (
	failedToLoad    = "MySQL Proxy Lua script failed to load. Check the error log."
	failedToExecute = "MySQL Proxy Lua script failed to execute. Check the error log."
	failedResponse  = "(lua) handling proxy.response failed, check error-log"
	noMessage       = "(lua) proxy.response.errmsg is nil"
)

const (
	errUnknown   = 1105
	defaultState = "07000"
	maxMessage   = 512 // bytes of errmsg that are sent

	// classic are the capabilities that MySQL Proxy's own packets go by.
	classic = packet.CapProtocol41

	columnCollation = 8 // latin1_swedish_ci
	columnLength    = 32
)

// refusal is the ERR with one of the fixed texts.
func refusal(text string) hook.Verdict {
	return hook.Verdict{
		Action:   hook.SendResult,
		Failed:   true,
		Response: [][]byte{packet.AppendERR(nil, errUnknown, defaultState, text)},
	}
}

// answer is the verdict that sends proxy.response.
func (s *script) answer() hook.Verdict {
	response, ok := s.private.RawGetString("response").(*lua.LTable)
	if !ok {
		s.note("proxy.response is not a table")
		return refusal(failedResponse)
	}
	list, err := s.build(response)
	if err != nil {
		s.note("proxy.response: " + err.Error())
		return refusal(failedResponse)
	}
	return hook.Verdict{Action: hook.SendResult, Response: list}
}

// payloads are made behind each other in one piece of memory.
type payloads struct {
	buf  []byte
	ends []int
}

// end closes the payload that has been appended to buf.
func (p *payloads) end() { p.ends = append(p.ends, len(p.buf)) }

func (p *payloads) list() [][]byte {
	list := make([][]byte, len(p.ends))
	from := 0
	for i, to := range p.ends {
		list[i] = p.buf[from:to:to]
		from = to
	}
	return list
}

// build makes the payloads that a response table describes. Fields are read
// without metamethods: nothing of the script's runs here.
func (s *script) build(response *lua.LTable) ([][]byte, error) {
	kind, ok := intOf(response.RawGetString("type"))
	if !ok {
		return nil, errors.New(".type is not a number")
	}
	var p payloads
	var err error
	switch kind {
	case packetOK:
		if set, ok := response.RawGetString("resultset").(*lua.LTable); ok {
			err = s.buildResultset(&p, set)
			break
		}
		okay := packet.OK{Status: packet.StatusAutocommit}
		okay.AffectedRows, _ = uintOf(response.RawGetString("affected_rows"))
		okay.LastInsertID, _ = uintOf(response.RawGetString("insert_id"))
		p.buf = okay.Append(nil, classic)
		p.end()
	case packetERR:
		p.buf = buildError(response)
		p.end()
	case packetRaw:
		err = buildRaw(&p, response)
	default:
		err = fmt.Errorf(".type is %d, which is none", kind)
	}
	if err != nil {
		return nil, err
	}
	return p.list(), nil
}

func buildError(response *lua.LTable) []byte {
	code, state := uint16(errUnknown), defaultState
	if text, ok := response.RawGetString("sqlstate").(lua.LString); ok && text != "" {
		state = fiveBytes(string(text))
	}
	text, ok := textOf(response.RawGetString("errmsg"))
	if !ok {
		text = noMessage
	} else if n, ok := intOf(response.RawGetString("errcode")); ok {
		code = uint16(n)
	}
	if len(text) > maxMessage {
		text = text[:maxMessage]
	}
	return packet.AppendERR(nil, code, state, text)
}

// fiveBytes makes an SQLSTATE of a string that should have been one.
func fiveBytes(state string) string {
	const pad = "00000"
	if len(state) < len(pad) {
		return state + pad[len(state):]
	}
	return state[:len(pad)]
}

func buildRaw(p *payloads, response *lua.LTable) error {
	packets, ok := response.RawGetString("packets").(*lua.LTable)
	if !ok {
		return errors.New(".packets is not a table")
	}
	for i := 1; ; i++ {
		value := packets.RawGetInt(i)
		if value == lua.LNil {
			return nil
		}
		text, ok := textOf(value)
		if !ok {
			return fmt.Errorf(".packets[%d] is a %s, not a string", i, value.Type())
		}
		p.buf = append(p.buf, text...)
		p.end()
	}
}

func (s *script) buildResultset(p *payloads, set *lua.LTable) error {
	fields, ok := set.RawGetString("fields").(*lua.LTable)
	if !ok {
		return errors.New(".resultset.fields is not a table")
	}
	rows, ok := set.RawGetString("rows").(*lua.LTable)
	if !ok {
		return errors.New(".resultset.rows is not a table")
	}
	columns := 0
	for fields.RawGetInt(columns+1) != lua.LNil {
		columns++
	}
	if columns == 0 {
		return errors.New(".resultset.fields is empty")
	}
	p.buf = packet.AppendColumnCount(p.buf, uint64(columns), classic)
	p.end()
	for i := 1; i <= columns; i++ {
		field, ok := fields.RawGetInt(i).(*lua.LTable)
		if !ok {
			return fmt.Errorf(".resultset.fields[%d] is not a table", i)
		}
		s.buildColumn(p, field, i)
	}
	end := packet.OK{Status: packet.StatusAutocommit}
	p.buf = end.AppendEnd(p.buf, classic)
	p.end()
	for i := 1; ; i++ {
		value := rows.RawGetInt(i)
		if value == lua.LNil {
			break
		}
		row, ok := value.(*lua.LTable)
		if !ok {
			return fmt.Errorf(".resultset.rows[%d] is not a table", i)
		}
		buildRow(p, row, columns)
	}
	p.buf = end.AppendEnd(p.buf, classic)
	p.end()
	return nil
}

func (s *script) buildColumn(p *payloads, field *lua.LTable, i int) {
	c := packet.Column{
		Catalog: []byte("def"), Collation: columnCollation, Length: columnLength,
		Flags: packet.ColumnPrimaryKey, Type: packet.TypeString,
	}
	if name, ok := textOf(field.RawGetString("name")); ok {
		c.Name = []byte(name)
	} else {
		c.Name = []byte("no-field-name")
		s.log.Warn(fmt.Sprintf("proxy.response.resultset.fields[%d].name is not a string", i), "script", s.file.path)
	}
	if t, ok := intOf(field.RawGetString("type")); ok {
		c.Type = packet.ColumnType(t)
	} else {
		s.log.Warn(fmt.Sprintf("proxy.response.resultset.fields[%d].type is not a number", i), "script", s.file.path)
	}
	p.buf = c.Append(p.buf, classic)
	p.end()
}

// buildRow appends a row of columns cells. What is neither a string nor a
// number is NULL.
func buildRow(p *payloads, row *lua.LTable, columns int) {
	for i := 1; i <= columns; i++ {
		switch value := row.RawGetInt(i).(type) {
		case lua.LString:
			p.buf = packet.AppendLenEncString(p.buf, string(value))
		case lua.LNumber:
			var digits [32]byte
			p.buf = packet.AppendTextValue(p.buf, appendNumberText(digits[:0], float64(value)))
		default:
			p.buf = packet.AppendTextValue(p.buf, nil)
		}
	}
	p.end()
}
