package luahooks

import (
	lua "github.com/yuin/gopher-lua"
)

// nested returns the values of the captures in events[from:to], which are whole.
func (m *pegMatch) nested(from, to int) []lua.LValue {
	var values []lua.LValue
	had := 0
	for from < to {
		next := m.end(from)
		values = append(values, m.values(from, next)...)
		m.spend(1 + (len(values)-had)/8)
		from, had = next, len(values)
	}
	return values
}

// end is the index behind the capture that starts at events[i].
func (m *pegMatch) end(i int) int {
	if m.events[i].kind == pegOpen {
		return m.events[i].pair + 1
	}
	return i + 1
}

// values returns the values of the capture that is events[i:end].
func (m *pegMatch) values(i, end int) []lua.LValue {
	m.spend(1)
	e := &m.events[i]
	p := e.pattern
	if e.kind == pegValues {
		return e.values
	}
	if e.kind == pegPoint {
		return m.pointValues(p, i)
	}
	text := m.subject[e.at:m.events[end-1].at]
	switch p.kind {
	case pegCapture:
		return append([]lua.LValue{lua.LString(text)}, m.nested(i+1, end-1)...)
	case pegTable:
		t := m.l.NewTable()
		for i, v := range m.nested(i+1, end-1) {
			t.RawSetInt(i+1, v)
		}
		return []lua.LValue{t}
	case pegSubstitute:
		return []lua.LValue{lua.LString(m.substitute(i, end))}
	case pegAccumulate:
		return []lua.LValue{m.accumulate(i, end)}
	}
	args := m.nested(i+1, end-1)
	if f, ok := p.value.(lua.LString); ok {
		return []lua.LValue{lua.LString(m.expand(string(f), text, args))}
	}
	if len(args) == 0 {
		args = []lua.LValue{lua.LString(text)}
	}
	if t, ok := p.value.(*lua.LTable); ok {
		if v := m.l.GetTable(t, args[0]); v != lua.LNil {
			return []lua.LValue{v}
		}
		return nil
	}
	return m.call(p.value, args)
}

// pointValues returns the values of a capture that takes no bytes.
func (m *pegMatch) pointValues(p *peg, i int) []lua.LValue {
	switch p.kind {
	case pegPosition:
		return []lua.LValue{lua.LNumber(m.events[i].at + 1)}
	case pegArgument:
		if p.n > len(m.args) {
			m.l.RaiseError("lpeg: absent extra argument #%d", p.n)
		}
		return []lua.LValue{m.args[p.n-1]}
	case pegBackCapture:
		from, to := m.previous(i, p.n)
		return m.values(from, to)
	}
	return p.values
}

// previous is the n-th capture before events[i] that is complete and not part of
// another complete one.
func (m *pegMatch) previous(i, n int) (from, to int) {
	for i--; i >= 0; i-- {
		m.spend(1)
		to = i + 1
		switch m.events[i].kind {
		case pegOpen: // around us, not complete
			continue
		case pegClose:
			i = m.events[i].pair
		}
		if n--; n == 0 {
			return i, to
		}
	}
	m.l.RaiseError("lpeg: back reference to a capture that is not there")
	return 0, 0
}

// substitute returns the text of a Cs: each capture in it is replaced by its
// first value, one without a value is left as it is.
func (m *pegMatch) substitute(i, end int) string {
	var b []byte
	at := m.events[i].at
	for i++; i < end-1; {
		next := m.end(i)
		start, stop := m.events[i].at, m.events[next-1].at
		if m.events[i].kind == pegValues {
			stop = m.events[i].stop
		}
		b = append(b, m.subject[at:max(at, start)]...)
		at = max(at, start)
		if values := m.values(i, next); len(values) > 0 {
			text, ok := textOf(values[0])
			if !ok {
				m.l.RaiseError("lpeg: invalid replacement value (a %s)", values[0].Type())
			}
			b = append(b, text...)
			at = max(at, stop)
		}
		i = next
	}
	b = append(b, m.subject[at:m.events[end-1].at]...)
	m.spend(len(b) / 64)
	return string(b)
}

// accumulate returns the value of a Ca: the first value in it, changed by the
// function of each capture behind it.
func (m *pegMatch) accumulate(i, end int) lua.LValue {
	i++
	if i >= end-1 {
		m.l.RaiseError("lpeg: no initial value for accumulator capture")
	}
	next := m.end(i)
	values := m.values(i, next)
	if len(values) == 0 {
		m.l.RaiseError("lpeg: no initial value for accumulator capture")
	}
	sum := values[0]
	for i = next; i < end-1; i = next {
		next = m.end(i)
		p := m.events[i].pattern
		if f, ok := p.value.(*lua.LFunction); m.events[i].kind == pegOpen && p.kind == pegApply && ok {
			results := m.call(f, append([]lua.LValue{sum}, m.nested(i+1, next-1)...))
			sum = lua.LNil
			if len(results) > 0 {
				sum = results[0]
			}
			continue
		}
		m.l.RaiseError("lpeg: invalid capture in accumulator, a function expected")
	}
	return sum
}

// expand fills %0 to %9 of a string capture in.
func (m *pegMatch) expand(format, text string, args []lua.LValue) string {
	var b []byte
	for i := 0; i < len(format); i++ {
		c := format[i]
		if c != '%' || i+1 == len(format) {
			b = append(b, c)
			continue
		}
		i++
		switch c = format[i]; {
		case c == '0', c == '1' && len(args) == 0:
			b = append(b, text...)
		case c >= '1' && c <= '9':
			n := int(c - '0')
			if n > len(args) {
				m.l.RaiseError("lpeg: invalid capture index (%d)", n)
			}
			s, ok := textOf(args[n-1])
			if !ok {
				m.l.RaiseError("lpeg: invalid capture value (a %s)", args[n-1].Type())
			}
			b = append(b, s...)
		default:
			b = append(b, c)
		}
	}
	m.spend(len(b) / 64) // a grammar could double it at each level
	return string(b)
}
