// Package wire is what the null server and the load generator agree upon: the
// exact bytes of the canned answers, the rows of a bulk result, and a small
// epoll loop to move them with.
//
// It is kept apart from mysqlproxy/packet on purpose: the benchmark must not
// take its idea of a correct answer from the program that it measures.
package wire

// Capability flags that change the bytes on the wire.
const (
	CapLongPassword     = 1 << 0 // clear: MariaDB's extended flags follow
	CapConnectWithDB    = 1 << 3
	CapCompress         = 1 << 5
	CapLocalFiles       = 1 << 7
	CapProtocol41       = 1 << 9
	CapSSL              = 1 << 11
	CapTransactions     = 1 << 13
	CapSecureConnection = 1 << 15
	CapMultiResults     = 1 << 17
	CapPSMultiResults   = 1 << 18
	CapPluginAuth       = 1 << 19
	CapPluginAuthLenenc = 1 << 21
	CapSessionTrack     = 1 << 23
	CapDeprecateEOF     = 1 << 24
	CapZstd             = 1 << 26
)

// ServerCaps is what a MariaDB 10.11 offers, less what the null server does not
// do: TLS, compression and LOAD DATA LOCAL.
const ServerCaps = 0x81FFFFFE &^ (CapSSL | CapCompress | CapLocalFiles)

// Commands, the first byte of a request's payload.
const (
	ComQuit            = 0x01
	ComInitDB          = 0x02
	ComQuery           = 0x03
	ComStatistics      = 0x09
	ComPing            = 0x0e
	ComChangeUser      = 0x11
	ComStmtPrepare     = 0x16
	ComStmtExecute     = 0x17
	ComStmtSendLong    = 0x18
	ComStmtClose       = 0x19
	ComStmtReset       = 0x1a
	ComSetOption       = 0x1b
	ComResetConnection = 0x1f
)

// Status flags of OK and EOF.
const (
	StatusInTrans    = 0x0001
	StatusAutocommit = 0x0002
	StatusChanged    = 0x4000 // the OK tells of the session's state
)

// NativePassword is the only authentication plugin spoken here.
const NativePassword = "mysql_native_password"

// HeaderLen is the length of a packet's header in bytes.
const HeaderLen = 4

// PayloadLen is the payload length in bytes that the header at the start of b
// announces. b holds at least HeaderLen bytes.
func PayloadLen(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// AppendHeader appends a packet header for a payload of n bytes, n < 1<<24 - 1.
func AppendHeader(dst []byte, n int, seq byte) []byte {
	return append(dst, byte(n), byte(n>>8), byte(n>>16), seq)
}

// AppendPacket appends header and payload. The payload is shorter than 1<<24 - 1.
func AppendPacket(dst []byte, seq byte, payload []byte) []byte {
	return append(AppendHeader(dst, len(payload), seq), payload...)
}

// AppendLenEnc appends v as a length-encoded integer, v < 1<<24.
func AppendLenEnc(dst []byte, v int) []byte {
	switch {
	case v < 251:
		return append(dst, byte(v))
	case v < 1<<16:
		return append(dst, 0xfc, byte(v), byte(v>>8))
	default:
		return append(dst, 0xfd, byte(v), byte(v>>8), byte(v>>16))
	}
}

func appendLenEncString(dst []byte, s string) []byte {
	return append(AppendLenEnc(dst, len(s)), s...)
}

// AppendOK appends a whole OK packet.
func AppendOK(dst []byte, seq byte, status uint16) []byte {
	return append(AppendHeader(dst, 7, seq), 0, 0, 0, byte(status), byte(status>>8), 0, 0)
}

// LastGTID is the system variable by which MariaDB tells of a write.
const LastGTID = "last_gtid"

// AppendWriteOK is AppendOK with the write's GTID, as MariaDB tells those that
// have agreed on CapSessionTrack and track LastGTID.
func AppendWriteOK(dst []byte, seq byte, status uint16, gtid string) []byte {
	at := len(dst)
	status |= StatusChanged
	dst = append(AppendHeader(dst, 0, seq), 0, 0, 0, byte(status), byte(status>>8), 0, 0)
	dst = append(dst, 0) // no text
	size := 1 + len(LastGTID) + 1 + len(gtid)
	dst = append(dst, byte(2+size), 0, byte(size)) // of everything; a system variable
	dst = appendLenEncString(appendLenEncString(dst, LastGTID), gtid)
	patchLen(dst, at)
	return dst
}

// AppendErr appends a whole ERR packet. state is the five bytes of the SQLSTATE.
func AppendErr(dst []byte, seq byte, code uint16, state, text string) []byte {
	dst = AppendHeader(dst, 9+len(text), seq)
	dst = append(dst, 0xff, byte(code), byte(code>>8), '#')
	dst = append(dst, state...)
	return append(dst, text...)
}

// AppendEOF appends the packet that ends a list of definitions or rows: an EOF,
// or an OK with the header 0xFE where both sides have agreed on DEPRECATE_EOF.
func AppendEOF(dst []byte, seq byte, caps uint32, status uint16) []byte {
	if caps&CapDeprecateEOF != 0 {
		return append(AppendHeader(dst, 7, seq), 0xfe, 0, 0, byte(status), byte(status>>8), 0, 0)
	}
	return append(AppendHeader(dst, 5, seq), 0xfe, 0, 0, byte(status), byte(status>>8))
}

// appendColumn appends a column definition of a CHAR column.
func appendColumn(dst []byte, seq byte, table, name string) []byte {
	at := len(dst)
	dst = AppendHeader(dst, 0, seq)
	schema := ""
	if table != "" {
		schema = "sbtest"
	}
	for _, s := range []string{"def", schema, table, table, name, name} {
		dst = appendLenEncString(dst, s)
	}
	dst = append(dst, 0x0c, 45, 0, 0xe0, 0x01, 0, 0, 0xfe, 0x01, 0, 0, 0, 0)
	dst[at] = byte(len(dst) - at - HeaderLen)
	return dst
}

// AppendResultHead appends what stands in front of the rows of a one-column
// result: count, definition and, without DEPRECATE_EOF, an EOF. next is the
// sequence id of the first row.
func AppendResultHead(dst []byte, seq byte, caps uint32, status uint16) (out []byte, next byte) {
	dst = append(AppendHeader(dst, 1, seq), 1)
	dst = appendColumn(dst, seq+1, "sbtest1", "c")
	if caps&CapDeprecateEOF != 0 {
		return dst, seq + 2
	}
	return AppendEOF(dst, seq+2, caps, status), seq + 3
}

// AppendTextResult appends the whole answer to a query: one row with one column.
func AppendTextResult(dst []byte, seq byte, caps uint32, status uint16, value string) []byte {
	dst, seq = AppendResultHead(dst, seq, caps, status)
	at := len(dst)
	dst = appendLenEncString(AppendHeader(dst, 0, seq), value)
	patchLen(dst, at)
	return AppendEOF(dst, seq+1, caps, status)
}

// AppendTable appends the whole answer to a query, with these columns and rows.
func AppendTable(dst []byte, seq byte, caps uint32, status uint16, columns []string, rows ...[]string) []byte {
	dst = append(AppendHeader(dst, 1, seq), byte(len(columns)))
	for _, name := range columns {
		seq++
		dst = appendColumn(dst, seq, "", name)
	}
	if caps&CapDeprecateEOF == 0 {
		seq++
		dst = AppendEOF(dst, seq, caps, status)
	}
	for _, r := range rows {
		seq++
		at := len(dst)
		dst = AppendHeader(dst, 0, seq)
		for _, v := range r {
			dst = appendLenEncString(dst, v)
		}
		patchLen(dst, at)
	}
	return AppendEOF(dst, seq+1, caps, status)
}

// AppendBinaryResult is AppendTextResult for COM_STMT_EXECUTE.
func AppendBinaryResult(dst []byte, seq byte, caps uint32, status uint16, value string) []byte {
	dst, seq = AppendResultHead(dst, seq, caps, status)
	at := len(dst)
	dst = append(AppendHeader(dst, 0, seq), 0, 0) // row header, null bitmap
	dst = appendLenEncString(dst, value)
	patchLen(dst, at)
	return AppendEOF(dst, seq+1, caps, status)
}

// AppendPrepareOK appends the whole answer to COM_STMT_PREPARE: one column and
// the given number of parameters.
func AppendPrepareOK(dst []byte, seq byte, caps uint32, status uint16, id uint32, params int) []byte {
	dst = AppendHeader(dst, 12, seq)
	dst = append(dst, 0, byte(id), byte(id>>8), byte(id>>16), byte(id>>24), 1, 0, byte(params), byte(params>>8), 0, 0, 0)
	for range params {
		seq++
		dst = appendColumn(dst, seq, "", "?")
	}
	if params > 0 && caps&CapDeprecateEOF == 0 {
		seq++
		dst = AppendEOF(dst, seq, caps, status)
	}
	seq++
	dst = appendColumn(dst, seq, "sbtest1", "c")
	if caps&CapDeprecateEOF == 0 {
		dst = AppendEOF(dst, seq+1, caps, status)
	}
	return dst
}

// patchLen writes the payload length of the last packet of dst, whose header is
// at the offset at.
func patchLen(dst []byte, at int) {
	n := len(dst) - at - HeaderLen
	dst[at], dst[at+1], dst[at+2] = byte(n), byte(n>>8), byte(n>>16)
}
