// Package hook is the treaty between the data plane and a script engine: types
// only. The engine calls a Script on the event loop of its client session, and
// the script looks at and steers the session through Session. Neither side
// knows the other's package.
//
// The script engine holds a lock for the length of each call: hooks never run at
// the same time, unless each loop has a state of its own. So nothing that a
// script calls through Session or Global may call a hook. What a call borrows it
// may keep only if the comment says so.
package hook

import (
	"net/netip"
	"time"

	"mysqlproxy/packet"
)

// Set is a set of hooks.
type Set uint8

// The hooks of MySQL Proxy, in the order of a session's life.
const (
	ConnectServer Set = 1 << iota
	ReadHandshake
	ReadAuth
	ReadAuthResult
	ReadQuery
	ReadQueryResult
	DisconnectClient
)

// Scripts makes scripts for client sessions.
type Scripts interface {
	// Open is called once for each client connection, on its loop, before any
	// hook. The script that is on disk now is the one that the session keeps.
	Open(s Session) Script
}

// Script is the script of one client session. Its methods are called on the
// session's loop, one at a time, and only if Hooks has them.
type Script interface {
	// Hooks are those that the script defines; a hook may define others, so ask
	// again after each call. A script that could not be loaded has ConnectServer
	// and ReadQuery, which tell the client so.
	Hooks() Set
	ConnectServer() Verdict
	ReadHandshake() Verdict
	ReadAuth() Verdict
	// ReadAuthResult is told of each payload of the server's in the login
	// dialogue, which is borrowed.
	ReadAuthResult(payload []byte) Verdict
	// ReadQuery is told of a command's whole payload, which is borrowed.
	ReadQuery(payload []byte) Verdict
	// ReadQueryResult is told of the response to a query of the queue.
	ReadQueryResult(in *Injection) Verdict
	// DisconnectClient is the last call. It tells whether the hook raised an error.
	DisconnectClient() (failed bool)
}

// Action is what a hook decides.
type Action uint8

const (
	// Default: no decision, the engine goes on as if there were no hook.
	Default Action = iota
	// SendQuery: what is in the session's Queue goes to the server.
	SendQuery
	// SendResult: Verdict.Response goes to the client instead of what the
	// server sent or would have sent.
	SendResult
	// IgnoreResult: drop the server's response; in ConnectServer and
	// ReadAuthResult: use the pooled server session that was attached.
	IgnoreResult
)

// Verdict is a hook's decision. With SendResult, Response has the payloads of
// the packets to send, which the engine may keep; it is not empty unless the
// script asked for no packet at all. A response that the script described
// wrongly arrives here as the ERR that says so.
type Verdict struct {
	Action Action
	// Failed: the hook raised an error, or ReadQuery returned a number that means
	// nothing. It is in the log, and Action is Default; or the script could not be
	// loaded, and Response says so to the client.
	Failed bool
	// Free, of ReadQueryResult: nobody refers to the injection or to its packets any
	// more. The engine may use their memory again.
	Free     bool
	Response [][]byte
}

// Session is a client session as its script sees it. It belongs to its loop.
type Session interface {
	// Loop is the number of the event loop that the session lives on, from 0.
	Loop() int
	// Queue has the queries that wait to be sent to the server. The engine
	// empties it before each ReadQuery and takes from its head.
	Queue() *Queue
	// Backend is the index of the session's backend, from 1 as scripts count;
	// 0 is none.
	Backend() int
	// SetBackend is the assignment of proxy.connection.backend_ndx: 0 gives the
	// server session to its pool, n attaches an idle session of backend n if
	// there is one. Otherwise the engine opens one when the next command needs it,
	// where it can log in as the client's user: then it is as if it were attached,
	// but for what only the server will tell, which is zero. Else n is only
	// remembered.
	SetBackend(n int)
	// Client is what is known of the client's half. It is never nil.
	Client() *Endpoint
	// Server is what is known of the server's half, nil if none is attached.
	Server() *Endpoint
	// CloseAfterResult has the session end behind the result that is being
	// sent (proxy.connection.connection_close).
	CloseAfterResult(yes bool)
}

// Endpoint is one half of a session. The strings and slices may be kept.
type Endpoint struct {
	Src, Dst Addr

	// Of the greeting: what the client was shown, or what the server sent.
	Greeted   bool
	Version   uint32 // 5.1.44 is 50144
	ThreadID  uint32
	Challenge []byte // 20 bytes; 21 with the NUL behind it where CapPluginAuth is on offer

	// Of the login packet.
	LoggedIn     bool
	Username     string
	AuthResponse []byte
	AuthPlugin   string // of the login packet, of the greeting before that

	DefaultDB string // as far as the protocol shows it
}

// Addr is an address of a socket. The zero Addr is that of a unix socket's
// client, which has none.
type Addr struct {
	IP   netip.AddrPort
	Path string // of a unix socket
}

// Global is what all sessions share.
type Global interface {
	// Backends are the configured ones: read/write first, then read-only.
	Backends() []Backend
}

// Backend is a configured server. Any goroutine may use it.
type Backend interface {
	Address() Addr
	ReadOnly() bool
	// State is 0 unknown, 1 up, 2 down.
	State() int
	SetState(state int)
	UUID() string
	SetUUID(uuid string)
	// Clients is the number of client sessions that have one with it attached.
	Clients() int
	// The pool's numbers for scripts, 0 at first.
	MinIdle() int
	SetMinIdle(n int)
	MaxIdle() int
	SetMaxIdle(n int)
	// Idle is the number of idle sessions that a session on loop could attach
	// for user; 1 if there is none but one could be opened. Without a user name, which is so before the login, it is that
	// of any one user with more than MinIdle of them, else 0.
	Idle(loop int, user string) int
	// Lends tells whether Idle is above 0.
	Lends(loop int, user string) bool
}

// Injection is a query that a script has queued, and what became of it.
type Injection struct {
	ID    int
	Query string // the command's payload
	// ResultNeeded has the response collected and not sent to the client until
	// ReadQueryResult has decided.
	ResultNeeded bool

	Queued      time.Time
	First, Last time.Time // of the response's packets

	Result Result
}

// Result is the response to an injected query.
type Result struct {
	// Packets is the whole response as it came, headers included; nil if it
	// was not collected. It is the script's to keep.
	Packets []byte
	// Command is that of the query: the rows of a COM_STMT_EXECUTE are binary.
	Command      packet.Command
	Capabilities packet.Capability // in force when it was sent

	OK           bool // it ended in an OK and not in rows: the next two are set
	AffectedRows uint64
	InsertID     uint64
	Failed       bool // it ended in an ERR
	Upload       bool // it asks for a file (LOAD DATA LOCAL)
	Rows         uint64
	RowBytes     uint64 // headers included
	Warnings     uint16
	Status       uint16
}

// Injections is injections that are over, whose memory can be used again. It belongs
// to an event loop.
type Injections struct{ list []*Injection }

// mostSpare is how many are kept.
const mostSpare = 16

// Put takes in, which nobody refers to any more.
func (i *Injections) Put(in *Injection) {
	if len(i.list) < mostSpare {
		*in = Injection{}
		i.list = append(i.list, in)
	}
}

// Queue is the queries of a session that wait to be sent.
type Queue struct {
	list  []*Injection
	Spare *Injections // nil: none
}

// New is an empty injection, which is not in the queue yet.
func (q *Queue) New() *Injection {
	if q.Spare == nil || len(q.Spare.list) == 0 {
		return new(Injection)
	}
	n := len(q.Spare.list) - 1
	in := q.Spare.list[n]
	q.Spare.list[n], q.Spare.list = nil, q.Spare.list[:n]
	return in
}

// Len is their number.
func (q *Queue) Len() int { return len(q.list) }

// Append puts in at the end.
func (q *Queue) Append(in *Injection) { q.list = append(q.list, in) }

// Prepend puts in at the head.
func (q *Queue) Prepend(in *Injection) {
	q.list = append(q.list, nil)
	copy(q.list[1:], q.list)
	q.list[0] = in
}

// Reset empties the queue.
func (q *Queue) Reset() {
	clear(q.list)
	q.list = q.list[:0]
}

// Pop takes the head off; nil if there is none.
func (q *Queue) Pop() *Injection {
	if len(q.list) == 0 {
		return nil
	}
	in := q.list[0]
	copy(q.list, q.list[1:])
	q.list[len(q.list)-1] = nil
	q.list = q.list[:len(q.list)-1]
	return in
}
