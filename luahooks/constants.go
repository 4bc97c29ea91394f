package luahooks

import (
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"mysqlproxy/packet"
)

// commands are the COM_ names that scripts know, by value.
var commands = [...]string{
	"SLEEP", "QUIT", "INIT_DB", "QUERY", "FIELD_LIST", "CREATE_DB", "DROP_DB", "REFRESH", "SHUTDOWN",
	"STATISTICS", "PROCESS_INFO", "CONNECT", "PROCESS_KILL", "DEBUG", "PING", "TIME", "DELAYED_INSERT",
	"CHANGE_USER", "BINLOG_DUMP", "TABLE_DUMP", "CONNECT_OUT", "REGISTER_SLAVE", "STMT_PREPARE",
	"STMT_EXECUTE", "STMT_SEND_LONG_DATA", "STMT_CLOSE", "STMT_RESET", "SET_OPTION", "STMT_FETCH",
	"DAEMON",
	// not in 0.8.5:
	"BINLOG_DUMP_GTID", "RESET_CONNECTION",
}

var columnTypes = map[string]packet.ColumnType{
	"DECIMAL": packet.TypeDecimal, "TINY": packet.TypeTiny, "SHORT": packet.TypeShort,
	"LONG": packet.TypeLong, "FLOAT": packet.TypeFloat, "DOUBLE": packet.TypeDouble,
	"NULL": packet.TypeNull, "TIMESTAMP": packet.TypeTimestamp, "LONGLONG": packet.TypeLongLong,
	"INT24": packet.TypeInt24, "DATE": packet.TypeDate, "TIME": packet.TypeTime,
	"DATETIME": packet.TypeDatetime, "YEAR": packet.TypeYear, "NEWDATE": packet.TypeNewDate,
	"BIT": packet.TypeBit, "NEWDECIMAL": packet.TypeNewDecimal, "ENUM": packet.TypeEnum,
	"SET": packet.TypeSet, "TINY_BLOB": packet.TypeTinyBlob, "MEDIUM_BLOB": packet.TypeMediumBlob,
	"LONG_BLOB": packet.TypeLongBlob, "BLOB": packet.TypeBlob, "VAR_STRING": packet.TypeVarString,
	"STRING": packet.TypeString, "GEOMETRY": packet.TypeGeometry,
}

// What hooks return.
const (
	sendQuery    = 1
	sendResult   = 2
	ignoreResult = 4
)

// Types of proxy.response.
const (
	packetOK  = 0
	packetRaw = 250
	packetERR = 255
)

// stateDown is a backend's state.
const stateDown = 2

// Types of a backend.
const (
	typeRW = 1
	typeRO = 2
)

func (v *vm) defineConstants() {
	set := func(name string, n int) { v.proxy.RawSetString(name, lua.LNumber(n)) }
	version, err := versionNumber(v.opts.Version)
	if err != nil {
		panic(fmt.Sprint("New has let a bad version in: ", err))
	}
	set("PROXY_VERSION", version)
	set("PROXY_SEND_QUERY", sendQuery)
	set("PROXY_SEND_RESULT", sendResult)
	set("PROXY_IGNORE_RESULT", ignoreResult)
	set("MYSQLD_PACKET_OK", packetOK)
	set("MYSQLD_PACKET_RAW", packetRaw)
	set("MYSQLD_PACKET_ERR", packetERR)
	set("MYSQLD_PACKET_EOF", 254) // not in 0.8.5, though its scripts compare with it
	set("BACKEND_STATE_UNKNOWN", 0)
	set("BACKEND_STATE_UP", 1)
	set("BACKEND_STATE_DOWN", stateDown)
	set("BACKEND_TYPE_UNKNOWN", 0)
	set("BACKEND_TYPE_RW", typeRW)
	set("BACKEND_TYPE_RO", typeRO)
	for value, name := range commands {
		set("COM_"+name, value)
	}
	for name, value := range columnTypes {
		set("MYSQL_TYPE_"+name, int(value))
	}
}
