package luahooks

import (
	"fmt"
	"reflect"
	"strings"
	"unsafe"

	lua "github.com/yuin/gopher-lua"
)

// The loop that runs Lua for hooks. A state has a loop as a field, and gopher-lua's
// own spends most of a hook's time on calls: each field of an object of ours is a
// call of a function in Go with a frame of its own, and each instruction asks a
// context whether it is done. This one
//
//   - counts instructions itself,
//   - does what most instructions are about at once, on values of the common kinds,
//   - reads the fields of our objects without a call (fielder), and calls some
//     functions without a frame (quick).
//
// All else, and all that could fail, is left to gopher-lua's own code for the
// instruction: the results and the errors are its. Coroutines run in its loop.

// The code of gopher-lua's instructions, and how it calls a function in Go.
//
//go:linkname jumpTable github.com/yuin/gopher-lua.jumpTable
var jumpTable [lua.OP_NOP + 1]func(*lua.LState, uint32, *vmFrame) int

//go:linkname callGFunction github.com/yuin/gopher-lua.callGFunction
func callGFunction(l *lua.LState, tailcall bool) bool

// vmFrame is gopher-lua's callFrame, vmRegistry the beginning of its registry: see
// the note on fields in stdlib_frames.go.
type vmFrame struct {
	_         int // idx
	fn        *lua.LFunction
	_         *vmFrame // parent
	pc        int
	_         int // base
	localBase int
	_, _, _   int // returnBase, nArgs, nRet
	_         int // tailCall
}

type vmRegistry struct {
	array []lua.LValue
	top   int
}

// ofLoop are offsets of the state's fields, in bytes.
var ofLoop = func() (o struct{ registry, loop uintptr }) {
	state := reflect.TypeFor[lua.LState]()
	frame, ok := state.FieldByName("currentFrame")
	registry, ok2 := state.FieldByName("reg")
	loop, ok3 := state.FieldByName("mainLoop")
	if !ok || !ok2 || !ok3 || loop.Type.Kind() != reflect.Func || loop.Type.NumIn() != 2 || loop.Type.NumOut() != 0 ||
		loop.Type.In(0) != reflect.PointerTo(state) || loop.Type.In(1) != frame.Type {
		panic("gopher-lua: LState is not as v1.1.2 has it")
	}
	mirrors(frame.Type.Elem(), reflect.TypeFor[vmFrame](), true)
	mirrors(registry.Type.Elem(), reflect.TypeFor[vmRegistry](), false)
	o.registry, o.loop = registry.Offset, loop.Offset
	return o
}()

// mirrors stops the program unless ours has the fields of theirs, all or the first
// ones, at the same places.
func mirrors(theirs, ours reflect.Type, all bool) {
	same := theirs.NumField() >= ours.NumField() && (!all || theirs.NumField() == ours.NumField())
	for i := 0; same && i < ours.NumField(); i++ {
		a, b := theirs.Field(i), ours.Field(i)
		same = (b.Name == "_" || strings.EqualFold(a.Name, b.Name)) && a.Offset == b.Offset && a.Type.Kind() == b.Type.Kind() && a.Type.Size() == b.Type.Size()
	}
	if !same {
		panic(fmt.Sprintf("gopher-lua: %v is not as v1.1.2 has it", theirs))
	}
}

// takeLoop has the state run in our loop.
func (v *vm) takeLoop() {
	*field[func(*lua.LState, *vmFrame)](unsafe.Pointer(v.l), ofLoop.loop) = v.run
}

// fielder is the Value of a userdata whose fields the loop may read. ok is false if
// only the metamethod can answer: nothing has happened then. It calls no Lua and
// leaves the stack alone.
type fielder interface {
	field(v *vm, ud *lua.LUserData, name string) (value lua.LValue, ok bool)
}

// setter is a fielder whose fields the loop may write.
type setter interface {
	setField(v *vm, ud *lua.LUserData, name string, value lua.LValue) (ok bool)
}

// lister is one that is indexed with numbers.
type lister interface {
	element(v *vm, ud *lua.LUserData, i int) (value lua.LValue, ok bool)
	length(v *vm, ud *lua.LUserData) (n int, ok bool)
}

// quickFunction is a function in Go that the loop may call without a frame.
type quickFunction struct {
	lua.LFunction
	// quick is given the arguments, borrowed, and has one result. ok is false if
	// only the function itself can answer: nothing has happened then. It calls no
	// Lua and leaves the stack alone.
	// It keeps no table and no object that it was given, but as its result: see
	// spare.
	quick func(args []lua.LValue) (value lua.LValue, ok bool)
	// many, if there is one, has several results: it sets the first ones of results,
	// which are nil as Lua has it, and drops what is too much.
	many func(args, results []lua.LValue) (ok bool)
}

// shortcut is what the loop does for a function in Lua that is part of the program.
type shortcut struct {
	proto *lua.FunctionProto
	quick func(args []lua.LValue) (value lua.LValue, ok bool)
}

// quickMark is where the upvalues of all of them are, though they have none.
var quickMark = make([]*lua.Upvalue, 1)

func newQuick(env *lua.LTable, fn lua.LGFunction, quick func(args []lua.LValue) (lua.LValue, bool)) *lua.LFunction {
	q := &quickFunction{quick: quick}
	q.LFunction = lua.LFunction{IsG: true, Env: env, GFunction: fn, Upvalues: quickMark[:0]}
	return &q.LFunction
}

// quickOf is nil if there is none.
func (v *vm) quickOf(fn *lua.LFunction) func(args []lua.LValue) (value lua.LValue, ok bool) {
	if unsafe.SliceData(fn.Upvalues) == &quickMark[0] {
		return (*quickFunction)(unsafe.Pointer(fn)).quick
	}
	for i := range v.std.shortcuts {
		if v.std.shortcuts[i].proto == fn.Proto {
			return v.std.shortcuts[i].quick
		}
	}
	return nil
}

// run is the loop: it runs from the current frame until the one below base is
// left.
func (v *vm) run(l *lua.LState, base *vmFrame) {
	current := field[*vmFrame](unsafe.Pointer(l), ofState.frame)
	cf := *current
	if cf == nil {
		return
	}
	if cf.fn.IsG {
		callGFunction(l, false)
		return
	}
	reg := *field[*vmRegistry](unsafe.Pointer(l), ofLoop.registry)
	b := &v.budget
frames:
	for {
		// Another frame may run now, and the registry may have moved.
		cf = *current
		fn := cf.fn
		code, constants := fn.Proto.Code, fn.Proto.Constants
		lbase, pc := cf.localBase, cf.pc
		regs := reg.array[lbase:]
		for {
			inst := instruction(code[pc])
			pc++
			if b.left--; b.left < 0 && b.look() != nil {
				cf.pc = pc
				l.RaiseError("%s", b.stopped.Error())
			}
			a := inst.a()
			var value lua.LValue // of register a
			switch inst.op() {
			case lua.OP_MOVE:
				value = regs[inst.b()]
			case lua.OP_MOVEN:
				for n := inst.c(); ; n-- {
					a = inst.a()
					regs[a] = regs[inst.b()]
					if top := lbase + a + 1; top > reg.top {
						reg.top = top
					}
					if n == 0 {
						break
					}
					inst = instruction(code[pc])
					pc++
				}
				continue
			case lua.OP_LOADK:
				value = constants[inst.bx()]
			case lua.OP_LOADBOOL:
				value = lua.LBool(inst.b() != 0)
				if inst.c() != 0 {
					pc++
				}
			case lua.OP_GETUPVAL:
				value = fn.Upvalues[inst.b()].Value()
			case lua.OP_GETGLOBAL:
				value = v.getGlobal(fn.Env, string(constants[inst.bx()].(lua.LString)))
			case lua.OP_GETTABLEKS:
				name := string(rk(regs, constants, inst.c()).(lua.LString))
				object := regs[inst.b()]
				if name == "flags" {
					if value = v.flag(object, code[pc], a, constants); value != nil {
						pc++
						break
					}
				}
				value = v.getField(object, name)
			case lua.OP_GETTABLE:
				value = v.getElement(regs[inst.b()], rk(regs, constants, inst.c()))
			case lua.OP_SETUPVAL:
				v.kept = v.kept || !isPlainValue(regs[a])
				fn.Upvalues[inst.b()].SetValue(regs[a])
				continue
			case lua.OP_SETTABLE:
				if t, ok := regs[a].(*lua.LTable); ok && t.Metatable == lua.LNil && !v.isWatched(t) {
					key, value := rk(regs, constants, inst.b()), rk(regs, constants, inst.c())
					if putElement(t, key, value) {
						v.kept = v.kept || !isPlainValue(value)
						continue
					}
				}
			case lua.OP_SETTABLEKS:
				name := string(rk(regs, constants, inst.b()).(lua.LString))
				value := rk(regs, constants, inst.c())
				if v.putField(regs[a], name, value) {
					v.kept = v.kept || !isPlainValue(value)
					continue
				}
			case lua.OP_SELF:
				object := regs[inst.b()]
				value = v.getMethod(object, string(rk(regs, constants, inst.c()).(lua.LString)))
				if value != nil {
					regs[a+1] = object
					if top := lbase + a + 2; top > reg.top {
						reg.top = top
					}
				}
			case lua.OP_NEWTABLE:
				if v.isNeeded(regs, code[pc:], a, constants) {
					value = v.needed
					pc += 2
				} else {
					value = l.CreateTable(inst.b(), inst.c())
				}
			case lua.OP_ADD, lua.OP_SUB:
				if x, ok := rk(regs, constants, inst.b()).(lua.LNumber); ok {
					if y, ok := rk(regs, constants, inst.c()).(lua.LNumber); ok {
						if inst.op() == lua.OP_SUB {
							y = -y
						}
						value = numberValue(float64(x + y))
					}
				}
			case lua.OP_MOD:
				if x, ok := rk(regs, constants, inst.b()).(lua.LNumber); ok {
					if y, ok := rk(regs, constants, inst.c()).(lua.LNumber); ok {
						value = remainder(float64(x), float64(y))
					}
				}
			case lua.OP_NOT:
				value = lua.LBool(!truth(regs[inst.b()]))
			case lua.OP_LEN:
				value = v.lengthOf(rk(regs, constants, inst.b()))
			case lua.OP_JMP:
				pc += inst.to()
				continue
			case lua.OP_EQ:
				if equal, ok := same(rk(regs, constants, inst.b()), rk(regs, constants, inst.c())); ok {
					pc = b.branch(code, pc, equal != (a != 0))
					continue
				}
			case lua.OP_LT, lua.OP_LE:
				if x, ok := rk(regs, constants, inst.b()).(lua.LNumber); ok {
					if y, ok := rk(regs, constants, inst.c()).(lua.LNumber); ok {
						pc = b.branch(code, pc, (x < y || inst.op() == lua.OP_LE && x == y) != (a != 0))
						continue
					}
				}
			case lua.OP_TEST:
				pc = b.branch(code, pc, truth(regs[a]) == (inst.c() == 0))
				continue
			case lua.OP_TESTSET:
				if value = regs[inst.b()]; truth(value) == (inst.c() == 0) {
					pc++
					continue
				}
			case lua.OP_CALL:
				called, ok := regs[a].(*lua.LFunction)
				if ok && inst.b() != 0 && inst.c() > 2 && inst.c()-1 <= mostResults {
					if n := inst.c() - 1; v.callMany(called, regs[a:], inst.b()-1, n) {
						if top := lbase + a + n; top > reg.top {
							reg.top = top
						}
						continue
					}
				}
				if ok && inst.b() != 0 && (inst.c() == 2 || inst.c() == 1) {
					if quick := v.quickOf(called); quick != nil {
						if result, ok := quick(regs[a+1 : a+inst.b()]); ok {
							if inst.c() == 1 {
								continue
							}
							value = result
							if instruction(code[pc]).takesAll() {
								reg.top = lbase + a + 1
							}
						}
					}
				}
			case lua.OP_FORLOOP:
				if next, more, ok := step(regs[a : a+4]); ok && more {
					regs[a] = next
					value = next
					a += 3
					pc += inst.to()
				}
			}
			if value != nil {
				regs[a] = value
				if top := lbase + a + 1; top > reg.top {
					reg.top = top
				}
				continue
			}
			switch inst.op() {
			case lua.OP_SETGLOBAL, lua.OP_SETTABLE, lua.OP_SETTABLEKS:
				v.std.assigned++
			}
			v.kept = v.kept || keeps(inst, regs, constants)
			cf.pc = pc
			if jumpTable[inst.op()](l, uint32(inst), base) == 1 {
				return
			}
			continue frames
		}
	}
}

// branch is where a program goes on behind a comparison: it leaves the next
// instruction out, or does it, which is a jump in most cases.
func (b *budget) branch(code []uint32, pc int, leaveOut bool) int {
	if leaveOut {
		return pc + 1
	}
	if next := instruction(code[pc]); next.op() == lua.OP_JMP {
		b.left--
		return pc + 1 + next.to()
	}
	return pc
}

// mostResults is how many results callMany takes.
const mostResults = 8

// callMany calls a function with nargs arguments behind it for n results, which take
// its place, and tells whether it has.
func (v *vm) callMany(fn *lua.LFunction, regs []lua.LValue, nargs, n int) bool {
	if unsafe.SliceData(fn.Upvalues) != &quickMark[0] {
		return false
	}
	q := (*quickFunction)(unsafe.Pointer(fn))
	if q.many == nil {
		return false
	}
	results := v.results[:n]
	for i := range results {
		results[i] = lua.LNil
	}
	ok := q.many(regs[1:1+nargs], results)
	if ok {
		copy(regs, results)
	}
	clear(results)
	return ok
}

// takesAll tells whether the instruction takes all values up to the registry's top.
// The call before it need not be one of several results: gopher-lua compiles a
// return of a call so, also if that is for one.
func (i instruction) takesAll() bool {
	switch i.op() {
	case lua.OP_RETURN, lua.OP_CALL, lua.OP_TAILCALL, lua.OP_SETLIST:
		return i.b() == 0
	}
	return false
}

// rk is a register or a constant.
func rk(regs, constants []lua.LValue, i int) lua.LValue {
	if i&isConstant != 0 {
		return constants[i&^isConstant]
	}
	return regs[i]
}

func truth(v lua.LValue) bool {
	switch v := v.(type) {
	case lua.LBool:
		return bool(v)
	case *lua.LNilType:
		return false
	}
	return true
}

// same compares what needs no metamethod.
func same(x, y lua.LValue) (equal, ok bool) {
	switch x := x.(type) {
	case lua.LString:
		y, ok := y.(lua.LString)
		return ok && x == y, true
	case lua.LNumber:
		y, ok := y.(lua.LNumber)
		return ok && x == y, true
	case lua.LBool:
		y, ok := y.(lua.LBool)
		return ok && x == y, true
	case *lua.LNilType:
		_, ok := y.(*lua.LNilType)
		return ok, true
	}
	switch y.(type) {
	case lua.LString, lua.LNumber, lua.LBool, *lua.LNilType:
		return false, true
	}
	return false, false
}

// step is the next value of a for loop. ok is false for what are no numbers, more
// at the end.
func step(r []lua.LValue) (next lua.LValue, more, ok bool) {
	at, ok1 := r[0].(lua.LNumber)
	limit, ok2 := r[1].(lua.LNumber)
	by, ok3 := r[2].(lua.LNumber)
	if !ok1 || !ok2 || !ok3 {
		return nil, false, false
	}
	if at += by; by > 0 && at <= limit || by <= 0 && at >= limit {
		return numberValue(float64(at)), true, true
	}
	return nil, false, true
}

// remainder is x % y of positive integers, nil of others.
func remainder(x, y float64) lua.LValue {
	const most = 1 << 32
	if !(x >= 1 && x < most && y >= 1 && y < most) {
		return nil
	}
	m, n := uint64(x), uint64(y)
	if float64(m) != x || float64(n) != y {
		return nil
	}
	return numberValue(float64(m % n))
}

// numberValue is f as a Lua number.
func numberValue(f float64) lua.LValue {
	if n := int(f); uint(n) < uint(len(smallNumbers)) && float64(n) == f && (n != 0 || 1/f > 0) {
		return smallNumbers[n]
	}
	return lua.LNumber(f)
}
