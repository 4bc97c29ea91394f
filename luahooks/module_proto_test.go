package luahooks

import (
	"strconv"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
)

// newProtoState has hex(s), unhex(s) and dump(t), which writes a table's fields
// in the order of their names.
func newProtoState(t *testing.T) *moduleState {
	m := newModuleState(t)
	m.want(`
		p = require("mysql.proto")
		function hex(s) return (s:gsub(".", function (c) return ("%02x"):format((c:byte(1))) end)) end
		function unhex(s) return (s:gsub("%s", ""):gsub("..", function (h) return string.char(tonumber(h, 16)) end)) end
		function dump(t)
			local keys, out = {}, {}
			for k in pairs(t) do keys[#keys + 1] = k end
			table.sort(keys)
			for _, k in ipairs(keys) do out[#out + 1] = k .. "=" .. tostring(t[k]) end
			return table.concat(out, " ")
		end
		return p == proto`, "true")
	return m
}

func TestProtoReplies(t *testing.T) {
	m := newProtoState(t)
	for lua, want := range map[string]string{
		`hex(p.to_err_packet({}))`: "ff0000" + "23" + "3037303030",
		`hex(p.to_err_packet({errcode = 1064, sqlstate = "42000", errmsg = "no"}))`:                      "ff2804" + "23" + "3432303030" + "6e6f",
		`p.to_err_packet({sqlstate = "4"}):sub(5)`:                                                       "40000",
		`p.to_err_packet({sqlstate = "1234567"}):sub(5)`:                                                 "12345",
		`#p.to_err_packet({errmsg = ("x"):rep(600)})`:                                                    "521",
		`dump(p.from_err_packet("\255\40\4#42000no"))`:                                                   "errcode=1064 errmsg=no sqlstate=42000",
		`dump(p.from_err_packet("\255\40\4#42000"))`:                                                     "errcode=1064 sqlstate=42000",
		`hex(p.to_ok_packet({}))`:                                                                        "00" + "00" + "00" + "0000" + "0000",
		`hex(p.to_ok_packet({affected_rows = 251, insert_id = 70000, server_status = 2, warnings = 1}))`: "00" + "fcfb00" + "fd701101" + "0200" + "0100",
		`dump(p.from_ok_packet(unhex("00 fcfb00 fd701101 0200 0100 6d6f7265")))`:                         "affected_rows=251 insert_id=70000 server_status=2 warnings=1",
		`p.from_ok_packet(p.to_ok_packet({insert_id = 2^40})).insert_id == 2^40`:                         "true",
		`hex(p.to_eof_packet({server_status = 2, warnings = 3}))`:                                        "fe" + "0300" + "0200",
		`dump(p.from_eof_packet("\254\3\0\2\0"))`:                                                        "server_status=2 warnings=3",
		`hex(p.to_ok_packet({affected_rows = "7"}))`:                                                     "00" + "07" + "00" + "0000" + "0000",
	} {
		m.want("return "+lua, want)
	}
	for lua, want := range map[string]string{
		`p.from_err_packet("\255\40\4")`:            "too short",
		`p.from_err_packet("\255\40\4no message")`:  "without SQLSTATE",
		`p.from_err_packet("\0\0\0\0\0\0\0\0\0\0")`: "starts with 0, expected 255",
		`p.from_err_packet("")`:                     "too short",
		`p.from_err_packet()`:                       "string expected",
		`p.from_ok_packet("\255\0\0\0")`:            "starts with 255, expected 0",
		`p.from_ok_packet("\0\252\1")`:              "too short",
		`p.from_ok_packet("\0\251\0\0\0\0\0")`:      "too short",
		`p.from_eof_packet("\254\0\0\0")`:           "too short",
		`p.from_eof_packet({})`:                     "string expected",
		`p.to_ok_packet()`:                          "exactly one argument",
		`p.to_ok_packet({}, {})`:                    "exactly one argument",
		`p.to_ok_packet("x")`:                       "table expected",
		`p.to_err_packet({errcode = "x"})`:          "field 'errcode' must be a number",
		`p.to_err_packet({errmsg = {}})`:            "field 'errmsg' must be a string",
	} {
		m.wantError("return "+lua, want)
	}
}

func TestProtoGreeting(t *testing.T) {
	m := newProtoState(t)
	m.want(`return #p.to_challenge_packet({server_status = 2, server_version = 50034})`, "53")
	m.want(`return hex(p.to_challenge_packet({}))`, "0a"+"352e302e393900"+"00000000"+"3031323334353637"+"00"+
		"0082"+"00"+"0000"+"0000"+"00"+strings.Repeat("00", 10)+"383930313233343536373839"+"00")
	for number, text := range map[int]string{50114: "5.01.14", 80036: "8.00.36", 30000: "5.0.99", 100000: "5.0.99", 0: "5.0.99"} {
		m.SetGlobal("v", lua.LNumber(number))
		m.want(`return p.to_challenge_packet({server_version = v}):match("^.([^%z]*)")`, text)
	}
	m.want(`return dump(p.from_challenge_packet(p.to_challenge_packet({server_version = 50144, thread_id = 70000,
			charset = 33, server_status = 2, challenge = "abcdefghijklmnopqrst", capabilities = 512 + 32768 + 8})))`,
		"capabilities=33288 challenge=abcdefghijklmnopqrst charset=33 protocol_version=0 server_status=2 server_version=50144 thread_id=70000")
	m.want(`return p.from_challenge_packet(p.to_challenge_packet({challenge = "abcdefgh", capabilities = 512})).challenge`, "abcdefgh")
	m.want(`return p.from_challenge_packet(p.to_challenge_packet({challenge = "abcdefgh"})).challenge`, "abcdefgh890123456789")
	m.want(`plugin = 512 + 32768 + 0x80000
		local g = p.from_challenge_packet(p.to_challenge_packet({server_version = 50603, capabilities = plugin,
			challenge = "abcdefghijklmnopqrst\0", auth_plugin_name = "mysql_native_password"}))
		return #g.challenge, g.auth_plugin_name, g.capabilities == plugin`, "21 mysql_native_password true")
	m.want(`local with = #p.to_challenge_packet({server_version = 50510, capabilities = plugin, challenge = ("x"):rep(21)})
		local without = #p.to_challenge_packet({server_version = 50601, capabilities = plugin, challenge = ("x"):rep(21)})
		return with - without`, "1")
	m.wantError(`p.to_challenge_packet({capabilities = plugin})`, "needs a challenge")
	m.wantError(`p.to_challenge_packet({challenge = "short"})`, "5 bytes")
	m.wantError(`p.to_challenge_packet({challenge = ("x"):rep(256)})`, "255 at most")
	m.wantError(`p.from_challenge_packet("\9abc")`, "starts with 9, expected 10")
	m.want(`local g = p.to_challenge_packet({server_version = 50603, capabilities = plugin, challenge = ("x"):rep(21)})
		local failed = 0
		for i = 0, 29 + 15 do if not pcall(p.from_challenge_packet, g:sub(1, i)) then failed = failed + 1 end end
		return failed`, "45")
	for version, number := range map[string]uint64{"5.1.44-log": 50144, "8.0.36": 80036, "10.11.6-MariaDB": 101106, "x": 0, "5.1": 0, "99999.1.1": 0, "": 0} {
		if got := serverVersionNumber(version); got != number {
			t.Errorf("serverVersionNumber(%q) = %d, want %d", version, got, number)
		}
	}
}

func TestProtoLogin(t *testing.T) {
	m := newProtoState(t)
	m.want(`full = 8 + 512 + 32768 + 0x80000
		login = { capabilities = full, server_capabilities = full, max_packet_size = 16777216, charset = 33,
			username = "user", response = ("r"):rep(20), database = "db", auth_plugin_name = "mysql_native_password" }
		local t = p.from_response_packet(p.to_response_packet(login), full)
		for k, v in pairs(login) do if t[k] ~= v then return k, v, t[k] end end
		for k, v in pairs(t) do if login[k] ~= v then return k, v end end
		return "same"`, "same")
	m.want(`return hex(p.to_response_packet({server_capabilities = 512 + 32768, username = "a", response = "bc", charset = 8,
			max_packet_size = 1, database = "dropped"}))`,
		"00820000"+"01000000"+"08"+strings.Repeat("00", 23)+"6100"+"026263")
	m.want(`return p.from_response_packet(p.to_response_packet({username = "a", database = "db"}), 8 + 512 + 32768).database`, "db")
	m.want(`login.server_capabilities = 8 + 512; local t = p.from_response_packet(p.to_response_packet(login), 8 + 512)
		return t.response, t.database, t.auth_plugin_name`, strings.Repeat("r", 20)+" db nil")
	m.want(`return dump(p.from_response_packet(p.to_response_packet({capabilities = 8, server_capabilities = 8,
			max_packet_size = 5, username = "old", response = "12345678", database = "db"}), 8))`,
		"capabilities=8 database=db max_packet_size=5 response=12345678 server_capabilities=8 username=old")
	m.want(`return dump(p.from_response_packet(p.to_response_packet({server_capabilities = 33280, max_packet_size = 1}), 33280))`,
		"capabilities=33280 charset=8 max_packet_size=1 server_capabilities=33280")
	m.want(`lenenc = full + 0x200000
		return #p.from_response_packet(p.to_response_packet({capabilities = lenenc, server_capabilities = lenenc,
			response = ("r"):rep(300)}), lenenc).response`, "300")
	m.wantError(`p.to_response_packet({server_capabilities = full, response = ("r"):rep(256)})`, "255 at most")
	m.wantError(`p.to_response_packet({server_capabilities = "x"})`, "must be a number")
	m.wantError(`p.from_response_packet("abc")`, "number expected")
	m.wantError(`p.from_response_packet("abc", {})`, "number expected")
	m.want(`login.server_capabilities = full
		local s, failed = p.to_response_packet(login), 0
		for i = 0, 32 + 5 + 20 do if not pcall(p.from_response_packet, s:sub(1, i), full) then failed = failed + 1 end end
		return failed, 32 + 5 + 21`, "58 58")
}

func TestProtoMasterInfo(t *testing.T) {
	m := newProtoState(t)
	const head = "bin.000001\n4\nhost\nuser\n\n3306\n60\n0\n\n\n\n\n\n"
	m.SetGlobal("head", lua.LString(head))
	m.want(`return dump(p.from_masterinfo_string("14\n" .. head))`,
		"master_connect_retry=60 master_host=host master_lines=14 master_log_file=bin.000001 master_log_pos=4 "+
			"master_port=3306 master_ssl=0 master_user=user")
	m.want(`return p.from_masterinfo_string("15\n" .. head .. "1\n").master_ssl_verify_server_cert`, "1")
	m.want(`return p.from_masterinfo_string("15\n" .. head .. "1").master_ssl_verify_server_cert`, "1")
	m.want(`for _, s in ipairs({ "14\n" .. head, "15\n" .. head .. "0\n" }) do
			if p.to_masterinfo_string(p.from_masterinfo_string(s)) ~= s then return "differs" end
		end
		return "same"`, "same")
	m.want(`return select(2, p.to_masterinfo_string({}):gsub("\n", ""))`, "15")
	m.wantError(`p.from_masterinfo_string("15\n" .. head)`, "ends before its line 15, master_ssl_verify_server_cert")
	m.wantError(`p.from_masterinfo_string("14\nx")`, "ends before its line 3")
	m.wantError(`p.from_masterinfo_string("x\n")`, "line 1 of master.info, master_lines, is no number")
	m.wantError(`p.from_masterinfo_string("")`, "ends before its line 1")
	m.wantError(`p.to_masterinfo_string({master_host = "a\nb"})`, "single line")
	m.wantError(`p.to_masterinfo_string()`, "exactly one argument")
}

func TestProtoStatements(t *testing.T) {
	m := newProtoState(t)
	m.want(`return dump(p.from_stmt_prepare_packet("\22SELECT ?"))`, "stmt_text=SELECT ?")
	m.want(`return dump(p.from_stmt_prepare_ok_packet(unhex("00 01000000 0200 0300 00 0400")))`,
		"num_columns=2 num_params=3 stmt_id=1 warnings=4")
	m.want(`return dump(p.from_stmt_close_packet(unhex("19 05000000")))`, "stmt_id=5")
	m.want(`return p.stmt_id_from_stmt_execute_packet(unhex("17 05000000 99"))`, "5")
	m.want(`return dump(p.from_stmt_execute_packet(unhex("17 05000000 01 01000000"), 0))`,
		"flags=1 iteration_count=1 new_params_bound=false stmt_id=5")
	m.want(`return dump(p.from_stmt_execute_packet(unhex("17 05000000 00 01000000 00 00"), 3))`,
		"flags=0 iteration_count=1 new_params_bound=false stmt_id=5")
	m.wantError(`p.from_stmt_execute_packet(unhex("17 05000000 00 01000000"))`, "number expected")
	m.wantError(`p.from_stmt_execute_packet(unhex("17 05000000 00 01000000"), -1)`, "out of range")
	m.wantError(`p.from_stmt_execute_packet(unhex("17 05000000 00 01000000 00 01"), 65535)`, "too short")
	m.wantError(`p.from_stmt_prepare_packet("\3SELECT")`, "starts with 3, expected 22")
	m.wantError(`p.from_stmt_prepare_ok_packet(unhex("00 01000000 0200 0300 00 04"))`, "too short")
	m.wantError(`p.from_stmt_close_packet(unhex("19 050000"))`, "too short")
	m.wantError(`p.stmt_id_from_stmt_execute_packet("\23")`, "too short")

	for name, row := range map[string]struct{ typ, value, want string }{
		"tiny":           {"0100", "ff", "255"},
		"short":          {"0200", "ffff", "65535"},
		"long":           {"0300", "ffffffff", "4294967295"},
		"longlong":       {"0800", "ffffffffffffffff", "-1"},
		"float":          {"0400", "0000003f", "0.5"},
		"double":         {"0500", "000000000000f8bf", "-1.5"},
		"null by type":   {"0600", "", "nil"},
		"string":         {"fe00", "0331323334", "123"},
		"var string":     {"fd00", "00", ""},
		"blob":           {"fc00", "026100", "a\x00"},
		"medium blob":    {"fa00", "0161", "a"},
		"long blob":      {"fb00", "0161", "a"},
		"varchar":        {"0f00", "0161", "a"},
		"unsigned flag":  {"0180", "80", "128"},
		"date":           {"0a00", "04da070a11", "2010-10-17"},
		"empty date":     {"0a00", "00", "0000-00-00"},
		"datetime":       {"0c00", "0bda070a11131b1e01000000", "2010-10-17 19:27:30.000000001"},
		"short datetime": {"0c00", "04da070a11", "2010-10-17 00:00:00.000000000"},
		"timestamp":      {"0700", "07da070a11131b1e", "2010-10-17 19:27:30.000000000"},
		"time":           {"0b00", "0c0178000000131b1e01000000", "-120 19:27:30.000000001"},
		"empty time":     {"0b00", "00", "0 00:00:00.000000000"},
		"time, 8 bytes":  {"0b00", "080078000000131b1e", "120 19:27:30.000000000"},
	} {
		t.Run(name, func(t *testing.T) {
			m.t = t
			typ, _ := strconv.ParseInt(row.typ[:2], 16, 64)
			m.SetGlobal("body", lua.LString("17 05000000 00 01000000 00 01 "+row.typ+row.value))
			m.want(`local t = p.from_stmt_execute_packet(unhex(body), 1)
				return t.params[1].type, t.params[1].value`, strconv.FormatInt(typ, 10)+" "+row.want)
			if row.value == "" || row.value == "0331323334" {
				return
			}
			m.wantError(`p.from_stmt_execute_packet(unhex(body):sub(1, -2), 1)`, "too short")
		})
	}
	m.t = t
	for _, typ := range []string{"f6", "09", "f9", "f7", "f8", "10", "ff", "00"} {
		m.SetGlobal("body", lua.LString("17 05000000 00 01000000 00 01 "+typ+"00 0131"))
		m.wantError(`p.from_stmt_execute_packet(unhex(body), 1)`, "can't decode type")
	}
	m.wantError(`p.from_stmt_execute_packet(unhex("17 05000000 00 01000000 00 01 0a00 05da070a1100"), 1)`, "date of 5 bytes")
	m.wantError(`p.from_stmt_execute_packet(unhex("17 05000000 00 01000000 00 01 0b00 05da070a1100"), 1)`, "time of 5 bytes")
	m.want(`local t = p.from_stmt_execute_packet(unhex("17 05000000 00 01000000 05 01 0100 0200 0300 07 00"), 3)
		return t.params[1].value, t.params[2].value, t.params[3].value, #t.params`, "nil 7 nil 3")
}

// FuzzProto: no payload does more than raise an error.
func FuzzProto(f *testing.F) {
	for _, s := range []string{"\x00\x00\x00\x02\x00\x00\x00", "\xff\x28\x04#42000x", "\x0a5.1.44\x00", "\x17\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x01\x0c\x00\x0b", "14\na\n4\n"} {
		f.Add(s, uint32(0xffffffff), uint16(3))
	}
	l := lua.NewState()
	f.Cleanup(l.Close)
	openProto(l)
	module := l.Get(-1).(*lua.LTable)
	f.Fuzz(func(t *testing.T, s string, caps uint32, params uint16) {
		module.ForEach(func(name, fn lua.LValue) {
			if !strings.Contains(name.String(), "from_") {
				return
			}
			second := lua.LNumber(caps)
			if strings.Contains(name.String(), "execute") {
				second = lua.LNumber(params)
			}
			top := l.GetTop()
			err := l.CallByParam(lua.P{Fn: fn, NRet: 1, Protect: true}, lua.LString(s), second)
			l.SetTop(top)
			if err != nil && strings.Contains(err.Error(), "runtime error") {
				t.Fatalf("%s: %v", name, err)
			}
		})
	})
}
