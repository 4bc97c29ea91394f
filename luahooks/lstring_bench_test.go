package luahooks

import (
	"io"
	"testing"

	lua "github.com/yuin/gopher-lua"
)

// BenchmarkString runs each function in a loop of 100 calls, on ours and on
// gopher-lua's library. The time is that of 100 calls with the loop.
func BenchmarkString(b *testing.B) {
	for _, row := range []struct{ name, call string }{
		{"byte", `byte(packet)`},
		{"byteIndex", `byte(packet, 2)`},
		{"sub", `sub(packet, 2)`},
		{"sub1", `sub(packet, 2, 2)`},
		{"upper", `upper(word)`},
		{"upperNothing", `upper("SELECT")`},
		{"findPlain", `find(packet, "customers", 1, true)`},
		{"findClass", `find(packet, "%d+")`},
		{"match", `match(packet, "^.%s*[Ss][Ee][Ll][Ee][Cc][Tt]%s")`},
		{"matchCaptures", `match("key = value", "^(%w+)%s*=%s*(%w+)$")`},
		{"gsub", `gsub(packet, "%d", "?")`},
		{"format", `format("%s:%d %5.2f", word, 42, 1.5)`},
		{"rep", `rep("ab", 10)`},
		{"lower", `lower(packet)`},
	} {
		chunk := `local byte, sub, upper, lower, find = string.byte, string.sub, string.upper, string.lower, string.find
			local match, gsub, format, rep = string.match, string.gsub, string.format, string.rep
			local packet = "\3SELECT id, name FROM customers WHERE id = 12345 AND x = 'abc'"
			local word = "select"
			return function() for i = 1, 100 do local r = ` + row.call + ` end end`
		for _, side := range []struct {
			name string
			open func(*lua.LState)
		}{
			{"ours", func(l *lua.LState) { openStdlib(l, io.Discard) }},
			{"gopherlua", func(l *lua.LState) { l.OpenLibs() }},
		} {
			b.Run(row.name+"/"+side.name, func(b *testing.B) {
				l := lua.NewState(lua.Options{SkipOpenLibs: true, RegistrySize: 64 << 10})
				defer l.Close()
				side.open(l)
				if err := l.DoString(chunk); err != nil {
					b.Fatal(err)
				}
				benchmarkCall(b, l, l.Get(-1))
			})
		}
	}
}

// BenchmarkLanguage is what else a script does all the time.
func BenchmarkLanguage(b *testing.B) {
	for _, row := range []struct{ name, body string }{
		{"concat", `local s = "a" .. i .. word .. ","`},
		{"pcall", `local ok = pcall(nothing, i)`},
		{"pcallError", `local ok = pcall(error, "x")`},
		{"pairs", `for k, v in pairs(t) do end`},
		{"pairsArray", `for k, v in pairs(a) do end`},
		{"ipairs", `for k, v in ipairs(a) do end`},
		{"tostring", `local s = tostring(i)`},
		{"tonumber", `local n = tonumber("12345")`},
		{"insertRemove", `table.insert(a, i) table.remove(a)`},
	} {
		chunk := `local word, nothing = "word", function() end
			local t, a = {}, {} for i = 1, 8 do t["key" .. i] = i a[i] = i end
			return function() for i = 1, 100 do ` + row.body + ` end end`
		b.Run(row.name+"/ours", func(b *testing.B) {
			l := newLua(b, io.Discard)
			f, err := loadChunk(l, []byte(chunk), "=bench")
			if err != nil {
				b.Fatal(err)
			}
			l.Push(f)
			l.Call(0, 1)
			benchmarkCall(b, l, l.Get(-1))
		})
		b.Run(row.name+"/gopherlua", func(b *testing.B) {
			l := lua.NewState()
			defer l.Close()
			if err := l.DoString(chunk); err != nil {
				b.Fatal(err)
			}
			benchmarkCall(b, l, l.Get(-1))
		})
	}
}

func benchmarkCall(b *testing.B, l *lua.LState, f lua.LValue) {
	b.ReportAllocs()
	for b.Loop() {
		l.Push(f)
		l.Call(0, 0)
	}
}
