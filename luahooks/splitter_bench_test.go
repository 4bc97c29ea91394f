package luahooks

import (
	"os"
	"strconv"
	"testing"

	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// BenchmarkSplitter is what a query costs in the two hooks of a splitting script
// in MySQL Proxy 0.8.5's style, with the engine left out: in one session, and in
// many in turn, which do not fit into the processor's first cache.
func BenchmarkSplitter(b *testing.B) {
	text, err := os.ReadFile("../bench/scripts/rw-classic.lua")
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{1, 64, 1024} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			w := newWorld(b, string(text), nil)
			var spare hook.Injections
			scripts, sessions := make([]*script, n), make([]*session, n)
			for i := range n {
				scripts[i], sessions[i] = w.open()
				session := sessions[i]
				session.queue.Spare = &spare
				session.server.DefaultDB = "shop"
				replica := *session.server
				session.idle = map[int]*hook.Endpoint{1: session.server, 2: &replica}
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s, session := scripts[i%n], sessions[i%n]
				session.setBackendWith = session.setBackendWith[:0]
				if v := s.ReadQuery(query); v.Action != hook.SendQuery || session.backend != 2 {
					b.Fatalf("read_query: %+v, backend %d: %q", v, session.backend, w.log.all())
				}
				in := session.queue.Pop()
				in.Result = hook.Result{Command: packet.ComQuery, Rows: 1, Status: packet.StatusAutocommit}
				if v := s.ReadQueryResult(in); v.Action != hook.Default || session.backend != 0 {
					b.Fatalf("read_query_result: %+v, backend %d: %q", v, session.backend, w.log.all())
				}
				spare.Put(in)
			}
		})
	}
}
