package luahooks

import (
	lua "github.com/yuin/gopher-lua"

	"mysqlproxy/engine/hook"
)

// backend is a backend as scripts see it, with the objects that were asked of it.
type backend struct {
	of                  hook.Backend
	object, pool, users *lua.LUserData
}

// backendsIndex reads proxy.global.backends[i].
func (v *vm) backendsIndex(l *lua.LState) int {
	i, ok := intOf(l.Get(2))
	if !ok {
		l.TypeError(2, lua.LTNumber)
	}
	list := v.opts.Global.Backends()
	if i < 1 || i > len(list) {
		l.Push(lua.LNil)
		return 1
	}
	l.Push(v.backend(list[i-1], i-1))
	return 1
}

// backend returns the object of a backend, the same each time as long as the
// backend keeps its place i.
func (v *vm) backend(of hook.Backend, i int) *lua.LUserData {
	for len(v.known) <= i {
		v.known = append(v.known, nil)
	}
	b := v.known[i]
	if b == nil || b.of != of {
		b = &backend{of: of}
		b.object = v.object(v.class.backend, b)
		b.pool = v.object(v.class.pool, b)
		b.users = v.object(v.class.users, b)
		v.known[i] = b
	}
	return b.object
}

func (v *vm) backendsNewIndex(l *lua.LState) int {
	l.RaiseError("proxy.global.backends is not writable")
	return 0
}

func (v *vm) backendsLen(l *lua.LState) int {
	l.Push(lua.LNumber(len(v.opts.Global.Backends())))
	return 1
}

func (v *vm) backendIndex(l *lua.LState) int {
	b := self[*backend](l)
	var value lua.LValue = lua.LNil
	switch key(l) {
	case "dst":
		value = v.object(v.class.address, b.of.Address())
	case "state":
		value = lua.LNumber(b.of.State())
	case "type":
		value = lua.LNumber(typeRW)
		if b.of.ReadOnly() {
			value = lua.LNumber(typeRO)
		}
	case "uuid":
		if uuid := b.of.UUID(); uuid != "" {
			value = lua.LString(uuid)
		}
	case "connected_clients":
		value = lua.LNumber(b.of.Clients())
	case "pool":
		value = b.pool
	// Names of 0.6 and 0.7 that later scripts still read:
	case "address":
		value = lua.LString(addressName(b.of.Address()))
	case "idling_connections":
		value = lua.LNumber(v.idle(b, v.user()))
	}
	l.Push(value)
	return 1
}

// user is the name that the session's client logged in with.
func (v *vm) user() string {
	if v.current == nil {
		return ""
	}
	return v.current.session.Client().Username
}

func (v *vm) idle(b *backend, user string) int {
	if v.current == nil {
		return 0
	}
	return b.of.Idle(v.current.session.Loop(), user)
}

func (v *vm) backendNewIndex(l *lua.LState) int {
	b := self[*backend](l)
	switch name := key(l); name {
	case "state":
		b.of.SetState(assignedInt(l))
	case "uuid":
		uuid, ok := textOf(l.Get(3))
		if !ok && l.Get(3) != lua.LNil {
			l.TypeError(3, lua.LTString)
		}
		b.of.SetUUID(uuid)
	default:
		l.RaiseError("proxy.global.backends[...].%s is not writable", name)
	}
	return 0
}

// assignedInt is the assigned value, which has to be a number.
func assignedInt(l *lua.LState) int {
	n, ok := intOf(l.Get(3))
	if !ok {
		l.TypeError(3, lua.LTNumber)
	}
	return n
}

func (v *vm) poolIndex(l *lua.LState) int {
	b := self[*backend](l)
	var value lua.LValue = lua.LNil
	switch key(l) {
	case "min_idle_connections":
		value = lua.LNumber(b.of.MinIdle())
	case "max_idle_connections":
		value = lua.LNumber(b.of.MaxIdle())
	case "users":
		value = b.users
	}
	l.Push(value)
	return 1
}

func (v *vm) poolNewIndex(l *lua.LState) int {
	b := self[*backend](l)
	switch name := key(l); name {
	case "min_idle_connections":
		b.of.SetMinIdle(assignedInt(l))
	case "max_idle_connections":
		b.of.SetMaxIdle(assignedInt(l))
	default:
		l.RaiseError("proxy.global.backends[...].pool.%s is not writable", name)
	}
	return 0
}

// poolUser is pool.users[name], there for any name.
type poolUser struct {
	backend *backend
	name    string
}

func (v *vm) usersIndex(l *lua.LState) int {
	name, ok := textOf(l.Get(2))
	if !ok {
		l.TypeError(2, lua.LTString)
	}
	l.Push(v.object(v.class.userOfOne, &poolUser{self[*backend](l), name}))
	return 1
}

func (v *vm) userIndex(l *lua.LState) int {
	u := self[*poolUser](l)
	var value lua.LValue = lua.LNil
	if key(l) == "cur_idle_connections" {
		value = lua.LNumber(v.idle(u.backend, u.name))
	}
	l.Push(value)
	return 1
}
