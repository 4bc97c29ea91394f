package luahooks

import (
	"fmt"

	lua "github.com/yuin/gopher-lua"
)

// Protected calls. gopher-lua's pcall closes the upvalues of all calls on the
// stack when an error is raised, also of those that go on afterwards: a local
// variable and a closure over it then no longer share their value. And its xpcall
// closes none at all. Ours close those of the calls that are left, and put the
// errors of the VM into C's words while the stack still shows what they are about.

// trampoline is the function between a protected call and the function it calls.
// Levels do not count it.
var trampoline = &lua.LFunction{IsG: true}

func init() { trampoline.GFunction = bounce }

func bounce(l *lua.LState) int {
	base := currentFrame(l).base()
	l.Panic = panicInC
	setErrFunc(l, true)
	done := false
	defer func() {
		if !done {
			closeUpvalues(l, base)
		}
	}()
	l.Call(l.GetTop()-1, lua.MultRet)
	done = true
	return l.GetTop()
}

func isTrampoline(f *lua.LFunction) bool { return f == trampoline }

// panicInC raises the value on the top of the stack.
func panicInC(l *lua.LState) {
	object := l.Get(-1)
	if s, ok := object.(lua.LString); ok {
		object = lua.LString(inC(l, string(s)))
	}
	// A stack trace that is not empty spares gopher-lua making one.
	panic(&lua.ApiError{Type: lua.ApiErrorRun, Object: object, StackTrace: noTrace})
}

const noTrace = " "

// protectedCall calls the function below its nargs arguments on the stack, as
// lua_pcall does: handler (nil: none) is called with the error before the stack
// is unwound. The results, or on an error nothing, are left in their place.
func protectedCall(l *lua.LState, nargs, nret int, handler *lua.LFunction) error {
	errFunc := setErrFunc(l, false)
	l.Insert(trampoline, l.GetTop()-nargs)
	err := l.PCall(nargs+1, nret, handler)
	setErrFunc(l, errFunc)
	if apiErr, ok := err.(*lua.ApiError); ok && apiErr.StackTrace == noTrace {
		apiErr.StackTrace = ""
	}
	return err
}

// errorValue is what a script sees of an error.
func errorValue(err error) lua.LValue {
	if apiErr, ok := err.(*lua.ApiError); ok && apiErr.Object != nil {
		return apiErr.Object
	}
	return lua.LString(err.Error())
}

func basePCall(l *lua.LState) int {
	checkAny(l, 1)
	if err := protectedCall(l, l.GetTop()-1, lua.MultRet, nil); err != nil {
		l.SetTop(0)
		l.Push(lua.LFalse)
		l.Push(errorValue(err))
		return 2
	}
	l.Insert(lua.LTrue, 1)
	return l.GetTop()
}

func baseXPCall(l *lua.LState) int {
	handler := checkAny(l, 2)
	l.SetTop(1)
	handle, ok := handler.(*lua.LFunction)
	if !ok {
		handle = badHandler
	}
	if err := protectedCall(l, 0, lua.MultRet, handle); err != nil {
		object := errorValue(err)
		if apiErr, ok := err.(*lua.ApiError); ok && apiErr.Type != lua.ApiErrorError {
			object = lua.LString("error in error handling")
		}
		l.SetTop(0)
		l.Push(lua.LFalse)
		l.Push(object)
		return 2
	}
	l.Insert(lua.LTrue, 1)
	return l.GetTop()
}

// badHandler stands for a handler that is no function.
var badHandler = &lua.LFunction{IsG: true, GFunction: func(l *lua.LState) int {
	l.Push(lua.LString("error in error handling"))
	return 1
}}

func baseError(l *lua.LState) int {
	level := optInt(l, 2, 1)
	v := l.Get(1)
	if level > 0 && isStringLike(v) {
		text, _ := textOfValue(v)
		v = lua.LString(where(l, level) + text)
	}
	l.Error(v, 0)
	return 0
}

func baseAssert(l *lua.LState) int {
	if !lua.LVAsBool(checkAny(l, 1)) {
		raise(l, optString(l, 2, "assertion failed!"))
	}
	return l.GetTop()
}

func isStringLike(v lua.LValue) bool { return lua.LVCanConvToString(v) }

// textOfValue is the text of a string or number.
func textOfValue(v lua.LValue) (string, bool) {
	switch v := v.(type) {
	case lua.LString:
		return string(v), true
	case lua.LNumber:
		return numberText(float64(v)), true
	}
	return "", false
}

// callFromHost calls the function below its nargs arguments on the stack, with no
// other call running: it is a protected call without the frame that one among
// others needs.
func (v *vm) callFromHost(nargs, nret int) (err error) {
	l := v.l
	l.Panic = panicInC
	setErrFunc(l, true)
	defer func() {
		setErrFunc(l, false)
		failure := recover()
		if failure != nil {
			closeUpvalues(l, 0)
			apiErr, ok := failure.(*lua.ApiError)
			if !ok {
				apiErr = &lua.ApiError{Type: lua.ApiErrorPanic, Object: lua.LString(fmt.Sprint(failure))}
			}
			err = apiErr
		}
		v.frames.SetSp(0)
		leaveFrames(l)
		if failure != nil {
			l.SetTop(0)
		}
	}()
	l.Call(nargs, nret)
	return nil
}
