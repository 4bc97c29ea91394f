package reactor

import "errors"

// Codec translates between what a handler sees and what travels, as compression
// does. It belongs to one Conn, on its loop.
type Codec interface {
	// Decode takes bytes of src, the peer's, and fills dst with what they mean.
	// It is called again, with the rest of src and more room, until it has taken
	// all of src and fills nothing. That both are 0 with src left over and room
	// in dst must not happen. What it needs of an incomplete unit it keeps
	// itself. Both slices are borrowed; src is at most 256 KiB. An error closes
	// the connection, after what was filled before has been delivered.
	Decode(dst, src []byte) (filled, taken int, err error)
	// Encode takes all of p, at most 64 KiB, and appends what can go out now to
	// dst; it may keep some until Flush.
	Encode(dst, p []byte) []byte
	// Flush appends what Encode has kept to dst.
	Flush(dst []byte) []byte
}

// errOrder is a fault of a handler.
var errOrder = errors.New("a connection gets TLS once, then a codec once")

// SetCodec puts codec between c and its handler, above TLS if there is any. It
// is called once, from within Data or at any other time on the loop: what the
// handler has not used, of this call of Data or of an earlier one, is encoded
// already. What was written before goes out as it is. codec is called until
// Closed, never later.
func (c *Conn) SetCodec(codec Codec) {
	if c.state > stateOpen {
		return
	}
	u := c.layer()
	if u.codec != nil {
		c.Close(errOrder)
		return
	}
	u.codec = codec
	u.fresh = true
	c.touch()
}

// Flush has all that was written so far leave the codec, as the end of a frame.
// It sends nothing by itself. The end of each event does the same.
func (c *Conn) Flush() {
	if c.up != nil && c.state <= stateOpen && !c.broken {
		c.up.flushCodec(c)
	}
}

// Push sends what was written so far, as far as the kernel takes it, where TLS
// or a codec would have waited for the end of the event. Waiting tells then what
// the peer has left.
func (c *Conn) Push() {
	if c.up != nil && c.state == stateOpen && !c.broken {
		c.up.finish(c)
		c.up.send(c)
	}
}

// write is Conn.Write with layers.
func (u *layers) write(c *Conn, p []byte) {
	if u.codec == nil {
		u.protect(c, p)
	} else {
		enc := &c.loop.scratch.enc
		for len(p) > 0 {
			k := min(len(p), sliceBytes)
			*enc = u.codec.Encode((*enc)[:0], p[:k])
			u.protect(c, *enc)
			p = p[k:]
		}
		u.encoded = true
		c.touch()
	}
	c.pressure()
}

// flushCodec empties the codec.
func (u *layers) flushCodec(c *Conn) {
	if !u.encoded {
		return
	}
	u.encoded = false
	enc := &c.loop.scratch.enc
	*enc = u.codec.Flush((*enc)[:0])
	u.protect(c, *enc)
	if cap(*enc) > turnBytes {
		*enc = nil // one large frame is no reason to hold as much for ever
	}
	c.pressure()
}
