package luahooks

import (
	"runtime"
	"testing"
	"time"

	"mysqlproxy/engine/hook"
)

func TestHooksThatDoNotEndAreStopped(t *testing.T) {
	for name, body := range map[string]string{
		"loop":                          "while true do end",
		"loop with pcall":               "while true do pcall(function() while true do end end) end",
		"loop in an error handler":      "xpcall(error, function() while true do end end)",
		"loop in a coroutine":           "coroutine.resume(coroutine.create(function() while true do end end)) while true do end",
		"loop in a wrapped coroutine":   "coroutine.wrap(function() while true do end end)()",
		"loop in a nested coroutine":    "coroutine.wrap(function() coroutine.wrap(function() while true do end end)() end)()",
		"tail calls":                    "local function f() return f() end f()",
		"calls that grow exponentially": "local function f(n) if n > 0 then f(n - 1) f(n - 1) end end f(100)",
		"loop in a comparison":          "table.sort({ 3, 2, 1 }, function() while true do end end)",
		"loop in a metamethod":          "local t = setmetatable({}, { __index = function() while true do end end }) return t.x",
		"loop of goto":                  "for i = 1, math.huge do end",
	} {
		w := newWorld(t, "", func(o *Options) { o.Instructions = 200_000 })
		_, v := w.query(t, body)
		if v.Action != hook.Default {
			t.Errorf("%s: action %d", name, v.Action)
		}
		w.log.has(t, "ERROR (read_query) "+chunkName(w.path)+":", "stopped: more than 200000 instructions in one call")
		if got, _ := w.query(t, "print('next')"); got != "next" {
			t.Errorf("%s: the next hook prints %q", name, got)
		}
	}
}

func TestStoppedHookIsLoggedWithItsLine(t *testing.T) {
	w := newWorld(t, "function read_query()\n\nwhile true do end\nend", func(o *Options) { o.Instructions = 1000 })
	s, _ := w.open()
	s.ReadQuery(nil)
	w.log.has(t, chunkName(w.path)+":3: stopped: more than 1000 instructions")
}

func TestTimeIsLimited(t *testing.T) {
	w := newWorld(t, "", func(o *Options) { o.Time, o.Instructions = time.Millisecond, -1 })
	w.query(t, "while true do end")
	w.log.has(t, "stopped: more than 1ms in one call")
}

func TestMemoryIsLimited(t *testing.T) {
	w := newWorld(t, "", func(o *Options) { o.Memory, o.Time, o.Instructions = 8<<20, -1, -1 })
	w.query(t, "local t = {} while true do t[#t + 1] = {} end")
	w.log.has(t, "stopped: more than 8388608 bytes of memory in one call")
}

func TestGarbageIsNotMemory(t *testing.T) {
	w := newWorld(t, "", func(o *Options) { o.Memory = 64 << 20 })
	got, _ := w.query(t, "local n = 0 for i = 1, 400000 do local t = { i } n = n + #t end print(n)")
	if got != "400000" {
		t.Errorf("prints %q; log %q", got, w.log.all())
	}
}

func TestBudgetIsThatOfOneCall(t *testing.T) {
	w := newWorld(t, "function read_query() for i = 1, 1000 do end print('done') end", func(o *Options) { o.Instructions = 5000 })
	s, _ := w.open()
	for range 20 {
		s.ReadQuery(nil)
	}
	if got := w.log.all(); got != nil {
		t.Errorf("logs %q", got)
	}
}

func TestMainChunkHasABudgetToo(t *testing.T) {
	w := newWorld(t, "while true do end", func(o *Options) { o.Instructions = 1000 })
	s, _ := w.open()
	if v := s.ConnectServer(); v.Action != hook.SendResult {
		t.Errorf("action %d", v.Action)
	}
	w.log.has(t, "(lua-error) [", ":1: stopped: ")
}

func TestTablesByThreadIDAreSmall(t *testing.T) {
	w := newWorld(t, "", nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, _ := w.query(t, "local t = {} for id = 6e7, 6e7 + 9 do t[id] = id end t[6e7] = nil print(t[6e7], t[6e7 + 9])")
	runtime.ReadMemStats(&after)
	if got != "nil\t60000009" {
		t.Errorf("prints %q", got)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
		t.Errorf("%d bytes allocated", n)
	}
}
