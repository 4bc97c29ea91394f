package luahooks

import (
	"net/netip"
	"syscall"

	lua "github.com/yuin/gopher-lua"

	"mysqlproxy/engine/hook"
)

// connectionIndex reads proxy.connection.
func (v *vm) connectionIndex(l *lua.LState) int {
	s := self[*script](l)
	v.mine(l, s)
	value, _ := s.connectionField(v, key(l))
	switch name := key(l); name {
	case "default_db":
		l.RaiseError("proxy.connection.default_db is gone, use proxy.connection.client.default_db or .server.default_db")
	case "thread_id", "mysqld_version":
		l.RaiseError("proxy.connection.%s is gone, use proxy.connection.server.%s", name, name)
	}
	l.Push(value)
	return 1
}

func (s *script) connectionField(v *vm, name string) (value lua.LValue, ok bool) {
	switch name {
	case "backend_ndx":
		return intValue(s.session.Backend()), true
	case "client":
		return v.endpoint(s, 0, s.session.Client()), true
	case "server":
		return v.endpoint(s, 1, s.session.Server()), true
	}
	return lua.LNil, false
}

// field is for the loop: a script is the value of its proxy.connection.
func (s *script) field(v *vm, ud *lua.LUserData, name string) (lua.LValue, bool) {
	if v.current != s || ud.Metatable != lua.LValue(v.class.connection) {
		return nil, false
	}
	return s.connectionField(v, name)
}

// setField is for the loop.
func (s *script) setField(v *vm, ud *lua.LUserData, name string, value lua.LValue) bool {
	n, ok := value.(lua.LNumber)
	if !ok || name != "backend_ndx" || v.current != s || ud.Metatable != lua.LValue(v.class.connection) {
		return false
	}
	s.session.SetBackend(truncate(float64(n)))
	return true
}

// connectionNewIndex writes proxy.connection.
func (v *vm) connectionNewIndex(l *lua.LState) int {
	s := self[*script](l)
	v.mine(l, s)
	switch name := key(l); name {
	case "backend_ndx":
		n, ok := intOf(l.Get(3))
		if !ok {
			l.TypeError(3, lua.LTNumber)
		}
		s.session.SetBackend(n)
	case "connection_close":
		yes, ok := l.Get(3).(lua.LBool)
		if !ok {
			l.TypeError(3, lua.LTBool)
		}
		s.session.CloseAfterResult(bool(yes))
	default:
		l.RaiseError("proxy.connection.%s is not writable", name)
	}
	return 0
}

// endpoint is one half of a session as scripts see it. It stays the half that
// it was when the script asked, also when that has gone to the pool.
type endpoint struct {
	lua.LUserData
	script *script
	server bool
	of     *hook.Endpoint
	// What a script asks for again and again is made once.
	texts    [2]cachedText // default_db, username
	src, dst addressObject
}

// cachedText is a string as Lua has it.
type cachedText struct {
	text  string
	value lua.LValue
}

// of is text, in most cases the same as before.
func (c *cachedText) of(text string) lua.LValue {
	if c.value == nil || c.text != text {
		c.text, c.value = text, lua.LString(text)
	}
	return c.value
}

// addressObject is the object of an address, made anew when that has changed.
type addressObject struct{ last *lua.LUserData }

func (o *addressObject) of(v *vm, a hook.Addr) lua.LValue {
	if o.last == nil || o.last.Value.(*address).of != a {
		o.last = v.object(v.class.address, &address{of: a})
	}
	return o.last
}

// address is the address of a socket as scripts see it.
type address struct {
	of   hook.Addr
	name lua.LValue // nil until it is asked for
}

// endpoint returns the object of a session's half, nil for none. which is 0 for
// the client, 1 for the server.
func (v *vm) endpoint(s *script, which int, of *hook.Endpoint) lua.LValue {
	if of == nil {
		return lua.LNil
	}
	last := &s.client
	if which == 1 {
		last = &s.server
	}
	if *last == nil || (*last).of != of {
		e := &endpoint{script: s, server: which == 1, of: of}
		e.LUserData = lua.LUserData{Value: e, Env: v.l.G.Global, Metatable: v.class.endpoint}
		*last = e
	}
	return &(*last).LUserData
}

func (v *vm) endpointIndex(l *lua.LState) int {
	object := self[*endpoint](l)
	v.mine(l, object.script)
	name := key(l)
	value, known := object.value(v, name)
	if !known {
		if name == "address" {
			l.RaiseError("%s.address is gone, use .src.name or .dst.name", object.name())
		}
		object.script.critical(object.name() + "." + name + " does not exist, or is not known yet")
		value = lua.LNil
	}
	l.Push(value)
	return 1
}

// field is for the loop.
func (object *endpoint) field(v *vm, ud *lua.LUserData, name string) (lua.LValue, bool) {
	if v.current != object.script || ud.Metatable != lua.LValue(v.class.endpoint) {
		return nil, false
	}
	return object.value(v, name)
}

func (object *endpoint) value(v *vm, name string) (value lua.LValue, known bool) {
	e := object.of
	switch name {
	case "src":
		return object.src.of(v, e.Src), true
	case "dst":
		return object.dst.of(v, e.Dst), true
	case "default_db":
		return object.texts[0].of(e.DefaultDB), true
	case "username":
		return object.texts[1].of(e.Username), e.LoggedIn
	case "scrambled_password":
		return lua.LString(e.AuthResponse), e.LoggedIn
	case "auth_plugin_name":
		return lua.LString(e.AuthPlugin), e.LoggedIn || e.Greeted
	case "mysqld_version":
		return lua.LNumber(e.Version), e.Greeted
	case "thread_id":
		return lua.LNumber(e.ThreadID), e.Greeted
	case "scramble_buffer":
		return lua.LString(e.Challenge), e.Greeted
	}
	return lua.LNil, false
}

func (e *endpoint) name() string {
	if e.server {
		return "proxy.connection.server"
	}
	return "proxy.connection.client"
}

func (v *vm) addressIndex(l *lua.LState) int {
	l.Push(self[*address](l).value(key(l)))
	return 1
}

// field is for the loop.
func (a *address) field(v *vm, ud *lua.LUserData, name string) (lua.LValue, bool) {
	if ud.Metatable != lua.LValue(v.class.address) {
		return nil, false
	}
	return a.value(name), true
}

func (a *address) value(name string) lua.LValue {
	ip := a.of.IP.IsValid()
	switch name {
	case "name":
		if a.name == nil {
			a.name = lua.LString(addressName(a.of))
		}
		return a.name
	case "address":
		if ip {
			return lua.LString(a.of.IP.Addr().Unmap().String())
		}
		return lua.LString(a.of.Path)
	case "port":
		if ip {
			return lua.LNumber(a.of.IP.Port())
		}
	case "type":
		return intValue(addressFamily(a.of))
	}
	return lua.LNil
}

// addressName is 1.2.3.4:3306, [::1]:3306 or the socket's path.
func addressName(a hook.Addr) string {
	if !a.IP.IsValid() {
		return a.Path
	}
	return netip.AddrPortFrom(a.IP.Addr().Unmap(), a.IP.Port()).String()
}

// addressFamily is the operating system's number.
func addressFamily(a hook.Addr) int {
	switch {
	case !a.IP.IsValid():
		return syscall.AF_UNIX
	case a.IP.Addr().Unmap().Is4():
		return syscall.AF_INET
	}
	return syscall.AF_INET6
}
