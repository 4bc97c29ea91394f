package luahooks

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// keepings are ways to keep x for later, and where it is then. up is a local variable
// of the script.
var keepings = map[string]struct{ keep, where string }{
	"a global":                          {`held = x`, `held`},
	"an upvalue":                        {`up = x`, `up`},
	"a field":                           {`store.x = x`, `store.x`},
	"an element":                        {`store[1] = x`, `store[1]`},
	"a field by a text":                 {`store["a" .. "b"] = x`, `store.ab`},
	"a key":                             {`store[x] = true`, `(next(store))`},
	"a list":                            {`up = {x}`, `up[1]`},
	"a record":                          {`up = {a = x}`, `up.a`},
	"a record in a field":               {`store.r = {a = {b = x}}`, `store.r.a.b`},
	"proxy.global":                      {`proxy.global.x = x`, `proxy.global.x`},
	"a field of proxy":                  {`proxy.mine = x`, `proxy.mine`},
	"a closure":                         {`up = function() return x end`, `up()`},
	"a closure from before":             {`local v; up = function() return v end; v = x`, `up()`},
	"a closure in a loop":               {`for _ = 1, 1 do local v = x; store.f = function() return v end end`, `store.f()`},
	"a function's argument":             {`local function keep(v) up = v end; keep(x)`, `up`},
	"a function of the chunk":           {`remember(x)`, `up`},
	"arguments without number":          {`(function(...) up = {...} end)(1, x)`, `up[2]`},
	"a function's result":               {`up = same(x)`, `up`},
	"a tail call":                       {`tail(x)`, `up`},
	"table.insert":                      {`table.insert(store, x)`, `store[1]`},
	"rawset":                            {`rawset(store, "x", x)`, `store.x`},
	"setfenv":                           {`local f = setfenv(function() return x end, {x = x}); up = f`, `up()`},
	"a metatable":                       {`up = setmetatable({}, {__index = {x = x}})`, `up.x`},
	"a metamethod for fields":           {`local t = setmetatable({}, {__newindex = function(_, _, v) up = v end}); t.x = x`, `up`},
	"a metamethod from before":          {`sink.x = x`, `up`},
	"a key that a metamethod sees":      {`local _ = sink[x]`, `up`},
	"a metamethod that is in Go":        {`raw.x = x`, `raw.x`},
	"a call of an object":               {`sink(x)`, `up`},
	"arithmetic":                        {`local _ = sink + x`, `up`},
	"a concatenation":                   {`local _ = sink .. x`, `up`},
	"a comparison":                      {`local _ = pcall(function() return sink < x end); up = x`, `up`},
	"a coroutine":                       {`up = coroutine.wrap(function(v) while true do coroutine.yield(v) end end); up(x)`, `up()`},
	"a coroutine from before":           {`waiting(x)`, `(waiting())`},
	"an error":                          {`local _, e = pcall(error, x); up = e`, `up`},
	"an error that ends the hook":       {`up = x; error("over")`, `up`},
	"a local that an upvalue is set to": {`local y = x; local z = y; up = z`, `up`},
	"a function kept in a table":        {`up = {f = function() return x end}`, `up.f()`},
	"ipairs":                            {`for _, v in ipairs({x}) do up = v end`, `up`},
	"unpack":                            {`up = select(2, unpack({1, x}))`, `up`},
	"an assignment of two":              {`up, store.x = 1, x`, `store.x`},
}

const keeper = `
local tokenizer, commands = require("proxy.tokenizer"), require("proxy.commands")
local up, calls = nil, 0
store = {}
raw = setmetatable({}, {__newindex = rawset})
sink = setmetatable({}, {
	__newindex = function(_, _, v) up = v end, __index = function(_, k) up = k end,
	__call = function(_, v) up = v end, __add = function(_, v) up = v end, __concat = function(_, v) up = v; return "" end,
	__lt = function(_, v) up = v; return true end,
})
local function same(v) return v end
local function remember(v) up = v end
local function last(v) up = v; return v end
local function tail(v) return last(v) end
waiting = coroutine.wrap(function(v) while true do local w = coroutine.yield(v); v = w or v end end)
local function use(x)
	calls = calls + 1
	if calls == 1 then
		KEEP
	elseif calls > 2 then
		local x = WHERE
		print(SHOW)
	end
end
`

// What a script keeps of what it was given is not used for the next query, in
// whatever way it is kept.
func TestWhatScriptsKeepStaysAsItIs(t *testing.T) {
	for what, object := range map[string]struct{ hook, make, show, want string }{
		"command":   {"read_query(p)", `commands.parse(p)`, `x.query, x.type_name`, "SELECT 'q1', 1\tCOM_QUERY"},
		"tokens":    {"read_query(p)", `tokenizer.tokenize(p:sub(2))`, `#x, x[2].text`, "4\tq1"},
		"token":     {"read_query(p)", `tokenizer.tokenize(p:sub(2))[2]`, `x.text, x.token_name`, "q1\tTK_STRING"},
		"first":     {"read_query(p)", `tokenizer.first_stmt_token(tokenizer.tokenize(p:sub(9)))`, `x.text`, "q1"},
		"result":    {"read_query_result(i)", `i.resultset`, `x.row_count, x.raw:byte(1, -1)`, "1\t1"},
		"rows":      {"read_query_result(i)", `i.resultset.rows`, `x()[1]`, "r1"},
		"fields":    {"read_query_result(i)", `i.resultset.fields`, `x[1].name`, "c1"},
		"injection": {"read_query_result(i)", `i`, `(pcall(function() return x.id end))`, "false"},
	} {
		for way, k := range keepings {
			t.Run(what+" in "+way, func(t *testing.T) {
				text := strings.NewReplacer("KEEP", k.keep, "WHERE", k.where, "SHOW", object.show).Replace(keeper)
				if object.hook == "read_query(p)" {
					text += "function read_query(p) use(" + object.make + ") end"
				} else {
					text += `function read_query(p) proxy.queries:append(1, p, { resultset_is_needed = true }); return proxy.PROXY_SEND_QUERY end
						function read_query_result(i) use(` + object.make + `) end`
				}
				w := newWorld(t, text, nil)
				s, session := w.open()
				var spare hook.Injections
				session.queue.Spare = &spare
				for n := 1; n <= 3; n++ {
					s.ReadQuery(fmt.Appendf(nil, "\x03SELECT 'q%d', %d", n, n))
					if in := session.queue.Pop(); in != nil {
						in.Result = hook.Result{Command: packet.ComQuery, Rows: uint64(n), Packets: oneRow(fmt.Sprint("c", n), fmt.Sprint("r", n))}
						if v := s.ReadQueryResult(in); v.Free { // as the engine does
							clear(in.Result.Packets)
							spare.Put(in)
						}
					}
				}
				if got := strings.TrimSpace(w.stdout.String()); got != object.want {
					t.Errorf("%q, want %q; log %q", got, object.want, w.log.all())
				}
			})
		}
	}
}

// oneRow is a result of one column with one row.
func oneRow(column, value string) []byte {
	def := packet.AppendLenEncString(nil, "def")
	for _, s := range []string{"", "", "", column, column} {
		def = packet.AppendLenEncString(def, s)
	}
	def = append(def, 12, 33, 0, 0, 0, 0, 0, 0xfd, 0, 0, 0, 0, 0)
	var out []byte
	for i, p := range [][]byte{{1}, def, {0xfe, 0, 0, 2, 0}, packet.AppendLenEncString(nil, value), {0xfe, 0, 0, 2, 0}} {
		out = packet.AppendPacket(out, byte(i+1), p)
	}
	return out
}

// A query of a splitting script takes no memory but for the texts: its payload and
// what stands behind the command, each with its place in Lua.
func TestSplittingScriptAllocatesTextsOnly(t *testing.T) {
	text, err := os.ReadFile("../bench/scripts/rw-classic.lua")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, string(text), nil)
	s, session := w.open()
	session.server.DefaultDB = "shop"
	replica := *session.server
	session.idle = map[int]*hook.Endpoint{1: session.server, 2: &replica}
	var spare hook.Injections
	session.queue.Spare = &spare
	if n := testing.AllocsPerRun(100, func() {
		session.setBackendWith = session.setBackendWith[:0]
		if v := s.ReadQuery(query); v.Action != hook.SendQuery {
			t.Fatalf("%+v, log %q", v, w.log.all())
		}
		in := session.queue.Pop()
		in.Result = hook.Result{Command: packet.ComQuery, Rows: 1, Status: packet.StatusAutocommit}
		if v := s.ReadQueryResult(in); v.Action != hook.Default || !v.Free {
			t.Fatalf("%+v, log %q", v, w.log.all())
		}
		spare.Put(in)
	}); n > 3 {
		t.Errorf("%v allocations a query", n)
	}
}
