package reactor

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"golang.org/x/sys/unix"

	"mysqlproxy/engine/enginetest"
)

// Tests drive one end of real sockets while a running loop has the other. They
// wait by looking again and again for what must become so, up to patience; how
// long something takes is never what a test is about.
const patience = time.Minute

var kinds = []string{"tcp", "unix"}

func TestMain(m *testing.M) {
	if path := os.Getenv(starvedEnv); path != "" {
		os.Exit(starved(path))
	}
	// The runtime's own poller opens its descriptors with the first socket.
	if ln, err := net.Listen("unix", ""); err == nil {
		ln.Close()
	}
	os.Exit(m.Run())
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// leaks checks at the end of the test that it has left no descriptor and no
// goroutine behind. What is cleaned up must be so after the first call.
func leaks(t *testing.T) {
	t.Helper()
	if _, again := watched.LoadOrStore(t, true); again {
		return
	}
	fds, goroutines := descriptors(), runtime.NumGoroutine()
	t.Cleanup(func() {
		watched.Delete(t)
		if t.Failed() {
			return
		}
		left := ""
		gone := func() bool {
			left = ""
			for fd, is := range descriptors() {
				if fds[fd] != is {
					left += " " + fd + "=" + is
				}
			}
			if n := runtime.NumGoroutine(); n > goroutines {
				left += fmt.Sprintf(" %d goroutines", n-goroutines)
			}
			return left == ""
		}
		for end := time.Now().Add(patience); !gone(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				buf := make([]byte, 1<<20)
				t.Errorf("left behind:%s\n%s", left, buf[:runtime.Stack(buf, true)])
				return
			}
		}
	})
}

var watched sync.Map // the tests that leaks looks at

// descriptors are the open descriptors and what each is.
func descriptors() map[string]string {
	open := map[string]string{}
	dir, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	for _, e := range dir {
		if is, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !strings.HasPrefix(is, "/proc/") {
			open[e.Name()] = is
		}
	}
	return open
}

// testLoop is a running loop that counts what the poller tells it.
type testLoop struct {
	*Loop
	t     *testing.T
	wakes atomic.Int64 // events of descriptors
	after func()       // is called on the loop after each, unless nil; set by do

	mu   sync.Mutex
	told []*recorder
}

// start runs a loop until the test ends. Then each recorder must have been told
// Closed exactly once, as the last thing.
func start(t *testing.T) *testLoop {
	t.Helper()
	leaks(t)
	loop, err := NewLoop(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l := &testLoop{Loop: loop, t: t}
	go loop.run(func(fd int, ev netpoll.IOEvent, flags netpoll.IOFlags) error {
		l.wakes.Add(1)
		err := loop.event(fd, ev, flags)
		if l.after != nil {
			l.after()
		}
		return err
	})
	t.Cleanup(func() {
		l.Stop()
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, r := range l.told {
			if h := r.history(); strings.Count(h, "closed") != 1 || !strings.HasSuffix(h, "closed") {
				t.Errorf("a handler was told %q, want closed once and last", h)
			}
		}
	})
	return l
}

// do has fn called on the loop and waits for it.
func (l *testLoop) do(fn func()) {
	l.t.Helper()
	done := make(chan struct{})
	l.Post(func() { defer close(done); fn() })
	select {
	case <-done:
	case <-time.After(patience):
		l.t.Fatal("the loop does not run")
	}
}

// on gives what get returns on the loop.
func on[T any](l *testLoop, get func() T) (v T) {
	l.t.Helper()
	l.do(func() { v = get() })
	return v
}

// track has start look at r in the end.
func (l *testLoop) track(r *recorder) *recorder {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, r)
	return r
}

// join makes fd a connection of l with handler r.
func (l *testLoop) join(fd int, r *recorder) (conn *Conn) {
	l.t.Helper()
	l.track(r)
	l.do(func() {
		l.load.Add(1)
		l.adopt(accepted{fd, Addr{}, func(c *Conn, _ Addr) Handler { conn = c; return r }})
	})
	return conn
}

// pair joins one end of a pair of sockets to l and returns the other.
func (l *testLoop) pair(kind string, r *recorder) (*Conn, net.Conn) {
	l.t.Helper()
	fd, peer := sockets(l.t, kind)
	return l.join(fd, r), peer
}

// arrived waits until the kernel has brought all that peer has written to the
// other end. A reset would throw away what is under way.
func arrived(t *testing.T, peer net.Conn) {
	t.Helper()
	tc, ok := peer.(*net.TCPConn)
	if !ok {
		return // what is written to a unix socket is there
	}
	raw, err := tc.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "what was written arrives", func() bool {
		left := 0
		if cerr := raw.Control(func(fd uintptr) { left, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }); cerr != nil || err != nil {
			t.Fatal(cerr, err)
		}
		return left == 0
	})
}

// sockets makes a connection over loopback, or a pair of unix sockets. fd is
// the caller's to close.
func sockets(t testing.TB, kind string) (fd int, peer net.Conn) {
	t.Helper()
	if kind == "unix" {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(fds[1]), "peer")
		defer f.Close()
		if peer, err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		fd = fds[0]
	} else {
		lfd, addr := listenRaw(t, 1)
		defer unix.Close(lfd)
		var err error
		if peer, err = net.Dial("tcp", addr.String()); err != nil {
			t.Fatal(err)
		}
		if fd, _, err = unix.Accept4(lfd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC); err != nil {
			t.Fatal(err)
		}
	}
	peer.SetDeadline(time.Now().Add(2 * patience))
	t.Cleanup(func() { peer.Close() })
	return fd, peer
}

// listenRaw listens on a free port of 127.0.0.1 with the given backlog. The
// caller accepts, and closes the descriptor.
func listenRaw(t testing.TB, backlog int) (fd int, addr Addr) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	addr = loopback(t)
	_, sa := addr.sockaddr()
	// Connections of whoever had the port before may not have timed out.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, sa); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, backlog); err != nil {
		t.Fatal(err)
	}
	return fd, addr
}

// loopback is an address that nobody listens on, ours until the end of the test.
func loopback(t testing.TB) Addr {
	t.Helper()
	a, err := ParseAddr(enginetest.FreeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// recorder is a Handler that writes down what it is told. The functions, where
// set, are called on the loop.
type recorder struct {
	opened, eof, hungUp func(c *Conn)
	data                func(c *Conn, p []byte) int // nil uses all
	closed              func(c *Conn, err error)
	quiet               bool // keep no used bytes

	mu   sync.Mutex
	told []string // data only once in a row
	got  []byte   // used bytes
	err  error
}

func (r *recorder) tell(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.told); what == "data" && n > 0 && r.told[n-1] == what {
		return
	}
	r.told = append(r.told, what)
}

func (r *recorder) Opened(c *Conn) {
	r.tell("opened")
	if r.opened != nil {
		r.opened(c)
	}
}

func (r *recorder) Data(c *Conn, p []byte) int {
	if r.tell("data"); r.quiet {
		return r.data(c, p)
	}
	used := len(p)
	if r.data != nil {
		if used = r.data(c, p); used < 0 || used > len(p) {
			return used
		}
	}
	r.mu.Lock()
	r.got = append(r.got, p[:used]...)
	r.mu.Unlock()
	return used
}

func (r *recorder) EOF(c *Conn) {
	r.tell("eof")
	if r.eof != nil {
		r.eof(c)
	}
}

func (r *recorder) HungUp(c *Conn) {
	r.tell("hungup")
	if r.hungUp != nil {
		r.hungUp(c)
	}
}

func (r *recorder) Closed(c *Conn, err error) {
	r.mu.Lock()
	r.err = err // before who waits for the word looks at it
	r.mu.Unlock()
	r.tell("closed")
	if r.closed != nil {
		r.closed(c, err)
	}
}

// history is what the handler was told, in order.
func (r *recorder) history() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.told, " ")
}

// used is what the handler has used.
func (r *recorder) used() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.got)
}

func (r *recorder) isClosed() bool { return strings.HasSuffix(r.history(), "closed") }

// awaitClosed waits for Closed and returns what it was told.
func (r *recorder) awaitClosed(t *testing.T) error {
	t.Helper()
	eventually(t, "Closed is told", r.isClosed)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func echo(c *Conn, p []byte) int {
	c.Write(p)
	return len(p)
}

// forward is a handler's data function that sends to *to.
func forward(to **Conn) func(*Conn, []byte) int {
	return func(_ *Conn, p []byte) int {
		(*to).Write(p)
		return len(p)
	}
}

// linkedPair has l forward between the two sockets that it returns.
func (l *testLoop) linkedPair(kind string) (a, b *Conn, clientEnd, serverEnd net.Conn) {
	l.t.Helper()
	var ca, cb *Conn
	a, clientEnd = l.pair(kind, &recorder{data: forward(&cb), quiet: true})
	b, serverEnd = l.pair(kind, &recorder{data: forward(&ca), quiet: true})
	l.do(func() {
		ca, cb = a, b
		Link(a, b)
	})
	return a, b, clientEnd, serverEnd
}
