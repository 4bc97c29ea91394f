package packet

// readVerb takes a statement that only reads, up to where nothing but its
// tokens matters. It returns false if verb is not the beginning of one. The
// token behind the verb is the present one.
func (s *scanner) readVerb(verb wordID) bool {
	switch verb {
	case wordSelect:
		s.reads, s.calls = true, true
		if s.tok.kind() == tokenSystem {
			s.last = s.diagnosticsOnly()
		}
	case wordValues:
		s.reads, s.calls = true, true
	case wordTable:
		if s.lex&LexMariaDB != 0 {
			return false
		}
		s.reads, s.calls = true, true
	case wordWith:
		s.with()
	case wordShow:
		s.show()
	case wordExplain, wordDescribe, wordDesc:
		s.explain()
	case wordHelp:
		s.reads = s.tok.kind() == tokenString || s.tok.named()
	default:
		return false
	}
	return true
}

// diagnosticsOnly says whether a SELECT asks for nothing but @@warning_count and
// @@error_count. It looks ahead and moves nothing.
func (s *scanner) diagnosticsOnly() bool {
	ahead := *s
	for {
		if ahead.tok.kind() != tokenSystem {
			return false
		}
		ahead.next()
		if ahead.tok.id() == wordSession || ahead.tok.id() == wordLocal {
			ahead.next()
			if !ahead.tok.is('.') {
				return false
			}
			ahead.next()
		}
		if ahead.tok.id() != wordWarningCount && ahead.tok.id() != wordErrorCount {
			return false
		}
		ahead.next()
		if ahead.tok.id() == wordAs {
			ahead.next()
			if !ahead.tok.named() {
				return false
			}
			ahead.next()
		}
		if ahead.ended() {
			// What follows a ';' makes it several statements, which have no
			// route of their own.
			break
		}
		if !ahead.tok.is(',') {
			return false
		}
		ahead.next()
	}
	// Known now, so that what look finds does not keep it from its place.
	for !s.ended() {
		s.next()
	}
	s.effects |= EffectRowState
	return true
}

// with goes through the list of common table expressions: the verb behind it
// says what the statement is.
func (s *scanner) with() {
	s.calls = true
	if s.tok.id() == wordRecursive {
		s.step()
	}
	for s.commonTable() {
		if s.tok.is(',') {
			s.step()
			continue
		}
		for s.tok.is('(') {
			s.step()
		}
		switch s.tok.id() {
		case wordSelect, wordValues, wordTable:
			s.reads = true
		case wordUpdate, wordDelete, wordInsert, wordReplace:
			s.must(ReasonCTEWrite)
			s.effects |= EffectWrite
		default:
			s.must(ReasonUncertain)
			s.effects |= EffectWrite | EffectUnknown
		}
		return
	}
	s.must(ReasonUncertain)
	s.effects |= EffectWrite | EffectUnknown
}

// commonTable goes through name [(columns)] AS (query) [CYCLE ... RESTRICT].
func (s *scanner) commonTable() bool {
	if !s.tok.named() {
		return false
	}
	s.step()
	if s.tok.is('(') {
		s.p1 = 0 // the name is not that of a function
		s.parens()
	}
	if s.tok.id() != wordAs {
		return false
	}
	s.step()
	if !s.tok.is('(') {
		return false
	}
	s.parens()
	if s.tok.id() == wordCycle {
		for s.tok.id() != wordRestrict {
			if s.ended() {
				return false
			}
			s.step()
		}
		s.step()
	}
	return true
}

// show knows the kinds of SHOW that are about the data.
func (s *scanner) show() {
	s.reads, s.calls = true, true
	for s.tok.id() == wordFull || s.tok.id() == wordExtended {
		s.next()
	}
	kind := s.tok.id()
	s.next()
	switch kind {
	case wordTables, wordColumns, wordFields, wordIndex, wordIndexes, wordKeys,
		wordDatabases, wordSchemas, wordCollation, wordCharset:
	case wordCharacter:
		if s.tok.id() != wordSet {
			s.block(ReasonShow)
		}
	case wordCreate:
		switch s.tok.id() {
		case wordView, wordDatabase, wordSchema, wordProcedure, wordFunction, wordTrigger,
			wordSequence, wordPackage:
			s.next()
		default:
			s.block(ReasonShow)
		}
	case wordWarnings, wordErrors:
		s.last = true
		s.effects |= EffectRowState
	case wordCount: // SHOW COUNT(*) WARNINGS
		for s.tok.is('(') || s.tok.is('*') || s.tok.is(')') {
			s.next()
		}
		if s.tok.id() == wordWarnings || s.tok.id() == wordErrors {
			s.last = true
			s.effects |= EffectRowState
		} else {
			s.must(ReasonUncertain)
		}
	default:
		s.block(ReasonShow)
	}
	for !s.ended() {
		if s.p1.id() == wordFrom || s.p1.id() == wordIn {
			if systemSchemaWord(s.tok.id()) || s.tok.kind() != tokenWord && s.tok.named() && s.quotedSystemSchema(s.end) {
				s.block(ReasonSystemSchema)
			}
		}
		s.step()
	}
}

// explain is EXPLAIN, DESCRIBE or DESC of a table or of a statement.
func (s *scanner) explain() {
	s.reads, s.calls = true, true
	analyze := false
	for {
		switch s.tok.id() {
		case wordExtended, wordPartitions:
			s.next()
			continue
		case wordAnalyze:
			analyze = true
			s.next()
			continue
		case wordFormat:
			s.next()
			if s.tok.is('=') {
				s.next()
				s.next() // JSON, TREE, TRADITIONAL
				continue
			}
			s.must(ReasonExplain)
			return
		}
		break
	}
	of := s.tok
	for s.tok.is('(') {
		s.step()
	}
	switch {
	case s.tok.id() == wordSelect, s.tok.id() == wordValues, s.tok.id() == wordTable:
	case s.tok.id() == wordWith:
		s.next()
		s.with()
	case s.tok.flags()&writeVerb != 0:
		s.must(ReasonExplain)
		if analyze {
			s.effects |= EffectWrite
		}
		s.next()
	case s.tok.id() == wordFor, s.tok.id() == wordInto, analyze, !of.named():
		s.must(ReasonExplain) // FOR CONNECTION, FOR SCHEMA, INTO @variable
	default: // a table
		s.next()
		s.calls = false
	}
}
