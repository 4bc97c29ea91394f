package packet

import (
	"encoding/binary"
	"math/bits"
	"strings"
)

// This file has the words that mean something to the classifier, and finds
// them: case-insensitively, without allocation, in a few nanoseconds.

// wordFlags says what a word may be.
type wordFlags uint8

const (
	// okMySQL, okMariaDB: on that server the word may stand before a '(' and is
	// surely no stored or loaded function there: it is a keyword, or a function
	// that is built in (which comes before any other of its name), depends on
	// nothing but its arguments, the data and the replayed state of a session,
	// and has no side effect. NOW, RAND and UUID give other values each time on
	// every server, so they count.
	okMySQL wordFlags = 1 << iota
	okMariaDB
	// okAdjacent: only without space before the '(', otherwise servers without
	// sql_mode IGNORE_SPACE take the word for the name of a stored function.
	okAdjacent
	// ofSession: a built-in function of the session or the server.
	ofSession
	// writeVerb: EXPLAIN of it is not EXPLAIN of a table.
	writeVerb

	okBoth = okMySQL | okMariaDB
)

// Before a '(' on both servers: keywords.
const keywordsBoth = `
	do explain describe desc analyze group for select from join where having when then else case and or xor not on using over as exists any all some in between
	like rlike regexp escape div mod interval partition index key distinct distinctrow union except intersect json_table
	columns by limit offset against of row values value high_priority straight_join sql_no_cache sql_small_result
	sql_big_result sql_buffer_result match convert binary default
	char character varchar nchar varbinary decimal dec numeric fixed float double real datetime int integer bigint
	smallint tinyint mediumint bit signed unsigned text blob tinytext mediumtext longtext enum set`

// Before a '(' on both servers: functions. The later versions of MySQL 9 leave
// md5, sha and sha1 to a component, whose functions are as harmless.
const functionsBoth = `
	abs acos asin atan atan2 bit_count ceil ceiling conv cos cot crc32 degrees exp floor format greatest hex least ln log
	log10 log2 oct pi pow power radians rand round sign sin sqrt tan truncate
	ascii bin bit_length char_length character_length concat concat_ws elt export_set field find_in_set from_base64
	insert instr lcase left length locate lower lpad ltrim make_set octet_length ord quote repeat replace reverse right
	rpad rtrim soundex space strcmp substring_index to_base64 ucase unhex upper weight_string
	regexp_instr regexp_replace regexp_substr extractvalue updatexml
	addtime convert_tz current_date current_time current_timestamp date date_format datediff day dayname dayofmonth
	dayofweek dayofyear from_days from_unixtime get_format hour last_day localtime localtimestamp makedate maketime
	microsecond minute month monthname period_add period_diff quarter sec_to_time second str_to_date subtime time
	time_format time_to_sec timediff timestamp timestampadd timestampdiff to_days to_seconds unix_timestamp utc_date
	utc_time utc_timestamp week weekday weekofyear year yearweek
	if ifnull nullif coalesce isnull avg
	cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number
	aes_decrypt aes_encrypt compress uncompress uncompressed_length md5 sha sha1 sha2 random_bytes
	uuid inet_aton inet_ntoa inet6_aton inet6_ntoa is_ipv4 is_ipv4_compat is_ipv4_mapped is_ipv6
	name_const sleep benchmark charset coercibility collation database schema
	json_array json_array_append json_array_insert json_contains json_contains_path json_depth json_extract json_insert
	json_keys json_length json_merge json_merge_patch json_merge_preserve json_object json_overlaps json_pretty
	json_quote json_remove json_replace json_schema_valid json_search json_set json_type json_unquote json_valid
	json_value
	st_area st_asbinary st_asgeojson st_astext st_aswkb st_aswkt st_buffer st_centroid st_contains st_convexhull
	st_crosses st_difference st_dimension st_disjoint st_distance st_distance_sphere st_endpoint st_envelope st_equals
	st_exteriorring st_geomcollfromtext st_geomcollfromwkb st_geometrycollectionfromtext st_geometrycollectionfromwkb
	st_geometryfromtext st_geometryfromwkb st_geometryn st_geometrytype st_geomfromgeojson st_geomfromtext
	st_geomfromwkb st_interiorringn st_intersection st_intersects st_isclosed st_isempty st_issimple st_length
	st_linefromtext st_linefromwkb st_linestringfromtext st_linestringfromwkb st_numgeometries st_numinteriorrings
	st_numpoints st_overlaps st_pointfromtext st_pointfromwkb st_pointn st_polyfromtext st_polyfromwkb
	st_polygonfromtext st_polygonfromwkb st_srid st_startpoint st_symdifference st_touches st_union st_within st_x st_y
	mbrcontains mbrdisjoint mbrintersects mbroverlaps mbrtouches mbrwithin
	geometrycollection linestring multilinestring multipoint multipolygon point polygon`

// The same, on both servers, but only adjacent to the '('.
const functionsAdjacent = `
	adddate bit_and bit_or bit_xor cast count curdate curtime date_add date_sub extract group_concat json_arrayagg
	json_objectagg max mid min now position std stddev stddev_pop stddev_samp subdate substr substring sum sysdate trim
	var_pop var_samp variance`

// Before a '(' on MySQL only.
const wordsMySQL = `
	lateral rollup cube
	any_value bin_to_uuid uuid_to_bin is_uuid grouping format_bytes format_pico_time regexp_like
	json_schema_validation_report json_storage_free json_storage_size statement_digest statement_digest_text
	gtid_subset gtid_subtract
	st_buffer_strategy st_frechetdistance st_geohash st_geomcollfromtxt st_hausdorffdistance st_isvalid
	st_latfromgeohash st_latitude st_lineinterpolatepoint st_lineinterpolatepoints st_longfromgeohash st_longitude
	st_makeenvelope st_mlinefromtext st_mlinefromwkb st_mpointfromtext st_mpointfromwkb st_mpolyfromtext
	st_mpolyfromwkb st_multilinestringfromtext st_multilinestringfromwkb st_multipointfromtext st_multipointfromwkb
	st_multipolygonfromtext st_multipolygonfromwkb st_numinteriorring st_pointatdistance st_pointfromgeohash
	st_simplify st_swapxy st_transform st_validate
	mbrcoveredby mbrcovers mbrequals geomcollection
	string_to_vector to_vector vector_to_string from_vector vector_dim`

// Before a '(' on MariaDB only.
const wordsMariaDB = `
	sql_cache within percentile_cont percentile_disc median
	add_months chr column_add column_check column_create column_delete column_exists column_get column_json column_list crc32c
	decode encode json_array_intersect json_compact json_detailed json_equals json_exists json_key_value json_loose
	json_normalize json_object_filter_keys json_object_to_array json_query kdf lengthb natural_sort_key nvl nvl2
	old_password password sformat sys_guid to_char uuid_v4 uuid_v7 format_bytes format_pico_time
	vec_distance vec_distance_cosine vec_distance_euclidean vec_fromtext vec_totext
	st_boundary st_isring st_pointonsurface st_relate mbrequal
	area asbinary astext aswkb aswkt centroid contains crosses dimension disjoint endpoint envelope equals exteriorring
	geomcollfromtext geomcollfromwkb geometrycollectionfromtext geometrycollectionfromwkb geometryfromtext
	geometryfromwkb geometryn geometrytype geomfromtext geomfromwkb glength interiorringn intersects isclosed isempty
	issimple linefromtext linefromwkb linestringfromtext linestringfromwkb mlinefromtext mlinefromwkb mpointfromtext
	mpointfromwkb mpolyfromtext mpolyfromwkb multilinestringfromtext multilinestringfromwkb multipointfromtext
	multipointfromwkb multipolygonfromtext multipolygonfromwkb numgeometries numinteriorrings numpoints overlaps
	pointfromtext pointfromwkb pointn polyfromtext polyfromwkb polygonfromtext polygonfromwkb srid startpoint touches
	st_mlinefromtext st_mlinefromwkb st_mpointfromtext st_mpointfromwkb st_mpolyfromtext st_mpolyfromwkb
	st_multilinestringfromtext st_multilinestringfromwkb st_multipointfromtext st_multipointfromwkb
	st_multipolygonfromtext st_multipolygonfromwkb`

// Functions of the session or the server. Those that are not built in on one of
// the servers are here for the sake of the reason.
const functionsSession = `
	get_lock release_lock release_all_locks is_free_lock is_used_lock last_insert_id found_rows row_count connection_id
	user current_user session_user system_user current_role version uuid_short load_file master_pos_wait
	source_pos_wait master_gtid_wait wait_for_executed_gtid_set wait_until_sql_thread_after_gtids binlog_gtid_pos
	wsrep_last_seen_gtid wsrep_last_written_gtid wsrep_sync_wait_upto_gtid nextval lastval setval currval
	roles_graphml ps_current_thread_id ps_thread_id icu_version validate_password_strength encrypt
	des_encrypt des_decrypt`

const verbsWriting = `insert replace update delete load call do set alter create drop truncate analyze execute prepare`

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
		{wordsMySQL, okMySQL}, {wordsMariaDB, okMariaDB}, {functionsSession, ofSession}, {verbsWriting, writeVerb},
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
