package luahooks

import (
	"unsafe"

	lua "github.com/yuin/gopher-lua"
)

// What the loop does with tables and objects. A nil LValue is "not here": the
// instruction goes to gopher-lua. Metatables that scripts could have got hold of
// and changed are not relied on: see stdlib.exposed.

// getGlobal reads a variable of a function's environment.
func (v *vm) getGlobal(env *lua.LTable, name string) lua.LValue {
	global := v.l.G.Global
	if s := v.current; name == "proxy" && s != nil && env == s.env && s.lacks == v.shapeOf(env) {
		if v.std.exposed || env.Metatable != lua.LValue(v.envMeta) {
			return nil
		}
		if value := v.watched(global, name); value != nil {
			return value
		}
	} else {
		if value := env.RawGetString(name); value != lua.LNil {
			return value
		}
	}
	if env != global {
		if env.Metatable != lua.LValue(v.envMeta) || v.std.exposed {
			return nil
		}
		if value := global.RawGetString(name); value != lua.LNil {
			return value
		}
	}
	return nilWithout(global)
}

// Some tables are read over and over again: _G, proxy and string. What was found in
// them is remembered by the name's place in memory, which is that of a constant in the
// code. It holds until something may have been assigned to one of them: the loop does
// not write to them itself, and all others count in stdlib.assigned.
type memo struct {
	table    *lua.LTable
	name     string
	value    lua.LValue
	assigned uint64
}

const memos = 128

func (v *vm) isWatched(t *lua.LTable) bool {
	return t == v.l.G.Global || t == v.proxy || t == v.std.strings
}

// watched is a field of a table that is watched, nil if it has none.
func (v *vm) watched(t *lua.LTable, name string) lua.LValue {
	p := unsafe.StringData(name)
	at := uintptr(unsafe.Pointer(p))
	m := &v.memos[(at^at>>7)%memos]
	if unsafe.StringData(m.name) == p && len(m.name) == len(name) && m.table == t && m.assigned == v.std.assigned {
		return m.value
	}
	value := t.RawGetString(name)
	if value == lua.LNil {
		return nil
	}
	*m = memo{t, name, value, v.std.assigned}
	return value
}

// shape tells how many keys the hash part of a table has ever had: as long as it is
// the same there is no new one. Compacting a table forgets keys.
type shape struct{ keys, compacted int }

func (v *vm) shapeOf(t *lua.LTable) shape { return shape{len(hashKeys(t)), v.std.compacted} }

// isPrivate is for the fields of proxy that are the session's.
func isPrivate(name string) bool {
	return name == "connection" || name == "queries" || name == "response"
}

// nilWithout is nil as Lua has it if t has no metatable.
func nilWithout(t *lua.LTable) lua.LValue {
	if t.Metatable == lua.LNil {
		return lua.LNil
	}
	return nil
}

// getField reads object.name.
func (v *vm) getField(object lua.LValue, name string) lua.LValue {
	switch o := object.(type) {
	case *lua.LTable:
		if o != v.proxy {
			if o == v.std.strings {
				if value := v.watched(o, name); value != nil {
					return value
				}
			} else if value := o.RawGetString(name); value != lua.LNil {
				return value
			}
			return nilWithout(o)
		}
		if !isPrivate(name) || v.lacks != v.shapeOf(o) {
			if value := v.watched(o, name); value != nil {
				return value
			}
		}
		s := v.current
		if s == nil || v.std.exposed || o.Metatable != lua.LValue(s.inherit) {
			return nil
		}
		if value := s.privateField(name); value != lua.LNil || s.private.Metatable == lua.LValue(v.std.hidden) {
			return value
		}
		return nilWithout(s.private)
	case *lua.LUserData:
		if v.std.exposed {
			return nil
		}
		var value lua.LValue
		ok := false
		switch f := o.Value.(type) { // the first ones are found sooner so
		case *script:
			value, ok = f.field(v, o, name)
		case *tokenObject:
			value, ok = f.field(v, o, name)
		case *endpoint:
			value, ok = f.field(v, o, name)
		case fielder:
			value, ok = f.field(v, o, name)
		}
		if ok {
			return value
		}
	}
	return nil
}

// getMethod reads object.name for object:name().
func (v *vm) getMethod(object lua.LValue, name string) lua.LValue {
	if _, ok := object.(lua.LString); ok {
		if v.std.exposed {
			return nil
		}
		return v.watched(v.std.strings, name)
	}
	return v.getField(object, name)
}

// getElement reads object[key].
func (v *vm) getElement(object, key lua.LValue) lua.LValue {
	switch o := object.(type) {
	case *lua.LTable:
		if value := o.RawGet(key); value != lua.LNil {
			return value
		}
		return nilWithout(o)
	case *lua.LUserData:
		if v.std.exposed {
			return nil
		}
		switch key := key.(type) {
		case lua.LNumber:
			if list, ok := o.Value.(lister); ok {
				if value, ok := list.element(v, o, truncate(float64(key))); ok {
					return value
				}
			}
		case lua.LString:
			return v.getField(object, string(key))
		}
	}
	return nil
}

// putField writes object.name and tells whether it has.
func (v *vm) putField(object lua.LValue, name string, value lua.LValue) bool {
	switch o := object.(type) {
	case *lua.LTable:
		if o.Metatable != lua.LNil || v.isWatched(o) {
			return false
		}
		smallHash(o)
		o.RawSetString(name, value)
		return true
	case *lua.LUserData:
		s, ok := o.Value.(setter)
		return ok && !v.std.exposed && s.setField(v, o, name, value)
	}
	return false
}

// putElement writes t[key] of a table without a metatable and tells whether it has.
func putElement(t *lua.LTable, key, value lua.LValue) bool {
	switch key := key.(type) {
	case lua.LNumber:
		if key != key {
			return false
		}
		if array := field[[]lua.LValue](unsafe.Pointer(t), ofTable.array); *array == nil && key == 1 {
			*array = make([]lua.LValue, 0, 4) // gopher-lua's has room for 32
		}
		t.RawSet(key, value)
		return true
	case lua.LString:
		smallHash(t)
		t.RawSetString(string(key), value)
		return true
	}
	return false
}

// smallHash begins the hash part of a table that has none. gopher-lua would make one
// for 32 keys, of some kilobytes.
func smallHash(t *lua.LTable) {
	if texts := field[map[string]lua.LValue](unsafe.Pointer(t), ofTable.strings); *texts == nil {
		*texts = map[string]lua.LValue{}
	}
}

// lengthOf is #value.
func (v *vm) lengthOf(value lua.LValue) lua.LValue {
	switch o := value.(type) {
	case lua.LString:
		return intValue(len(o))
	case *lua.LTable:
		if o.Metatable == lua.LNil {
			return intValue(o.Len())
		}
	case *lua.LUserData:
		if list, ok := o.Value.(lister); ok && !v.std.exposed {
			if n, ok := list.length(v, o); ok {
				return intValue(n)
			}
		}
	}
	return nil
}

// isNeeded tells whether a table that is about to be made is the last argument of
// proxy.queries:append() and is { resultset_is_needed = true }, and nothing else
// will see it: then one table is good for all.
//
//	NEWTABLE a; LOADBOOL a+1 true; SETTABLEKS a "resultset_is_needed" a+1; CALL
func (v *vm) isNeeded(regs []lua.LValue, code []uint32, a int, constants []lua.LValue) bool {
	if len(code) < 3 {
		return false
	}
	load, set, call := instruction(code[0]), instruction(code[1]), instruction(code[2])
	if load.op() != lua.OP_LOADBOOL || load.a() != a+1 || load.b() == 0 || load.c() != 0 ||
		set.op() != lua.OP_SETTABLEKS || set.a() != a || set.c() != a+1 || set.b()&isConstant == 0 ||
		call.op() != lua.OP_CALL || call.a() >= a || call.a()+call.b() != a+1 {
		return false
	}
	fn, ok := regs[call.a()].(*lua.LFunction)
	return ok && (fn == v.appendFn || fn == v.prependFn) && constants[set.b()&^isConstant] == lua.LValue(resultNeeded)
}

const resultNeeded = lua.LString("resultset_is_needed")

// flag is resultset.flags.name, of which the second half is next: the table between
// the two is in register a and nobody sees it.
func (v *vm) flag(object lua.LValue, next uint32, a int, constants []lua.LValue) lua.LValue {
	inst := instruction(next)
	if inst.op() != lua.OP_GETTABLEKS || inst.a() != a || inst.b() != a || inst.c()&isConstant == 0 {
		return nil
	}
	ud, ok := object.(*lua.LUserData)
	if !ok || ud.Metatable != lua.LValue(v.class.resultset) || v.std.exposed {
		return nil
	}
	r, ok := ud.Value.(*resultset)
	if !ok {
		return nil
	}
	name, _ := constants[inst.c()&^isConstant].(lua.LString)
	for _, f := range resultFlags {
		if f.name == string(name) {
			return lua.LBool(r.Status&f.bit != 0)
		}
	}
	return lua.LNil
}
