package engine

import "mysqlproxy/packet"

// RouteReason is why a command went where it went. Its String is the word of the
// log, and the label of the metric. What a statement's text says has the
// numbers of packet.RouteReason; the rest is what its session says.
type RouteReason uint8

// RouteRead is a read as good at a replica as at the primary.
const RouteRead = RouteReason(packet.ReasonRead)

// What a session or the state of the replicas says.
const (
	RouteCommand         RouteReason = 128 + iota // no statement: a command of the protocol
	RouteTooLong                                  // longer than what is looked at
	RouteLastStatement                            // about the statement before
	RouteHint                                     // a comment says so
	RouteInTransaction                            // the session is in a transaction
	RouteAutocommitOff                            // autocommit is off
	RouteTemporaryTable                           // the session has temporary tables
	RouteTableLock                                // it has locked tables
	RouteNamedLock                                // it has named locks
	RouteSessionVariable                          // it has set variables that cannot be set elsewhere
	RouteNextTransaction                          // it has SET TRANSACTION for this statement
	RouteXA                                       // it is in an XA transaction
	RouteCalled                                   // a procedure or the like may have changed its state
	RouteUntracked                                // it has written, and no GTID says when a replica has that
	RouteTracking                                 // the client has session tracking set otherwise
	RoutePipelined                                // what came before it has no response yet
	RouteStatement                                // a prepared statement whose state is at the primary, or which would mean something else at a replica
	RouteNoIdentity                               // the proxy cannot log in as the client
	RouteNoReplica                                // no replica can be had
	RouteWarnings                                 // what was before it has left warnings
	RouteBehind                                   // the replica lacks the session's own writes
	RouteReplicaError                             // the replica answered with an ERR; the primary is asked
	RouteReplicaLost                              // the replica's session ended over it
	RouteFull                                     // replicas have as many sessions as they may
	RouteLagging                                  // no replica is near enough to the primary, or replicates at all
	RoutePrimaryLost                              // the primary's session ended over it; another one is asked
	routeReasons                                  // where they end
)

var routeReasonNames = [...]string{
	"command", "too_long", "last_statement", "hint", "in_transaction", "autocommit_off", "temporary_table", "table_lock", "named_lock",
	"session_variable", "next_transaction", "xa", "called", "untracked", "tracking", "pipelined", "statement", "no_identity", "no_replica", "warnings", "behind",
	"replica_error", "replica_lost", "pool_full", "lagging", "primary_lost",
}

// String is the reason's name.
func (r RouteReason) String() string {
	if r >= RouteCommand {
		return routeReasonNames[r-RouteCommand]
	}
	return packet.RouteReason(r).String()
}
