package luahooks

import (
	"context"
	"log/slog"
	"runtime/metrics"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// chassisModule is chassis: the process as scripts see it.
type chassisModule struct {
	log      *slog.Logger
	baseDir  string
	shutdown func() // nil: not for scripts

	memoryMax uint64 // bytes: the most that get_stats has seen
}

// chassisLevels are MySQL Proxy's log levels. "error" ended the process there;
// here it is a message like "critical".
var chassisLevels = map[string]slog.Level{
	"error":    slog.LevelError,
	"critical": slog.LevelError,
	"warning":  slog.LevelWarn,
	"message":  levelMessage,
	"info":     slog.LevelInfo,
	"debug":    slog.LevelDebug,
}

// open is the loader of chassis. From here on print goes to the log, for all
// scripts of the state; the old one is os.print.
func (m *chassisModule) open(l *lua.LState) int {
	funcs := map[string]lua.LGFunction{
		"set_shutdown": m.setShutdown,
		"log":          m.logLevel,
		"get_stats":    m.stats,
		"mem_profile":  func(*lua.LState) int { return 0 }, // GLib's allocator has no heir
	}
	for _, name := range []string{"critical", "warning", "message", "info", "debug"} {
		level := chassisLevels[name]
		funcs[name] = func(l *lua.LState) int { return m.write(l, level, l.Get(1)) }
	}
	if lib, ok := l.GetGlobal("os").(*lua.LTable); ok {
		lib.RawSetString("print", l.G.Global.RawGetString("print"))
		l.G.Global.RawSetString("print", l.NewFunction(func(l *lua.LState) int {
			return m.write(l, levelMessage, l.ToStringMeta(l.Get(1)))
		}))
	}
	return pushModule(l, "chassis", funcs)
}

func (m *chassisModule) setShutdown(l *lua.LState) int {
	if m.shutdown == nil {
		m.log.Warn("chassis.set_shutdown: scripts may not end this process")
		return 0
	}
	m.log.Log(context.Background(), levelMessage, "a script has asked for the shutdown")
	m.shutdown()
	return 0
}

func (m *chassisModule) logLevel(l *lua.LState) int {
	level := levelMessage
	if l.Get(1) != lua.LNil {
		name := l.CheckString(1)
		known := false
		if level, known = chassisLevels[name]; !known {
			l.ArgError(1, "invalid option '"+name+"'")
		}
	}
	return m.write(l, level, l.Get(2))
}

// write logs v with the place in the script that calls.
func (m *chassisModule) write(l *lua.LState, level slog.Level, v lua.LValue) int {
	text, ok := textOf(v)
	switch {
	case v == lua.LNil:
		text = "nil"
	case !ok:
		l.RaiseError("bad message (string expected, got %s)", v.Type())
	}
	if !m.log.Enabled(context.Background(), level) {
		return 0
	}
	m.log.Log(context.Background(), level, m.place(l)+text)
	return 0
}

// place is "(script:line) " of the nearest caller that is in a file.
func (m *chassisModule) place(l *lua.LState) string {
	for depth := 1; ; depth++ {
		at, ok := l.GetStack(depth)
		if !ok {
			return ""
		}
		if _, err := l.GetInfo("Sl", at, lua.LNil); err != nil || at.CurrentLine < 1 {
			continue // written in Go
		}
		source := strings.TrimPrefix(at.Source, "@")
		if inner, ok := strings.CutPrefix(source, `[string "`); ok {
			source = strings.TrimSuffix(inner, `"]`)
		}
		if m.baseDir != "" {
			if inner, ok := strings.CutPrefix(source, strings.TrimSuffix(m.baseDir, "/")+"/"); ok {
				source = inner
			}
		}
		return "(" + source + ":" + lua.LNumber(at.CurrentLine).String() + ") "
	}
}

// stats returns the memory of the process: Lua's is part of Go's heap and not
// counted apart. lua_mem_alloc and lua_mem_free are numbers of objects since the
// start.
func (m *chassisModule) stats(l *lua.LState) int {
	if l.Get(1) != lua.LNil {
		return 0 // no plugin has figures of its own
	}
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:objects"},
		{Name: "/gc/heap/frees:objects"},
		{Name: "/memory/classes/heap/objects:bytes"},
	}
	metrics.Read(samples)
	value := func(i int) uint64 {
		if samples[i].Value.Kind() != metrics.KindUint64 {
			return 0
		}
		return samples[i].Value.Uint64()
	}
	m.memoryMax = max(m.memoryMax, value(2))
	figures := fieldTable{l, l.NewTable()}
	figures.setNumber("lua_mem_alloc", value(0))
	figures.setNumber("lua_mem_free", value(1))
	figures.setNumber("lua_mem_bytes", value(2))
	figures.setNumber("lua_mem_bytes_max", m.memoryMax)
	all := l.NewTable()
	all.RawSetString("chassis", figures.t)
	l.Push(all)
	return 1
}
