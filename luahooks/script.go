package luahooks

import (
	"context"
	"log/slog"
	"math/bits"
	"slices"

	lua "github.com/yuin/gopher-lua"

	"mysqlproxy/engine/hook"
)

// names of the hooks, by the place of their bit.
var names = [...]string{
	"connect_server", "read_handshake", "read_auth", "read_auth_result",
	"read_query", "read_query_result", "disconnect_client",
}

func nameOf(h hook.Set) string { return names[bits.TrailingZeros8(uint8(h))] }

// stage says how far a script has come.
type stage uint8

const (
	absent    stage = iota // there is no script
	notLoaded              // the file is missing or no Lua
	notRun                 // its main chunk has failed, or did not run yet
	ready
)

// script is the script of one session. It belongs to the session's loop; the
// Lua values in it are touched under the vm's lock only.
type script struct {
	vm      *vm
	file    *file
	log     *slog.Logger
	session hook.Session
	stage   stage
	fresh   bool // the main chunk has just failed and nobody was told
	hooks   hook.Set

	version *version
	// env is the script's global environment. private is what proxy inherits
	// from while a hook of this session runs; inherit makes it so.
	env, private, inherit *lua.LTable

	functions [len(names)]*lua.LFunction // the hooks, as long as globals is seen
	seen      globals
	// lacks is the shape of env without a proxy of its own.
	lacks shape

	response       *lua.LTable // as read_query was last given it
	client, server *endpoint
	// connection and queues are proxy.connection and proxy.queries at first.
	connection, queues lua.LUserData

	// known is what private has, as of stdlib.assigned less one.
	known struct {
		connection, queries, response lua.LValue
		at                            uint64
	}
}

// open prepares the session's tables and runs the main chunk. A nil version is a
// script that did not load.
func (s *script) open(v *version) {
	if v == nil {
		s.stage, s.hooks = notLoaded, refusing
		return
	}
	s.version, s.stage = v, notRun
	s.enter()
	defer s.leave()
	s.vm.tidy()
	s.execute()
	s.fresh = s.stage == notRun
}

// refusing are the hooks of a script that failed: those that tell the client.
const refusing = hook.ConnectServer | hook.ReadQuery

// enter takes the lock and makes proxy this session's.
func (s *script) enter() {
	v := s.vm
	v.mu.Lock()
	v.current = s
	if s.inherit != nil {
		v.proxy.Metatable = s.inherit
	}
}

func (s *script) leave() {
	v := s.vm
	v.current, v.list = nil, nil
	v.flush()
	v.mu.Unlock()
}

// execute runs the main chunk in a new environment.
func (s *script) execute() {
	v := s.vm
	l := v.l
	s.private = l.CreateTable(0, 4)
	s.private.Metatable = v.std.hidden
	s.connection = lua.LUserData{Value: s, Env: l.G.Global, Metatable: v.class.connection}
	s.queues = lua.LUserData{Value: (*queries)(s), Env: l.G.Global, Metatable: v.class.queue}
	s.private.RawSetString("connection", &s.connection)
	s.private.RawSetString("queries", &s.queues)
	s.known.at = 0
	s.response = l.CreateTable(0, 0)
	s.private.RawSetString("response", s.response)
	s.inherit = l.CreateTable(0, 2)
	s.inherit.RawSetString("__index", s.private)
	s.inherit.RawSetString("__newindex", s.private)
	v.proxy.Metatable = s.inherit
	v.global.RawSetString("backends", v.backends)
	s.env = l.CreateTable(0, 8)
	s.env.Metatable = v.envMeta
	s.env.RawSetString("__proxy", s.private)

	main := l.NewFunctionFromProto(s.version.main)
	main.Env = s.env
	l.Push(main)
	if err := s.protected(0, 0); err != nil {
		s.log.Error("(lua-error) [" + s.file.path + "] " + err.Error())
		s.stage, s.hooks = notRun, refusing
		return
	}
	s.stage = ready
	s.lacks = shape{-1, 0}
	if !slices.Contains(hashKeys(s.env), lua.LValue(lua.LString("proxy"))) { // nor had it one
		s.lacks = v.shapeOf(s.env)
	}
	s.refresh(true)
}

// privateField is a field of private, nil in Lua if there is none.
func (s *script) privateField(name string) lua.LValue {
	v := s.vm
	if s.private.Metatable != lua.LValue(v.std.hidden) { // the loop itself may write to it
		return s.private.RawGetString(name)
	}
	if s.known.at != v.std.assigned+1 {
		s.known.connection = s.private.RawGetString("connection")
		s.known.queries = s.private.RawGetString("queries")
		s.known.response = s.private.RawGetString("response")
		s.known.at = v.std.assigned + 1
	}
	switch name {
	case "connection":
		return s.known.connection
	case "queries":
		return s.known.queries
	case "response":
		return s.known.response
	}
	return s.private.RawGetString(name)
}

// Hooks are those that the script defines now: a hook may define others.
func (s *script) Hooks() hook.Set { return s.hooks }

// usable tells whether hooks can be called, after one more try if the main
// chunk has failed before.
func (s *script) usable() bool {
	if s.stage == notRun && !s.fresh {
		s.execute()
	}
	s.fresh = false
	return s.stage == ready
}

// function is the hook's function, nil if there is none now.
func (s *script) function(h hook.Set) *lua.LFunction {
	if s.vm.globals(s) == s.seen {
		return s.functions[bits.TrailingZeros8(uint8(h))]
	}
	fn, _ := s.lookUp(nameOf(h)).(*lua.LFunction)
	return fn
}

// globals changes when a global of the script may have changed: there is a new one,
// or something was assigned that may be one. What assigns without our loop (rawset,
// a coroutine) says so by itself.
type globals struct {
	env, global shape
	assigned    uint64
}

func (v *vm) globals(s *script) globals {
	return globals{v.shapeOf(s.env), v.shapeOf(v.l.G.Global), v.std.assigned}
}

func (s *script) lookUp(name string) lua.LValue {
	if value := s.env.RawGetString(name); value != lua.LNil {
		return value
	}
	return s.vm.l.G.Global.RawGetString(name)
}

// refresh finds out which hooks there are.
func (s *script) refresh(tell bool) {
	var found hook.Set
	s.seen, s.functions = s.vm.globals(s), [len(names)]*lua.LFunction{}
	for i, name := range names {
		switch value := s.lookUp(name).(type) {
		case *lua.LFunction:
			found |= 1 << i
			s.functions[i] = value
		case *lua.LNilType:
		default:
			if tell {
				s.note("(" + name + ") is a " + value.Type().String() + ", not a function: ignored")
			}
		}
	}
	s.hooks = found
}

// call calls what has been pushed, a hook and its nargs arguments, and returns
// what it returns; ok is false if it failed, which is logged.
func (s *script) call(h hook.Set, nargs int) (ret lua.LValue, ok bool) {
	l := s.vm.l
	if err := s.protected(nargs, 1); err != nil {
		s.critical("(" + nameOf(h) + ") " + err.Error())
		ret = lua.LNil
	} else {
		ret, ok = l.Get(-1), true
		l.SetTop(0)
	}
	if s.version.restless && s.vm.globals(s) != s.seen {
		s.refresh(false)
	}
	return ret, ok
}

// protected calls what has been pushed within the budget. The error says the
// line.
func (s *script) protected(nargs, nret int) error {
	v := s.vm
	v.budget.begin()
	v.kept = false
	err := v.callFromHost(nargs, nret)
	v.kept = v.kept || err != nil || v.std.exposed
	v.std.spare.over(v.kept)
	if err == nil {
		return nil
	}
	v.l.G.CurrentThread = v.l.G.MainThread // it may have failed in a coroutine
	v.l.SetTop(0)
	return &luaError{err}
}

// luaError is an error without the traceback behind it.
type luaError struct{ err error }

func (e *luaError) Error() string {
	if api, ok := e.err.(*lua.ApiError); ok {
		if text, ok := textOf(api.Object); ok {
			return text
		}
		if api.Object != nil {
			return "(error object is a " + api.Object.Type().String() + " value)"
		}
	}
	return e.err.Error()
}

func (s *script) critical(text string) {
	s.log.Error(text, "script", s.file.path)
}

func (s *script) note(text string) {
	s.log.Log(context.Background(), levelMessage, text, "script", s.file.path)
}
