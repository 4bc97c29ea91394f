package luahooks

import (
	"os"
	"path/filepath"
	"testing"

	lua "github.com/yuin/gopher-lua"
)

func TestBalance(t *testing.T) {
	m := newModuleState(t)
	m.want(fakeProxy+`b = require("proxy.balance")
		return b.idle_failsafe_rw(), b.idle_ro()`, "0 0")
	m.want(`
		local RW, RO, UP, DOWN = proxy.BACKEND_TYPE_RW, proxy.BACKEND_TYPE_RO, proxy.BACKEND_STATE_UP, proxy.BACKEND_STATE_DOWN
		local function backend(type, state, clients, idle)
			return { type = type, state = state, connected_clients = clients,
				pool = { users = setmetatable({}, { __index = function (_, user)
					return { cur_idle_connections = user == "u" and idle or 0 }
				end }) } }
		end
		proxy.global.backends = {
			backend(RW, DOWN, 0, 5), backend(RW, UP, 0, 0), backend(RW, proxy.BACKEND_STATE_UNKNOWN, 9, 1), backend(RW, UP, 0, 1),
			backend(RO, DOWN, 0, 5), backend(RO, UP, 0, 0), backend(RO, UP, 3, 1), backend(RO, UP, 2, 1), backend(RO, UP, 2, 1),
		}
		return b.idle_failsafe_rw(), b.idle_ro()`, "3 8")
	m.want(`proxy.connection.client.username = "v"; return b.idle_failsafe_rw(), b.idle_ro()`, "0 0")
}

func TestCommands(t *testing.T) {
	m := newModuleState(t)
	m.want(fakeProxy+`c = require("proxy.commands")
		printed = nil
		print = function (s) printed = s end
		function show(packet)
			local cmd = c.parse(packet)
			return cmd.type .. " " .. tostring(cmd.type_name), c.pretty_print(cmd)
		end
		return type(c.parse)`, "function")
	for code, want := range map[string]string{
		`show("\3SELECT 1")`:                "3 COM_QUERY [COM_QUERY] SELECT 1",
		`show("\22SELECT ?")`:               "22 COM_STMT_PREPARE [COM_STMT_PREPARE] SELECT ?",
		`show("\2db")`:                      "2 COM_INIT_DB [COM_INIT_DB] db",
		`show("\1")`:                        "1 COM_QUIT [COM_QUIT]",
		`show("\9")`:                        "9 COM_STATISTICS [COM_STATISTICS] ... no idea",
		`show("\30")`:                       "30 COM_BINLOG_DUMP [COM_BINLOG_DUMP] ... no idea",
		`c.parse("\3a\0b").query == "a\0b"`: "true",
		`c.parse("\5a").schema, c.parse("\6b").schema`: "a b",
		`c.parse("\4t1\0%").table == "t1\0%"`:          "true",
		`c.parse("\27\1\0").option == "\1\0"`:          "true",
		`c.parse("\23\1\2\0\255rest").stmt_handler_id`: "4278190593",
		`c.parse("\25\5\0\0\0").stmt_handler_id`:       "5",
		`c.parse("\31").type_name, printed`:            "nil [debug] (command) unhandled type name: 31",
		`c.parse("\9").type_name, printed`:             "COM_STATISTICS [debug] (command) unhandled type name: COM_STATISTICS",
	} {
		m.want("return "+code, want)
	}
	m.wantError(`c.parse("")`, "empty packet")
	m.wantError(`c.parse(nil)`, "empty packet")
	m.wantError(`c.parse("\23\1\2\0")`, "ends before its statement id")
}

func TestParserGetTables(t *testing.T) {
	m := newModuleState(t)
	m.want(fakeProxy+`
		parser = require("proxy.parser")
		local tk = require("proxy.tokenizer")
		function tables(sql)
			local out = {}
			for name, kind in pairs(parser.get_tables(tk.tokenize(sql))) do out[#out + 1] = name .. ":" .. kind end
			table.sort(out)
			return table.concat(out, " ")
		end
		printed = nil
		print = function (s) printed = s end
		return parser.tablename_expand("t"), parser.tablename_expand("t", "x")`, "db.t x.t")
	for sql, want := range map[string]string{
		"SELECT * FROM db.tbl":                                   "db.tbl:read",
		"SELECT * FROM t1, x.t2 AS a, t3 b WHERE t4.x = 1":       "db.t1:read db.t3:read x.t2:read",
		"SELECT a FROM t1 LEFT JOIN t2 ON t1.a = f(t2.b, c), t3": "db.t1:read db.t2:read db.t3:read",
		"SELECT a FROM (t1, t2) LIMIT 1":                         "db.t1:read db.t2:read",
		"SELECT a FROM t1 JOIN t2 USING (a, b) ORDER BY t9":      "db.t1:read db.t2:read",
		"SELECT a FROM (SELECT b FROM t1) AS x JOIN t2":          "db.t2:read",
		"SELECT 1":                    "",
		"/* c */ SELECT a, b FROM t1": "db.t1:read",
		"DELETE FROM t1 WHERE a IN (SELECT a FROM t2)": "db.t1:write",
		"INSERT INTO t1(a, b) VALUES (1, 2), (3, 4)":   "db.t1:write",
		"INSERT IGNORE INTO `x`.`t1` VALUES (1)":       "x.t1:write",
		"INSERT t1 SET a = 1":                          "db.t1:write",
		"REPLACE INTO t1 SELECT * FROM t2":             "db.t1:write",
		"UPDATE LOW_PRIORITY t1, t2 SET t1.a = t2.b":   "db.t1:write db.t2:write",
		"CREATE TABLE IF NOT EXISTS t1 (a INT)":        "db.t1:write",
		"CREATE TEMPORARY TABLE t1(a INT)":             "db.t1:write",
		"DROP TABLE x.t1, t2":                          "db.t2:write x.t1:write",
		"ALTER TABLE t1 ADD COLUMN a INT":              "db.t1:write",
		"RENAME TABLE t1 TO t2":                        "db.t1:write db.t2:write",
		"TRUNCATE TABLE t1":                            "db.t1:write",
		"TRUNCATE t1":                                  "db.t1:write",
		"CREATE DATABASE x":                            "",
		"SHOW TABLES FROM x":                           "",
		"":                                             "",
	} {
		m.SetGlobal("sql", lua.LString(sql))
		m.want("return tables(sql)", want)
	}
	m.want(`return tables("DROP TABLE t1"), tables("SELECT a FROM t1")`, "db.t1:write db.t1:read")
	m.want(`printed = nil; return tables("SELECT a FROM 'x'"), printed`, " (parser) unknown, found token: TK_STRING -> x")
	m.want(`proxy.connection.client.default_db = ""; return parser.tablename_expand("t")`, ".t")
	m.want(`proxy.connection.client.default_db = nil; return parser.tablename_expand("t")`, "t")
}

func TestAutoConfig(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	m := newModuleState(t)
	m.want(fakeProxy+`
		auto = require("proxy.auto-config")
		config = proxy.global.config
		config.rwsplit = { min_idle = 4, is_debug = false, name = "x\"\n" }
		config.b = { on = true }
		function ask(query)
			proxy.response = {}
			local r = auto.handle(config, { type = proxy.COM_QUERY, query = query })
			return r, proxy.response.type, proxy.response.errmsg or proxy.response.affected_rows
		end
		return config.handle == auto.handle`, "true")
	for query, want := range map[string]string{
		"SELECT 1":                                "nil nil nil",
		" PROXY SHOW CONFIG":                      "nil nil nil",
		"PROXY SHOW CONFIG;":                      "nil nil nil",
		"PROXYSHOW CONFIG":                        "nil nil nil",
		"PROXY SET GLOBAL a.b":                    "nil nil nil",
		"PROXY SET GLOBAL a.b = TRUE":             "nil nil nil",
		"PROXY SET GLOBAL a.b = 1.5":              "nil nil nil",
		"PROXY SAVE CONFIG INTO file":             "nil nil nil",
		`PROXY SAVE CONFIG INTO ""`:               "nil nil nil",
		"PROXY SET GLOBAL none.b = 1":             "2 255 module not known",
		"PROXY SET GLOBAL rwsplit.b = 1":          "2 255 option not know",
		`PROXY SET GLOBAL rwsplit.min_idle = "5"`: "2 255 (auto-config) expected a number, got string",
		"PROXY SET GLOBAL b.on = 1":               "2 255 (auto-config) expected a boolean, got number",
	} {
		m.SetGlobal("query", lua.LString(query))
		m.want(`return ask(query)`, want)
	}
	m.want(`return auto.handle(config, { type = proxy.COM_QUERY, query = "PROXY SHOW CONFIG" .. (" "):rep(200) })`, "")
	m.want(`return auto.handle(config, { type = proxy.COM_PING })`, "")
	m.want(`proxy.response = {}
		local r = auto.handle({ type = proxy.COM_QUERY, query = "proxy\tShow\nCONFIG " }) -- the old form
		local out = {}
		for i, f in ipairs(proxy.response.resultset.fields) do out[#out + 1] = f.name .. f.type end
		for i, row in ipairs(proxy.response.resultset.rows) do out[#out + 1] = table.concat(row, ",") end
		return r, table.concat(out, " ")`,
		"2 module254 option254 value254 type254 b,on,true,boolean rwsplit,is_debug,false,boolean rwsplit,min_idle,4,number rwsplit,name,x\"\n,string")
	m.want(`return ask("PROXY SET GLOBAL rwsplit.is_debug = true")`, "2 0 1")
	m.want(`return ask("proxy set global rwsplit.min_idle=-7")`, "2 0 1")
	m.want(`return ask('PROXY SET GLOBAL rwsplit.name = "a;b"')`, "2 0 1")
	m.want(`return ask("PROXY SET GLOBAL b.on = false")`, "2 0 1")
	m.want(`return config.rwsplit.is_debug, config.rwsplit.min_idle, config.rwsplit.name, config.b.on`, "true -7 a;b false")
	m.want(`config.rwsplit.name = "q\"\\\n\0\255"
		return ask('PROXY SAVE CONFIG INTO "saved.lua"')`, "2 0 0")
	m.want(`config.rwsplit = nil; config.b.on = true; config.b.more = 1
		local r, t = ask('PROXY LOAD CONFIG FROM "saved.lua"')
		return r, t, config.rwsplit.name == "q\"\\\n\0\255", config.rwsplit.min_idle, config.b.on, config.b.more`, "2 0 true -7 false 1")
	m.want(`local r, t, msg = ask('PROXY LOAD CONFIG FROM "none.lua"'); return r, t, msg:match("none.lua")`, "2 255 none.lua")
	m.want(`local ok, msg = config:save("none/x.lua"); return ok, msg:match("none/x.lua")`, "false none/x.lua")
	for name, text := range map[string]string{"syntax": "return {", "error": "error('x')", "number": "return 1", "flat": "return { a = 1 }"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		m.want(`local ok, msg = config:load("`+name+`"); return ok, type(msg), config.a`, "false string nil")
	}
}

func TestTestLibrary(t *testing.T) {
	m := newModuleState(t)
	m.want(`
		proxy = {}
		tests = require("proxy.test")
		lines = {}
		print = function (s) lines[#lines + 1] = s end

		TestPassed = tests.BaseTest:new()
		function TestPassed:testOne() assertEquals(1, 1); assertEquals(nil, nil); assertNotEquals(1, 0); assertNotEquals(nil, 0) end
		function TestPassed:helper() error("not a test") end

		TestFailed = tests.BaseTest:new()
		function TestFailed:testOne() assertEquals(1, 2, "one") end

		local passed = tests.Suite:new({ result = tests.Result:new() })
		passed:run({ "TestPassed" })
		local failed = tests.Suite:new({ result = tests.Result:new() })
		failed:run({ "TestFailed" })
		failed.result:print()
		return passed.result.passed, passed.result.failed, passed:exit_code(),
			failed.result.passed, failed.result.failed, failed:exit_code()`, "1 0 0 0 1 1")
	m.want(`return #lines, lines[1]:match("TestFailed:testOne failed: .*one: got 1, expected 2") ~= nil, lines[2]`, "2 true 0 passed, 1 failed")
	m.want(`
		log = {}
		TestFailed = nil
		TestPassed = nil
		TestOrder = tests.ProxyBaseTest:new()
		function TestOrder:setUp() log[#log + 1] = "up"; self:setDefaultScope(); self.fresh = (self.fresh or 0) + 1 end
		function TestOrder:tearDown() log[#log + 1] = "down" end
		function TestOrder:testB() log[#log + 1] = "b" .. self.fresh; error("x") end
		function TestOrder:testA() log[#log + 1] = "a" .. self.fresh; assertEquals(proxy.COM_QUERY, 3) end
		local suite = tests.Suite:new({ result = tests.Result:new() })
		suite:run()
		return table.concat(log, " "), suite.result.passed, suite.result.failed`, "up a1 down up b1 down 1 1")
	m.wantError(`tests.ProxyBaseTest.setDefaultScope(); return proxy.unknown`, "proxy.unknown is not there")
	m.want(`proxy.own = 1; return proxy.own, proxy.PROXY_SEND_RESULT, proxy.PROXY_SEND_QUERY, proxy.COM_DAEMON, type(proxy.global.config)`, "1 2 1 29 table")
	m.wantError(`tests.Suite:new({ result = tests.Result:new() }):run({ "TestNone" })`, "no class of tests: TestNone")
	m.wantError(`assertNotEquals("a", "a", "why")`, `why: got "a", expected anything else`)
}

func TestAdminScript(t *testing.T) {
	m := newModuleState(t)
	m.want(fakeProxy+`
		require("admin")
		proxy.global.backends = {
			{ dst = { name = "10.0.0.1:3306" }, state = 1, type = 1, uuid = "u-1", connected_clients = 7 },
			{ dst = { name = "/tmp/x.sock" }, state = 2, type = 2, connected_clients = 0 },
			{ dst = { name = "h:1" }, state = 0, type = 0, connected_clients = 0 },
		}
		function ask(packet)
			proxy.response = nil
			local r = read_query(packet)
			local p = proxy.response
			if p.type ~= proxy.MYSQLD_PACKET_OK then return r, p.type, p.errmsg end
			local out = {}
			for _, f in ipairs(p.resultset.fields) do out[#out + 1] = f.name .. ":" .. f.type end
			for _, row in ipairs(p.resultset.rows) do
				local cells = {}
				for i = 1, #p.resultset.fields do cells[i] = tostring(row[i]) end
				out[#out + 1] = table.concat(cells, ",")
			end
			return r, table.concat(out, " ")
		end
		return type(read_query)`, "function")
	m.want(`return ask("\3select * FROM Backends")`, "2 backend_ndx:3 address:254 state:254 type:254 uuid:254 connected_clients:3 "+
		"1,10.0.0.1:3306,up,rw,u-1,7 2,/tmp/x.sock,down,ro,nil,0 3,h:1,unknown,unknown,nil,0")
	m.want(`local r, s = ask("\3SELECT * FROM help"); return r, s:match("^command:254 description:254 ") ~= nil, select(2, s:gsub("SELECT %* FROM", ""))`, "2 true 2")
	m.want(`local r, t, msg = ask("\3SELECT * FROM backends;"); return r, t, msg:match("SELECT %* FROM help")`, "2 255 SELECT * FROM help")
	for _, packet := range []string{`"\1"`, `"\2db"`, `"\14"`} {
		m.want(`return ask(`+packet+`)`, "2 255 [admin] we only handle text-based queries (COM_QUERY)")
	}
}

func TestAdminSQLScript(t *testing.T) {
	m := newProtoState(t)
	m.want(fakeProxy+`
		require("admin-sql")
		queued = nil
		proxy.queries = { append = function (_, id, packet, options)
			queued = id .. " " .. hex(packet) .. " " .. tostring(options.resultset_is_needed)
		end }
		function ask(query)
			queued = "nothing"
			return read_query("\3" .. query), queued
		end
		function result(id, raw)
			proxy.response = nil
			local r = read_query_result({ id = id, resultset = { raw = raw } })
			return r, (rawget(proxy, "response") or {}).type
		end
		return type(read_query)`, "function")
	for query, want := range map[string]string{
		"COMMIT SUICIDE": "8 08", "PING": "14 0e", "STATISTICS": "9 09", "PROCINFO": "10 0a", "TIME": "15 0f",
		"DEBUG": "13 0d", "PROCKILL": "12 0c", "SETOPT": "27 1b", "PREP": "22 16",
		"PREP1": "22 16" + "53454c454354203f",
		"EXEC":  "23 17", "EXEC1": "23 17" + "01000000" + "00" + "01000000" + "00" + "01" + "fe00" + "0431323334",
		"DEAL": "25 19", "DEAL1": "25 1901000000", "RESET": "26 1a", "RESET1": "26 1a01000000",
		"FETCH": "28 1c", "FETCH1": "28 1c" + "01000000" + "80000000", "FLIST": "4 04", "FLIST1": "4 04743100",
		"TDUMP": "19 13", "TDUMP1": "19 13" + "0474657374" + "027431", "TDUMP2": "19 13" + "0474657374" + "027432",
		"BINLOGDUMP": "18 12", "BINLOGDUMP1": "18 12" + "04000000" + "0000" + "02000000",
		"REGSLAVE": "21 15", "REGSLAVE1": "21 15" + "01000000" + "00" + "00" + "00" + "0000" + "00000000" + "00000000",
	} {
		m.want(`return ask("`+query+`")`, "1 "+want+" true")
	}
	m.want(`return ask("ping")`, "nil nothing")
	m.want(`return read_query("\14")`, "")
	m.want(`return p.from_stmt_execute_packet(unhex("17 01000000 00 01000000 00 01 fe00 0431323334"), 1).params[1].value`, "1234")
	m.want(`return result(proxy.COM_PING, "\0\0\0\2\0\0\0")`, "nil nil")
	m.want(`return result(proxy.COM_DEBUG, "\254\0\0\2\0")`, "2 0")
	m.want(`return result(proxy.COM_DEBUG, "\255\40\4#42000x")`, "nil nil")
	m.want(`local r = result(proxy.COM_STATISTICS, "Uptime: 1")
		local set = proxy.response.resultset
		return r, set.fields[1].name, set.rows[1][1]`, "2 statisitics Uptime: 1")
	m.want(`return result(99, "\0")`, "2 255")
}
