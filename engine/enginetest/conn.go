package enginetest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"time"

	"mysqlproxy/packet"
)

// Patience is how long a step may wait for its peer. It only bounds tests that
// fail: nothing is measured against it.
const Patience = time.Minute

// Conn is one end of a connection. One goroutine uses it.
type Conn struct {
	net.Conn
	name   string
	r      *bufio.Reader
	dialed bool // it is a client's,
	ended  bool // which has closed because its peer has
}

// NewConn makes a Conn of nc. name is what errors call it.
func NewConn(nc net.Conn, name string) *Conn {
	return &Conn{Conn: nc, name: name, r: bufio.NewReaderSize(nc, 64<<10)}
}

// Dial connects to a.
func Dial(a net.Addr, name string) (*Conn, error) {
	nc, err := net.DialTimeout(a.Network(), a.String(), Patience)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c := NewConn(nc, name)
	c.dialed = true
	return c, nil
}

// Read reads what has arrived, waiting for at most Patience.
func (c *Conn) Read(p []byte) (int, error) {
	if c.r.Buffered() == 0 {
		_ = c.SetReadDeadline(time.Now().Add(Patience))
	}
	return c.r.Read(p)
}

// Write writes p, waiting for at most Patience.
func (c *Conn) Write(p []byte) (int, error) {
	_ = c.SetWriteDeadline(time.Now().Add(Patience))
	return c.Conn.Write(p)
}

// ReadPacket reads one packet, which is the caller's to keep.
func (c *Conn) ReadPacket() (packet.Packet, error) {
	head := make([]byte, packet.HeaderLen)
	if _, err := io.ReadFull(c, head); err != nil {
		return nil, err
	}
	p := make([]byte, packet.HeaderLen+packet.Packet(head).PayloadLen())
	copy(p, head)
	if n, err := io.ReadFull(c, p[packet.HeaderLen:]); err != nil {
		return nil, fmt.Errorf("after %d of %d bytes of a payload: %w", n, len(p)-packet.HeaderLen, err)
	}
	return p, nil
}

// expect reads as many bytes as want has and compares.
func (c *Conn) expect(want []byte) error {
	got := make([]byte, min(len(want), 256<<10))
	for at := 0; at < len(want); {
		n, err := c.Read(got[:min(len(got), len(want)-at)])
		if part := want[at : at+n]; !bytes.Equal(got[:n], part) {
			i := 0
			for got[i] == part[i] {
				i++
			}
			return fmt.Errorf("byte %d of %d: got % x, want % x", at+i, len(want), clip(got[i:n]), clip(part[i:]))
		}
		if at += n; err != nil && at < len(want) {
			return fmt.Errorf("after %d of %d bytes, waiting for % x: %w", at, len(want), clip(want[at:]), err)
		}
	}
	return nil
}

func clip(b []byte) []byte { return b[:min(len(b), 48)] }

// reset closes c so that its peer is told by a reset, where the network has
// such a thing.
func (c *Conn) reset() error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	return c.Close()
}

// Run takes the steps of a script.
func (c *Conn) Run(steps ...Step) error {
	for i, s := range steps {
		if err := s.do(c); err != nil {
			return fmt.Errorf("%s, step %d of %d, %s: %w", c.name, i+1, len(steps), s.Name, err)
		}
	}
	return nil
}
