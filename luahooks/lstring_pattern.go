package luahooks

import "bytes"

// Lua patterns, compiled. A pattern is turned once into a list of items, which
// a small cache keeps; a set such as [%w_] or %d becomes 256 bits.
//
// As in Lua 5.1 a pattern ends at its first zero byte, and a mistake in it is an
// error only when matching gets that far: it is compiled into an item that
// raises it.

// itemKind is what an item of a pattern matches.
type itemKind uint8

const (
	itemChar     itemKind = iota // the byte a
	itemAny                      // any byte
	itemSet                      // a byte in set
	itemOpen                     // begins capture a
	itemPosition                 // capture a is the position
	itemClose                    // ends capture a
	itemBalance                  // %b: from byte a to its b
	itemFrontier                 // %f: from outside set to inside
	itemBackRef                  // what capture a has caught
	itemEndOfSubject
	itemMatched
	itemError // text says why
)

// patternItem is one step. again is the quantifier (*, +, - or ?) or 0.
type patternItem struct {
	kind  itemKind
	again byte
	a, b  byte
	set   *byteSet
	text  string
}

// byteSet is a set of bytes.
type byteSet [4]uint64

func (s *byteSet) has(c byte) bool { return s[c>>6]>>(c&63)&1 != 0 }
func (s *byteSet) add(c byte)      { s[c>>6] |= 1 << (c & 63) }

func (s *byteSet) invert() {
	for i := range s {
		s[i] = ^s[i]
	}
}

// addClass adds the class %c: %a, %d, ..., or the byte c itself.
func (s *byteSet) addClass(c byte) {
	in := classOf(c)
	if in == nil {
		s.add(c)
		return
	}
	upper := c >= 'A' && c <= 'Z'
	for b := range 256 {
		if in(byte(b)) != upper {
			s.add(byte(b))
		}
	}
}

// classOf is the test of the class %c in the C locale, nil if there is none.
func classOf(c byte) func(byte) bool {
	switch c | 0x20 {
	case 'a':
		return isAlpha
	case 'c':
		return func(b byte) bool { return b < ' ' || b == 0x7f }
	case 'd':
		return isDigit
	case 'l':
		return func(b byte) bool { return b >= 'a' && b <= 'z' }
	case 'p':
		return func(b byte) bool { return b > ' ' && b < 0x7f && !isAlpha(b) && !isDigit(b) }
	case 's':
		return isSpace
	case 'u':
		return func(b byte) bool { return b >= 'A' && b <= 'Z' }
	case 'w':
		return func(b byte) bool { return isAlpha(b) || isDigit(b) }
	case 'x':
		return func(b byte) bool { return isDigit(b) || b|0x20 >= 'a' && b|0x20 <= 'f' }
	case 'z':
		return func(b byte) bool { return b == 0 }
	}
	return nil
}

func isAlpha(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }
func isDigit(b byte) bool { return b >= '0' && b <= '9' }
func isSpace(b byte) bool { return b == ' ' || b >= '\t' && b <= '\r' }

func isClassLetter(c byte) bool { return classOf(c) != nil }

// pattern is a compiled pattern. It is read only.
type pattern struct {
	items    []patternItem
	anchored bool     // begins with ^
	captures int      // how many the items can open
	lead     int      // the byte that every match begins with, or -1
	leadSet  *byteSet // the set of those that a match can begin with, or nil
}

const maxCaptures = 32

// compilePattern compiles text. caret tells whether a ^ in front is an anchor;
// in gmatch it is an ordinary byte.
func compilePattern(text string, caret bool) *pattern {
	for i := range len(text) {
		if text[i] == 0 {
			text = text[:i]
			break
		}
	}
	p := &pattern{lead: -1}
	if caret && text != "" && text[0] == '^' {
		p.anchored, text = true, text[1:]
	}
	p.items = make([]patternItem, 0, len(text)+1)
	var open []byte // the captures that are open
	fail := func(why string) *pattern {
		p.items = append(p.items, patternItem{kind: itemError, text: why})
		return p
	}
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '(':
			i++
			if p.captures >= maxCaptures {
				return fail("too many captures")
			}
			n := byte(p.captures)
			p.captures++
			if i < len(text) && text[i] == ')' {
				i++
				p.items = append(p.items, patternItem{kind: itemPosition, a: n})
				continue
			}
			open = append(open, n)
			p.items = append(p.items, patternItem{kind: itemOpen, a: n})
			continue
		case c == ')':
			i++
			if len(open) == 0 {
				return fail("invalid pattern capture")
			}
			p.items = append(p.items, patternItem{kind: itemClose, a: open[len(open)-1]})
			open = open[:len(open)-1]
			continue
		case c == '$' && i+1 == len(text):
			p.items = append(p.items, patternItem{kind: itemEndOfSubject})
			p.setLead()
			return p
		case c == '%' && i+1 < len(text) && text[i+1] == 'b':
			if i+3 >= len(text) {
				return fail("unbalanced pattern")
			}
			p.items = append(p.items, patternItem{kind: itemBalance, a: text[i+2], b: text[i+3]})
			i += 4
			continue
		case c == '%' && i+1 < len(text) && text[i+1] == 'f':
			i += 2
			if i >= len(text) || text[i] != '[' {
				return fail("missing '[' after '%f' in pattern")
			}
			item, n, why := singleItem(text[i:])
			if why != "" {
				return fail(why)
			}
			item.kind = itemFrontier
			p.items = append(p.items, item)
			i += n
			continue
		case c == '%' && i+1 < len(text) && isDigit(text[i+1]):
			n := int(text[i+1]) - '1'
			i += 2
			if n < 0 || n >= p.captures || bytes.IndexByte(open, byte(n)) >= 0 {
				return fail("invalid capture index")
			}
			p.items = append(p.items, patternItem{kind: itemBackRef, a: byte(n)})
			continue
		}
		item, n, why := singleItem(text[i:])
		if why != "" {
			return fail(why)
		}
		i += n
		if i < len(text) {
			switch q := text[i]; q {
			case '*', '+', '-', '?':
				item.again = q
				i++
			}
		}
		p.items = append(p.items, item)
	}
	p.items = append(p.items, patternItem{kind: itemMatched})
	p.setLead()
	return p
}

// setLead finds the byte, or the bytes, that a match must begin with.
func (p *pattern) setLead() {
	for _, item := range p.items {
		switch item.kind {
		case itemOpen, itemPosition:
			continue
		case itemChar:
			if item.again == 0 || item.again == '+' {
				p.lead = int(item.a)
			}
		case itemSet:
			if item.again == 0 || item.again == '+' {
				p.leadSet = item.set
			}
		case itemBalance:
			p.lead = int(item.a)
		}
		return
	}
}

// singleItem compiles the item for one byte at the beginning of text, and tells
// how long it is there.
func singleItem(text string) (item patternItem, n int, why string) {
	switch c := text[0]; c {
	case '.':
		return patternItem{kind: itemAny}, 1, ""
	case '%':
		if len(text) < 2 {
			return item, 0, "malformed pattern (ends with '%')"
		}
		if !isClassLetter(text[1]) {
			return patternItem{kind: itemChar, a: text[1]}, 2, ""
		}
		return patternItem{kind: itemSet, set: classSet(text[1])}, 2, ""
	case '[':
		end := endOfSet(text)
		if end < 0 {
			return item, 0, "malformed pattern (missing ']')"
		}
		return patternItem{kind: itemSet, set: compileSet(text[1:end])}, end + 1, ""
	default:
		return patternItem{kind: itemChar, a: c}, 1, ""
	}
}

// endOfSet is the index of the ] that ends the set at the beginning of text. The
// first byte of a set is never its end.
func endOfSet(text string) int {
	i := 1
	if i < len(text) && text[i] == '^' {
		i++
	}
	for {
		if i >= len(text) {
			return -1
		}
		if text[i] == '%' && i+1 < len(text) {
			i++
		}
		i++
		if i < len(text) && text[i] == ']' {
			return i
		}
	}
}

// compileSet compiles what stands between [ and ].
func compileSet(body string) *byteSet {
	set := &byteSet{}
	inverted := body != "" && body[0] == '^'
	if inverted {
		body = body[1:]
	}
	for i := 0; i < len(body); i++ {
		switch {
		case body[i] == '%' && i+1 < len(body):
			i++
			if isClassLetter(body[i]) {
				set.addClass(body[i])
			} else {
				set.add(body[i])
			}
		case i+2 < len(body) && body[i+1] == '-':
			for c := int(body[i]); c <= int(body[i+2]); c++ {
				set.add(byte(c))
			}
			i += 2
		default:
			set.add(body[i])
		}
	}
	if inverted {
		set.invert()
	}
	return set
}

// classSets are the sets of %a to %z and %A to %Z, made once.
var classSets = func() (sets [256]*byteSet) {
	for c := range 256 {
		if isClassLetter(byte(c)) {
			sets[c] = &byteSet{}
			sets[c].addClass(byte(c))
		}
	}
	return sets
}()

func classSet(c byte) *byteSet { return classSets[c] }

// patternCache keeps compiled patterns. It belongs to one Lua state and is used
// under its lock. A pattern has one place, by its length and some of its bytes:
// what a script uses in turn is rarely more than fits.
type patternCache struct {
	slots [64]struct {
		text  string
		caret bool
		p     *pattern
	}
}

// maxCachedPattern is the length in bytes up to which a pattern is kept.
const maxCachedPattern = 1024

func (c *patternCache) get(text string, caret bool) *pattern {
	if len(text) > maxCachedPattern {
		return compilePattern(text, caret)
	}
	h := uint(len(text))
	if n := len(text); n > 0 {
		h = h*31 + uint(text[n-1])
		h = h*31 + uint(text[n/2])
		h = h*31 + uint(text[n/4])
		h = h*31 + uint(text[0])
	}
	slot := &c.slots[(h^h>>6^h>>12)%uint(len(c.slots))]
	if slot.p == nil || slot.caret != caret || slot.text != text {
		slot.text, slot.caret, slot.p = text, caret, compilePattern(text, caret)
	}
	return slot.p
}
