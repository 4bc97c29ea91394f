package packet

import "encoding/binary"

// This file follows a server's responses through the stream without reading
// them: a few first bytes of each packet decide, the rest is a count. The
// grammar is that of MySQL's client/server protocol; where MySQL, MariaDB and
// the documentation differ, the comment says what servers really send.
//
//	response := one_result ( one_result )*     the next one iff MORE_RESULTS_EXISTS
//	one_result := OK | ERR
//	            | LOCAL INFILE request, the client's file, then OK or ERR
//	            | count, column definitions [EOF], row*, ( EOF | OK with 0xFE | ERR )

// shape is the kind of response that a command gets.
type shape uint8

const (
	shapeOne     shape = iota // one packet: OK, EOF or ERR
	shapeNone                 // nothing
	shapeResults              // results as above
	shapeText                 // one packet of bare text, not to be looked at
	shapeFields               // column definitions up to an EOF
	shapePrepare              // COM_STMT_PREPARE_OK and its definitions
	shapeFetch                // rows
	shapeAuth                 // plugin data, both ways, up to OK or ERR
	shapeStream               // packets without end, in both directions
	shapeTunnel               // bytes without end, not even framed
)

// Step says where a response stands.
type Step uint8

const (
	// More: the response goes on.
	More Step = iota
	// Done: the response has ended; what follows belongs to the next one.
	Done
	// ClientTurn: the server has asked for a file (LOAD DATA LOCAL) and will
	// not go on until the client has sent it.
	ClientTurn
	// Malformed: these bytes cannot be part of this response. The stream can
	// no longer be followed.
	Malformed
	// Told: an OK with session state has passed, see Watch. The response has not
	// ended yet: Feed is to be called again, though no bytes may be left.
	Told
)

func (s Step) String() string {
	return [...]string{"more", "done", "client turn", "malformed", "told"}[s]
}

// Status flags of OK and EOF packets.
const (
	StatusInTrans            uint16 = 0x0001
	StatusAutocommit         uint16 = 0x0002
	StatusMoreResults        uint16 = 0x0008
	StatusCursorExists       uint16 = 0x0040
	StatusLastRowSent        uint16 = 0x0080
	StatusNoBackslashEscapes uint16 = 0x0200
	StatusPSOutParams        uint16 = 0x1000
	StatusInTransReadonly    uint16 = 0x2000
	StatusSessionState       uint16 = 0x4000
	StatusAnsiQuotes         uint16 = 0x8000 // MariaDB
)

// The first byte of a packet that is not a row or a definition.
const (
	headOK     = 0x00
	headInfile = 0xfb
	headEOF    = 0xfe // EOF, or OK where CapDeprecateEOF is in force
	headERR    = 0xff
)

type state uint8

const (
	stIdle     state = iota // nothing is expected
	stFirst                 // first packet of a result
	stColumns               // count definitions are outstanding
	stColEOF                // the EOF behind them
	stRows                  // rows up to their end
	stOne                   // the only packet
	stText                  // the only packet, without a head byte
	stFields                // COM_FIELD_LIST's definitions
	stPrepare               // COM_STMT_PREPARE's first packet
	stPrepared              // count packets behind it
	stFetch                 // COM_STMT_FETCH's rows
	stAuth                  // an authentication dialogue
	stStream                // a replication stream
	stTunnel                // bytes
	stEnd                   // the packet that is passing is the last one
	stTold                  // it is an OK to be told of, then the state is after
)

var firstState = [...]state{
	shapeOne: stOne, shapeNone: stIdle, shapeResults: stFirst, shapeText: stText, shapeFields: stFields,
	shapePrepare: stPrepare, shapeFetch: stFetch, shapeAuth: stAuth, shapeStream: stStream, shapeTunnel: stTunnel,
}

// Response follows the responses of one server connection. It sees headers and
// first bytes only and gives the same answer wherever the stream is cut. The
// zero Response expects nothing; SetCapabilities comes before the first Begin
// of the command phase.
type Response struct {
	Cursor
	state  state
	cursor bool // the request asked for a cursor
	turn   bool // behind the packet that is passing Feed stops: it asks for a file, or is to be told of
	outs   bool // the rows that are passing are the OUT parameters of a CALL, whose OK is still to come
	failed bool // the response ended in an ERR
	begun  bool // a packet of the response has passed, or begun to

	deprecateEOF bool // no EOF behind definitions, OK with 0xFE at the end of rows
	metaFlag     bool // a byte behind the column count says whether definitions follow
	prepareFlag  bool // the same in COM_STMT_PREPARE_OK
	progress     bool // MariaDB's progress reports may come before the first packet
	tracks       bool // OKs may carry session state
	watch        bool // the caller wants to be told of it
	tells        bool // both

	status uint16
	code   uint16
	count  uint32 // definitions outstanding
	told   int32  // length in bytes of the packet told of last
	after  state  // behind stTold

	tally
}

// SetCapabilities takes those that are in force, Effective(server, client).
func (r *Response) SetCapabilities(c Capability) {
	r.deprecateEOF = c&CapDeprecateEOF != 0
	r.prepareFlag = c&CapOptionalMetadata != 0
	r.metaFlag = c&(CapOptionalMetadata|CapMariaDBCacheMetadata) != 0
	r.progress = c&CapMariaDBProgress != 0
	r.tracks = c&CapSessionTrack != 0
	r.tells = r.tracks && r.watch
}

// maxTold is the longest payload of an OK that a caller is told of, in bytes.
const maxTold = 64 << 10

// Watch says whether Feed is to stop behind OKs that carry session state, be
// they in the middle of a response or at its end, that of a login among them.
// There are none unless CapSessionTrack is in force.
func (r *Response) Watch(on bool) {
	r.watch = on
	r.tells = r.tracks && on
}

// Told is the length in bytes, header included, of the packet behind which Feed
// has returned Told. The whole packet lies before the n that it returned:
//
//	pkt := packet.Packet(buf[n-r.Told() : n])
func (r *Response) Told() int { return int(r.told) }

// Missed tells whether session state has been passed over that a watch was for,
// in this response and since CaughtUp: that of an OK with more than 64 KiB of
// payload, or what an EOF has no place for. MariaDB sets the flag in that EOF, and
// if it ends the statement, what there was to tell is told nowhere; MySQL does not
// set the flag, and tells it in a later OK of the response if there is one.
func (r *Response) Missed() bool { return r.missed != 0 }

// CaughtUp takes back what Missed says of EOFs, for a caller who knows that the
// OK that it was told of has it all.
func (r *Response) CaughtUp() { r.missed &^= missedEOF }

// Begin expects the response to q, which must have one. The one before has
// ended.
func (r *Response) Begin(q Request) {
	r.begin(firstState[commands[q.Command].resp])
	r.cursor = q.Cursor && q.Command == ComStmtExecute
}

// BeginLogin expects what follows a client's login packet: plugin data up to
// the final OK or ERR.
func (r *Response) BeginLogin() { r.begin(stAuth) }

func (r *Response) begin(s state) {
	r.state, r.cursor, r.turn, r.outs, r.failed, r.begun, r.code = s, false, false, false, false, false, 0
	r.tally = tally{}
}

// Status is the status flags of the last OK or EOF that ended a result. An ERR
// carries none and leaves it as it was.
func (r *Response) Status() uint16 { return r.status }

// Failed tells whether the last response that is Done ended in an ERR.
func (r *Response) Failed() bool { return r.failed }

// Code is the error number of the ERR that ended the last response, or 0.
func (r *Response) Code() uint16 { return r.code }

// Begun tells whether any of the response has passed.
func (r *Response) Begun() bool { return r.begun }

// tally is what a response brought, as far as its headers and first bytes tell.
type tally struct {
	rows, rowBytes     uint64
	affected, insertID uint64
	warnings           uint16
	counted            bool
	missed             missed
}

// missed is a set of where session state was that has been passed over.
type missed uint8

const (
	missedEOF  missed = 1 << iota // an EOF has the flag for it
	missedLong                    // an OK was too long
)

// Rows is the number of rows that have begun to pass, of all results of the
// response, and the length of their packets in bytes, headers included.
func (r *Response) Rows() (n, bytes uint64) { return r.rows, r.rowBytes }

// Counted is what the response's last OK said; ok is false if it had none, as a
// response that is all rows or an ERR.
func (r *Response) Counted() (ok bool, affected, insertID uint64) {
	return r.counted, r.affected, r.insertID
}

// Warnings is the number of warnings in the last OK or EOF.
func (r *Response) Warnings() uint16 { return r.warnings }

// Streaming tells whether a stream without end has the connection.
func (r *Response) Streaming() bool { return r.state == stStream || r.state == stTunnel }

// Feed follows buf, the next bytes from the server, and returns how many of
// them, from the start, belong to the response and can be forwarded, and where
// the response then stands. With More, bytes behind n are the torn beginning
// of a packet, at most 28 of them: the caller keeps them and feeds them again
// with what follows. While it watches, these may be an OK with session state
// that is not whole yet, header included up to 64 KiB. Feed keeps nothing of buf.
func (r *Response) Feed(buf []byte) (n int, step Step) {
	if r.state == stTunnel {
		r.begun = r.begun || len(buf) > 0
		return len(buf), More
	}
	for {
		if r.left > 0 {
			n += r.Pass(len(buf) - n)
			if r.left > 0 {
				return n, More
			}
		}
		if !r.cont {
			if r.state == stEnd {
				r.state = stIdle
				return n, Done
			}
			if r.turn {
				return n, r.turned()
			}
			switch r.state {
			case stRows, stFetch:
				n = r.passRows(buf, n)
			case stIdle:
				return n, Malformed
			}
		}
		b := buf[n:]
		if len(b) < HeaderLen {
			return n, More
		}
		if r.cont { // its first byte may be anything
			r.Open(b)
			if r.state == stRows || r.state == stFetch {
				r.rowBytes += uint64(HeaderLen + payloadLen(b))
			}
		} else {
			switch r.look(b[HeaderLen:], payloadLen(b)) {
			case sawShort:
				return n, More
			case sawMalformed:
				return n, Malformed
			}
			r.Open(b)
		}
		n += HeaderLen
		r.begun = true
	}
}

// turned is the step behind a packet at which Feed has to stop.
func (r *Response) turned() Step {
	r.turn = false
	if r.state != stTold {
		return ClientTurn
	}
	r.state = r.after
	return Told
}

// passRows lets the rows that begin at buf[n] pass, as far as they are whole and
// cannot be anything else, and returns where it stopped. By far the most packets
// are rows: Feed would pass them too, but not as fast.
func (r *Response) passRows(buf []byte, n int) int {
	start, seq, rows := n, r.seq, uint64(0)
	for len(buf)-n > HeaderLen {
		header := binary.LittleEndian.Uint32(buf[n:])
		size := int(header & MaxPayload)
		next := n + HeaderLen + size
		if next > len(buf) || size == 0 || size == MaxPayload || buf[n+HeaderLen] >= headEOF {
			break
		}
		n, seq = next, byte(header>>24)
		rows++
	}
	if n > start {
		r.seq, r.begun = seq, true
		r.rows += rows
		r.rowBytes += uint64(n - start)
	}
	return n
}
