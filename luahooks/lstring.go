package luahooks

import (
	"strings"
	"unsafe"

	lua "github.com/yuin/gopher-lua"
)

// The string library of Lua 5.1: bytes, not runes, and C's patterns.
//
//	lstring.go          the functions without patterns
//	lstring_find.go     find, match, gmatch, gsub
//	lstring_pattern.go  patterns, compiled and cached
//	lstring_match.go    the matcher
//	lstring_format.go   format

// maxString is the longest string in bytes that rep makes.
const maxString = 1 << 30

// maxValues is how many values Lua 5.1 lets a function in C return.
const maxValues = 8000

func (s *stdlib) openString(l *lua.LState) {
	lib := s.library(l, "string", map[string]lua.LGFunction{
		"byte":    stringByte,
		"char":    stringChar,
		"dump":    stringDump,
		"find":    s.stringFind,
		"format":  s.stringFormat,
		"gmatch":  s.stringGmatch,
		"gsub":    s.stringGsub,
		"len":     stringLen,
		"lower":   stringLower,
		"match":   s.stringMatch,
		"rep":     stringRep,
		"reverse": stringReverse,
		"sub":     stringSub,
		"upper":   stringUpper,
	})
	makeQuick(lib, quickString)
	makeQuick(lib, map[string]quickCall{"upper": s.quickUpper, "find": s.quickFindOne})
	(*quickFunction)(unsafe.Pointer(lib.RawGetString("find").(*lua.LFunction))).many = s.quickFind
	s.strings = lib
	lib.RawSetString("gfind", lib.RawGetString("gmatch"))
	meta := l.CreateTable(0, 8)
	meta.RawSetString("__index", lib)
	s.openStringArithmetic(l, meta)
	l.SetMetatable(emptyString, meta)
}

// fromEnd turns a position that counts from the end, if negative, into one from
// the beginning.
func fromEnd(at, length int) int {
	if at < 0 {
		at += length + 1
	}
	return max(at, 0)
}

func stringByte(l *lua.LState) int {
	str := checkString(l, 1)
	from := fromEnd(optInt(l, 2, 1), len(str))
	to := fromEnd(optInt(l, 3, from), len(str))
	from, to = max(from, 1), min(to, len(str))
	if from > to {
		return 0
	}
	if l.GetTop()+to-from >= maxValues {
		raise(l, "stack overflow (string slice too long)")
	}
	for _, b := range []byte(str[from-1 : to]) {
		l.Push(smallNumbers[b])
	}
	return to - from + 1
}

func stringChar(l *lua.LState) int {
	n := l.GetTop()
	if n == 1 {
		l.Push(oneByte[checkByte(l, 1)])
		return 1
	}
	out := make([]byte, n)
	for i := range out {
		out[i] = checkByte(l, i+1)
	}
	l.Push(lua.LString(out))
	return 1
}

func checkByte(l *lua.LState, n int) byte {
	c := checkInt32(l, n)
	if c < 0 || c > 255 {
		argError(l, n, "invalid value")
	}
	return byte(c)
}

// stringDump refuses: there is no bytecode that Lua 5.1 could read.
func stringDump(l *lua.LState) int {
	checkFunction(l, 1)
	raise(l, "unable to dump given function")
	return 0
}

func stringLen(l *lua.LState) int {
	l.Push(intValue(len(checkString(l, 1))))
	return 1
}

func stringLower(l *lua.LState) int {
	str := checkString(l, 1)
	if out := lowerBytes(str); out != nil {
		return pushBytes(l, out)
	}
	return pushSame(l, str)
}

// lowerBytes is nil if str is as it should be.
func lowerBytes(str string) []byte {
	for i := range len(str) {
		if c := str[i]; c >= 'A' && c <= 'Z' {
			out := []byte(str)
			for j, c := range out[i:] {
				if c >= 'A' && c <= 'Z' {
					out[i+j] = c | 0x20
				}
			}
			return out
		}
	}
	return nil
}

func stringUpper(l *lua.LState) int {
	str := checkString(l, 1)
	if out := upperBytes(str); out != nil {
		return pushBytes(l, out)
	}
	return pushSame(l, str)
}

// upperBytes is nil if str is as it should be.
func upperBytes(str string) []byte {
	for i := range len(str) {
		if c := str[i]; c >= 'a' && c <= 'z' {
			out := []byte(str)
			for j, c := range out[i:] {
				if c >= 'a' && c <= 'z' {
					out[i+j] = c &^ 0x20
				}
			}
			return out
		}
	}
	return nil
}

// pushSame pushes argument 1, whose text str is, without an allocation if it is a
// string already.
func pushSame(l *lua.LState, str string) int {
	v := l.Get(1)
	if v.Type() != lua.LTString {
		v = lua.LString(str)
	}
	l.Push(v)
	return 1
}

// pushBytes pushes bytes that nobody else will change.
func pushBytes(l *lua.LState, b []byte) int {
	l.Push(bytesValue(b))
	return 1
}

func stringRep(l *lua.LState) int {
	str := checkString(l, 1)
	n := checkInt32(l, 2)
	if n <= 0 || str == "" {
		l.Push(emptyString)
		return 1
	}
	if len(str) > maxString/n {
		raise(l, "resulting string too large")
	}
	l.Push(lua.LString(strings.Repeat(str, n)))
	return 1
}

func stringReverse(l *lua.LState) int {
	str := checkString(l, 1)
	out := make([]byte, len(str))
	for i := range len(str) {
		out[len(str)-1-i] = str[i]
	}
	return pushBytes(l, out)
}

func stringSub(l *lua.LState) int {
	str := checkString(l, 1)
	l.Push(subValue(l.Get(1), str, checkInt(l, 2), optInt(l, 3, -1)))
	return 1
}

// subValue is the part of whole, whose text is str.
func subValue(whole lua.LValue, str string, from, to int) lua.LValue {
	from = max(fromEnd(from, len(str)), 1)
	to = min(fromEnd(to, len(str)), len(str))
	switch {
	case from > to:
		return emptyString
	case from == 1 && to == len(str) && whole.Type() == lua.LTString:
		return whole
	}
	return stringValue(str[from-1:to], str)
}
