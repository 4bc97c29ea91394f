package luahooks

import (
	"os"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// The defaults of package.path and package.cpath, as the distributions have them.
const (
	defaultPath = "./?.lua;/usr/local/share/lua/5.1/?.lua;/usr/local/share/lua/5.1/?/init.lua;" +
		"/usr/local/lib/lua/5.1/?.lua;/usr/local/lib/lua/5.1/?/init.lua;" +
		"/usr/share/lua/5.1/?.lua;/usr/share/lua/5.1/?/init.lua"
	defaultCPath = "./?.so;/usr/local/lib/lua/5.1/?.so;/usr/lib/x86_64-linux-gnu/lua/5.1/?.so;" +
		"/usr/lib/lua/5.1/?.so;/usr/local/lib/lua/5.1/loadall.so"
)

func (s *stdlib) openPackage(l *lua.LState) {
	lib := s.library(l, "package", map[string]lua.LGFunction{
		"loadlib": packageLoadLib,
		"seeall":  packageSeeAll,
	})
	preload := l.NewTable()
	lib.RawSetString("preload", preload)
	lib.RawSetString("loaded", s.loaded(l))
	lib.RawSetString("path", lua.LString(pathOf("LUA_PATH", defaultPath)))
	lib.RawSetString("cpath", lua.LString(pathOf("LUA_CPATH", defaultCPath)))
	lib.RawSetString("config", lua.LString("/\n;\n?\n!\n-"))
	loaders := l.NewTable()
	loaders.Append(l.NewFunction(func(l *lua.LState) int { return loadPreloaded(l, lib) }))
	loaders.Append(l.NewFunction(func(l *lua.LState) int { return loadLuaFile(l, lib) }))
	loaders.Append(l.NewFunction(func(l *lua.LState) int { return loadCFile(l, lib, false) }))
	loaders.Append(l.NewFunction(func(l *lua.LState) int { return loadCFile(l, lib, true) }))
	lib.RawSetString("loaders", loaders)
	l.G.Registry.RawSetString("_LOADERS", loaders)
	l.G.Registry.RawSetString(packageKey, lib)
}

const packageKey = "luahooks.package"

// pathOf is the value of an environment variable, in which ;; stands for the
// default.
func pathOf(name, or string) string {
	path, ok := os.LookupEnv(name)
	if !ok {
		return or
	}
	path = strings.ReplaceAll(path, ";;", ";\x01;")
	path = strings.ReplaceAll(path, "\x01", or)
	return path
}

// searchPath looks for the file of a module on package[field]. tried lists what
// was looked for.
func searchPath(l *lua.LState, lib *lua.LTable, name, field string) (file, tried string) {
	path, ok := textOfValue(l.GetField(lib, field))
	if !ok {
		raisef(l, "'package.%s' must be a string", field)
	}
	name = strings.ReplaceAll(name, ".", "/")
	var b strings.Builder
	for template := range strings.SplitSeq(path, ";") {
		if template == "" {
			continue
		}
		file := strings.ReplaceAll(template, "?", name)
		if f, err := os.Open(file); err == nil {
			f.Close()
			return file, ""
		}
		b.WriteString("\n\tno file '" + file + "'")
	}
	return "", b.String()
}

func loadPreloaded(l *lua.LState, lib *lua.LTable) int {
	name := checkString(l, 1)
	preload, ok := l.GetField(lib, "preload").(*lua.LTable)
	if !ok {
		raise(l, "'package.preload' must be a table")
	}
	v := l.GetField(preload, name)
	if v == lua.LNil {
		v = lua.LString("\n\tno field package.preload['" + name + "']")
	}
	l.Push(v)
	return 1
}

func loadLuaFile(l *lua.LState, lib *lua.LTable) int {
	name := checkString(l, 1)
	file, tried := searchPath(l, lib, name, "path")
	if file == "" {
		l.Push(lua.LString(tried))
		return 1
	}
	f, err := loadFile(l, file)
	if err != nil {
		raisef(l, "error loading module '%s' from file '%s':\n\t%s", name, file, err)
	}
	l.Push(f)
	return 1
}

// loadCFile finds libraries in C, under the module's name or (root) that of its
// first part, to say that they cannot be loaded.
func loadCFile(l *lua.LState, lib *lua.LTable, root bool) int {
	name := checkString(l, 1)
	first, _, dotted := strings.Cut(name, ".")
	if root && !dotted {
		return 0
	}
	look := name
	if root {
		look = first
	}
	file, tried := searchPath(l, lib, look, "cpath")
	if file == "" {
		l.Push(lua.LString(tried))
		return 1
	}
	l.Push(lua.LString("\n\tfile '" + file + "' is a library in C, " + noC))
	return 1
}

const noC = "which this program cannot load: use a module written in Lua"

// packageLoadLib answers as for a library that cannot be opened.
func packageLoadLib(l *lua.LState) int {
	file := checkString(l, 1)
	checkString(l, 2)
	why := file + ": " + noC
	if _, err := os.Stat(file); err != nil {
		why = file + ": cannot open shared object file: " + errText(err)
	}
	l.Push(lua.LNil)
	l.Push(lua.LString(why))
	l.Push(lua.LString("open"))
	return 3
}

func packageSeeAll(l *lua.LState) int {
	module := checkTable(l, 1)
	meta, ok := module.Metatable.(*lua.LTable)
	if !ok {
		meta = l.CreateTable(0, 1)
		module.Metatable = meta
	}
	meta.RawSetString("__index", l.G.Global)
	return 0
}

// loading is what package.loaded has of a module while it is being loaded.
var loading = &lua.LUserData{Metatable: lua.LNil}

func baseRequire(l *lua.LState) int {
	name := checkString(l, 1)
	l.SetTop(1)
	loaded := l.G.Registry.RawGetString("_LOADED").(*lua.LTable)
	if v := l.GetField(loaded, name); lua.LVAsBool(v) {
		if v == lua.LValue(loading) {
			raisef(l, "loop or previous error loading module '%s'", name)
		}
		l.Push(v)
		return 1
	}
	lib, _ := l.G.Registry.RawGetString(packageKey).(*lua.LTable)
	loaders, ok := l.GetField(lib, "loaders").(*lua.LTable)
	if !ok {
		raise(l, "'package.loaders' must be a table")
	}
	var tried strings.Builder
	for i := 1; ; i++ {
		loader := loaders.RawGetInt(i)
		if loader == lua.LNil {
			raisef(l, "module '%s' not found:%s", name, tried.String())
		}
		l.Push(loader)
		l.Push(lua.LString(name))
		l.Call(1, 1)
		v := l.Get(-1)
		if v.Type() == lua.LTFunction {
			break
		}
		if text, ok := textOfValue(v); ok {
			if text != "" && text[0] != '\n' { // a loader of other make
				text = "\n\t" + text
			}
			tried.WriteString(text)
		}
		l.Pop(1)
	}
	l.SetField(loaded, name, loading)
	l.Push(lua.LString(name))
	l.Call(1, 1)
	if v := l.Get(-1); v != lua.LNil {
		l.SetField(loaded, name, v)
	}
	if l.GetField(loaded, name) == lua.LValue(loading) {
		l.SetField(loaded, name, lua.LTrue)
	}
	l.Push(l.GetField(loaded, name))
	return 1
}

func baseModule(l *lua.LState) int {
	name := checkString(l, 1)
	top := l.GetTop()
	loaded := l.G.Registry.RawGetString("_LOADED").(*lua.LTable)
	module, ok := l.GetField(loaded, name).(*lua.LTable)
	if !ok {
		if module = globalTable(l, name); module == nil {
			raisef(l, "name conflict for module '%s'", name)
		}
		l.SetField(loaded, name, module)
	}
	if l.GetField(module, "_NAME") == lua.LNil {
		l.SetField(module, "_M", module)
		l.SetField(module, "_NAME", lua.LString(name))
		l.SetField(module, "_PACKAGE", lua.LString(name[:strings.LastIndexByte(name, '.')+1]))
	}
	caller, ok := frameAt(l, 1)
	if !ok || !caller.isLua() {
		raise(l, "'module' not called from a Lua function")
	}
	caller.fn().Env = module
	for i := 2; i <= top; i++ {
		l.Push(l.Get(i))
		l.Push(module)
		l.Call(1, 0)
	}
	return 0
}

// globalTable is the table of a dotted name among the globals, made where it is
// missing; nil if something else is in its place.
func globalTable(l *lua.LState, name string) *lua.LTable {
	at := l.G.Global
	for part := range strings.SplitSeq(name, ".") {
		switch v := at.RawGetString(part).(type) {
		case *lua.LTable:
			at = v
		case *lua.LNilType:
			t := l.CreateTable(0, 1)
			l.SetField(at, part, t)
			at = t
		default:
			return nil
		}
	}
	return at
}

// functionAt is argument 1 of getfenv and setfenv: a function, or that of a level.
func functionAt(l *lua.LState, optional bool) *lua.LFunction {
	if f, ok := l.Get(1).(*lua.LFunction); ok {
		return f
	}
	level := 1
	if !optional || l.Get(1) != lua.LNil {
		level = checkInt32(l, 1)
	}
	if level < 0 {
		argError(l, 1, "level must be non-negative")
	}
	f, ok := frameAt(l, level)
	if !ok {
		argError(l, 1, "invalid level")
	}
	if f.lost() {
		raisef(l, "no function environment for tail call at level %d", level)
	}
	return f.fn()
}

func baseGetFEnv(l *lua.LState) int {
	f := functionAt(l, true)
	if f.IsG || f.Env == nil { // the environment of C functions is that of the thread
		l.Push(l.Env)
	} else {
		l.Push(f.Env)
	}
	return 1
}

func baseSetFEnv(l *lua.LState) int {
	env := checkTable(l, 2)
	if n, ok := toNumber(l.Get(1)); ok && n == 0 {
		l.Env = env
		return 0
	}
	f := functionAt(l, false)
	if f.IsG {
		raise(l, "'setfenv' cannot change environment of given object")
	}
	f.Env = env
	l.Push(f)
	return 1
}
