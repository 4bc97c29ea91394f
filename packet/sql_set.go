package packet

import "strings"

// This file reads SET: once without allocation for what Classify says, and
// again, with assignments, for those who want to repeat it.

type setScope uint8

const (
	scopeNone    setScope = iota // SET name, or SET @@name
	scopeSession                 // SESSION, LOCAL
	scopeGlobal                  // GLOBAL, PERSIST, PERSIST_ONLY
)

func scopeOf(id wordID) setScope {
	switch id {
	case wordSession, wordLocal:
		return scopeSession
	case wordGlobal, wordPersist, wordPersistOnly:
		return scopeGlobal
	}
	return scopeNone
}

// setStatement reads what stands behind SET.
func (s *scanner) setStatement() {
	s.calls = true
	first := s.tok.id()
	if first == wordTransaction {
		s.effects |= EffectNextTransaction
		s.must(ReasonTransaction)
		return
	}
	s.must(ReasonSet)
	switch first {
	case wordPassword, wordDefault: // DEFAULT ROLE
		s.effects |= EffectWrite
		return
	case wordResource: // RESOURCE GROUP: where it runs, not what it gives
		return
	case wordRole:
		s.setRole()
		return
	case wordStatement:
		s.setFor()
		return
	}
	global := false // a keyword has said so, and may hold for what follows too
	for {
		s.setItem(&global)
		if !s.tok.is(',') {
			break
		}
		s.step()
	}
	if !s.ended() {
		s.opaque()
	}
}

// opaque notes that something here cannot be repeated elsewhere.
func (s *scanner) opaque() { s.effects |= EffectSetOpaque }

// setFor is MariaDB's SET STATEMENT name = value, ... FOR statement.
func (s *scanner) setFor() {
	for ; !s.ended(); s.step() {
		if s.tok.id() == wordFor && s.depth == 0 {
			s.next()
			for s.tok.is('(') {
				s.step()
			}
			verb := s.tok.id()
			s.calls = false
			s.next()
			if verb == wordSet {
				s.opaque()
				s.effects |= EffectUnknown
				return
			}
			if !s.readVerb(verb) {
				s.writeVerb(verb)
			}
			return
		}
	}
	s.effects |= EffectUnknown
}

// setItem is one of the assignments of a SET.
func (s *scanner) setItem(global *bool) {
	scope, keyword := scopeNone, false
	switch s.tok.kind() {
	case tokenVariable:
		s.step()
		for !s.ended() && !s.tok.is('=') && !s.tok.is(':') {
			s.next() // the name, whatever it is made of
		}
		s.value(nil)
		return
	case tokenSystem:
		s.step()
		if scope = scopeOf(s.tok.id()); scope != scopeNone {
			s.next()
			if !s.tok.is('.') {
				s.opaque()
				return
			}
			s.next()
		}
	case tokenWord:
		switch s.tok.id() {
		case wordNames, wordCharset:
			s.setNames(s.tok.id())
			return
		case wordCharacter:
			s.next()
			if s.tok.id() != wordSet {
				s.opaque()
				return
			}
			s.setNames(wordCharacter)
			return
		}
		if scope = scopeOf(s.tok.id()); scope != scopeNone {
			*global = scope == scopeGlobal
			s.next()
			if s.tok.id() == wordTransaction {
				s.setTransaction(scope)
				return
			}
		}
		keyword = true
	default:
		keyword = true
	}
	s.setVariable(scope, keyword, *global)
}

// setVariable is name = value, with the name the present token. With keyword
// there was no @@ before it.
func (s *scanner) setVariable(scope setScope, keyword, global bool) {
	start, end := s.start, s.end
	if s.tok.kind() == tokenQuoted {
		start, end = start+1, end-1
	}
	if !s.tok.named() || s.tok.kind() == tokenDouble {
		s.opaque()
		return
	}
	if s.tok.id() == wordInsertID || s.tok.id() == wordLastInsertID || s.tok.id() == wordIdentity {
		s.effects |= EffectLastInsertID
	}
	s.next()
	component := s.tok.is('.')
	if component {
		s.next()
		s.next()
	}
	var v value
	s.value(&v)
	kind := variableKind(s.sql[start:end])
	switch {
	case scope == scopeGlobal:
		s.effects |= EffectWrite
	case component, !v.assigned, keyword && scope == scopeNone && global:
		s.opaque() // whether a GLOBAL holds for the next name too depends on the server
	case kind == variableIsolation && scope == scopeNone && !keyword:
		s.effects |= EffectNextTransaction
	case kind == variableForWrites:
		s.effects |= EffectSetVariables | EffectWrite // autocommit = 1 commits
		if s.collect != nil && s.collect.all {
			s.collect.forWrites(string(s.sql[start:end]), &v)
		}
	case kind == variableOpaque, !v.ok, kind == variableOffOnly && !v.off:
		s.opaque()
	default:
		s.effects |= EffectSetVariables
		if s.collect != nil {
			s.collect.variable(string(s.sql[start:end]), &v, false)
		}
	}
}

// setTransaction is [SESSION | GLOBAL] TRANSACTION characteristic, ...
func (s *scanner) setTransaction(scope setScope) {
	s.next()
	if scope == scopeGlobal {
		s.effects |= EffectWrite
		for !s.ended() {
			s.step()
		}
		return
	}
	for {
		if !s.characteristic() {
			s.opaque()
			return
		}
		s.effects |= EffectSetVariables
		if !s.tok.is(',') {
			return
		}
		s.next()
	}
}

func (s *scanner) characteristic() bool {
	var key, value string
	first := s.tok.id()
	s.next()
	second := s.tok.id()
	s.next()
	switch {
	case first == wordRead && second == wordOnly:
		key, value = "transaction_read_only", "READ ONLY"
	case first == wordRead && second == wordWrite:
		key, value = "transaction_read_only", "READ WRITE"
	case first == wordIsolation && second == wordLevel:
		key = "transaction_isolation"
		level := s.tok.id()
		s.next()
		if level == wordRead || level == wordRepeatable {
			of := s.tok.id()
			s.next()
			switch {
			case level == wordRead && of == wordCommitted:
				value = "READ COMMITTED"
			case level == wordRead && of == wordUncommitted:
				value = "READ UNCOMMITTED"
			case level == wordRepeatable && of == wordRead:
				value = "REPEATABLE READ"
			default:
				return false
			}
		} else if level == wordSerializable {
			value = "SERIALIZABLE"
		} else {
			return false
		}
	default:
		return false
	}
	if s.collect != nil {
		text := "SET SESSION TRANSACTION " + value
		if key == "transaction_isolation" {
			text = "SET SESSION TRANSACTION ISOLATION LEVEL " + value
		}
		s.collect.add(Assignment{Key: key, Text: text, Value: value})
	}
	return true
}

// setNames is NAMES, CHARSET or CHARACTER SET with what stands behind it; the
// present token is the last of these words.
func (s *scanner) setNames(what wordID) {
	s.next()
	var name, collation string
	ok := s.nameValue(&name)
	if ok && what == wordNames && s.tok.id() == wordCollate {
		s.next()
		ok = s.nameValue(&collation)
	}
	if !ok {
		s.opaque()
		for !s.ended() && !s.tok.is(',') {
			s.step()
		}
		return
	}
	s.effects |= EffectSetVariables
	if s.collect == nil {
		return
	}
	text := "SET NAMES " + name
	if what != wordNames {
		text = "SET CHARACTER SET " + name
	}
	if collation != "" {
		text += " COLLATE " + collation
	}
	s.collect.add(Assignment{Key: "names", Text: text, Value: strings.Trim(name, "'")})
}

// nameValue is the name of a character set or collation: a word or a string.
// Its text is only made for assignments.
func (s *scanner) nameValue(text *string) bool {
	var v value
	if s.collect != nil {
		v.text = &strings.Builder{}
	}
	if s.tok.kind() == tokenNumber || !s.literal(&v) {
		return false
	}
	if v.text != nil {
		*text = v.text.String()
	}
	return true
}

// setRole is ROLE with what stands behind it.
func (s *scanner) setRole() {
	var text *strings.Builder
	if s.collect != nil {
		text = &strings.Builder{}
		text.WriteString("SET ROLE")
	}
	s.next()
	for first := true; !s.ended(); first = false {
		v := value{text: text}
		if text != nil && (first || s.p1.kind() == tokenWord) {
			text.WriteByte(' ') // between words such as ALL EXCEPT
		}
		switch {
		case s.tok.kind() == tokenVariable:
			if text != nil {
				text.WriteByte('@')
			}
			s.next()
		case s.tok.is(','):
			if text != nil {
				text.WriteByte(',')
			}
			s.next()
		case s.tok.kind() == tokenQuoted:
			if !v.quote(s) {
				s.opaque()
				return
			}
			s.next()
		case s.tok.kind() == tokenNumber || !s.literal(&v):
			s.opaque()
			return
		}
	}
	s.effects |= EffectSetVariables
	if text != nil {
		s.collect.add(Assignment{Key: "role", Text: text.String()})
	}
}
