package luahooks

import (
	"maps"
	"slices"
	"unsafe"

	lua "github.com/yuin/gopher-lua"

	"mysqlproxy/packet"
)

// Shortcuts for functions of our modules in Lua that splitting scripts call for
// each command. They do what the Lua says, in the everyday case: see quickCall.

// shortenModule notes the shortcuts of a module that has been loaded.
func (v *vm) shortenModule(name string, value lua.LValue) {
	module, ok := value.(*lua.LTable)
	if !ok {
		return
	}
	for function, quick := range map[string]map[string]quickCall{
		"proxy.balance":     {"idle_ro": v.idleReadOnly, "idle_failsafe_rw": v.idleReadWrite},
		"proxy.commands":    {"parse": v.parseCommand},
		"proxy.auto-config": {"handle": v.noConfig},
	}[name] {
		if fn, ok := module.RawGetString(function).(*lua.LFunction); ok && !fn.IsG {
			v.std.shortcuts = append(v.std.shortcuts, shortcut{fn.Proto, quick})
		}
	}
}

// parseCommand is commands.parse of a command with a text.
func (v *vm) parseCommand(args []lua.LValue) (lua.LValue, bool) {
	payload, ok := stringArg(args)
	if !ok || payload == "" {
		return nil, false
	}
	var name lua.LValue
	switch packet.Command(payload[0]) {
	case packet.ComQuery:
		name = nameComQuery
	case packet.ComStmtPrepare:
		name = nameComPrepare
	default:
		return nil, false
	}
	return v.std.spare.commandOf(v.l, smallNumbers[payload[0]], name, stringValue(payload[1:], payload)), true
}

var nameComQuery, nameComPrepare lua.LValue = lua.LString("COM_QUERY"), lua.LString("COM_STMT_PREPARE")

// noConfig is auto-config.handle of a statement that cannot be about the
// configuration: those begin with PROXY.
func (v *vm) noConfig(args []lua.LValue) (lua.LValue, bool) {
	if len(args) != 2 || v.proxyNumber("COM_QUERY") != float64(packet.ComQuery) {
		return nil, false
	}
	cmd, ok := args[1].(*lua.LTable)
	if !ok {
		return nil, false
	}
	kind, ok := cmd.RawGetString("type").(lua.LNumber)
	if !ok {
		return nil, false
	}
	if kind != lua.LNumber(packet.ComQuery) {
		return lua.LNil, true
	}
	query, ok := cmd.RawGetString("query").(lua.LString)
	return lua.LNil, ok && (query == "" || query[0]|0x20 != 'p')
}

// proxyNumber is a constant in proxy, -1 if a script has made something else of it.
func (v *vm) proxyNumber(name string) float64 {
	if n, ok := v.watched(v.proxy, name).(lua.LNumber); ok {
		return float64(n)
	}
	return -1
}

// balancing prepares what balance does: the user, if proxy is as scripts find it.
func (v *vm) balancing() (user string, ok bool) {
	s := v.current
	if s == nil || v.std.exposed || v.watched(v.l.G.Global, "proxy") != lua.LValue(v.proxy) || v.proxy.Metatable != lua.LValue(s.inherit) {
		return "", false
	}
	connection, ok := s.privateField("connection").(*lua.LUserData)
	if !ok || connection.Value != any(s) ||
		v.watched(v.proxy, "connection") != nil ||
		v.watched(v.proxy, "global") != lua.LValue(v.global) ||
		v.global.RawGetString("backends") != lua.LValue(v.backends) ||
		v.proxyNumber("BACKEND_STATE_DOWN") != stateDown {
		return "", false
	}
	client := s.session.Client()
	return client.Username, client.LoggedIn
}

// idleReadOnly is balance.idle_ro.
func (v *vm) idleReadOnly(args []lua.LValue) (lua.LValue, bool) {
	user, ok := v.balancing()
	if !ok || v.proxyNumber("BACKEND_TYPE_RO") != typeRO {
		return nil, false
	}
	found, fewest := 0, 0
	for i, b := range v.backendList() {
		if !b.ReadOnly() || b.State() == stateDown || !b.Lends(v.current.session.Loop(), user) {
			continue
		}
		if clients := b.Clients(); found == 0 || clients < fewest {
			found, fewest = i+1, clients
		}
	}
	return intValue(found), true
}

// idleReadWrite is balance.idle_failsafe_rw.
func (v *vm) idleReadWrite(args []lua.LValue) (lua.LValue, bool) {
	user, ok := v.balancing()
	if !ok || v.proxyNumber("BACKEND_TYPE_RW") != typeRW {
		return nil, false
	}
	for i, b := range v.backendList() {
		if !b.ReadOnly() && b.State() != stateDown && b.Lends(v.current.session.Loop(), user) {
			return intValue(i + 1), true
		}
	}
	return intValue(0), true
}

// tableOf makes tables that have the same three keys.
type tableOf struct {
	keys   []lua.LValue
	places map[lua.LValue]int
}

func newTableOf(names ...string) *tableOf {
	t := &tableOf{places: map[lua.LValue]int{}}
	for i, name := range names {
		t.keys = append(t.keys, lua.LString(name))
		t.places[lua.LString(name)] = i
	}
	t.keys = slices.Clip(t.keys) // what is appended goes elsewhere
	return t
}

// with is what as many RawSetString would make, at a third of the cost: the keys
// are not made again.
func (t *tableOf) with(l *lua.LState, values ...lua.LValue) *lua.LTable {
	table := l.CreateTable(0, 0)
	p := unsafe.Pointer(table)
	texts := make(map[string]lua.LValue, len(values))
	for i, value := range values {
		texts[string(t.keys[i].(lua.LString))] = value
	}
	*field[map[string]lua.LValue](p, ofTable.strings) = texts
	*field[[]lua.LValue](p, ofTable.keys) = t.keys
	*field[map[lua.LValue]int](p, ofTable.places) = maps.Clone(t.places)
	return table
}
