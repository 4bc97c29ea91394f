package engine

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

// turn is what one side of a conversation sends before the other goes on.
type turn struct {
	server bool
	bytes  []byte
}

// conversation has something of everything.
func conversation() []turn {
	var ts []turn
	say := func(server bool, b []byte) { ts = append(ts, turn{server, b}) }
	one := func(server bool, seq byte, payload []byte) { say(server, packet.AppendPacket(nil, seq, payload)) }
	g, l := Greeting(Caps), Login(Caps)
	one(true, 0, g.Append(nil))
	one(false, 1, l.Append(nil, Caps))
	one(true, 2, []byte("\xfemysql_native_password\x00abcdefgh"))
	one(false, 3, []byte("hash"))
	one(true, 4, OK(0))
	two, next := Result(nil, 1, Caps, packet.StatusMoreResults, "a", "b")
	two, _ = Result(two, next, Caps, 0, "c")
	one(false, 0, Query("CALL p()"))
	say(true, two)
	one(false, 0, load)
	one(true, 1, []byte("\xfbfile"))
	file, answer := fileOf(9, 1)
	say(false, file)
	one(true, answer, OK(packet.StatusInTrans))
	prep := packet.PrepareOK{Statement: 1, Params: 1}
	say(false, append(packet.AppendPacket(nil, 0, []byte("\x16DO ?")), packet.AppendPacket(nil, 0, ping)...))
	b := packet.AppendPacket(nil, 1, prep.Append(nil, 0))
	b = packet.AppendPacket(packet.AppendPacket(b, 2, []byte("\x03def")), 3, EOF(0))
	say(true, packet.AppendPacket(b, 1, OK(0)))
	one(false, 0, []byte("\x11other\x00\x00\x00"))
	one(true, 1, []byte("\xfeparsec\x00abc"))
	one(false, 2, nil)
	one(true, 3, packet.AppendERR(nil, 1045, "28000", "no"))
	one(false, 0, append([]byte{byte(packet.ComBinlogDump)}, "bin.1"...))
	one(true, 1, []byte("\x00event"))
	one(false, 0, []byte("\xefack"))
	one(true, 2, EOF(0))
	return ts
}

// play takes one side's part in a conversation until the bytes that it may send
// are used up, then closes. It returns what it got.
func play(c *Conn, ts []turn, server bool, budget int) (got []byte) {
	defer c.Close()
	for _, t := range ts {
		if t.server == server {
			n := min(budget, len(t.bytes))
			if _, err := c.Write(t.bytes[:n]); err != nil {
				break
			}
			if budget -= n; budget <= 0 {
				return got
			}
			continue
		}
		b := make([]byte, len(t.bytes))
		n, err := io.ReadFull(c, b)
		if got = append(got, b[:n]...); err != nil || !bytes.Equal(b, t.bytes) {
			break
		}
	}
	rest, _ := io.ReadAll(struct{ io.Reader }{c})
	return append(got, rest...)
}

// A conversation that ends after any of its bytes, from either side, costs
// nothing but itself: neither side gets anything that the other has not sent,
// but for the client an ERR.
func TestConversationCutAtEveryByte(t *testing.T) {
	ts := conversation()
	var all [2][]byte // what the client and the server say
	for _, t := range ts {
		side := 0
		if t.server {
			side = 1
		}
		all[side] = append(all[side], t.bytes...)
	}
	for side, who := range []string{"client", "server"} {
		t.Run("by the "+who, func(t *testing.T) {
			w := newWorld(t)
			heard := make(chan []byte, 1)
			mayServer := make(chan int, 1)
			w.start(w.config(w.serverOf(func(_ int, c *Conn) error {
				heard <- play(c, ts, true, <-mayServer)
				return nil
			}).Addr()))
			for cut := 1; cut <= len(all[side]); cut++ {
				budget := [2]int{1 << 20, 1 << 20}
				budget[side] = cut
				mayServer <- budget[1]
				w.proxy.Backends()[0].set(BackendUnknown, "") // it is down after half a greeting
				c, err := Dial(w.front(), "client")
				if err != nil {
					t.Fatal(err)
				}
				byClient := play(c, ts, false, budget[0])
				byServer := <-heard
				if !bytes.HasPrefix(all[0], byServer) {
					t.Fatalf("cut at %d: the server got % x", cut, byServer)
				}
				n := 0
				for n < min(len(byClient), len(all[1])) && byClient[n] == all[1][n] {
					n++
				}
				if extra := byClient[n:]; len(extra) > 0 {
					// It may begin like what was to come: look at the packet.
					if !isERR(byClient, 2013) && !isERR(byClient, 1105) {
						t.Fatalf("cut at %d: the client got % x, which is not what the server has sent", cut, extra)
					}
				}
			}
			w.session(len(all[side]))
		})
	}
}

// isERR tells whether the last of these packets is an ERR of this number.
func isERR(stream []byte, code uint16) bool {
	var last packet.Packet
	for {
		p, rest, ok := packet.Next(stream)
		if !ok {
			break
		}
		last, stream = p, rest
	}
	if last == nil || len(stream) > 0 {
		return false
	}
	e, err := packet.ParseERR(last.Payload(), 0)
	return err == nil && e.Code == code
}

// garbage is random bytes, framed as packets or not, now and then with a first
// byte that means something.
func garbage(rng *rand.Rand) []byte {
	var b []byte
	for range 1 + rng.IntN(20) {
		p := make([]byte, rng.IntN(1<<rng.IntN(12)))
		for i := range p {
			p[i] = byte(rng.Uint32())
		}
		if len(p) > 0 && rng.IntN(2) == 0 {
			p[0] = []byte{0, 0xfb, 0xfe, 0xff, 3, 0x11, 0x12, 0x16, 0x17, 1, 0xfc, 0xfd}[rng.IntN(12)]
		}
		switch rng.IntN(8) {
		case 0:
			b = append(b, p...)
		case 1:
			b = append(packet.AppendHeader(b, rng.IntN(packet.MaxPayload+1), byte(rng.IntN(4))), p...)
		default:
			b = packet.AppendPacket(b, byte(rng.IntN(4)), p)
		}
	}
	return b
}

// Nothing that a peer sends, at whatever point, harms anybody else.
func TestGarbage(t *testing.T) {
	seed := rand.Uint64()
	const sessions = 400
	w := newWorld(t)
	g, l := Greeting(Caps), Login(Caps)
	fromServer := [][]byte{packet.AppendPacket(nil, 0, g.Append(nil)), packet.AppendPacket(nil, 2, OK(0))}
	fromClient := [][]byte{packet.AppendPacket(nil, 1, l.Append(nil, Caps)), packet.AppendPacket(nil, 0, Query("SELECT"))}
	// A peer behaves up to some point, and from there on sends garbage.
	misbehave := func(c *Conn, rng *rand.Rand, good [][]byte, first bool) {
		for i := range rng.IntN(len(good) + 1) {
			if i > 0 || !first {
				b := make([]byte, 4096)
				if _, err := c.Read(b); err != nil {
					return
				}
			}
			if _, err := c.Write(good[i]); err != nil {
				return
			}
		}
		if rng.IntN(4) > 0 {
			if _, err := c.Write(garbage(rng)); err != nil {
				return
			}
		}
		if rng.IntN(2) == 0 {
			_ = c.Run(Reset())
		}
	}
	bad := w.serverOf(func(i int, c *Conn) error {
		misbehave(c, rand.New(rand.NewPCG(seed, uint64(i))), fromServer, true)
		return nil
	})
	cfg := w.config(bad.Addr())
	cfg.Loops = 2
	w.start(cfg)
	var clients sync.WaitGroup
	limit := make(chan struct{}, 16)
	for i := range sessions {
		limit <- struct{}{}
		clients.Add(1)
		go func() {
			defer func() { <-limit; clients.Done() }()
			w.proxy.Backends()[0].set(BackendUnknown, "") // it is down whenever it has not greeted
			c, err := Dial(w.front(), "client")
			if err != nil {
				w.Error(err)
				return
			}
			defer c.Close()
			misbehave(c, rand.New(rand.NewPCG(seed, uint64(sessions+i))), fromClient, false)
		}()
	}
	clients.Wait()
	w.session(sessions)
	if n := bad.Connections(); n < sessions/2 {
		t.Errorf("only %d of %d sessions came to a server", n, sessions)
	}
	if t.Failed() {
		t.Logf("seed %d", seed)
	}
	for _, r := range w.log.all("session ended") {
		if r.attrs["reason"] == ReasonInternal.String() {
			t.Errorf("seed %d: %v", seed, r)
		}
	}
}

// Many connections that say nothing at all are dropped when their time is up.
func TestSilentConnections(t *testing.T) {
	w := newWorld(t)
	cfg := w.config(w.serverOf(func(_ int, c *Conn) error { return c.Run(Greet(Greeting(Caps)), ExpectEnd()) }).Addr())
	cfg.LoginTimeout = short
	w.start(cfg)
	g := Greeting(Caps)
	var clients []*Conn
	for i := range 50 {
		clients = append(clients, w.clientNow(fmt.Sprint("client ", i), ExpectPacket(0, g.Append(nil))))
	}
	w.pass(3 * short)
	for _, c := range clients {
		if err := c.Run(ExpectEnd()); err != nil {
			t.Error(err)
		}
	}
	w.wantEnd(50, ReasonLoginTimeout)
}
