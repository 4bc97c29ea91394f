package packet

// This file is what the rest of the program knows of SQL: where a statement
// may run, and what it does to its session beyond its result.
//
//	sql.go           Classify and what it says
//	sql_names.go     the names of reasons and effects
//	sql_lex.go       statements into tokens
//	sql_comment.go   comments, and hints in them
//	sql_words.go     the words that mean something
//	sql_functions.go which of them may stand before a '('
//	sql_scan.go      what any token does to the verdict
//	sql_read.go      SELECT, SHOW, EXPLAIN and their like
//	sql_write.go     everything else
//	sql_set.go       SET; with sql_value.go and sql_variable.go: SessionAssignments
//	sql_detail.go    UseDatabase, TemporaryTables, NamedLocks
//	sql_charset.go   which character sets need which Lex
//	sql_digest.go    statements without their literals
//
// Nothing here parses SQL: a statement is read token by token, once, and
// whatever is not surely a harmless read belongs to the primary. What is
// falsely sent to the primary costs balance; what is falsely sent to a replica
// would be wrong.

// Lex says how a session's statements are to be read.
type Lex uint8

const (
	// LexNoBackslashEscapes: sql_mode NO_BACKSLASH_ESCAPES is in force, as
	// StatusNoBackslashEscapes tells.
	LexNoBackslashEscapes Lex = 1 << iota
	// LexAnsiQuotes: "" quotes identifiers. MariaDB tells by status flag 0x8000.
	// MySQL does not tell: without LexAnsiQuotes and LexMariaDB a statement in
	// which it matters is read both ways.
	LexAnsiQuotes
	// LexMultiByte: in the client's character set (gbk, gb18030, big5, sjis,
	// cp932, euckr) a byte below 0x80 can be the end of a character.
	LexMultiByte
	// LexUnknownCharset: the client's character set is not known, or is one such
	// as swe7 in which bytes below 0x80 are not ASCII. All goes to the primary.
	LexUnknownCharset
	// LexMariaDB: the server is MariaDB, else MySQL.
	LexMariaDB
	// LexMultiStatements: the client may send several statements at once
	// (CapMultiStatements). If not, text behind a ';' is a syntax error to the
	// server.
	LexMultiStatements
)

// Route is where a statement may run.
type Route uint8

const (
	// RoutePrimary is the zero value: what is uncertain goes to the primary.
	RoutePrimary Route = iota
	// RouteReplica: a read that may run anywhere that has the data.
	RouteReplica
	// RouteLast: about the statement before it, so it goes where that ran
	// (SHOW WARNINGS, SHOW ERRORS, SHOW COUNT(*) ..., and SELECT of nothing but
	// @@warning_count and @@error_count).
	RouteLast
)

// RouteReason says why a statement has its Route.
type RouteReason uint8

// The reasons. Where several things keep a statement from the replicas, the
// reason is the first one in the text.
const (
	ReasonUncertain          RouteReason = iota // an unknown verb, or text that cannot be read with certainty
	ReasonRead                                  // a harmless read
	ReasonHint                                  // a comment says where to
	ReasonEmpty                                 // nothing but space and comments
	ReasonMultiStatement                        // several statements
	ReasonConditionalComment                    // /*! or /*M!: code for some servers, a comment for others
	ReasonOptimizerHint                         // SET_VAR, RESOURCE_GROUP, or one that cannot be read with certainty
	ReasonCharset                               // the client's character set makes the text uncertain
	ReasonWrite                                 // INSERT, UPDATE, DELETE, REPLACE, LOAD DATA
	ReasonCTEWrite                              // WITH ... DELETE, WITH ... UPDATE
	ReasonDDL                                   // CREATE, ALTER, DROP, TRUNCATE, RENAME, GRANT, REVOKE
	ReasonTransaction                           // BEGIN, COMMIT, SAVEPOINT, XA, SET TRANSACTION
	ReasonSet                                   // SET
	ReasonUse                                   // USE
	ReasonCall                                  // CALL, DO, and compound statements
	ReasonPrepare                               // PREPARE, EXECUTE, DEALLOCATE
	ReasonHandler                               // HANDLER
	ReasonLock                                  // LOCK, UNLOCK, FLUSH ... WITH READ LOCK, BACKUP
	ReasonKill                                  // KILL
	ReasonMaintenance                           // ANALYZE, CHECK, FLUSH, RESET, INSTALL, SHUTDOWN ...
	ReasonDiagnostics                           // about the statement before: SHOW WARNINGS, GET DIAGNOSTICS
	ReasonLockClause                            // FOR UPDATE, FOR SHARE, LOCK IN SHARE MODE
	ReasonInto                                  // SELECT ... INTO
	ReasonCalcFoundRows                         // SQL_CALC_FOUND_ROWS
	ReasonUserVariable                          // @name
	ReasonSystemVariable                        // @@name
	ReasonSystemSchema                          // information_schema, performance_schema, mysql, sys: each server has its own
	ReasonFunction                              // a function of the session or the server: GET_LOCK, CONNECTION_ID ...
	ReasonUnknownFunction                       // a function that is not known as built in
	ReasonSequence                              // NEXT VALUE FOR, NEXTVAL ...
	ReasonShow                                  // SHOW of what each server has for itself
	ReasonExplain                               // EXPLAIN of anything but a harmless read
	ReasonProcedure                             // SELECT ... PROCEDURE ANALYSE
	reasonCount
)

// RouteReasons is the number of reasons.
const RouteReasons = int(reasonCount)

// Effects is what a statement may do to its session beyond its result. They
// hold if the server answers OK; after an ERR there are none, save those of
// the statements before it if there are several.
type Effects uint64

// The effects.
const (
	// EffectWrite: may write, so that its OK may bring a GTID.
	EffectWrite Effects = 1 << iota
	// EffectSetVariables: sets session variables to values that can be set
	// again elsewhere. SessionAssignments has them.
	EffectSetVariables
	// EffectSetOpaque: changes session variables in a way that cannot be
	// repeated elsewhere.
	EffectSetOpaque
	// EffectNextTransaction: SET TRANSACTION without SESSION or GLOBAL, or SET
	// @@transaction_isolation: holds for the next transaction only.
	EffectNextTransaction
	// EffectUse: USE. UseDatabase has the name.
	EffectUse
	// EffectDropDatabase: DROP DATABASE. If it was the session's, there is none now.
	EffectDropDatabase
	// EffectTemporary: creates temporary tables. TemporaryTables has the names.
	EffectTemporary
	// EffectDropTable: drops tables, which may be temporary ones.
	// TemporaryTables has the names.
	EffectDropTable
	// EffectRenameTable: renames tables. If the session has temporary ones,
	// their names are not known any more.
	EffectRenameTable
	// EffectLockTables: LOCK TABLES, LOCK INSTANCE, FLUSH TABLES ... WITH READ
	// LOCK or FOR EXPORT, BACKUP STAGE, BACKUP LOCK.
	EffectLockTables
	// EffectUnlockTables: UNLOCK TABLES, UNLOCK INSTANCE, BACKUP STAGE END,
	// BACKUP UNLOCK.
	EffectUnlockTables
	// EffectNamedLock: GET_LOCK. NamedLocks has the names.
	EffectNamedLock
	// EffectReleaseLock: RELEASE_LOCK, RELEASE_ALL_LOCKS. NamedLocks has the names.
	EffectReleaseLock
	// EffectUserVariable: reads or assigns user variables.
	EffectUserVariable
	// EffectPrepare: PREPARE name FROM ...
	EffectPrepare
	// EffectDeallocate: DEALLOCATE PREPARE, DROP PREPARE.
	EffectDeallocate
	// EffectHandlerOpen: HANDLER ... OPEN.
	EffectHandlerOpen
	// EffectHandlerClose: HANDLER ... CLOSE.
	EffectHandlerClose
	// EffectXABegin: XA START, XA BEGIN.
	EffectXABegin
	// EffectXAEnd: XA COMMIT, XA ROLLBACK.
	EffectXAEnd
	// EffectBegin: BEGIN, START TRANSACTION, COMMIT AND CHAIN.
	EffectBegin
	// EffectEnd: COMMIT, ROLLBACK. That other statements commit implicitly is
	// told by the status of their OK.
	EffectEnd
	// EffectUnknown: may have any effect: CALL, EXECUTE, compound statements,
	// and what cannot be read with certainty.
	EffectUnknown
	// EffectFunction: calls a function that is not known as built in. A stored
	// one may do what a procedure does, save ending transactions.
	EffectFunction
	// EffectRowState: its result depends on the statement before: FOUND_ROWS(),
	// ROW_COUNT(), @@warning_count, @@error_count, GET DIAGNOSTICS, SHOW WARNINGS.
	EffectRowState
	// EffectCalcFoundRows: SQL_CALC_FOUND_ROWS: FOUND_ROWS() is going to be asked.
	EffectCalcFoundRows
	// EffectLastInsertID: reads or sets LAST_INSERT_ID(), @@identity,
	// @@last_insert_id.
	EffectLastInsertID
	// EffectKill: KILL.
	EffectKill
	effectEnd
)

// Hint is what a comment `/* route=primary */` or `/* route=replica */` asks
// for. It stands before the first word of a statement, or directly behind it.
type Hint uint8

const (
	// HintNone: no such comment.
	HintNone Hint = iota
	// HintPrimary: to the primary, whatever it is.
	HintPrimary
	// HintReplica: to a replica, although it names a function that is not known
	// as built in, a system variable, a system schema, or what each server has
	// for itself. Classify has taken it into account: the hint does not make
	// RouteReplica of anything that writes, locks, or depends on its session.
	HintReplica
)

// Statement is what Classify says of a statement.
type Statement struct {
	Effects Effects
	Route   Route
	Reason  RouteReason
	Hint    Hint
	Many    bool // several statements: Effects are those of all of them

	// GTIDs is where, in the text, a comment `/* gtid=... */` has what a read is to
	// see, from its first byte up to its last; both are 0 without one. It stands
	// where a Hint may.
	GTIDs [2]int32
}

// Classify reads sql, the text of a COM_QUERY or COM_STMT_PREPARE, and says
// where it may run and what it does to its session. It takes time in
// proportion to the length of sql, allocates nothing and keeps nothing of it.
//
// It does not see through views and triggers: one that calls a stored function
// with side effects is not told from one that does not.
func Classify(sql []byte, lex Lex) Statement {
	if lex&(LexUnknownCharset|LexMultiByte) != 0 {
		return classifyCharset(sql, lex)
	}
	return classify(sql, lex)
}

// classify is Classify where bytes below 0x80 are ASCII.
func classify(sql []byte, lex Lex) Statement {
	var s scanner
	s.init(sql, lex)
	st := s.statement()
	if !s.ambiguous {
		return st
	}
	// A backslash within "" escapes in a string and does not in an identifier,
	// and which of them it is MySQL does not tell. Under the wrong reading the
	// text mostly has an end within quotes: then nothing of it would run.
	var ansi scanner
	ansi.init(sql, lex|LexAnsiQuotes)
	other := ansi.statement()
	switch {
	case ansi.bad && !other.Many:
		return st
	case s.bad && !st.Many:
		return other
	case st.Route != other.Route:
		return Statement{Effects: st.Effects | other.Effects, Hint: st.Hint, Many: st.Many || other.Many}
	}
	st.Effects |= other.Effects
	st.Many = st.Many || other.Many
	return st
}

// classifyCharset is Classify where they may not be.
func classifyCharset(sql []byte, lex Lex) Statement {
	ascii, certain := true, lex&LexUnknownCharset == 0
	for i, c := range sql {
		if c < 0x80 {
			continue
		}
		ascii = false
		// These two would be read as the beginning or the end of something. The
		// other bytes that can end a character are those of identifiers, or
		// mean nothing within quotes.
		if i+1 < len(sql) && (sql[i+1] == '\\' || sql[i+1] == '`') {
			certain = false
		}
	}
	st := classify(sql, lex)
	if ascii && certain {
		return st
	}
	if !certain {
		st.Effects |= EffectUnknown | EffectWrite
	}
	if st.Route != RoutePrimary || st.Reason == ReasonUncertain && !certain {
		st.Route, st.Reason = RoutePrimary, ReasonCharset
	}
	return st
}
