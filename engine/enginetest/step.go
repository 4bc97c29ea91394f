package enginetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"mysqlproxy/packet"
)

// Step is one thing that a peer does.
type Step struct {
	Name string // for errors
	do   func(*Conn) error
}

// Do is a step of the caller's own.
func Do(name string, do func(*Conn) error) Step { return Step{name, do} }

// All is several steps as one.
func All(name string, steps ...Step) Step {
	return Step{name, func(c *Conn) error {
		for _, s := range steps {
			if err := s.do(c); err != nil {
				return fmt.Errorf("%s: %w", s.Name, err)
			}
		}
		return nil
	}}
}

// Send sends bytes as they are, in one write.
func Send(b []byte) Step {
	return Step{fmt.Sprintf("send %d bytes % x", len(b), clip(b)), func(c *Conn) error {
		_, err := c.Write(b)
		return err
	}}
}

// SendPacket sends a payload, as more packets than one if it is that long.
func SendPacket(seq byte, payload []byte) Step {
	s := Send(packet.AppendPacket(nil, seq, payload))
	s.Name = fmt.Sprintf("send packet %d: % x", seq, clip(payload))
	return s
}

// SendSlowly sends bytes in pieces of n, each with a segment of its own as far
// as the kernel lets it.
func SendSlowly(b []byte, n int) Step {
	return Step{fmt.Sprintf("send %d bytes by %d", len(b), n), func(c *Conn) error {
		for rest := b; len(rest) > 0; rest = rest[min(n, len(rest)):] {
			if _, err := c.Write(rest[:min(n, len(rest))]); err != nil {
				return err
			}
		}
		return nil
	}}
}

// Expect reads exactly these bytes.
func Expect(want []byte) Step {
	return Step{fmt.Sprintf("expect %d bytes % x", len(want), clip(want)), func(c *Conn) error { return c.expect(want) }}
}

// ExpectPacket reads a payload, which may lie in more packets than one, and
// compares it and its sequence ids.
func ExpectPacket(seq byte, payload []byte) Step {
	s := Expect(packet.AppendPacket(nil, seq, payload))
	s.Name = fmt.Sprintf("expect packet %d: % x", seq, clip(payload))
	return s
}

// ExpectWhere reads one packet and has check look at it.
func ExpectWhere(what string, check func(packet.Packet) error) Step {
	return Step{"expect " + what, func(c *Conn) error {
		p, err := c.ReadPacket()
		if err == nil {
			err = check(p)
		}
		return err
	}}
}

// ExpectERR reads an ERR and compares all there is of it. An empty state stands
// for an ERR without one.
func ExpectERR(seq byte, code uint16, state, message string) Step {
	return ExpectPacket(seq, packet.AppendERR(nil, code, state, message))
}

// ErrMore says that bytes came where there should have been an end.
var ErrMore = errors.New("there is more")

// ExpectEnd waits until the peer has closed, in order or by a reset. Nothing
// may come before. A client closes then, as clients do: who has taken leave of it
// waits for that.
func ExpectEnd() Step {
	return Step{"expect the end", func(c *Conn) error {
		b := make([]byte, 64)
		n, err := c.Read(b)
		switch {
		case n > 0:
			return fmt.Errorf("%w: % x", ErrMore, b[:n])
		case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
			if c.dialed {
				c.ended = true
				c.Close()
			}
			return nil
		}
		return err
	}}
}

// Drain reads and forgets until the peer has closed.
func Drain() Step {
	return Step{"drain", func(c *Conn) error {
		_, err := io.Copy(io.Discard, struct{ io.Reader }{c})
		if errors.Is(err, syscall.ECONNRESET) {
			return nil
		}
		return err
	}}
}

// Skip reads and forgets n bytes.
func Skip(n int) Step {
	return Step{fmt.Sprintf("skip %d bytes", n), func(c *Conn) error {
		_, err := io.CopyN(io.Discard, struct{ io.Reader }{c}, int64(n))
		return err
	}}
}

// Fin closes in order.
func Fin() Step {
	return Step{"close", func(c *Conn) error {
		if c.ended {
			return nil
		}
		return c.Close()
	}}
}

// HalfClose sends no more, and can still read.
func HalfClose() Step {
	return Step{"half close", func(c *Conn) error {
		h, ok := c.Conn.(interface{ CloseWrite() error })
		if !ok {
			return fmt.Errorf("%T cannot be closed by half", c.Conn)
		}
		return h.CloseWrite()
	}}
}

// Reset closes by a reset.
func Reset() Step { return Step{"reset", (*Conn).reset} }

// Gate lets peers wait for each other.
type Gate chan struct{}

// NewGate makes a gate that is shut.
func NewGate() Gate { return make(Gate) }

// Open lets everybody pass who waits or will wait.
func Open(g Gate) Step { return Step{"open a gate", func(*Conn) error { close(g); return nil }} }

// Await waits for a gate.
func Await(g Gate) Step {
	return Step{"await a gate", func(*Conn) error {
		select {
		case <-g:
			return nil
		case <-time.After(Patience):
			return errors.New("it stayed shut")
		}
	}}
}

// Greet sends a greeting.
func Greet(g packet.Greeting) Step {
	s := SendPacket(0, g.Append(nil))
	s.Name = "greet"
	return s
}

// ExpectLogin reads a login and compares it with what the client sends if the
// proxy changes nothing.
func ExpectLogin(l packet.Login, server packet.Capability) Step {
	want := packet.AppendPacket(nil, 1, l.Append(nil, server))
	return ExpectWhere("the login", func(p packet.Packet) error {
		if !bytes.Equal(p, want) {
			return fmt.Errorf("got % x, want % x", p, want)
		}
		return nil
	})
}

// Admit is a server's part of a plain login: greeting, login, OK.
func Admit(caps packet.Capability) Step {
	return All("admit", Greet(Greeting(caps)), ExpectLogin(Login(caps), caps), SendPacket(2, OK(0)))
}

// Enter is a client's part of a plain login.
func Enter(caps packet.Capability) Step {
	g := Greeting(caps)
	l := Login(caps)
	return All("log in", ExpectPacket(0, g.Append(nil)), SendPacket(1, l.Append(nil, caps)), ExpectPacket(2, OK(0)))
}

// Buffers sets the size of the socket's two buffers, in bytes. The kernel takes
// twice as much, for its own needs.
func Buffers(n int) Step {
	return Step{"set the buffers", func(c *Conn) error {
		b, ok := c.Conn.(interface {
			SetReadBuffer(int) error
			SetWriteBuffer(int) error
		})
		if !ok {
			return fmt.Errorf("%T has no buffers to set", c.Conn)
		}
		return errors.Join(b.SetReadBuffer(n), b.SetWriteBuffer(n))
	}}
}

var _ net.Conn = (*Conn)(nil)

// ExpectQuiet looks for a moment whether anything comes that should not yet. It
// never fails a peer that is right, however slow, and catches most that are not.
func ExpectQuiet() Step {
	return Step{"expect nothing yet", func(c *Conn) error {
		_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		b, err := c.r.Peek(1)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		return fmt.Errorf("% x came, %v", b, err)
	}}
}
