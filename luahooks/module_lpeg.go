package luahooks

import (
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

const pegType = "lpeg.pattern"

// openLpeg is the loader of lpeg: what scripts use of version 0.8.
func openLpeg(l *lua.LState) int {
	mt := l.NewTypeMetatable(pegType)
	lp := lpeg{mt}
	l.SetFuncs(mt, map[string]lua.LGFunction{
		"__mul": lp.binary(pegSeq),
		"__add": lp.binary(pegAlt),
		"__sub": lp.binary(func(a, b *peg) *peg { return pegSeq(pegPredicate(pegNot, b), a) }),
		"__unm": lp.unary(func(p *peg) *peg { return pegPredicate(pegNot, p) }),
		"__len": lp.unary(func(p *peg) *peg { return pegPredicate(pegAnd, p) }),
		"__pow": lp.power,
		"__div": lp.divide,
	})
	n := pushModule(l, "lpeg", map[string]lua.LGFunction{
		"match": lp.match,
		"print": lp.print,
		"type": func(l *lua.LState) int {
			if _, ok := patternOf(l.Get(1)); ok {
				l.Push(lua.LString("pattern"))
			} else {
				l.Push(lua.LNil)
			}
			return 1
		},
		"version": func(l *lua.LState) int {
			l.Push(lua.LString("0.8"))
			return 1
		},
		"P": lp.unary(func(p *peg) *peg { return p }),
		"R": lp.ranges,
		"S": func(l *lua.LState) int { return lp.push(l, pegSetOf(l.CheckString(1))) },
		"span": func(l *lua.LState) int {
			p, _ := pegLoop(pegSetOf(l.CheckString(1)), 0)
			return lp.push(l, p)
		},
		"V": func(l *lua.LState) int {
			if l.Get(1) == lua.LNil {
				l.ArgError(1, "name of a rule expected")
			}
			return lp.push(l, &peg{kind: pegRule, open: true, value: l.Get(1)})
		},
		"C":  lp.capture(pegCapture),
		"Ct": lp.capture(pegTable),
		"Cs": lp.capture(pegSubstitute),
		"Ca": lp.capture(pegAccumulate),
		"Cp": func(l *lua.LState) int { return lp.push(l, &peg{kind: pegPosition, empty: true}) },
		"Cc": func(l *lua.LState) int {
			p := &peg{kind: pegConstant, empty: true}
			for i := 1; i <= l.GetTop(); i++ {
				p.values = append(p.values, l.Get(i))
			}
			return lp.push(l, p)
		},
		"Carg": lp.numbered(pegArgument),
		"Cb":   lp.numbered(pegBackCapture),
		"Cmt": func(l *lua.LState) int {
			return lp.push(l, pegCaptured(pegMatchTime, lp.check(l, 1), l.CheckFunction(2)))
		},
	})
	mt.RawSetString("__index", l.Get(-1))
	return n
}

// lpeg has the metatable of patterns.
type lpeg struct{ mt *lua.LTable }

func (lp lpeg) push(l *lua.LState, p *peg) int {
	l.Push(&lua.LUserData{Value: p, Env: l.Env, Metatable: lp.mt})
	return 1
}

func patternOf(v lua.LValue) (*peg, bool) {
	if ud, ok := v.(*lua.LUserData); ok {
		p, ok := ud.Value.(*peg)
		return p, ok
	}
	return nil, false
}

// check is the argument arg as a pattern.
func (lp lpeg) check(l *lua.LState, arg int) *peg {
	if p, ok := lp.pattern(l, l.Get(arg)); ok {
		return p
	}
	l.ArgError(arg, "pattern expected, got "+l.Get(arg).Type().String())
	return nil
}

// pattern is v as a pattern: what stands where a pattern is expected is one.
func (lp lpeg) pattern(l *lua.LState, v lua.LValue) (*peg, bool) {
	switch v := v.(type) {
	case *lua.LUserData:
		return patternOf(v)
	case lua.LString:
		return pegString(string(v)), true
	case lua.LNumber:
		return pegNumber(truncate(float64(v))), true
	case lua.LBool:
		return pegBool(bool(v)), true
	case *lua.LFunction:
		return pegCaptured(pegMatchTime, pegString(""), v), true
	case *lua.LTable:
		return lp.grammar(l, v), true
	}
	return nil, false
}

// grammar makes a grammar of a table of rules. Its first entry is the first rule
// or the name of that.
func (lp lpeg) grammar(l *lua.LState, t *lua.LTable) *peg {
	start := lua.LValue(lua.LNumber(1))
	switch first := t.RawGetInt(1).(type) {
	case *lua.LUserData:
	case lua.LString, lua.LNumber:
		start = first
	default:
		l.RaiseError("lpeg: grammar has no initial rule")
	}
	rules := make(map[lua.LValue]*peg)
	t.ForEach(func(name, v lua.LValue) {
		if name == lua.LNumber(1) && start != name {
			return
		}
		rule, ok := lp.pattern(l, v)
		if !ok {
			l.RaiseError("lpeg: rule '%s' is not a pattern", name.String())
		}
		rules[name] = rule
	})
	return pegGrammar(rules, start, func(name lua.LValue) {
		l.RaiseError("lpeg: rule '%s' is not defined in a grammar", name.String())
	})
}

func (lp lpeg) unary(f func(*peg) *peg) lua.LGFunction {
	return func(l *lua.LState) int { return lp.push(l, f(lp.check(l, 1))) }
}

func (lp lpeg) binary(f func(a, b *peg) *peg) lua.LGFunction {
	return func(l *lua.LState) int { return lp.push(l, f(lp.check(l, 1), lp.check(l, 2))) }
}

func (lp lpeg) capture(kind pegKind) lua.LGFunction {
	return lp.unary(func(p *peg) *peg { return pegCaptured(kind, p, nil) })
}

// numbered makes the captures that have a number.
func (lp lpeg) numbered(kind pegKind) lua.LGFunction {
	return func(l *lua.LState) int {
		n, ok := intOf(l.Get(1))
		if !ok || n < 1 {
			l.ArgError(1, "positive number expected")
		}
		return lp.push(l, &peg{kind: kind, empty: true, n: n})
	}
}

func (lp lpeg) power(l *lua.LState) int {
	n, ok := intOf(l.Get(2))
	if !ok {
		l.TypeError(2, lua.LTNumber)
	}
	p, ok := pegLoop(lp.check(l, 1), n)
	if !ok {
		l.RaiseError("lpeg: loop body may accept empty string")
	}
	return lp.push(l, p)
}

func (lp lpeg) divide(l *lua.LState) int {
	p := lp.check(l, 1)
	value := l.Get(2)
	switch v := value.(type) {
	case lua.LString, *lua.LTable, *lua.LFunction:
	case lua.LNumber:
		text, _ := textOf(v)
		value = lua.LString(text)
	default:
		l.ArgError(2, "string, table or function expected")
	}
	return lp.push(l, pegCaptured(pegApply, p, value))
}

func pegSetOf(bytes string) *peg {
	p := &peg{kind: pegSet, set: new([256]bool)}
	for i := range len(bytes) {
		p.set[bytes[i]] = true
	}
	return p
}

// ranges makes the set of all bytes in some ranges, "az" for example.
func (lp lpeg) ranges(l *lua.LState) int {
	p := &peg{kind: pegSet, set: new([256]bool)}
	for i := 1; i <= l.GetTop(); i++ {
		r := l.CheckString(i)
		if len(r) != 2 {
			l.ArgError(i, "range must have two characters")
		}
		for c := int(r[0]); c <= int(r[1]); c++ {
			p.set[c] = true
		}
	}
	return lp.push(l, p)
}

// match returns the captures or, if there are none, the position behind the
// match; nil if there is no match. A pattern matches at init, 1 if it is not
// given, and nowhere else.
func (lp lpeg) match(l *lua.LState) int {
	p := lp.check(l, 1)
	subject := l.CheckString(2)
	at := 0
	if n, ok := intOf(l.Get(3)); ok {
		switch {
		case n > 0:
			at = min(n-1, len(subject))
		case n < 0:
			at = max(len(subject)+n, 0)
		}
	}
	var args []lua.LValue
	for i := 4; i <= l.GetTop(); i++ {
		args = append(args, l.Get(i))
	}
	m := newPegMatch(l, subject, args)
	end := m.match(p, at)
	if end < 0 {
		l.Push(lua.LNil)
		return 1
	}
	values := m.nested(0, len(m.events))
	if len(values) == 0 {
		l.Push(lua.LNumber(end + 1))
		return 1
	}
	for _, v := range values {
		l.Push(v)
	}
	return len(values)
}

var pegKindNames = map[pegKind]string{
	pegLiteral: "literal", pegAny: "any", pegSet: "set", pegSucceed: "true", pegFail: "false",
	pegSequence: "sequence", pegChoice: "choice", pegRepeat: "repeat", pegAnd: "and", pegNot: "not",
	pegRule: "rule", pegCapture: "C", pegTable: "Ct", pegSubstitute: "Cs", pegAccumulate: "Ca",
	pegApply: "apply", pegMatchTime: "Cmt", pegPosition: "Cp", pegConstant: "Cc", pegArgument: "Carg",
	pegBackCapture: "Cb",
}

// print prints a pattern for who debugs one. Rules are named, not followed.
func (lp lpeg) print(l *lua.LState) int {
	var b strings.Builder
	const limit = 64 << 10 // bytes: shared patterns can print without end
	var write func(p *peg, indent string)
	write = func(p *peg, indent string) {
		if b.Len() > limit {
			return
		}
		fmt.Fprintf(&b, "%s%s", indent, pegKindNames[p.kind])
		switch p.kind {
		case pegLiteral:
			fmt.Fprintf(&b, " %q", p.text)
		case pegAny, pegRepeat, pegArgument, pegBackCapture:
			fmt.Fprintf(&b, " %d", p.n)
		case pegRule:
			fmt.Fprintf(&b, " %s\n", p.value.String())
			return
		}
		b.WriteByte('\n')
		for _, part := range p.list {
			write(part, indent+"  ")
		}
	}
	write(lp.check(l, 1), "")
	l.Push(l.GetGlobal("print"))
	l.Push(lua.LString(strings.TrimSuffix(b.String(), "\n")))
	l.Call(1, 0)
	return 0
}
