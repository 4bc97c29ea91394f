package luahooks

import (
	"maps"
	"runtime/metrics"
	"slices"

	lua "github.com/yuin/gopher-lua"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func (s *stdlib) openBase(l *lua.LState) {
	g := l.G.Global
	funcs := map[string]lua.LGFunction{
		"assert":         baseAssert,
		"collectgarbage": baseCollectGarbage,
		"dofile":         baseDoFile,
		"error":          baseError,
		"gcinfo":         baseGCInfo,
		"getfenv":        baseGetFEnv,
		"getmetatable":   s.baseGetMetatable,
		"load":           baseLoad,
		"loadfile":       baseLoadFile,
		"loadstring":     baseLoadString,
		"newproxy":       baseNewProxy,
		"pcall":          basePCall,
		"print":          s.basePrint,
		"rawequal":       baseRawEqual,
		"rawget":         baseRawGet,
		"rawset": func(l *lua.LState) int {
			s.assigned++
			return baseRawSet(l)
		},
		"select":       baseSelect,
		"setfenv":      baseSetFEnv,
		"setmetatable": baseSetMetatable,
		"tonumber":     baseToNumber,
		"tostring":     baseToString,
		"type":         baseType,
		"unpack":       baseUnpack,
		"xpcall":       baseXPCall,
		"module":       baseModule,
		"require":      baseRequire,
	}
	for _, name := range sortedKeys(funcs) {
		g.RawSetString(name, l.NewFunction(funcs[name]))
	}
	makeQuick(g, quickBase)
	s.tostring = g.RawGetString("tostring").(*lua.LFunction)
	next := l.NewFunction(s.baseNext)
	g.RawSetString("next", next)
	g.RawSetString("pairs", l.NewFunction(func(l *lua.LState) int {
		t := checkTable(l, 1)
		l.Push(next)
		l.Push(t)
		l.Push(lua.LNil)
		return 3
	}))
	step := l.NewFunction(ipairsStep)
	g.RawSetString("ipairs", l.NewFunction(func(l *lua.LState) int {
		t := checkTable(l, 1)
		l.Push(step)
		l.Push(t)
		l.Push(smallNumbers[0])
		return 3
	}))
	g.RawSetString("_G", g)
	g.RawSetString("_VERSION", lua.LString(lua.LuaVersion))
	s.loaded(l).RawSetString("_G", g)
}

func ipairsStep(l *lua.LState) int {
	t, ok := l.Get(1).(*lua.LTable)
	if !ok {
		typeError(l, 1, "table")
	}
	i := checkInt(l, 2) + 1
	v := t.RawGetInt(i)
	if v == lua.LNil {
		return 0
	}
	l.Push(intValue(i))
	l.Push(v)
	return 2
}

// heapBytes is the size of the live heap as the runtime last counted it.
func heapBytes() float64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return float64(sample[0].Value.Uint64())
}

// baseCollectGarbage answers what scripts ask for. The collector is Go's and works
// by itself: a script must not stop all sessions for it. What "collect" does is what
// that one cannot.
func baseCollectGarbage(l *lua.LState) int {
	answer := 0.0
	what := checkOption(l, 1, "collect", "stop", "restart", "collect", "count", "step", "setpause", "setstepmul")
	optInt(l, 2, 0)
	switch what {
	case "collect":
		compactTables(l)
	case "count":
		answer = heapBytes() / 1024
	case "step":
		l.Push(lua.LTrue) // a cycle is always finished
		return 1
	case "setpause", "setstepmul":
		answer = 200 // what it was before
	}
	l.Push(lua.LNumber(answer))
	return 1
}

func baseGCInfo(l *lua.LState) int {
	l.Push(lua.LNumber(float64(int(heapBytes() / 1024))))
	return 1
}

func (s *stdlib) baseGetMetatable(l *lua.LState) int {
	v := checkAny(l, 1)
	l.Push(s.look(v, l.GetMetatable(v)))
	return 1
}

func baseSetMetatable(l *lua.LState) int {
	t := checkTable(l, 1)
	meta := l.Get(2)
	if l.GetTop() < 2 || meta != lua.LNil && meta.Type() != lua.LTTable {
		argError(l, 2, "nil or table expected")
	}
	if old, ok := t.Metatable.(*lua.LTable); ok && old.RawGetString("__metatable") != lua.LNil {
		raise(l, "cannot change a protected metatable")
	}
	t.Metatable = meta
	l.Push(t)
	return 1
}

func baseNewProxy(l *lua.LState) int {
	ud := &lua.LUserData{Env: l.G.Global, Metatable: lua.LNil}
	switch v := l.Get(1).(type) {
	case *lua.LNilType:
	case lua.LBool:
		if v {
			ud.Metatable = l.CreateTable(0, 2)
		}
	case *lua.LUserData: // of newproxy: its metatable is shared
		if _, ok := v.Value.(proxyMark); !ok {
			argError(l, 1, "boolean or proxy expected")
		}
		ud.Metatable = v.Metatable
	default:
		argError(l, 1, "boolean or proxy expected")
	}
	ud.Value = proxyMark{}
	l.Push(ud)
	return 1
}

// proxyMark is the value of what newproxy makes.
type proxyMark struct{}

func baseRawEqual(l *lua.LState) int {
	l.Push(lua.LBool(l.RawEqual(checkAny(l, 1), checkAny(l, 2))))
	return 1
}

func baseRawGet(l *lua.LState) int {
	t := checkTable(l, 1)
	l.Push(t.RawGet(checkAny(l, 2)))
	return 1
}

func baseRawSet(l *lua.LState) int {
	t := checkTable(l, 1)
	key, value := checkAny(l, 2), checkAny(l, 3)
	if n, ok := key.(lua.LNumber); ok && n != n {
		raiseBare(l, "table index is NaN")
	}
	if key == lua.LNil {
		raiseBare(l, "table index is nil")
	}
	t.RawSet(key, value)
	l.Push(t)
	return 1
}

func baseSelect(l *lua.LState) int {
	n := l.GetTop()
	if s, ok := l.Get(1).(lua.LString); ok && len(s) > 0 && s[0] == '#' {
		l.Push(intValue(n - 1))
		return 1
	}
	i := checkInt32(l, 1)
	if i < 0 {
		i += n
	} else if i > n {
		i = n
	}
	if i < 1 {
		argError(l, 1, "index out of range")
	}
	return n - i
}

func baseType(l *lua.LState) int {
	l.Push(typeNames[checkAny(l, 1).Type()])
	return 1
}

// typeNames are the names of the types as Lua strings.
var typeNames = func() (names [lua.LTChannel + 1]lua.LValue) {
	for t := range names {
		names[t] = lua.LString(lua.LValueType(t).String())
	}
	return names
}()

func baseUnpack(l *lua.LState) int {
	t := checkTable(l, 1)
	from := optInt(l, 2, 1)
	to := 0
	if l.Get(3) == lua.LNil {
		to = t.Len()
	} else {
		to = checkInt(l, 3)
	}
	if from > to {
		return 0
	}
	n := to - from + 1
	if n <= 0 || l.GetTop()+n > maxValues {
		raise(l, "too many results to unpack")
	}
	for i := from; i <= to; i++ {
		l.Push(rawGetInt(t, i))
	}
	return n
}

// rawGetInt is t[i] for any i; gopher-lua's own knows the array part only.
func rawGetInt(t *lua.LTable, i int) lua.LValue {
	if i > 0 && i < lua.MaxArrayIndex {
		return t.RawGetInt(i)
	}
	return t.RawGet(lua.LNumber(i))
}

func baseToString(l *lua.LState) int {
	v := checkAny(l, 1)
	switch v := v.(type) {
	case lua.LString:
		return pushSame(l, string(v))
	case lua.LNumber:
		l.Push(lua.LString(numberText(float64(v))))
		return 1
	}
	l.Push(toString(l, v))
	return 1
}

// toString is what tostring makes of a value: of an object with __tostring,
// whatever that returns.
func toString(l *lua.LState, v lua.LValue) lua.LValue {
	if op := metaOf(l, v, "__tostring"); op != lua.LNil {
		l.Push(op)
		l.Push(v)
		l.Call(1, 1)
		r := l.Get(-1)
		l.Pop(1)
		return r
	}
	switch v := v.(type) {
	case lua.LNumber:
		return lua.LString(numberText(float64(v)))
	case lua.LString:
		return v
	}
	return lua.LString(v.String())
}

// basePrint writes its arguments as the global tostring makes them.
func (s *stdlib) basePrint(l *lua.LState) int {
	tostring := l.G.Global.RawGetString("tostring")
	for i := 1; i <= l.GetTop(); i++ {
		if i > 1 {
			s.stdout.writeByte('\t')
		}
		v := l.Get(i)
		if tostring != s.tostring {
			l.Push(tostring)
			l.Push(v)
			l.Call(1, 1)
			v = l.Get(-1)
			l.Pop(1)
		} else if !isStringLike(v) {
			v = toString(l, v)
		}
		text, ok := textOfValue(v)
		if !ok {
			raise(l, "'tostring' must return a string to 'print'")
		}
		s.stdout.writeString(text)
	}
	s.stdout.writeByte('\n')
	return 0
}
