package enginetest

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"mysqlproxy/packet"
)

// This file has connections that speak TLS or compressed from some step on.

var localhost = sync.OnceValue(func() *Identity { return NewAuthority("localhost", "localhost", "127.0.0.1") })

// ServerTLS is the configuration of a server with a certificate for localhost.
func ServerTLS() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{localhost().TLS()}}
}

// ClientTLS is that of a client which trusts it.
func ClientTLS() *tls.Config {
	return &tls.Config{RootCAs: localhost().Pool(), ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(8)}
}

// StartTLS speaks TLS from here on.
func StartTLS(cfg *tls.Config, server bool) Step {
	return Step{"start TLS", func(c *Conn) error {
		if n := c.r.Buffered(); n > 0 {
			c.Conn = behind{c.Conn, io.MultiReader(io.LimitReader(c.r, int64(n)), c.Conn)}
		}
		t := tls.Client(c.Conn, cfg)
		if server {
			t = tls.Server(c.Conn, cfg)
		}
		_ = c.SetDeadline(time.Now().Add(Patience))
		if err := t.Handshake(); err != nil {
			return err
		}
		c.Conn = t
		c.r = bufio.NewReaderSize(t, 64<<10)
		return nil
	}}
}

// behind is a connection of which something has been read.
type behind struct {
	net.Conn
	r io.Reader
}

func (b behind) Read(p []byte) (int, error) { return b.r.Read(p) }

// Compress speaks compressed from here on, and checks that the ids of frames
// count on.
func Compress(algorithm packet.Capability, server bool) Step {
	return compress(algorithm, server, true)
}

// CompressAtOnce is Compress for commands that are sent without waiting: there
// is no rule for the ids of their frames.
func CompressAtOnce(algorithm packet.Capability, server bool) Step {
	return compress(algorithm, server, false)
}

func compress(algorithm packet.Capability, server, strict bool) Step {
	return Step{"compress", func(c *Conn) error {
		c.Conn = &compressed{Conn: c.Conn, r: bufio.NewReader(io.MultiReader(io.LimitReader(c.r, int64(c.r.Buffered())), c.Conn)),
			codec: packet.NewCompressed(algorithm, 3), server: server, strict: strict}
		c.r = bufio.NewReaderSize(c.Conn, 64<<10)
		return nil
	}}
}

type compressed struct {
	net.Conn
	r      *bufio.Reader
	codec  *packet.Compressed
	server bool
	strict bool // ids are checked
	next   byte // id of the next frame, whoever sends it
	plain  []byte
}

// Write sends p in frames of its own. A client's packet with id 0 is a command.
func (c *compressed) Write(p []byte) (int, error) {
	if !c.server && len(p) > 3 && p[3] == 0 {
		c.codec.Begin()
	}
	out := c.codec.Flush(c.codec.Encode(nil, p))
	for at := 0; at+7 <= len(out); at += 7 + packet.Packet(out[at:]).PayloadLen() {
		c.next = out[at+3] + 1
	}
	if _, err := c.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *compressed) Read(p []byte) (int, error) {
	for len(c.plain) == 0 {
		head, err := c.r.Peek(7)
		if err != nil {
			return 0, err
		}
		if id := head[3]; c.strict && id != c.next && !(c.server && id == 0) {
			return 0, fmt.Errorf("frame %d, want %d", id, c.next)
		}
		c.next = head[3] + 1
		frame := make([]byte, 7+packet.Packet(head).PayloadLen())
		if _, err := io.ReadFull(c.r, frame); err != nil {
			return 0, err
		}
		buf := make([]byte, 64<<10)
		for {
			filled, taken, err := c.codec.Decode(buf, frame)
			if err != nil {
				return 0, err
			}
			c.plain = append(c.plain, buf[:filled]...)
			if frame = frame[taken:]; filled == 0 && len(frame) == 0 {
				break
			}
		}
	}
	n := copy(p, c.plain)
	c.plain = c.plain[n:]
	return n, nil
}
