package main

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"mysqlproxy/bench/wire"
)

type state int

const (
	stateClosed     state = iota
	stateConnecting       // connect(2) begun
	stateTLS              // in the TLS handshake
	stateGreeting         // the greeting is due
	stateAuth             // the verdict is due
	statePreparing        // the answer to COM_STMT_PREPARE is due
	stateReady            // logged in, nothing outstanding
	stateBusy             // an answer is due
)

// conn is one slot of the load: in connect mode many connections, one by one.
type conn struct {
	r     *runner
	fd    int
	state state
	caps  uint32
	tail  []byte // an incomplete packet, while logging in
	ask   []byte // the request, digits last
	reply wire.Template
	turn  int // of mix: every tenth request is a write
	end   [16]byte
	want  expect
	begun time.Duration // when the request was sent, or connect(2) called
	read  int64         // bytes, of a slow reader
	sec   *secure       // nil without TLS
	login []byte        // to be sent when the handshake is over
	zip   *unpacker     // nil without compression in force
	scan  scanner       // the answer to -query
}

func (r *runner) dial(c *conn) {
	*c = conn{r: r, ask: c.ask[:0], tail: c.tail[:0], reply: c.reply, caps: c.caps}
	c.begun = time.Since(r.base)
	fd, err := wire.Connect(r.addr)
	if err != nil {
		r.report.Errors++
		r.closed++
		if len(r.report.FirstErrors) < 5 {
			r.report.FirstErrors = append(r.report.FirstErrors, err.Error())
		}
		return
	}
	c.fd, c.state = fd, stateConnecting
	for len(r.conns) <= fd {
		r.conns = append(r.conns, make([]*conn, 1024)...)
	}
	r.conns[fd] = c
	r.login++
	r.busy++
	if err := r.poll.Add(fd, unix.EPOLLOUT); err != nil {
		r.fail(c, err)
	}
}

// close frees the descriptor and takes the slot out of the counts.
func (c *conn) close() {
	switch c.state {
	case stateConnecting, stateTLS, stateGreeting, stateAuth, statePreparing:
		c.r.login--
		c.r.busy--
	case stateBusy:
		c.r.busy--
	case stateClosed, stateReady:
	}
	if c.r.phase == phaseLogin && c.state == stateReady {
		c.r.ready--
	}
	c.state = stateClosed
	if c.sec != nil {
		c.sec.stop()
	}
	c.r.conns[c.fd] = nil
	unix.Close(c.fd)
}

func (c *conn) event() {
	r := c.r
	if c.state == stateConnecting {
		if err := wire.ConnectError(c.fd); err != nil {
			r.fail(c, fmt.Errorf("connect: %w", err))
			return
		}
		c.state = stateGreeting
		err := r.poll.Mod(c.fd, unix.EPOLLIN)
		if err == nil && r.tls == tlsRaw {
			err = c.startTLS()
		}
		if err != nil {
			r.fail(c, err)
		}
		return
	}
	if r.mode == "slow" && c.state == stateBusy {
		c.receive(0) // only a hang-up wakes it: the socket is read by the clock
		return
	}
	c.receive(len(r.buf))
}

// receive reads once, at most limit bytes, and takes what came.
func (c *conn) receive(limit int) {
	r := c.r
	if limit == 0 {
		return
	}
	n, e := wire.Read(c.fd, r.buf[:limit])
	switch {
	case e == unix.EAGAIN:
		return
	case e != 0:
		r.fail(c, fmt.Errorf("read: %w", e))
		return
	case n == 0:
		r.fail(c, errGone)
		return
	}
	c.read += int64(n)
	if r.phase == phaseMeasure {
		r.report.Bytes += int64(n)
	}
	if c.sec == nil {
		c.arrived(r.buf[:n])
		return
	}
	if err := c.decrypt(r.buf[:n]); err != nil {
		r.fail(c, err)
	}
}

// arrived takes what was received, less TLS.
func (c *conn) arrived(b []byte) {
	if c.zip == nil {
		c.take(b)
	} else if err := c.zip.unpack(b, c); err != nil {
		c.r.fail(c, err)
	}
}

// take takes bytes of packets.
func (c *conn) take(b []byte) {
	if c.r.phase == phaseMeasure {
		c.r.report.ClearBytes += int64(len(b))
	}
	switch c.state {
	case stateBusy:
		c.answer(b)
	case stateReady:
		c.r.fail(c, fmt.Errorf("%d bytes that nobody asked for: %q", len(b), b[:min(len(b), 60)]))
	default:
		c.loggingIn(b)
	}
}

// readSlowly reads what the rate allows by now.
func (c *conn) readSlowly() {
	for c.state == stateBusy {
		due := int64(float64(c.r.rate)*(c.r.now-c.begun).Seconds()) - c.read
		before := c.read
		if due <= 0 {
			return
		}
		c.receive(int(min(due, int64(len(c.r.buf)))))
		if c.read == before {
			return
		}
	}
}

// loggingIn takes packets up to the first request.
func (c *conn) loggingIn(b []byte) {
	c.tail = append(c.tail, b...)
	b = c.tail
	for c.state != stateClosed && c.state != stateReady && c.state != stateBusy {
		if c.state == statePreparing {
			// The whole answer is known beforehand but for the statement's id.
			c.prepared(b)
			return
		}
		if len(b) < wire.HeaderLen || len(b) < wire.HeaderLen+wire.PayloadLen(b) {
			c.tail = append(c.tail[:0], b...)
			return
		}
		n := wire.HeaderLen + wire.PayloadLen(b)
		if err := c.loginPacket(b[3], b[wire.HeaderLen:n]); err != nil {
			c.r.fail(c, fmt.Errorf("login: %w", err))
			return
		}
		b = b[n:]
	}
	if len(b) > 0 && c.state != stateClosed {
		c.r.fail(c, errors.New("bytes behind the login's OK"))
	}
}

func (c *conn) loginPacket(seq byte, p []byte) error {
	switch c.state {
	case stateGreeting:
		if seq != 0 {
			return fmt.Errorf("greeting with sequence id %d", seq)
		}
		g, err := parseGreeting(p)
		if err != nil {
			return err
		}
		c.caps = wanted(c.r.options, g.caps)
		if c.r.tls != tlsMySQL {
			c.state = stateAuth
			return c.send(appendLogin(nil, c.r.options, g, c.caps, seq+1))
		}
		if c.caps&wire.CapSSL == 0 {
			return errors.New("no TLS on offer")
		}
		c.login = appendLogin(nil, c.r.options, g, c.caps, seq+2)
		if err := c.send(appendSSLRequest(nil, c.caps, seq+1)); err != nil {
			return err
		}
		return c.startTLS()
	case stateAuth:
		switch {
		case len(p) > 0 && p[0] == 0:
			return c.loggedIn()
		case len(p) > 0 && p[0] == 0xfe:
			reply, err := switched(c.r.options, p)
			if err != nil {
				return err
			}
			return c.send(wire.AppendPacket(nil, seq+1, reply))
		}
		return errors.New(describe(wire.AppendPacket(nil, seq, p), nil))
	default:
		return fmt.Errorf("packet in state %d", c.state)
	}
}

func (c *conn) loggedIn() error {
	const status = wire.StatusAutocommit
	if c.r.compress != "" {
		if c.caps&(wire.CapCompress|wire.CapZstd) == 0 {
			return fmt.Errorf("no %s on offer", c.r.compress)
		}
		c.zip = newUnpacker(c.r.compress)
	}
	switch c.r.mode {
	case "query":
		c.ask = wire.AppendPacket(c.ask, 0, append([]byte{wire.ComQuery}, c.r.query...))
	case "execute":
		c.state = statePreparing
		return c.send(wire.AppendPacket(nil, 0, append([]byte{wire.ComStmtPrepare}, "SELECT c FROM sbtest1 WHERE id = ?"...)))
	case "bulk", "slow":
		text := fmt.Sprintf("bulk %d %d", c.r.bulk, c.r.row)
		c.ask = wire.AppendPacket(c.ask, 0, append([]byte{wire.ComQuery}, text...))
	default:
		const text = "SELECT c FROM sbtest1 WHERE k BETWEEN 1 AND 9 AND id=000000000"
		c.turn = c.fd // so that they do not all write at once
		c.ask = wire.AppendPacket(c.ask, 0, append([]byte{wire.ComQuery}, text...))
		if c.reply.Bytes == nil || c.r.mode != "connect" {
			c.reply = wire.TextTemplate(c.caps, status)
		}
	}
	c.enter()
	return nil
}

// prepared takes the answer to COM_STMT_PREPARE.
func (c *conn) prepared(b []byte) {
	want := wire.AppendPrepareOK(nil, 1, c.caps, wire.StatusAutocommit, 0, 1)
	var id [4]byte
	if len(b) >= 9 {
		copy(id[:], b[5:])
		copy(want[5:], id[:])
	}
	if n := min(len(b), len(want)); len(b) > len(want) || string(b[:n]) != string(want[:n]) && n >= 9 {
		c.r.fail(c, errors.New("prepare: "+describe(b, want)))
		return
	}
	if len(b) < len(want) {
		c.tail = append(c.tail[:0], b...)
		return
	}
	p := append([]byte{wire.ComStmtExecute}, id[:]...)
	p = append(p, 0, 1, 0, 0, 0, 0, 1, 0xfd, 0, wire.EchoLen) // no cursor, once, not null, a string
	c.ask = wire.AppendPacket(c.ask, 0, append(p, "000000000"...))
	c.reply = wire.BinaryTemplate(c.caps, wire.StatusAutocommit)
	c.enter()
}

// enter makes a connection ready that has nothing more to set up.
func (c *conn) enter() {
	r := c.r
	c.state = stateReady
	r.login--
	r.busy--
	if r.phase == phaseLogin {
		r.ready++
	} else {
		c.goOn()
	}
}

// goOn sends the next request, now or when it is time.
func (c *conn) goOn() {
	if c.r.arrivals > 0 && c.r.mode != "connect" {
		c.r.resting = append(c.r.resting, c)
		return
	}
	c.request()
}

// request sends the next request, if there is one to send.
func (c *conn) request() {
	r := c.r
	if r.mode == "idle" {
		return
	}
	if r.phase >= phaseDrain || c.state != stateReady {
		return
	}
	c.want = expect{head: c.reply.Bytes}
	if r.mode == "query" {
		c.scan.begin(c.caps&wire.CapDeprecateEOF != 0)
	} else if r.mode == "bulk" || r.mode == "slow" {
		c.expectBulk()
	} else {
		r.number = (r.number + 1) % 1_000_000_000
		wire.PutDigits(c.ask[len(c.ask)-wire.EchoLen:], r.number)
		wire.PutDigits(c.reply.Bytes[c.reply.Echo:], r.number)
	}
	if r.mode != "connect" { // there it began with connect(2)
		c.begun = time.Since(r.base)
	}
	c.state = stateBusy
	r.busy++
	c.read = 0
	ask := c.ask
	if c.turn++; r.mode == "mix" && c.turn%10 == 0 {
		ask, c.want.head = mixWrite, mixWritten
	}
	if r.mode == "slow" {
		if err := r.poll.Mod(c.fd, 0); err != nil {
			r.fail(c, err)
			return
		}
	}
	if err := c.send(ask); err != nil {
		r.fail(c, err)
	}
}

// mixWrite is the write of mix and mixWritten what a client without session
// tracking has for it.
var (
	mixWrite   = wire.AppendPacket(nil, 0, append([]byte{wire.ComQuery}, "UPDATE sbtest1 SET k=k+1 WHERE id=4711"...))
	mixWritten = wire.AppendOK(nil, 1, wire.StatusAutocommit)
)

func (c *conn) expectBulk() {
	w, n := &c.want, c.r.rows.Count(c.r.bulk)
	if c.reply.Bytes == nil {
		c.reply.Bytes, _ = wire.AppendResultHead(nil, 1, c.caps, wire.StatusAutocommit)
	}
	first := byte(3)
	if c.caps&wire.CapDeprecateEOF == 0 {
		first = 4
	}
	w.head, w.rows, w.at, w.left = c.reply.Bytes, c.r.rows, c.r.rows.Start(first), n*int64(c.r.row)
	w.tail = wire.AppendEOF(c.end[:0], c.r.rows.Tail(first, n), c.caps, wire.StatusAutocommit)
}

// answer takes bytes of the answer that is due.
func (c *conn) answer(b []byte) {
	r := c.r
	rest, done, err := c.compare(b)
	if err != nil {
		r.fail(c, err)
		return
	}
	if !done {
		return
	}
	if len(rest) > 0 {
		r.fail(c, fmt.Errorf("%d bytes behind the answer: %q", len(rest), rest[:min(len(rest), 60)]))
		return
	}
	c.state = stateReady
	r.busy--
	r.report.TotalQueries++
	if r.phase == phaseMeasure {
		r.hist.add(time.Since(r.base) - c.begun)
	}
	if r.mode != "connect" {
		c.goOn()
		return
	}
	if err := c.send(wire.AppendPacket(nil, 0, []byte{wire.ComQuit})); err != nil {
		r.fail(c, err)
		return
	}
	c.close()
	if r.phase < phaseDrain {
		r.waiting = append(r.waiting, c)
	}
}

// compare takes bytes of the answer that is due. rest is what lies behind it,
// when it is done.
func (c *conn) compare(b []byte) (rest []byte, done bool, err error) {
	if c.r.mode == "query" {
		if rest, done, err = c.scan.take(b); done && err == nil {
			err = c.r.sum.add(&c.scan)
		}
		return rest, done, err
	}
	rest, ok := c.want.take(b)
	if !ok {
		return nil, false, errors.New(describe(rest, c.want.head))
	}
	return rest, c.want.done(), nil
}

// send writes a whole packet. Nothing is outstanding when it is called, so a
// socket that does not take a few hundred bytes is broken.
func (c *conn) send(b []byte) error {
	if c.zip != nil {
		b = c.zip.frame(b)
	}
	if c.sec != nil {
		return c.encrypt(b)
	}
	return c.put(b)
}

// put writes to the socket.
func (c *conn) put(b []byte) error {
	n, e := wire.Write(c.fd, b)
	if e != 0 {
		return fmt.Errorf("write: %w", e)
	}
	if n < len(b) {
		return fmt.Errorf("the socket took %d of %d bytes of a request", n, len(b))
	}
	return nil
}
