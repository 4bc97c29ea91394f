package luahooks

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// TestLoopsCallHooksAtOnce has several loops run whole sessions in one state,
// and each in its own, while the script changes on disk.
func TestLoopsCallHooksAtOnce(t *testing.T) {
	const loops, sessions, queries = 4, 20, 10
	for _, perLoop := range []int{0, loops} {
		w := newWorld(t, testdata(t, "count.lua"), func(o *Options) { o.PerLoop = perLoop })
		var wg sync.WaitGroup
		for loop := range loops {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := range sessions {
					runSession(t, w, loop, i, queries)
				}
			}()
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 5 {
				w.write(t, testdata(t, "count.lua")+strings.Repeat("\n", i+1))
			}
		}()
		wg.Wait()
		if got := w.log.all(); got != nil {
			t.Fatalf("logs %q", got)
		}
		total := 0
		for loop := range max(1, perLoop) {
			s := w.scripts.Open(&session{loop: loop})
			v := s.ReadQuery([]byte("total"))
			n, err := strconv.Atoi(string(v.Response[0]))
			if err != nil {
				t.Fatal(err)
			}
			total += n
		}
		if want := loops * sessions * queries; total != want {
			t.Errorf("with %d states the scripts have counted %d queries, want %d", perLoop, total, want)
		}
	}
}

func runSession(t *testing.T, w *world, loop, i, queries int) {
	session := loggedIn()
	session.loop = loop
	s := w.scripts.Open(session)
	if s.Hooks() == 0 || s.Hooks()&hook.ConnectServer != 0 {
		t.Errorf("hooks are %b", s.Hooks())
	}
	s.ReadAuthResult([]byte{0})
	for q := range queries {
		text := fmt.Sprintf("\x03%d-%d-%d", loop, i, q)
		if v := s.ReadQuery([]byte(text)); v.Action != hook.SendQuery {
			t.Errorf("read_query: action %d", v.Action)
			return
		}
		in := session.queue.Pop()
		if in.Query != text {
			t.Errorf("queued is %q, want %q", in.Query, text)
		}
		in.Result = hook.Result{Packets: twoRows(session41), Command: packet.ComQuery, Capabilities: session41}
		if v := s.ReadQueryResult(in); v.Action != hook.SendResult || string(v.Response[0]) != text {
			t.Errorf("read_query_result: %d %q", v.Action, shown(v))
		}
	}
	s.DisconnectClient()
}
