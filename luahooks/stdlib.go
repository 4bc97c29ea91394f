package luahooks

import (
	"io"

	lua "github.com/yuin/gopher-lua"
)

// openStdlib opens Lua 5.1's libraries. print and io.write go to stdout.
func openStdlib(l *lua.LState, stdout io.Writer) {
	for _, lib := range []struct {
		name string
		open lua.LGFunction
	}{
		{lua.LoadLibName, lua.OpenPackage},
		{lua.BaseLibName, lua.OpenBase},
		{lua.TabLibName, lua.OpenTable},
		{lua.IoLibName, lua.OpenIo},
		{lua.OsLibName, lua.OpenOs},
		{lua.StringLibName, lua.OpenString},
		{lua.MathLibName, lua.OpenMath},
		{lua.DebugLibName, lua.OpenDebug},
		{lua.CoroutineLibName, lua.OpenCoroutine},
	} {
		l.Push(l.NewFunction(lib.open))
		l.Push(lua.LString(lib.name))
		l.Call(1, 0)
	}
	l.SetGlobal("print", l.NewFunction(func(l *lua.LState) int {
		for i := range l.GetTop() {
			if i > 0 {
				io.WriteString(stdout, "\t")
			}
			text, ok := textOf(l.Get(i + 1))
			if !ok {
				text = l.ToStringMeta(l.Get(i + 1)).String()
			}
			io.WriteString(stdout, text)
		}
		io.WriteString(stdout, "\n")
		return 0
	}))
}
