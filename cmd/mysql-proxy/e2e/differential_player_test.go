package e2e

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// wireLog keeps what came back as the bytes it came in, headers included, with
// what may differ between two honest runs blanked.
type wireLog struct {
	blob   []byte
	last   int  // where the last packet begins
	status int  // where its status flags stand
	hidden bool // rows are left out
}

func (r *wireLog) add(header [4]byte, payload []byte) {
	r.last = len(r.blob)
	if r.hidden {
		header[3] = 0 // counts rows
	}
	r.blob = append(append(r.blob, header[:]...), payload...)
}

// statusCompared are the status flags that mean something to a client: in a
// transaction, autocommit, more results, cursor, last row, no backslash
// escapes, OUT parameters, read only transaction, ANSI quotes. The others tell
// how the server came to its answer (no index used, slow, a table reopened,
// there is something tracked, which is compared itself).
const statusCompared = 0x0001 | 0x0002 | statusMoreResults | statusCursorExists | 0x0080 | 0x0200 | statusOutParams | 0x2000 | 0x8000

// maskStatus blanks flags in the last packet's status, which stands at an
// offset of its payload.
func (r *wireLog) maskStatus(at int) {
	b := r.blob[r.last+4+at:]
	binary.LittleEndian.PutUint16(b, binary.LittleEndian.Uint16(b)&statusCompared)
	r.status = r.last + 4 + at
}

// maskWarnings blanks the number of warnings of the last packet, an OK of any
// header or an EOF.
func (r *wireLog) maskWarnings() {
	at := r.status + 2
	if r.last+4+5 == len(r.blob) {
		at = r.status - 2 // an EOF
	}
	r.blob[at], r.blob[at+1] = 0, 0
}

func (r *wireLog) row() {
	if r.hidden {
		r.blob = r.blob[:r.last]
	}
}

// player plays a script at one address.
type player struct {
	*rawConn
	rec    wireLog
	way    way
	slots  map[int]uint32
	sticky map[int]bool // slots that go on with a cursor
	names  *strings.Replacer
}

// way is where and as who a script is played.
type way struct {
	addr string
	db   string // the run's own database
	user user
	caps variant

	other user // who :user other becomes
	attrs map[string]string
	limit time.Duration // for one response
	pause time.Duration // how long :pause lasts

	// again is called before a further session begins: it is not promised what
	// another session has written.
	again func() error

	mysql bool
}

// reply is what came back for a step.
type reply struct {
	blob []byte
	note string // how the connection ended, if it did
}

// unknownStatement is the id of a slot that holds no statement; with the slot
// added it is one that no server gives.
const unknownStatement = 0x00DEAD00

// play plays a script. Where the connection ends, the next step begins with a new one.
func play(w way, script []step) (replies []reply, err error) {
	p := &player{way: w}
	defer func() {
		if p.rawConn != nil {
			p.nc.Close()
		}
	}()
	replies = make([]reply, 0, len(script))
	for len(script) > 0 {
		n := 1
		for n < len(script) && script[n-1].ahead && !script[n-1].single() && !script[n].single() {
			n++
		}
		if p.rawConn == nil {
			if len(replies) > 0 && w.again != nil {
				if err := w.again(); err != nil {
					return replies, err
				}
			}
			if err := p.connect(); err != nil {
				return replies, err
			}
		}
		if script[0].verb == "pause" {
			time.Sleep(w.pause)
			replies = append(replies, reply{})
		} else {
			replies = p.run(script[:n], replies)
		}
		script = script[n:]
	}
	return replies, nil
}

// single tells that nothing may be sent together with the step: the client
// has to answer in its middle, or the connection may end by it, and what has
// been sent behind is then lost or not, by chance.
func (s *step) single() bool {
	return s.verb == "load" || s.verb == "user" || s.verb == "pause" || strings.Contains(s.text, "LOAD") || strings.Contains(s.text, "KILL") || strings.Contains(s.text, "RELEASE")
}

// connect logs in. What comes during the login is not compared: a proxy may
// lead another dialogue than the server would.
func (p *player) connect() error {
	tr := &trace{}
	c, err := dialRaw(p.way.addr, tr)
	if err != nil {
		return err
	}
	p.rawConn, p.slots, p.sticky = c, map[int]uint32{}, map[int]bool{}
	c.timeout = p.way.limit
	admitted := false
	l := login{user: p.way.user.Name, password: p.way.user.Password, caps: p.way.caps.caps &^ capConnectWithDB,
		ext: p.way.caps.ext, attrs: p.way.attrs, shown: true}
	if l.attrs != nil {
		l.caps |= capConnectAttrs
	}
	ended := p.attempt(func() { admitted = c.login(l) })
	if ended || !admitted {
		c.nc.Close()
		p.rawConn = nil
		return fmt.Errorf("login at %s: %s", p.way.addr, tr.last())
	}
	tr.rec = &p.rec
	p.names = strings.NewReplacer("{db}", p.way.db, "{ro}", readOnlyDB, "{tid}", strconv.FormatUint(uint64(c.threadID), 10))
	return nil
}

func (p *player) attempt(f func()) bool { return (&session{p.rawConn, nil}).attempt(f) }

// run sends steps together and reads their responses.
func (p *player) run(steps []step, replies []reply) []reply {
	done := 0
	p.rec.blob = nil // the replies keep it
	ended := p.attempt(func() {
		var b []byte
		for i := range steps {
			b = p.append(b, &steps[i])
		}
		p.write(b)
		for i := range steps {
			from := len(p.rec.blob)
			p.rec.hidden = steps[i].verb == "hidden"
			p.read(&steps[i])
			p.lostServer(p.rec.blob[from:])
			replies = append(replies, reply{blob: p.rec.blob[from:len(p.rec.blob):len(p.rec.blob)]})
			done++
		}
	})
	if !ended {
		return replies
	}
	how := p.tr.last()
	p.nc.Close()
	p.rawConn = nil
	for range steps[done:] {
		replies = append(replies, reply{note: how})
	}
	return replies
}

// lostServer takes the proxy's word that it has lost the server for what a
// client sees without a proxy: the connection's end.
func (p *player) lostServer(reply []byte) {
	const lost = 2013
	if len(reply) > 7 && reply[4] == 0xFF && binary.LittleEndian.Uint16(reply[5:]) == lost {
		p.end("closed")
	}
}

// append appends the packets of a step's command.
func (p *player) append(b []byte, s *step) []byte {
	text := s.text
	if strings.IndexByte(text, '{') >= 0 {
		text = p.names.Replace(text)
	}
	p.seq, p.reports = 0, 0
	com, arg := p.request(s, text)
	return p.frame(b, append([]byte{com}, arg...))
}

func (p *player) id(slot int) []byte {
	if id, ok := p.slots[slot]; ok {
		return u32(id)
	}
	return u32(unknownStatement + uint32(slot))
}

func (p *player) request(s *step, text string) (com byte, arg []byte) {
	switch s.verb {
	case "query", "hidden", "load":
		return comQuery, []byte(text)
	case "prepare":
		return comPrepare, []byte(text)
	case "execute":
		// MySQL answers the execution without a cursor that comes behind one with
		// a cursor by definitions and an OK, no rows: no client finds its end.
		if s.cursor {
			p.sticky[s.slot] = p.way.mysql
		}
		return comExecute, s.executeArg(p.id(s.slot), p.cursor(s))
	case "last":
		return comExecute, s.executeArg(u32(lastStatementID), false)
	case "bulk":
		return comBulkExecute, s.bulkArg(p.id(s.slot))
	case "long":
		return comLongData, cat(p.id(s.slot), []byte{byte(s.params[0].kind), 0}, []byte(s.data))
	case "fetch":
		return comFetch, cat(p.id(s.slot), s.params[0].value)
	case "rewind":
		return comStmtReset, p.id(s.slot)
	case "close":
		return comStmtClose, p.id(s.slot)
	case "init":
		return comInitDB, []byte(text)
	case "fields":
		return comFieldList, []byte(text)
	case "option":
		return comSetOption, []byte{byte(s.slot), 0}
	case "user":
		u, password := p.userOf(s.text)
		return comChangeUser, p.changeUserArg(u.Name, password, "")
	case "ping":
		return comPing, nil
	case "reset":
		return comResetConn, nil
	case "raw":
		return byte(s.slot), []byte(s.data)
	}
	panic("no command for " + s.verb)
}

// userOf is the account and password that :user names.
func (p *player) userOf(name string) (u user, password string) {
	switch name {
	case "other":
		return p.way.other, p.way.other.Password
	case "wrong":
		return p.way.user, "wrong"
	}
	return p.way.user, p.way.user.Password
}

func (p *player) cursor(s *step) bool { return s.cursor || p.sticky[s.slot] }

func (s *step) executeArg(id []byte, cursor bool) []byte {
	var flags byte
	if cursor {
		flags = 1
	}
	b := executeArg(binary.LittleEndian.Uint32(id), flags, s.params...)
	if s.typeless && len(s.params) > 0 {
		nulls := 9 + (len(s.params)+7)/8
		b[nulls] = 0
		b = append(b[:nulls+1], b[nulls+1+2*len(s.params):]...)
	}
	return b
}

// bulkArg has a row of an INT and a text for every two parameters.
func (s *step) bulkArg(id []byte) []byte {
	b := cat(id, []byte{128, 0}, []byte{3, 0, 253, 0})
	for _, p := range s.params {
		if p.null {
			b = append(b, 1)
			continue
		}
		b = append(append(b, 0), p.value...)
	}
	return b
}

// read reads the response of a step.
func (p *player) read(s *step) {
	switch s.verb {
	case "query", "hidden", "last", "bulk":
		p.result(false)
	case "load":
		p.file = []byte(s.data)
		p.result(false)
		p.file = nil
	case "prepare":
		n := len(p.stmts)
		p.prepared()
		delete(p.slots, s.slot)
		if len(p.stmts) > n {
			p.slots[s.slot] = p.stmts[n]
		}
	case "execute":
		p.result(p.cursor(s))
	case "fetch":
		p.rows()
	case "fields":
		p.fieldList()
	case "long":
	case "close":
		delete(p.slots, s.slot)
	case "user":
		// Only the verdict is compared, see connect.
		_, password := p.userOf(s.text)
		tr := p.tr
		p.tr = &trace{}
		admitted := p.authDialogue(pluginNative, password)
		p.tr = tr
		p.tr.packet([4]byte{}, fmt.Appendf(nil, "admitted: %t", admitted))
		p.slots = map[int]uint32{}
	case "reset":
		p.slots = map[int]uint32{}
		p.single()
	case "init", "option", "ping":
		// MySQL shows the warnings of the statement before, which may have run elsewhere.
		if p.single() && p.way.mysql {
			p.rec.maskWarnings()
		}
	default:
		p.single()
	}
}

// single reads a response of one packet. ok is false for an ERR.
func (p *player) single() (ok bool) {
	switch b := p.packet(); {
	case len(b) >= 7 && b[0] == 0x00:
		p.okStatus(b)
	case len(b) >= 5 && b[0] == 0xFE:
		p.endStatus(b)
	default:
		return false
	}
	return true
}
