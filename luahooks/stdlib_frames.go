package luahooks

import (
	"fmt"
	"reflect"
	"unsafe"

	lua "github.com/yuin/gopher-lua"
)

// gopher-lua shows neither where a frame of the call stack stands nor the open
// upvalues, and Lua 5.1's error texts, tracebacks and a pcall that leaves the
// caller's local variables alone cannot be had without. They are read here, by
// the names of the fields: another version of gopher-lua without one of them
// stops the program at its start, and the tests before that.

// offsets of the fields, in bytes.
var (
	ofState = struct{ frame, upvalues, errFunc uintptr }{
		fieldOf[lua.LState]("currentFrame"),
		offsetOf(reflect.TypeFor[lua.LState](), "uvcache", reflect.TypeFor[*lua.Upvalue]()),
		offsetOf(reflect.TypeFor[lua.LState](), "hasErrorFunc", reflect.TypeFor[bool]()),
	}
	ofUpvalue = struct{ next, index uintptr }{
		offsetOf(reflect.TypeFor[lua.Upvalue](), "next", reflect.TypeFor[*lua.Upvalue]()),
		offsetOf(reflect.TypeFor[lua.Upvalue](), "index", reflect.TypeFor[int]()),
	}
	ofFrame = func() (o struct{ fn, parent, pc, localBase, tailCalls uintptr }) {
		state := reflect.TypeFor[lua.LState]()
		f, _ := state.FieldByName("currentFrame")
		t := f.Type.Elem()
		o.fn = offsetOf(t, "Fn", reflect.TypeFor[*lua.LFunction]())
		o.parent = offsetOf(t, "Parent", f.Type)
		o.pc = offsetOf(t, "Pc", reflect.TypeFor[int]())
		o.localBase = offsetOf(t, "LocalBase", reflect.TypeFor[int]())
		o.tailCalls = offsetOf(t, "TailCall", reflect.TypeFor[int]())
		return o
	}()
	ofTable = struct{ keys, places, array, strings, others uintptr }{
		offsetOf(reflect.TypeFor[lua.LTable](), "keys", reflect.TypeFor[[]lua.LValue]()),
		offsetOf(reflect.TypeFor[lua.LTable](), "k2i", reflect.TypeFor[map[lua.LValue]int]()),
		offsetOf(reflect.TypeFor[lua.LTable](), "array", reflect.TypeFor[[]lua.LValue]()),
		offsetOf(reflect.TypeFor[lua.LTable](), "strdict", reflect.TypeFor[map[string]lua.LValue]()),
		offsetOf(reflect.TypeFor[lua.LTable](), "dict", reflect.TypeFor[map[lua.LValue]lua.LValue]()),
	}
)

func fieldOf[T any](name string) uintptr {
	return offsetOf(reflect.TypeFor[T](), name, nil)
}

// offsetOf is the place of a field of type want (nil: any).
func offsetOf(t reflect.Type, name string, want reflect.Type) uintptr {
	f, ok := t.FieldByName(name)
	if !ok || want != nil && f.Type != want {
		panic(fmt.Sprintf("gopher-lua: %v has no field %s as v1.1.2 has it", t, name))
	}
	return f.Offset
}

func field[T any](p unsafe.Pointer, offset uintptr) *T {
	return (*T)(unsafe.Add(p, offset))
}

// frame is a call on a state's stack. It is valid until the call returns.
type frame struct{ p unsafe.Pointer }

// currentFrame is the running call; ok is false outside any.
func currentFrame(l *lua.LState) frame {
	return frame{*field[unsafe.Pointer](unsafe.Pointer(l), ofState.frame)}
}

func (f frame) ok() bool           { return f.p != nil }
func (f frame) fn() *lua.LFunction { return *field[*lua.LFunction](f.p, ofFrame.fn) }
func (f frame) pc() int            { return *field[int](f.p, ofFrame.pc) - 1 }
func (f frame) base() int          { return *field[int](f.p, ofFrame.localBase) }
func (f frame) tailCalls() int     { return *field[int](f.p, ofFrame.tailCalls) }

// caller is the call that f was called by; ok is false if there is none. What a
// coroutine begins with is none.
func (f frame) caller() frame {
	c := frame{*field[unsafe.Pointer](f.p, ofFrame.parent)}
	if c.ok() && isBody(c.fn()) {
		return frame{}
	}
	return c
}

// isLua tells whether the call is of a function in Lua.
func (f frame) isLua() bool { return f.ok() && f.fn() != nil && !f.fn().IsG }

// line is the line that is running, -1 if unknown.
func (f frame) line() int {
	if f.isLua() {
		if pos := f.fn().Proto.DbgSourcePositions; f.pc() >= 0 && f.pc() < len(pos) {
			return pos[f.pc()]
		}
	}
	return -1
}

// position is "chunk:line:".
func (f frame) position() string {
	return fmt.Sprintf("%s:%d:", f.fn().Proto.SourceName, f.line())
}

// frameStack is what a state has its frames in.
type frameStack interface{ SetSp(sp int) }

func framesOf(l *lua.LState) frameStack {
	f, _ := reflect.TypeFor[lua.LState]().FieldByName("stack")
	return reflect.NewAt(f.Type, unsafe.Add(unsafe.Pointer(l), f.Offset)).Elem().Elem().Interface().(frameStack)
}

// leaveFrames notes that no call is running.
func leaveFrames(l *lua.LState) {
	*field[unsafe.Pointer](unsafe.Pointer(l), ofState.frame) = nil
}

// setErrFunc tells the state whether an error function will see errors, and
// returns what it had been told. While it is told so, it leaves upvalues alone
// when an error is raised.
func setErrFunc(l *lua.LState, on bool) (was bool) {
	p := field[bool](unsafe.Pointer(l), ofState.errFunc)
	was, *p = *p, on
	return was
}

// closeUpvalues closes the upvalues of the state's stack from base on: the calls
// that have them are being left, and their closures may live on.
func closeUpvalues(l *lua.LState, base int) {
	link := field[*lua.Upvalue](unsafe.Pointer(l), ofState.upvalues)
	for *link != nil && *field[int](unsafe.Pointer(*link), ofUpvalue.index) < base {
		link = field[*lua.Upvalue](unsafe.Pointer(*link), ofUpvalue.next)
	}
	up := *link
	*link = nil // the list ascends: the rest is to be closed
	for up != nil {
		next := *field[*lua.Upvalue](unsafe.Pointer(up), ofUpvalue.next)
		up.Close()
		up = next
	}
}

// hashKeys are the keys of a table's hash part in the order they first came,
// cleared ones among them. Borrowed from the table.
func hashKeys(t *lua.LTable) []lua.LValue {
	return *field[[]lua.LValue](unsafe.Pointer(t), ofTable.keys)
}

// arrayPart is a table's array part. Borrowed from the table.
func arrayPart(t *lua.LTable) []lua.LValue {
	return *field[[]lua.LValue](unsafe.Pointer(t), ofTable.array)
}

// frameAt is the call at a level as Lua 5.1 counts them: 0 is the running
// function, and a tail call counts although its frame is gone, as one without a
// function. ok is false beyond the last.
func frameAt(l *lua.LState, level int) (f frame, ok bool) {
	for f = currentFrame(l); f.ok(); f = f.caller() {
		if isTrampoline(f.fn()) || isBody(f.fn()) {
			continue
		}
		if level == 0 {
			return f, true
		}
		level--
		if f.isLua() {
			if level < f.tailCalls() {
				return frame{unsafe.Pointer(&lostFrame)}, true
			}
			level -= f.tailCalls()
		}
	}
	return frame{}, false
}

// lostFrame stands for calls that tail calls have replaced: it has no function.
var lostFrame [16]uintptr

// lost tells whether f stands for a call that a tail call has replaced.
func (f frame) lost() bool { return f.p == unsafe.Pointer(&lostFrame) }
