package e2e

import (
	"encoding/binary"
)

// The commands beside COM_QUERY, prepared statements included.
var commandCases = []corpusCase{
	{name: "binary rows of every type", run: func(c *rawConn) {
		table, rows := types()
		c.query(table)
		c.query(rows)
		c.prepare("SELECT * FROM types WHERE id >= ? ORDER BY id")
		c.execute(0, 0, intParam(1))
		c.execute(0, 0, intParam(100))
		c.send(comStmtClose, u32(c.stmts[0])...)
	}},
	{name: "prepare and execute", run: func(c *rawConn) {
		c.query("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(100))")
		c.prepare("INSERT INTO t (v) VALUES (?)")
		c.execute(0, 0, stringParam("one"))
		c.execute(0, 0, stringParam(""))
		c.execute(0, 0, nullParam())
		c.prepare("SELECT id, v, ? FROM t WHERE id > ?")
		c.execute(1, 0, stringParam("x"), intParam(0))
		c.prepare("SELECT 1")
		c.execute(2, 0)
		c.prepare("DO 1")
		c.execute(3, 0)
		c.prepare("SELECT FROM")
		c.prepare("SELECT 1; SELECT 2")
		c.send(comExecute, cat(u32(987654321), []byte{0}, u32(1))...)
		c.result(false)
		c.execute(1, 0, stringParam("again"), intParam(1))
	}},
	{name: "error in the middle of binary rows", run: func(c *rawConn) {
		c.prepare("SELECT o.seq, REPEAT('x', 30000), (SELECT s.seq FROM seq_1_to_9 s WHERE s.seq < o.seq - ?) FROM seq_1_to_10 o")
		c.execute(0, 0, intParam(6))
		c.execute(0, 0, intParam(20))
	}},
	{name: "cursor and fetch", run: func(c *rawConn) {
		c.prepare("SELECT seq, REPEAT('c', 50) FROM seq_1_to_10")
		c.execute(0, 1)
		c.fetch(0, 3)
		c.fetch(0, 0)
		c.fetch(0, 3)
		c.query("SELECT 'between'")
		c.fetch(0, 100)
		c.fetch(0, 1) // no cursor any more
		c.execute(0, 1)
		c.fetch(0, 1)
		c.one(comStmtReset, u32(c.stmts[0])...)
		c.fetch(0, 1)
		c.prepare("SELECT 1 WHERE 1 = 0")
		c.execute(1, 1)
		c.fetch(1, 1)
		c.prepare("DO 1")
		c.execute(2, 1)
		if bed.mysql() {
			return // it answers the next with definitions and an OK, no rows: no client finds the end
		}
		c.execute(0, 0)
	}},
	{name: "CALL with cursor flags", run: func(c *rawConn) {
		c.query("CREATE PROCEDURE p(a INT) BEGIN SELECT a; SELECT seq FROM seq_1_to_3; END")
		c.query(cursorLoop)
		c.prepare("CALL p(?)")
		c.execute(0, 1, intParam(7))
		c.prepare("CALL cur()")
		c.execute(1, 1)
		c.execute(1, 0)
		c.query("SELECT 'after'")
	}},
	{name: "OUT parameters", run: func(c *rawConn) {
		c.query("CREATE PROCEDURE p(IN a INT, OUT b INT, INOUT d VARCHAR(20)) BEGIN SELECT a; SET b = a * 2; SET d = CONCAT(d, '!'); END")
		c.prepare("CALL p(?, ?, ?)")
		c.execute(0, 0, intParam(4), intParam(0), stringParam("x"))
		c.execute(0, 0, intParam(5), nullParam(), stringParam("y"))
	}},
	{name: "long data", run: func(c *rawConn) {
		c.query("CREATE TABLE t (v LONGBLOB, w INT)")
		c.prepare("INSERT INTO t VALUES (?, ?)")
		id := u32(c.stmts[0])
		for range 5 {
			c.send(comLongData, cat(id, []byte{0, 0}, make([]byte, 10000))...)
		}
		c.execute(0, 0, longParam(), intParam(1))
		c.send(comLongData, cat(id, []byte{9, 0}, []byte("wrong parameter"))...)
		c.execute(0, 0, stringParam("x"), intParam(2))
		c.send(comLongData, cat(id, []byte{0, 0}, []byte("forgotten"))...)
		c.one(comStmtReset, id...)
		c.execute(0, 0, stringParam("y"), intParam(3))
		c.query("SELECT LENGTH(v), w FROM t ORDER BY w")
	}},
	{name: "long data beyond a fragment", large: true, only: []string{"plain"}, run: func(c *rawConn) {
		c.prepare("SELECT CRC32(?), LENGTH(?)")
		id := u32(c.stmts[0])
		c.send(comLongData, cat(id, []byte{0, 0}, make([]byte, maxFragment-7))...) // fills its fragment exactly
		c.send(comLongData, cat(id, []byte{1, 0}, make([]byte, maxFragment+100))...)
		c.execute(0, 0, longParam(), longParam())
	}},
	{name: "statement close in one segment with the next command", run: func(c *rawConn) {
		c.prepare("SELECT ?")
		c.execute(0, 0, intParam(1))
		b := c.command(comStmtClose, u32(c.stmts[0]))
		b = append(b, c.command(comQuery, []byte("SELECT 'next'"))...)
		c.write(b)
		c.result(false)
		c.execute(0, 0, intParam(1)) // unknown now
		c.send(comStmtClose, u32(424242)...)
		c.one(comPing)
	}},
	{name: "last statement id, pipelined", run: func(c *rawConn) {
		for _, sql := range []string{"SELECT 'direct', ?", "SELECT broken(?", "SELECT 'again', ?"} {
			b := c.command(comPrepare, []byte(sql))
			b = append(b, c.command(comExecute, executeArg(lastStatementID, 0, intParam(3)))...)
			c.tr.note("> pipelined PREPARE %q and EXECUTE -1", sql)
			c.write(b)
			c.prepared()
			c.result(false)
		}
		c.one(comPing)
	}},
	{name: "bulk execute", only: []string{"mariadb", "mariadb eof"}, run: func(c *rawConn) {
		c.query("CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(20) DEFAULT 'def')")
		c.prepare("INSERT INTO t VALUES (?, ?)")
		row := func(a uint32, b ...byte) []byte { return cat([]byte{0}, u32(a), b) }
		arg := cat(u32(c.stmts[0]), []byte{128, 0}, []byte{3, 0, 253, 0},
			row(1, 0, 3, 'o', 'n', 'e'), row(2, 1), row(3, 2), row(4, 0, 0))
		c.send(comBulkExecute, arg...)
		c.result(false)
		c.send(comBulkExecute, arg...) // duplicate key
		c.result(false)
		c.prepare("INSERT INTO t VALUES (?, ?) RETURNING a, b")
		arg = cat(u32(c.stmts[1]), []byte{128, 0}, []byte{3, 0, 253, 0}, row(11, 0, 1, 'x'), row(12, 1))
		c.send(comBulkExecute, arg...)
		c.result(false)
		c.send(comBulkExecute, 1, 2, 3)
		c.result(false)
		c.query("SELECT * FROM t ORDER BY a")
	}},
	{name: "cached metadata", only: []string{"mariadb", "mariadb eof"}, run: func(c *rawConn) {
		c.query("CREATE TABLE t (a INT, b VARCHAR(10))")
		c.query("INSERT INTO t VALUES (1, 'x'), (2, NULL)")
		c.prepare("SELECT * FROM t WHERE a >= ?")
		c.execute(0, 0, intParam(1))
		c.execute(0, 1, intParam(1))
		c.fetch(0, 10)
		c.query("ALTER TABLE t ADD c INT DEFAULT 7")
		c.execute(0, 0, intParam(1))
		c.execute(0, 0, intParam(2))
	}},
	{name: "ping, statistics, debug, set option", run: func(c *rawConn) {
		c.one(comPing)
		c.send(comStatistics)
		c.onlyShape(c.quietPacket())
		c.one(comDebug)
		c.one(comSetOption, 1, 0)
		c.query("SELECT 1; SELECT 2")
		c.one(comSetOption, 0, 0)
		c.query("SELECT 1; SELECT 2")
		c.one(comSetOption, 7, 0)
		c.one(comRefresh, 1)
		c.one(comPing, []byte("with an argument")...)
	}},
	{name: "init db, field list", run: func(c *rawConn) {
		c.query("CREATE TABLE t (a INT DEFAULT 5, b VARCHAR(10) DEFAULT 'x', c TEXT, d INT NOT NULL)")
		c.send(comFieldList, []byte("t\x00")...)
		c.fieldList()
		c.send(comFieldList, []byte("t\x00b%")...)
		c.fieldList()
		c.send(comFieldList, []byte("nowhere\x00")...)
		c.fieldList()
		c.one(comInitDB, []byte("mysql")...)
		c.query("SELECT DATABASE()")
		c.one(comInitDB, []byte("nowhere")...)
		c.one(comInitDB, []byte(c.db)...)
		c.query("SELECT DATABASE()")
		c.one(comCreateDB, []byte(c.db+"_made")...)
		c.one(comDropDB, []byte(c.db+"_made")...)
	}},
	{name: "process info and kill", run: func(c *rawConn) {
		c.send(comProcessInfo)
		c.onlyColumns()
		c.one(comProcessKill, u32(4000000000)...)
		c.tr.note("> PROCESS_KILL of another connection")
		c.write(c.command(comProcessKill, u32(sleepingThread())))
		c.packet()
		c.query("SELECT 1")
	}},
	{name: "unknown commands", run: func(c *rawConn) {
		for _, com := range []byte{0x00, 0x0B, 0x0F, 0x10, 0x14, 0x1D, 0x20, 0x21, 0x22, 0x50, 0x80, 0xC0, 0xF9, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF} {
			c.one(com, []byte("argument")...)
			c.one(com)
		}
		c.one(comPing)
	}},
	{name: "a short argument", run: func(c *rawConn) {
		c.send(comExecute, 1)
		c.result(false)
		c.one(comPing)
	}},
	{name: "an empty packet as a command", run: func(c *rawConn) {
		c.tr.note("> empty packet")
		c.write([]byte{0, 0, 0, 0})
		c.packet()
		c.one(comPing)
	}},
	{name: "a wrong sequence id", run: func(c *rawConn) {
		b := c.command(comPing, nil)
		b[3] = 5
		c.tr.note("> PING with sequence id 5")
		c.write(b)
		c.expectClose()
	}},
	{name: "reset connection", run: func(c *rawConn) {
		c.query("SET @a = 5")
		c.query("CREATE TEMPORARY TABLE tt (a INT)")
		c.query("BEGIN")
		c.prepare("SELECT ?")
		c.one(comResetConn)
		c.query("SELECT @a, DATABASE()")
		c.query("SELECT * FROM tt")
		c.execute(0, 0, intParam(1))
		c.prepare("SELECT ?, 'new'")
		c.execute(1, 0, intParam(1))
	}},
	{name: "quit", run: func(c *rawConn) {
		c.query("SELECT 1")
		c.send(comQuit)
		c.expectClose()
	}},
}

// param is one parameter of an EXECUTE: its type and its binary value, nil for
// NULL. A parameter that was sent as long data has no value either.
type param struct {
	kind  uint16
	value []byte
	null  bool
}

func intParam(v uint32) param { return param{kind: 3, value: u32(v)} }
func nullParam() param        { return param{kind: 6, null: true} }
func longParam() param        { return param{kind: 252} }
func stringParam(s string) param {
	return param{kind: 253, value: append([]byte{byte(len(s))}, s...)}
}

func executeArg(id uint32, flags byte, params ...param) []byte {
	b := cat(u32(id), []byte{flags}, u32(1))
	if len(params) == 0 {
		return b
	}
	nulls := make([]byte, (len(params)+7)/8)
	for i, p := range params {
		if p.null {
			nulls[i/8] |= 1 << (i % 8)
		}
	}
	b = append(append(b, nulls...), 1)
	for _, p := range params {
		b = binary.LittleEndian.AppendUint16(b, p.kind)
	}
	for _, p := range params {
		b = append(b, p.value...)
	}
	return b
}

// execute runs the n-th prepared statement of this connection.
func (c *rawConn) execute(n int, flags byte, params ...param) {
	if n >= len(c.stmts) {
		c.end("statement %d was not prepared", n)
	}
	c.tr.note("> EXECUTE of statement %d, flags %d", n, flags)
	c.write(c.command(comExecute, executeArg(c.stmts[n], flags, params...)))
	c.result(flags&7 != 0)
}

// fetch asks for rows of the n-th prepared statement's cursor.
func (c *rawConn) fetch(n int, rows uint32) {
	c.tr.note("> FETCH of %d rows", rows)
	c.write(c.command(comFetch, cat(u32(c.stmts[n]), u32(rows))))
	c.rows()
}

// onlyShape notes a text with its digits blanked: uptime and counters differ
// from one run to the next.
func (c *rawConn) onlyShape(p []byte) {
	h := c.lastHeader(p)
	var shape []byte
	for _, b := range p {
		if b >= '0' && b <= '9' {
			if len(shape) > 0 && shape[len(shape)-1] == '#' {
				continue
			}
			b = '#'
		}
		shape = append(shape, b)
	}
	h[0] = 0 // the length differs with the digits
	c.tr.packet(h, shape)
}

// onlyColumns reads a result of which only the column definitions are
// compared: the rows are the server's other threads.
func (c *rawConn) onlyColumns() {
	tr := c.tr
	p := c.packet()
	if p[0] == 0xFF { // MySQL has it no more
		return
	}
	n, _ := lenenc(p)
	for range n {
		c.packet()
	}
	if c.caps&capDeprecateEOF == 0 {
		c.packet()
	}
	c.tr = &trace{}
	c.rows()
	c.tr = tr
}
