package reactor

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"mysqlproxy/engine/enginetest"
)

// identity is a certificate for "db.test" that has issued itself.
var identity = sync.OnceValue(func() *enginetest.Identity { return enginetest.NewAuthority("db.test", "db.test") })

func serverConfig() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{identity().TLS()}}
}

func clientConfig() *tls.Config {
	return &tls.Config{RootCAs: identity().Pool(), ServerName: "db.test"}
}

// upper is what stands above a connection's socket on the loop and above the
// peer's.
type tlsState = tls.ConnectionState

type upper struct {
	name   string
	tls    uint16 // version, 0 for none
	client bool   // the loop is the client
	codec  bool
}

var uppers = []upper{
	{"TLS 1.2 server", tls.VersionTLS12, false, false},
	{"TLS 1.2 client", tls.VersionTLS12, true, false},
	{"TLS 1.3 server", tls.VersionTLS13, false, false},
	{"TLS 1.3 client", tls.VersionTLS13, true, false},
	{"codec", 0, false, true},
	{"codec over TLS", tls.VersionTLS13, false, true},
}

// on puts it on c, on its loop.
func (u upper) on(t *testing.T, c *Conn) {
	if u.tls != 0 {
		cfg := serverConfig()
		if u.client {
			cfg = clientConfig()
		}
		cfg.MaxVersion = u.tls
		c.StartTLS(cfg, !u.client, func(s tls.ConnectionState, err error) {
			if err != nil {
				t.Errorf("the handshake on the loop: %v", err)
				c.Close(err)
			} else if s.Version != u.tls || !s.HandshakeComplete || !c.Encrypted() {
				t.Errorf("version %x, complete %v, encrypted %v", s.Version, s.HandshakeComplete, c.Encrypted())
			}
		})
	}
	if u.codec {
		c.SetCodec(&frameCodec{})
	}
}

// far is the peer's end of it. The handshake is done by its first Read or Write.
func (u upper) far(conn net.Conn) net.Conn {
	switch {
	case u.tls == 0:
	case u.client:
		conn = tls.Server(conn, serverConfig())
	default:
		conn = tls.Client(conn, clientConfig())
	}
	if u.codec {
		conn = &codecConn{Conn: conn}
	}
	return conn
}

// pairWith is pair with u on both ends.
func (l *testLoop) pairWith(u upper, kind string, r *recorder) (*Conn, net.Conn) {
	l.t.Helper()
	c, peer := l.pair(kind, r)
	l.do(func() { u.on(l.t, c) })
	return c, u.far(peer)
}

// frameCodec makes frames: a length of four bytes, then as many bytes, each xor
// 0x5a. If the highest bit of the length is set one byte follows, that is meant
// so often.
type frameCodec struct {
	kept []byte // written, not yet in a frame
	head []byte // of an incomplete frame: its length, and a run's byte
	left int    // of the frame
}

const (
	runBit    = 1 << 31
	frameSize = 20_000
)

var errFrame = errors.New("a frame of no bytes")

func (f *frameCodec) Encode(dst, p []byte) []byte {
	f.kept = append(f.kept, p...)
	for len(f.kept) >= frameSize {
		dst = appendFrame(dst, f.kept[:frameSize])
		f.kept = f.kept[frameSize:]
	}
	return dst
}

func (f *frameCodec) Flush(dst []byte) []byte {
	if len(f.kept) > 0 {
		dst = appendFrame(dst, f.kept)
		f.kept = nil
	}
	return dst
}

func appendFrame(dst, p []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(p)))
	for _, b := range p {
		dst = append(dst, b^0x5a)
	}
	return dst
}

// repeat fills p with b.
func repeat(p []byte, b byte) {
	if len(p) > 0 {
		p[0] = b
	}
	for n := 1; n < len(p); n *= 2 {
		copy(p[n:], p[:n])
	}
}

// appendRun is n times b.
func appendRun(dst []byte, b byte, n int) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(n)|runBit), b)
}

func (f *frameCodec) Decode(dst, src []byte) (filled, taken int, err error) {
	for {
		if f.left == 0 {
			for len(f.head) < 4 || f.head[0]&0x80 != 0 && len(f.head) < 5 {
				if taken == len(src) {
					return filled, taken, nil
				}
				f.head = append(f.head, src[taken])
				taken++
			}
			if f.left = int(binary.BigEndian.Uint32(f.head) &^ runBit); f.left == 0 {
				return filled, taken, errFrame
			}
		}
		k := min(f.left, len(dst)-filled)
		if len(f.head) == 5 {
			repeat(dst[filled:filled+k], f.head[4])
		} else {
			k = min(k, len(src)-taken)
			for i := range k {
				dst[filled+i] = src[taken+i] ^ 0x5a
			}
			taken += k
		}
		filled += k
		if f.left -= k; f.left == 0 {
			f.head = f.head[:0]
		}
		if k == 0 || filled == len(dst) {
			return filled, taken, nil
		}
	}
}

// codecConn is the other end of a frameCodec.
type codecConn struct {
	net.Conn
	f   frameCodec
	src []byte
	buf [50_000]byte
}

func (c *codecConn) Write(p []byte) (int, error) {
	var out []byte
	for rest := p; len(rest) > 0; {
		k := min(len(rest), 30_000)
		out = appendFrame(out, rest[:k])
		rest = rest[k:]
	}
	if _, err := c.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *codecConn) Read(p []byte) (int, error) {
	for {
		n, taken, err := c.f.Decode(p, c.src)
		c.src = c.src[taken:]
		if n > 0 || err != nil {
			return n, err
		}
		k, err := c.Conn.Read(c.buf[:])
		if k == 0 && err != nil {
			return 0, err
		}
		c.src = c.buf[:k]
	}
}

func (c *codecConn) CloseWrite() error {
	return c.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

// chopped writes in random pieces.
type chopped struct {
	net.Conn
	rnd *rand.Rand
	max int
}

func (c *chopped) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = c.Conn.Write(p[n:min(len(p), n+1+c.rnd.IntN(c.max))])
		n += k
	}
	return n, err
}

func (c *chopped) CloseWrite() error {
	return c.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

// sendRandomly is sendNoise in writes of random sizes.
func sendRandomly(w io.Writer, rnd *rand.Rand, seed byte, n, most int) error {
	src, buf := newNoise(seed), make([]byte, most)
	for n > 0 {
		p := buf[:min(n, 1+rnd.IntN(1+rnd.IntN(most)))]
		src.Read(p)
		if _, err := w.Write(p); err != nil {
			return err
		}
		n -= len(p)
	}
	return nil
}
