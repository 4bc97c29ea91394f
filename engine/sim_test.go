package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

// simExchange is a command and what follows it, as a number decides: both sides
// of the simulation make it from the number, which the command carries in its
// second to fifth byte.
func simExchange(number uint32, caps packet.Capability) (request []byte, turns []turn) {
	rng := rand.New(rand.NewPCG(uint64(number), 1))
	seq := byte(1)
	var out []byte // what the server says in the turn that is being made
	say := func(payload []byte) {
		out = packet.AppendPacket(out, seq, payload)
		seq += byte(1 + len(payload)/packet.MaxPayload)
	}
	server := func() {
		if len(out) > 0 {
			turns, out = append(turns, turn{true, out}), nil
		}
	}
	client := func(payload []byte) {
		server()
		turns = append(turns, turn{false, packet.AppendPacket(nil, seq, payload)})
		seq++
	}
	blob := func(most int) []byte {
		b := make([]byte, rng.IntN(1<<rng.IntN(most)))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	command := func(c packet.Command, rest ...byte) {
		p := binary.LittleEndian.AppendUint32([]byte{byte(c)}, number)
		request = packet.AppendPacket(nil, 0, append(p, rest...))
	}
	failure := packet.AppendERR(nil, 1064, "42000", "You have an error in your SQL syntax")
	end := func(status uint16) []byte {
		ok := packet.OK{Status: packet.StatusAutocommit | status}
		return ok.AppendEnd(nil, caps)
	}
	definitions := func(n int, eof bool) {
		for range n {
			col := packet.Column{Catalog: []byte("def"), Name: blob(5), Type: 0xfd}
			say(col.Append(nil, caps))
		}
		if eof && n > 0 && caps&packet.CapDeprecateEOF == 0 {
			say(EOF(0))
		}
	}
	rows := func() {
		for range rng.IntN(1 << rng.IntN(8)) {
			say(packet.AppendTextValue(nil, blob(9)))
		}
		if rng.IntN(30) == 0 {
			say(packet.AppendTextValue(nil, blob(19)))
		}
	}
	result := func(more uint16) {
		n := 1 + rng.IntN(5)
		say(packet.AppendColumnCount(nil, uint64(n), caps))
		definitions(n, true)
		rows()
		say(end(more))
	}
	results := func() {
		for range rng.IntN(3) {
			result(packet.StatusMoreResults)
		}
		switch rng.IntN(4) {
		case 0:
			say(OK(uint16(rng.IntN(2)) * packet.StatusInTrans))
		case 1:
			say(failure)
		default:
			result(0)
		}
	}
	one := func() {
		if rng.IntN(4) == 0 {
			say(failure)
		} else {
			say(OK(0))
		}
	}
	switch rng.IntN(18) {
	case 0:
		command(packet.ComPing)
		one()
	case 1:
		command(packet.ComStatistics)
		say([]byte("\xffUptime: 1"))
	case 2:
		command(packet.ComStmtPrepare, blob(10)...)
		p := packet.PrepareOK{Statement: 1, Columns: uint16(rng.IntN(4)), Params: uint16(rng.IntN(4))}
		say(p.Append(nil, caps))
		definitions(int(p.Params), true)
		definitions(int(p.Columns), true)
	case 3:
		command(packet.ComStmtExecute, append([]byte{0, 1, 0, 0, 0}, blob(10)...)...)
		results()
	case 4: // opens a cursor
		command(packet.ComStmtExecute, 1, 1, 0, 0, 0)
		say(packet.AppendColumnCount(nil, 1, caps))
		definitions(1, false)
		say(end(packet.StatusCursorExists))
	case 5:
		command(packet.ComStmtFetch, 9, 0, 0, 0)
		rows()
		say(end(packet.StatusLastRowSent))
	case 6:
		command(packet.ComFieldList, 0)
		definitions(rng.IntN(5), false)
		say(end(0))
	case 7:
		command(packet.ComStmtClose)
	case 8:
		command(packet.ComStmtSendLongData, blob(18)...)
	case 9:
		command(packet.ComSetOption)
		say(end(0))
	case 10:
		command(packet.ComResetConnection)
		one()
	case 11: // a file
		command(packet.ComQuery, []byte("LOAD DATA LOCAL")...)
		if rng.IntN(3) == 0 {
			result(packet.StatusMoreResults)
		}
		say([]byte("\xfbfile"))
		for range rng.IntN(10) {
			if b := blob(16); len(b) > 0 {
				client(b)
			}
		}
		client(nil)
		one()
	case 12:
		command(packet.ComChangeUser, blob(6)...)
		for range rng.IntN(4) {
			say(append([]byte{1 + byte(rng.IntN(4))}, blob(8)...))
			if rng.IntN(3) > 0 {
				client(blob(8))
			}
		}
		one()
	case 13:
		command(packet.ComQuery, blob(19)...)
		results()
	default:
		command(packet.ComQuery, blob(9)...)
		results()
	}
	server()
	return request, turns
}

// errCut is that the connection ended in mid-talk, which is right where wires
// reset.
var errCut = errors.New("the connection was cut")

// simExpect reads want, or what there is of it before an ERR 2013 and the end.
func simExpect(c *Conn, want []byte) error {
	got := make([]byte, len(want))
	n, err := io.ReadFull(c, got)
	if bytes.Equal(got[:n], want[:n]) {
		if err != nil {
			return fmt.Errorf("%w after %d of %d bytes: %w", errCut, n, len(want), err)
		}
		return nil
	}
	rest, _ := io.ReadAll(struct{ io.Reader }{c})
	got = append(got[:n], rest...)
	for tail := got; ; { // it may stand where a packet could
		p, next, ok := packet.Next(want)
		if isERR(tail, 2013) || isTornERR(tail, 2013) {
			return errCut
		}
		if !ok || !bytes.HasPrefix(tail, p) {
			return fmt.Errorf("got % x, want % x", tail[:min(len(tail), 64)], want[:min(len(want), 64)])
		}
		tail, want = tail[len(p):], next
	}
}

// isTornERR tells whether b is the beginning of an ERR with this code, and ends
// before the packet does: a wire that resets may cut this as well.
func isTornERR(b []byte, code uint16) bool {
	if len(b) <= packet.HeaderLen {
		size := []byte{byte(len(packet.AppendERR(nil, code, "HY000", lostText))), 0, 0}
		return len(b) > 0 && bytes.HasPrefix(size, b[:min(len(b), len(size))])
	}
	whole := []byte{0xff, byte(code), byte(code >> 8)}
	return len(b) < packet.HeaderLen+packet.Packet(b).PayloadLen() &&
		bytes.HasPrefix(whole, b[packet.HeaderLen:min(len(b), packet.HeaderLen+len(whole))])
}

// simServer answers commands by their numbers until the client quits.
func simServer(c *Conn, caps packet.Capability) error {
	for {
		p, err := c.ReadPacket()
		if err != nil {
			return fmt.Errorf("%w: %w", errCut, err)
		}
		if len(p.Payload()) == 1 && p.Payload()[0] == byte(packet.ComQuit) {
			return nil
		}
		if len(p.Payload()) < 5 {
			return fmt.Errorf("% x is no command", p)
		}
		number := binary.LittleEndian.Uint32(p.Payload()[1:])
		request, turns := simExchange(number, caps)
		if !bytes.Equal(p, request) {
			return fmt.Errorf("command %d differs: % x...", number, p[:min(len(p), 64)])
		}
		for _, t := range turns {
			if !t.server {
				if err := simExpect(c, t.bytes); err != nil {
					return fmt.Errorf("in command %d, from the client: %w", number, err)
				}
			} else if _, err := c.Write(t.bytes); err != nil {
				return fmt.Errorf("%w: %w", errCut, err)
			}
		}
	}
}

// simLogin is how a session begins, at its server and at its client.
func simLogin(caps packet.Capability, secret bool, client, server packet.Capability) (admit, enter []Step) {
	if !secret && client|server == 0 {
		return steps(Admit(caps)), steps(Enter(caps))
	}
	offered, shown, seq := caps|server, caps|client, byte(1)
	if secret {
		offered, shown, seq = offered|packet.CapSSL, shown|packet.CapSSL, 2
	}
	g, in, out := Greeting(shown), Login(offered), Login(shown)
	in.ZstdLevel, out.ZstdLevel = 3, 3
	admit, enter = steps(Greet(Greeting(offered))), steps(ExpectPacket(0, g.Append(nil)))
	if secret {
		admit = append(admit, ExpectPacket(1, sslRequest(in)), StartTLS(ServerTLS(), true))
		enter = append(enter, SendPacket(1, sslRequest(Login(caps))), StartTLS(ClientTLS(), false))
	}
	admit = append(admit, ExpectPacket(seq, in.Append(nil, offered)), SendPacket(seq+1, OK(0)))
	enter = append(enter, SendPacket(seq, out.Append(nil, shown)), ExpectPacket(seq+1, OK(0)))
	if server != 0 {
		admit = append(admit, CompressAtOnce(server, true))
	}
	if client != 0 {
		enter = append(enter, CompressAtOnce(client, false))
	}
	return admit, enter
}

// simClient sends commands in batches and compares what comes back.
func simClient(c *Conn, rng *rand.Rand, caps packet.Capability, enter []Step) error {
	if err := c.Run(enter...); err != nil {
		return fmt.Errorf("%w: %w", errCut, err)
	}
	for range 1 + rng.IntN(12) {
		var batch []byte
		var numbers []uint32
		var awaited [][]turn
		for range 1 + rng.IntN(1<<rng.IntN(6)) {
			number := rng.Uint32()
			request, turns := simExchange(number, caps)
			batch, numbers, awaited = append(batch, request...), append(numbers, number), append(awaited, turns)
			if len(turns) > 1 {
				break // the client takes part in it: nothing is sent behind it
			}
		}
		written := make(chan error, 1)
		go func() { _, err := c.Write(batch); written <- err }()
		for i, turns := range awaited {
			for _, t := range turns {
				var err error
				if t.server {
					err = simExpect(c, t.bytes)
				} else if _, werr := c.Write(t.bytes); werr != nil {
					err = fmt.Errorf("%w: %w", errCut, werr)
				}
				if err != nil {
					c.Close()
					<-written
					return fmt.Errorf("command %d of %d, number %d: %w", i, len(awaited), numbers[i], err)
				}
			}
		}
		if err := <-written; err != nil {
			return fmt.Errorf("%w: %w", errCut, err)
		}
	}
	if rng.IntN(2) == 0 {
		return c.Run(SendPacket(0, []byte{byte(packet.ComQuit)}), ExpectEnd())
	}
	return nil
}

// Clients with random commands talk to servers that answer in all shapes,
// through wires that cut the stream anywhere, stall, and reset. Whatever
// arrives is right and in order. ENGINE_SIM is how long it takes (2s), and then it
// starts from a seed of its own each time; ENGINE_SIM_SEED repeats what a failure has
// printed.
func TestSimulation(t *testing.T) {
	lasts, seed := simSettings(t)
	for i, tc := range []struct {
		name   string
		wires  bool
		reset  int
		secret bool              // TLS on both sides
		client packet.Capability // how it compresses
		server packet.Capability
	}{
		{"direct", false, 0, false, 0, 0}, {"wires that split and stall", true, 0, false, 0, 0}, {"wires that reset as well", true, 3, false, 0, 0},
		{"TLS", true, 0, true, 0, 0}, {"TLS on wires that reset", true, 3, true, 0, 0},
		{"zlib", true, 0, false, packet.CapCompress, packet.CapCompress}, {"zstd from clients only", false, 0, false, packet.CapZstd, 0},
		{"zstd in TLS, zlib from clients", true, 0, true, packet.CapCompress, packet.CapZstd}, {"zlib to servers only, on wires that reset", true, 3, false, 0, packet.CapCompress},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t).inTime()
			caps := func(i uint64) packet.Capability {
				return []packet.Capability{Caps, ModernCaps, Caps | packet.CapOptionalMetadata, ModernCaps | packet.CapOptionalMetadata}[i%4]
			}
			var failed atomic.Bool
			report := func(who string, err error) {
				if err == nil || tc.reset > 0 && errors.Is(err, errCut) {
					return
				}
				failed.Store(true)
				w.Errorf("seed %d, %s: %v", seed, who, err)
			}
			// All sessions of a world have the same capabilities, since a
			// server does not know which client's it gets.
			mine := caps(seed + uint64(i))
			admit, enter := simLogin(mine, tc.secret, tc.client, tc.server)
			s := w.serverOf(func(i int, c *Conn) error {
				err := c.Run(admit...)
				if err == nil {
					err = simServer(c, mine)
				} else {
					err = fmt.Errorf("%w: %w", errCut, err)
				}
				if errors.Is(err, errCut) {
					err = nil // the client's side knows whether that was right
				}
				report(fmt.Sprint("server connection ", i), err)
				return nil
			})
			backend := s.Addr()
			wire := func(to net.Addr, salt uint64) *Wire {
				v := NewWire(t, to, WireConfig{Seed: seed + salt, Chunk: 8 << 10, Stall: 4 * time.Millisecond, Reset: tc.reset})
				w.Cleanup(v.Close)
				return v
			}
			if tc.wires {
				backend = wire(backend, 1).Addr()
			}
			cfg := w.config(backend)
			cfg.Loops = 2
			if tc.secret {
				withTLS(TLSRequire, TLSSame)(&cfg)
			}
			compressing(tc.client, tc.server)(&cfg)
			w.start(cfg)
			front := w.front()
			var fw *Wire
			if tc.wires {
				fw = wire(front, 2)
				front = fw.Addr()
			}
			var clients sync.WaitGroup
			var sessions atomic.Int64
			goes := simGoes(lasts/3, func() bool { return tc.reset == 0 || fw.Resets() > 0 })
			for i := range 6 {
				clients.Add(1)
				go func() {
					defer clients.Done()
					for n := uint64(0); goes() && !failed.Load(); n++ {
						w.proxy.Backends()[0].set(BackendUnknown, "") // a reset greeting puts it down
						c, err := Dial(front, "client")
						if tc.reset > 0 && errors.Is(err, syscall.ECONNRESET) {
							continue // the wire was as quick as the connect
						}
						if err != nil {
							report("dial", err)
							return
						}
						rng := rand.New(rand.NewPCG(seed, uint64(i)<<32|n))
						report(fmt.Sprintf("client %d session %d", i, n), simClient(c, rng, mine, enter))
						c.Close()
						sessions.Add(1)
					}
				}()
			}
			clients.Wait()
			if tc.reset > 0 && fw.Resets() == 0 {
				t.Errorf("seed %d: none of %d sessions was reset", seed, sessions.Load())
			}
			t.Logf("%d sessions", sessions.Load())
		})
	}
}

// simGoes tells whether a simulation goes on that is to take so long: longer, if
// what it is for has not been seen yet.
func simGoes(lasts time.Duration, seen func() bool) func() bool {
	begun := time.Now()
	return func() bool {
		t := time.Since(begun)
		return t < lasts || t < Patience && !seen()
	}
}

// simSettings are how long a simulation takes and what it starts from: always the
// same, unless it is to take long.
func simSettings(t *testing.T) (lasts time.Duration, seed uint64) {
	lasts, seed = 2*time.Second, 1
	if s := os.Getenv("ENGINE_SIM"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		lasts, seed = d, rand.Uint64()
	}
	if s := os.Getenv("ENGINE_SIM_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	return lasts, seed
}
