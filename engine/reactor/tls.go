package reactor

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"time"
	"weak"

	"golang.org/x/sys/unix"
)

// TLS by crypto/tls over a connection in memory. The handshake, which is made
// to block and takes a millisecond of computing, is done by a goroutine of its
// own (handshake.go); then the loop goes on with the same tls.Conn. There a Read
// that finds too little returns errNoBytes, which crypto/tls passes on without
// ending the stream: it does that for each net.Error that is temporary.

// StartTLS has c speak TLS from here on, as cfg says: as its server, or as its
// client. It is called once, and before SetCodec, on the loop and most often
// from within Data: what the handler has not used, and all that arrives later,
// is TLS and never delivered as it is. What was written before goes out in
// clear, and first; what is written before the handshake's end is kept, and
// sent encrypted.
//
// done is called once, on the loop, at the handshake's end and never from
// within StartTLS. If err is not nil c is as good as lost: nothing is delivered
// or sent any more and the handler is expected to close c; the peer has been
// sent the alert if there is one. An end of the socket during the handshake is
// such an error. done is not called if c is closed before. The handshake goes
// on while c is paused.
//
// cfg must not be changed later. Renegotiation is refused whatever cfg says.
func (c *Conn) StartTLS(cfg *tls.Config, server bool, done func(tls.ConnectionState, error)) {
	if c.state > stateOpen {
		return
	}
	u := c.layer()
	if u.sec != nil || u.codec != nil {
		c.Close(errOrder)
		return
	}
	s := &secure{c: c, remote: netAddr{c.remoteAddr()}}
	if server {
		s.tls = tls.Server(s, adapted(cfg))
	} else {
		s.tls = tls.Client(s, adapted(cfg))
	}
	s.hs = newHandshake(s, done)
	u.sec, u.fresh = s, true
	c.touch()
	go s.hs.run()
}

// Encrypted tells whether c speaks TLS: StartTLS was called and its handshake
// has succeeded.
func (c *Conn) Encrypted() bool { return c.up != nil && c.up.sec != nil && c.up.sec.up }

func (u *layers) handshaking() bool { return u.sec != nil && u.sec.hs != nil }

// secure is the TLS of a connection, and the net.Conn that its tls.Conn has.
// While hs is set that goroutine has tls, cut and, with a lock, hs; the loop has
// the rest, and all after that.
type secure struct {
	c      *Conn
	tls    *tls.Conn
	remote netAddr
	hs     *handshake // nil when it is over
	cut    cutter
	brim   bool // the last Read filled its buffer: tls may hold more
	up     bool // the handshake has succeeded
	failed bool // it has not

	err error // what ended the stream: close_notify as io.EOF, or what is wrong with it
}

// adapted is cfg as this package needs it: without small records, for what one
// event writes is sent at once, and without renegotiation, which would block.
// There is one copy of each, for all loops, as its ticket keys must be the same.
func adapted(cfg *tls.Config) *tls.Config {
	if cfg.DynamicRecordSizingDisabled && cfg.Renegotiation == tls.RenegotiateNever {
		return cfg
	}
	key := weak.Make(cfg)
	if own, ok := configs.Load(key); ok {
		return own.(*tls.Config)
	}
	own := cfg.Clone()
	own.DynamicRecordSizingDisabled = true
	own.Renegotiation = tls.RenegotiateNever
	stored, loaded := configs.LoadOrStore(key, own)
	if !loaded {
		runtime.AddCleanup(cfg, func(key weak.Pointer[tls.Config]) { configs.Delete(key) }, key)
	}
	return stored.(*tls.Config)
}

var configs sync.Map // weak.Pointer[tls.Config]: *tls.Config

// protect gives p, which is what travels but for TLS, to TLS or to the socket.
func (u *layers) protect(c *Conn, p []byte) {
	switch s := u.sec; {
	case len(p) == 0:
	case s == nil:
		u.put(c, p)
	case s.failed:
	case s.up && len(p) >= recordBytes:
		u.seal(c)
		u.encrypt(c, p)
	default:
		u.held.append(&c.loop.free, p)
		c.touch()
	}
}

// seal encrypts what was held.
func (u *layers) seal(c *Conn) {
	if u.held.n == 0 || !u.sec.up {
		return
	}
	for u.held.n > 0 {
		h := u.held.head
		u.encrypt(c, h.buf[h.r:h.w])
		u.held.drop(&c.loop.free, min(u.held.n, h.w-h.r)) // lost may have dropped it
	}
}

// encrypt is seal for p.
func (u *layers) encrypt(c *Conn, p []byte) {
	if _, err := u.sec.tls.Write(p); err != nil && !c.broken {
		c.lost(fmt.Errorf("TLS write: %w", err))
	}
}

// decrypt fills p from what lies in raw; more says that p may not have taken
// all. An error goes to sec.err.
func (u *layers) decrypt(p []byte) (n int, more bool) {
	s := u.sec
	for n < len(p) {
		// Asking TLS when there is nothing would cost an allocation.
		if s.err != nil || u.raw.len() == 0 && !s.brim {
			return n, false
		}
		k, err := s.tls.Read(p[n:])
		s.brim = k == len(p)-n
		n += k
		switch {
		case err == nil:
		case err == errNoBytes:
			return n, false
		default:
			if s.err = err; err != io.EOF {
				s.err = fmt.Errorf("TLS read: %w", err)
			}
			u.raw.drop(&s.c.loop.free) // nobody will take it
		}
	}
	return n, true
}

// closeTLS says farewell when nothing more will be written.
func (u *layers) closeTLS(c *Conn) {
	if u.sec != nil && u.sec.up && !c.broken {
		_ = u.sec.tls.CloseWrite() // fails only where a Write has failed before
	}
}

// noBytes is what a Read without bytes returns.
type noBytes struct{}

func (noBytes) Error() string   { return "no bytes yet" }
func (noBytes) Timeout() bool   { return true }
func (noBytes) Temporary() bool { return true }

var errNoBytes error = noBytes{}

// Read is for tls. It gives at most the rest of one record, so that tls holds
// nothing when it has returned what that carried.
func (s *secure) Read(p []byte) (int, error) {
	if s.hs != nil {
		return s.hs.read(p)
	}
	raw := &s.c.up.raw
	src := raw.next()
	if len(src) == 0 {
		return 0, errNoBytes
	}
	n := copy(p, src[:s.cut.next(src[:min(len(src), len(p))])])
	raw.took(&s.c.loop.free, n)
	return n, nil
}

// Write is for tls. It never fails, as tls would not forgive that.
func (s *secure) Write(p []byte) (int, error) {
	if s.hs != nil {
		return s.hs.write(p)
	}
	if c := s.c; c.state <= stateOpen && !c.broken {
		c.up.put(c, p)
	}
	return len(p), nil
}

func (s *secure) LocalAddr() net.Addr              { return netAddr{} }
func (s *secure) RemoteAddr() net.Addr             { return s.remote }
func (s *secure) Close() error                     { return nil }
func (s *secure) SetDeadline(time.Time) error      { return nil }
func (s *secure) SetReadDeadline(time.Time) error  { return nil }
func (s *secure) SetWriteDeadline(time.Time) error { return nil }

// cutter finds the ends of TLS records in a stream.
type cutter struct {
	head int     // bytes of the header that were seen
	size [2]byte // the header's last two
	left int     // of the record's body, once head is recordHead
}

const recordHead = 5 // type, version, length of the body

// next is how many bytes of p belong to the record at hand, and goes on by so many.
func (r *cutter) next(p []byte) int {
	n := 0
	for r.head < recordHead && n < len(p) {
		if r.head >= recordHead-2 {
			r.size[r.head-(recordHead-2)] = p[n]
		}
		n++
		if r.head++; r.head == recordHead {
			r.left = int(r.size[0])<<8 | int(r.size[1])
		}
	}
	if r.head < recordHead {
		return n
	}
	k := min(r.left, len(p)-n)
	if r.left -= k; r.left == 0 {
		r.head = 0
	}
	return n + k
}

// netAddr is an Addr for crypto/tls, which tells servers without a name apart by it.
type netAddr struct{ Addr }

func (a netAddr) Network() string {
	if a.Path != "" {
		return "unix"
	}
	return "tcp"
}

func (c *Conn) remoteAddr() Addr {
	if c.state == stateConnecting {
		return addrOf(c.to)
	}
	sa, err := unix.Getpeername(c.fd)
	if err != nil {
		return Addr{}
	}
	return addrOf(sa)
}
