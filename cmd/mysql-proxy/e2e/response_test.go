package e2e

import (
	"bytes"
	"encoding/binary"
)

// How a rawConn finds the end of each kind of response.

// result reads a response by the result set grammar. cursor tells that the
// command was an EXECUTE that asked for a cursor.
func (c *rawConn) result(cursor bool) {
	for {
		p := c.packet()
		switch {
		case len(p) == 0:
			c.end("empty packet as a response")
		case p[0] == 0xFF:
			if c.isProgress(p) {
				continue
			}
			return
		case p[0] == 0x00:
			if c.okStatus(p)&statusMoreResults == 0 {
				return
			}
			continue
		case p[0] == 0xFB:
			c.upload()
			continue
		}
		n, size := lenenc(p)
		defs := c.ext&extCacheMetadata == 0 || p[size] == 1
		for i := uint64(0); defs && i < n; i++ {
			if p := c.packet(); p[0] == 0xFF {
				return
			}
		}
		var status uint16
		if c.caps&capDeprecateEOF == 0 {
			p := c.packet()
			if p[0] == 0xFF {
				return
			}
			status = c.statusAt(p, 3)
			if cursor && status&statusCursorExists != 0 && status&statusMoreResults == 0 {
				return
			}
		}
		// Behind OUT parameters comes the OK of the CALL, of which MySQL's EOF does not tell.
		if c.rows()&statusMoreResults == 0 && status&statusOutParams == 0 {
			return
		}
	}
}

// rows reads rows up to their terminator and returns its status flags, 0 for
// an ERR.
func (c *rawConn) rows() uint16 {
	for {
		before := c.tr.fragments
		p := c.packet()
		if c.tr.fragments-before > 1 { // a row of 16 MiB or more may begin with 0xFE
			continue
		}
		switch {
		case len(p) > 0 && p[0] == 0xFF && !c.isProgress(p):
			return 0
		case len(p) > 0 && p[0] == 0xFE && c.caps&capDeprecateEOF != 0:
			return c.okStatus(p)
		case len(p) == 5 && p[0] == 0xFE:
			return c.statusAt(p, 3)
		}
		c.tr.row()
	}
}

// fieldList reads the response of COM_FIELD_LIST.
func (c *rawConn) fieldList() {
	for {
		if p := c.packet(); p[0] == 0xFF || p[0] == 0xFE && len(p) < 9 {
			if p[0] == 0xFE {
				c.endStatus(p)
			}
			return
		}
	}
}

// prepare sends PREPARE and reads its response. The statement id, which the
// server chooses, is noted as the number of the PREPARE on this connection.
func (c *rawConn) prepare(sql string) {
	c.send(comPrepare, []byte(sql)...)
	c.prepared()
}

func (c *rawConn) prepared() {
	p := c.quietPacket()
	h := c.lastHeader(p)
	if p[0] != 0x00 || len(p) < 12 {
		c.tr.packet(h, p)
		return
	}
	c.stmts = append(c.stmts, binary.LittleEndian.Uint32(p[1:]))
	columns, params := binary.LittleEndian.Uint16(p[5:]), binary.LittleEndian.Uint16(p[7:])
	shown := bytes.Clone(p)
	binary.LittleEndian.PutUint32(shown[1:], uint32(len(c.stmts)))
	c.tr.packet(h, shown)
	for _, n := range []uint16{params, columns} {
		for range n {
			c.packet()
		}
		if n > 0 && c.caps&capDeprecateEOF == 0 {
			c.statusAt(c.packet(), 3)
		}
	}
}

// upload answers a LOCAL INFILE request with c.file, in packets of 100000 bytes.
func (c *rawConn) upload() {
	var b []byte
	for rest := c.file; len(rest) > 0; {
		n := min(len(rest), 100000)
		b = c.frame(b, rest[:n])
		rest = rest[n:]
	}
	c.write(c.frame(b, nil))
}

func (c *rawConn) isProgress(p []byte) bool {
	return c.ext&extProgress != 0 && len(p) > 3 && p[0] == 0xFF && p[1] == 0xFF && p[2] == 0xFF
}

// okStatus is the status of an OK payload, whatever its header byte. The
// payload is the packet's that was read last.
func (c *rawConn) okStatus(p []byte) uint16 {
	_, a := lenenc(p[1:])
	_, b := lenenc(p[1+a:])
	return c.statusAt(p, 1+a+b)
}

// endStatus is the status of what ends rows, an EOF or an OK.
func (c *rawConn) endStatus(p []byte) uint16 {
	if c.caps&capDeprecateEOF != 0 {
		return c.okStatus(p)
	}
	return c.statusAt(p, 3)
}

// statusAt is the status that stands at an offset of the payload read last.
func (c *rawConn) statusAt(p []byte, at int) uint16 {
	c.tr.status(at)
	return binary.LittleEndian.Uint16(p[at:])
}

// lenenc reads a length-encoded integer and tells how many bytes it takes.
func lenenc(b []byte) (v uint64, size int) {
	switch b[0] {
	case 0xFC:
		return uint64(binary.LittleEndian.Uint16(b[1:])), 3
	case 0xFD:
		return uint64(b[1]) | uint64(b[2])<<8 | uint64(b[3])<<16, 4
	case 0xFE:
		return binary.LittleEndian.Uint64(b[1:]), 9
	}
	return uint64(b[0]), 1
}
