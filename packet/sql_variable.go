package packet

import "strings"

type variableClass uint8

const (
	variableReplayed  variableClass = iota // to be set on other servers too
	variableForWrites                      // without meaning to reads
	variableOpaque                         // to be set on one server only
	variableIsolation                      // replayed, but SET @@name holds for one transaction
	variableOffOnly                        // replayed if it is switched off, else opaque
)

// variableKind says what setting a variable for the session means to reads on
// other servers.
func variableKind(name []byte) variableClass {
	var buf [64]byte
	if len(name) > len(buf) {
		return variableOpaque
	}
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		buf[i] = c
	}
	lower := buf[:len(name)]
	switch string(lower) {
	case "transaction_isolation", "tx_isolation", "transaction_read_only", "tx_read_only":
		return variableIsolation
	case "sql_auto_is_null": // WHERE id IS NULL finds the row inserted last
		return variableOffOnly
	case "autocommit", "completion_type",
		"foreign_key_checks", "unique_checks", "check_constraint_checks", "sql_safe_updates",
		"insert_id", "last_insert_id", "identity", "auto_increment_increment", "auto_increment_offset",
		"innodb_lock_wait_timeout", "lock_wait_timeout", "low_priority_updates", "sql_low_priority_updates",
		"binlog_format", "binlog_row_image", "binlog_row_value_options", "binlog_rows_query_log_events",
		"binlog_annotate_row_events", "binlog_direct_non_transactional_updates", "binlog_alter_two_phase",
		"gtid_domain_id", "default_storage_engine", "storage_engine", "default_tmp_storage_engine",
		"enforce_storage_engine", "innodb_strict_mode", "innodb_compression_default", "innodb_tmpdir",
		"innodb_ddl_buffer_size", "innodb_ddl_threads", "innodb_parallel_read_threads", "bulk_insert_buffer_size",
		"sql_require_primary_key", "sql_generate_invisible_primary_key", "explicit_defaults_for_timestamp",
		"updatable_views_with_limit", "sql_log_off", "alter_algorithm", "skip_parallel_replication",
		"wait_timeout", "interactive_timeout", "idle_transaction_timeout", "idle_write_transaction_timeout",
		"idle_readonly_transaction_timeout", "default_table_encryption", "show_create_table_skip_secondary_engine",
		"require_row_format", "transaction_allow_batching", "print_identified_with_as_hex":
		return variableForWrites
	case "sql_log_bin", "timestamp", "server_id", "skip_replication", "profiling", "profiling_history_size",
		"wsrep_on", "wsrep_osu_method", "rbr_exec_mode", "last_gtid", "resultset_metadata", "proxy_user":
		return variableOpaque
	}
	for _, prefix := range [...]string{"gtid_", "pseudo_", "debug", "session_track_", "rand_seed", "original_", "immediate_"} {
		if len(lower) >= len(prefix) && string(lower[:len(prefix)]) == prefix {
			return variableOpaque
		}
	}
	return variableReplayed
}

// assignments gathers what SessionAssignments returns.
type assignments struct {
	list []Assignment
	all  bool // those too that only matter to writes
	lost bool // one of these cannot be repeated
}

func (a *assignments) add(one Assignment) { a.list = append(a.list, one) }

func (a *assignments) variable(name string, v *value, writes bool) {
	key := strings.ToLower(name)
	switch key {
	case "tx_isolation", "tx_read_only":
		key = "transaction_" + key[len("tx_"):]
	}
	one := Assignment{Key: key, Text: "SET SESSION " + name + "=" + v.text.String(), Relative: v.relative, Writes: writes}
	if v.single {
		one.Value = v.literal
	}
	a.add(one)
}

// forWrites is variable for one that only matters to writes.
func (a *assignments) forWrites(name string, v *value) {
	switch strings.ToLower(name) {
	case "autocommit", "last_insert_id", "identity":
	case "insert_id": // for the next INSERT only
		a.lost = true
	default:
		if !v.ok {
			a.lost = true
			return
		}
		a.variable(name, v, true)
	}
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
	// Writes: the variable only matters to writes.
	Writes bool
}

// AllAssignments returns all that a SET statement sets for its session, save
// autocommit, of which the servers' status flags tell, and the insert id. Else it is
// SessionAssignments.
func AllAssignments(sql []byte, lex Lex) (list []Assignment, ok bool) {
	var s scanner
	s.init(sql, lex)
	s.collect = &assignments{all: true}
	s.statement()
	effects := Classify(sql, lex).Effects
	return s.collect.list, !s.ambiguous && !s.collect.lost && effects&(EffectSetOpaque|EffectUnknown) == 0
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
	var s scanner
	s.init(sql, lex)
	s.collect = &assignments{}
	s.statement()
	effects := Classify(sql, lex).Effects
	return s.collect.list, !s.ambiguous && effects&(EffectSetOpaque|EffectUnknown) == 0
}
