package reactor

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

func TestNoEventIsLostWherePausesBegin(t *testing.T) {
	// While the loop is held in one event the peer does what would be an edge;
	// the interest changes only after that.
	const size = 8 << 20
	for _, kind := range kinds {
		for _, test := range []struct {
			name   string
			paused bool // in an earlier event
			pause  bool // in the same
		}{
			{"room to write, not paused", false, false},
			{"room to write, paused in the same event", false, true},
			{"room to write, paused before", true, false},
		} {
			t.Run(kind+" "+test.name, func(t *testing.T) {
				l := start(t)
				conn, peer := l.pair(kind, &recorder{})
				if test.paused {
					l.do(conn.Pause)
				}
				taken := 0
				l.do(func() {
					conn.Write(makeNoise(2, size))
					taken = size - conn.Waiting()
					if err := checkNoise(peer, 2, taken, taken); err != nil { // all that the kernel took: there is room
						t.Error(err)
					}
					if test.pause {
						conn.Pause()
					}
				})
				mustRead(t, peer, size-taken)
			})
		}
		t.Run(kind+" the peer's end in the event that pauses", func(t *testing.T) {
			l := start(t)
			r := &recorder{}
			conn, peer := l.pair(kind, r)
			l.do(func() {
				reset(t, peer)
				conn.Pause()
			})
			eventually(t, "HungUp", func() bool { return r.history() == "hungup" })
		})
		t.Run(kind+" bytes and FIN in the event that resumes", func(t *testing.T) {
			l := start(t)
			r := &recorder{}
			conn, peer := l.pair(kind, r)
			l.do(conn.Pause)
			l.do(func() {
				mustWrite(t, peer, []byte("abc"))
				closeWrite(t, peer)
				conn.Resume()
			})
			eventually(t, "data and FIN", func() bool { return r.history() == "data eof" && r.used() == "abc" })
		})
	}
}

func TestRandomPausesLoseNothing(t *testing.T) {
	const size = 4 << 20
	for seed := range byte(6) {
		kind := kinds[seed%2]
		t.Run(fmt.Sprint(kind, " ", seed), func(t *testing.T) {
			l := start(t)
			a, b, client, server := l.linkedPair(kind)
			rnd := rand.New(rand.NewPCG(uint64(seed), 1))
			var wg sync.WaitGroup
			busy := make(chan struct{})
			for i, ends := range [][2]net.Conn{{client, server}, {server, client}} {
				wg.Add(2)
				go func() {
					defer wg.Done()
					if err := sendNoise(ends[0], seed+byte(i), size); err != nil {
						t.Error(err)
					}
				}()
				go func() {
					defer wg.Done()
					if err := checkNoise(ends[1], seed+byte(i), size, 500+int(seed)*9000); err != nil {
						t.Error(err)
					}
				}()
			}
			go func() { wg.Wait(); close(busy) }()
			for done := false; !done; {
				select {
				case <-busy:
					done = true
				default:
					c := []*Conn{a, b}[rnd.IntN(2)]
					if rnd.IntN(2) == 0 {
						l.do(c.Pause)
					} else {
						l.do(func() { a.Resume(); b.Resume() })
					}
				}
			}
		})
	}
}
