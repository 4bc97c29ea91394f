package luahooks

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
)

// moduleState is a Lua state with the modules, and what they tell the process.
type moduleState struct {
	*lua.LState
	t        *testing.T
	log      bytes.Buffer
	shutdown int
}

func newModuleState(t *testing.T) *moduleState {
	t.Helper()
	m := &moduleState{LState: lua.NewState(lua.Options{SkipOpenLibs: true}), t: t}
	t.Cleanup(m.Close)
	openStdlib(m.LState, io.Discard)
	log := slog.New(slog.NewTextHandler(&m.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	registerModules(m.LState, passwordModule{log: log},
		&chassisModule{log: log, baseDir: "/base", shutdown: func() { m.shutdown++ }})
	return m
}

// eval runs Lua and returns its results as text, with a blank between them.
func (m *moduleState) eval(code string) (string, error) {
	top := m.GetTop()
	defer m.SetTop(top)
	f, err := m.Load(strings.NewReader(code), "test")
	if err != nil {
		return "", err
	}
	m.Push(f)
	if err := m.PCall(0, lua.MultRet, nil); err != nil {
		return "", err
	}
	var out []string
	for i := top + 1; i <= m.GetTop(); i++ {
		out = append(out, m.Get(i).String())
	}
	return strings.Join(out, " "), nil
}

// want runs Lua that must return this text.
func (m *moduleState) want(code, want string) {
	m.t.Helper()
	got, err := m.eval(code)
	if err != nil {
		m.t.Errorf("%s\n\tfails: %v", code, err)
	} else if got != want {
		m.t.Errorf("%s\n\t= %q, want %q", code, got, want)
	}
}

// wantError runs Lua that must raise an error with this text in it.
func (m *moduleState) wantError(code, want string) {
	m.t.Helper()
	got, err := m.eval(code)
	if err == nil {
		m.t.Errorf("%s\n\t= %q, want an error with %q", code, got, want)
	} else if !strings.Contains(err.Error(), want) {
		m.t.Errorf("%s\n\tfails with %q, want %q in it", code, err, want)
	}
}

func TestModulesThatWereCAreGlobalsToo(t *testing.T) {
	for name, global := range map[string]string{
		"mysql.tokenizer": "tokenizer", "mysql.proto": "proto", "mysql.password": "password", "chassis": "chassis",
		"glib2": "glib2", "posix": "posix", "lfs": "lfs", "lpeg": "lpeg",
	} {
		m := newModuleState(t)
		m.want(`local r = require("`+name+`")
			return r == `+global+`, r == package.loaded["`+name+`"], r == package.loaded.`+global+`, type(r._VERSION)`,
			"true true true string")
	}
}

func TestLuaModulesCompileAndReturnTables(t *testing.T) {
	for name, file := range luaModules {
		m := newModuleState(t)
		m.want(fakeProxy+`return type(require("`+name+`"))`, map[bool]string{true: "table", false: "boolean"}[strings.HasPrefix(name, "proxy.")])
		if _, err := luaFiles.ReadFile("lua/" + file); err != nil {
			t.Error(err)
		}
	}
	files, err := luaFiles.ReadDir("lua")
	if err != nil || len(files) != len(luaModules) {
		t.Errorf("%d files, error %v; want %d, each with a name for require", len(files), err, len(luaModules))
	}
}

func TestUsersFilesComeBeforeBuiltinLuaModulesOnly(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{"proxy", "mysql"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"proxy/balance.lua", "proxy/tokenizer.lua", "mysql/proto.lua", "admin.lua"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(`return {mine = true}`), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m := newModuleState(t)
	m.want(`package.path = "`+dir+`/?.lua"
		return require("proxy.balance").mine, require("proxy.tokenizer").mine, require("admin").mine,
			require("mysql.proto").mine, require("proxy.commands").mine`,
		"true true true nil nil")
}

func TestModuleRunsInGlobalEnvironment(t *testing.T) {
	m := newModuleState(t)
	m.want(`
		local env = setmetatable({ string = {}, hidden = true }, { __index = _G })
		local f = function () return require("proxy.commands") end
		setfenv(f, env)
		return f().parse("\3SELECT 1").query`, "SELECT 1")
}

func TestLibrariesInCAreRefusedWithAnExplanation(t *testing.T) {
	m := newModuleState(t)
	for _, name := range []string{"socket", "socket.http", "luasql.mysql", "cjson"} {
		m.wantError(`require("`+name+`")`, "'"+name+"' is a library in C")
		m.wantError(`require("`+name+`")`, "LUA_PATH")
	}
	m.wantError(`require("none.such")`, "libraries in C cannot be loaded")
	m.want(`package.loaders[#package.loaders + 1] = function (name)
			return function () return "a script's own " .. name end
		end
		return require("socket")`, "a script's own socket")
}

func TestNoModuleWithoutPackageLibrary(t *testing.T) {
	l := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer l.Close()
	registerModules(l, passwordModule{}, &chassisModule{})
	if v := l.GetGlobal("package"); v != lua.LNil {
		t.Errorf("package is %v", v)
	}
}

// fakeProxy is Lua for a proxy table with what the modules use of it.
const fakeProxy = `
	require("proxy.test").ProxyBaseTest.setDefaultScope()
	proxy.connection = { client = { username = "u", default_db = "db" } }
	local function backend(type, state, clients, idle)
		return { type = type, state = state, connected_clients = clients, dst = { name = "h:" .. clients },
			pool = { users = { u = { cur_idle_connections = idle } } } }
	end
	proxy.global.backends = {}
`
