package reactor

import (
	"fmt"
	"log/slog"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pipe forwards.
type pipe struct {
	dropped
	to *Conn
}

func (h *pipe) Data(_ *Conn, p []byte) int {
	h.to.Write(p)
	return len(p)
}

// ends are two blocking sockets between which a loop forwards. Unlike a
// net.Conn they cost nothing themselves.
func ends(t testing.TB, kind string) (client, server int) {
	t.Helper()
	l, err := NewLoop(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	go l.Run()
	t.Cleanup(l.Stop)
	var fds, far [2]int
	for i := range fds {
		fd, peer := sockets(t, kind)
		f, err := peer.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		peer.Close() // f is a duplicate
		fds[i], far[i] = fd, int(f.Fd())
	}
	joined := make(chan struct{})
	l.Post(func() {
		var hs [2]pipe
		var cs [2]*Conn
		for i := range cs {
			l.load.Add(1)
			l.adopt(accepted{fds[i], Addr{}, func(c *Conn, _ Addr) Handler { cs[i] = c; return &hs[i] }})
		}
		hs[0].to, hs[1].to = cs[1], cs[0]
		Link(cs[0], cs[1])
		close(joined)
	})
	<-joined
	return far[0], far[1]
}

// roundTrip sends request from client to server and response back.
func roundTrip(t testing.TB, client, server int, request, response, buf []byte) {
	for _, leg := range [...]struct {
		from, to int
		p        []byte
	}{{client, server, request}, {server, client, response}} {
		if _, err := unix.Write(leg.from, leg.p); err != nil {
			t.Fatal(err)
		}
		for n := 0; n < len(leg.p); {
			k, err := unix.Read(leg.to, buf)
			if k <= 0 {
				t.Fatal(k, err)
			}
			n += k
		}
	}
}

func TestForwardingDoesNotAllocate(t *testing.T) {
	for _, kind := range kinds {
		for _, size := range []int{60, 60_000} {
			t.Run(fmt.Sprint(kind, " ", size), func(t *testing.T) {
				leaks(t)
				client, server := ends(t, kind)
				request, response, buf := make([]byte, 60), make([]byte, size), make([]byte, 1<<20)
				for range 200 { // the poller's list of events finds its size
					roundTrip(t, client, server, request, response, buf)
				}
				if n := testing.AllocsPerRun(500, func() { roundTrip(t, client, server, request, response, buf) }); n != 0 {
					t.Errorf("%v allocations in a round trip, want 0", n)
				}
			})
		}
	}
}

// take appends n bytes of iov to dst.
func take(dst *[]byte, iov []unix.Iovec, n int) int {
	left := n
	for _, v := range iov {
		k := min(int(v.Len), left)
		*dst = append(*dst, unsafe.Slice(v.Base, k)...)
		left -= k
	}
	return n - left
}

func TestQueueReusesItsChunks(t *testing.T) {
	var (
		q    outQueue
		free freeList
		iov  = make([]unix.Iovec, maxVectors)
		p    = makeNoise(1, 300_000)
		got  = make([]byte, 0, 2*len(p))
	)
	turn := func() { // sends all, 7777 bytes at a time
		got = got[:0]
		q.append(&free, p[:100])
		q.append(&free, p[100:])
		for q.n > 0 {
			n := min(7_777, q.n)
			q.drop(&free, take(&got, q.vectors(iov), n))
		}
	}
	turn()
	if string(got) != string(p) || q.head != nil || q.last != nil {
		t.Errorf("%d bytes came out of the queue, not the %d that went in", len(got), len(p))
	}
	if n := testing.AllocsPerRun(10, turn); n != 0 {
		t.Errorf("%v allocations in a queue that has been as long before, want 0", n)
	}
}

func TestSizesInMemory(t *testing.T) {
	// A chunk is to fill a size class of the allocator. What an idle session
	// costs is two of the other.
	if n := unsafe.Sizeof(chunk{}); n != 16<<10 {
		t.Errorf("a chunk has %d bytes, want 16384", n)
	}
	if n := unsafe.Sizeof(Conn{}); n > 256 {
		t.Errorf("a connection has %d bytes, want at most 256", n)
	}
}

// BenchmarkForward is a request and its response through a linked pair. Half of
// its time and more is the kernel's, and the test's two ends.
func BenchmarkForward(b *testing.B) {
	for _, kind := range kinds {
		for _, size := range []int{60, 4_000, 1 << 20} {
			b.Run(fmt.Sprint(kind, "/", size), func(b *testing.B) {
				client, server := ends(b, kind)
				if size > 60_000 { // more than blocking ends take from each other
					benchmarkBulk(b, client, server, size)
					return
				}
				request, response, buf := make([]byte, 60), make([]byte, size), make([]byte, 64<<10)
				b.ReportAllocs()
				b.SetBytes(int64(len(request) + size))
				for b.Loop() {
					roundTrip(b, client, server, request, response, buf)
				}
			})
		}
	}
}

// benchmarkBulk streams in one direction.
func benchmarkBulk(b *testing.B, client, server, size int) {
	go func() {
		p := make([]byte, size)
		for range b.N {
			for n := 0; n < size; {
				k, err := unix.Write(server, p[n:])
				if err != nil {
					return
				}
				n += k
			}
		}
	}()
	buf := make([]byte, size)
	b.ReportAllocs()
	b.SetBytes(int64(size))
	for n := 0; n < b.N*size; {
		k, err := unix.Read(client, buf)
		if k <= 0 {
			b.Fatal(k, err)
		}
		n += k
	}
}
