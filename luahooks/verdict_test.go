package luahooks

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"mysqlproxy/engine/hook"
)

// TestReturnValues has every hook and every kind of value. The letter is the
// verdict: d default, q send query, r send result, i ignore result. In read_query
// a number that is none of these is a failure.
func TestReturnValues(t *testing.T) {
	values := []string{"nil", "0", "1", "2", "4", "3", "-1", "5", `"2"`, `" 2.9 "`, "2.9", "true", "{}", `"two"`, "0/0", "1e300"}
	letters := map[hook.Action]byte{hook.Default: 'd', hook.SendQuery: 'q', hook.SendResult: 'r', hook.IgnoreResult: 'i'}
	collected := &hook.Injection{ResultNeeded: true}
	for _, tc := range []struct {
		hook string
		call func(*script) hook.Verdict
		want string
	}{
		{"connect_server", (*script).ConnectServer, "dddriddd" + "rrrddddd"},
		{"read_handshake", (*script).ReadHandshake, "ddrrdddd" + "rrrddddd"},
		{"read_auth", (*script).ReadAuth, "ddqrdddd" + "rrrddddd"},
		{"read_auth_result", func(s *script) hook.Verdict { return s.ReadAuthResult([]byte{0}) }, "dddriddd" + "rrrddddd"},
		{"read_query", func(s *script) hook.Verdict { return s.ReadQuery([]byte{3}) }, "ddqrdddd" + "rrrddddd"},
		{"read_query_result", func(s *script) hook.Verdict { return s.ReadQueryResult(collected) }, "ddiriiii" + "rrrddddi"},
		{"read_query_result", func(s *script) hook.Verdict { return s.ReadQueryResult(&hook.Injection{}) }, "dddddddd" + "dddddddd"},
	} {
		for i, value := range values {
			w := newWorld(t, "function "+tc.hook+"()\nproxy.queries:append(1, 'x')\nproxy.response = { type = 0 }\n"+
				"return "+value+"\nend", nil)
			s, session := w.open()
			v := tc.call(s)
			if got := letters[v.Action]; got != tc.want[i] {
				t.Errorf("%s returning %s: %c, want %c", tc.hook, value, got, tc.want[i])
			}
			if (v.Action == hook.SendResult) != (len(v.Response) > 0) {
				t.Errorf("%s returning %s: %d payloads", tc.hook, value, len(v.Response))
			}
			odd := tc.hook == "read_query" && slices.Contains([]string{"4", "3", "-1", "5", "1e300"}, value)
			if v.Failed != odd {
				t.Errorf("%s returning %s: failed is %t", tc.hook, value, v.Failed)
			}
			if tc.hook == "read_query" && (v.Action == hook.SendQuery) != (session.queue.Len() > 0) {
				t.Errorf("read_query returning %s: %d queries are left in the queue", value, session.queue.Len())
			}
		}
	}
}

func TestWrongDecisionsOfReadQueryAreLogged(t *testing.T) {
	for body, want := range map[string]string{
		"return proxy.PROXY_SEND_QUERY":    "proxy.queries is empty",
		"proxy.queries:append(1, 'x')":     "PROXY_SEND_QUERY is not returned",
		"return proxy.PROXY_IGNORE_RESULT": "returned 4, which means nothing",
		"return 3":                         "returned 3",
		"return -1":                        "returned -1",
	} {
		w := newWorld(t, "", nil)
		failed := strings.HasPrefix(body, "return")
		if _, v := w.query(t, body); v.Action != hook.Default || v.Failed != failed {
			t.Errorf("%s: action %d, failed %t", body, v.Action, v.Failed)
		}
		w.log.has(t, "ERROR (read_query) ", want)
	}
}

func TestWrongDecisionsOfReadQueryResultAreLogged(t *testing.T) {
	for _, tc := range []struct {
		needed bool
		n      int
		level  string
	}{{false, 2, "ERROR"}, {false, 4, "ERROR"}, {false, 3, "ERROR"}, {true, 3, levelMessage.String()}} {
		w := newWorld(t, "function read_query_result() return "+strconv.Itoa(tc.n)+" end", nil)
		s, _ := w.open()
		s.ReadQueryResult(&hook.Injection{ResultNeeded: tc.needed})
		w.log.has(t, tc.level+" (read_query_result) returned "+strconv.Itoa(tc.n))
	}
}

func TestReadAuthWithoutQueryIsNoDecision(t *testing.T) {
	w := newWorld(t, "function read_auth() return proxy.PROXY_SEND_QUERY end", nil)
	s, session := w.open()
	if v := s.ReadAuth(); v.Action != hook.Default {
		t.Errorf("action %d with an empty queue", v.Action)
	}
	session.queue.Append(&hook.Injection{})
	if v := s.ReadAuth(); v.Action != hook.SendQuery {
		t.Errorf("action %d with a query", v.Action)
	}
}

func TestHookThatFailsIsAsIfItWereNotThere(t *testing.T) {
	w := newWorld(t, testdata(t, "fail.lua"), nil)
	s, session := w.open()
	for name, call := range map[string]func() hook.Verdict{
		"connect_server":    s.ConnectServer,
		"read_handshake":    s.ReadHandshake,
		"read_auth":         s.ReadAuth,
		"read_auth_result":  func() hook.Verdict { return s.ReadAuthResult(nil) },
		"read_query":        func() hook.Verdict { return s.ReadQuery(nil) },
		"read_query_result": func() hook.Verdict { return s.ReadQueryResult(&hook.Injection{ResultNeeded: true}) },
		"disconnect_client": func() hook.Verdict { s.DisconnectClient(); return hook.Verdict{} },
	} {
		session.queue.Reset()
		if v := call(); v.Action != hook.Default || v.Response != nil || v.Failed != (name != "disconnect_client") {
			t.Errorf("%s: verdict %v", name, v)
		}
		w.log.has(t, "ERROR ("+name+") ", ": on purpose in "+name)
		if name == "read_query" && session.queue.Len() != 0 {
			t.Error("read_query: what was queued before the error is still there")
		}
	}
}

func TestArguments(t *testing.T) {
	w := newWorld(t, testdata(t, "arguments.lua"), nil)
	s, _ := w.open()
	s.ConnectServer()
	s.ReadHandshake()
	s.ReadAuth()
	s.ReadAuthResult([]byte("\x00\xff"))
	s.ReadQuery([]byte("\x03SELECT '\x00'"))
	s.ReadQueryResult(&hook.Injection{ID: 5})
	s.DisconnectClient()
	want := strings.Join([]string{
		"connect_server 0",
		"read_handshake 80036 7 21 192.0.2.7:51234 /run/mysqld.sock",
		"read_auth app 7 shop",
		"read_auth_result 1 2",
		"read_query 1 11",
		"read_query_result 1 5",
		"disconnect_client 0", "",
	}, "\n")
	if got := w.stdout.String(); got != want {
		t.Errorf("prints\n%s, want\n%s\nlog %q", got, want, w.log.all())
	}
}

func TestResponseIsNewForEachQuery(t *testing.T) {
	w := newWorld(t, `
		function read_query()
			local n = 0
			for _ in pairs(proxy.response) do n = n + 1 end
			print(n, proxy.response == last)
			last = proxy.response
			proxy.response.type = proxy.MYSQLD_PACKET_OK
		end
		function read_query_result() print(proxy.response.type) end`, nil)
	s, _ := w.open()
	s.ReadQuery(nil)
	s.ReadQueryResult(&hook.Injection{})
	s.ReadQuery(nil)
	if got := w.stdout.String(); got != "0\tfalse\n0\n0\tfalse\n" {
		t.Errorf("prints %q", got)
	}
}

func TestHookWithoutWorkAllocatesThePacketOnly(t *testing.T) {
	s, _ := newWorld(t, "function read_query(packet) end", nil).open()
	if n := testing.AllocsPerRun(200, func() { s.ReadQuery(query) }); n > 2 { // bytes and header of the string
		t.Errorf("%v allocations", n)
	}
}
