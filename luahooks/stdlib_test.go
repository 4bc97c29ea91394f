package luahooks

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// TestStandardOutput: by blocks into a file, by lines elsewhere, the rest when
// flushed.
func TestStandardOutput(t *testing.T) {
	var lines bytes.Buffer
	l := newLua(t, &lines)
	run(t, l, `print("a", 1.5, nil) io.write("b", 0.1)`)
	if got := lines.String(); got != "a\t1.5\tnil\n" {
		t.Errorf("a writer has %q before the end of a line", got)
	}
	flushStdout(l)
	if got := lines.String(); got != "a\t1.5\tnil\nb0.1" {
		t.Errorf("a writer has %q after a flush", got)
	}

	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size := func() int {
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		return int(info.Size())
	}
	l = newLua(t, f)
	run(t, l, `print("a") io.stdout:write("b\n")`)
	if size() != 0 {
		t.Error("a file has something before the buffer is full")
	}
	run(t, l, `for i = 1, 500 do print("0123456789") end`)
	if n := size(); n < 4096 || (n-4)%11 != 0 {
		t.Errorf("a file has %d bytes, want whole lines of a block", n)
	}
	run(t, l, `io.stdout:flush()`)
	if n := size(); n != 4+500*11 {
		t.Errorf("a file has %d bytes after a flush, want %d", n, 4+500*11)
	}
	run(t, l, `io.stdout:setvbuf("no") io.write("x")`)
	if n := size(); n != 5+500*11 {
		t.Errorf("a file has %d bytes without a buffer, want %d", n, 5+500*11)
	}
}

// TestPrintUsesTostring: as in C, print calls the global.
func TestPrintUsesTostring(t *testing.T) {
	var out bytes.Buffer
	l := newLua(t, &out)
	got := run(t, l, `local old = tostring
		tostring = function(v) return "<" .. old(v) .. ">" end
		print(1, nil)
		tostring = function() return {} end
		local ok, why = pcall(print, 1)
		tostring = old
		return why`)
	if out.String() != "<1>\t<nil>\n" || got[0] != "'tostring' must return a string to 'print'" {
		t.Errorf("%q, %q", out.String(), got)
	}
}

// TestExitWritesWhatIsPending: os.exit loses nothing that was written.
func TestExitWritesWhatIsPending(t *testing.T) {
	var out bytes.Buffer
	l := newLua(t, &out)
	code := -1
	shared(l).exit = func(c int) { code = c }
	name := filepath.Join(t.TempDir(), "file")
	l.SetGlobal("name", lua.LString(name))
	run(t, l, `f = io.open(name, "w") f:write("kept") io.write("also") os.exit(3)`)
	text, err := os.ReadFile(name)
	if err != nil || string(text) != "kept" || out.String() != "also" || code != 3 {
		t.Errorf("file %q (%v), output %q, code %d", text, err, out.String(), code)
	}
}

// TestForgottenFilesAreWritten: the collector closes a file that no script has any
// more.
func TestForgottenFilesAreWritten(t *testing.T) {
	l := newLua(t, &bytes.Buffer{})
	name := filepath.Join(t.TempDir(), "file")
	l.SetGlobal("name", lua.LString(name))
	run(t, l, `local f = io.open(name, "w") f:write("kept")`)
	run(t, l, `local function f(...) return ... end return f(1, 2, 3, 4, 5, 6, 7, 8, 9)`) // over the stack
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		runtime.GC()
		if text, err := os.ReadFile(name); err == nil && string(text) == "kept" {
			return
		}
	}
	t.Error("the file is empty")
}

// TestDeepRecursion: as deep as C's Lua, then an error that can be caught.
func TestDeepRecursion(t *testing.T) {
	l := newLua(t, &bytes.Buffer{})
	deep := fmt.Sprint(depth(15_000))
	for chunk, want := range map[string]string{
		`local function f(n) if n == 0 then return 0 end return 1 + f(n - 1) end return f(` + deep + `)`:                                                          deep,
		`local function f() return 1 + f() end local ok, why = pcall(f) return ok, (why:find("stack overflow", 1, true))~=nil`:                                    "false true",
		`local function f() return pcall(f) end return f()`:                                                                                                       "",
		`local t = setmetatable({}, {}) getmetatable(t).__index = t return pcall(function() return t.x end)`:                                                      "",
		`local s = 0 local function f() s = s + 1 error("x") end for i = 1, 2000 do pcall(f) end return s`:                                                        "2000",
		`local function f(s) return (s:gsub(".", function(c) return f(c) end)) end local ok, why = pcall(f, "a") return ok, (why:find("overflow", 1, true))~=nil`: "false true",
	} {
		got := strings.Join(run(t, l, chunk), " ")
		if want != "" && got != want {
			t.Errorf("%s: %.200q, want %q", chunk, got, want)
		}
		if again := run(t, l, `return 1 + 1`); again[0] != "2" {
			t.Errorf("after %s: %q", chunk, again)
		}
	}
}

// TestErrorsOfGoFunctions: modules that use gopher-lua's checks get C's texts.
func TestErrorsOfGoFunctions(t *testing.T) {
	l := newLua(t, &bytes.Buffer{})
	mod := l.SetFuncs(l.NewTable(), map[string]lua.LGFunction{
		"f": func(l *lua.LState) int { l.CheckString(2); return 0 },
		"g": func(l *lua.LState) int { l.RaiseError("broken %d", 5); return 0 },
		"p": func(l *lua.LState) int { panic("a bug") },
		"e": func(l *lua.LState) int { l.ArgError(1, "too odd"); return 0 },
	})
	l.SetGlobal("mod", mod)
	for chunk, want := range map[string]string{
		`mod.f(1)`:               "p:1: bad argument #2 to 'f' (string expected, got no value)",
		`mod.f(1, {})`:           "p:1: bad argument #2 to 'f' (string expected, got table)",
		`mod:f()`:                "p:1: bad argument #1 to 'f' (string expected, got no value)",
		`mod.e()`:                "p:1: bad argument #1 to 'e' (too odd)",
		`mod:e()`:                "p:1: calling 'e' on bad self (too odd)",
		`mod.g()`:                "p:1: broken 5",
		`mod.p()`:                "a bug",
		`return pcall(mod.p)`:    "false a bug",
		`return pcall(mod.f, 1)`: "false p:1: bad argument #2 to '?' (string expected, got no value)",
		`local ok = pcall(mod.p) return ok, mod ~= 5`: "false true",
	} {
		if got := strings.Join(run(t, l, chunk), " "); got != want {
			t.Errorf("%s: %q, want %q", chunk, got, want)
		}
	}
}

// TestAPanicClosesUpvalues: also where a function in Go fails by a panic, closures
// keep their variables.
func TestAPanicClosesUpvalues(t *testing.T) {
	l := newLua(t, &bytes.Buffer{})
	l.SetGlobal("crash", l.NewFunction(func(*lua.LState) int { panic("crash") }))
	got := run(t, l, `local f
		local x = 1
		local function outer() return x end
		pcall(function() local z = "inner" f = function() return z end crash() end)
		local function over(a, b, c, d, e) return a end
		over(1, 2, 3, 4, 5)
		x = 2
		return f(), outer()`)
	if strings.Join(got, " ") != "inner 2" {
		t.Errorf("%q", got)
	}
}

// TestSmallPartsLetGo: a part of a large string does not keep the string.
func TestSmallPartsLetGo(t *testing.T) {
	l := newLua(t, &bytes.Buffer{})
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	run(t, l, `kept = {} for i = 1, 50 do local s = ("x"):rep(2^20) .. i kept[i] = s:sub(10, 20) .. s:match("%d+") end`)
	if grown := int64(heap()) - int64(before); grown > 16<<20 {
		t.Errorf("50 parts of 11 bytes keep %d MiB", grown>>20)
	}
	runtime.KeepAlive(l)
}

// TestTraceback: what the host's hooks show. Nothing of the host is in it.
func TestTraceback(t *testing.T) {
	l := newLua(t, &bytes.Buffer{})
	proto, err := compileText(strings.NewReader("function hook()\n\n\treturn (debug.traceback())\nend"), chunkID("/tmp/dummy.lua"))
	if err != nil {
		t.Fatal(err)
	}
	l.Push(l.NewFunctionFromProto(proto))
	if err := protectedCall(l, 0, 0, nil); err != nil {
		t.Fatal(err)
	}
	l.Push(l.GetGlobal("hook"))
	if err := protectedCall(l, 0, 1, nil); err != nil {
		t.Fatal(err)
	}
	want := "stack traceback:\n\t[string \"/tmp/dummy.lua\"]:3: in function <[string \"/tmp/dummy.lua\"]:1>"
	if got := l.Get(-1).String(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestLongTraceback: of many levels the first and the last are shown.
func TestLongTraceback(t *testing.T) {
	l := newLua(t, &bytes.Buffer{})
	got := run(t, l, `local function f(n) if n == 0 then return (debug.traceback()) end local r = f(n - 1) return r end return f(50)`)
	if lines := strings.Split(got[0], "\n"); len(lines) != 1+12+1+10 || lines[13] != "\t..." {
		t.Errorf("%d lines: %q", len(lines), got[0])
	}
}

// TestModulesFromFiles: require finds files on package.path, with dotted names, and
// says what it has tried.
func TestModulesFromFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"one.lua":       "#!/usr/bin/lua\nmodule('one', package.seeall)\nfunction f() return _NAME .. tostring(1e15) end",
		"two/three.lua": "local n = ... return {name = n, line = debug.getinfo(1, 'l').currentline, src = debug.getinfo(1, 'S').short_src:sub(-9)}",
		"bad.lua":       "x = = 1",
		"fails.lua":     "\nerror('on purpose')",
		"bom.lua":       "\xef\xbb\xbfx = 1",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l := newLua(t, &bytes.Buffer{})
	l.SetGlobal("dir", lua.LString(dir))
	run(t, l, `package.path = dir .. "/?.lua;" .. dir .. "/none/?.lua" package.cpath = dir .. "/?.so"`)
	if err := os.WriteFile(filepath.Join(dir, "clib.so"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for chunk, want := range map[string]string{
		`require("one") return one.f(), package.loaded.one == one`:                                                         "one1e+15 true",
		`local m = require("two.three") return m.name, m.line, m.src, m == require("two.three")`:                           "two.three 1 three.lua true",
		`return select(2, pcall(require, "bad"))`:                                                                          "error loading module 'bad' from file '" + dir + "/bad.lua':\n\t" + dir + "/bad.lua:1: unexpected symbol near '='",
		`return pcall(require, "fails")`:                                                                                   "false " + dir + "/fails.lua:2: on purpose",
		`return (select(2, pcall(require, "none"))):gsub(dir, "D")`:                                                        "module 'none' not found:\n\tno field package.preload['none']\n\tno file 'D/none.lua'\n\tno file 'D/none/none.lua'\n\tno file 'D/none.so' 3",
		`return (select(2, pcall(require, "clib"))):match("clib.so.*")`:                                                    "clib.so' is a library in C, which this program cannot load: use a module written in Lua",
		`return loadfile(dir .. "/bom.lua") == nil`:                                                                        "true",
		`local f = loadfile(dir .. "/two/three.lua") return f("x").name, dofile(dir .. "/one.lua")`:                        "x",
		`return select(3, package.loadlib(dir .. "/clib.so", "f"))`:                                                        "open",
		`return (select(2, package.loadlib(dir .. "/clib.so", "f"))):match("cannot load")`:                                 "cannot load",
		`for l in io.lines(dir .. "/fails.lua") do if l ~= "" then return l end end`:                                       "error('on purpose')",
		`local n = 0 for l in io.popen("printf 'a\\nb'"):lines() do n = n + #l end return n`:                               "2",
		`local a, b, c = io.open(dir):read(1) return a, b, c`:                                                              "nil Is a directory 21",
		`io.output(dir .. "/o") io.write("x", 1) io.close() io.output(io.stdout) return #io.input(dir .. "/o"):read("*a")`: "2",
	} {
		if got := strings.Join(run(t, l, chunk), " "); got != want {
			t.Errorf("%s:\n got %q\nwant %q", chunk, got, want)
		}
	}
}

// TestWalksOfManyTables: nested and interrupted walks see each key once.
func TestWalksOfManyTables(t *testing.T) {
	l := newLua(t, &bytes.Buffer{})
	got := run(t, l, `
		local tables = {}
		for i = 1, 9 do local t = {} for j = 1, 7 do t["k" .. i * j] = j end tables["t" .. i] = t end
		local n = 0
		for _, a in pairs(tables) do for _, b in pairs(tables) do for k in pairs(a) do for q in pairs(b) do n = n + 1 end end end end
		local big, seen = {}, 0
		for i = 1, 1000 do big["key" .. i] = i big[i] = i end
		for k, v in pairs(big) do seen = seen + v big[k] = nil end
		local objects, count = {}, 0
		for i = 1, 20 do objects[{}] = i objects["s" .. i] = i end
		for k, v in pairs(objects) do count = count + v end
		return n, seen, next(big), count, pcall(next, {a = 1}, "b")`)
	if want := fmt.Sprint(81*49, " ", 2*1000*1001/2, " nil ", 2*20*21/2, " false invalid key to 'next'"); strings.Join(got, " ") != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestClearedKeysAreForgotten: a table that had many keys once does not keep their
// room, and walks that are under way go on.
func TestClearedKeysAreForgotten(t *testing.T) {
	l := newLua(t, &bytes.Buffer{})
	got := run(t, l, `
		keep = {}
		local hidden = {}
		local function use() return hidden end
		_G.use = use
		for i = 1, 10000 do keep["c" .. i] = i hidden["h" .. i] = i keep["c" .. i - 5] = nil hidden["h" .. i - 5] = nil end
		list = {} for i = 1, 10000 do list[i] = i end for i = 10000, 11, -1 do list[i] = nil end
		local n = 0
		local big = {} for i = 1, 2000 do big["k" .. i] = i end _G.big = big
		for k, v in pairs(big) do
			n = n + v
			big[k] = nil
			if n % 100 == 0 then collectgarbage() end
		end
		collectgarbage()
		local order = {} for k in pairs(keep) do order[#order + 1] = k end table.sort(order)
		keep.new = 1
		return n, table.concat(order, " "), keep.c10000, keep.c1, keep.new, #list, list[10], next(big), hidden.h9999`)
	if want := "2001000 c10000 c9996 c9997 c9998 c9999 10000 nil 1 10 10 nil 9999"; strings.Join(got, " ") != want {
		t.Errorf("%q, want %q", got, want)
	}
	for _, name := range []string{"keep", "big"} {
		if n := len(hashKeys(l.GetGlobal(name).(*lua.LTable))); n > 2*leastCleared {
			t.Errorf("%s still has %d keys", name, n)
		}
	}
	if n := cap(arrayPart(l.GetGlobal("list").(*lua.LTable))); n > 100 {
		t.Errorf("list still has room for %d", n)
	}
	if n := compactTables(l); n != 0 {
		t.Errorf("%d tables were compacted again", n)
	}
}

// TestCoroutinesAndErrors: errors in coroutines are caught where they
// should be, and their closures keep their variables.
func TestCoroutinesAndErrors(t *testing.T) {
	l := newLua(t, &bytes.Buffer{})
	for chunk, want := range map[string]string{
		`local x = 1 local function get() return x end
		 local co = coroutine.create(function() pcall(error, "a") coroutine.yield() error("b") end)
		 coroutine.resume(co) x = 2 local ok, why = coroutine.resume(co) x = 3 return get(), ok, why`: "3 false p:2: b",
		`local f local co = coroutine.wrap(function() local v = 1 f = function() v = v + 1 return v end coroutine.yield() return v end)
		 co() f() f() return co()`: "3",
		`local co = coroutine.create(function() local t return t.x end) return coroutine.resume(co)`: "false p:1: attempt to index local 't' (a nil value)",
		`local ok, why = pcall(coroutine.wrap(function() local a = undefined.x end)) return why`:     "p:1: attempt to index global 'undefined' (a nil value)",
		`local gen = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end)
		 local s = 0 for v in gen do s = s + v end return s`: "6",
	} {
		if got := strings.Join(run(t, l, chunk), " "); got != want {
			t.Errorf("%s: %q, want %q", chunk, got, want)
		}
	}
}
