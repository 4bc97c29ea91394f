package luahooks

import (
	"os"
	"testing"
	"time"

	"mysqlproxy/engine/hook"
)

var query = []byte("\x03SELECT id, name FROM customers WHERE id = 12345 ORDER BY name")

func benchmarkReadQuery(b *testing.B, text string) {
	s, session := newWorld(b, text, nil).open()
	if s.Hooks() != hook.ReadQuery {
		b.Fatalf("hooks are %b", s.Hooks())
	}
	b.ReportAllocs()
	for b.Loop() {
		session.queue.Reset()
		s.ReadQuery(query)
	}
}

func BenchmarkEmptyHook(b *testing.B) {
	benchmarkReadQuery(b, "function read_query(packet) end")
}

func BenchmarkReadQueryTypical(b *testing.B) {
	benchmarkReadQuery(b, testdata(b, "typical.lua"))
}

func BenchmarkReadQueryQueue(b *testing.B) {
	benchmarkReadQuery(b, `function read_query(packet)
		proxy.queries:append(1, packet, { resultset_is_needed = true })
		return proxy.PROXY_SEND_QUERY
	end`)
}

func BenchmarkOpenSession(b *testing.B) {
	w := newWorld(b, testdata(b, "typical.lua"), nil)
	long := time.Now().Add(-time.Hour) // a new file would be read each time
	if err := os.Chtimes(w.path, long, long); err != nil {
		b.Fatal(err)
	}
	session := loggedIn()
	b.ReportAllocs()
	for b.Loop() {
		w.scripts.Open(session)
	}
}

// BenchmarkLoop shows what the loop of our own gains: a loop of 2,000 instructions
// and a hook of everyday size, in it and in gopher-lua's, which does not count.
func BenchmarkLoop(b *testing.B) {
	for name, text := range map[string]string{
		"loop":    "function read_query() local s = 0 for i = 1, 1000 do s = s + 1 end end",
		"typical": testdata(b, "typical.lua"),
	} {
		for _, ours := range []bool{true, false} {
			what := name + "/ours"
			if !ours {
				what = name + "/gopher-lua"
			}
			b.Run(what, func(b *testing.B) {
				s, _ := newWorld(b, text, nil).open()
				if !ours {
					s.vm.l.RemoveContext()
				}
				for b.Loop() {
					s.ReadQuery(query)
				}
			})
		}
	}
}
