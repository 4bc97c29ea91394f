package luahooks

import (
	lua "github.com/yuin/gopher-lua"

	"mysqlproxy/engine/hook"
)

// backend is a backend as scripts see it, with the objects that were asked of it.
type backend struct {
	of                  hook.Backend
	object, pool, users *lua.LUserData
	dst                 addressObject
	user                *lua.LUserData // of pool.users, the last one that was asked for
}

// backendsIndex reads proxy.global.backends[i].
func (v *vm) backendsIndex(l *lua.LState) int {
	i, ok := intOf(l.Get(2))
	if !ok {
		l.TypeError(2, lua.LTNumber)
	}
	l.Push(v.backendAt(i))
	return 1
}

func (v *vm) backendAt(i int) lua.LValue {
	list := v.backendList()
	if i < 1 || i > len(list) {
		return lua.LNil
	}
	return v.backend(list[i-1], i-1)
}

// backendList is asked for once a call: they do not change meanwhile.
func (v *vm) backendList() []hook.Backend {
	if v.list == nil {
		v.list = v.opts.Global.Backends()
	}
	return v.list
}

// allBackends is the value of proxy.global.backends.
type allBackends struct{}

// element is for the loop.
func (allBackends) element(v *vm, ud *lua.LUserData, i int) (lua.LValue, bool) {
	if ud != v.backends {
		return nil, false
	}
	return v.backendAt(i), true
}

// length is for the loop.
func (allBackends) length(v *vm, ud *lua.LUserData) (int, bool) {
	return len(v.backendList()), ud == v.backends
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
	l.Push(lua.LNumber(len(v.backendList())))
	return 1
}

func (v *vm) backendIndex(l *lua.LState) int {
	l.Push(self[*backend](l).value(v, key(l)))
	return 1
}

// field is for the loop, of all three objects.
func (b *backend) field(v *vm, ud *lua.LUserData, name string) (lua.LValue, bool) {
	switch ud.Metatable {
	case lua.LValue(v.class.backend):
		return b.value(v, name), true
	case lua.LValue(v.class.pool):
		return b.poolValue(name), true
	case lua.LValue(v.class.users):
		return b.userNamed(v, name), true
	}
	return nil, false
}

func (b *backend) value(v *vm, name string) lua.LValue {
	switch name {
	case "dst":
		return b.dst.of(v, b.of.Address())
	case "state":
		return intValue(b.of.State())
	case "type":
		if b.of.ReadOnly() {
			return intValue(typeRO)
		}
		return intValue(typeRW)
	case "uuid":
		if uuid := b.of.UUID(); uuid != "" {
			return lua.LString(uuid)
		}
	case "connected_clients":
		return intValue(b.of.Clients())
	case "pool":
		return b.pool
	// Names of 0.6 and 0.7 that later scripts still read:
	case "address":
		return lua.LString(addressName(b.of.Address()))
	case "idling_connections":
		return intValue(v.idle(b, v.user()))
	}
	return lua.LNil
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
	l.Push(self[*backend](l).poolValue(key(l)))
	return 1
}

func (b *backend) poolValue(name string) lua.LValue {
	switch name {
	case "min_idle_connections":
		return intValue(b.of.MinIdle())
	case "max_idle_connections":
		return intValue(b.of.MaxIdle())
	case "users":
		return b.users
	}
	return lua.LNil
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
	l.Push(self[*backend](l).userNamed(v, name))
	return 1
}

// userNamed is pool.users[name].
func (b *backend) userNamed(v *vm, name string) lua.LValue {
	if b.user == nil || b.user.Value.(*poolUser).name != name {
		b.user = v.object(v.class.userOfOne, &poolUser{b, name})
	}
	return b.user
}

func (v *vm) userIndex(l *lua.LState) int {
	l.Push(self[*poolUser](l).value(v, key(l)))
	return 1
}

// field is for the loop.
func (u *poolUser) field(v *vm, ud *lua.LUserData, name string) (lua.LValue, bool) {
	if ud.Metatable != lua.LValue(v.class.userOfOne) {
		return nil, false
	}
	return u.value(v, name), true
}

func (u *poolUser) value(v *vm, name string) lua.LValue {
	if name == "cur_idle_connections" {
		return intValue(v.idle(u.backend, u.name))
	}
	return lua.LNil
}
