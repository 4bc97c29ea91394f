package luahooks

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// Coroutines are gopher-lua's. Ours refuse what Lua 5.1 refuses, with its texts,
// and see to it that errors in them are put into C's words.

// bodySource makes the function that a coroutine runs: it has the errors of the
// coroutine go our way, then calls the function that was given. That is no tail
// call: gopher-lua loses a coroutine whose last call yields, if it is a tail call
// and no other is below it. Levels do not count this one.
const bodySource = `local begin, give, f = ... return function(...) begin() return give(f(...)) end`

// makeBody is the code that makes such a function, giver is what gives its results.
var (
	makeBody *lua.FunctionProto
	giver    = &lua.LFunction{IsG: true, GFunction: func(l *lua.LState) int { return l.GetTop() }}
)

func init() {
	var err error
	if makeBody, err = compileText(strings.NewReader(bodySource), "[C]"); err != nil {
		panic(err)
	}
}

func (s *stdlib) openCoroutine(l *lua.LState) {
	l.Push(l.NewFunction(lua.OpenCoroutine))
	l.Push(lua.LString(lua.CoroutineLibName))
	l.Call(1, 0)
	theirs := l.G.Global.RawGetString("coroutine").(*lua.LTable)
	create := theirs.RawGetString("create").(*lua.LFunction).GFunction
	resume := theirs.RawGetString("resume").(*lua.LFunction).GFunction
	begin := l.NewFunction(func(l *lua.LState) int {
		l.Panic = panicInC
		return 0
	})

	newThread := func(l *lua.LState) int {
		f, ok := l.Get(1).(*lua.LFunction)
		if !ok || f.IsG {
			argError(l, 1, "Lua function expected")
		}
		l.SetTop(0)
		l.Push(l.NewFunctionFromProto(makeBody))
		l.Push(begin)
		l.Push(giver)
		l.Push(f)
		l.Call(3, 1)
		return create(l)
	}
	// resumeThread resumes the thread that is argument 1, and leaves the answer of
	// coroutine.resume on the stack.
	resumeThread := func(l *lua.LState, th *lua.LState) int {
		s.assigned++
		if status := statusOf(l, th); status != "suspended" {
			l.Push(lua.LFalse)
			l.Push(lua.LString("cannot resume " + map[bool]string{true: "dead", false: status}[status == "dead"] + " coroutine"))
			return 2
		}
		if want := wanted(th); want >= 0 {
			for given := l.GetTop() - 1; given < want; given++ {
				l.Push(lua.LNil)
			}
			l.SetTop(1 + want)
		}
		return resume(l)
	}
	s.library(l, "coroutine", map[string]lua.LGFunction{
		"create": newThread,
		"resume": func(l *lua.LState) int { return resumeThread(l, checkThread(l, 1)) },
		"running": func(l *lua.LState) int {
			if l == l.G.MainThread || l.Parent == nil {
				l.Push(lua.LNil)
			} else {
				l.Push(l)
			}
			return 1
		},
		"status": func(l *lua.LState) int {
			l.Push(lua.LString(statusOf(l, checkThread(l, 1))))
			return 1
		},
		"wrap": func(l *lua.LState) int {
			newThread(l)
			th := l.Get(-1).(*lua.LState)
			l.Push(l.NewClosure(func(l *lua.LState) int {
				l.Insert(th, 1)
				n := resumeThread(l, th)
				if lua.LVAsBool(l.Get(-n)) {
					return n - 1
				}
				object := l.Get(-1)
				if text, ok := textOfValue(object); ok {
					object = lua.LString(where(l, 1) + text)
				}
				l.Error(object, 0)
				return 0
			}, th))
			return 1
		},
		"yield": func(l *lua.LState) int {
			if l.Parent == nil {
				raiseBare(l, crossing)
			}
			for f := currentFrame(l).caller(); f.ok(); f = f.caller() {
				if !f.isLua() || !f.calls() {
					raiseBare(l, crossing)
				}
			}
			return -1
		},
	})
}

// wanted is how many values the yield wants that th waits in, -1 if all that there
// are. gopher-lua would leave those undefined that resume does not give, and may take
// more for the function's results.
func wanted(th *lua.LState) int {
	f := currentFrame(th)
	if !f.isLua() || f.pc() < 0 {
		return -1 // it has not begun
	}
	if inst := instruction(f.fn().Proto.Code[f.pc()]); inst.op() == lua.OP_CALL {
		return inst.c() - 1
	}
	return -1
}

// calls tells whether f, of a function in Lua, waits in a call and not in an
// operator or a loop that has called a function.
func (f frame) calls() bool {
	code := f.fn().Proto.Code
	if f.pc() < 0 || f.pc() >= len(code) {
		return false
	}
	op := instruction(code[f.pc()]).op()
	return op == lua.OP_CALL || op == lua.OP_TAILCALL
}

const crossing = "attempt to yield across metamethod/C-call boundary"

func checkThread(l *lua.LState, n int) *lua.LState {
	th, ok := l.Get(n).(*lua.LState)
	if !ok {
		argError(l, n, "coroutine expected")
	}
	return th
}

// statusOf is coroutine.status of th, asked by l.
func statusOf(l, th *lua.LState) string {
	switch {
	case th == l:
		return "running"
	case th.Dead:
		return "dead"
	case th.Parent != nil || th == l.G.MainThread: // it has resumed another
		return "normal"
	}
	return "suspended"
}

// isBody tells whether f is what a coroutine begins with.
func isBody(f *lua.LFunction) bool {
	return f != nil && !f.IsG && f.Proto == makeBody.FunctionPrototypes[0]
}
