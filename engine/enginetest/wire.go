package enginetest

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// WireConfig says how a Wire treats the bytes. The same seed makes the same
// decisions for the n-th connection; the kernel adds its own.
type WireConfig struct {
	Seed  uint64
	Chunk int           // bytes are passed on in pieces of 1 to Chunk, most of them short
	Stall time.Duration // now and then nothing moves for up to this long; 0 is never
	Reset int           // one connection in Reset is reset on both sides after some bytes; 0 is none
}

// Wire relays connections to a target: every byte, in order, but in other
// pieces and at other times.
type Wire struct {
	cfg     WireConfig
	ln      net.Listener
	target  net.Addr
	running sync.WaitGroup

	mu     sync.Mutex
	resets int
}

// NewWire listens on the loopback and relays to target.
func NewWire(t Test, target net.Addr, cfg WireConfig) *Wire {
	w := &Wire{cfg: cfg, ln: Listen(t), target: target}
	w.running.Add(1)
	go w.accept()
	return w
}

// Addr is where w listens.
func (w *Wire) Addr() net.Addr { return w.ln.Addr() }

// Resets is how many connections were reset so far.
func (w *Wire) Resets() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.resets
}

// Close stops listening and waits until both ends of all connections have
// closed.
func (w *Wire) Close() {
	w.ln.Close()
	w.running.Wait()
}

func (w *Wire) accept() {
	defer w.running.Done()
	for i := uint64(0); ; i++ {
		a, err := w.ln.Accept()
		if err != nil {
			return
		}
		b, err := net.Dial(w.target.Network(), w.target.String())
		if err != nil {
			a.Close()
			continue
		}
		w.relay(i, a.(*net.TCPConn), b.(*net.TCPConn))
	}
}

// relay starts the two directions of a connection and returns.
func (w *Wire) relay(i uint64, a, b *net.TCPConn) {
	rng := rand.New(rand.NewPCG(w.cfg.Seed, i))
	left := [2]int{-1, -1} // bytes until the reset
	if w.cfg.Reset > 0 && rng.IntN(w.cfg.Reset) == 0 {
		left[rng.IntN(2)] = 1 + rng.IntN(1<<(1+rng.IntN(16)))
	}
	var once sync.Once
	reset := func() {
		once.Do(func() {
			a.SetLinger(0)
			b.SetLinger(0)
			a.Close()
			b.Close()
		})
	}
	var both sync.WaitGroup
	pump := func(dir uint64, from, to *net.TCPConn) {
		defer w.running.Done()
		defer both.Done()
		if w.pump(rand.New(rand.NewPCG(w.cfg.Seed, i<<1|dir)), from, to, left[dir]) {
			to.CloseWrite()
		} else {
			reset()
		}
	}
	w.running.Add(3)
	both.Add(2)
	go pump(0, a, b)
	go pump(1, b, a)
	go func() {
		defer w.running.Done()
		both.Wait()
		a.Close()
		b.Close()
	}()
}

// pump relays one direction. It tells whether that ended in order.
func (w *Wire) pump(rng *rand.Rand, from, to net.Conn, left int) bool {
	buf := make([]byte, w.cfg.Chunk)
	for {
		// As many tiny pieces as large ones, for it is the tiny that cut headers.
		size := 1 + rng.IntN(len(buf))
		if rng.IntN(2) == 0 {
			size = 1 + rng.IntN(min(8, len(buf)))
		}
		if w.cfg.Stall > 0 && rng.IntN(64) == 0 {
			time.Sleep(time.Duration(rng.Int64N(int64(w.cfg.Stall))))
		}
		n, err := from.Read(buf[:size])
		if n > 0 {
			if left > 0 {
				if left -= n; left <= 0 {
					w.mu.Lock()
					w.resets++
					w.mu.Unlock()
					return false
				}
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return false
			}
		}
		if err != nil {
			return err == io.EOF
		}
	}
}
