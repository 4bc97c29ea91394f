package packet

// writeVerb takes a statement that is not a read, up to where nothing but its
// tokens matters. The token behind the verb is the present one.
func (s *scanner) writeVerb(verb wordID) {
	switch verb {
	case wordInsert, wordReplace:
		s.calls, s.columns = true, true
		s.effects |= EffectWrite
		s.must(ReasonWrite)
	case wordUpdate, wordDelete:
		s.calls = true
		s.effects |= EffectWrite
		s.must(ReasonWrite)
	case wordLoad:
		s.effects |= EffectWrite
		s.must(ReasonWrite)
	case wordSet:
		s.setStatement()
	case wordUse:
		s.effects |= EffectUse
		s.must(ReasonUse)
	case wordDo:
		s.calls = true
		s.must(ReasonCall)
	case wordCall:
		s.effects |= EffectUnknown | EffectWrite
		s.must(ReasonCall)
	case wordBegin, wordStart, wordCommit, wordRollback, wordSavepoint, wordRelease, wordXA:
		s.transaction(verb)
	case wordCreate, wordAlter, wordDrop, wordTruncate, wordRename, wordGrant, wordRevoke:
		s.ddl(verb)
	case wordPrepare:
		s.effects |= EffectPrepare
		s.must(ReasonPrepare)
	case wordDeallocate:
		s.effects |= EffectDeallocate
		s.must(ReasonPrepare)
	case wordExecute:
		s.effects |= EffectUnknown | EffectWrite
		s.must(ReasonPrepare)
	case wordHandler:
		s.must(ReasonHandler)
		for !s.ended() {
			switch s.tok.id() {
			case wordOpen:
				s.effects |= EffectHandlerOpen
			case wordClose:
				s.effects |= EffectHandlerClose
			}
			s.step()
		}
	case wordLock:
		s.effects |= EffectLockTables
		s.must(ReasonLock)
	case wordUnlock:
		s.effects |= EffectUnlockTables
		s.must(ReasonLock)
	case wordFlush, wordBackup:
		s.globalLock(verb)
	case wordKill:
		s.effects |= EffectKill
		s.must(ReasonKill)
	case wordGet, wordSignal, wordResignal:
		s.effects |= EffectRowState
		s.must(ReasonDiagnostics)
	case wordBinlog: // runs events, whatever they are
		s.effects |= EffectUnknown | EffectWrite
		s.must(ReasonMaintenance)
	case wordAnalyze: // MariaDB: ANALYZE statement runs it
		s.calls = true
		s.effects |= EffectWrite
		s.must(ReasonMaintenance)
	case wordCheck, wordChecksum, wordOptimize, wordRepair, wordCache, wordPurge, wordReset, wordChange, wordStop,
		wordInstall, wordUninstall, wordImport, wordClone, wordShutdown, wordRestart:
		s.effects |= EffectWrite
		s.must(ReasonMaintenance)
	default:
		// Also IF, LOOP and the like outside of a stored program: MariaDB runs
		// them. Their bodies are statements of their own.
		s.effects |= EffectUnknown | EffectWrite
		s.must(ReasonUncertain)
	}
}

func (s *scanner) transaction(verb wordID) {
	switch verb {
	case wordBegin:
		if s.tok.id() == wordWork {
			s.next()
		}
		if !s.ended() { // BEGIN NOT ATOMIC ... END
			s.effects |= EffectUnknown | EffectWrite
			s.must(ReasonCall)
			s.restOfText()
			return
		}
		s.effects |= EffectBegin
	case wordStart:
		if s.tok.id() != wordTransaction { // START REPLICA
			s.effects |= EffectWrite
			s.must(ReasonMaintenance)
			return
		}
		s.effects |= EffectBegin
	case wordCommit, wordRollback:
		end := EffectEnd | EffectWrite
		for !s.ended() {
			switch {
			case s.tok.id() == wordTo: // SAVEPOINT
				end = 0
			case s.tok.id() == wordChain && s.p1.id() != wordNo:
				s.effects |= EffectBegin
			}
			s.step()
		}
		s.effects |= end
	case wordXA:
		switch s.tok.id() {
		case wordStart, wordBegin:
			s.effects |= EffectXABegin
		case wordCommit, wordRollback:
			s.effects |= EffectXAEnd | EffectWrite
		case wordPrepare:
			s.effects |= EffectWrite
		}
	}
	s.must(ReasonTransaction)
}

// globalLock is FLUSH or BACKUP: some of them lock until UNLOCK TABLES.
func (s *scanner) globalLock(verb wordID) {
	lock := verb == wordBackup
	unlock := false
	if !lock {
		s.effects |= EffectWrite
	}
	start := s.lexer // the words decide on the reason, which comes first
	for l := start; l.tok.kind() != tokenEnd && !l.tok.is(';'); l.next() {
		switch l.tok.id() {
		case wordLock, wordExport:
			lock = true
		case wordEnd, wordUnlock:
			unlock = verb == wordBackup
		}
	}
	switch {
	case unlock:
		s.effects |= EffectUnlockTables
		s.must(ReasonLock)
	case lock:
		s.effects |= EffectLockTables
		s.must(ReasonLock)
	default:
		s.must(ReasonMaintenance)
	}
}

func (s *scanner) ddl(verb wordID) {
	if verb == wordDrop && s.tok.id() == wordPrepare {
		s.effects |= EffectDeallocate
		s.must(ReasonPrepare)
		return
	}
	s.effects |= EffectWrite
	s.must(ReasonDDL)
	switch verb {
	case wordDrop:
		switch s.tok.id() {
		case wordTemporary, wordTable, wordTables, wordSequence:
			s.effects |= EffectDropTable
		case wordDatabase, wordSchema:
			s.effects |= EffectDropDatabase
		}
	case wordRename:
		if s.tok.id() == wordTable || s.tok.id() == wordTables {
			s.effects |= EffectRenameTable
		}
	case wordCreate:
		s.create()
	case wordAlter:
		s.alter()
	}
}

// create tells temporary tables and stored programs from other things.
func (s *scanner) create() {
	temporary := false
	for !s.ended() {
		switch s.tok.id() {
		case wordTemporary:
			temporary = true
		case wordTable, wordSequence:
			if temporary {
				s.effects |= EffectTemporary
			}
			for !s.ended() {
				if s.tok.id() == wordSelect { // CREATE TABLE ... SELECT runs it
					s.calls = true
				}
				s.step()
			}
			return
		case wordProcedure, wordFunction, wordTrigger, wordEvent, wordPackage:
			s.body()
			return
		case wordView, wordDatabase, wordSchema, wordIndex, wordUser, wordRole:
			return
		}
		s.step()
	}
}

func (s *scanner) alter() {
	for !s.ended() && s.tok.id() != wordTable {
		switch s.tok.id() {
		case wordEvent, wordProcedure, wordFunction:
			s.body()
			return
		}
		s.step()
	}
	for !s.ended() {
		if s.p1.id() == wordRename {
			switch s.tok.id() {
			case wordColumn, wordIndex, wordKey:
			default:
				s.effects |= EffectRenameTable
			}
		}
		s.step()
	}
}

// body goes through a stored program. It may be made of several statements,
// and where it ends, and a statement of the text begins, is not looked for.
func (s *scanner) body() {
	several := false
	for s.tok.kind() != tokenEnd {
		semicolon := s.tok.is(';')
		effects := s.effects
		s.step()
		s.effects = effects // it does not run now
		several = several || semicolon && s.tok.kind() != tokenEnd
	}
	if several && s.lex&LexMultiStatements != 0 {
		s.effects |= EffectUnknown
	}
}
