package main

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"mysqlproxy/bench/wire"
)

// readSize is the size of the read buffer, and so the longest request in bytes.
const readSize = 256 << 10

// burst bounds what is written to one connection before the others get a turn,
// and what is collected for it before it must take some.
const burst = 1 << 20

// server owns all connections. One goroutine runs serve; nobody else touches it
// after that.
type server struct {
	poll      *wire.Poller
	listeners map[int]int // descriptor to its place in requests
	requests  []uint64    // commands answered, by listener
	conns     []*conn     // by descriptor
	nextID    uint32
	writes    uint64            // so many GTIDs were given
	rows      map[int]wire.Rows // by bytes a row
	in        [readSize]byte
	out       []byte // answers of the connection at hand, not yet written
	text      [2]wire.Template
	binary    [2]wire.Template
	stopped   func() bool // asked after each batch of events, if set
}

// conn is one client.
type conn struct {
	fd       int
	listener int // place in server.requests
	loggedIn bool
	closing  bool // close once everything is written
	caps     uint32
	status   uint16
	lastStmt uint32
	tracks   bool // it is told of GTIDs

	tail    []byte // bytes of requests not answered yet
	pending []byte // bytes of answers that the socket refused
	bulk    bulk   // a result under way, behind pending
	watched uint32 // what epoll watches it for
}

// bulk is the unsent part of a bulk result.
type bulk struct {
	rows wire.Rows
	at   int   // offset in the cycle
	left int64 // bytes of rows
	end  byte  // sequence id of the packet behind the rows
	on   bool
}

func newServer() (*server, error) {
	poll, err := wire.NewPoller()
	if err != nil {
		return nil, err
	}
	s := &server{poll: poll, listeners: map[int]int{}, rows: map[int]wire.Rows{}}
	for i, caps := range []uint32{0, wire.CapDeprecateEOF} {
		s.text[i] = wire.TextTemplate(caps, wire.StatusAutocommit)
		s.binary[i] = wire.BinaryTemplate(caps, wire.StatusAutocommit)
	}
	return s, nil
}

// listen adds a listener and returns its address.
func (s *server) listen(addr netip.AddrPort) (netip.AddrPort, error) {
	fd, addr, err := wire.Listen(addr)
	if err != nil {
		return addr, err
	}
	if err := s.poll.Add(fd, unix.EPOLLIN); err != nil {
		unix.Close(fd)
		return addr, err
	}
	s.listeners[fd] = len(s.requests)
	s.requests = append(s.requests, 0)
	return addr, nil
}

// serve runs until epoll fails or stopped says so, and then closes everything.
func (s *server) serve() error {
	defer s.closeAll()
	for {
		events, err := s.poll.Wait(-1)
		if err != nil {
			return err
		}
		for _, e := range events {
			fd := int(e.Fd)
			// An event may be older than the connection on this descriptor: nothing
			// is taken from it but the hint to try.
			if fd < len(s.conns) && s.conns[fd] != nil {
				s.ready(s.conns[fd])
			} else if at, ok := s.listeners[fd]; ok {
				s.accept(fd, at)
			}
		}
		if s.stopped != nil && s.stopped() {
			return nil
		}
	}
}

func (s *server) closeAll() {
	for _, c := range s.conns {
		if c != nil {
			unix.Close(c.fd)
		}
	}
	for fd := range s.listeners {
		unix.Close(fd)
	}
	s.poll.Close()
}

func (s *server) accept(listener, at int) {
	// A bounded number, so that a storm of connects does not stop the others. An
	// error other than "none left" (descriptors used up) also ends it: epoll asks again.
	for range 64 {
		fd, err := wire.Accept(listener)
		if err != nil {
			return
		}
		s.nextID++
		c := &conn{fd: fd, listener: at, status: wire.StatusAutocommit, watched: unix.EPOLLIN}
		for len(s.conns) <= fd {
			s.conns = append(s.conns, make([]*conn, 1024)...)
		}
		s.conns[fd] = c
		if err := s.poll.Add(fd, unix.EPOLLIN); err != nil {
			s.close(c)
			continue
		}
		s.out = appendGreeting(s.out[:0], s.nextID)
		s.flush(c)
	}
}

// ready moves a connection as far as its socket lets it.
func (s *server) ready(c *conn) {
	if len(c.pending) > 0 || c.bulk.on {
		s.out = s.out[:0]
		if s.flush(c); s.conns[c.fd] != c || len(c.pending) > 0 || c.bulk.on {
			return
		}
	}
	kept := copy(s.in[:], c.tail) // shorter than s.in: see requestsIn
	if s.backlog(c) {
		c.tail = c.tail[:0]
		s.requestsIn(c, s.in[:kept])
		return
	}
	n, e := wire.Read(c.fd, s.in[kept:])
	if e == unix.EAGAIN {
		return
	}
	if e != 0 || n == 0 {
		s.close(c)
		return
	}
	c.tail = c.tail[:0]
	s.requestsIn(c, s.in[:kept+n])
}

// requestsIn answers all whole requests in b and keeps the rest.
func (s *server) requestsIn(c *conn, b []byte) {
	s.out = s.out[:0]
	for !c.closing && !c.bulk.on && len(s.out) < burst {
		if len(b) < wire.HeaderLen {
			break
		}
		n := wire.HeaderLen + wire.PayloadLen(b)
		if n > len(s.in) {
			s.out = wire.AppendErr(s.out, b[3]+1, 1153, "08S01", "Request longer than the null server reads")
			c.closing = true
			break
		}
		if len(b) < n {
			break
		}
		s.request(c, b[3], b[wire.HeaderLen:n])
		b = b[n:]
	}
	if !c.closing {
		c.tail = append(c.tail, b...)
	}
	s.flush(c)
}

// flush writes what is pending, then the answers in s.out, then rows. It leaves
// the connection watched for writing if anything is left, and for reading if not.
func (s *server) flush(c *conn) {
	if len(c.pending) > 0 {
		n, ok := s.write(c, c.pending)
		if !ok {
			return
		}
		if c.pending = c.pending[n:]; len(c.pending) > 0 {
			c.pending = append(c.pending, s.out...)
			s.watch(c, unix.EPOLLOUT)
			return
		}
		c.pending = nil
	}
	if len(s.out) > 0 {
		n, ok := s.write(c, s.out)
		if !ok {
			return
		}
		if n < len(s.out) {
			c.pending = append(c.pending, s.out[n:]...)
			s.watch(c, unix.EPOLLOUT)
			return
		}
	}
	if c.bulk.on && !s.stream(c) {
		return
	}
	switch {
	case c.closing:
		s.close(c)
	case s.backlog(c):
		s.watch(c, unix.EPOLLOUT) // requests wait behind a burst: come back at once
	default:
		s.watch(c, unix.EPOLLIN)
	}
}

// stream writes rows of a bulk result and its end. It returns false if the
// connection has to wait for its socket or is gone.
func (s *server) stream(c *conn) bool {
	k := &c.bulk
	for budget := int64(burst); k.left > 0; {
		if budget <= 0 {
			s.watch(c, unix.EPOLLOUT)
			return false
		}
		part := k.rows.Cycle[k.at:]
		part = part[:min(int64(len(part)), k.left)]
		n, ok := s.write(c, part)
		if !ok {
			return false
		}
		if k.at += n; k.at == len(k.rows.Cycle) {
			k.at = 0
		}
		k.left -= int64(n)
		budget -= int64(n)
		if n < len(part) {
			s.watch(c, unix.EPOLLOUT)
			return false
		}
	}
	end := wire.AppendEOF(nil, k.end, c.caps, c.status)
	*k = bulk{}
	n, ok := s.write(c, end)
	if ok && n < len(end) {
		c.pending = append(c.pending, end[n:]...)
		s.watch(c, unix.EPOLLOUT)
		return false
	}
	return ok
}

// backlog says whether a whole request waits in the tail.
func (s *server) backlog(c *conn) bool {
	return len(c.tail) >= wire.HeaderLen && len(c.tail) >= wire.HeaderLen+wire.PayloadLen(c.tail)
}

// write returns how much the socket took; not ok means the connection is closed.
func (s *server) write(c *conn, b []byte) (int, bool) {
	n, e := wire.Write(c.fd, b)
	if e == unix.EAGAIN {
		return 0, true
	}
	if e != 0 {
		s.close(c)
		return 0, false
	}
	return n, true
}

func (s *server) watch(c *conn, events uint32) {
	if c.watched == events {
		return
	}
	if err := s.poll.Mod(c.fd, events); err != nil {
		s.close(c)
		return
	}
	c.watched = events
}

func (s *server) close(c *conn) {
	if s.conns[c.fd] != c {
		return
	}
	s.conns[c.fd] = nil
	unix.Close(c.fd)
}
