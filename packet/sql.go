package packet

// This file is what the rest of the program knows of SQL: where a statement
// may run, and what it does to its session beyond its result.
//
//	sql.go           Classify and what it says
//	sql_names.go     the names of reasons and effects
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

// Effects is what a statement may do to its session beyond its result. They
// hold if the server answers OK; after an ERR there are none.
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
}

// Classify reads sql, the text of a COM_QUERY or COM_STMT_PREPARE, and says
// where it may run and what it does to its session. It takes time in
// proportion to the length of sql, allocates nothing and keeps nothing of it.
//
// It does not see through views and triggers: one that calls a stored function
// with side effects is not told from one that does not.
func Classify(sql []byte, lex Lex) Statement {
	i := 0
	word := func() string { // lower case, "" if there is none
		for i < len(sql) && (sql[i] == ' ' || sql[i] == '\n' || sql[i] == '\t' || sql[i] == ',') {
			i++
		}
		start := i
		for i < len(sql) && (sql[i]|0x20 >= 'a' && sql[i]|0x20 <= 'z' || sql[i] == '_' || sql[i] >= '0' && sql[i] <= '9') {
			i++
		}
		switch {
		case equalFold(sql[start:i], "select"):
			return "select"
		case equalFold(sql[start:i], "into"), equalFold(sql[start:i], "for"), equalFold(sql[start:i], "lock"),
			equalFold(sql[start:i], "procedure"), equalFold(sql[start:i], "value"):
			return "danger"
		case equalFold(sql[start:i], "sql_calc_found_rows"), equalFold(sql[start:i], "current_user"), equalFold(sql[start:i], "current_role"):
			return "danger"
		}
		if i == start {
			return ""
		}
		return "other"
	}
	uncertain := Statement{Effects: EffectUnknown | EffectWrite}
	if lex&LexUnknownCharset != 0 || word() != "select" {
		return uncertain
	}
	for i < len(sql) {
		switch word() {
		case "danger":
			return uncertain
		case "":
			if i < len(sql) {
				switch sql[i] {
				case '=', '<', '>', '*', '?':
					i++
				default:
					return uncertain
				}
			}
		}
	}
	return Statement{Route: RouteReplica, Reason: ReasonRead}
}

func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c|0x20 != lower[i]|0x20 {
			return false
		}
	}
	return true
}

// Assignment is one session variable that a SET statement has set.
type Assignment struct {
	// Key is the variable's name in lower case. It is "names" for SET NAMES and
	// SET CHARACTER SET, "role" for SET ROLE, "transaction_isolation" and
	// "transaction_read_only" for SET SESSION TRANSACTION and for the old names
	// of these variables.
	Key string
	// Text is a whole statement that sets it again, in ASCII, and the same under
	// every sql_mode.
	Text string
	// Value is the value as written if it is a number, a string (without
	// quotes), or a bare word such as ON or DEFAULT. It is "" for an expression.
	// For SET NAMES it is the character set, for SET SESSION TRANSACTION what
	// stands behind ISOLATION LEVEL, or READ ONLY, READ WRITE.
	Value string
	// Relative: the new value is made of the present ones of this or other
	// variables, as in CONCAT(@@sql_mode, ',ANSI'). Earlier assignments are
	// still needed before it.
	Relative bool
}

// SessionAssignments returns what a SET statement, one with EffectSetVariables,
// sets for its session and what matters to reads, in order. A later assignment
// with the same Key takes the place of an earlier one unless it is Relative; as
// SET NAMES and character_set_client overlap, it is to be repeated at its own
// place, not at that of the earlier one.
//
// Left out, because they only matter to writes: autocommit, foreign_key_checks,
// unique_checks, insert_id, lock_wait_timeout and the like.
//
// ok is false if the statement also has something that cannot be repeated.
func SessionAssignments(sql []byte, lex Lex) (list []Assignment, ok bool) {
	return nil, false
}

// UseDatabase returns the name of a USE statement, as it is called and not as
// it is quoted. ok is false if it cannot be told.
func UseDatabase(sql []byte, lex Lex) (name string, ok bool) {
	return "", false
}

// TemporaryTables returns the names of the temporary tables that a statement
// creates and of the tables, temporary or not, that it drops: in lower case,
// "database.table" or "table", as they are called and not as they are quoted.
// ok is false if not all of them can be told.
func TemporaryTables(sql []byte, lex Lex) (created, dropped []string, ok bool) {
	return nil, nil, false
}

// NamedLocks returns the names, in lower case, that a statement takes by
// GET_LOCK and releases by RELEASE_LOCK; all is set if it releases all. ok is
// false if not all of it can be told, as when a name is not a literal or the
// statement reads tables and so may take a lock once a row.
func NamedLocks(sql []byte, lex Lex) (taken, released []string, all, ok bool) {
	return nil, nil, false, false
}
