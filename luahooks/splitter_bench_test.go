package luahooks

import (
	"os"
	"testing"

	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// BenchmarkSplitter is what a query costs in the two hooks of a splitting script
// in MySQL Proxy 0.8.5's style, with the engine left out.
func BenchmarkSplitter(b *testing.B) {
	text, err := os.ReadFile("../bench/scripts/rw-classic.lua")
	if err != nil {
		b.Fatal(err)
	}
	w := newWorld(b, string(text), nil)
	s, session := w.open()
	session.client.DefaultDB, session.server.DefaultDB = "shop", "shop"
	replica := *session.server
	session.idle = map[int]*hook.Endpoint{1: session.server, 2: &replica}
	b.ReportAllocs()
	for b.Loop() {
		session.queue.Reset()
		session.setBackendWith = session.setBackendWith[:0]
		if v := s.ReadQuery(query); v.Action != hook.SendQuery || session.backend != 2 {
			b.Fatalf("read_query: %+v, backend %d: %q", v, session.backend, w.log.all())
		}
		in := session.queue.Pop()
		in.Result = hook.Result{Command: packet.ComQuery, Rows: 1, Status: packet.StatusAutocommit}
		if v := s.ReadQueryResult(in); v.Action != hook.Default || session.backend != 0 {
			b.Fatalf("read_query_result: %+v, backend %d: %q", v, session.backend, w.log.all())
		}
	}
}
