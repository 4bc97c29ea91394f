package packet

// This file is the grammar of responses: what the first bytes of a packet mean
// where a Response stands. Feed, in response.go, asks look of every packet that
// does not continue another.

// saw is what look could make of a packet's first bytes.
type saw uint8

const (
	sawPacket    saw = iota // looked at, the state has moved
	sawShort                // more bytes of it are needed, nothing has changed
	sawMalformed            // it cannot stand here
)

// look moves the state by a packet of n bytes whose payload starts p. p may end
// before the payload does, or behind it.
func (r *Response) look(p []byte, n int) saw {
	if len(p) > n {
		p = p[:n]
	}
	if n > 0 && len(p) == 0 {
		return sawShort
	}
	if n == 0 {
		return r.lookEmpty()
	}
	switch r.state {
	case stRows, stFetch:
		// A row never starts with 0xFF, and with 0xFE only if its first column
		// is longer than a packet.
		if p[0] < headEOF || (p[0] == headEOF && !r.endsRows(n)) {
			r.sawRow(n)
			return sawPacket
		}
		if p[0] == headERR {
			return r.lookERR(p, n)
		}
		return r.lookEnd(p, n)
	case stFirst:
		return r.lookFirst(p, n)
	case stColumns:
		if p[0] == headERR {
			return r.lookERR(p, n)
		}
		if r.count--; r.count == 0 {
			r.definitionsEnded()
		}
		return sawPacket
	case stColEOF:
		return r.lookColEOF(p, n)
	case stOne:
		switch p[0] {
		case headOK, headEOF:
			return r.lookEnd(p, n)
		case headERR:
			return r.lookERR(p, n)
		}
		return sawMalformed
	case stText:
		r.state = stEnd
		return sawPacket
	case stFields, stStream:
		// Definitions start with the catalog's name, which is short, and events
		// with 0x00. An EOF ends a dump that does not wait for more
		// (mysqlbinlog), an ERR any.
		switch {
		case p[0] == headERR:
			return r.lookERR(p, n)
		case p[0] == headEOF && r.endsRows(n):
			return r.lookEnd(p, n)
		}
		return sawPacket
	case stPrepare:
		return r.lookPrepare(p, n)
	case stPrepared:
		if p[0] == headERR {
			return r.lookERR(p, n)
		}
		if r.count--; r.count == 0 {
			r.state = stEnd
		}
		return sawPacket
	case stAuth:
		switch p[0] {
		case headOK:
			return r.lookEnd(p, n)
		case headERR:
			return r.lookERR(p, n)
		}
		return sawPacket // a switch, more data, a prompt: anything else is the plugin's
	case stIdle, stTunnel, stEnd, stTold:
	}
	return sawMalformed
}

// lookEmpty moves the state by an empty packet. A server sends one in a
// dialogue, as a row of a table without columns, as text.
func (r *Response) lookEmpty() saw {
	switch r.state {
	case stRows, stFetch:
		r.sawRow(0)
		return sawPacket
	case stAuth, stStream:
		return sawPacket
	case stText:
		r.state = stEnd
		return sawPacket
	}
	return sawMalformed
}

func (r *Response) sawRow(n int) {
	r.rows++
	r.rowBytes += uint64(HeaderLen + n)
}

// endsRows tells whether a packet of n bytes that starts with 0xFE ends the
// rows. An old EOF is 5 bytes, and below 9 nothing else can start so; an OK in
// its place can be long, for it may carry session state.
func (r *Response) endsRows(n int) bool {
	if r.deprecateEOF {
		return n < MaxPayload
	}
	return n < 9
}

func (r *Response) lookFirst(p []byte, n int) saw {
	switch {
	case p[0] == headERR:
		if r.progress && n > 3 {
			if len(p) < 3 {
				return sawShort
			}
			if p[1] == 0xff && p[2] == 0xff {
				return sawPacket // a progress report; the first packet is still to come
			}
		}
		return r.lookERR(p, n)
	case p[0] == headOK, p[0] == headEOF && n < 9:
		return r.lookEnd(p, n)
	case p[0] == headInfile:
		r.turn = true // the result of the load takes this one's place
		return sawPacket
	}
	size := lenencSize(p[0])
	if size == 0 || size > n {
		return sawMalformed
	}
	need := size
	if r.metaFlag && n > size {
		need++ // the flag stands behind the count, whatever MySQL's manual says
	}
	if len(p) < need {
		return sawShort
	}
	count := uint32(p[0])
	switch size {
	case 3:
		count = uint32(p[1]) | uint32(p[2])<<8
	case 4:
		count = uint32(p[1]) | uint32(p[2])<<8 | uint32(p[3])<<16
	}
	if count == 0 || count > maxColumns {
		return sawMalformed
	}
	r.count, r.state = count, stColumns
	if need > size && p[size] == 0 {
		r.definitionsEnded() // the client has them already; an EOF would still follow
	}
	return sawPacket
}

// maxColumns is the most columns a result can have: the servers' own counters
// have 16 bits.
const maxColumns = 1<<16 - 1

// lenencSize is the length of a length-encoded integer by its first byte, 0 if
// it cannot be a count of columns.
func lenencSize(first byte) int {
	switch {
	case first < 0xfb:
		return 1
	case first == 0xfc:
		return 3
	case first == 0xfd:
		return 4
	}
	return 0
}

func (r *Response) definitionsEnded() {
	r.state = stColEOF
	if r.deprecateEOF {
		r.state = stRows
	}
}

// lookColEOF looks at what must be the EOF behind column definitions.
func (r *Response) lookColEOF(p []byte, n int) saw {
	switch {
	case p[0] == headERR:
		return r.lookERR(p, n)
	case p[0] != headEOF || n > 8:
		return sawMalformed
	case n < 5: // the one byte of servers before 4.1
		r.state = stRows
		return sawPacket
	case len(p) < 5:
		return sawShort
	}
	status := uint16(p[3]) | uint16(p[4])<<8
	r.state, r.outs = stRows, status&StatusPSOutParams != 0
	// The rows of an opened cursor wait for COM_STMT_FETCH. The flag alone says
	// nothing: inside a CALL whose procedure has a cursor open, rows follow.
	if r.cursor && status&StatusCursorExists != 0 && status&StatusMoreResults == 0 {
		r.status, r.state = status, stEnd
	}
	return sawPacket
}

// lookEnd looks at the OK or EOF that ends a result or a response.
func (r *Response) lookEnd(p []byte, n int) saw {
	var status uint16
	if p[0] == headOK || n >= 5 {
		sees := r.readEnd(p, n, &status)
		if sees != sawPacket {
			return sees
		}
		r.status = status
	} // else it is the EOF of servers before 4.1, which has no flags
	more := r.state == stFirst || r.state == stRows
	// MySQL 9.7 takes MORE_RESULTS off the EOF behind OUT parameters, and sends the
	// OK of the CALL all the same.
	if more && (status&StatusMoreResults != 0 || r.outs && r.state == stRows) {
		r.state, r.outs = stFirst, false
	} else {
		r.state = stEnd
	}
	if r.tells && status&StatusSessionState != 0 {
		switch {
		case n < minOK:
			r.missed |= missedEOF
			return sawPacket
		case n > maxTold:
			r.missed |= missedLong
			return sawPacket
		}
		r.told = int32(HeaderLen + n)
		r.turn, r.after, r.state = true, r.state, stTold
	}
	return sawPacket
}

// minOK is the length of the shortest OK in bytes. What is shorter and starts
// with 0xFE is an EOF, whose fields stand in another order.
const minOK = 7

// readEnd reads an OK, with whichever head byte, or an EOF of 5 bytes or more.
// An EOF has the warnings first, an OK the flags; their lengths tell them apart.
func (r *Response) readEnd(p []byte, n int, status *uint16) saw {
	if p[0] == headEOF && n < minOK {
		if len(p) < 5 {
			return sawShort
		}
		*status = uint16(p[3]) | uint16(p[4])<<8
		r.warnings, r.counted = uint16(p[1])|uint16(p[2])<<8, false
		return sawPacket
	}
	at := 1
	var number [2]uint64 // affected rows, last insert id
	for i := range number {
		if at >= n {
			return sawMalformed
		}
		if at >= len(p) {
			return sawShort
		}
		v, size := LenEnc(p[at:])
		if size < 0 {
			return sawMalformed
		}
		if size == 0 {
			if len(p) < n {
				return sawShort
			}
			return sawMalformed
		}
		number[i] = v
		at += size
	}
	if at+2 > n {
		return sawMalformed
	}
	if at+2 > len(p) || at+4 <= n && at+4 > len(p) {
		return sawShort
	}
	*status = uint16(p[at]) | uint16(p[at+1])<<8
	if r.tells && *status&StatusSessionState != 0 && n <= maxTold && len(p) < n {
		return sawShort // the caller gets to see it whole
	}
	r.warnings = 0
	if at+4 <= n {
		r.warnings = uint16(p[at+2]) | uint16(p[at+3])<<8
	}
	if r.counted = r.state == stFirst || r.state == stOne || r.state == stAuth; r.counted {
		r.affected, r.insertID = number[0], number[1]
	}
	return sawPacket
}

// lookERR looks at an ERR, which ends any response, whatever was to follow.
func (r *Response) lookERR(p []byte, n int) saw {
	if r.progress && n > 3 && r.state == stRows {
		// As before the first packet; no server is known to do it.
		if len(p) < 3 {
			return sawShort
		}
		if p[1] == 0xff && p[2] == 0xff {
			return sawPacket
		}
	}
	if n >= 3 {
		if len(p) < 3 {
			return sawShort
		}
		r.code = uint16(p[1]) | uint16(p[2])<<8
	}
	r.failed, r.state = true, stEnd
	return sawPacket
}

// lookPrepare looks at COM_STMT_PREPARE_OK, which says how many packets follow:
//
//	00, u32 statement id, u16 columns, u16 parameters, 00, u16 warnings [, u8 definitions follow]
func (r *Response) lookPrepare(p []byte, n int) saw {
	switch {
	case p[0] == headERR:
		return r.lookERR(p, n)
	case p[0] != headOK || n < 9:
		return sawMalformed
	case len(p) < n && len(p) < 13:
		return sawShort
	}
	columns := uint32(p[5]) | uint32(p[6])<<8
	params := uint32(p[7]) | uint32(p[8])<<8
	left := params + columns
	if r.prepareFlag && n > 12 && p[12] == 0 {
		left = 0
	}
	if !r.deprecateEOF { // these come even where the definitions are left out
		if params > 0 {
			left++
		}
		if columns > 0 {
			left++
		}
	}
	r.count, r.state = left, stPrepared
	if left == 0 {
		r.state = stEnd
	}
	return sawPacket
}
