package luahooks

import "strings"

// matcher matches one subject against one pattern. It is reused: between calls
// it holds no subject.
type matcher struct {
	subject string
	p       *pattern
	items   []patternItem
	level   int // captures begun
	capture [maxCaptures]struct{ at, length int }
	depth   int
	steps   int // left until the pattern is too complex
	failed  string
}

// lengths of a capture that has none
const (
	captureOpen     = -1
	capturePosition = -2
)

// The bounds beyond which a pattern is too complex. A step is one byte looked
// at, 1 to 5 ns; the whole of a call (all matches of a gsub) has matchSteps and
// matchStepsPerByte for each byte of the subject.
const (
	matchSteps        = 500_000_000
	matchStepsPerByte = 64
	matchDepth        = 200_000 // of recursion, about 150 bytes of stack each
)

// begin takes a subject. steps is how many it may cost, matchStepsPerByte aside.
func (m *matcher) begin(subject string, p *pattern, steps int) {
	m.subject, m.p, m.items = subject, p, p.items
	m.steps = steps + matchStepsPerByte*len(subject)
	m.failed = ""
}

// end lets go of the subject.
func (m *matcher) end() { m.subject, m.p, m.items = "", nil, nil }

// at matches at s exactly and returns the end of the match, or -1. Where failed
// is set the script has to be told.
func (m *matcher) at(s int) int {
	m.level, m.depth = 0, 0
	return m.match(s, 0)
}

// search looks for the first match at or behind s.
func (m *matcher) search(s int) (from, to int) {
	if m.p.anchored {
		return s, m.at(s)
	}
	for ; s <= len(m.subject); s++ {
		if lead := m.p.lead; lead >= 0 { // no match begins anywhere else
			next := strings.IndexByte(m.subject[s:], byte(lead))
			if next < 0 {
				return -1, -1
			}
			s += next
		} else if set := m.p.leadSet; set != nil {
			for s < len(m.subject) && !set.has(m.subject[s]) {
				s++
			}
			if s == len(m.subject) {
				return -1, -1
			}
		}
		if e := m.at(s); e >= 0 || m.failed != "" {
			return s, e
		}
	}
	return -1, -1
}

func (m *matcher) fail(why string) int {
	m.failed = why
	return -1
}

// one tells whether the item matches the byte at s.
func (m *matcher) one(item *patternItem, s int) bool {
	if s >= len(m.subject) {
		return false
	}
	switch item.kind {
	case itemChar:
		return m.subject[s] == item.a
	case itemSet:
		return item.set.has(m.subject[s])
	}
	return true // itemAny
}

// match matches the items from i on at s. It returns where the match ends, or -1.
func (m *matcher) match(s, i int) int {
	if m.depth++; m.depth > matchDepth {
		return m.fail("pattern too complex")
	}
	e := m.run(s, i)
	m.depth--
	return e
}

func (m *matcher) run(s, i int) int {
	for {
		if m.steps--; m.steps < 0 {
			return m.fail("pattern too complex")
		}
		item := &m.items[i]
		switch item.kind {
		case itemMatched:
			return s
		case itemError:
			return m.fail(item.text)
		case itemEndOfSubject:
			if s != len(m.subject) {
				return -1
			}
			return s
		case itemOpen, itemPosition:
			c := &m.capture[item.a]
			c.at, c.length = s, captureOpen
			if item.kind == itemPosition {
				c.length = capturePosition
			}
			m.level = int(item.a) + 1
			e := m.match(s, i+1)
			if e < 0 {
				m.level = int(item.a)
			}
			return e
		case itemClose:
			c := &m.capture[item.a]
			c.length = s - c.at
			e := m.match(s, i+1)
			if e < 0 {
				c.length = captureOpen
			}
			return e
		case itemBalance:
			if s = m.balanced(s, item); s < 0 {
				return -1
			}
		case itemFrontier:
			var before, after byte
			if s > 0 {
				before = m.subject[s-1]
			}
			if s < len(m.subject) {
				after = m.subject[s]
			}
			if item.set.has(before) || !item.set.has(after) {
				return -1
			}
		case itemBackRef:
			c := m.capture[item.a]
			if c.length == capturePosition { // a length of C's -2 never fits
				return -1
			}
			if !strings.HasPrefix(m.subject[s:], m.subject[c.at:c.at+c.length]) {
				return -1
			}
			m.steps -= c.length
			s += c.length
		default:
			switch item.again {
			case 0:
				if !m.one(item, s) {
					return -1
				}
				s++
			case '?':
				if m.one(item, s) {
					if e := m.match(s+1, i+1); e >= 0 || m.failed != "" {
						return e
					}
				}
			case '*':
				return m.greedy(s, s, i)
			case '+':
				if !m.one(item, s) {
					return -1
				}
				return m.greedy(s, s+1, i)
			default:
				return m.lazy(s, i)
			}
		}
		i++
	}
}

// greedy takes as many bytes as item i matches from least on, then gives back one
// after the other, down to least.
func (m *matcher) greedy(s, least, i int) int {
	item := &m.items[i]
	end := m.span(item, least)
	m.steps -= end - least
	if m.items[i+1].kind == itemMatched {
		return end
	}
	for e := end; e >= least; e-- {
		// What must follow is often one known byte: look for it before trying.
		if next := &m.items[i+1]; next.kind == itemChar && (next.again == 0 || next.again == '+') {
			window := m.subject[least:min(e+1, len(m.subject))]
			at := strings.LastIndexByte(window, next.a)
			if at < 0 {
				m.steps -= len(window)
				return m.spent()
			}
			m.steps -= len(window) - at
			e = least + at
		}
		if r := m.match(e, i+1); r >= 0 || m.failed != "" {
			return r
		}
	}
	return -1
}

// spent is -1, and tells when the steps are used up.
func (m *matcher) spent() int {
	if m.steps < 0 {
		return m.fail("pattern too complex")
	}
	return -1
}

// span is where the bytes that item matches end, from s on.
func (m *matcher) span(item *patternItem, s int) int {
	switch item.kind {
	case itemAny:
		return len(m.subject)
	case itemChar:
		for s < len(m.subject) && m.subject[s] == item.a {
			s++
		}
	default:
		set := item.set
		for s < len(m.subject) && set.has(m.subject[s]) {
			s++
		}
	}
	return s
}

// lazy takes as few bytes as possible.
func (m *matcher) lazy(s, i int) int {
	item := &m.items[i]
	for {
		if e := m.match(s, i+1); e >= 0 || m.failed != "" {
			return e
		}
		if !m.one(item, s) {
			return -1
		}
		s++
	}
}

// balanced is the end of the text from the opening byte at s to its closing one.
func (m *matcher) balanced(s int, item *patternItem) int {
	if s >= len(m.subject) || m.subject[s] != item.a {
		return -1
	}
	open := 1
	for e := s + 1; e < len(m.subject); e++ {
		switch m.subject[e] {
		case item.b: // first: %bxx closes at the next x
			if open--; open == 0 {
				m.steps -= e - s
				return e + 1
			}
		case item.a:
			open++
		}
	}
	m.steps -= len(m.subject) - s
	return -1
}

// captureCount is the number of values of a match: all captures, or the match
// as a whole if there are none.
func (m *matcher) captureCount() int { return max(m.level, 1) }

// captured is the value of capture n, counted from 0, of the match from s to e:
// a text, or a position counted from 1 where position is not 0. It fails for a
// capture that was not there or not closed.
func (m *matcher) captured(n, s, e int) (text string, position int, why string) {
	if n >= m.level {
		if n != 0 {
			return "", 0, "invalid capture index"
		}
		return m.subject[s:e], 0, ""
	}
	switch c := m.capture[n]; c.length {
	case captureOpen:
		return "", 0, "unfinished capture"
	case capturePosition:
		return "", c.at + 1, ""
	default:
		return m.subject[c.at : c.at+c.length], 0, ""
	}
}
