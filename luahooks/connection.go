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
	var value lua.LValue = lua.LNil
	switch name := key(l); name {
	case "backend_ndx":
		value = lua.LNumber(s.session.Backend())
	case "client":
		value = v.endpoint(s, 0, s.session.Client())
	case "server":
		value = v.endpoint(s, 1, s.session.Server())
	case "default_db":
		l.RaiseError("proxy.connection.default_db is gone, use proxy.connection.client.default_db or .server.default_db")
	case "thread_id", "mysqld_version":
		l.RaiseError("proxy.connection.%s is gone, use proxy.connection.server.%s", name, name)
	}
	l.Push(value)
	return 1
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
	script *script
	server bool
	of     *hook.Endpoint
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
	if *last == nil || s.endpoints[which] != of {
		*last = v.object(v.class.endpoint, &endpoint{script: s, server: which == 1, of: of})
		s.endpoints[which] = of
	}
	return *last
}

func (v *vm) endpointIndex(l *lua.LState) int {
	object := self[*endpoint](l)
	v.mine(l, object.script)
	e := object.of
	known := true
	var value lua.LValue = lua.LNil
	name := key(l)
	switch name {
	case "src":
		value = v.object(v.class.address, e.Src)
	case "dst":
		value = v.object(v.class.address, e.Dst)
	case "default_db":
		value = lua.LString(e.DefaultDB)
	case "username":
		value, known = lua.LString(e.Username), e.LoggedIn
	case "scrambled_password":
		value, known = lua.LString(e.AuthResponse), e.LoggedIn
	case "auth_plugin_name":
		value, known = lua.LString(e.AuthPlugin), e.LoggedIn || e.Greeted
	case "mysqld_version":
		value, known = lua.LNumber(e.Version), e.Greeted
	case "thread_id":
		value, known = lua.LNumber(e.ThreadID), e.Greeted
	case "scramble_buffer":
		value, known = lua.LString(e.Challenge), e.Greeted
	case "address":
		l.RaiseError("%s.address is gone, use .src.name or .dst.name", object.name())
	default:
		known = false
	}
	if !known {
		object.script.critical(object.name() + "." + name + " does not exist, or is not known yet")
		value = lua.LNil
	}
	l.Push(value)
	return 1
}

func (e *endpoint) name() string {
	if e.server {
		return "proxy.connection.server"
	}
	return "proxy.connection.client"
}

func (v *vm) addressIndex(l *lua.LState) int {
	a := self[hook.Addr](l)
	var value lua.LValue = lua.LNil
	ip := a.IP.IsValid()
	switch key(l) {
	case "name":
		value = lua.LString(addressName(a))
	case "address":
		if ip {
			value = lua.LString(a.IP.Addr().Unmap().String())
		} else {
			value = lua.LString(a.Path)
		}
	case "port":
		if ip {
			value = lua.LNumber(a.IP.Port())
		}
	case "type":
		value = lua.LNumber(addressFamily(a))
	}
	l.Push(value)
	return 1
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
