package packet

import (
	"bytes"
	"fmt"
)

// tableRow is a response that the server sends to asked.
type tableRow struct {
	name  string
	asked Request
	say   func(s *stream)
	only  Capability // that must be in force
	never Capability // that must not be
	long  bool       // more than 16 MiB
}

const (
	auto   = StatusAutocommit
	more   = StatusAutocommit | StatusMoreResults
	cursor = StatusAutocommit | StatusCursorExists
	trans  = StatusAutocommit | StatusInTrans
)

var (
	query   = Request{Command: ComQuery}
	execute = Request{Command: ComStmtExecute}
	opening = Request{Command: ComStmtExecute, Cursor: true}
	prepare = Request{Command: ComStmtPrepare}
	fetch   = Request{Command: ComStmtFetch}
	list    = Request{Command: ComFieldList}
	user    = Request{Command: ComChangeUser}
	dump    = Request{Command: ComBinlogDump}
)

// table is every response there is, and what only looks like one.
func table() []tableRow {
	return slicesOf(simpleRows(), resultRows, cursorRows, prepareRows(), otherRows, authRows, streamRows, longRows, malformedRows)
}

func slicesOf(parts ...[]tableRow) (all []tableRow) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// simpleRows are the commands that one packet answers.
func simpleRows() (rows []tableRow) {
	for _, c := range []Command{
		ComInitDB, ComCreateDB, ComDropDB, ComRefresh, ComShutdown, ComDebug, ComProcessKill, ComPing,
		ComRegisterSlave, ComStmtReset, ComSetOption, ComResetConnection,
	} {
		asked := Request{Command: c}
		rows = append(rows,
			tableRow{name: c.String() + ", OK", asked: asked, say: func(s *stream) { s.ok(trans).done(trans) }},
			tableRow{name: c.String() + ", EOF", asked: asked, say: func(s *stream) { s.end(trans).done(trans) }},
			tableRow{name: c.String() + ", more results make no difference", asked: asked,
				say: func(s *stream) { s.end(more).done(more) }},
		)
	}
	for _, c := range []Command{
		ComSleep, ComConnect, ComTime, ComDelayedInsert, ComConnectOut, ComDaemon, ComInitDB, ComDebug, ComStmtReset,
		ComSetOption, ComPing, ComProcessInfo, ComStatistics + 0x20, 0x22, 0x7f, 0xef, 0xfb, 0xfe, 0xff,
	} {
		rows = append(rows, tableRow{name: c.String() + ", ERR", asked: Request{Command: c},
			say: func(s *stream) { s.err(1047).failed(1047, 0) }})
	}
	for _, c := range []Command{ComQuit, ComStmtClose, ComStmtSendLongData} {
		rows = append(rows, tableRow{name: c.String() + " has no response", asked: Request{Command: c},
			say: func(s *stream) { s.bad(0, 0, 0, 2, 0, 0, 0) }})
	}
	return rows
}

var resultRows = []tableRow{
	{name: "query, OK", asked: query, say: func(s *stream) { s.ok(trans).done(trans) }},
	{name: "query, OK of large numbers", asked: query, say: func(s *stream) {
		o := OK{AffectedRows: 1 << 60, LastInsertID: 1 << 40, Status: trans, Info: []byte("Records: 3")}
		s.pay(o.Append(nil, s.caps)).done(trans)
	}},
	{name: "query, OK with session state", asked: query, say: func(s *stream) {
		o := OK{AffectedRows: 300, Status: trans, SessionState: bytes.Repeat([]byte{2, 1, '1'}, 100)}
		s.pay(o.Append(nil, s.caps)).done(trans | StatusSessionState)
	}},
	{name: "query, ERR", asked: query, say: func(s *stream) { s.err(1064).failed(1064, 0) }},
	{name: "query, ERR without an SQLSTATE", asked: query, say: func(s *stream) { s.bytes(0xff, 0x10, 4, 'T').failed(1040, 0) }},
	{name: "query, EOF in place of an OK", asked: query, say: func(s *stream) { s.end(trans).done(trans) }},
	{name: "query, no rows", asked: query, say: func(s *stream) { s.columns(2).end(auto).done(auto) }},
	{name: "query, rows", asked: query, say: func(s *stream) { s.columns(2).row("1", "one").row("2", "two").end(auto).done(auto) }},
	{name: "process info, rows", asked: Request{Command: ComProcessInfo}, say: func(s *stream) { s.columns(1).row("1").end(auto).done(auto) }},
	{name: "bulk execute, OK", asked: Request{Command: ComStmtBulkExecute}, say: func(s *stream) { s.ok(auto).done(auto) }},
	{name: "bulk execute, unit results", asked: Request{Command: ComStmtBulkExecute}, say: func(s *stream) { s.columns(2).bytes(0, 0, 1, 2).end(auto).done(auto) }},
	{name: "execute, binary rows", asked: execute, say: func(s *stream) { s.columns(1).bytes(0, 0, 1, 0, 0, 0).bytes(0, 4).end(auto).done(auto) }},
	{name: "rows that are empty", asked: query, say: func(s *stream) { s.columns(1).bytes().bytes().row("").bytes().end(auto).done(auto) }},
	{name: "rows that start with NULL", asked: query, say: func(s *stream) { s.columns(2).bytes(0xfb, 1, 'x').bytes(0xfb, 0xfb).end(auto).done(auto) }},
	{name: "rows that start with a long value", asked: query, say: func(s *stream) {
		s.columns(1).row(string(make([]byte, 300))).row(string(make([]byte, 70000))).end(auto).done(auto)
	}},
	{name: "a row that starts 0xFE and is no EOF", asked: query, never: CapDeprecateEOF, say: func(s *stream) {
		s.columns(1).bytes(0xfe, 0, 0, 2, 0, 0, 0, 0, 0).bytes(append([]byte{0xfe, 0, 0, 0, 1, 0, 0, 0, 0}, "rest"...)...).end(auto).done(auto)
	}},
	{name: "rows end in an OK with session state", asked: query, only: CapDeprecateEOF, say: func(s *stream) {
		o := OK{Status: trans, SessionState: bytes.Repeat([]byte{2, 1, '1'}, 100)}
		s.columns(1).row("1").pay(o.AppendEnd(nil, s.caps)).done(trans | StatusSessionState)
	}},
	{name: "rows end in an OK of more than a packet's buffer", asked: query, only: CapDeprecateEOF, say: func(s *stream) {
		o := OK{AffectedRows: 1 << 20, LastInsertID: 1 << 30, Status: auto, SessionState: bytes.Repeat([]byte{2, 1, '1'}, 22000)}
		s.columns(1).row("1").pay(o.AppendEnd(nil, s.caps)).done(auto | StatusSessionState)
	}},
	{name: "rows end in an old EOF all the same", asked: query, only: CapDeprecateEOF, say: func(s *stream) {
		s.columns(1).row("1").pay(AppendEOF(nil, 8, auto)).done(auto)
	}},
	{name: "rows end in an EOF of one byte", asked: query, say: func(s *stream) { s.columns(1).row("1").bytes(0xfe).done(0) }},
	{name: "definitions end in an EOF of one byte", asked: query, never: CapDeprecateEOF, say: func(s *stream) {
		s.count(1).defs(1).bytes(0xfe).row("1").bytes(0xfe).done(0)
	}},
	{name: "rows end in an EOF that is longer than it need be", asked: query, say: func(s *stream) {
		s.columns(1).row("1").bytes(0xfe, 0, 0, 10, 0, 0).columns(1).row("2").bytes(0xfe, 0, 0, 2, 0, 0, 0, 0).done(auto)
	}},
	{name: "definitions end in an EOF without flags", asked: opening, never: CapDeprecateEOF, say: func(s *stream) {
		s.count(1).defs(1).bytes(0xfe, 0, 0).row("1").bytes(0xfe, 0, 0, 0).done(0)
	}},
	{name: "ERR in place of the first row", asked: query, say: func(s *stream) { s.columns(1).err(1317).failed(1317, 0) }},
	{name: "ERR in place of a later row", asked: query, say: func(s *stream) { s.columns(1).row("1").row("2").err(1317).failed(1317, 0) }},
	{name: "ERR in place of the first definition", asked: query, say: func(s *stream) { s.count(2).err(1053).failed(1053, 0) }},
	{name: "ERR in place of the last definition", asked: query, say: func(s *stream) { s.count(2).defs(1).err(1053).failed(1053, 0) }},
	{name: "ERR in place of the EOF behind definitions", asked: query, never: CapDeprecateEOF, say: func(s *stream) {
		s.count(2).defs(2).err(1053).failed(1053, 0)
	}},
	{name: "ERR in the second result takes the third with it", asked: query, say: func(s *stream) {
		s.columns(1).row("1").end(more).columns(1).err(1242).failed(1242, more)
	}},
	{name: "250 columns", asked: query, say: func(s *stream) { s.columns(250).end(auto).done(auto) }},
	{name: "251 columns", asked: query, say: func(s *stream) { s.columns(251).bytes(0xfb).end(auto).done(auto) }},
	{name: "4096 columns", asked: query, long: true, say: func(s *stream) { s.columns(4096).row("1").end(auto).done(auto) }},
	{name: "65535 columns", asked: query, long: true, say: func(s *stream) { s.columns(65535).end(auto).done(auto) }},
	{name: "a count in a longer form than it needs", asked: query, only: CapDeprecateEOF, never: CapOptionalMetadata | CapMariaDBCacheMetadata,
		say: func(s *stream) { s.bytes(0xfd, 2, 0, 0).defs(2).end(auto).done(auto) }},
	{name: "a count without the flag that says whether definitions follow", asked: query,
		say: func(s *stream) { s.bytes(2).defs(2).eof(auto).row("1", "2").end(auto).done(auto) }},
	{name: "a byte behind a count that is no flag", asked: query, never: CapOptionalMetadata | CapMariaDBCacheMetadata,
		say: func(s *stream) { s.bytes(2, 0).defs(2).eof(auto).row("1", "2").end(auto).done(auto) }},
	{name: "definitions that the client has, MySQL", asked: query, only: CapOptionalMetadata,
		say: func(s *stream) { s.known(3).eof(auto).row("1", "2", "3").end(auto).done(auto) }},
	{name: "definitions that the client has, MariaDB", asked: execute, only: CapMariaDBCacheMetadata,
		say: func(s *stream) { s.known(3).eof(auto).bytes(0, 0).end(auto).done(auto) }},
	{name: "300 definitions that the client has, no rows", asked: execute, only: CapMariaDBCacheMetadata,
		say: func(s *stream) { s.known(300).eof(auto).end(auto).done(auto) }},
	{name: "several results", asked: query, say: func(s *stream) {
		s.ok(more).columns(1).row("1").end(more).columns(2).end(more).ok(more).end(more).ok(trans).done(trans)
	}},
	{name: "a call: its results, then an OK", asked: query, say: func(s *stream) {
		s.columns(1).row("1").end(more).columns(1).row("2").end(more | StatusNoBackslashEscapes).ok(auto).done(auto)
	}},
	{name: "a prepared call with OUT parameters", asked: execute, say: func(s *stream) {
		s.columns(1).bytes(0, 0).end(more).columns(1).bytes(0, 0).end(more | StatusPSOutParams).ok(auto).done(auto)
	}},
	{name: "OUT parameters behind which MySQL 9.7 says that there is no more", asked: execute, never: CapDeprecateEOF, say: func(s *stream) {
		s.columns(1).bytes(0, 0).end(more).count(1).defs(1).eof(more|StatusPSOutParams).bytes(0, 0).end(auto).ok(auto).done(auto)
	}},
	{name: "LOAD DATA LOCAL", asked: query, say: func(s *stream) { s.bytes(append([]byte{0xfb}, "/tmp/f"...)...).turn(3, 0).ok(auto).done(auto) }},
	{name: "LOAD DATA LOCAL, refused at the end", asked: query, say: func(s *stream) { s.bytes(0xfb, 'f').turn(2, 0).err(1062).failed(1062, 0) }},
	{name: "LOAD DATA LOCAL of no name", asked: query, say: func(s *stream) { s.bytes(0xfb).turn(1, 0).ok(auto).done(auto) }},
	{name: "LOAD DATA LOCAL, early ERR", asked: query, say: func(s *stream) { s.err(1146).failed(1146, 0) }},
	{name: "LOAD DATA LOCAL between other statements", asked: query, say: func(s *stream) {
		s.columns(1).row("1").end(more).bytes(0xfb, 'f').turn(2, more).ok(more).bytes(0xfb, 'g').turn(9, more).ok(more).columns(1).end(auto).done(auto)
	}},
	{name: "progress reports before an OK", asked: query, only: CapMariaDBProgress, say: func(s *stream) { s.progress().progress().ok(auto).done(auto) }},
	{name: "progress reports before an ERR", asked: query, only: CapMariaDBProgress, say: func(s *stream) { s.progress().err(1062).failed(1062, 0) }},
	{name: "progress reports before rows", asked: query, only: CapMariaDBProgress, say: func(s *stream) { s.progress().columns(1).row("1").end(auto).done(auto) }},
	{name: "progress reports among rows", asked: query, only: CapMariaDBProgress, say: func(s *stream) { s.columns(1).row("1").progress().row("2").end(auto).done(auto) }},
	{name: "progress reports between results", asked: query, only: CapMariaDBProgress, say: func(s *stream) { s.ok(more).progress().ok(auto).done(auto) }},
	{name: "progress reports of a LOAD DATA LOCAL", asked: query, only: CapMariaDBProgress, say: func(s *stream) { s.bytes(0xfb, 'f').turn(2, 0).progress().ok(auto).done(auto) }},
	{name: "error 65535 where there are no progress reports", asked: query, never: CapMariaDBProgress, say: func(s *stream) { s.progress().failed(0xffff, 0) }},
	{name: "an ERR without a number", asked: query, say: func(s *stream) { s.bytes(0xff).failed(0, 0) }},
}

var cursorRows = []tableRow{
	{name: "a cursor is opened", asked: opening, say: func(s *stream) { s.count(1).defs(1).end(cursor).done(cursor) }},
	{name: "a cursor is opened, definitions are known", asked: opening, only: CapMariaDBCacheMetadata,
		say: func(s *stream) { s.known(1).end(cursor).done(cursor) }},
	{name: "a cursor was asked for and is not opened", asked: opening,
		say: func(s *stream) { s.count(1).defs(1).eof(auto).bytes(0, 0).end(auto).done(auto) }},
	{name: "a cursor was not asked for", asked: execute,
		say: func(s *stream) { s.count(1).defs(1).eof(cursor).bytes(0, 0).end(cursor).done(cursor) }},
	{name: "only COM_STMT_EXECUTE can open a cursor", asked: Request{Command: ComStmtBulkExecute, Cursor: true}, never: CapDeprecateEOF,
		say: func(s *stream) { s.count(1).defs(1).eof(cursor).bytes(0, 0).end(cursor).done(cursor) }},
	{name: "a call by COM_QUERY inside of which a cursor is open", asked: query,
		say: func(s *stream) {
			s.count(1).defs(1).eof(cursor | more).row("1").end(cursor | more).ok(cursor).done(cursor)
		}},
	{name: "a call with a cursor asked for, inside of which one is open", asked: opening, say: func(s *stream) {
		s.count(1).defs(1).eof(cursor|more).bytes(0, 0).end(cursor | more).ok(cursor | 0x20).done(cursor | 0x20)
	}},
	{name: "a cursor for a statement that has no result", asked: opening, say: func(s *stream) { s.ok(auto).done(auto) }},
	{name: "a cursor for a statement that has no result, MySQL", asked: opening, say: func(s *stream) { s.count(1).defs(1).end(cursor).done(cursor) }},
	{name: "a cursor, ERR", asked: opening, say: func(s *stream) { s.err(1243).failed(1243, 0) }},
	{name: "fetch, rows to come", asked: fetch, say: func(s *stream) { s.bytes(0, 0, 1).bytes(0, 0, 2).end(cursor).done(cursor) }},
	{name: "fetch, the last rows", asked: fetch, say: func(s *stream) { s.bytes(0, 0, 1).end(auto | StatusLastRowSent).done(auto | StatusLastRowSent) }},
	{name: "fetch, no rows", asked: fetch, say: func(s *stream) { s.end(auto | StatusLastRowSent).done(auto | StatusLastRowSent) }},
	{name: "fetch, no cursor", asked: fetch, say: func(s *stream) { s.err(1421).failed(1421, 0) }},
	{name: "fetch, ERR in place of a row", asked: fetch, say: func(s *stream) { s.bytes(0, 0, 1).err(1317).failed(1317, 0) }},
	{name: "fetch, empty row", asked: fetch, say: func(s *stream) { s.bytes().end(cursor).done(cursor) }},
	{name: "fetch, more results make no difference", asked: fetch, say: func(s *stream) { s.end(more).done(more) }},
}

// prepareRows are all that COM_STMT_PREPARE is answered by.
func prepareRows() (rows []tableRow) {
	for _, params := range []int{0, 2, 300} {
		for _, columns := range []int{0, 3} {
			for _, left := range []bool{false, true} { // the definitions are left out
				row := tableRow{
					name:  fmt.Sprintf("prepare, %d parameters, %d columns, definitions left out %v", params, columns, left),
					asked: prepare,
					say: func(s *stream) {
						p := PrepareOK{Statement: 0xffffffff, Columns: uint16(columns), Params: uint16(params), Warnings: 0xffff, NoMetadata: left}
						s.pay(p.Append(nil, s.caps))
						for _, n := range []int{params, columns} {
							if n > 0 && !left {
								s.defs(n)
							}
							if n > 0 {
								s.eof(cursor | more)
							}
						}
						s.done(0)
					},
				}
				if left {
					row.only = CapOptionalMetadata
				}
				rows = append(rows, row)
			}
		}
	}
	return append(rows,
		tableRow{name: "prepare, no flag", asked: prepare, say: func(s *stream) {
			s.bytes(0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0).defs(1).eof(0).done(0)
		}},
		tableRow{name: "prepare, no warnings, which is old", asked: prepare, say: func(s *stream) {
			s.bytes(0, 1, 0, 0, 0, 1, 0, 0, 0).defs(1).eof(0).done(0)
		}},
		tableRow{name: "prepare, a byte more that is no flag", asked: prepare, never: CapOptionalMetadata, say: func(s *stream) {
			s.bytes(0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0).defs(1).eof(0).done(0)
		}},
		tableRow{name: "prepare, ERR", asked: prepare, say: func(s *stream) { s.err(1064).failed(1064, 0) }},
		tableRow{name: "prepare, ERR in place of a definition", asked: prepare, say: func(s *stream) {
			p := PrepareOK{Statement: 1, Columns: 2, Params: 2}
			s.pay(p.Append(nil, s.caps)).defs(2).eof(0).err(1053).failed(1053, 0)
		}},
	)
}

var otherRows = []tableRow{
	{name: "statistics", asked: Request{Command: ComStatistics}, say: func(s *stream) { s.pay([]byte("Uptime: 1  Threads: 2")).done(0) }},
	{name: "statistics like an OK", asked: Request{Command: ComStatistics}, say: func(s *stream) { s.bytes(0).done(0) }},
	{name: "statistics like an ERR", asked: Request{Command: ComStatistics}, say: func(s *stream) { s.bytes(0xff, 1, 2).done(0) }},
	{name: "statistics like an EOF", asked: Request{Command: ComStatistics}, say: func(s *stream) { s.bytes(0xfe, 0, 0, 8, 0).done(0) }},
	{name: "statistics like a file's name", asked: Request{Command: ComStatistics}, say: func(s *stream) { s.bytes(0xfb).done(0) }},
	{name: "statistics of nothing", asked: Request{Command: ComStatistics}, say: func(s *stream) { s.bytes().done(0) }},
	{name: "field list", asked: list, say: func(s *stream) { s.defs(3).end(auto).done(auto) }},
	{name: "field list of nothing", asked: list, say: func(s *stream) { s.end(auto).done(auto) }},
	{name: "field list, ERR", asked: list, say: func(s *stream) { s.err(1146).failed(1146, 0) }},
	{name: "field list, ERR in place of a definition", asked: list, say: func(s *stream) { s.defs(1).err(1053).failed(1053, 0) }},
	{name: "field list ends in an OK with session state", asked: list, only: CapDeprecateEOF, say: func(s *stream) {
		o := OK{Status: auto, SessionState: []byte{2, 1, '1'}}
		s.defs(1).pay(o.AppendEnd(nil, s.caps)).done(auto | StatusSessionState)
	}},
	{name: "multi statements set, OK with session state", asked: Request{Command: ComSetOption}, only: CapDeprecateEOF, say: func(s *stream) {
		o := OK{Status: auto, SessionState: []byte{2, 1, '1'}}
		s.pay(o.AppendEnd(nil, s.caps)).done(auto | StatusSessionState)
	}},
}

var authRows = []tableRow{
	{name: "login, OK", asked: user, say: func(s *stream) { s.ok(auto).done(auto) }},
	{name: "login, ERR", asked: user, say: func(s *stream) { s.err(1045).failed(1045, 0) }},
	{name: "login, native after a switch", asked: user, say: func(s *stream) {
		a := AuthSwitch{Plugin: []byte("mysql_native_password"), Data: bytes.Repeat([]byte{7}, 20)}
		s.pay(a.Append(nil))
		s.seq++
		s.ok(auto).done(auto)
	}},
	{name: "login, caching_sha2, the server goes on by itself", asked: user, say: func(s *stream) { s.bytes(1, 3).ok(auto).done(auto) }},
	{name: "login, caching_sha2, full", asked: user, say: func(s *stream) {
		s.bytes(1, 4).pay(append([]byte{1}, bytes.Repeat([]byte("key "), 100)...)).ok(auto).done(auto)
	}},
	{name: "login, prompts as they are", asked: user, say: func(s *stream) {
		s.pay([]byte("\x04Password, please:")).pay([]byte("\x03Are you sure ?")).ok(auto).done(auto)
	}},
	{name: "login, empty packets", asked: user, say: func(s *stream) { s.bytes().bytes(1, 'P', 0).bytes().ok(auto).done(auto) }},
	{name: "login, a second factor", asked: user, say: func(s *stream) { s.pay([]byte("\x02webauthn\x00data")).ok(auto).done(auto) }},
	{name: "login, a request for the old password", asked: user, say: func(s *stream) { s.bytes(0xfe).err(1045).failed(1045, 0) }},
	{name: "login, plugin data that starts like a file's name", asked: user, say: func(s *stream) { s.bytes(0xfb, 1).ok(auto).done(auto) }},
	{name: "login, an ERR that looks like a progress report", asked: user, say: func(s *stream) { s.progress().failed(0xffff, 0) }},
	{name: "login, OK with the mark of a certificate", asked: user, say: func(s *stream) {
		o := OK{Status: auto, Info: append([]byte{1}, bytes.Repeat([]byte("A"), 64)...)}
		s.pay(o.Append(nil, s.caps)).done(auto)
	}},
}

var streamRows = []tableRow{
	{name: "dump, events and no end", asked: dump, say: func(s *stream) { s.bytes(0, 1, 2).bytes(0).bytes(0, 0xff, 0xff, 0xff).bytes(0, 0xef, 1, 3) }},
	{name: "dump, ends in an EOF", asked: dump, say: func(s *stream) { s.bytes(0, 1, 2).bytes(0).end(auto).done(auto) }},
	{name: "dump, ends in an OK with session state", asked: dump, only: CapDeprecateEOF, say: func(s *stream) {
		o := OK{Status: auto, SessionState: []byte{2, 1, '1'}}
		s.bytes(0, 1).pay(o.AppendEnd(nil, s.caps)).done(auto | StatusSessionState)
	}},
	{name: "dump, ends in an ERR", asked: dump, say: func(s *stream) { s.bytes(0, 1, 2).err(1236).failed(1236, 0) }},
	{name: "dump by GTID, ERR at once", asked: Request{Command: ComBinlogDumpGTID}, say: func(s *stream) { s.err(1236).failed(1236, 0) }},
	{name: "dump of a table", asked: Request{Command: ComTableDump}, say: func(s *stream) { s.bytes(0, 1, 2).bytes() }},
	{name: "clone, bytes that are no packets", asked: Request{Command: ComClone}, say: func(s *stream) { s.buf = []byte("\xff\xff\xff\x00\xff not packets") }},
	{name: "group replication, bytes that are no packets", asked: Request{Command: ComSubscribe}, say: func(s *stream) { s.buf = []byte{1} }},
}

var longRows = []tableRow{
	{name: "a row whose first column has 16 MiB", asked: query, long: true, say: func(s *stream) {
		s.columns(1).long(1<<24+9, []byte{0xfe, 0, 0, 0, 1, 0, 0, 0, 0}, nil).end(auto).done(auto)
	}},
	{name: "a continuation like an ERR", asked: query, long: true, say: func(s *stream) {
		s.columns(1).long(MaxPayload+9, []byte{0xfd}, []byte{0xff, 0x15, 4, '#'}).row("1").end(auto).done(auto)
	}},
	{name: "a continuation like an EOF", asked: query, long: true, say: func(s *stream) {
		s.columns(1).long(MaxPayload+5, []byte{0xfd}, []byte{0xfe, 0, 0, 2, 0}).row("1").end(auto).done(auto)
	}},
	{name: "a continuation like an OK at the end of rows", asked: query, long: true, say: func(s *stream) {
		s.columns(1).long(MaxPayload+7, []byte{0xfd}, []byte{0xfe, 0, 0, 2, 0, 0, 0}).end(auto).done(auto)
	}},
	{name: "a continuation like an OK", asked: execute, long: true, say: func(s *stream) {
		s.columns(1).long(MaxPayload+7, []byte{0}, []byte{0, 0, 0, 2, 0, 0, 0}).end(auto).done(auto)
	}},
	{name: "an exact multiple ends in an empty packet", asked: query, long: true, say: func(s *stream) {
		s.columns(1).long(MaxPayload, []byte{0xfd}, nil).row("1").end(auto).done(auto)
	}},
	{name: "two exact fragments, then an empty one", asked: query, long: true, say: func(s *stream) {
		s.columns(1).long(2*MaxPayload, []byte{0xfe, 0xf5, 0xff, 0xff, 1, 0, 0, 0, 0}, []byte{0xff}).end(auto).done(auto)
	}},
	{name: "fetch, a long row", asked: fetch, long: true, say: func(s *stream) { s.long(MaxPayload, []byte{0}, nil).end(cursor).done(cursor) }},
	{name: "dump, a long event", asked: dump, long: true, say: func(s *stream) {
		s.long(MaxPayload+3, []byte{0}, []byte{0xff, 1, 1}).end(auto).done(auto)
	}},
	{name: "statistics of an exact multiple", asked: Request{Command: ComStatistics}, long: true, say: func(s *stream) { s.long(MaxPayload, []byte{'U'}, nil).done(0) }},
	{name: "a file's name of an exact multiple", asked: query, long: true, say: func(s *stream) { s.long(MaxPayload, []byte{0xfb}, nil).turn(1, 0).ok(auto).done(auto) }},
	{name: "sequence ids wrap", asked: query, long: true, say: func(s *stream) {
		s.columns(1)
		for range 600 {
			s.row("1")
		}
		s.end(auto).done(auto)
	}},
}

var malformedRows = []tableRow{
	{name: "empty in place of an OK", asked: Request{Command: ComPing}, say: func(s *stream) { s.bad() }},
	{name: "neither OK nor ERR nor EOF", asked: Request{Command: ComPing}, say: func(s *stream) { s.bad(1) }},
	{name: "a row in place of an OK", asked: Request{Command: ComInitDB}, say: func(s *stream) { s.bad(0xfb) }},
	{name: "an OK that ends before its flags", asked: Request{Command: ComPing}, say: func(s *stream) { s.bad(0, 0, 0, 2) }},
	{name: "an OK of one byte", asked: query, say: func(s *stream) { s.bad(0) }},
	{name: "an OK whose first number is cut", asked: query, say: func(s *stream) { s.bad(0, 0xfe, 1, 2) }},
	{name: "an OK whose first number is none", asked: query, say: func(s *stream) { s.bad(0, 0xfb, 0, 2, 0, 0, 0) }},
	{name: "an OK whose second number is none", asked: query, say: func(s *stream) { s.bad(0, 0, 0xff, 2, 0, 0, 0) }},
	{name: "an OK at the end of rows whose number is cut", asked: query, only: CapDeprecateEOF,
		say: func(s *stream) { s.columns(1).row("1").bad(0xfe, 0xfe, 0, 0, 0, 0, 0, 0) }},
	{name: "the OK of a login ends before its flags", asked: user, say: func(s *stream) { s.bytes(1, 3).bad(0, 0) }},
	{name: "nothing in place of a result", asked: query, say: func(s *stream) { s.bad() }},
	{name: "nothing in place of the second result", asked: query, say: func(s *stream) { s.ok(more).bad() }},
	{name: "0xFE that is neither EOF nor a count", asked: query, say: func(s *stream) { s.bad(0xfe, 0, 0, 2, 0, 0, 0, 0, 0) }},
	{name: "a count that is cut", asked: query, say: func(s *stream) { s.bad(0xfc, 1) }},
	{name: "a long count that is cut", asked: query, say: func(s *stream) { s.bad(0xfd, 1, 0) }},
	{name: "a count of nothing", asked: query, say: func(s *stream) { s.bad(0xfc, 0, 0) }},
	{name: "a count that no server has", asked: query, say: func(s *stream) { s.bad(0xfd, 0, 0, 1) }},
	{name: "nothing in place of a definition", asked: query, say: func(s *stream) { s.count(2).defs(1).bad() }},
	{name: "a row in place of the EOF behind definitions", asked: query, never: CapDeprecateEOF, say: func(s *stream) { s.count(1).defs(1).bad(1, 'x') }},
	{name: "a long 0xFE in place of the EOF behind definitions", asked: query, never: CapDeprecateEOF,
		say: func(s *stream) { s.count(1).defs(1).bad(0xfe, 0, 0, 2, 0, 0, 0, 0, 0) }},
	{name: "nothing in place of the EOF behind definitions", asked: query, never: CapDeprecateEOF, say: func(s *stream) { s.count(1).defs(1).bad() }},
	{name: "nothing in place of COM_STMT_PREPARE_OK", asked: prepare, say: func(s *stream) { s.bad() }},
	{name: "a COM_STMT_PREPARE_OK that is cut", asked: prepare, say: func(s *stream) { s.bad(0, 1, 0, 0, 0, 1, 0, 0) }},
	{name: "COM_STMT_PREPARE and an EOF", asked: prepare, say: func(s *stream) { s.bad(0xfe, 0, 0, 2, 0) }},
	{name: "nothing in place of a parameter", asked: prepare, say: func(s *stream) { s.bytes(0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0).bad() }},
	{name: "nothing in a field list", asked: list, say: func(s *stream) { s.defs(1).bad() }},
}
