package luahooks

import (
	"time"

	lua "github.com/yuin/gopher-lua"

	"mysqlproxy/engine/hook"
)

// injection is what read_query_result is given.
type injection struct {
	lua.LUserData
	script *script
	of     *hook.Injection // nil after the hook
}

func (v *vm) injectionIndex(l *lua.LState) int {
	object := self[*injection](l)
	in := object.of
	if in == nil {
		l.RaiseError("the injection is gone: it is there during read_query_result only")
	}
	name := key(l)
	value, ok := object.value(v, name)
	if !ok {
		object.script.note("inj." + name + " does not exist")
	}
	l.Push(value)
	return 1
}

// field is for the loop.
func (object *injection) field(v *vm, ud *lua.LUserData, name string) (lua.LValue, bool) {
	if object.of == nil || ud.Metatable != lua.LValue(v.class.injection) {
		return nil, false
	}
	return object.value(v, name)
}

func (object *injection) value(v *vm, name string) (value lua.LValue, ok bool) {
	in := object.of
	switch name {
	case "id", "type":
		return intValue(in.ID), true
	case "query":
		return lua.LString(in.Query), true
	case "query_time":
		return microseconds(in.Queued, in.First), true
	case "response_time":
		return microseconds(in.Queued, in.Last), true
	case "resultset":
		return v.resultsetOf(&in.Result), true
	}
	return lua.LNil, false
}

// microseconds is the time between two moments, 0 if the second never came.
func microseconds(from, to time.Time) lua.LNumber {
	if to.Before(from) {
		return 0
	}
	return lua.LNumber(to.Sub(from).Microseconds())
}
