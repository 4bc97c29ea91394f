package packet

// This file knows how packets lie in a stream: a header of three bytes payload
// length and one byte sequence id, then the payload. A payload of MaxPayload
// bytes or more is cut into packets of exactly MaxPayload, and the first
// shorter one, which may be empty, ends it.

const (
	// HeaderLen is the length of a packet's header in bytes.
	HeaderLen = 4
	// MaxPayload is the longest payload of one packet in bytes. A packet of
	// this length is continued by the next one.
	MaxPayload = 1<<24 - 1
)

// Packet is a whole packet, header and payload. It borrows the stream it was
// cut from.
type Packet []byte

// PayloadLen is the payload's length in bytes as the header has it.
func (p Packet) PayloadLen() int { return payloadLen(p) }

// Seq is the packet's sequence id.
func (p Packet) Seq() byte { return p[3] }

// Payload is what follows the header.
func (p Packet) Payload() []byte { return p[HeaderLen:] }

func payloadLen(b []byte) int {
	_ = b[3]
	return int(b[0]) | int(b[1])<<8 | int(b[2])<<16
}

// Next cuts the first whole packet off buf. ok is false if buf ends before the
// packet does; the caller then keeps buf and asks again when more has arrived.
// Both pkt and rest alias buf.
func Next(buf []byte) (pkt Packet, rest []byte, ok bool) {
	if len(buf) < HeaderLen {
		return nil, buf, false
	}
	n := HeaderLen + payloadLen(buf)
	if len(buf) < n {
		return nil, buf, false
	}
	return Packet(buf[:n:n]), buf[n:], true // cap cut: an append cannot run into rest
}

// AppendHeader appends the header of a packet with n bytes of payload, n at
// most MaxPayload.
func AppendHeader(dst []byte, n int, seq byte) []byte {
	return append(dst, byte(n), byte(n>>8), byte(n>>16), seq)
}

// AppendPacket appends payload as one packet, or as many as its length asks
// for: the first has sequence id seq, each further one the next.
func AppendPacket(dst []byte, seq byte, payload []byte) []byte {
	for len(payload) >= MaxPayload {
		dst = AppendHeader(dst, MaxPayload, seq)
		dst = append(dst, payload[:MaxPayload]...)
		payload = payload[MaxPayload:]
		seq++
	}
	dst = AppendHeader(dst, len(payload), seq)
	return append(dst, payload...)
}

// Cursor is a place in a stream of packets, for a reader that looks at the
// first bytes of a payload and lets the rest pass by as a count. The zero
// Cursor stands before a packet.
type Cursor struct {
	left int32 // bytes of the current packet's payload that have not passed
	cont bool  // the current packet is MaxPayload long: the next continues it
	seq  byte  // sequence id of the current packet
}

// Open passes the header at the start of b, which has HeaderLen bytes at least.
// The cursor must stand between two packets. It tells whether the packet is a
// continuation: then its first byte has no meaning.
func (c *Cursor) Open(b []byte) (continuation bool) {
	n := payloadLen(b)
	continuation = c.cont
	c.left, c.cont, c.seq = int32(n), n == MaxPayload, b[3]
	return continuation
}

// Pass lets up to n bytes of the current packet pass and returns how many did.
func (c *Cursor) Pass(n int) int {
	if n > int(c.left) {
		n = int(c.left)
	}
	c.left -= int32(n)
	return n
}

// Left is how many bytes of the current packet have not passed.
func (c *Cursor) Left() int { return int(c.left) }

// Between tells whether the cursor stands between two packets, of the same
// payload perhaps.
func (c *Cursor) Between() bool { return c.left == 0 }

// Whole tells whether the cursor stands at the end of a payload: nothing of it
// is outstanding, here or in a continuation.
func (c *Cursor) Whole() bool { return c.left == 0 && !c.cont }

// Continued tells whether the next packet continues the payload of this one.
func (c *Cursor) Continued() bool { return c.cont }

// Seq is the sequence id of the packet that was opened last.
func (c *Cursor) Seq() byte { return c.seq }
