package luahooks

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mysqlproxy/engine/hook"
)

const erroneous = "\xff\x51\x04#07000"

func TestScriptThatDoesNotLoadIsToldToTheClient(t *testing.T) {
	for name, text := range map[string]string{
		"syntax error":                   "function read_query(",
		"vararg at the top level":        "local a = ...",
		"code behind a top level return": "return 1\nx = 1",
		"first line for a shell":         "#!/usr/bin/lua\nx = 1",
		"byte order mark":                "\ufeffx = 1",
		"break outside of a loop":        "break",
	} {
		w := newWorld(t, text, nil)
		s, _ := w.open()
		if s.Hooks()&hook.ConnectServer == 0 {
			t.Errorf("%s: connect_server is not among the hooks", name)
		}
		for call, v := range map[string]hook.Verdict{
			"connect_server": s.ConnectServer(), "read_query": s.ReadQuery([]byte("\x03x")),
		} {
			want := erroneous + "MySQL Proxy Lua script failed to load. Check the error log."
			if got := shown(v); v.Action != hook.SendResult || len(got) != 1 || got[0] != want {
				t.Errorf("%s: %s answers %d, %q; want %q", name, call, v.Action, got, want)
			}
		}
		for call, v := range map[string]hook.Verdict{
			"read_handshake": s.ReadHandshake(), "read_auth": s.ReadAuth(),
			"read_auth_result": s.ReadAuthResult(nil), "read_query_result": s.ReadQueryResult(&hook.Injection{}),
		} {
			if v.Action != hook.Default {
				t.Errorf("%s: %s decides %d, want nothing", name, call, v.Action)
			}
		}
		s.DisconnectClient()
		w.log.has(t, "ERROR", "(lua-error) ["+w.path+"] ", chunkName(w.path)+":")
	}
}

func TestMissingScriptIsToldToTheClientAndLogged(t *testing.T) {
	w := newWorld(t, "", nil)
	if err := os.Remove(w.path); err != nil {
		t.Fatal(err)
	}
	s, _ := w.open()
	if got := shown(s.ConnectServer()); len(got) != 1 || !strings.HasSuffix(got[0], failedToLoad) {
		t.Errorf("connect_server answers %q", got)
	}
	w.log.has(t, "ERROR", w.path, "no such file")
	w.write(t, "function connect_server() end")
	if s, _ := w.open(); s.ConnectServer().Action != hook.Default {
		t.Error("the script that has come is not taken")
	}
}

func TestScriptThatIsNoFileIsRefused(t *testing.T) {
	w := newWorld(t, "", func(o *Options) { o.Script = t.TempDir() })
	s, _ := w.open()
	if got := shown(s.ConnectServer()); len(got) != 1 || !strings.HasSuffix(got[0], failedToLoad) {
		t.Errorf("connect_server answers %q", got)
	}
	w.log.has(t, "not a regular file")
}

func TestMainChunkThatFailsIsTriedAgainAtTheNextHook(t *testing.T) {
	w := newWorld(t, `
		_G.tries = (_G.tries or 0) + 1
		if _G.tries < 3 then error("not yet") end
		function read_query() return proxy.PROXY_SEND_RESULT end
		function connect_server() end
	`, nil)
	s, _ := w.open()
	want := erroneous + failedToExecute
	if got := shown(s.ConnectServer()); len(got) != 1 || got[0] != want {
		t.Errorf("connect_server answers %q, want %q", got, want)
	}
	if got := shown(s.ReadQuery(nil)); len(got) != 1 || got[0] != want {
		t.Errorf("the second try answers %q, want %q", got, want)
	}
	if got := shown(s.ReadQuery(nil)); len(got) != 1 || got[0] != erroneous+failedResponse {
		t.Errorf("the third try answers %q", got)
	}
	if s.Hooks() != hook.ReadQuery|hook.ConnectServer {
		t.Errorf("hooks are %b in the end", s.Hooks())
	}
	w.log.has(t, "ERROR", "(lua-error) ["+w.path+"] "+chunkName(w.path)+":3: not yet")
}

func TestErrorsHaveTheLineOfTheFile(t *testing.T) {
	w := newWorld(t, "local a = 1\n\nfunction read_query()\n  error('here')\nend", nil)
	s, _ := w.open()
	s.ReadQuery(nil)
	w.log.has(t, "ERROR (read_query) "+chunkName(w.path)+":4: here")
}

func TestChunkNames(t *testing.T) {
	for source, want := range map[string]string{
		"/path/script.lua":                         `[string "/path/script.lua"]`,
		strings.Repeat("x", 43):                    `[string "` + strings.Repeat("x", 43) + `"]`,
		"/very/long/" + strings.Repeat("path/", 9): `[string "/very/long/path/path/path/path/path/path/pa..."]`,
		"two\nlines":                               `[string "two..."]`,
	} {
		got := chunkName(source)
		if got != want || len(got) > 59 {
			t.Errorf("%q becomes %q (%d bytes), want %q", source, got, len(got), want)
		}
	}
}

func TestSessionsKeepTheVersionTheyStartedWith(t *testing.T) {
	w := newWorld(t, `function read_query() print("old") end`, nil)
	old, _ := w.open()
	w.write(t, `function read_query() print("newer") end`)
	fresh, _ := w.open()
	w.write(t, `function read_query( print("broken") end`)
	broken, _ := w.open()
	w.write(t, `function read_query() print("fixed") end`)
	fixed, _ := w.open()
	for _, s := range []*script{old, fresh, broken, fixed} {
		s.ReadQuery(nil)
	}
	if got := w.stdout.String(); got != "old\nnewer\nfixed\n" {
		t.Errorf("the sessions print %q", got)
	}
	if broken.stage != notLoaded {
		t.Error("the broken version has been taken")
	}
}

func TestVersionIsCompiledOnce(t *testing.T) {
	w := newWorld(t, `function read_query() end`, nil)
	a, _ := w.open()
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(w.path, past, past); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if b, _ := w.open(); b.version != a.version {
			t.Fatal("two versions of one file")
		}
	}
	if !w.scripts.file.settled {
		t.Error("an old file is read for each client")
	}
	w.write(t, `function read_auth()  end`)
	if c, _ := w.open(); c.Hooks() != hook.ReadAuth {
		t.Error("a file of the same size with another mtime is taken for the same")
	}
}

func TestChangeWithinOneTickIsSeen(t *testing.T) {
	now := time.Now()
	for i, text := range []string{"function read_query() end", "function read_auth()  end"} {
		w := newWorld(t, text, nil)
		w.open()
		for j := range 2 {
			name := []string{"read_query() ", "read_auth()  "}[(i+j)%2]
			w.write(t, "function "+name+"end")
			if err := os.Chtimes(w.path, now, now); err != nil {
				t.Fatal(err)
			}
			s, _ := w.open()
			if want := []hook.Set{hook.ReadQuery, hook.ReadAuth}[(i+j)%2]; s.Hooks() != want {
				t.Errorf("hooks are %b, want %b", s.Hooks(), want)
			}
		}
	}
}

func TestMendedScriptIsSeenThoughTimeAndSizeAreTheSame(t *testing.T) {
	w := newWorld(t, "function read_query( end ", nil)
	when := time.Now().Add(-time.Hour)
	set := func() {
		if err := os.Chtimes(w.path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	set()
	if s, _ := w.open(); s.stage != notLoaded {
		t.Fatal("a broken script has been loaded")
	}
	w.write(t, "function read_query() end")
	set()
	if s, _ := w.open(); s.Hooks() != hook.ReadQuery {
		t.Error("the script that was mended is not taken")
	}
}

func TestComplaintsAboutABrokenScriptAreNotRepeatedForEachClient(t *testing.T) {
	w := newWorld(t, "broken(", nil)
	began := time.Now()
	for range 100 {
		w.open()
	}
	most := 2 + int(time.Since(began)/time.Second) // one a second
	if n := len(w.log.all()); n < 1 || n > most {
		t.Errorf("%d lines for 100 clients, want 1 to %d", n, most)
	}
}

func TestScriptsFromLuaPathAreRequired(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine.lua"), []byte("return { answer = 42 }"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, `print(require("mine").answer)`, func(o *Options) { o.LuaPath = dir + "/?.lua;;" })
	w.open()
	if got := w.stdout.String(); got != "42\n" {
		t.Errorf("prints %q; log %q", got, w.log.all())
	}
}

func TestHooksThatHooksMayDefineAreLookedFor(t *testing.T) {
	for text, want := range map[string]bool{
		"function read_query() x = 1 end":                                           false,
		"function read_query() proxy.response.type = 1 end":                         false,
		"local t = setmetatable({}, {})":                                            true,
		"function read_query() function disconnect_client() end end":                true,
		"function read_query() local f = function() read_auth = nil end end":        true,
		"function read_query() _G['read_' .. 'auth'] = print end":                   true,
		"local m = require('m')":                                                    true,
		"function read_query() loadstring('function read_auth() end')() end":        true,
		"function read_query() rawset(__proxy, 'x', 1) end":                         true,
		"function read_query() return setfenv(1, {}) end":                           true,
		"function a() end function b() return function() dofile('x') end end":       true,
		"local s = 'a string with read_query and require in it' function a() end ;": false,
	} {
		main, err := compileScript([]byte(text), "x")
		if err != nil {
			t.Fatal(err)
		}
		if got := definesLater(main); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}
