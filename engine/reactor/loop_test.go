package reactor

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPost(t *testing.T) {
	const goroutines, each = 8, 500
	l := start(t)
	var wg sync.WaitGroup
	last := [goroutines]int{} // only the loop touches it
	n := 0
	for g := range goroutines {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range each {
				l.Post(func() {
					if last[g] != i {
						t.Errorf("goroutine %d: call %d came as number %d", g, i, last[g])
					}
					last[g]++
					n++
				})
			}
		}()
	}
	wg.Wait()
	if got := on(l, func() int { return n }); got != goroutines*each {
		t.Errorf("%d calls came, want %d", got, goroutines*each)
	}
}

func TestPostFromTheLoop(t *testing.T) {
	l := start(t)
	done := make(chan struct{})
	l.Post(func() { l.Post(func() { close(done) }) })
	<-done
}

func TestPostAfterStop(t *testing.T) {
	l := start(t)
	l.Stop()
	l.Post(func() { t.Error("called after Stop") })
	l.Stop() // again does nothing
	var wg sync.WaitGroup
	for range 4 { // Post and Stop at once, for the race detector
		other := start(t)
		for range 4 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for range 100 {
					other.Post(func() {})
				}
			}()
		}
		other.Stop()
	}
	wg.Wait()
}

func TestStopClosesEverything(t *testing.T) {
	l := start(t)
	l.clock() // it stands: nothing ends by a time-out
	ln := listen(t, anyPort, echoes(l), l)
	accepted := connect(t, "tcp", ln.Addr().String())
	asks(t, accepted)
	_, hanging := full(t, "tcp")

	var rs []*recorder
	handler := func() *recorder { r := &recorder{quiet: true}; rs = append(rs, r); return r }
	idle, idlePeer := l.pair("tcp", handler())
	flushing, _ := l.pair("unix", handler())
	lingering, _ := l.pair("tcp", handler())
	l.dial(hanging, patience, handler())
	again := l.track(&recorder{})
	redials := handler() // as who looks for another backend does
	redials.closed = func(c *Conn, _ error) { c.Loop().Dial(hanging, patience, again) }
	l.pair("tcp", redials)
	l.do(func() {
		flushing.Write(make([]byte, 8<<20))
		flushing.CloseAfterFlush(patience, true)
		lingering.CloseAfterFlush(patience, true)
		l.Arm(&Timer{Owner: expirer(func(*Timer) { t.Error("fired after Stop") })}, patience)
	})
	l.Stop()
	for i, r := range append(rs, again) {
		if h := r.history(); h != "closed" {
			t.Errorf("handler %d was told %q", i, h)
		}
		if !errors.Is(r.err, ErrStopped) {
			t.Errorf("handler %d was told %v, want ErrStopped", i, r.err)
		}
	}
	for _, peer := range []net.Conn{accepted, idlePeer} {
		atEnd(t, peer)
	}
	if _, err := net.Dial("tcp", ln.Addr().String()); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("the listener is not closed: %v", err)
	}
	idle.Write([]byte("x")) // does nothing
	if n := l.Load(); n != 0 {
		t.Errorf("the load is %d", n)
	}
}

func TestDiscard(t *testing.T) {
	leaks(t)
	l, err := NewLoop(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l.Discard()
}
