package luahooks

import (
	"testing"
)

func TestQueue(t *testing.T) {
	w := newWorld(t, "", nil)
	w.write(t, testdata(t, "queue.lua"))
	s, session := w.open()
	s.ReadQuery([]byte("\x03x"))
	if got := w.stdout.String(); got != "0\n3 3\n" {
		t.Errorf("prints %q; log %q", got, w.log.all())
	}
	want := []struct {
		id     int
		query  string
		needed bool
	}{{7, "first\x00", true}, {1, "second", false}, {2, "0.1", false}}
	for _, w := range want {
		in := session.queue.Pop()
		if in == nil {
			t.Fatal("the queue is too short")
		}
		if in.ID != w.id || in.Query != w.query || in.ResultNeeded != w.needed || in.Queued.IsZero() {
			t.Errorf("%+v, want %+v", in, w)
		}
	}
}

func TestQueueRefusesOtherArguments(t *testing.T) {
	w := newWorld(t, "", nil)
	for args, want := range map[string]string{
		`"x", "q"`:                            "#2",
		`nil, "q"`:                            "#2",
		`1`:                                   "#3",
		`1, {}`:                               "#3",
		`1, "q", { resultset_is_needed = 1 }`: "resultset_is_needed has to be a boolean",
		`1, "q", { resultset_is_needed = "yes" }`: "resultset_is_needed has to be a boolean",
		`1, "q", true`: "table expected",
		`1, "q", "x"`:  "table expected",
	} {
		for _, method := range []string{"append", "prepend"} {
			got, _ := w.query(t, `print(pcall(proxy.queries.`+method+`, proxy.queries, `+args+`))`)
			contains(t, method+"("+args+")", got, "false", want)
		}
	}
	got, _ := w.query(t, `print(pcall(proxy.queries.append, proxy.connection, 1, "q"))`)
	contains(t, "another object", got, "false", "bad argument #1")
	got, _ = w.query(t, `print(pcall(proxy.queries.reset))`)
	contains(t, "no object", got, "false", "bad argument #1")
	got, _ = w.query(t, `proxy.queries:append(1, "q", { backend_ndx = 1 }) print(#proxy.queries, proxy.queries.other)`)
	contains(t, "unknown options", got, "1\tnil")
}
