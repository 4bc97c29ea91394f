package luahooks

import (
	"io"
	"log/slog"
	"strings"
	"testing"

	"mysqlproxy/engine/hook"
)

func TestNewRefusesWhatCannotWork(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	for name, opts := range map[string]Options{
		"no log":             {Global: global{}, Version: "1.1.0"},
		"no global":          {Log: log, Version: "1.1.0"},
		"no version":         {Log: log, Global: global{}},
		"odd version":        {Log: log, Global: global{}, Version: "1.1"},
		"version too large":  {Log: log, Global: global{}, Version: "1.256.0"},
		"states below zero":  {Log: log, Global: global{}, Version: "1.1.0", PerLoop: -1},
		"version of letters": {Log: log, Global: global{}, Version: "1.x.0"},
	} {
		if _, err := New(opts); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := New(Options{Log: log, Global: global{}, Version: "1.1.0-dev"}); err != nil {
		t.Errorf("a version with a suffix: %v", err)
	}
}

func TestWithoutScriptThereAreNoHooks(t *testing.T) {
	w := newWorld(t, "", func(o *Options) { o.Script = "" })
	s, _ := w.open()
	if s.Hooks() != 0 {
		t.Errorf("hooks are %b", s.Hooks())
	}
	s.DisconnectClient()
	for _, v := range []hook.Verdict{s.ConnectServer(), s.ReadHandshake(), s.ReadAuth(), s.ReadAuthResult(nil), s.ReadQuery(nil), s.ReadQueryResult(nil)} {
		if v.Action != hook.Default {
			t.Errorf("a verdict without script is %d", v.Action)
		}
	}
}

func TestHooksAreTheFunctionsOfTheScript(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       hook.Set
	}{
		{"none", "x = 1", 0},
		{"all", `function connect_server() end function read_handshake() end function read_auth() end
			function read_auth_result() end function read_query() end function read_query_result() end
			function disconnect_client() end`, 1<<7 - 1},
		{"not a function", "read_query = 1 read_auth = print", hook.ReadAuth},
		{"local", "local function read_query() end", 0},
		{"of _G", "_G.read_query = function() end", hook.ReadQuery},
		{"by setfenv", "setfenv(1, {}) function read_query() end", 0},
	} {
		w := newWorld(t, tc.text, nil)
		if s, _ := w.open(); s.Hooks() != tc.want {
			t.Errorf("%s: hooks are %07b, want %07b", tc.name, s.Hooks(), tc.want)
		}
		if tc.name == "not a function" {
			w.log.has(t, levelMessage.String(), "(read_query) is a number, not a function")
		}
	}
}

func TestHooksMayDefineAndForgetHooks(t *testing.T) {
	w := newWorld(t, `
		function read_query()
			function disconnect_client() print("bye") end
			read_query = nil
		end`, nil)
	s, _ := w.open()
	if s.Hooks() != hook.ReadQuery {
		t.Fatalf("hooks are %b at first", s.Hooks())
	}
	s.ReadQuery(nil)
	if s.Hooks() != hook.DisconnectClient {
		t.Errorf("hooks are %b then", s.Hooks())
	}
	s.ReadQuery(nil)
	s.DisconnectClient()
	if got := w.stdout.String(); got != "bye\n" {
		t.Errorf("prints %q", got)
	}
}

func TestWhatSessionsShareAndWhatNot(t *testing.T) {
	w := newWorld(t, testdata(t, "share.lua"), nil)
	a, _ := w.open()
	b, _ := w.open()
	for _, s := range []*script{a, a, b} {
		s.ReadQuery(nil)
	}
	want := "local 1 global 1 proxy 1 _G 1 proxy.global 1\n" +
		"local 2 global 2 proxy 2 _G 2 proxy.global 2\n" +
		"local 1 global 1 proxy 1 _G 3 proxy.global 3\n"
	if got := w.stdout.String(); got != want {
		t.Errorf("prints\n%s, want\n%s", got, want)
	}
}

func TestAnotherScriptInTheSameState(t *testing.T) {
	w := newWorld(t, `proxy.global.told = "by the proxy's" x = 1`, nil)
	admin := newWorld(t, `function read_query() print(proxy.global.told, x) return proxy.PROXY_SEND_RESULT end`, nil)
	w.open()
	s := w.scripts.With(admin.path).Open(loggedIn())
	if s.Hooks() != hook.ReadQuery {
		t.Fatalf("hooks are %b", s.Hooks())
	}
	s.ReadQuery(nil)
	if got := w.stdout.String(); got != "by the proxy's\tnil\n" {
		t.Errorf("prints %q", got)
	}
	if s := w.scripts.With(admin.path + ".missing").Open(loggedIn()); s.Hooks()&hook.ReadQuery == 0 ||
		s.ReadQuery(nil).Action != hook.SendResult {
		t.Error("a missing script does not answer read_query")
	}
}

func TestLoopsMayHaveStatesOfTheirOwn(t *testing.T) {
	const text = `proxy.global.n = (proxy.global.n or 0) + 1 print(proxy.global.n)`
	for perLoop, want := range map[int]string{0: "1\n2\n3\n4\n", 2: "1\n1\n2\n2\n"} {
		w := newWorld(t, text, func(o *Options) { o.PerLoop = perLoop })
		for _, loop := range []int{0, 1, 2, 3} {
			w.scripts.Open(&session{loop: loop})
		}
		if got := w.stdout.String(); got != want {
			t.Errorf("with %d states %q, want %q", perLoop, got, want)
		}
	}
}

func TestObjectsWorkInHooksOfTheirSessionOnly(t *testing.T) {
	w := newWorld(t, testdata(t, "keep.lua"), nil)
	a, _ := w.open()
	a.ReadQuery(nil) // puts what it has into proxy.global
	b, session := w.open()
	b.ReadQuery(nil) // and the other tries to use it
	got := strings.Split(strings.TrimSpace(w.stdout.String()), "\n")
	if len(got) != 4 {
		t.Fatalf("prints %q; log %q", got, w.log.all())
	}
	for _, line := range got {
		if !strings.Contains(line, "this object belongs to another connection") {
			t.Errorf("the other session's use says %q", line)
		}
	}
	if session.queue.Len() != 0 || session.setBackendWith != nil {
		t.Error("it has reached the wrong session")
	}
}

func TestProxyTableIsThatOfTheSessionWhoseHookRuns(t *testing.T) {
	w := newWorld(t, testdata(t, "module.lua"), nil)
	a, sa := w.open()
	b, sb := w.open()
	a.ReadQuery([]byte("\x03a"))
	b.ReadQuery([]byte("\x03b"))
	a.ReadQuery([]byte("\x03c"))
	if sa.queue.Len() != 2 || sb.queue.Len() != 1 {
		t.Errorf("%d and %d queries are queued, want 2 and 1", sa.queue.Len(), sb.queue.Len())
	}
}

func TestOddErrorsAreLogged(t *testing.T) {
	for body, want := range map[string]string{
		"error({})":           "(read_query) (error object is a table value)",
		"error('no line', 0)": "(read_query) no line",
		"error(nil)":          "(read_query) (error object is a nil value)",
		"error(1.5, 0)":       "(read_query) 1.5",
		"coroutine.yield()":   "attempt to yield across metamethod/C-call boundary",
		"local function f() return f() + 1 end f()":        "stack overflow",
		"coroutine.wrap(function() error('inside') end)()": "inside",
		"local a; a.b = 1": ":2: attempt to index",
		"table.sort({3, 2, 1}, function() error('sort', 0) end)": "sort",
	} {
		w := newWorld(t, "", nil)
		if _, v := w.query(t, body); v.Action != hook.Default {
			t.Errorf("%s: action %d", body, v.Action)
		}
		w.log.has(t, "ERROR", "(read_query)", want)
		// and the state still works
		if got, _ := w.query(t, "print(coroutine.wrap(function() return 'fine' end)())"); got != "fine" {
			t.Errorf("%s: afterwards it prints %q", body, got)
		}
	}
}
