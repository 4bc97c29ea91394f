package luahooks

import (
	"sync"

	lua "github.com/yuin/gopher-lua"

	"mysqlproxy/engine/hook"
)

const (
	callDepth    = 20_000 // of Lua calls; C's Lua 5.1 ends there too
	registry     = 4 << 10
	maxRegistry  = 1 << 20 // values on the stack, 16 bytes each
	growRegistry = 4 << 10
	// threadRegistry is what a coroutine starts with.
	threadRegistry = 256
)

// maxArray is the highest index that gopher-lua keeps in the array part of a
// table. Its own limit is 67 million, and it fills up to an index with nils: a
// table by thread id, as scripts have in proxy.global, would take a gigabyte.
// Beyond it # does not count.
const maxArray = 1 << 22

func init() { lua.MaxArrayIndex = maxArray }

// vm is one Lua state and what its sessions share. All of it is used under mu.
type vm struct {
	mu     sync.Mutex
	l      *lua.LState
	budget budget
	opts   *Options

	// current is the script whose hook runs, nil between calls.
	current *script
	opened  uint64 // sessions so far

	proxy    *lua.LTable // _G.proxy: constants and global; the rest is the session's
	global   *lua.LTable // proxy.global
	backends *lua.LUserData
	std      *stdlib
	frames   frameStack
	list     []hook.Backend // of proxy.global.backends, nil until a call asks for it
	lacks    shape          // of proxy without the fields that are the session's
	envMeta  *lua.LTable    // of every session's environment: what it lacks is in _G
	kept     bool           // the call that runs may have kept an object: see spare
	known    []*backend     // objects of proxy.global.backends, by index from 0

	needed              *lua.LTable // { resultset_is_needed = true }, see isNeeded
	appendFn, prependFn *lua.LFunction
	queueMethods        *lua.LTable
	results             [mostResults]lua.LValue // of callMany
	memos               [memos]memo

	class struct {
		queue, connection, endpoint, address      *lua.LTable
		injection, resultset, fields, field       *lua.LTable
		backends, backend, pool, users, userOfOne *lua.LTable
	}
}

// tidyEvery is how many sessions open before tables that scripts have emptied
// again give back their room: what a script keeps per connection in proxy.global
// is cleared as connections end, but the keys stay.
const tidyEvery = 4096

// tidy is called for each session that opens.
func (v *vm) tidy() {
	if v.opened++; v.opened%tidyEvery == 0 {
		compactTables(v.l, v.global)
	}
}

func newVM(s *Scripts) *vm {
	v := &vm{opts: s.opts}
	v.l = lua.NewState(lua.Options{
		SkipOpenLibs:        true,
		CallStackSize:       callDepth,
		MinimizeStackMemory: true,
		RegistrySize:        registry,
		RegistryMaxSize:     maxRegistry,
		RegistryGrowStep:    growRegistry,
	})
	v.l.Options.RegistrySize = threadRegistry // from here on it is for threads
	v.budget.instructions = s.opts.Instructions
	v.budget.time = s.opts.Time
	v.budget.memory = uint64(s.opts.Memory)
	v.budget.begin()
	v.l.SetContext(&v.budget) // for coroutines
	v.takeLoop()
	v.frames = framesOf(v.l)

	v.defineClasses()
	v.needed = v.l.CreateTable(0, 1)
	v.needed.RawSetString(string(resultNeeded), lua.LTrue)
	v.envMeta = v.l.CreateTable(0, 1)
	v.envMeta.RawSetString("__index", v.l.G.Global)
	v.backends = v.object(v.class.backends, allBackends{})
	v.global = v.l.NewTable()
	v.global.RawSetString("config", v.l.NewTable())
	v.global.RawSetString("backends", v.backends)
	v.proxy = v.l.NewTable()
	v.defineConstants()
	v.proxy.RawSetString("global", v.global)
	v.proxy.RawSetString("backends", v.backends) // its place before 0.7
	v.l.G.Global.RawSetString("proxy", v.proxy)
	v.openLibraries(s)
	v.lacks = v.shapeOf(v.proxy)
	return v
}

// flush writes out what a call has printed. C's stdio would hold it back until
// there are 4 KiB of it; here nothing is lost however the process ends, and a
// call that prints nothing pays nothing.
func (v *vm) flush() {
	if len(v.std.stdout.buf) > 0 {
		v.std.stdout.flush()
	}
}

func (v *vm) defineClasses() {
	c := &v.class
	c.queue = v.queueClass()
	c.connection = v.newClass(v.connectionIndex, v.connectionNewIndex, nil)
	c.endpoint = v.newClass(v.endpointIndex, nil, nil)
	c.address = v.newClass(v.addressIndex, nil, nil)
	c.injection = v.newClass(v.injectionIndex, nil, nil)
	c.resultset = v.newClass(v.resultsetIndex, nil, nil)
	c.fields = v.newClass(v.fieldsIndex, nil, v.fieldsLen)
	c.field = v.newClass(v.fieldIndex, nil, nil)
	c.backends = v.newClass(v.backendsIndex, v.backendsNewIndex, v.backendsLen)
	c.backend = v.newClass(v.backendIndex, v.backendNewIndex, nil)
	c.pool = v.newClass(v.poolIndex, v.poolNewIndex, nil)
	c.users = v.newClass(v.usersIndex, nil, nil)
	c.userOfOne = v.newClass(v.userIndex, nil, nil)
}

// newClass makes the metatable of a kind of userdata.
func (v *vm) newClass(index, newIndex, length lua.LGFunction) *lua.LTable {
	mt := v.l.CreateTable(0, 4)
	for _, m := range []struct {
		name string
		fn   lua.LGFunction
	}{{"__index", index}, {"__newindex", newIndex}, {"__len", length}} {
		if m.fn != nil {
			mt.RawSetString(m.name, v.l.NewFunction(m.fn))
		}
	}
	return mt
}

func (v *vm) object(class *lua.LTable, value any) *lua.LUserData {
	return &lua.LUserData{Value: value, Env: v.l.G.Global, Metatable: class}
}

// self is the object that a method was called on.
func self[T any](l *lua.LState) T {
	if ud, ok := l.Get(1).(*lua.LUserData); ok {
		if value, ok := ud.Value.(T); ok {
			return value
		}
	}
	var none T
	l.ArgError(1, "object of another kind")
	return none
}

// key is the name that an object was indexed with; what is no name is "".
func key(l *lua.LState) string {
	name, _ := l.Get(2).(lua.LString)
	return string(name)
}

// mine raises an error if sc is not the script whose hook runs: its session may
// be gone, or at work on another loop.
func (v *vm) mine(l *lua.LState, sc *script) {
	if sc == nil || v.current != sc {
		l.RaiseError("this object belongs to another connection")
	}
}
