package luahooks

import (
	"fmt"
	"strings"
	"unsafe"

	lua "github.com/yuin/gopher-lua"
)

// bytesValue makes a Lua string of bytes without copying them. Nobody may change
// them afterwards.
func bytesValue(b []byte) lua.LValue {
	switch len(b) {
	case 0:
		return emptyString
	case 1:
		return oneByte[b[0]]
	}
	return lua.LString(unsafe.String(unsafe.SliceData(b), len(b)))
}

// matcher takes a free matcher. A function that raises an error does not bring
// it back, and that is no harm.
func (s *stdlib) matcher(subject string, p *pattern) *matcher {
	var m *matcher
	if n := len(s.matchers); n > 0 {
		m, s.matchers = s.matchers[n-1], s.matchers[:n-1]
	} else {
		m = &matcher{}
	}
	m.begin(subject, p, s.matchSteps)
	return m
}

func (s *stdlib) release(m *matcher) {
	m.end()
	if len(s.matchers) < 8 {
		s.matchers = append(s.matchers, m)
	}
}

// isPlain tells whether a pattern has no special bytes. C's Lua looks for them up
// to the first zero byte.
func isPlain(text string) bool {
	for i := range len(text) {
		switch text[i] {
		case 0:
			return true
		case '^', '$', '*', '+', '?', '.', '(', '[', '%', '-':
			return false
		}
	}
	return true
}

func (s *stdlib) stringFind(l *lua.LState) int {
	subject, text := checkString(l, 1), checkString(l, 2)
	init := startOf(l, subject)
	if isPlain(text) || lua.LVAsBool(l.Get(4)) {
		at := strings.Index(subject[init:], text)
		if at < 0 {
			l.Push(lua.LNil)
			return 1
		}
		l.Push(intValue(init + at + 1))
		l.Push(intValue(init + at + len(text)))
		return 2
	}
	m := s.matcher(subject, s.patterns.get(text, true))
	from, to := m.search(init)
	m.check(l)
	if to < 0 {
		s.release(m)
		l.Push(lua.LNil)
		return 1
	}
	l.Push(intValue(from + 1))
	l.Push(intValue(to))
	for i := range m.level {
		m.push(l, i, from, to)
	}
	n := m.level
	s.release(m)
	return 2 + n
}

func (s *stdlib) stringMatch(l *lua.LState) int {
	subject, text := checkString(l, 1), checkString(l, 2)
	init := startOf(l, subject)
	m := s.matcher(subject, s.patterns.get(text, true))
	from, to := m.search(init)
	m.check(l)
	if to < 0 {
		s.release(m)
		l.Push(lua.LNil)
		return 1
	}
	n := m.captureCount()
	for i := range n {
		m.push(l, i, from, to)
	}
	s.release(m)
	return n
}

// startOf is argument 3 of find and match as an offset into the subject.
func startOf(l *lua.LState, subject string) int {
	if l.GetTop() < 3 {
		return 0
	}
	return min(max(fromEnd(optInt(l, 3, 1), len(subject))-1, 0), len(subject))
}

// check raises what went wrong.
func (m *matcher) check(l *lua.LState) {
	if m.failed != "" {
		raise(l, m.failed)
	}
}

// push pushes capture n of the match from s to e.
func (m *matcher) push(l *lua.LState, n, s, e int) {
	l.Push(m.value(l, n, s, e))
}

func (m *matcher) value(l *lua.LState, n, s, e int) lua.LValue {
	text, position, why := m.captured(n, s, e)
	switch {
	case why != "":
		raise(l, why)
	case position != 0:
		return intValue(position)
	}
	return stringValue(text, m.subject)
}

func (s *stdlib) stringGmatch(l *lua.LState) int {
	subject, text := checkString(l, 1), checkString(l, 2)
	p := s.patterns.get(text, false)
	at := 0
	l.Push(l.NewFunction(func(l *lua.LState) int {
		if at > len(subject) {
			return 0
		}
		m := s.matcher(subject, p)
		from, to := m.search(at)
		m.check(l)
		if to < 0 {
			at = len(subject) + 1
			s.release(m)
			return 0
		}
		if at = to; to == from { // an empty match: do not find it again
			at++
		}
		n := m.captureCount()
		for i := range n {
			m.push(l, i, from, to)
		}
		s.release(m)
		return n
	}))
	return 1
}

func (s *stdlib) stringGsub(l *lua.LState) int {
	subject, text := checkString(l, 1), checkString(l, 2)
	with := l.Get(3)
	switch v := with.(type) {
	case lua.LNumber:
		with = lua.LString(numberText(float64(v)))
	case lua.LString, *lua.LTable, *lua.LFunction:
	default:
		argError(l, 3, "string/function/table expected")
	}
	most := len(subject) + 1
	if l.Get(4) != lua.LNil {
		most = checkInt32(l, 4)
	}
	p := s.patterns.get(text, true)
	m := s.matcher(subject, p)
	var out []byte
	kept, n := 0, 0 // subject[kept:at] is still to be copied
	for at := 0; n < most; {
		from, to := m.search(at)
		m.check(l)
		if to < 0 {
			break
		}
		n++
		out = append(out, subject[kept:from]...)
		out = m.replace(l, out, with, from, to)
		kept = to
		if at = to; to == from { // an empty match: go on behind the next byte
			at++
		}
		if at > len(subject) || p.anchored {
			break
		}
	}
	s.release(m)
	if n == 0 {
		pushSame(l, subject)
	} else {
		pushBytes(l, append(out, subject[kept:]...))
	}
	l.Push(intValue(n))
	return 2
}

// replace appends what takes the place of the match from s to e.
func (m *matcher) replace(l *lua.LState, out []byte, with lua.LValue, s, e int) []byte {
	var value lua.LValue
	switch w := with.(type) {
	case lua.LString:
		return m.expand(l, out, string(w), s, e)
	case *lua.LTable:
		value = l.GetTable(w, m.value(l, 0, s, e))
	default:
		l.Push(w)
		n := m.captureCount()
		for i := range n {
			m.push(l, i, s, e)
		}
		l.Call(n, 1)
		value = l.Get(-1)
		l.Pop(1)
	}
	switch v := value.(type) {
	case lua.LString:
		return append(out, v...)
	case lua.LNumber:
		return appendNumberText(out, float64(v))
	}
	if lua.LVAsBool(value) {
		raise(l, fmt.Sprintf("invalid replacement value (a %s)", value.Type()))
	}
	return append(out, m.subject[s:e]...)
}

// expand appends the replacement text with %0 to %9 filled in.
func (m *matcher) expand(l *lua.LState, out []byte, with string, s, e int) []byte {
	for {
		i := strings.IndexByte(with, '%')
		if i < 0 {
			return append(out, with...)
		}
		out = append(out, with[:i]...)
		with = with[i+1:]
		var c byte // C reads the zero behind a % at the end
		if with != "" {
			c, with = with[0], with[1:]
		}
		switch {
		case !isDigit(c):
			out = append(out, c)
		case c == '0':
			out = append(out, m.subject[s:e]...)
		default:
			text, position, why := m.captured(int(c-'1'), s, e)
			switch {
			case why != "":
				raise(l, why)
			case position != 0:
				out = appendNumberText(out, float64(position))
			default:
				out = append(out, text...)
			}
		}
	}
}
