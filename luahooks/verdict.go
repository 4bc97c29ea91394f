package luahooks

import (
	"strconv"

	lua "github.com/yuin/gopher-lua"

	"mysqlproxy/engine/hook"
)

// This file has the hooks and what their return values mean. A value counts if
// it is a number or can be read as one; it is cut to an integer. Anything else
// is no decision.

// ConnectServer calls connect_server, or tells the client that there is no
// script to do so.
func (s *script) ConnectServer() hook.Verdict {
	if s.stage == absent {
		return hook.Verdict{}
	}
	if s.stage == notLoaded {
		return refusal(failedToLoad)
	}
	s.enter()
	defer s.leave()
	if !s.usable() {
		return refusal(failedToExecute)
	}
	n, ok := s.decision(hook.ConnectServer)
	switch n {
	case sendResult:
		return s.answer()
	case ignoreResult:
		return hook.Verdict{Action: hook.IgnoreResult}
	}
	return hook.Verdict{Failed: !ok}
}

// ReadHandshake calls read_handshake.
func (s *script) ReadHandshake() hook.Verdict {
	if s.stage < notRun {
		return hook.Verdict{}
	}
	s.enter()
	defer s.leave()
	if !s.usable() {
		return hook.Verdict{}
	}
	n, ok := s.decision(hook.ReadHandshake)
	switch n {
	case sendQuery:
		s.log.Warn("(read_handshake) PROXY_SEND_QUERY is deprecated, use PROXY_SEND_RESULT", "script", s.file.path)
		return s.answer()
	case sendResult:
		return s.answer()
	}
	return hook.Verdict{Failed: !ok}
}

// ReadAuth calls read_auth.
func (s *script) ReadAuth() hook.Verdict {
	if s.stage < notRun {
		return hook.Verdict{}
	}
	s.enter()
	defer s.leave()
	if !s.usable() {
		return hook.Verdict{}
	}
	n, ok := s.decision(hook.ReadAuth)
	switch n {
	case sendQuery:
		if s.session.Queue().Len() > 0 {
			return hook.Verdict{Action: hook.SendQuery}
		}
	case sendResult:
		return s.answer()
	}
	return hook.Verdict{Failed: !ok}
}

// ReadAuthResult calls read_auth_result with a table that has the payload.
func (s *script) ReadAuthResult(payload []byte) hook.Verdict {
	if s.stage < notRun {
		return hook.Verdict{}
	}
	s.enter()
	defer s.leave()
	if !s.usable() {
		return hook.Verdict{}
	}
	fn := s.function(hook.ReadAuthResult)
	if fn == nil {
		return hook.Verdict{}
	}
	l := s.vm.l
	auth := l.CreateTable(0, 1)
	auth.RawSetString("packet", lua.LString(payload))
	l.Push(fn)
	l.Push(auth)
	ret, ok := s.call(hook.ReadAuthResult, 1)
	if !ok {
		return hook.Verdict{Failed: true}
	}
	switch decided(ret) {
	case sendResult:
		return s.answer()
	case ignoreResult:
		return hook.Verdict{Action: hook.IgnoreResult}
	}
	return hook.Verdict{}
}

// ReadQuery calls read_query with the payload, and proxy.response empty.
func (s *script) ReadQuery(payload []byte) hook.Verdict {
	if s.stage == absent {
		return hook.Verdict{}
	}
	if s.stage == notLoaded {
		return refusal(failedToLoad)
	}
	s.enter()
	defer s.leave()
	if !s.usable() {
		return refusal(failedToExecute)
	}
	fn := s.function(hook.ReadQuery)
	if fn == nil {
		return hook.Verdict{}
	}
	s.resetResponse()
	l := s.vm.l
	l.Push(fn)
	l.Push(lua.LString(payload))
	ret, ok := s.call(hook.ReadQuery, 1)
	queue := s.session.Queue()
	if !ok {
		queue.Reset()
		return hook.Verdict{Failed: true}
	}
	n := decided(ret)
	switch n {
	case sendQuery:
		if queue.Len() > 0 {
			return hook.Verdict{Action: hook.SendQuery}
		}
		s.critical("(read_query) PROXY_SEND_QUERY, but proxy.queries is empty: the query is forwarded")
	case sendResult:
		queue.Reset()
		return s.answer()
	case 0:
		if queue.Len() > 0 {
			s.critical("(read_query) proxy.queries is filled, but PROXY_SEND_QUERY is not returned: the query is forwarded")
		}
	default:
		s.critical("(read_query) returned " + strconv.Itoa(n) + ", which means nothing: the query is forwarded")
	}
	queue.Reset()
	return hook.Verdict{Failed: n != 0}
}

// ReadQueryResult calls read_query_result with the injection.
func (s *script) ReadQueryResult(in *hook.Injection) hook.Verdict {
	if s.stage < notRun {
		return hook.Verdict{}
	}
	s.enter()
	defer s.leave()
	if !s.usable() {
		return hook.Verdict{}
	}
	fn := s.function(hook.ReadQueryResult)
	if fn == nil {
		return hook.Verdict{}
	}
	l := s.vm.l
	object := s.vm.injectionOf(s, in)
	l.Push(fn)
	l.Push(&object.LUserData)
	ret, ok := s.call(hook.ReadQueryResult, 1)
	object.of = nil // the engine may use it again
	n := decided(ret)
	v := s.decidedResult(in, n, ok)
	v.Free = !s.vm.kept
	return v
}

// decidedResult is what the number means that read_query_result has returned.
func (s *script) decidedResult(in *hook.Injection, n int, ok bool) hook.Verdict {
	switch {
	case !ok || n == 0:
		return hook.Verdict{Failed: !ok}
	case !in.ResultNeeded:
		s.critical("(read_query_result) returned " + strconv.Itoa(n) +
			" for a result that has been forwarded already: set resultset_is_needed in proxy.queries:append()")
		return hook.Verdict{}
	case n == sendResult:
		return s.answer()
	case n != ignoreResult:
		s.note("(read_query_result) returned " + strconv.Itoa(n) + ", which means nothing: the result is dropped")
	}
	return hook.Verdict{Action: hook.IgnoreResult}
}

// DisconnectClient calls disconnect_client, whose return value has no meaning.
func (s *script) DisconnectClient() (failed bool) {
	if s.stage < notRun {
		return false
	}
	s.enter()
	defer s.leave()
	if !s.usable() {
		return false
	}
	_, ok := s.decision(hook.DisconnectClient)
	return !ok
}

// decision calls a hook of the login, or the last one, and returns its number:
// 0 if it made no decision. ok is false if it raised an error.
func (s *script) decision(h hook.Set) (n int, ok bool) {
	fn := s.function(h)
	if fn == nil {
		return 0, true
	}
	l := s.vm.l
	l.Push(fn)
	nargs := 0
	if !fn.IsG && fn.Proto.NumParameters > 0 {
		if arg := s.loginArgument(h); arg != nil {
			l.Push(arg)
			nargs = 1
		}
	}
	ret, ok := s.call(h, nargs)
	return decided(ret), ok
}

// loginArgument is what MySQL Proxy 0.6 gave to read_handshake and read_auth,
// for scripts of its time; later ones take no argument.
func (s *script) loginArgument(h hook.Set) *lua.LTable {
	l := s.vm.l
	t := l.CreateTable(0, 6)
	set := func(name, value string) { t.RawSetString(name, lua.LString(value)) }
	client := s.session.Client()
	switch h {
	case hook.ReadHandshake:
		server := s.session.Server()
		if server == nil {
			server = client
		}
		t.RawSetString("mysqld_version", lua.LNumber(server.Version))
		t.RawSetString("thread_id", lua.LNumber(server.ThreadID))
		set("scramble", string(server.Challenge))
		set("client_addr", addressName(client.Src))
		set("server_addr", addressName(server.Dst))
	case hook.ReadAuth:
		set("username", client.Username)
		set("password", string(client.AuthResponse))
		set("default_db", client.DefaultDB)
	default:
		return nil
	}
	return t
}

// decided is a return value as an integer, 0 if it is none.
func decided(ret lua.LValue) int {
	n, _ := intOf(ret)
	return n
}

// resetResponse gives the script an empty proxy.response. The last one does if
// it is as it was.
func (s *script) resetResponse() {
	if now, ok := s.privateField("response").(*lua.LTable); ok && now == s.response &&
		now.Metatable == lua.LNil {
		if first, _ := now.Next(lua.LNil); first == lua.LNil {
			return
		}
	}
	s.response = s.vm.l.CreateTable(0, 0)
	s.private.RawSetString("response", s.response)
	s.known.at = 0
}
