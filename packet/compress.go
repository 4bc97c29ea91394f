package packet

import "errors"

// This file has the compressed protocol, which begins behind the OK that ends a
// login. The stream of packets is cut into frames anywhere, not at packets:
//
//	u24 length of the body, u8 sequence id, u24 length of the body inflated, body
//
// Where the second length is 0, the body is stored as it is. Any other body is
// one complete stream of zlib (compress_zlib.go) or of zstd (compress_zstd.go).

const (
	compressedHeaderLen = 7
	storedBelow         = 50       // bytes: a shorter body is not worth it, as in clients and servers
	plainFrame          = 64 << 10 // bytes of packets that make up a frame we send
)

// ErrCompression says that a frame of the compressed protocol cannot be: what it
// inflates to is more or less than it announces, damaged, or needs a window of
// more than 16 MiB.
var ErrCompression = errors.New("packet: malformed compressed frame")

// Compressed is one side of a connection with compression in force: it turns
// the frames that arrive into packets and packets into frames to send. Between
// frames it holds no buffer. While a frame is arriving it holds the body, as far
// as that has arrived (16 MiB at most), and while one is being inflated into too
// little room, a decompressor: of zlib 64 KiB, of zstd up to the window that the
// frame asks for, 16 MiB at most.
//
// The sequence ids are the frames' own. As in servers and libmysql, what is sent
// counts on from what was sent or received last. The ids received are not
// checked: they protect against nothing that the packets would not show, and
// clients that pipeline count them in more than one way.
type Compressed struct {
	zstd  bool
	level int

	head    [compressedHeaderLen]byte
	headLen int      // bytes of head that are there
	body    int      // bytes of the frame's body that have not arrived
	plain   int      // bytes that the frame has yet to inflate to; 0 in one that is stored
	held    *buffer  // the body, if it came in pieces or did not fit
	in      inflater // the frame that is being inflated, if any
	failed  bool

	last   byte    // sequence id of the last frame received
	next   byte    // sequence id of the next frame sent
	ahead  bool    // what is received does not change next: see Hold
	passed bool    // something was, meanwhile
	kept   *buffer // to send: what is not yet a frame
}

// inflater inflates one frame.
type inflater interface {
	open(body []byte) error       // from the beginning of body, which is borrowed
	read(dst []byte) (int, error) // some bytes, at least one
	end() error                   // nil if neither plain bytes nor any of the body are left
	keep(buf []byte) []byte       // moves what is left of the body to the end of buf and borrows that instead
	close()                       // to the pool
}

// NewCompressed returns a side of a connection with the capabilities caps in
// force, before its first frame: zlib if they have CapCompress, as servers do
// where they have both, else zstd. The level is what is sent with: 1 to 9 for
// zlib, 1 to 22 for zstd; 0 is the usual one, 6 or 3, and what is beyond the end
// is the end.
func NewCompressed(caps Capability, level int) *Compressed {
	if caps&CapCompress != 0 {
		return &Compressed{level: zlibLevel(level)}
	}
	return &Compressed{zstd: true, level: zstdLevel(level)}
}

// Decode reads frames from src and writes the packets that are in them to dst,
// keeping neither. It takes what it can of src and fills what it
// can of dst; while there are bytes left in one and room in the other, at least
// one of the results is not 0. There is more to come from what was taken if dst
// was filled: call again, with the rest of src, until all is taken and nothing
// is filled. The error is ErrCompression, and final; what was filled before it
// is good as far as a frame's contents can be known before its end. Bytes of dst
// behind those filled may be overwritten.
func (c *Compressed) Decode(dst, src []byte) (filled, taken int, err error) {
	if c.failed {
		return 0, 0, ErrCompression
	}
	for {
		out, in := dst[filled:], src[taken:]
		switch {
		case c.headLen < compressedHeaderLen:
			n := copy(c.head[c.headLen:], in)
			c.headLen += n
			taken += n
			if c.headLen < compressedHeaderLen {
				return filled, taken, nil
			}
			c.body, c.last = payloadLen(c.head[:]), c.head[3]
			if c.passed = c.ahead; !c.ahead {
				c.next = c.last + 1
			}
			c.plain = int(c.head[4]) | int(c.head[5])<<8 | int(c.head[6])<<16
			if c.body == 0 && c.plain > 0 {
				return filled, taken, c.fail()
			}
			if c.body == 0 {
				c.headLen = 0
			}
		case len(out) == 0:
			return filled, taken, nil
		case c.in != nil:
			n, err := c.inflate(out)
			filled += n
			if err != nil {
				return filled, taken, c.fail()
			}
		case len(in) == 0:
			return filled, taken, nil
		case c.plain == 0:
			n := copy(out, in[:min(c.body, len(in))])
			filled += n
			taken += n
			if c.body -= n; c.body == 0 {
				c.headLen = 0
			}
		default:
			n := min(c.body, len(in))
			taken += n
			c.body -= n
			body := in[:n]
			if c.body > 0 || c.held != nil {
				c.held = c.held.append(body)
				body = c.held.b
			}
			if c.body > 0 {
				return filled, taken, nil
			}
			n, err := c.open(out, body)
			filled += n
			if err != nil {
				return filled, taken, c.fail()
			}
		}
	}
}

// open begins to inflate a frame that is whole, and fills dst with what there
// is room for.
func (c *Compressed) open(dst, body []byte) (filled int, err error) {
	if c.zstd && c.plain <= len(dst) {
		if err := inflateZstd(dst[:c.plain:c.plain], body); err != nil {
			return 0, err
		}
		filled, c.plain = c.plain, 0
		c.done()
		return filled, nil
	}
	if c.zstd {
		c.in = newZstdInflater()
	} else {
		c.in = newZlibInflater()
	}
	if err := c.in.open(body); err != nil {
		return 0, err
	}
	filled, err = c.inflate(dst)
	if err == nil && c.in != nil && c.held == nil {
		// The rest of the body must outlive the caller's slice.
		c.held = newBuffer()
		c.held.b = c.in.keep(c.held.b)
	}
	return filled, err
}

// inflate fills dst with the frame's next bytes, and goes over to the next frame
// if they were its last.
func (c *Compressed) inflate(dst []byte) (filled int, err error) {
	dst = dst[:min(len(dst), c.plain)]
	for filled < len(dst) {
		n, err := c.in.read(dst[filled:])
		if err != nil {
			return filled, err
		}
		filled += n
		c.plain -= n
	}
	if c.plain == 0 {
		if err := c.in.end(); err != nil {
			return filled, err
		}
		c.done()
	}
	return filled, nil
}

// done ends a frame and gives back what was held for it.
func (c *Compressed) done() {
	c.headLen = 0
	c.held = c.held.free()
	if c.in != nil {
		c.in.close()
		c.in = nil
	}
}

// fail is the end of a connection. What is held is dropped, not given back: it
// may be in any state.
func (c *Compressed) fail() error {
	c.failed, c.in, c.held = true, nil, nil
	return ErrCompression
}

// Encode takes all of p, a part of the stream of packets to send, and appends to
// dst the frames that it completes. What is left waits for more, or for Flush.
// dst must not overlap p.
func (c *Compressed) Encode(dst, p []byte) []byte {
	for len(p) > 0 {
		if c.kept == nil && len(p) >= plainFrame {
			dst = c.frame(dst, p[:plainFrame])
			p = p[plainFrame:]
			continue
		}
		n := min(len(p), plainFrame)
		if c.kept != nil {
			n = min(n, plainFrame-len(c.kept.b))
		}
		c.kept = c.kept.append(p[:n])
		p = p[n:]
		if len(c.kept.b) == plainFrame {
			dst = c.Flush(dst)
		}
	}
	return dst
}

// Flush appends to dst a frame of what Encode has left, if it has left anything.
func (c *Compressed) Flush(dst []byte) []byte {
	if c.kept == nil {
		return dst
	}
	dst = c.frame(dst, c.kept.b)
	c.kept = c.kept.free()
	return dst
}

// frame appends a frame of p, which has MaxPayload bytes at most.
func (c *Compressed) frame(dst, p []byte) []byte {
	start, plain := len(dst), len(p)
	dst = append(dst, make([]byte, compressedHeaderLen)...)
	body := start + compressedHeaderLen
	if plain >= storedBelow {
		if c.zstd {
			dst = deflateZstd(dst, p, c.level)
		} else {
			dst = deflateZlib(dst, p, c.level)
		}
	}
	if n := len(dst) - body; n == 0 || n >= plain {
		dst = append(dst[:body], p...)
		plain = 0
	}
	n := len(dst) - body
	copy(dst[start:], []byte{byte(n), byte(n >> 8), byte(n >> 16), c.next, byte(plain), byte(plain >> 8), byte(plain >> 16)})
	c.next++
	return dst
}

// Begin says that the next frame sent starts a command: its sequence id is 0.
// What came before must have been flushed.
func (c *Compressed) Begin() { c.next, c.passed = 0, false }

// Answer says which sequence id the next frame sent has. What came before must
// have been flushed.
func (c *Compressed) Answer(seq byte) { c.next, c.passed = seq, false }

// Hold says whether a command or a response is under way, so that frames which
// arrive meanwhile belong to another one and what is sent counts on. What came
// before must have been flushed.
func (c *Compressed) Hold(on bool) {
	if c.ahead = on; !on && c.passed {
		c.next, c.passed = c.last+1, false
	}
}

// Last is the sequence id of the last frame of which the header was received.
func (c *Compressed) Last() byte { return c.last }

// buffer is a buffer that all connections share, while one needs it. Its methods
// take nil for none.
type buffer struct{ b []byte }

// bufferKept is how many bytes a buffer may have to be used again: enough for
// what we send and servers do, but not for what one large frame has needed.
const bufferKept = 2 * plainFrame

var buffers = make(pool[*buffer], pooled)

func newBuffer() *buffer {
	if b, ok := buffers.get(); ok {
		return b
	}
	return new(buffer)
}

func (b *buffer) append(p []byte) *buffer {
	if b == nil {
		b = newBuffer()
	}
	b.b = append(b.b, p...)
	return b
}

// free returns nil, to be kept in place of b.
func (b *buffer) free() *buffer {
	if b != nil && cap(b.b) <= bufferKept {
		b.b = b.b[:0]
		buffers.put(b)
	}
	return nil
}

// pool has what is at present unused of a kind, for all goroutines. What does
// not go in is left to the garbage collector.
type pool[T any] chan T

// pooled is how many of a kind a pool has room for. It gets as many as were in
// use at once: of compressors one for each loop, for no call returns with one.
const pooled = 64

func newPools[T any](n int) []pool[T] {
	pools := make([]pool[T], n)
	for i := range pools {
		pools[i] = make(pool[T], pooled)
	}
	return pools
}

func (p pool[T]) get() (t T, ok bool) {
	select {
	case t = <-p:
		return t, true
	default:
		return t, false
	}
}

func (p pool[T]) put(t T) {
	select {
	case p <- t:
	default:
	}
}
