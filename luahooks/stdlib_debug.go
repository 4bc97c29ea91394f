package luahooks

import (
	"fmt"
	"strings"
	"unsafe"

	lua "github.com/yuin/gopher-lua"
)

func (s *stdlib) openDebug(l *lua.LState) {
	s.hook = [3]lua.LValue{lua.LNil, emptyString, smallNumbers[0]}
	s.library(l, "debug", map[string]lua.LGFunction{
		"debug":    func(*lua.LState) int { return 0 }, // nobody types here
		"getfenv":  debugGetFEnv,
		"gethook":  s.debugGetHook,
		"getinfo":  debugGetInfo,
		"getlocal": debugGetLocal,
		"getmetatable": func(l *lua.LState) int {
			v := checkAny(l, 1)
			var meta lua.LValue
			switch v := v.(type) {
			case *lua.LTable:
				meta = v.Metatable
			case *lua.LUserData:
				meta = v.Metatable
			default:
				meta = l.GetMetatable(v)
			}
			l.Push(s.look(v, meta))
			return 1
		},
		"getregistry": func(l *lua.LState) int {
			s.exposed = true // metatables are in it
			l.Push(l.G.Registry)
			return 1
		},
		"getupvalue": debugGetUpvalue,
		"setfenv":    debugSetFEnv,
		"sethook":    s.debugSetHook,
		"setlocal":   debugSetLocal,
		"setmetatable": func(l *lua.LState) int {
			s.look(l.Get(1), lua.LNil)
			return debugSetMetatable(l)
		},
		"setupvalue": debugSetUpvalue,
		"traceback":  debugTraceback,
	})
}

// threadArg is the thread that the functions of debug may take first, and how many
// arguments that is.
func threadArg(l *lua.LState) (*lua.LState, int) {
	if th, ok := l.Get(1).(*lua.LState); ok {
		return th, 1
	}
	return l, 0
}

func debugGetFEnv(l *lua.LState) int {
	env := l.GetFEnv(checkAny(l, 1))
	if t, ok := env.(*lua.LTable); ok && t == nil {
		env = l.G.Global
	}
	l.Push(env)
	return 1
}

func debugSetFEnv(l *lua.LState) int {
	env := checkTable(l, 2)
	switch l.Get(1).(type) {
	case *lua.LFunction, *lua.LUserData, *lua.LState:
		l.SetFEnv(l.Get(1), env)
	default:
		raise(l, "'setfenv' cannot change environment of given object")
	}
	l.SetTop(1)
	return 1
}

func debugSetMetatable(l *lua.LState) int {
	meta := l.Get(2)
	if meta != lua.LNil && meta.Type() != lua.LTTable {
		argError(l, 2, "nil or table expected")
	}
	l.SetMetatable(l.Get(1), meta)
	l.Push(lua.LTrue)
	return 1
}

// debugSetHook remembers the hook for gethook; the VM calls none.
func (s *stdlib) debugSetHook(l *lua.LState) int {
	_, n := threadArg(l)
	if l.Get(n+1) == lua.LNil {
		s.hook = [3]lua.LValue{lua.LNil, emptyString, smallNumbers[0]}
		return 0
	}
	mask := checkString(l, n+2)
	f := checkFunction(l, n+1)
	count := optInt(l, n+3, 0)
	kept := ""
	for _, c := range "crl" {
		if strings.ContainsRune(mask, c) {
			kept += string(c)
		}
	}
	s.hook = [3]lua.LValue{f, lua.LString(kept), lua.LNumber(count)}
	return 0
}

func (s *stdlib) debugGetHook(l *lua.LState) int {
	for _, v := range s.hook {
		l.Push(v)
	}
	return 3
}

func debugGetInfo(l *lua.LState) int {
	th, n := threadArg(l)
	what := optString(l, n+2, "flnSu")
	var f frame
	var fn *lua.LFunction
	if level, ok := toNumber(l.Get(n + 1)); ok {
		if f, ok = frameAt(th, cutInt(level)); !ok {
			l.Push(lua.LNil)
			return 1
		}
		if !f.lost() {
			fn = f.fn()
		}
	} else if fn, ok = l.Get(n + 1).(*lua.LFunction); !ok {
		argError(l, n+1, "function or level expected")
	}
	for _, c := range what {
		if !strings.ContainsRune("flnSuL", c) {
			argError(l, n+2, "invalid option")
		}
	}
	info := l.CreateTable(0, 12)
	set := func(name string, v lua.LValue) { info.RawSetString(name, v) }
	d := describe(f, fn)
	if strings.Contains(what, "S") {
		set("source", lua.LString(d.source))
		set("short_src", lua.LString(d.shortSource))
		set("linedefined", lua.LNumber(d.lineDefined))
		set("lastlinedefined", lua.LNumber(d.lastLine))
		set("what", lua.LString(d.what))
	}
	if strings.Contains(what, "l") {
		set("currentline", lua.LNumber(d.line))
	}
	if strings.Contains(what, "u") {
		upvalues := 0
		if fn != nil {
			upvalues = len(fn.Upvalues)
		}
		set("nups", intValue(upvalues))
	}
	if strings.Contains(what, "n") {
		if d.nameKind != "" {
			set("name", lua.LString(d.name))
		}
		set("namewhat", lua.LString(d.nameKind))
	}
	if strings.Contains(what, "f") && fn != nil {
		set("func", fn)
	}
	if strings.Contains(what, "L") && fn != nil && !fn.IsG {
		lines := l.NewTable()
		for _, line := range fn.Proto.DbgSourcePositions {
			lines.RawSetInt(line, lua.LTrue)
		}
		set("activelines", lines)
	}
	l.Push(info)
	return 1
}

// description is what debug tells of a function or a call.
type description struct {
	source, shortSource, what   string
	lineDefined, lastLine, line int
	name, nameKind              string
}

// describe describes the call f of fn; without one, fn alone.
func describe(f frame, fn *lua.LFunction) description {
	d := description{lineDefined: -1, lastLine: -1, line: -1}
	switch {
	case f.ok() && f.lost():
		d.source, d.shortSource, d.what = "=(tail call)", "(tail call)", "tail"
		return d
	case fn == nil || fn.IsG:
		d.source, d.shortSource, d.what = "=[C]", "[C]", "C"
	default:
		p := fn.Proto
		d.shortSource, d.source = p.SourceName, sourceOf(p.SourceName)
		d.lineDefined, d.lastLine = p.LineDefined, p.LastLineDefined
		d.what = "Lua"
		if p.LineDefined == 0 {
			d.what = "main"
		}
	}
	if f.ok() {
		d.line = f.line()
		d.name, d.nameKind = calledName(f)
	}
	return d
}

// sourceOf is the source of a chunk whose short name is known.
func sourceOf(short string) string {
	if inner, ok := strings.CutPrefix(short, `[string "`); ok {
		return strings.TrimSuffix(inner, `"]`)
	}
	return "@" + short
}

// debugOf is a call as gopher-lua's functions for locals want it.
func debugOf(l *lua.LState, n int) (*lua.Debug, bool) {
	th, _ := threadArg(l)
	f, ok := frameAt(th, checkInt(l, n))
	if !ok {
		argError(l, n, "level out of range")
	}
	for level := 0; ; level++ {
		d, ok := th.GetStack(level)
		if !ok || f.lost() {
			return nil, false
		}
		if *field[unsafe.Pointer](unsafe.Pointer(d), ofDebugFrame) == f.p {
			return d, true
		}
	}
}

var ofDebugFrame = fieldOf[lua.Debug]("frame")

func debugGetLocal(l *lua.LState) int {
	th, n := threadArg(l)
	d, ok := debugOf(l, n+1)
	i := checkInt(l, n+2)
	if ok && i > 0 {
		if name, v := th.GetLocal(d, i); name != "" {
			l.Push(lua.LString(name))
			l.Push(v)
			return 2
		}
	}
	l.Push(lua.LNil)
	return 1
}

func debugSetLocal(l *lua.LState) int {
	th, n := threadArg(l)
	d, ok := debugOf(l, n+1)
	i, v := checkInt(l, n+2), checkAny(l, n+3)
	name := ""
	if ok && i > 0 {
		name = th.SetLocal(d, i, v)
	}
	return pushName(l, name)
}

func pushName(l *lua.LState, name string) int {
	if name == "" {
		l.Push(lua.LNil)
	} else {
		l.Push(lua.LString(name))
	}
	return 1
}

func debugGetUpvalue(l *lua.LState) int {
	i := checkInt(l, 2)
	name, v := l.GetUpvalue(checkFunction(l, 1), i)
	if name == "" {
		return 0
	}
	l.Push(lua.LString(name))
	l.Push(v)
	return 2
}

func debugSetUpvalue(l *lua.LState) int {
	v := checkAny(l, 3)
	i := checkInt(l, 2)
	name := l.SetUpvalue(checkFunction(l, 1), i, v)
	if name == "" {
		return 0
	}
	return pushName(l, name)
}

func debugTraceback(l *lua.LState) int {
	th, n := threadArg(l)
	level := 0
	if th == l {
		level = 1
	}
	if l.Get(n+2) != lua.LNil {
		level = checkInt(l, n+2)
	}
	message := l.Get(n + 1)
	if n+1 <= l.GetTop() && !isStringLike(message) {
		l.Push(message)
		return 1
	}
	text, _ := textOfValue(message)
	if text != "" || isStringLike(message) {
		text += "\n"
	}
	l.Push(lua.LString(text + traceback(th, level)))
	return 1
}

// The levels that a traceback shows at its two ends if there are too many.
const (
	firstLevels = 12
	lastLevels  = 10
)

// traceback is the stack from a level on, as debug.traceback prints it.
func traceback(l *lua.LState, level int) string {
	lines := []string{"stack traceback:"}
	var levels []string
	for ; ; level++ {
		f, ok := frameAt(l, level)
		if !ok {
			break
		}
		var fn *lua.LFunction
		if !f.lost() {
			fn = f.fn()
		}
		levels = append(levels, "\t"+tracebackLine(describe(f, fn)))
		if level > 1_000_000 {
			break
		}
	}
	if len(levels) > firstLevels+lastLevels {
		lines = append(lines, levels[:firstLevels]...)
		lines = append(lines, "\t...")
		levels = levels[len(levels)-lastLevels:]
	}
	return strings.Join(append(lines, levels...), "\n")
}

func tracebackLine(d description) string {
	at := d.shortSource + ":"
	if d.line > 0 {
		at += fmt.Sprintf("%d:", d.line)
	}
	switch {
	case d.nameKind != "":
		return at + " in function '" + d.name + "'"
	case d.what == "main":
		return at + " in main chunk"
	case d.what == "C" || d.what == "tail":
		return at + " ?"
	}
	return fmt.Sprintf("%s in function <%s:%d>", at, d.shortSource, d.lineDefined)
}
