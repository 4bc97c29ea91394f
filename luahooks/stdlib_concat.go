package luahooks

import (
	"fmt"

	lua "github.com/yuin/gopher-lua"
)

// concat is the operator .. for two or more operands.
func concat(l *lua.LState) int {
	var few [8]lua.LValue
	operands := few[:0]
	for i := 1; i <= l.GetTop(); i++ {
		operands = append(operands, l.Get(i))
	}
	if value, ok := concatValues(operands); ok {
		l.Push(value)
		return 1
	}
	return concatSlow(l)
}

// concatValues joins strings and numbers. ok is false if there is another value
// among them, or too much text.
func concatValues(operands []lua.LValue) (value lua.LValue, ok bool) {
	var numbers [64]byte // the texts of those operands that are numbers
	texts := numbers[:0]
	size := 0
	for _, v := range operands {
		switch v := v.(type) {
		case lua.LString:
			size += len(v)
		case lua.LNumber:
			was := len(texts)
			texts = appendNumberText(texts, float64(v))
			size += len(texts) - was
		default:
			return nil, false
		}
	}
	if size > maxString {
		return nil, false
	}
	out := make([]byte, 0, size)
	for _, v := range operands {
		switch v := v.(type) {
		case lua.LString:
			out = append(out, v...)
		case lua.LNumber:
			out = appendNumberText(out, float64(v))
		}
	}
	return bytesValue(out), true
}

// concatSlow concatenates from the right, two by two, as operands with __concat
// need it.
func concatSlow(l *lua.LState) int {
	n := l.GetTop()
	acc := l.Get(n)
	for i := n - 1; i >= 1; i-- {
		left := l.Get(i)
		a, ok1 := textOfValue(left)
		b, ok2 := textOfValue(acc)
		if ok1 && ok2 {
			if len(a)+len(b) > maxString {
				raise(l, "string length overflow")
			}
			acc = lua.LString(a + b)
			continue
		}
		op := metaOf(l, left, "__concat")
		if op == lua.LNil {
			op = metaOf(l, acc, "__concat")
		}
		if op == lua.LNil {
			reg := i - 1 // of the operand that cannot be concatenated
			if ok1 {
				left, reg = acc, i
			}
			raise(l, operandError(l, "concatenate", reg+1, left.Type()))
		}
		acc = callMeta(l, op, left, acc)
	}
	l.Push(acc)
	return 1
}

// callMeta calls a metamethod of two operands.
func callMeta(l *lua.LState, op, a, b lua.LValue) lua.LValue {
	l.Push(op)
	l.Push(a)
	l.Push(b)
	l.Call(2, 1)
	v := l.Get(-1)
	l.Pop(1)
	return v
}

// metaOf is a metamethod of a value, nil if there is none.
func metaOf(l *lua.LState, v lua.LValue, event string) lua.LValue {
	return l.GetMetaField(v, event)
}

// operandError is the text of an error about the operand that is argument arg of
// the running function, one of ours that stands for an operator.
func operandError(l *lua.LState, op string, arg int, typ lua.LValueType) string {
	caller := currentFrame(l).caller()
	if caller.isLua() && caller.pc() >= 0 {
		p := caller.fn().Proto
		reg := instruction(p.Code[caller.pc()]).a() + arg
		return typeErrorText(op, caller, reg, typ.String())
	}
	return fmt.Sprintf("attempt to %s a %s value", op, typ)
}
