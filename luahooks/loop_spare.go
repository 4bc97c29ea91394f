package luahooks

import (
	"unsafe"

	lua "github.com/yuin/gopher-lua"

	"mysqlproxy/engine/hook"
)

// Hooks make the same few objects for each query: the command as a table, tokens,
// the injection and its result. Most scripts look at them and forget them. Then the
// next call is given the same objects again: that saves memory, and they are in the
// processor's caches still.
//
// An object is in registers only, and gone when the hook returns, unless one of these
// has happened: what may be an object, or lead to one, was put into a table, an
// upvalue or a global; a closure was made; a function in Go was called that is no
// quickFunction; there was an error. The loop notes that in vm.kept, and then nothing
// of the call is used again.

// spare is what a Lua state has for its next call, and what the call that runs has
// taken of it: what is taken is not there any more.
type spare struct {
	lists     []*tokenList
	injection *injection
	result    *resultset
	command   *lua.LTable

	taken struct {
		lists     []*tokenList
		injection *injection
		result    *resultset
		command   *lua.LTable
	}
}

// What is kept has bounds: lists, and tokens of one.
const (
	spareLists  = 4
	spareTokens = 1024
)

// over ends a call. kept tells whether the script may have kept what it was given.
func (s *spare) over(kept bool) {
	t := &s.taken
	if !kept {
		for _, list := range t.lists {
			if list.sql = ""; cap(list.tokens) <= spareTokens && len(s.lists) < spareLists {
				s.lists = append(s.lists, list)
			}
		}
		if t.injection != nil {
			s.injection = t.injection
		}
		if t.result != nil {
			*t.result = resultset{object: t.result.object}
			s.result = t.result
		}
		if t.command != nil && commandTable.fits(t.command) {
			s.command = t.command
		}
	}
	clear(t.lists)
	t.lists, t.injection, t.result, t.command = t.lists[:0], nil, nil, nil
}

// tokenList is one to be filled.
func (s *spare) tokenList() *tokenList {
	var list *tokenList
	if n := len(s.lists); n > 0 {
		list, s.lists[n-1] = s.lists[n-1], nil
		s.lists = s.lists[:n-1]
	} else {
		list = new(tokenList)
	}
	if len(s.taken.lists) < spareLists {
		s.taken.lists = append(s.taken.lists, list)
	}
	return list
}

// commandOf is the table of a command with a text.
func (s *spare) commandOf(l *lua.LState, kind, name, query lua.LValue) *lua.LTable {
	t := s.command
	if s.command = nil; t == nil {
		t = commandTable.with(l, kind, name, query)
	} else {
		commandTable.refill(t, kind, name, query)
	}
	s.taken.command = t
	return t
}

var commandTable = newTableOf("type", "type_name", "query")

// fits tells whether table is as with has made it, but for the values.
func (t *tableOf) fits(table *lua.LTable) bool {
	p := unsafe.Pointer(table)
	keys := hashKeys(table)
	return len(keys) == len(t.keys) && &keys[0] == &t.keys[0] && table.Metatable == lua.LNil &&
		len(*field[map[string]lua.LValue](p, ofTable.strings)) == len(keys) &&
		*field[[]lua.LValue](p, ofTable.array) == nil && *field[map[lua.LValue]lua.LValue](p, ofTable.others) == nil
}

// refill gives a table that fits other values, of which the last is another one in
// most cases.
func (t *tableOf) refill(table *lua.LTable, values ...lua.LValue) {
	texts := *field[map[string]lua.LValue](unsafe.Pointer(table), ofTable.strings)
	for i, value := range values {
		if name := string(t.keys[i].(lua.LString)); i == len(values)-1 || texts[name] != value {
			texts[name] = value
		}
	}
}

// injectionOf is the argument of read_query_result.
func (v *vm) injectionOf(s *script, in *hook.Injection) *injection {
	sp := &v.std.spare
	object := sp.injection
	if sp.injection = nil; object == nil {
		object = new(injection)
		object.LUserData = lua.LUserData{Value: object, Env: v.l.G.Global, Metatable: v.class.injection}
	}
	object.script, object.of = s, in
	sp.taken.injection = object
	return object
}

// resultsetOf is the object of a result.
func (v *vm) resultsetOf(result *hook.Result) *lua.LUserData {
	sp := &v.std.spare
	r := sp.result
	if sp.result = nil; r == nil {
		r = new(resultset)
		r.object = lua.LUserData{Value: r, Env: v.l.G.Global, Metatable: v.class.resultset}
	}
	r.Result = *result
	sp.taken.result = r // one is enough: few scripts ask twice
	return &r.object
}

// isPlainValue tells whether a value neither is an object nor leads to one.
func isPlainValue(value lua.LValue) bool {
	switch value.(type) {
	case lua.LString, lua.LNumber, lua.LBool, *lua.LNilType:
		return true
	}
	return false
}

// keeps tells whether an instruction that is left to gopher-lua may keep an object
// for longer than the call of the hook.
func keeps(inst instruction, regs, constants []lua.LValue) bool {
	plain := func(i int) bool { return isPlainValue(rk(regs, constants, i)) }
	switch inst.op() {
	case lua.OP_CALL, lua.OP_TAILCALL:
		fn, ok := regs[inst.a()].(*lua.LFunction)
		return !ok || fn.IsG
	case lua.OP_SETGLOBAL:
		return !isPlainValue(regs[inst.a()])
	case lua.OP_GETTABLE:
		return !plain(inst.c()) // the key, for a function that is __index
	case lua.OP_SETTABLE, lua.OP_SETTABLEKS, lua.OP_EQ, lua.OP_LT, lua.OP_LE:
		return !plain(inst.b()) || !plain(inst.c())
	case lua.OP_LOADNIL, lua.OP_GETGLOBAL, lua.OP_GETTABLEKS, lua.OP_SELF, lua.OP_NEWTABLE, lua.OP_NOT, lua.OP_LEN,
		lua.OP_JMP, lua.OP_TEST, lua.OP_TESTSET, lua.OP_RETURN, lua.OP_FORLOOP, lua.OP_FORPREP, lua.OP_CLOSE:
		return false
	}
	return true
}
