package packet

import (
	"encoding/binary"
	"math/bits"
	"strings"
)

// This file has the words that mean something to the classifier, and finds
// them: case-insensitively, without allocation, in a few nanoseconds.

// wordID is a word that the classifier knows by name; wordNone is any other.
type wordID uint8

const (
	wordNone wordID = iota
	wordAlter
	wordAnalyze
	wordAnd
	wordAs
	wordBackup
	wordBegin
	wordBinlog
	wordCache
	wordCall
	wordCascade
	wordChain
	wordChange
	wordCharacter
	wordCharset
	wordCheck
	wordChecksum
	wordClone
	wordClose
	wordCollate
	wordCollation
	wordColumn
	wordColumns
	wordCommit
	wordCommitted
	wordCount
	wordCreate
	wordCurrentRole
	wordCurrentUser
	wordCurrval
	wordCycle
	wordDatabase
	wordDatabases
	wordDeallocate
	wordDefault
	wordDelete
	wordDesc
	wordDescribe
	wordDo
	wordDrop
	wordEnd
	wordErrorCount
	wordErrors
	wordEvent
	wordExecute
	wordExists
	wordExplain
	wordExport
	wordExtended
	wordFalse
	wordFields
	wordFlush
	wordFor
	wordFormat
	wordFoundRows
	wordFrom
	wordFull
	wordFunction
	wordGet
	wordGetLock
	wordGlobal
	wordGrant
	wordHandler
	wordHelp
	wordIdentity
	wordIf
	wordImport
	wordIn
	wordIndex
	wordIndexes
	wordInformationSchema
	wordInsert
	wordInsertID
	wordInstall
	wordInto
	wordIsolation
	wordKey
	wordKeys
	wordKill
	wordLastGTID
	wordLastInsertID
	wordLastval
	wordLevel
	wordLoad
	wordLocal
	wordLock
	wordMySQL
	wordNames
	wordNext
	wordNextval
	wordNo
	wordNot
	wordNowait
	wordNull
	wordOff
	wordOn
	wordOnly
	wordOpen
	wordOptimize
	wordOr
	wordPackage
	wordPartitions
	wordPassword
	wordPerformanceSchema
	wordPersist
	wordPersistOnly
	wordPrepare
	wordPrevious
	wordProcedure
	wordPurge
	wordRead
	wordRecursive
	wordRelease
	wordReleaseAllLocks
	wordReleaseLock
	wordRename
	wordRepair
	wordRepeatable
	wordReplace
	wordReset
	wordResignal
	wordResource
	wordRestart
	wordRestrict
	wordRevoke
	wordRole
	wordRollback
	wordRowCount
	wordSavepoint
	wordSchema
	wordSchemas
	wordSelect
	wordSequence
	wordSerializable
	wordSession
	wordSessionUser
	wordSet
	wordSetval
	wordShare
	wordShow
	wordShutdown
	wordSignal
	wordSQLCalcFoundRows
	wordStart
	wordStatement
	wordStatus
	wordStop
	wordSys
	wordTable
	wordTables
	wordTemporary
	wordTo
	wordTransaction
	wordTrigger
	wordTrue
	wordTruncate
	wordUncommitted
	wordUninstall
	wordUnlock
	wordUpdate
	wordUse
	wordUser
	wordValue
	wordValues
	wordView
	wordWait
	wordWarningCount
	wordWarnings
	wordWith
	wordWork
	wordWrite
	wordXA
	wordConcat
	wordConcatWS
	wordIfnull
	wordNullif
	wordCoalesce
	wordEnd_
)

var wordText = [wordEnd_]string{
	wordAlter: "alter", wordAnalyze: "analyze", wordAnd: "and", wordAs: "as", wordBackup: "backup",
	wordBegin: "begin", wordBinlog: "binlog", wordCache: "cache", wordCall: "call", wordCascade: "cascade",
	wordChain: "chain", wordChange: "change", wordCharacter: "character", wordCharset: "charset",
	wordCheck: "check", wordChecksum: "checksum", wordClone: "clone", wordClose: "close",
	wordCollate: "collate", wordCollation: "collation", wordColumn: "column", wordColumns: "columns",
	wordCommit: "commit", wordCommitted: "committed", wordCount: "count", wordCreate: "create",
	wordCurrentRole: "current_role", wordCurrentUser: "current_user", wordCurrval: "currval",
	wordCycle: "cycle", wordDatabase: "database", wordDatabases: "databases",
	wordDeallocate: "deallocate", wordDefault: "default", wordDelete: "delete", wordDesc: "desc",
	wordDescribe: "describe", wordDo: "do", wordDrop: "drop", wordEnd: "end",
	wordErrorCount: "error_count", wordErrors: "errors", wordEvent: "event", wordExecute: "execute",
	wordExists: "exists", wordExplain: "explain", wordExport: "export", wordExtended: "extended",
	wordFalse: "false", wordFields: "fields", wordFlush: "flush", wordFor: "for", wordFormat: "format",
	wordFoundRows: "found_rows", wordFrom: "from", wordFull: "full", wordFunction: "function",
	wordGet: "get", wordGetLock: "get_lock", wordGlobal: "global", wordGrant: "grant",
	wordHandler: "handler", wordHelp: "help", wordIdentity: "identity", wordIf: "if",
	wordImport: "import", wordIn: "in", wordIndex: "index", wordIndexes: "indexes",
	wordInformationSchema: "information_schema", wordInsert: "insert", wordInsertID: "insert_id",
	wordInstall: "install", wordInto: "into", wordIsolation: "isolation", wordKey: "key",
	wordKeys: "keys", wordKill: "kill", wordLastGTID: "last_gtid", wordLastInsertID: "last_insert_id",
	wordLastval: "lastval", wordLevel: "level", wordLoad: "load", wordLocal: "local", wordLock: "lock",
	wordMySQL: "mysql", wordNames: "names", wordNext: "next", wordNextval: "nextval", wordNo: "no",
	wordNot: "not", wordNowait: "nowait", wordNull: "null", wordOff: "off", wordOn: "on",
	wordOnly: "only", wordOpen: "open", wordOptimize: "optimize", wordOr: "or", wordPackage: "package",
	wordPartitions: "partitions", wordPassword: "password",
	wordPerformanceSchema: "performance_schema", wordPersist: "persist",
	wordPersistOnly: "persist_only", wordPrepare: "prepare", wordPrevious: "previous",
	wordProcedure: "procedure", wordPurge: "purge", wordRead: "read", wordRecursive: "recursive",
	wordRelease: "release", wordReleaseAllLocks: "release_all_locks", wordReleaseLock: "release_lock",
	wordRename: "rename", wordRepair: "repair", wordRepeatable: "repeatable", wordReplace: "replace",
	wordReset: "reset", wordResignal: "resignal", wordResource: "resource", wordRestart: "restart",
	wordRestrict: "restrict", wordRevoke: "revoke", wordRole: "role", wordRollback: "rollback",
	wordRowCount: "row_count", wordSavepoint: "savepoint", wordSchema: "schema",
	wordSchemas: "schemas", wordSelect: "select", wordSequence: "sequence",
	wordSerializable: "serializable", wordSession: "session", wordSessionUser: "session_user",
	wordSet: "set", wordSetval: "setval", wordShare: "share", wordShow: "show",
	wordShutdown: "shutdown", wordSignal: "signal", wordSQLCalcFoundRows: "sql_calc_found_rows",
	wordStart: "start", wordStatement: "statement", wordStatus: "status", wordStop: "stop",
	wordSys: "sys", wordTable: "table", wordTables: "tables", wordTemporary: "temporary", wordTo: "to",
	wordTransaction: "transaction", wordTrigger: "trigger", wordTrue: "true",
	wordTruncate: "truncate", wordUncommitted: "uncommitted", wordUninstall: "uninstall",
	wordUnlock: "unlock", wordUpdate: "update", wordUse: "use", wordUser: "user", wordValue: "value",
	wordValues: "values", wordView: "view", wordWait: "wait", wordWarningCount: "warning_count",
	wordWarnings: "warnings", wordWith: "with", wordWork: "work", wordWrite: "write", wordXA: "xa",
	wordConcat: "concat", wordConcatWS: "concat_ws", wordIfnull: "ifnull", wordNullif: "nullif",
	wordCoalesce: "coalesce",
}

// sqlWord is a word with what is known of it. a has its first eight bytes, b
// its last eight if it is longer than that, both folded by |0x20, which tells
// all bytes of an identifier apart save the case of letters.
type sqlWord struct {
	a, b  uint64
	name  string
	id    wordID
	flags wordFlags
}

const (
	foldBytes   = 0x2020202020202020
	lookupBits  = 12
	longestWord = 40
)

var (
	sqlWords   []sqlWord
	wordLookup [1 << lookupBits]uint16 // index into sqlWords, 0 is free; linear probing
)

func init() {
	at := map[string]int{}
	sqlWords = make([]sqlWord, 1, 1024) // index 0 stands for "none"
	entry := func(name string) *sqlWord {
		i, ok := at[name]
		if !ok {
			i = len(sqlWords)
			at[name] = i
			a, b := foldWord([]byte(name), 0, len(name))
			sqlWords = append(sqlWords, sqlWord{a: a, b: b, name: name})
		}
		return &sqlWords[i]
	}
	for id, name := range wordText {
		if name != "" {
			entry(name).id = wordID(id)
		}
	}
	for _, l := range []struct {
		names string
		flags wordFlags
	}{
		{keywordsBoth, okBoth}, {functionsBoth, okBoth}, {functionsAdjacent, okBoth | okAdjacent},
		{wordsMySQL, okMySQL}, {wordsMariaDB, okMariaDB}, {functionsSession, ofSession}, {verbsWriting, writeVerb}, {keywordsDigest, inUpperCase},
	} {
		for _, name := range strings.Fields(l.names) {
			entry(name).flags |= l.flags
		}
	}
	for i := 1; i < len(sqlWords); i++ {
		w := &sqlWords[i]
		h := hashWord(w.a, w.b, len(w.name))
		for wordLookup[h] != 0 {
			h = (h + 1) % (1 << lookupBits)
		}
		wordLookup[h] = uint16(i)
	}
}

// foldWord is the key of sql[start:end], which has at least one byte.
func foldWord(sql []byte, start, end int) (a, b uint64) {
	n := end - start
	switch {
	case n > 8:
		a = binary.LittleEndian.Uint64(sql[start:]) | foldBytes
		b = binary.LittleEndian.Uint64(sql[end-8:]) | foldBytes
	default:
		for i := end - 1; i >= start; i-- {
			a = a<<8 | uint64(sql[i]|0x20)
		}
	}
	return a, b
}

func hashWord(a, b uint64, n int) uint {
	h := (a ^ bits.RotateLeft64(b, 31) ^ uint64(n)) * 0x9E3779B97F4A7C15
	return uint(h >> (64 - lookupBits))
}

// findWord looks sql[start:end] up, which is made of ASCII identifier bytes.
func findWord(sql []byte, start, end int) (wordID, wordFlags) {
	n := end - start
	if n > longestWord {
		return wordNone, 0
	}
	var a, b uint64
	if n <= 8 && start+8 <= len(sql) { // most words: what foldWord does, in line
		a = (binary.LittleEndian.Uint64(sql[start:]) | foldBytes) & (^uint64(0) >> (64 - 8*uint(n)))
	} else {
		a, b = foldWord(sql, start, end)
	}
	for h := hashWord(a, b, n); ; h = (h + 1) % (1 << lookupBits) {
		i := wordLookup[h]
		if i == 0 {
			return wordNone, 0
		}
		w := &sqlWords[i]
		if w.a == a && w.b == b && len(w.name) == n && (n <= 16 || equalFold(sql[start+8:end-8], w.name[8:n-8])) {
			return w.id, w.flags
		}
	}
}

// equalFold compares identifier bytes without regard to the case of ASCII
// letters.
func equalFold(b []byte, name string) bool {
	if len(b) != len(name) {
		return false
	}
	for i, c := range b {
		if c|0x20 != name[i]|0x20 {
			return false
		}
	}
	return true
}
