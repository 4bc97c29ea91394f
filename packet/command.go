package packet

import "strconv"

// Command is the first byte of a client's payload in the command phase.
type Command byte

// The commands of MySQL and MariaDB, by their names in the protocol's
// documentation (COM_QUERY is ComQuery).
const (
	ComSleep            Command = 0x00
	ComQuit             Command = 0x01
	ComInitDB           Command = 0x02
	ComQuery            Command = 0x03
	ComFieldList        Command = 0x04
	ComCreateDB         Command = 0x05
	ComDropDB           Command = 0x06
	ComRefresh          Command = 0x07
	ComShutdown         Command = 0x08
	ComStatistics       Command = 0x09
	ComProcessInfo      Command = 0x0a
	ComConnect          Command = 0x0b
	ComProcessKill      Command = 0x0c
	ComDebug            Command = 0x0d
	ComPing             Command = 0x0e
	ComTime             Command = 0x0f
	ComDelayedInsert    Command = 0x10
	ComChangeUser       Command = 0x11
	ComBinlogDump       Command = 0x12
	ComTableDump        Command = 0x13
	ComConnectOut       Command = 0x14
	ComRegisterSlave    Command = 0x15
	ComStmtPrepare      Command = 0x16
	ComStmtExecute      Command = 0x17
	ComStmtSendLongData Command = 0x18
	ComStmtClose        Command = 0x19
	ComStmtReset        Command = 0x1a
	ComSetOption        Command = 0x1b
	ComStmtFetch        Command = 0x1c
	ComDaemon           Command = 0x1d
	ComBinlogDumpGTID   Command = 0x1e
	ComResetConnection  Command = 0x1f
	ComClone            Command = 0x20
	ComSubscribe        Command = 0x21 // group replication's stream
	ComStmtBulkExecute  Command = 0xfa // MariaDB
)

// commands says of each command what it is called and what responds to it.
// A command that is not here is answered by one packet, an ERR.
var commands = [256]struct {
	name string
	resp shape
}{
	ComSleep:            {"COM_SLEEP", shapeOne},
	ComQuit:             {"COM_QUIT", shapeNone},
	ComInitDB:           {"COM_INIT_DB", shapeOne},
	ComQuery:            {"COM_QUERY", shapeResults},
	ComFieldList:        {"COM_FIELD_LIST", shapeFields},
	ComCreateDB:         {"COM_CREATE_DB", shapeOne},
	ComDropDB:           {"COM_DROP_DB", shapeOne},
	ComRefresh:          {"COM_REFRESH", shapeOne},
	ComShutdown:         {"COM_SHUTDOWN", shapeOne},
	ComStatistics:       {"COM_STATISTICS", shapeText},
	ComProcessInfo:      {"COM_PROCESS_INFO", shapeResults},
	ComConnect:          {"COM_CONNECT", shapeOne},
	ComProcessKill:      {"COM_PROCESS_KILL", shapeOne},
	ComDebug:            {"COM_DEBUG", shapeOne},
	ComPing:             {"COM_PING", shapeOne},
	ComTime:             {"COM_TIME", shapeOne},
	ComDelayedInsert:    {"COM_DELAYED_INSERT", shapeOne},
	ComChangeUser:       {"COM_CHANGE_USER", shapeAuth},
	ComBinlogDump:       {"COM_BINLOG_DUMP", shapeStream},
	ComTableDump:        {"COM_TABLE_DUMP", shapeStream},
	ComConnectOut:       {"COM_CONNECT_OUT", shapeOne},
	ComRegisterSlave:    {"COM_REGISTER_SLAVE", shapeOne},
	ComStmtPrepare:      {"COM_STMT_PREPARE", shapePrepare},
	ComStmtExecute:      {"COM_STMT_EXECUTE", shapeResults},
	ComStmtSendLongData: {"COM_STMT_SEND_LONG_DATA", shapeNone},
	ComStmtClose:        {"COM_STMT_CLOSE", shapeNone},
	ComStmtReset:        {"COM_STMT_RESET", shapeOne},
	ComSetOption:        {"COM_SET_OPTION", shapeOne},
	ComStmtFetch:        {"COM_STMT_FETCH", shapeFetch},
	ComDaemon:           {"COM_DAEMON", shapeOne},
	ComBinlogDumpGTID:   {"COM_BINLOG_DUMP_GTID", shapeStream},
	ComResetConnection:  {"COM_RESET_CONNECTION", shapeOne},
	ComClone:            {"COM_CLONE", shapeTunnel},
	ComSubscribe:        {"COM_SUBSCRIBE_GROUP_REPLICATION_STREAM", shapeTunnel},
	ComStmtBulkExecute:  {"COM_STMT_BULK_EXECUTE", shapeResults},
}

// String is the command's name in the protocol's documentation.
func (c Command) String() string {
	if n := commands[c].name; n != "" {
		return n
	}
	return "COM_0x" + strconv.FormatUint(uint64(c), 16)
}

// HasResponse tells whether a server answers the command at all.
func (c Command) HasResponse() bool { return commands[c].resp != shapeNone }

// Streams tells whether the command gives the connection up to a stream that
// both sides may write to at any time and that ends with the connection.
func (c Command) Streams() bool {
	s := commands[c].resp
	return s == shapeStream || s == shapeTunnel
}

// Request is what the forward path has to know of a command: what it is and
// what shapes its response.
type Request struct {
	Command Command
	// Cursor is set for a COM_STMT_EXECUTE that asks for a cursor: then the
	// response may end behind the column definitions.
	Cursor bool
}

// Expect reads a request off the first bytes of its payload. b begins with the
// payload, which is n bytes long, and may end before it or after it. ok is
// false if b is too short; the caller then waits for more.
func Expect(b []byte, n int) (q Request, ok bool) {
	if n == 0 {
		return Request{Command: ComSleep}, true // no command: servers answer with an ERR
	}
	if len(b) == 0 {
		return q, false
	}
	q.Command = Command(b[0])
	if q.Command == ComStmtExecute && n > 5 { // 1 command, 4 statement id, 1 flags
		if len(b) <= 5 {
			return q, false
		}
		q.Cursor = b[5]&7 != 0
	}
	return q, true
}
