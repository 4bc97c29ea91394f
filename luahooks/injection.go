package luahooks

import (
	"time"

	lua "github.com/yuin/gopher-lua"

	"mysqlproxy/engine/hook"
)

// injection is what read_query_result is given.
type injection struct {
	script *script
	of     *hook.Injection // nil after the hook
}

func (v *vm) injectionIndex(l *lua.LState) int {
	object := self[*injection](l)
	in := object.of
	if in == nil {
		l.RaiseError("the injection is gone: it is there during read_query_result only")
	}
	var value lua.LValue
	switch name := key(l); name {
	case "id", "type":
		value = lua.LNumber(in.ID)
	case "query":
		value = lua.LString(in.Query)
	case "query_time":
		value = microseconds(in.Queued, in.First)
	case "response_time":
		value = microseconds(in.Queued, in.Last)
	case "resultset":
		value = v.object(v.class.resultset, &resultset{Result: in.Result})
	default:
		object.script.note("inj." + name + " does not exist")
		value = lua.LNil
	}
	l.Push(value)
	return 1
}

// microseconds is the time between two moments, 0 if the second never came.
func microseconds(from, to time.Time) lua.LNumber {
	if to.Before(from) {
		return 0
	}
	return lua.LNumber(to.Sub(from).Microseconds())
}
