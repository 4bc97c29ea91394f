package luahooks

import (
	"fmt"
	"math"

	lua "github.com/yuin/gopher-lua"
)

// Arguments as C's Lua 5.1 checks them: numbers and strings stand for each other,
// and the messages are the same.

// checkAny is argument n, which must be there.
func checkAny(l *lua.LState, n int) lua.LValue {
	if n > l.GetTop() {
		argError(l, n, "value expected")
	}
	return l.Get(n)
}

// checkString is argument n, a string or a number.
func checkString(l *lua.LState, n int) string {
	switch v := l.Get(n).(type) {
	case lua.LString:
		return string(v)
	case lua.LNumber:
		return numberText(float64(v))
	}
	typeError(l, n, "string")
	return ""
}

func optString(l *lua.LState, n int, or string) string {
	if l.Get(n) == lua.LNil {
		return or
	}
	return checkString(l, n)
}

// checkNumber is argument n, a number or a string that reads as one.
func checkNumber(l *lua.LState, n int) float64 {
	switch v := l.Get(n).(type) {
	case lua.LNumber:
		return float64(v)
	case lua.LString:
		if f, ok := readNumber(string(v)); ok {
			return f
		}
	}
	typeError(l, n, "number")
	return 0
}

func optNumber(l *lua.LState, n int, or float64) float64 {
	if l.Get(n) == lua.LNil {
		return or
	}
	return checkNumber(l, n)
}

// checkInt is checkNumber cut to an integer.
func checkInt(l *lua.LState, n int) int { return cutInt(checkNumber(l, n)) }

func optInt(l *lua.LState, n, or int) int {
	if l.Get(n) == lua.LNil {
		return or
	}
	return checkInt(l, n)
}

// cutInt is the integer that C on x86-64 makes of f: what does not fit is the
// least one.
func cutInt(f float64) int {
	if f >= -(1<<63) && f < 1<<63 {
		return int(f)
	}
	return math.MinInt64
}

// checkInt32 is checkInt where C takes an int: what is beyond it wraps.
func checkInt32(l *lua.LState, n int) int { return int(int32(checkInt(l, n))) }

func checkTable(l *lua.LState, n int) *lua.LTable {
	if t, ok := l.Get(n).(*lua.LTable); ok {
		return t
	}
	typeError(l, n, "table")
	return nil
}

func checkFunction(l *lua.LState, n int) *lua.LFunction {
	if f, ok := l.Get(n).(*lua.LFunction); ok {
		return f
	}
	typeError(l, n, "function")
	return nil
}

// checkOption is argument n, one of the options, or the default where it is
// absent.
func checkOption(l *lua.LState, n int, or string, options ...string) string {
	name := or
	if or == "" || l.Get(n) != lua.LNil {
		name = checkString(l, n)
	}
	for _, o := range options {
		if o == name {
			return o
		}
	}
	argError(l, n, fmt.Sprintf("invalid option '%s'", name))
	return ""
}

// typeError raises that argument n is not of the type wanted.
func typeError(l *lua.LState, n int, wanted string) {
	argError(l, n, wanted+" expected, got "+argType(l, n))
}

// argType names the type of argument n.
func argType(l *lua.LState, n int) string {
	if n > l.GetTop() {
		return "no value"
	}
	return l.Get(n).Type().String()
}

// argError raises the error of argument n of the running function. In a method
// call self is not counted.
func argError(l *lua.LState, n int, why string) {
	raise(l, argMessage(l, n, why))
}

func argMessage(l *lua.LState, n int, why string) string {
	name, kind := calledName(currentFrame(l))
	if kind == "method" {
		if n--; n == 0 {
			return fmt.Sprintf("calling '%s' on bad self (%s)", name, why)
		}
	}
	if name == "" {
		name = "?"
	}
	return fmt.Sprintf("bad argument #%d to '%s' (%s)", n, name, why)
}

// raise raises a string with the position of the running function's caller in
// front, as luaL_error does.
func raise(l *lua.LState, message string) {
	l.Error(lua.LString(where(l, 1)+message), 0)
}

// raiseBare raises a string as it is: C's VM puts a position before its errors only
// where the running function is one in Lua.
func raiseBare(l *lua.LState, message string) { l.Error(lua.LString(message), 0) }

func raisef(l *lua.LState, format string, args ...any) {
	raise(l, fmt.Sprintf(format, args...))
}

// where is the position of the function at a level (1: the caller of the running
// one) as "name:line: ", or empty for a function in Go.
func where(l *lua.LState, level int) string {
	f, ok := frameAt(l, level)
	if !ok || f.fn() == nil || f.fn().IsG {
		return ""
	}
	return f.position() + " "
}

// stringValue is a part of from, without keeping a large text alive for the sake
// of a small part.
func stringValue(part, from string) lua.LValue {
	switch {
	case len(part) == 0:
		return emptyString
	case len(part) == 1:
		return oneByte[part[0]]
	case len(from) > 1024 && len(part) < len(from)/2:
		part = string(append(make([]byte, 0, len(part)), part...))
	}
	return lua.LString(part)
}

// Values that would otherwise be allocated each time.
var (
	emptyString lua.LValue = lua.LString("")
	oneByte                = func() (v [256]lua.LValue) {
		for i := range v {
			v[i] = lua.LString([]byte{byte(i)})
		}
		return v
	}()
	smallNumbers = func() (v [1024]lua.LValue) {
		for i := range v {
			v[i] = lua.LNumber(i)
		}
		return v
	}()
)

// intValue is n as a Lua number.
func intValue(n int) lua.LValue {
	if uint(n) < uint(len(smallNumbers)) {
		return smallNumbers[n]
	}
	return lua.LNumber(n)
}
