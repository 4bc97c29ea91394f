package luahooks

import (
	"math"

	lua "github.com/yuin/gopher-lua"
)

// Arithmetic on strings. gopher-lua reads "010" as 8 and knows neither " 1 " with
// other blanks nor "inf". It asks for metamethods first, so the metatable of
// strings has them: C's way of reading numbers, and C's errors.

func (s *stdlib) openStringArithmetic(l *lua.LState, meta *lua.LTable) {
	for _, op := range []struct {
		event string
		do    func(a, b float64) float64
	}{
		{"__add", func(a, b float64) float64 { return a + b }},
		{"__sub", func(a, b float64) float64 { return a - b }},
		{"__mul", func(a, b float64) float64 { return a * b }},
		{"__div", func(a, b float64) float64 { return a / b }},
		{"__mod", modulo},
		{"__pow", math.Pow},
		{"__unm", func(a, _ float64) float64 { return -a }},
	} {
		meta.RawSetString(op.event, l.NewFunction(arithmetic(op.event, op.do)))
	}
}

// modulo is the operator %: the result has the sign of b.
func modulo(a, b float64) float64 { return a - math.Floor(a/b)*b }

func arithmetic(event string, do func(a, b float64) float64) lua.LGFunction {
	return func(l *lua.LState) int {
		left, right := l.Get(1), l.Get(2)
		if event == "__unm" {
			right = left
		}
		a, ok1 := toNumber(left)
		b, ok2 := toNumber(right)
		if ok1 && ok2 {
			l.Push(lua.LNumber(do(a, b)))
			return 1
		}
		// It was called for the string; the other operand may have a metamethod.
		for _, v := range []lua.LValue{left, right} {
			if v.Type() == lua.LTString {
				continue
			}
			if op := metaOf(l, v, event); op != lua.LNil {
				l.Push(callMeta(l, op, left, right))
				return 1
			}
		}
		wrong, second := right, true
		if !ok1 {
			wrong, second = left, false
		}
		raise(l, arithmeticError(l, wrong.Type(), second))
		return 0
	}
}

// arithmeticError names the operand of the operator that called the running
// function.
func arithmeticError(l *lua.LState, typ lua.LValueType, second bool) string {
	caller := currentFrame(l).caller()
	if !caller.isLua() || caller.pc() < 0 {
		return "attempt to perform arithmetic on a " + typ.String() + " value"
	}
	inst := instruction(caller.fn().Proto.Code[caller.pc()])
	reg := inst.b()
	if second {
		reg = inst.c()
	}
	return typeErrorText("perform arithmetic on", caller, reg, typ.String())
}
