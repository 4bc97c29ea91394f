package engine

import "mysqlproxy/packet"

// This file is compression, on either side of a session and independent of the
// other. It begins behind the login's last OK and ends with the session.
//
// Inside of it, sequence ids mean little: a server counts on from the ids of its
// frames. So they are made anew where a stream was compressed, for the other
// side counts packets.

// compression is the algorithm that is in force where both of c are offered or
// claimed, as servers choose: zlib before zstd.
func compression(c packet.Capability) packet.Capability {
	if c&packet.CapCompress != 0 {
		return packet.CapCompress
	}
	return c & packet.CapZstd
}

// usualZstd is up to which level clients may ask for zstd, if the operator has not
// set a higher one.
const usualZstd = 7

// compress begins with it on the client's side, if it was agreed upon.
func (c *client) compress() {
	if c.packs == 0 {
		return
	}
	level := c.terms.ZlibLevel
	if c.packs == packet.CapZstd {
		// What a client asks for is worked off on the loop that others need too.
		level = min(c.level, max(usualZstd, c.terms.ZstdLevel))
	}
	c.zip = packet.NewCompressed(c.packs, level)
	c.conn.SetCodec(c.zip)
}

// asked is called when the server has asked for a file: the client's next
// packets are that.
func (c *client) asked() {
	c.fileSeq = c.server.resp.Seq() + 1
	c.enter(clientInfile)
}

// renumber makes the sequence id of the packet of a file that b begins with.
func (c *client) renumber(b []byte) {
	b[3] = c.fileSeq
	c.fileSeq++
}

// compression is what s is asked for.
func (s *server) compression() packet.Capability {
	return compression(s.offers & s.terms.BackendCompression)
}

// compress begins with it on the server's side, if it was agreed upon.
func (s *server) compress() {
	packs := s.compression()
	if packs == 0 || s.zip != nil { // a session from the pool has it already
		return
	}
	level := s.terms.ZlibLevel
	if packs == packet.CapZstd {
		level = s.terms.ZstdLevel
	}
	s.zip = packet.NewCompressed(packs, level)
	s.conn.SetCodec(s.zip)
}

// begin is called before a command is written: it starts a frame of its own.
func (s *server) begin() {
	s.conn.Flush()
	s.zip.Begin()
}

// counts is called behind what was written of commands, of which the last may be
// a part: responses to others that arrive in between do not change how its frames
// count.
func (s *server) counts(part bool) {
	if s.zip != nil {
		s.conn.Flush()
		s.zip.Hold(part)
	}
}

// counts is called behind what was written of responses, in the same way.
func (c *client) counts(part bool) {
	if c.zip != nil {
		c.conn.Flush()
		c.zip.Hold(part)
	}
}

// command writes a command.
func (s *server) command(packets []byte) {
	if s.zip != nil {
		s.begin()
	}
	s.conn.Write(packets)
	s.counts(false)
}

// number makes the sequence id of the packet that b begins with, and cuts b off
// behind it. A packet that has not begun to pass gets the same again.
func (s *server) number(b []byte) []byte {
	switch {
	case s.resp.Streaming(): // a replica has its own way of counting
		return b
	case !s.resp.Between():
		return b[:min(len(b), s.resp.Left())]
	case len(b) < packet.HeaderLen:
		return b
	}
	switch c := s.client; {
	case s.resp.Begun() && c.spoke:
		b[3] = c.req.Seq() + 1
	case s.resp.Begun():
		b[3] = s.resp.Seq() + 1
	case !s.queue.empty():
		b[3] = s.queue.first().seq + 1
	}
	return b[:min(len(b), packet.HeaderLen+packet.Packet(b).PayloadLen())]
}
