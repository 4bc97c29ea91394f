package luahooks

import (
	"io"
	"os"
	"weak"

	lua "github.com/yuin/gopher-lua"
)

// The standard libraries of Lua 5.1, on gopher-lua's VM, with what PUC-Rio's
// implementation does on Linux in the C locale.
//
//	stdlib.go            what a state shares; opening
//	stdlib_args.go       arguments and their errors
//	stdlib_number.go     numbers as text
//	stdlib_frames.go     the call stack, read behind gopher-lua's back
//	stdlib_call.go       pcall, xpcall, error, assert
//	stdlib_errors.go     the VM's errors in C's words
//	stdlib_compile.go    what is put right before a chunk is compiled
//	stdlib_concat.go     the operator ..
//	stdlib_base.go       the rest of the basic functions
//	stdlib_load.go       load, loadstring, loadfile, dofile
//	stdlib_package.go    require, module, package
//	stdlib_order.go      next and pairs, in PUC Lua's order
//	stdlib_compact.go    tables that have been emptied
//	stdlib_arith.go      arithmetic on strings
//	stdlib_table.go, stdlib_math.go, stdlib_os.go, stdlib_date.go,
//	stdlib_io.go, stdlib_file.go, stdlib_stdout.go, stdlib_debug.go,
//	stdlib_coroutine.go and lstring*.go: one library each
//
// # Differences that remain
//
// They cannot be repaired without another VM. stdlib_differences_test.go holds
// each as it is today.
//
//   - Chunks that are compiled with gopher-lua's own Load, and not with ours,
//     print numbers in a concatenation with 17 digits and refuse strings as
//     bounds of a for loop.
//   - # honours __len of tables, as Lua 5.2 does.
//   - A table with holes may have another length than in PUC Lua: # is the last
//     element that is followed by nil.
//   - pairs and next give string keys in PUC Lua's order if the table was filled
//     by assignments, has no more than maxOrdered keys, all of them strings,
//     numbers and booleans, and none was cleared; after a table constructor
//     with several keys of one main position, or with integer keys outside the
//     sequence 1..n, the order may differ. Integer keys come first, ascending.
//   - a % b is exact, where C computes a - floor(a/b)*b: 5 % math.huge is 5.
//   - A table keeps the room of cleared keys until compactTables, which
//     collectgarbage("collect") calls; integer keys take room from 1 up to the
//     greatest one, at 16 bytes each.
//   - Weak tables (__mode) are strong, __gc is never called.
//   - goto is a keyword; a string escape above 255 is not refused.
//   - Errors of the parser have C's form, but not always its words.
//   - Messages lack the name of a local variable if its function uses a register
//     for two variables, and of a temporary.
//   - The levels of a suspended coroutine lack that of coroutine.yield.
//   - debug.sethook remembers the hook and never calls it. string.dump refuses.
//   - package.loadlib and C modules are refused, with the reason.
//   - os.setlocale knows the C locale only.
//   - The metatable of strings has arithmetic metamethods.

// stdlib is what the libraries of one Lua state, with its coroutines, share. It is
// used by whoever may use the state.
type stdlib struct {
	patterns patternCache
	matchers []*matcher
	// matchSteps is what a call of a function with a pattern may cost.
	matchSteps int
	walks      [4]walk // of next, the last ones
	walkNext   int
	nodes      nodes // for the order of a walk, empty in between

	stdout        *standardOut
	input, output *luaFile // io's defaults
	files         []weak.Pointer[luaFile]
	tostring      *lua.LFunction
	random        generator
	hook          [3]lua.LValue // of debug.sethook
	exit          func(code int)

	// shortcuts are for functions of modules that are part of the program; shorten
	// notes those of a module that has been loaded.
	shortcuts []shortcut
	shorten   func(module string, value lua.LValue)

	compacted int    // tables by compactTables
	assigned  uint64 // counts what may have been an assignment to a global
	words     wordCache
	spare     spare

	strings *lua.LTable // the library, which is where methods of strings are
	// exposed: a script may have got hold of a metatable of an object of ours, or
	// of strings, or of a table that ours says is one (owned). Then those may have
	// been changed, and nothing goes past them.
	exposed bool
	owned   func(meta lua.LValue) bool
	// hidden is the metatable of tables that have none as far as scripts see. It has
	// the loop leave writes to gopher-lua, which counts them in assigned.
	hidden *lua.LTable
}

// look notes that a script looks at the metatable of value.
func (s *stdlib) look(value, meta lua.LValue) lua.LValue {
	if meta == lua.LValue(s.hidden) {
		return lua.LNil
	}
	switch v := value.(type) {
	case *lua.LTable:
		s.exposed = s.exposed || s.owned != nil && s.owned(meta)
	case *lua.LUserData:
		s.exposed = s.exposed || v.Value != nil
	case lua.LString:
		s.exposed = true
	}
	return meta
}

// openStdlib opens all libraries of Lua 5.1 in a state without any. print and
// io.write go to stdout, through a buffer as C's stdio has it: by lines on a
// terminal, by blocks elsewhere, emptied by flushStdout.
func openStdlib(l *lua.LState, stdout io.Writer) {
	s := newStdlib(stdout)
	l.G.Registry.RawSetString(stdlibKey, &lua.LUserData{Value: s, Env: l.G.Global, Metatable: lua.LNil})
	l.Panic = panicInC
	s.openPackage(l)
	s.openBase(l)
	s.openTable(l)
	s.openIo(l)
	s.openOs(l)
	s.openString(l)
	s.openMath(l)
	s.openDebug(l)
	s.openCoroutine(l)
}

func newStdlib(stdout io.Writer) *stdlib {
	s := &stdlib{stdout: newStandardOut(stdout), hidden: &lua.LTable{Metatable: lua.LNil}, matchSteps: matchSteps, exit: os.Exit}
	s.random.seed(1)
	return s
}

const stdlibKey = "luahooks.stdlib"

// flushStdout writes what print, io.write and files that scripts have not closed
// have left in buffers. It is called by whoever may use the state, at its end at
// the latest.
func flushStdout(l *lua.LState) {
	if s := shared(l); s != nil {
		s.flushAll()
	}
}

// shared is the stdlib of a state, nil if it has none.
func shared(l *lua.LState) *stdlib {
	if ud, ok := l.G.Registry.RawGetString(stdlibKey).(*lua.LUserData); ok {
		return ud.Value.(*stdlib)
	}
	return nil
}

// library makes a global table of functions and notes it as loaded.
func (s *stdlib) library(l *lua.LState, name string, funcs map[string]lua.LGFunction) *lua.LTable {
	lib := l.CreateTable(0, len(funcs))
	// Sorted, so that a walk over a library gives the same order in each state.
	for _, fn := range sortedKeys(funcs) {
		lib.RawSetString(fn, l.NewFunction(funcs[fn]))
	}
	l.G.Global.RawSetString(name, lib)
	s.loaded(l).RawSetString(name, lib)
	return lib
}

func (s *stdlib) loaded(l *lua.LState) *lua.LTable {
	t, ok := l.G.Registry.RawGetString("_LOADED").(*lua.LTable)
	if !ok {
		t = l.NewTable()
		l.G.Registry.RawSetString("_LOADED", t)
	}
	return t
}
