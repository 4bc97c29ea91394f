package luahooks

import (
	"embed"
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// The modules that scripts get from require without anything on LUA_PATH:
//
//	package.preload   what MySQL Proxy had in C: mysql.tokenizer, chassis, lpeg ...
//	package.path      the user's files
//	builtinLoader     what MySQL Proxy had in Lua: proxy.balance, admin ...
//	foreignLoader     says why nothing else can be loaded
//
// The user's files come before our proxy.* modules: a site that has its own
// proxy/balance.lua, or MySQL Proxy's own, on LUA_PATH goes on using it. They
// come behind the modules that were C: files of those names can only be wrappers
// of libraries that no Lua in Go can load.

//go:embed lua/*.lua
var luaFiles embed.FS

// coreModules are put into package.preload, beside those that need something of
// the process.
var coreModules = map[string]lua.LGFunction{
	"mysql.tokenizer": openTokenizer,
	"mysql.proto":     openProto,
	"glib2":           openGlib2,
	"posix":           openPosix,
	"lfs":             openLfs,
	"lpeg":            openLpeg,
}

// openModules makes MySQL Proxy's modules available to require.
func openModules(s *Scripts, l *lua.LState) {
	registerModules(l, passwordModule{log: s.opts.Log}, &chassisModule{
		log: s.opts.Log, baseDir: s.opts.BaseDir, shutdown: s.opts.Shutdown,
	})
}

// registerModules puts the core modules into package.preload and two searchers
// at the end of package.loaders.
func registerModules(l *lua.LState, password passwordModule, chassis *chassisModule) {
	pkg, ok := l.GetGlobal("package").(*lua.LTable)
	if !ok {
		return // no package library, no modules
	}
	if preload, ok := pkg.RawGetString("preload").(*lua.LTable); ok {
		for name, open := range coreModules {
			preload.RawSetString(name, l.NewFunction(open))
		}
		preload.RawSetString("mysql.password", l.NewFunction(password.open))
		preload.RawSetString("chassis", l.NewFunction(chassis.open))
	}
	if loaders, ok := pkg.RawGetString("loaders").(*lua.LTable); ok {
		loaders.Append(l.NewFunction(builtinLoader))
		loaders.Append(l.NewFunction(foreignLoader))
	}
}

// pushModule makes the table of a module that was C in MySQL Proxy, and leaves
// it on the stack. Such modules are globals as well, under a short name.
func pushModule(l *lua.LState, global string, funcs map[string]lua.LGFunction) int {
	module := l.SetFuncs(l.NewTable(), funcs)
	module.RawSetString("_VERSION", lua.LString("mysql-proxy "+global))
	l.G.Global.RawSetString(global, module)
	if loaded, ok := l.GetField(l.Get(lua.RegistryIndex), "_LOADED").(*lua.LTable); ok {
		loaded.RawSetString(global, module)
	}
	l.Push(module)
	return 1
}

// luaModules are the modules in Lua and their files.
var luaModules = map[string]string{
	"proxy.balance":     "balance.lua",
	"proxy.commands":    "commands.lua",
	"proxy.parser":      "parser.lua",
	"proxy.auto-config": "auto-config.lua",
	"proxy.test":        "test.lua",
	"admin":             "admin.lua",
	"admin-sql":         "admin-sql.lua",
}

// builtinLoader finds the modules that were Lua in MySQL Proxy. They know where
// they run from the proxy table of the hook that calls them.
func builtinLoader(l *lua.LState) int {
	name := l.CheckString(1)
	if name == "proxy.tokenizer" {
		l.Push(l.NewFunction(openProxyTokenizer))
		return 1
	}
	file, ok := luaModules[name]
	if !ok {
		l.Push(lua.LString("no built-in module '" + name + "'"))
		return 1
	}
	text, err := luaFiles.ReadFile("lua/" + file)
	if err != nil {
		l.RaiseError("%s", err.Error())
	}
	f, err := loadChunk(l, text, "=[built-in "+file+"]")
	if err != nil {
		l.RaiseError("%s", err.Error())
	}
	f.Env = l.G.Global // not that of the script that asks first
	s := shared(l)
	if s == nil || s.shorten == nil {
		l.Push(f)
		return 1
	}
	l.Push(l.NewFunction(func(l *lua.LState) int {
		l.Push(f)
		l.Push(l.Get(1))
		l.Call(1, 1)
		s.shorten(name, l.Get(-1))
		return 1
	}))
	return 1
}

// foreignModules are libraries in C that scripts for MySQL Proxy are known to
// load, by the first part of their names.
var foreignModules = map[string]string{
	"socket":    "LuaSocket",
	"mime":      "of LuaSocket",
	"ssl":       "LuaSec",
	"luasql":    "LuaSQL; proxy.queries:append sends queries to the server",
	"mysql":     "only mysql.tokenizer, mysql.proto and mysql.password are built in",
	"lsqlite3":  "LuaSQLite",
	"cjson":     "Lua CJSON",
	"struct":    "string.byte and string.char can do the same",
	"bit":       "Lua BitOp",
	"zlib":      "lua-zlib",
	"memcached": "a client library",
}

// foreignLoader finds nothing but knows why. Its text ends the error of require,
// for it does not raise one itself: a script may have added a loader behind it.
func foreignLoader(l *lua.LState) int {
	name := l.CheckString(1)
	first, _, _ := strings.Cut(name, ".")
	text := "libraries in C cannot be loaded"
	if what, ok := foreignModules[first]; ok {
		text = fmt.Sprintf("'%s' is a library in C (%s), which this proxy cannot load: its Lua is written in Go. "+
			"Put a module of that name in plain Lua on LUA_PATH (--lua-path), or do without it", name, what)
	}
	l.Push(lua.LString(text))
	return 1
}
