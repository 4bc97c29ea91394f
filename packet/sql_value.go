package packet

import "strings"

// value is what stands right of a variable in SET.
type value struct {
	assigned bool // there was a = or :=
	ok       bool // it can be repeated elsewhere
	off      bool // it is 0, OFF or FALSE
	relative bool // it reads system variables
	single   bool // it is one literal
	tokens   int
	text     *strings.Builder // nil: not wanted
	literal  string           // the value of a single literal, if text is wanted
}

// value reads = or :=, and an expression up to a ',' outside of parentheses or
// the end of the statement. v may be nil.
func (s *scanner) value(v *value) {
	if v == nil {
		v = &value{}
	}
	if s.tok.is(':') {
		s.next()
	}
	if !s.tok.is('=') {
		return
	}
	s.next()
	v.assigned, v.ok, v.single = true, true, true
	if s.collect != nil {
		v.text = &strings.Builder{}
	}
	outer := s.depth
	for !s.ended() && (s.depth > outer || !s.tok.is(',')) {
		if v.ok {
			v.ok = s.term(v)
			v.tokens++
			continue
		}
		s.step()
	}
	v.ok = v.ok && v.tokens > 0
	v.single = v.single && v.ok
}

// term reads one token, or a few that belong together, of an expression. It
// returns false if what it found does not give the same on another server.
func (s *scanner) term(v *value) bool {
	start := s.start
	switch s.tok.kind() {
	case tokenString, tokenDouble, tokenNumber:
		if v.tokens > 0 && !(v.tokens == 1 && s.p1.is('-')) {
			v.single = false
		}
		v.off = v.tokens == 0 && s.tok.kind() == tokenNumber && s.tok.c() == '0' && s.end == s.start+1
		return s.literal(v)
	case tokenWord:
		return s.wordTerm(v)
	case tokenSystem:
		v.single, v.relative = false, true
		s.step()
		v.write("@@")
		if scopeOf(s.tok.id()) != scopeNone {
			v.write(string(s.sql[s.start:s.end]))
			s.next()
			if !s.tok.is('.') {
				return false
			}
			v.write(".")
			s.next()
		}
		if s.tok.kind() != tokenWord || !ascii(s.sql[s.start:s.end]) {
			return false
		}
		v.write(string(s.sql[s.start:s.end]))
		s.step()
		return true
	case tokenPunct:
		c := s.tok.c()
		s.step()
		switch c {
		case '-':
			v.write("-")
			v.single = v.single && v.tokens == 0
			if s.sql[start] == '-' && s.tok.is('-') {
				v.write(" ") // two of them would be a comment
			}
			return true
		case '+', '*', '/', '(', ')', ',', '|', '&', '~', '^':
			v.single = false
			v.write(string(rune(c)))
			return true
		}
		return false
	}
	s.step()
	return false
}

// wordTerm is a word in an expression: alone, such as ON, or one of the
// functions that drivers use to change sql_mode.
func (s *scanner) wordTerm(v *value) bool {
	id := s.tok.id()
	word := s.sql[s.start:s.end]
	if !ascii(word) {
		s.step()
		return false
	}
	alone := v.tokens == 0
	v.off = alone && (id == wordOff || id == wordFalse)
	if alone && v.text != nil {
		v.literal = string(word)
	}
	v.write(string(word))
	s.step()
	switch id {
	case wordNull, wordTrue, wordFalse:
		return true
	case wordConcat, wordConcatWS, wordReplace, wordIfnull, wordNullif, wordCoalesce:
		v.single = false
		return s.tok.is('(')
	}
	return alone && (s.ended() || s.tok.is(','))
}

// literal is a string, a number or a word. Strings are written in ”, which
// means the same under every sql_mode as long as there is no backslash.
func (s *scanner) literal(v *value) bool {
	switch s.tok.kind() {
	case tokenString, tokenDouble:
		if !v.quote(s) {
			s.step()
			return false
		}
	case tokenNumber, tokenWord:
		text := s.sql[s.start:s.end]
		if !ascii(text) {
			s.step()
			return false
		}
		if v.text != nil {
			if s.p1.is('-') {
				v.literal = "-"
			}
			v.literal += string(text)
			v.write(string(text))
		}
	default:
		return false
	}
	s.step()
	return true
}

// quote writes the present token, which is quoted. It returns false if that
// would not be the same everywhere.
func (v *value) quote(s *scanner) bool {
	quote := s.sql[s.start]
	body := s.sql[s.start+1 : s.end-1]
	for _, c := range body {
		if c >= 0x80 || c == '\\' {
			return false
		}
	}
	if v.text == nil {
		return true
	}
	text := unquote(s.sql[s.start:s.end])
	v.literal = text
	if quote == '`' {
		v.write(string(s.sql[s.start:s.end]))
		return true
	}
	v.write("'" + strings.ReplaceAll(text, "'", "''") + "'")
	return true
}

func (v *value) write(text string) {
	if v.text != nil {
		v.text.WriteString(text)
	}
}

// unquote takes the quotes off; two inside stand for one.
func unquote(b []byte) string {
	quote := string(b[:1])
	return strings.ReplaceAll(string(b[1:len(b)-1]), quote+quote, quote)
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}
