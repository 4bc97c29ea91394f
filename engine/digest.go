package engine

import (
	"encoding/binary"
	"time"

	"mysqlproxy/packet"
)

// This file counts commands by the digest of their statement: how many, how they
// ended, how long they took. A digest is told when a command is sent, and counted
// when its response is over; between them exchange.counted has it.
//
//	COM_QUERY -----------> begins: packet.Digest --> its entry --> exchange
//	COM_STMT_PREPARE ----> begins: the same      --> exchange --> statement
//	COM_STMT_EXECUTE ----> begins: statement     --> exchange
//	                                                    \--> response over --> over
//
// Each loop has a table of its own; digestask.go adds them up.

// DigestMode says what is counted by digest.
type DigestMode uint8

// The modes.
const (
	DigestsOff DigestMode = iota
	// DigestsSampled: all commands are counted, and of each digest the first 64
	// and then one of eight are timed.
	DigestsSampled
	// DigestsOn: all are counted and timed.
	DigestsOn
)

const (
	// maxDigests is how many digests a loop knows. The rest count as one.
	maxDigests = 2000
	// digestSlots is the size of the table that finds them, a power of two.
	digestSlots = 4096
	// timedFirst is how many commands of a digest are all timed with
	// DigestsSampled, and timedThen of how many one is after them.
	timedFirst = 64
	timedThen  = 8
)

// digestRef names an entry of a loop's table of digests: its place and, above that,
// the entry's generation. The zero digestRef names none.
type digestRef uint32

const digestPlaceBits = 12

func (r digestRef) place() int { return int(r & (1<<digestPlaceBits - 1)) }

// counted is what an exchange has of its command's digest. The zero counted is that
// of a command that is not counted.
type counted struct {
	digest digestRef
	began  uint32 // when it was sent, as digests.clock has it; 0: it is not timed
}

// digests are the figures of one loop's commands. They belong to it.
type digests struct {
	mode  DigestMode
	began time.Time // what clock counts from
	all   Latencies // of all commands that were timed, whatever was reset

	table [digestSlots]struct { // open, linear
		hash  uint64
		place uint16 // in list, 0: free
	}
	list  []*digest // the first stands for none, the second for the rest
	free  []int     // places whose entry was given up
	stale bool      // there may be entries without a command since a reset
}

// digest is what is known of a digest, since the last reset.
type digest struct {
	live       bool // else the place is free
	generation uint32
	hash       uint64
	count      uint64
	errors     uint64
	rows       uint64
	to         [2]uint64     // commands by where they went
	first      time.Duration // on the loop's clock
	last       time.Duration
	latency    Latencies
	text       string
	schema     string // of the first command, "" if it had none or that is not known
	selected   bool   // schema is known
}

// theRest is the place of the entry for commands whose digest has none, or is not
// known: the statement had not come whole when it was sent on, say.
const theRest = 1

func newDigests(mode DigestMode) *digests {
	return &digests{mode: mode, began: time.Now(), list: []*digest{nil, {}}}
}

// countsDigests has l count by this mode from now on. What it has counted stays: exchanges
// and prepared statements name entries of it.
func (l *loop) countsDigests(mode DigestMode) {
	switch {
	case mode == DigestsOff:
		if l.digests != nil {
			l.paused, l.digests = l.digests, nil
		}
	case l.digests == nil && l.paused == nil:
		l.digests = newDigests(mode)
	case l.digests == nil:
		l.paused, l.digests = nil, l.paused
	}
	if l.digests != nil {
		l.digests.mode = mode
	}
}

// clock is the time for counted.began: microseconds, less those that do not fit.
// It is never 0.
func (ds *digests) clock() uint32 { return max(1, uint32(time.Since(ds.began)/time.Microsecond)) }

// ref names the entry at a place.
func (ds *digests) ref(place int) digestRef {
	return digestRef(place) | digestRef(ds.list[place].generation)<<digestPlaceBits
}

// of is the entry that r names, or that of the rest if that has been given up.
func (ds *digests) of(r digestRef) *digest {
	if place := r.place(); place < len(ds.list) && ds.list[place] != nil && ds.ref(place) == r {
		return ds.list[place]
	}
	return ds.list[theRest]
}

// find is the place of a digest's entry, 0 if it has none, and where in the table it
// is or belongs.
func (ds *digests) find(hash uint64) (place, slot int) {
	for slot = int(hash % digestSlots); ; slot = (slot + 1) % digestSlots {
		t := &ds.table[slot]
		if t.place == 0 || t.hash == hash {
			return int(t.place), slot
		}
	}
}

// statement is the entry of a statement, which may be a new one then.
func (ds *digests) statement(c *client, sql []byte, lex packet.Lex) digestRef {
	hash := packet.Digest(sql, lex)
	place, slot := ds.find(hash)
	if place != 0 {
		return ds.ref(place)
	}
	return ds.add(c, hash, slot, sql, lex)
}

// add makes an entry, if there is room for one.
func (ds *digests) add(c *client, hash uint64, slot int, sql []byte, lex packet.Lex) digestRef {
	place := len(ds.list)
	if len(ds.free) == 0 && place-len(ds.list[:theRest+1]) >= maxDigests {
		if !ds.stale {
			return ds.ref(theRest)
		}
		ds.clean()
		if _, slot = ds.find(hash); len(ds.free) == 0 {
			return ds.ref(theRest)
		}
	}
	d := &digest{live: true, hash: hash, text: string(packet.AppendDigestText(nil, sql, lex))}
	d.schema, d.selected = c.selected()
	if n := len(ds.free); n > 0 {
		place = ds.free[n-1]
		ds.free = ds.free[:n-1]
		d.generation = ds.list[place].generation
		ds.list[place] = d
	} else {
		ds.list = append(ds.list, d)
	}
	ds.table[slot].hash, ds.table[slot].place = hash, uint16(place)
	return ds.ref(place)
}

// clean gives up entries without a command since the last reset. Prepared statements
// may still name them: those count as the rest then.
func (ds *digests) clean() {
	ds.stale = false
	clear(ds.table[:])
	for place, d := range ds.list {
		switch {
		case place <= theRest || !d.live:
		case d.count == 0:
			ds.list[place] = &digest{generation: (d.generation + 1) % (1 << (32 - digestPlaceBits))}
			ds.free = append(ds.free, place)
		default:
			_, slot := ds.find(d.hash)
			ds.table[slot].hash, ds.table[slot].place = d.hash, uint16(place)
		}
	}
}

// reset forgets all that was counted, and not the texts.
func (ds *digests) reset() {
	for _, d := range ds.list[theRest:] {
		*d = digest{live: d.live, hash: d.hash, generation: d.generation, text: d.text, schema: d.schema, selected: d.selected}
	}
	ds.stale = true
}

// selected is the session's database, if that is known.
func (c *client) selected() (database string, known bool) {
	switch {
	case c.sp != nil:
		return c.sp.state.database, true
	case c.sx != nil:
		return c.sx.half.DefaultDB, c.server != nil && !c.server.moved
	}
	return "", false
}

// digests tells, of a command that is being sent to s, what has to be counted.
// payload begins with it and may end before it, or behind it; its size is given in
// bytes.
func (c *client) digests(s *server, q packet.Request, payload []byte, size int) counted {
	if c.loop.digests == nil {
		return counted{}
	}
	return c.digested(s, q, payload[:min(len(payload), size)], size)
}

// digested is digests if there are any. payload does not go on behind the command.
func (c *client) digested(s *server, q packet.Request, payload []byte, size int) (x counted) {
	ds := c.loop.digests
	switch q.Command {
	case packet.ComQuery:
		x.digest = ds.ref(theRest)
		if sql, ok := packet.QueryText(payload, s.caps); ok && (len(payload) == size || len(sql) >= packet.DigestBytes) {
			x.digest = ds.statement(c, sql, s.lex())
		}
	case packet.ComStmtPrepare:
		x.digest = ds.ref(theRest)
		if len(payload) == size || len(payload) > packet.DigestBytes {
			x.digest = ds.statement(c, payload[1:], s.lex())
		}
		if c.sp != nil {
			if list := c.sp.prep.preparing; len(list) > 0 {
				list[len(list)-1].digest = x.digest
			}
		}
		return x
	case packet.ComStmtExecute, packet.ComStmtBulkExecute:
		if x.digest = c.executed(s, payload); x.digest == 0 {
			x.digest = ds.ref(theRest)
		}
	case packet.ComStmtClose:
		if c.sp == nil && len(payload) >= 5 {
			delete(s.stmts, binary.LittleEndian.Uint32(payload[1:]))
		}
		return x
	case packet.ComResetConnection, packet.ComChangeUser:
		s.stmts = nil
		return x
	default:
		return x
	}
	if d := ds.of(x.digest); ds.mode == DigestsOn || d.count < timedFirst || d.count%timedThen == 0 {
		x.began = ds.clock()
	}
	s.sent = c.loop.Now()
	if c.sp != nil && s == c.sp.reader {
		c.sp.counted, c.sp.sent = x, s.sent
	}
	return x
}

// executed is the digest of the statement that an execution is of, 0 if it is not
// known.
func (c *client) executed(s *server, payload []byte) digestRef {
	switch {
	case len(payload) < 5:
	case c.sp != nil:
		st, later := c.sp.statementOf(payload)
		if list := c.sp.prep.preparing; later {
			st = list[len(list)-1]
		}
		if st != nil {
			return st.digest
		}
	default:
		id := binary.LittleEndian.Uint32(payload[1:])
		if id == packet.ExecuteLast {
			for i := range s.queue.n { // home is still to say which
				if x := s.queue.at(s.queue.n - 1 - i); x.Command == packet.ComStmtPrepare {
					return x.digest
				}
			}
			return s.latest
		}
		return s.stmts[id]
	}
	return 0
}

// lex is how statements are read at s, as far as its login and its status tell.
func (s *server) lex() packet.Lex {
	if s.client.sp != nil && s.client.sp.home != nil {
		return s.client.sp.lex()
	}
	lex := s.client.charset
	status := s.resp.Status()
	if status&packet.StatusNoBackslashEscapes != 0 {
		lex |= packet.LexNoBackslashEscapes
	}
	if status&packet.StatusAnsiQuotes != 0 {
		lex |= packet.LexAnsiQuotes
	}
	if s.offers&packet.CapLongPassword == 0 {
		lex |= packet.LexMariaDB
	}
	return lex
}

// preparedAs reads the beginning of the response to a COM_STMT_PREPARE, at which s is:
// the id that executions will name. It tells whether there was enough of it.
func (s *server) preparedAs(b []byte) bool {
	const enough = packet.HeaderLen + 5 // a 0, the id
	if len(b) < packet.HeaderLen {
		return false
	}
	if packet.Packet(b).PayloadLen() < enough-packet.HeaderLen {
		return true
	}
	if len(b) < enough {
		return false
	}
	s.latest = 0
	if b[packet.HeaderLen] != 0 {
		return true
	}
	s.latest = s.queue.first().digest
	if s.stmts == nil {
		s.stmts = map[uint32]digestRef{}
	}
	if id := binary.LittleEndian.Uint32(b[packet.HeaderLen+1:]); len(s.stmts) < maxStatements {
		s.stmts[id] = s.latest
	}
	return true
}

// prepares tells whether the response that begins now is one for preparedAs.
func (s *server) prepares() bool {
	return s.queue.first().Command == packet.ComStmtPrepare && s.loop.digests != nil && !s.resp.Begun()
}

// digested is told that the response to x is over.
func (s *server) digested(x *exchange) {
	at := atHome
	if s.reads || s.client.sp == nil && s.backend.replica() {
		at = atReader
	}
	if ds := s.loop.digests; ds != nil {
		ds.over(s, x, at, s.loop.Now())
	}
}

// over counts a command whose response is over. at tells where it ran.
func (ds *digests) over(s *server, x *exchange, at where, now time.Duration) {
	if x.Command == packet.ComStmtPrepare {
		return
	}
	d := ds.of(x.digest)
	if d.count == 0 {
		d.first = now
	}
	d.count++
	d.last = now
	d.to[at]++
	rows, _ := s.resp.Rows()
	d.rows += rows
	if s.resp.Failed() {
		d.errors++
	}
	if x.began == 0 {
		return
	}
	took := time.Duration(ds.clock()-x.began) * time.Microsecond
	if long := now - s.sent; long > time.Hour { // the clock may have been round
		took = long
	}
	d.latency.add(took)
	ds.all.add(took)
}
