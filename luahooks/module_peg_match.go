package luahooks

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
)

const (
	pegSteps      = 1_000_000 // steps that every match may take
	pegStepsAByte = 100       // and more of them for each byte of the subject
	pegDepth      = 50_000    // nested patterns, about 250 bytes of stack each
)

// pegMatch is one match. It lives as long as the call of lpeg.match.
type pegMatch struct {
	l       *lua.LState
	subject string
	args    []lua.LValue // for Carg
	steps   int          // left
	depth   int
	events  []pegEvent // of the captures so far; cut off when a match is undone
}

// pegEvent is the start or the end of a capture, or a capture that takes no
// bytes.
type pegEvent struct {
	kind    pegEventKind
	pattern *peg
	at      int          // in the subject, from 0
	pair    int          // the index of the end of a pegOpen, of the start of a pegClose
	stop    int          // of pegValues: where the match ends
	values  []lua.LValue // of pegValues
}

type pegEventKind uint8

const (
	pegOpen pegEventKind = iota
	pegClose
	pegPoint  // a capture that takes no bytes
	pegValues // what the function of a Cmt has returned
)

func newPegMatch(l *lua.LState, subject string, args []lua.LValue) *pegMatch {
	return &pegMatch{l: l, subject: subject, args: args, steps: pegSteps + pegStepsAByte*len(subject)}
}

// spend counts n steps.
func (m *pegMatch) spend(n int) {
	if m.steps -= n; m.steps < 0 {
		m.l.RaiseError("lpeg: pattern takes too many steps")
	}
}

// match matches p at a position and returns that behind it, -1 if it does not
// match. Then events are to be cut off by the caller. The last part of a
// sequence or a choice, and the rule that a pattern consists in, are matched
// without a call: grammars that go on by a rule at their end need no depth.
func (m *pegMatch) match(p *peg, at int) int {
	if m.depth++; m.depth > pegDepth {
		m.l.RaiseError("lpeg: too many pending calls/choices")
	}
	end := m.run(p, at)
	m.depth--
	return end
}

func (m *pegMatch) run(p *peg, at int) int {
	for {
		m.spend(1)
		switch p.kind {
		case pegLiteral:
			if !strings.HasPrefix(m.subject[at:], p.text) {
				return -1
			}
			return at + len(p.text)
		case pegAny:
			if p.n > len(m.subject)-at {
				return -1
			}
			return at + p.n
		case pegSet:
			if at == len(m.subject) || !p.set[m.subject[at]] {
				return -1
			}
			return at + 1
		case pegSucceed:
			return at
		case pegFail:
			return -1
		case pegSequence:
			last := len(p.list) - 1
			for _, part := range p.list[:last] {
				if at = m.match(part, at); at < 0 {
					return -1
				}
			}
			p = p.list[last]
		case pegChoice:
			last := len(p.list) - 1
			mark := len(m.events)
			for _, part := range p.list[:last] {
				if end := m.match(part, at); end >= 0 {
					return end
				}
				m.events = m.events[:mark]
			}
			p = p.list[last]
		case pegRepeat:
			return m.repeat(p, at)
		case pegAnd, pegNot:
			mark := len(m.events)
			end := m.match(p.list[0], at)
			m.events = m.events[:mark] // predicates capture nothing
			if (end >= 0) != (p.kind == pegAnd) {
				return -1
			}
			return at
		case pegRule:
			if p.list == nil {
				m.l.RaiseError("lpeg: reference to rule '%s' outside a grammar", p.value.String())
			}
			p = p.list[0]
		case pegPosition, pegConstant, pegArgument, pegBackCapture:
			m.events = append(m.events, pegEvent{kind: pegPoint, pattern: p, at: at})
			return at
		case pegMatchTime:
			return m.matchTime(p, at)
		default:
			open := len(m.events)
			m.events = append(m.events, pegEvent{kind: pegOpen, pattern: p, at: at})
			if at = m.match(p.list[0], at); at >= 0 {
				m.events[open].pair = len(m.events)
				m.events = append(m.events, pegEvent{kind: pegClose, pattern: p, at: at, pair: open})
			}
			return at
		}
	}
}

func (m *pegMatch) repeat(p *peg, at int) int {
	body, atLeast, atMost := p.list[0], p.n, -1
	if p.n < 0 {
		atLeast, atMost = 0, -p.n
	}
	if body.kind == pegSet {
		return m.repeatSet(body, at, atLeast, atMost)
	}
	for n := 0; n != atMost; n++ {
		mark := len(m.events)
		end := m.match(body, at)
		if end < 0 {
			m.events = m.events[:mark]
			if n < atLeast {
				return -1
			}
			return at
		}
		if end == at && n >= atLeast {
			return at // of a rule that is empty after all: it would go on forever
		}
		at = end
	}
	return at
}

func (m *pegMatch) repeatSet(body *peg, at, atLeast, atMost int) int {
	end := at
	for end < len(m.subject) && end-at != atMost && body.set[m.subject[end]] {
		end++
	}
	m.spend(end - at)
	if end-at < atLeast {
		return -1
	}
	return end
}

// matchTime matches a Cmt: its function sees the captures and decides whether
// there is a match and where it ends.
func (m *pegMatch) matchTime(p *peg, at int) int {
	mark := len(m.events)
	end := m.match(p.list[0], at)
	if end < 0 {
		return -1
	}
	args := m.nested(mark, len(m.events))
	if len(args) == 0 {
		args = []lua.LValue{lua.LString(m.subject[at:end])}
	}
	m.events = m.events[:mark]
	results := m.call(p.value, append([]lua.LValue{lua.LString(m.subject), lua.LNumber(end + 1)}, args...))
	if len(results) == 0 {
		return -1
	}
	switch verdict := results[0].(type) {
	case lua.LBool:
		if !verdict {
			return -1
		}
	case lua.LNumber:
		if next := truncate(float64(verdict)) - 1; next >= end && next <= len(m.subject) {
			end = next
			break
		}
		m.l.RaiseError("lpeg: invalid position returned by match-time capture")
	default:
		if verdict == lua.LNil {
			return -1
		}
		m.l.RaiseError("lpeg: match-time capture returned a %s, a boolean or a position expected", verdict.Type())
	}
	if len(results) > 1 {
		m.events = append(m.events, pegEvent{kind: pegValues, pattern: p, at: at, stop: end, values: results[1:]})
	}
	return end
}

// call calls a function of Lua and returns all its results.
func (m *pegMatch) call(f lua.LValue, args []lua.LValue) []lua.LValue {
	l := m.l
	top := l.GetTop()
	l.Push(f)
	for _, arg := range args {
		l.Push(arg)
	}
	l.Call(len(args), lua.MultRet)
	results := make([]lua.LValue, l.GetTop()-top)
	for i := range results {
		results[i] = l.Get(top + 1 + i)
	}
	l.SetTop(top)
	return results
}
