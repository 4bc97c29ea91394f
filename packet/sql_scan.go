package packet

// scanner goes through a text once, statement by statement, and gathers what
// its tokens mean wherever they stand. The verbs' own rules are in sql_read.go,
// sql_write.go and sql_set.go.
type scanner struct {
	lexer
	p1, p2  token // the tokens before the present one, and before that
	p1end   int   // where p1 ends
	depth   int   // of parentheses
	effects Effects
	reason  RouteReason  // the first thing that keeps it from the replicas
	blocked bool         // there is such a thing
	hard    bool         // and HintReplica is no help
	reads   bool         // a read verb, found and understood
	last    bool         // RouteLast, if nothing blocks it
	calls   bool         // a name before a '(' is a function
	columns bool         // except for this one: INSERT INTO name (columns)
	system  bool         // has met @@
	collect *assignments // of SessionAssignments, else nil
}

func (s *scanner) init(sql []byte, lex Lex) {
	s.sql, s.lex = sql, lex
	s.ansiKnown = lex&(LexAnsiQuotes|LexMariaDB) != 0
}

// block keeps the statement from the replicas, if the user does not know better.
func (s *scanner) block(r RouteReason) {
	if !s.blocked {
		s.blocked, s.reason = true, r
	}
}

// must keeps the statement from the replicas, whatever the user says.
func (s *scanner) must(r RouteReason) {
	s.block(r)
	s.hard = true
}

// statement classifies the whole text.
func (s *scanner) statement() Statement {
	s.hinting = true
	s.lexer.next()
	if s.tok.kind() == tokenEnd && !s.bad {
		return Statement{Reason: ReasonEmpty, Hint: s.hint}
	}
	many := false
	for code := 0; ; {
		s.one(code)
		if s.tok.kind() == tokenEnd {
			break
		}
		code = s.code
		s.lexer.next() // behind the ';'
		if s.tok.kind() == tokenEnd {
			break
		}
		many = true
	}
	st := Statement{Effects: s.effects, Hint: s.hint, Many: many, GTIDs: s.gtids}
	if s.code > 0 {
		s.must(ReasonConditionalComment)
	}
	if s.bad {
		st.Effects |= EffectUnknown | EffectWrite
		s.must(ReasonUncertain)
	}
	if s.optimizer {
		s.must(ReasonOptimizerHint)
	}
	switch {
	case many:
		st.Reason = ReasonMultiStatement
	case !s.reads:
		s.must(ReasonUncertain)
		st.Reason = s.reason
	case s.hard, s.blocked && s.hint != HintReplica:
		st.Reason = s.reason
	case s.hint == HintPrimary:
		st.Reason = ReasonHint
	case s.blocked:
		st.Route, st.Reason = RouteReplica, ReasonHint
		st.Effects &^= EffectFunction | EffectWrite // the user says so
	case s.last:
		st.Route, st.Reason = RouteLast, ReasonDiagnostics
	default:
		st.Route, st.Reason = RouteReplica, ReasonRead
	}
	return st
}

// one goes through one statement, up to a ';' or the end of the text. Before
// its first token there were code comments of the kind that may be code.
func (s *scanner) one(code int) {
	s.p1, s.p2, s.p1end, s.depth = 0, 0, 0, 0
	s.reads, s.calls, s.columns, s.system = false, false, false, false
	for s.tok.is('(') {
		s.look()
		s.next()
	}
	verb := s.tok.id()
	certain := s.code == code && !s.inCode // no part of it may be a comment
	s.next()
	s.hinting = false
	if !s.readVerb(verb) {
		s.writeVerb(verb)
	}
	s.rest()
	if s.code != code && (!certain || !s.reads && !dml(verb)) {
		s.effects |= EffectUnknown | EffectWrite
	}
}

// dml says whether the effects of a statement with this verb are those of its
// words, so that words more or less do not change their meaning.
func dml(verb wordID) bool {
	switch verb {
	case wordInsert, wordReplace, wordUpdate, wordDelete, wordDo:
		return true
	}
	return false
}

// next moves on without looking at the token that it leaves.
func (s *scanner) next() {
	s.p2, s.p1, s.p1end = s.p1, s.tok, s.end
	s.lexer.next()
}

// step looks at the present token and moves on.
func (s *scanner) step() {
	s.look()
	s.next()
}

// ended says whether the statement ends here.
func (s *scanner) ended() bool { return s.tok.kind() == tokenEnd || s.tok.is(';') }

// rest looks at all tokens up to the end of the statement.
func (s *scanner) rest() {
	for {
		switch s.tok.kind() {
		case tokenEnd:
			return
		case tokenWord:
			if s.tok.id() != wordNone {
				s.lookWord()
			}
		case tokenPunct:
			switch s.tok.c() {
			case ';':
				return
			case '(', ')', '.':
				s.look()
			}
		case tokenVariable, tokenSystem:
			s.look()
		}
		s.next()
	}
}

// restOfText looks at all tokens up to the end of the text: those of a body
// made of several statements.
func (s *scanner) restOfText() {
	for s.tok.kind() != tokenEnd {
		s.look()
		s.next()
	}
}

// parens goes from a '(' behind the ')' that belongs to it.
func (s *scanner) parens() {
	outer := s.depth
	s.step()
	for s.depth > outer && !s.ended() {
		s.step()
	}
}

// look takes from the present token what it means wherever it stands.
func (s *scanner) look() {
	switch s.tok.kind() {
	case tokenWord:
		if s.tok.id() != wordNone {
			s.lookWord()
		}
	case tokenPunct:
		switch s.tok.c() {
		case '(':
			s.depth++
			s.lookCall()
		case ')':
			s.depth--
		case '.':
			s.lookSchema()
		}
	case tokenVariable:
		s.effects |= EffectUserVariable
		s.must(ReasonUserVariable)
	case tokenSystem:
		s.system = true
		s.block(ReasonSystemVariable)
	}
}

func (s *scanner) lookWord() {
	switch s.tok.id() {
	case wordInto:
		s.must(ReasonInto)
	case wordUpdate, wordShare:
		switch {
		case s.p1.id() == wordFor:
			s.must(ReasonLockClause)
		case s.tok.id() == wordUpdate && !s.p1.is('.'):
			s.must(ReasonCTEWrite)
		}
	case wordDelete:
		if !s.p1.is('.') {
			s.must(ReasonCTEWrite)
		}
	case wordLock:
		s.must(ReasonLockClause)
	case wordProcedure:
		s.must(ReasonProcedure)
	case wordSQLCalcFoundRows:
		s.effects |= EffectCalcFoundRows
		s.must(ReasonCalcFoundRows)
	case wordValue:
		if s.p1.id() == wordNext || s.p1.id() == wordPrevious {
			s.effects |= EffectWrite
			s.must(ReasonSequence)
		}
	case wordNextval, wordCurrval, wordLastval:
		if s.p1.is('.') { // sql_mode ORACLE: sequence.NEXTVAL
			s.effects |= EffectWrite
			s.must(ReasonSequence)
		}
	case wordCurrentUser, wordCurrentRole, wordSessionUser:
		if !s.p1.is('.') {
			s.must(ReasonFunction)
		}
	case wordWarningCount, wordErrorCount:
		if s.system {
			s.effects |= EffectRowState
			s.hard = true
		}
	case wordIdentity, wordLastInsertID, wordInsertID, wordLastGTID:
		if s.system {
			s.effects |= EffectLastInsertID
			s.hard = true
		}
	case wordValues, wordSelect, wordSet, wordWith, wordTable:
		s.columns = false
	}
}

// lookCall looks at what stands before a '('.
func (s *scanner) lookCall() {
	p := s.p1
	if !p.named() || s.p2.kind() == tokenVariable {
		return
	}
	if p.kind() == tokenWord && !s.p2.is('.') {
		ok := okMySQL
		if s.lex&LexMariaDB != 0 {
			ok = okMariaDB
		}
		switch {
		case p.flags()&ofSession != 0:
			s.sessionFunction(p.id())
			return
		case p.flags()&ok != 0 && (p.flags()&okAdjacent == 0 || s.p1end == s.start):
			return
		}
	}
	switch s.p2.id() {
	case wordAs, wordWith, wordRecursive, wordProcedure: // a name with its columns, a type in CAST, ANALYSE
		return
	}
	if s.columns {
		s.columns = false
		return
	}
	if s.calls {
		s.effects |= EffectFunction | EffectWrite
	}
	s.block(ReasonUnknownFunction)
}

// sessionFunction is a call of a function of the session or the server.
func (s *scanner) sessionFunction(id wordID) {
	switch id {
	case wordGetLock:
		s.effects |= EffectNamedLock
	case wordReleaseLock, wordReleaseAllLocks:
		s.effects |= EffectReleaseLock
	case wordFoundRows, wordRowCount:
		s.effects |= EffectRowState
	case wordLastInsertID:
		s.effects |= EffectLastInsertID
	case wordNextval, wordSetval:
		s.effects |= EffectWrite
		s.must(ReasonSequence)
	case wordLastval, wordCurrval:
		s.must(ReasonSequence)
	}
	s.must(ReasonFunction)
}

// lookSchema looks at what stands before a '.'.
func (s *scanner) lookSchema() {
	if s.p2.is('.') {
		return
	}
	switch s.p1.kind() {
	case tokenWord:
		if systemSchemaWord(s.p1.id()) {
			s.block(ReasonSystemSchema)
		}
	case tokenQuoted, tokenDouble:
		if s.quotedSystemSchema(s.p1end) {
			s.block(ReasonSystemSchema)
		}
	}
}

func systemSchemaWord(id wordID) bool {
	switch id {
	case wordInformationSchema, wordPerformanceSchema, wordMySQL, wordSys:
		return true
	}
	return false
}

// SystemSchema says whether a database is one that each server has for itself:
// statements that name no other are not for replicas.
func SystemSchema(name string) bool {
	if name == "" || len(name) > longestWord {
		return false
	}
	id, _ := findWord([]byte(name), 0, len(name))
	return systemSchemaWord(id)
}

// quotedSystemSchema says whether the quoted name that ends at end is that of a
// system schema.
func (s *scanner) quotedSystemSchema(end int) bool {
	quote := s.sql[end-1]
	for i := end - 2; i >= 0 && end-i < longestWord; i-- {
		if s.sql[i] == quote {
			if i+1 >= end-1 {
				return false
			}
			id, _ := findWord(s.sql, i+1, end-1)
			return systemSchemaWord(id)
		}
	}
	return false
}
