package main

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"mysqlproxy/engine/hook"
)

// This file is what stands between the engine and the script: it passes
// everything on and tells the trace of it.

// tracedScripts is a hook.Scripts around another.
type tracedScripts struct {
	hook.Scripts
	trace    *tryTrace
	backends []string // what is shown for each value of backend_ndx
}

func (s *tracedScripts) Open(session hook.Session) hook.Script {
	own := &tracedSession{Session: session, trace: s.trace, backends: s.backends}
	sc := &tracedScript{session: own, trace: s.trace}
	e := s.trace.enter(0, "")
	s.trace.measured(0, e, func() { sc.Script = s.Scripts.Open(own) })
	return sc
}

// tracedSession is the session as the script has it.
type tracedSession struct {
	hook.Session
	trace    *tryTrace
	backends []string
}

func (s *tracedSession) SetBackend(n int) {
	s.Session.SetBackend(n)
	text := "a number that no backend has"
	if n >= 0 && n < len(s.backends) {
		text = s.backends[n]
	}
	t := s.trace
	t.mu.Lock()
	defer t.mu.Unlock()
	t.add(tryEvent{label: "set", name: "backend_ndx", text: text})
}

func (s *tracedSession) CloseAfterResult(yes bool) {
	s.Session.CloseAfterResult(yes)
	t := s.trace
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closing = yes
	t.add(tryEvent{label: "set", name: "connection_close", text: strconv.FormatBool(yes)})
}

// tracedScript is a hook.Script around another.
type tracedScript struct {
	hook.Script
	session *tracedSession
	trace   *tryTrace
}

// Hooks are the script's and two more, which tell the trace how far the engine
// is and change nothing.
func (s *tracedScript) Hooks() hook.Set {
	return s.Script.Hooks() | hook.ReadQueryResult | hook.DisconnectClient
}

// hooked calls a hook, if the script has it, and notes what it decided.
func (s *tracedScript) hooked(h hook.Set, about string, do func() hook.Verdict) (v hook.Verdict) {
	t, row := s.trace, rowOf(h)
	if s.Script.Hooks()&h == 0 {
		return v
	}
	queue := s.session.Queue()
	before := listQueue(queue)
	e := t.enter(row, about)
	t.measured(row, e, func() { v = do() })
	t.mu.Lock()
	defer t.mu.Unlock()
	decision := actionName(v.Action)
	switch {
	case e.failed:
		decision = e.text
	case h == hook.ReadQueryResult && v.Action == hook.SendResult:
		t.mark = "changed by the script"
	case v.Action == hook.SendResult:
		t.mark = "made by the script"
	}
	if about != "" {
		decision += "  (" + about + ")"
	}
	e.text = decision
	for _, in := range listQueue(queue) {
		if slices.Contains(before, in) {
			continue
		}
		text := describeCommand([]byte(in.Query))
		if h == hook.ReadAuth {
			text = plural(uint64(len(in.Query)), "byte") + " in place of the login"
		}
		needed := ""
		if in.ResultNeeded {
			needed = ", result needed"
		}
		t.add(tryEvent{label: "queue", name: fmt.Sprintf("id %d%s", in.ID, needed), text: text})
	}
	return v
}

// listQueue looks at a queue, which can only be read by taking from it.
func listQueue(q *hook.Queue) (list []*hook.Injection) {
	for in := q.Pop(); in != nil; in = q.Pop() {
		list = append(list, in)
	}
	for _, in := range list {
		q.Append(in)
	}
	return list
}

func actionName(a hook.Action) string {
	switch a {
	case hook.SendQuery:
		return "SEND_QUERY"
	case hook.SendResult:
		return "SEND_RESULT"
	case hook.IgnoreResult:
		return "IGNORE_RESULT"
	case hook.Default:
	}
	return "nothing"
}

func (s *tracedScript) ConnectServer() hook.Verdict {
	return s.hooked(hook.ConnectServer, "", s.Script.ConnectServer)
}

func (s *tracedScript) ReadHandshake() hook.Verdict {
	return s.hooked(hook.ReadHandshake, "", s.Script.ReadHandshake)
}

func (s *tracedScript) ReadAuth() hook.Verdict {
	return s.hooked(hook.ReadAuth, "", s.Script.ReadAuth)
}

func (s *tracedScript) ReadAuthResult(payload []byte) hook.Verdict {
	return s.hooked(hook.ReadAuthResult, "", func() hook.Verdict { return s.Script.ReadAuthResult(payload) })
}

func (s *tracedScript) ReadQuery(payload []byte) hook.Verdict {
	v := s.hooked(hook.ReadQuery, "", func() hook.Verdict { return s.Script.ReadQuery(payload) })
	t := s.trace
	t.mu.Lock()
	defer t.mu.Unlock()
	switch v.Action {
	case hook.SendQuery:
		t.pending = s.session.Queue().Len()
	case hook.SendResult:
		t.swallowed = true
	}
	t.changed.Broadcast()
	return v
}

func (s *tracedScript) ReadQueryResult(in *hook.Injection) hook.Verdict {
	t := s.trace
	t.mu.Lock()
	marked := t.mark
	t.mu.Unlock()
	v := s.hooked(hook.ReadQueryResult, fmt.Sprintf("id %d", in.ID), func() hook.Verdict { return s.Script.ReadQueryResult(in) })
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case v.Action == hook.SendResult && slices.EqualFunc(v.Response, payloadsOf(in.Result.Packets), bytes.Equal):
		t.mark = marked
	case v.Action == hook.Default && marked == "" && in.Query != string(t.payload):
		t.mark = fmt.Sprintf("the answer to the script's own query, id %d", in.ID)
	}
	t.pending = s.session.Queue().Len()
	t.changed.Broadcast()
	return v
}

func (s *tracedScript) DisconnectClient() (failed bool) {
	s.hooked(hook.DisconnectClient, "", func() hook.Verdict {
		failed = s.Script.DisconnectClient()
		return hook.Verdict{Failed: failed}
	})
	t := s.trace
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	t.changed.Broadcast()
	return failed
}
