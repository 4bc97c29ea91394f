package luahooks

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// openLibraries fills a new state: Lua 5.1's libraries, then MySQL Proxy's
// modules, which find them there.
func (v *vm) openLibraries(s *Scripts) {
	openStdlib(v.l, s.opts.Stdout)
	v.std = shared(v.l)
	v.std.owned = func(meta lua.LValue) bool {
		return meta == lua.LValue(v.envMeta) || v.current != nil && meta == lua.LValue(v.current.inherit)
	}
	v.std.shorten = v.shortenModule
	v.countCoroutines()
	if path := s.opts.LuaPath; path != "" {
		v.setLuaPath(path)
	}
	openModules(s, v.l)
}

// setLuaPath sets package.path. Two semicolons stand for the default, as in
// the variable LUA_PATH.
func (v *vm) setLuaPath(path string) {
	pkg, ok := v.l.GetGlobal("package").(*lua.LTable)
	if !ok {
		return
	}
	path = strings.ReplaceAll(path, ";;", ";"+lua.LuaPathDefault+";")
	pkg.RawSetString("path", lua.LString(path))
}

// countCoroutines has coroutines draw on the budget of the hook that runs
// them. gopher-lua gives a new thread a context of its own, which does not
// count.
func (v *vm) countCoroutines() {
	lib, ok := v.l.GetGlobal("coroutine").(*lua.LTable)
	if !ok {
		return
	}
	for _, name := range []string{"create", "wrap"} {
		inner, ok := lib.RawGetString(name).(*lua.LFunction)
		if !ok || !inner.IsG {
			continue
		}
		lib.RawSetString(name, v.l.NewFunction(func(l *lua.LState) int {
			n := inner.GFunction(l)
			if thread := threadOf(l.Get(-1)); thread != nil {
				thread.RemoveContext()
				thread.SetContext(&v.budget)
			}
			return n
		}))
	}
}

// threadOf is the thread that v is or, a function of coroutine.wrap, resumes.
func threadOf(v lua.LValue) *lua.LState {
	switch v := v.(type) {
	case *lua.LState:
		return v
	case *lua.LFunction:
		for _, up := range v.Upvalues {
			if thread, ok := up.Value().(*lua.LState); ok {
				return thread
			}
		}
	}
	return nil
}
