package luahooks

import (
	"os"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"

	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// bothLoops runs the text as the body of read_query in our loop and in gopher-lua's
// and returns what each prints, with what it logs.
func bothLoops(t *testing.T, text string) (ours, theirs string) {
	t.Helper()
	one := func(ours bool) string {
		w := newWorld(t, text, func(o *Options) {
			if !ours {
				o.Instructions, o.Time, o.Memory = -1, -1, -1
			}
		})
		s, session := w.open()
		if !ours {
			s.vm.l.RemoveContext()
		}
		session.server.DefaultDB = "shop"
		replica := *session.server
		session.idle = map[int]*hook.Endpoint{1: session.server, 2: &replica}
		for range 2 {
			v := s.ReadQuery(query)
			if in := session.queue.Pop(); in != nil {
				in.Result = hook.Result{Command: packet.ComQuery, OK: true, InsertID: 7, Status: packet.StatusInTrans}
				s.ReadQueryResult(in)
			}
			_, _ = w.stdout.WriteString(strings.Join(shown(v), "|"))
		}
		return w.stdout.String() + "\n" + strings.Join(w.log.all(), "\n")
	}
	return one(true), one(false)
}

// What a script sees is the same whether our loop does an instruction or leaves it
// to gopher-lua.
func TestLoopDoesAsGopherLuaDoes(t *testing.T) {
	for name, body := range map[string]string{
		"arithmetic":       `print(1 + 2, 5 - 7, 0 - 0, 1 / (0 * -1), 2^53 + 1, "10" + 1, 3 - "1", 7 % 3, 6 % 3, 0 % 3, -7 % 3, 7 % -3, 7.5 % 2, 7 % 0.5, 1 % 0, 2^32 % 7, 2^40 % 1000, 1 % 2^33, "7" % 4, 1 / (0 % -1))`,
		"comparisons":      `print(1 == 1, 1 == "1", "a" == "a", nil == false, 1 < 2, 2 <= 2, "a" < "b", 0/0 == 0/0, {} == {}, 1 ~= 2, not (1 >= 2))`,
		"comparison fails": `print(pcall(function() return 1 < "2" end)); print(pcall(function() return {} <= {} end))`,
		"logic":            `local a, b; print(a or 1, b and 2, 0 and "zero", false or nil, not a, not 0)`,
		"for":              `for i = 3, 1, -1 do io.write(i, " ") end; for i = 1, 0 do print("never") end; for i = 0.5, 2 do io.write(i, " ") end; for i = "1", "3" do io.write(i, " ") end; print(pcall(function() for i = 1, {} do end end))`,
		"upvalues":         `local n = 0; local function f() n = n + 1; return n end; f(); f(); print(n, f())`,
		"lengths":          `print(#"abc", #{1, 2, nil}, #proxy.global.backends, #proxy.queries, pcall(function() return #nil end))`,
		"length of a proxy object with metamethods": `print(#setmetatable({}, {__len = function() return 9 end}))`,
		"tables":        `local t = {a = 1, 2}; t.b = t.a; t[2] = 3; print(t.a, t.b, t[1], t[2], t.c, t[9], t["a"], t[1.5])`,
		"metatables":    `local log = {}; local t = setmetatable({}, {__index = function(_, k) return k .. "!" end, __newindex = function(t, k, v) rawset(t, k, v * 2) end}); t.x = 2; print(t.x, t.y, t[1])`,
		"index nil":     `print(pcall(function() local t; return t.x end)); print(pcall(function() local t; t.x = 1 end)); print(pcall(function() local t = {}; return t.a.b end)); print(pcall(function() return nope:method() end))`,
		"strings":       `print(("aB9"):upper(), ("aB9"):lower(), ("abc"):sub(2), ("abc"):sub(-2, -1), ("abc"):byte(), ("abc"):byte(9), ("abc"):len(), ("x"):rep(3))`,
		"string errors": `print(pcall(string.upper)); print(pcall(function() return ("x"):sub() end)); print(pcall(function() return ("x"):nope() end)); print(pcall(function() return string.char(256) end))`,
		"find": `local f = string.find; local function show(...) print(select("#", ...), ...) end
			local a, b, c, d, e = ("key = value"):find("(%w+)%s*=%s*(%w+)"); show(a, b, c, d, e)
			a, b, c = f("abc", "b"); show(a, b, c); a, b, c = f("abc", "x"); show(a, b, c); a, b, c = f("abc", "()b()", -2); show(a, b, c)
			a = f("a+b", "+", 1, true); show(a, (f("abc", "[a", 1, true))); a, b = f("aXa", "%u", "2"); show(a, b); a, b = f("", ""); show(a, b); a, b = f("abc", "", 10); show(a, b); a, b = f(12, 2); show(a, b)
			show(pcall(function() local a, b, c = f("abc", "(b"); return a end)); show(pcall(function() local a = f("abc", "[b"); return a end)); show(pcall(function() local a, b = f("abc"); return a end))
			show(pcall(function() local a, b = f("abc", "%"); return a end)); a, b = f("abc", "b", nil); show(a, b); a, b, c, d, e = f("abcdefghi", "(a)(b)(c)(d)"); show(a, b, c, d, e); for i = 1, 2 do local p, q, r = f("x1y2", "(%d)", i); show(p, q, r) end`,
		"numbers as strings":         `print(string.byte(12), string.upper(5), string.sub(123, 2), string.char("65"), tonumber("0x10"), tostring(nil), type(nil), pcall(type))`,
		"concatenation":              `print(1 .. "a" .. 2.5, pcall(function() return "a" .. {} end))`,
		"methods of strings changed": `local m = getmetatable(""); m.__index = function(s, k) return function() return s .. "." .. k end end; print(("a"):upper(), ("b"):nope())`,
		"library changed":            `string.upper = function() return "mine" end; print(("a"):upper(), string.upper("a")); string.upper = nil; print(pcall(function() return ("a"):upper() end))`,
		"global replaced":            `type = function() return "mine" end; print(type(1)); proxy = setmetatable({}, {__index = function(_, k) return k end}); print(proxy.connection, proxy.queries)`,
		"constants change": `for i = 1, 9 do io.write(tostring(proxy.COM_QUERY), " ")
			if i == 1 then proxy.COM_QUERY = 9 elseif i == 2 then rawset(proxy, "COM_QUERY", nil) elseif i == 3 then rawset(proxy, "COM_QUERY", "raw")
			elseif i == 4 then coroutine.wrap(function() proxy.COM_QUERY = "co" end)() elseif i == 5 then proxy["COM" .. "_QUERY"] = "concat"
			elseif i == 6 then getfenv(print).proxy.COM_QUERY = "fenv" elseif i == 7 then proxy.__index = 1; proxy.COM_QUERY = nil end end`,
		"private fields change": `local p, was, co = __proxy, proxy.connection, coroutine.wrap(function() __proxy.connection = "co" end)
			for i = 1, 12 do io.write(tostring(proxy.connection == was and "was" or proxy.connection), tostring(proxy.queries == nil), type(getmetatable(__proxy)), " ")
			if i == 1 then proxy.connection = 1 elseif i == 2 then __proxy.connection = 2 elseif i == 3 then p["con" .. "nection"] = 3
			elseif i == 4 then rawset(p, "connection", 4) elseif i == 5 then co() elseif i == 6 then setmetatable(p, {}) p.connection = 6 elseif i == 7 then setmetatable(p, nil) p.connection = 7
			elseif i == 8 then p.connection = nil p.queries = nil elseif i == 9 then setmetatable(p, {__index = function(_, k) return k end}) elseif i == 10 then setmetatable(p, nil) p.connection = was
			elseif i == 11 then debug.setmetatable(p, {__newindex = function(t, k, v) rawset(t, k, "new") end}) proxy.nope = 1 io.write(proxy.nope) end end`,
		"proxy changes": `local old = proxy; for i = 1, 6 do io.write(tostring(proxy.COM_QUERY), " ")
			if i == 1 then _G.proxy = {COM_QUERY = "G"} elseif i == 2 then rawset(_G, "proxy", {COM_QUERY = "raw"})
			elseif i == 3 then coroutine.wrap(function() _G.proxy = {COM_QUERY = "co"} end)() elseif i == 4 then proxy = {COM_QUERY = "own"} elseif i == 5 then proxy = nil; _G.proxy = old end end`,
		"string changes": `local upper = string.upper; for i = 1, 7 do io.write(("a"):upper(), string.upper("b"), " ")
			if i == 1 then string.upper = function() return "f" end elseif i == 2 then string["up" .. "per"] = function() return "g" end
			elseif i == 3 then rawset(string, "upper", function() return "raw" end) elseif i == 4 then coroutine.wrap(function() string.upper = function() return "co" end end)()
			elseif i == 5 then local s = string; s.upper = upper elseif i == 6 then string = {upper = function() return "mine" end} end end`,
		"branches":                        `local n = 0; for i = 1, 4 do while i > n do n = n + 1; if n == 3 or not (n ~= 1) then io.write(n, "!") elseif n >= 4 and i then io.write(n, "?") end end end; repeat n = n - 1 until n <= 0; print(n, n == 0 and "zero" or "other", n ~= 0)`,
		"_G.proxy replaced":               `_G.proxy = { connection = "c" }; print(proxy.connection, proxy.queries)`,
		"private fields":                  `proxy.connection = 5; print(proxy.connection, proxy.mine); proxy.mine = 1; print(proxy.mine, rawget(proxy, "mine")); rawset(proxy, "queries", "raw"); print(proxy.queries)`,
		"proxy's metatable changed":       `getmetatable(proxy).__index = function(_, k) return "any " .. k end; print(proxy.connection, proxy.nope)`,
		"environment's metatable":         `setmetatable(getfenv(1), {__index = function(_, k) return _G[k] or k end}); print(nope, type(print))`,
		"class changed":                   `local m = getmetatable(proxy.connection); local old = m.__index; m.__index = function(o, k) return k == "client" and "hidden" or old(o, k) end; print(proxy.connection.client, proxy.connection.backend_ndx)`,
		"connection":                      `local c = proxy.connection; print(c.backend_ndx, c.client.username, c.client.default_db, c.server.default_db, c.server.thread_id, c.client.src.name, c.client.src.port, c.client.dst.name, c.nope, pcall(function() return c.default_db end))`,
		"endpoint errors":                 `print(proxy.connection.client.nope, proxy.connection.server.username, pcall(function() return proxy.connection.server.address end))`,
		"connection written":              `proxy.connection.backend_ndx = 2; print(proxy.connection.backend_ndx); proxy.connection.backend_ndx = "1"; print(proxy.connection.backend_ndx, pcall(function() proxy.connection.backend_ndx = {} end), pcall(function() proxy.connection.x = 1 end))`,
		"backends":                        `local b = proxy.global.backends; for i = 1, #b do print(b[i].type, b[i].state, b[i].dst.name, b[i].connected_clients, b[i].uuid, b[i].pool.users[""].cur_idle_connections, b[i].pool.users.app.cur_idle_connections, b[i].pool.min_idle_connections, b[i].nope) end; print(b[0], b[3], b["2"].type, pcall(function() return b.x end)); b[1].state = 2; b[1].pool.max_idle_connections = 5; print(b[1].state, b[1].pool.max_idle_connections, b[1] == b[1])`,
		"queue":                           `proxy.queries:append(1, packet); proxy.queries:append(2, "x", {resultset_is_needed = true}); proxy.queries:prepend("3", "y", nil); print(#proxy.queries, proxy.queries:len()); print(pcall(function() proxy.queries:append({}, "x") end)); print(pcall(function() proxy.queries:append(1) end)); print(pcall(function() proxy.queries:append(1, "x", {resultset_is_needed = 1}) end)); print(pcall(function() proxy.queries.append(nil, 1, "x") end)); proxy.queries:reset(); print(#proxy.queries, proxy.queries.nope)`,
		"options of its own":              `local o = {resultset_is_needed = true}; proxy.queries:append(1, packet, o); print(o.resultset_is_needed); proxy.queries.append = nil; local q = { append = function(_, id, p, o) o.more = 1; return o end }; local a, b = q:append(1, "x", {resultset_is_needed = true}), q:append(1, "x", {resultset_is_needed = true}); print(a == b, a.more, b.resultset_is_needed); proxy.queries:reset()`,
		"tokens":                          `local t = require("proxy.tokenizer").tokenize("SELECT Name, 'x''y' FROM t -- c"); for i = 1, #t do io.write(t[i].token_name, "=", t[i].text, "/", t[i].token_id, "/", t[i].text:upper(), " ") end; print(t[0], t[99], t["1"].text, pcall(function() return t.x end), pcall(function() return t[1].x end)); local k = t[1]; t[1] = nil; print(t[1], pcall(function() return k.text end)); print(require("proxy.tokenizer").first_stmt_token(t).text, pcall(require("proxy.tokenizer").first_stmt_token, 1))`,
		"commands":                        `local c = require("proxy.commands"); local cmd = c.parse(packet); local n = 0; for k, v in pairs(cmd) do n = n + 1; io.write(k, "=", tostring(v), " ") end; cmd.extra = 1; print(n, cmd.extra, c.parse(packet).extra, c.parse("\22x").type_name, c.parse("\1").type_name, pcall(c.parse, "")); for k in pairs(c.parse(packet)) do io.write(k, " ") end; local x = c.parse(packet); x.type = nil; x.z = 2; for k in pairs(x) do io.write(k, ";") end`,
		"balance":                         `local b = require("proxy.balance"); print(b.idle_ro(), b.idle_failsafe_rw()); proxy.global.backends[2].state = proxy.BACKEND_STATE_DOWN; print(b.idle_ro()); proxy.BACKEND_TYPE_RO = proxy.BACKEND_TYPE_RW; print(b.idle_ro()); proxy.global.backends = {}; print(b.idle_ro(), b.idle_failsafe_rw())`,
		"balance with another connection": `proxy.connection = { client = { username = "" } }; print((require("proxy.balance").idle_ro()))`,
		"auto-config":                     `local a = require("proxy.auto-config"); proxy.global.config.x = {y = 1}; local r = a.handle(proxy.global.config, {type = 3, query = "select 1"}); print(r); local s = a.handle(proxy.global.config, {type = 3, query = "PROXY SHOW CONFIG"}); print(s, #proxy.response.resultset.rows); print((a.handle({type = 3, query = "x"})), pcall(a.handle, proxy.global.config, {type = 3})); proxy.response = nil`,
		"errors say the line":             "\n\nlocal x = {}\nlocal y = x.a.b",
		"error in a method":               "\nproxy.connection.client.src.nope.x = 1",
		"varargs and tail calls":          `local function f(...) return select("#", ...), ... end; local function g(...) return f(...) end; print(g(1, nil, 3)); print((g(1, 2)))`,
		"many results":                    `local t = {string.byte("abc", 1, 3)}; print(#t, string.byte("abc", 1, 2)); print((string.byte("abc", 2, 3)))`,
		"coroutines":                      `local co = coroutine.wrap(function(a) for i = 1, 3 do a = coroutine.yield(a .. i .. proxy.connection.client.username) end return ("x"):upper() end); print(co("a"), co("b"), co("c"), co("d"))`,
		"deep recursion":                  `local function f(n) return n == 0 and 0 or 1 + f(n - 1) end; print(f(500))`,
		"debug":                           `print(debug.getupvalue(string.upper, 1), debug.getinfo(string.upper).nups, debug.getinfo(string.upper).what); print(pcall(debug.getinfo)); debug.getregistry(); print(proxy.connection.backend_ndx)`,
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := bothLoops(t, "function read_query(packet)\n"+body+"\nend")
			if ours != theirs {
				t.Errorf("our loop:\n%s\ngopher-lua's:\n%s", ours, theirs)
			}
		})
	}
}

func TestLoopDoesAsGopherLuaDoesWithResults(t *testing.T) {
	ours, theirs := bothLoops(t, `
		function read_query(packet)
			proxy.queries:append(4, packet, { resultset_is_needed = true })
			return proxy.PROXY_SEND_QUERY
		end
		function read_query_result(inj)
			local r = inj.resultset
			print(inj.id, inj.type, inj.query, r.insert_id, r.affected_rows, r.query_status, r.row_count, r.bytes, r.warning_count, r.nope, inj.nope)
			print(r.flags.in_trans, r.flags.auto_commit, r.flags.no_index_used, r.flags.nope)
			local f = r.flags
			f.in_trans = "mine"
			print(f.in_trans, r.flags.in_trans, pcall(function() return r.rows end))
			kept = inj
			return proxy.PROXY_IGNORE_RESULT
		end`)
	if ours != theirs || !strings.Contains(ours, "true\tfalse") {
		t.Errorf("our loop:\n%s\ngopher-lua's:\n%s", ours, theirs)
	}
}

// Scripts of everyday size go past the metamethods, which is what makes them cheap.
func TestSplittingScriptsAllocateLittle(t *testing.T) {
	text, err := os.ReadFile("../bench/scripts/rw-classic.lua")
	if err != nil {
		t.Fatal(err)
	}
	s, session := newWorld(t, string(text), nil).open()
	session.server.DefaultDB = "shop"
	replica := *session.server
	session.idle = map[int]*hook.Endpoint{1: session.server, 2: &replica}
	n := testing.AllocsPerRun(100, func() {
		session.setBackendWith = session.setBackendWith[:0]
		s.ReadQuery(query)
		in := session.queue.Pop()
		in.Result = hook.Result{Command: packet.ComQuery, Rows: 1, Status: packet.StatusAutocommit}
		s.ReadQueryResult(in)
	})
	if n > 20 {
		t.Errorf("%v allocations in the two hooks of a query, want at most 20", n)
	}
}

// A hook that a hook defines is found, however it was assigned.
func TestHooksThatHooksDefine(t *testing.T) {
	for name, body := range map[string]string{
		"global":                     `read_query_result = f`,
		"_G":                         `_G.read_query_result = f`,
		"_G by key":                  `local k = "read_query_result"; _G[k] = f`,
		"rawset":                     `rawset(_G, "read_query_result", f)`,
		"environment":                `getfenv(1).read_query_result = f`,
		"coroutine":                  `coroutine.wrap(function() read_query_result = f end)()`,
		"loaded":                     `loadstring("read_query_result = function() end")()`,
		"iterator":                   `table.foreach({1}, function() read_query_result = f end)`,
		"in place of something else": `read_query_result = f`,
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newWorld(t, "read_query_result = 5\n_G.read_query_result = _G.read_query_result or 5\n"+
				"local f = function() end\nfunction read_query() if _G.off then read_query_result, _G.read_query_result = nil, nil else\n"+body+
				"\nif type(rawget(getfenv(1), 'read_query_result')) ~= 'function' then read_query_result = nil end end end", nil).open()
			if s.Hooks() != hook.ReadQuery {
				t.Fatalf("hooks are %b before", s.Hooks())
			}
			s.ReadQuery(query)
			if want := hook.ReadQuery | hook.ReadQueryResult; s.Hooks() != want || s.function(hook.ReadQueryResult) == nil {
				t.Errorf("hooks are %b, want %b", s.Hooks(), want)
			}
			s.vm.l.G.Global.RawSetString("off", lua.LTrue)
			s.ReadQuery(query)
			if s.Hooks() != hook.ReadQuery || s.function(hook.ReadQueryResult) != nil {
				t.Errorf("hooks are %b after", s.Hooks())
			}
		})
	}
}

// A variable of its own in place of proxy is seen, also if it was there before.
func TestLoopSeesAnotherProxy(t *testing.T) {
	ours, theirs := bothLoops(t, "proxy = proxy\nproxy = nil\n"+`function read_query()
		print(type(proxy.connection))
		proxy = { connection = 5 }
		print(proxy.connection)
	end`)
	if ours != theirs || !strings.Contains(ours, "userdata\n5\nnumber\n5") {
		t.Errorf("our loop:\n%s\ngopher-lua's:\n%s", ours, theirs)
	}
}
