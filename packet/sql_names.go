package packet

import (
	"math/bits"
	"strconv"
	"strings"
)

// String is "primary", "replica" or "last".
func (r Route) String() string {
	return nameAt([]string{"primary", "replica", "last"}, int(r), "route")
}

// String is the reason's name as logs, metric labels and the admin console
// have it.
func (r RouteReason) String() string { return nameAt(reasonNames[:], int(r), "reason") }

var reasonNames = [reasonCount]string{
	ReasonUncertain:          "uncertain",
	ReasonRead:               "read",
	ReasonHint:               "hint",
	ReasonEmpty:              "empty",
	ReasonMultiStatement:     "multi_statement",
	ReasonConditionalComment: "conditional_comment",
	ReasonOptimizerHint:      "optimizer_hint",
	ReasonCharset:            "charset",
	ReasonWrite:              "write",
	ReasonCTEWrite:           "cte_write",
	ReasonDDL:                "ddl",
	ReasonTransaction:        "transaction",
	ReasonSet:                "set",
	ReasonUse:                "use",
	ReasonCall:               "call",
	ReasonPrepare:            "prepare",
	ReasonHandler:            "handler",
	ReasonLock:               "lock",
	ReasonKill:               "kill",
	ReasonMaintenance:        "maintenance",
	ReasonDiagnostics:        "diagnostics",
	ReasonLockClause:         "lock_clause",
	ReasonInto:               "into",
	ReasonCalcFoundRows:      "calc_found_rows",
	ReasonUserVariable:       "user_variable",
	ReasonSystemVariable:     "system_variable",
	ReasonSystemSchema:       "system_schema",
	ReasonFunction:           "function",
	ReasonUnknownFunction:    "unknown_function",
	ReasonSequence:           "sequence",
	ReasonShow:               "show",
	ReasonExplain:            "explain",
	ReasonProcedure:          "procedure",
}

// String is "none", "primary" or "replica".
func (h Hint) String() string { return nameAt([]string{"none", "primary", "replica"}, int(h), "hint") }

// String has the names of all effects, separated by "|"; "" if there are none.
func (e Effects) String() string {
	var b strings.Builder
	for ; e != 0; e &= e - 1 {
		if b.Len() > 0 {
			b.WriteByte('|')
		}
		b.WriteString(nameAt(effectNames[:], bits.TrailingZeros64(uint64(e)), "effect"))
	}
	return b.String()
}

var effectNames = [...]string{
	"write", "set_variables", "set_opaque", "next_transaction", "use", "drop_database", "temporary", "drop_table",
	"rename_table", "lock_tables", "unlock_tables", "named_lock", "release_lock", "user_variable", "prepare",
	"deallocate", "handler_open", "handler_close", "xa_begin", "xa_end", "begin", "end", "unknown", "function",
	"row_state", "calc_found_rows", "last_insert_id", "kill",
}

func nameAt(names []string, i int, kind string) string {
	if i < len(names) {
		return names[i]
	}
	return kind + strconv.Itoa(i)
}
