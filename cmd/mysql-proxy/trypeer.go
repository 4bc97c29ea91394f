package main

import (
	"regexp"
	"strconv"
	"strings"

	"mysqlproxy/packet"
)

// answer makes the response to a command: its payloads, or none.
func (p *tryPeer) answer(code packet.Command, arg []byte) [][]byte {
	switch code {
	case packet.ComQuery:
		return p.query(string(arg), nil, false)
	case packet.ComInitDB:
		p.schema = string(arg)
		return [][]byte{p.ok(0, 0)}
	case packet.ComPing:
		return [][]byte{p.ok(0, 0)}
	case packet.ComResetConnection:
		p.reset(p.user, p.schema)
		return [][]byte{p.ok(0, 0)}
	case packet.ComStatistics:
		return [][]byte{[]byte("Uptime: 1  Threads: 1  Questions: " + strconv.FormatInt(p.server.commands.Load(), 10))}
	case packet.ComSetOption:
		return [][]byte{packet.AppendEOF(nil, 0, p.status())}
	case packet.ComStmtPrepare:
		return p.prepare(string(arg))
	case packet.ComStmtExecute:
		return p.execute(arg)
	case packet.ComStmtReset:
		return [][]byte{p.ok(0, 0)}
	case packet.ComStmtClose:
		if len(arg) >= 4 {
			delete(p.statements, le32(arg))
		}
		return nil
	case packet.ComStmtSendLongData:
		return nil
	}
	return p.fail(1047, "08S01", "Unknown command")
}

// assignment finds autocommit in a SET.
var assignment = regexp.MustCompile(`(?i)\bautocommit\s*:?=\s*(1|on|true|0|off|false)\b`)

// query makes the response to a statement. values are those of its parameters;
// binary says how rows are written.
func (p *tryPeer) query(sql string, values [][]byte, binary bool) [][]byte {
	words := sqlWords(sql, 2)
	switch words[0] {
	case "SELECT", "WITH", "TABLE", "VALUES", "DESCRIBE", "DESC", "EXPLAIN", "SHOW":
		columns, rows := p.selected(sql, words, values)
		return p.rows(columns, rows, binary)
	case "INSERT", "REPLACE", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "TRUNCATE":
		return p.change(words[0])
	case "BEGIN", "START":
		p.inTrans = true
	case "COMMIT", "ROLLBACK":
		p.inTrans = false
	case "SET":
		if m := assignment.FindStringSubmatch(sql); m != nil {
			switch strings.ToLower(m[1]) {
			case "1", "on", "true":
				p.autocommit, p.inTrans = true, false
			default:
				p.autocommit = false
			}
		}
	case "USE":
		_, name, _ := strings.Cut(skipComments(sql), " ")
		p.schema = strings.Trim(strings.TrimSpace(name), "`")
	case "DO", "LOCK", "UNLOCK", "SAVEPOINT", "RELEASE", "FLUSH":
	default:
		return p.fail(1064, "42000", "You have an error in your SQL syntax; this test server does not know "+first(words[0], "such a statement"))
	}
	return [][]byte{p.ok(0, 0)}
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// change makes the response to a statement that writes.
func (p *tryPeer) change(word string) [][]byte {
	if p.server.readOnly {
		return p.fail(1290, "HY000", "The MySQL server is running with the --super-read-only option so it cannot execute this statement")
	}
	var affected, id uint64
	switch word {
	case "INSERT", "REPLACE":
		affected, id = 1, p.server.inserted.Add(1)
		p.insertID = id
	case "UPDATE", "DELETE":
		affected = 1
	default:
		p.inTrans = false // DDL commits
		return [][]byte{p.ok(0, 0)}
	}
	p.inTrans = p.inTrans || !p.autocommit
	return [][]byte{p.ok(affected, id)}
}

// selected is the result of a statement that reads: what it asks for where that
// is simple, else one row that names the server.
func (p *tryPeer) selected(sql string, words []string, values [][]byte) (columns []string, rows [][][]byte) {
	one := func(column, value string) ([]string, [][][]byte) {
		return []string{column}, [][][]byte{{[]byte(value)}}
	}
	if words[0] == "SHOW" {
		switch words[1] {
		case "WARNINGS", "ERRORS":
			return []string{"Level", "Code", "Message"}, nil
		case "SLAVE", "REPLICA":
			columns = []string{"Slave_IO_Running", "Slave_SQL_Running", "Seconds_Behind_Master"}
			if words[1] == "REPLICA" {
				columns = []string{"Replica_IO_Running", "Replica_SQL_Running", "Seconds_Behind_Source"}
			}
			if p.server.readOnly {
				rows = [][][]byte{{[]byte("Yes"), []byte("Yes"), []byte("0")}}
			}
			return columns, rows
		}
		return one("server", p.server.name)
	}
	_, expr, _ := strings.Cut(skipComments(sql), " ")
	expr = strings.TrimSpace(expr)
	if words[0] != "SELECT" {
		return one("server", p.server.name)
	}
	p.inTrans = p.inTrans || !p.autocommit && strings.Contains(strings.ToUpper(expr), "FROM")
	if len(values) > 0 && strings.Trim(expr, "?, ") == "" {
		row := [][]byte{}
		for _, v := range values {
			columns = append(columns, "?")
			row = append(row, v)
		}
		return columns, [][][]byte{row}
	}
	if _, ok := number(expr); ok && strings.Trim(expr, "0123456789") == "" {
		return one(expr, expr)
	}
	switch strings.ToLower(expr) {
	case "@@server_id", "@@global.server_id":
		return one(expr, strconv.Itoa(p.server.id))
	case "@@version", "version()":
		return one(expr, tryVersion)
	case "@@autocommit":
		return one(expr, bit(p.autocommit))
	case "@@read_only", "@@global.read_only", "@@super_read_only", "@@global.super_read_only":
		return one(expr, bit(p.server.readOnly))
	case "last_insert_id()":
		return one(expr, strconv.FormatUint(p.insertID, 10))
	case "connection_id()":
		return one(expr, strconv.FormatUint(uint64(p.thread), 10))
	case "user()", "current_user()":
		return one(expr, p.user+"@localhost")
	case "database()", "schema()":
		if p.schema == "" {
			return []string{expr}, [][][]byte{{nil}}
		}
		return one(expr, p.schema)
	}
	return one("server", p.server.name)
}

func bit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// rows writes a result whose columns are all strings. A nil value is NULL.
func (p *tryPeer) rows(columns []string, rows [][][]byte, binary bool) (out [][]byte) {
	out = append(out, packet.AppendColumnCount(nil, uint64(len(columns)), p.caps))
	out = append(out, p.definitions(columns)...)
	for _, row := range rows {
		out = append(out, appendRow(row, binary))
	}
	end := packet.OK{Status: p.status()}
	return append(out, end.AppendEnd(nil, p.caps))
}

// definitions are column definitions and what ends them.
func (p *tryPeer) definitions(columns []string) (out [][]byte) {
	for _, name := range columns {
		c := packet.Column{Catalog: []byte("def"), Name: []byte(name), Collation: 45, Length: 1 << 16, Type: packet.TypeVarString}
		out = append(out, c.Append(nil, p.caps))
	}
	if p.caps&packet.CapDeprecateEOF == 0 {
		out = append(out, packet.AppendEOF(nil, 0, p.status()))
	}
	return out
}

func appendRow(row [][]byte, binary bool) (dst []byte) {
	if !binary {
		for _, v := range row {
			dst = packet.AppendTextValue(dst, v)
		}
		return dst
	}
	const offset = 2 // of the first column's bit
	dst = append(dst, 0)
	nulls := make([]byte, (len(row)+7+offset)/8)
	for i, v := range row {
		if v == nil {
			nulls[(i+offset)/8] |= 1 << ((i + offset) % 8)
		}
	}
	dst = append(dst, nulls...)
	for _, v := range row {
		if v != nil {
			dst = packet.AppendLenEncString(dst, v)
		}
	}
	return dst
}

// prepare knows a statement's parameters by their marks, and its columns as far
// as they do not depend on values.
func (p *tryPeer) prepare(sql string) [][]byte {
	words := sqlWords(sql, 2)
	st := &tryPrepared{sql: sql, params: strings.Count(sql, "?")}
	var columns []string
	switch words[0] {
	case "SELECT", "SHOW", "WITH", "TABLE", "VALUES":
		columns, _ = p.selected(sql, words, make([][]byte, st.params))
	case "INSERT", "REPLACE", "UPDATE", "DELETE", "SET", "DO", "COMMIT", "ROLLBACK":
	default:
		return p.fail(1295, "HY000", "This command is not supported in the prepared statement protocol yet")
	}
	p.prepared++
	p.statements[p.prepared] = st
	ok := packet.PrepareOK{Statement: p.prepared, Columns: uint16(len(columns)), Params: uint16(st.params)}
	out := [][]byte{ok.Append(nil, p.caps)}
	if st.params > 0 {
		marks := make([]string, st.params)
		for i := range marks {
			marks[i] = "?"
		}
		out = append(out, p.definitions(marks)...)
	}
	if len(columns) > 0 {
		out = append(out, p.definitions(columns)...)
	}
	return out
}

// execute reads a COM_STMT_EXECUTE:
//
//	u32 id, u8 flags, u32 1, NULL bits, u8 types follow, [u16 type], values
func (p *tryPeer) execute(b []byte) [][]byte {
	if len(b) < 9 {
		return p.fail(1210, "HY000", "Incorrect arguments to mysqld_stmt_execute")
	}
	st := p.statements[le32(b)]
	if st == nil {
		return p.fail(1243, "HY000", "Unknown prepared statement handler ("+strconv.FormatUint(uint64(le32(b)), 10)+") given to mysqld_stmt_execute")
	}
	values, ok := st.values(b[9:])
	if !ok {
		return p.fail(1210, "HY000", "Incorrect arguments to mysqld_stmt_execute")
	}
	return p.query(st.sql, values, true)
}

// values reads the parameters of an execution, as text.
func (st *tryPrepared) values(b []byte) (values [][]byte, ok bool) {
	if st.params == 0 {
		return nil, true
	}
	bits := (st.params + 7) / 8
	if len(b) < bits+1 {
		return nil, false
	}
	nulls, bound := b[:bits], b[bits]
	b = b[bits+1:]
	if bound == 1 {
		if len(b) < 2*st.params {
			return nil, false
		}
		st.types, b = append([]byte{}, b[:2*st.params]...), b[2*st.params:]
	}
	if len(st.types) != 2*st.params {
		return nil, false
	}
	for i := range st.params {
		if nulls[i/8]&(1<<(i%8)) != 0 {
			values = append(values, nil)
			continue
		}
		t, unsigned := packet.ColumnType(st.types[2*i]), st.types[2*i+1]&0x80 != 0
		v, rest, err := packet.BinaryValue(b, t, unsigned)
		if err != nil {
			return nil, false
		}
		b = rest
		values = append(values, v.AppendText([]byte{}, &packet.Column{Type: t, Decimals: packet.NoDecimals}))
	}
	return values, true
}
