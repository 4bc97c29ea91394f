package luahooks

import (
	"testing"

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
	session := loggedIn()
	b.ReportAllocs()
	for b.Loop() {
		w.scripts.Open(session)
	}
}
