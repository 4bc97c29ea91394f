package luahooks

import (
	lua "github.com/yuin/gopher-lua"
)

// Parsing expression grammars, as lpeg has them:
//
//	module_lpeg.go         the functions and operators of Lua
//	module_peg.go          patterns
//	module_peg_match.go    matching: subject -> end, capture events
//	module_peg_capture.go  capture events -> values
//
// No library for this exists that fits gopher-lua, so it is our own: a
// backtracking matcher over the pattern's tree. Its steps, its depth and so its
// memory are bounded, for what it matches comes from clients.

type pegKind uint8

const (
	pegLiteral pegKind = iota // text
	pegAny                    // any n bytes
	pegSet                    // one byte of set
	pegSucceed
	pegFail
	pegSequence // of list
	pegChoice   // of list, the first that matches
	pegRepeat   // list[0]; at least n times, or at most -n times if n < 0
	pegAnd      // list[0] would match
	pegNot      // list[0] would not
	pegRule     // value is its name; list[0] is the rule once it is part of a grammar

	// Captures. All but the constant ones have a pattern in list[0].
	pegCapture     // C
	pegTable       // Ct
	pegSubstitute  // Cs
	pegAccumulate  // Ca
	pegApply       // /: value is a string, table or function
	pegMatchTime   // Cmt: value is a function
	pegPosition    // Cp
	pegConstant    // Cc: values
	pegArgument    // Carg: n
	pegBackCapture // Cb: n
)

// peg is a pattern. It does not change once it is made, except for the rules of
// a grammar while that is made.
type peg struct {
	kind   pegKind
	empty  bool // may match without taking a byte
	open   bool // has a rule in it that is not part of a grammar yet
	n      int
	text   string
	set    *[256]bool
	list   []*peg
	value  lua.LValue
	values []lua.LValue
}

// pegFlat is up to how many elements sequences and choices are kept in one list.
// Without a bound p = p * p would double the list each time.
const pegFlat = 64

func pegString(s string) *peg {
	if s == "" {
		return &peg{kind: pegSucceed, empty: true}
	}
	return &peg{kind: pegLiteral, text: s}
}

// pegNumber is n bytes or, n < 0, less than -n bytes to the end.
func pegNumber(n int) *peg {
	switch {
	case n == 0:
		return &peg{kind: pegSucceed, empty: true}
	case n < 0:
		return pegPredicate(pegNot, pegNumber(-max(n, -1<<62)))
	}
	return &peg{kind: pegAny, n: n}
}

func pegBool(b bool) *peg {
	if b {
		return &peg{kind: pegSucceed, empty: true}
	}
	return &peg{kind: pegFail}
}

func pegSeq(a, b *peg) *peg {
	p := &peg{kind: pegSequence, empty: a.empty && b.empty, open: a.open || b.open}
	p.list = pegJoin(pegSequence, a, b)
	return p
}

func pegAlt(a, b *peg) *peg {
	p := &peg{kind: pegChoice, empty: a.empty || b.empty, open: a.open || b.open}
	p.list = pegJoin(pegChoice, a, b)
	return p
}

func pegJoin(kind pegKind, a, b *peg) []*peg {
	var list []*peg
	for _, p := range [2]*peg{a, b} {
		if p.kind == kind && len(list)+len(p.list) < pegFlat {
			list = append(list, p.list...)
		} else {
			list = append(list, p)
		}
	}
	return list
}

func pegPredicate(kind pegKind, p *peg) *peg {
	return &peg{kind: kind, empty: true, open: p.open, list: []*peg{p}}
}

// pegLoop is p^n. ok is false if p can match nothing and the loop would not end.
func pegLoop(p *peg, n int) (_ *peg, ok bool) {
	if n >= 0 && p.empty {
		return nil, false
	}
	return &peg{kind: pegRepeat, n: n, empty: n <= 0, open: p.open, list: []*peg{p}}, true
}

func pegCaptured(kind pegKind, p *peg, value lua.LValue) *peg {
	return &peg{kind: kind, empty: p.empty, open: p.open, list: []*peg{p}, value: value}
}

// close returns p with its open rules found in the grammar. done has what was
// copied already: patterns are shared, and so are their copies. missing is
// called for a rule that is not there.
func (p *peg) close(rules map[lua.LValue]*peg, done map[*peg]*peg, missing func(name lua.LValue)) *peg {
	if !p.open {
		return p
	}
	if q := done[p]; q != nil {
		return q
	}
	q := new(peg)
	*q = *p
	q.open = false
	done[p] = q
	if p.kind == pegRule {
		rule := rules[p.value]
		if rule == nil {
			missing(p.value)
		}
		q.list = []*peg{rule}
		return q
	}
	q.list = make([]*peg, len(p.list))
	for i := range p.list {
		q.list[i] = p.list[i].close(rules, done, missing)
	}
	return q
}

// pegGrammar makes a grammar. It matches what the rule start does.
func pegGrammar(rules map[lua.LValue]*peg, start lua.LValue, missing func(name lua.LValue)) *peg {
	// The rules are given out before they are filled: they refer to each other.
	shells := make(map[lua.LValue]*peg, len(rules))
	for name := range rules {
		shells[name] = new(peg)
	}
	done := make(map[*peg]*peg)
	for name, rule := range rules {
		*shells[name] = *rule.close(shells, done, missing)
	}
	if shells[start] == nil {
		missing(start)
	}
	// A rule alone is not known to be empty before all are. Calling it so only
	// refuses to repeat the grammar as a whole where that may not end.
	return &peg{kind: pegRule, value: start, empty: shells[start].empty, list: []*peg{shells[start]}}
}
