package luahooks

import (
	"time"

	lua "github.com/yuin/gopher-lua"

	"mysqlproxy/engine/hook"
)

// queueClass is the metatable of proxy.queries.
func (v *vm) queueClass() *lua.LTable {
	methods := v.l.CreateTable(0, 4)
	for name, fn := range map[string]lua.LGFunction{
		"append":  func(l *lua.LState) int { v.queue(l).Append(v.newInjection(l)); return 0 },
		"prepend": func(l *lua.LState) int { v.queue(l).Prepend(v.newInjection(l)); return 0 },
		"reset":   func(l *lua.LState) int { v.queue(l).Reset(); return 0 },
		"len":     v.queueLen, // not in 0.8.5, though its scripts call it
	} {
		methods.RawSetString(name, v.l.NewFunction(fn))
	}
	v.appendFn = newQuick(v.l.G.Global, methods.RawGetString("append").(*lua.LFunction).GFunction, func(args []lua.LValue) (lua.LValue, bool) {
		q, in, ok := v.quickInjection(args)
		if ok {
			q.Append(in)
		}
		return lua.LNil, ok
	})
	v.prependFn = newQuick(v.l.G.Global, methods.RawGetString("prepend").(*lua.LFunction).GFunction, func(args []lua.LValue) (lua.LValue, bool) {
		q, in, ok := v.quickInjection(args)
		if ok {
			q.Prepend(in)
		}
		return lua.LNil, ok
	})
	methods.RawSetString("append", v.appendFn)
	methods.RawSetString("prepend", v.prependFn)
	v.queueMethods = methods
	mt := v.newClass(nil, nil, v.queueLen)
	mt.RawSetString("__index", methods)
	return mt
}

// field is for the loop.
func (s *queries) field(v *vm, ud *lua.LUserData, name string) (lua.LValue, bool) {
	return v.queueMethods.RawGetString(name), ud.Metatable == lua.LValue(v.class.queue)
}

func (v *vm) queueLen(l *lua.LState) int {
	l.Push(lua.LNumber(v.queue(l).Len()))
	return 1
}

// queries is a script as the value of its proxy.queries.
type queries script

func (v *vm) queue(l *lua.LState) *hook.Queue {
	s := (*script)(self[*queries](l))
	v.mine(l, s)
	return s.session.Queue()
}

// newInjection reads the arguments id, packet and options.
func (v *vm) newInjection(l *lua.LState) *hook.Injection {
	id, ok := intOf(l.Get(2))
	if !ok {
		l.TypeError(2, lua.LTNumber)
	}
	query, ok := textOf(l.Get(3))
	if !ok {
		l.TypeError(3, lua.LTString)
	}
	in := &hook.Injection{ID: id, Query: query, Queued: time.Now()}
	switch options := l.Get(4).(type) {
	case *lua.LNilType:
	case *lua.LTable:
		switch needed := options.RawGetString("resultset_is_needed").(type) {
		case *lua.LNilType:
		case lua.LBool:
			in.ResultNeeded = bool(needed)
		default:
			l.ArgError(4, "resultset_is_needed has to be a boolean, is a "+needed.Type().String())
		}
	default:
		l.TypeError(4, lua.LTTable)
	}
	return in
}
