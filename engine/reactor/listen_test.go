package reactor

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	errorx "github.com/panjf2000/gnet/v2/pkg/errors"
	"golang.org/x/sys/unix"
)

// listen has loops accept at a, or at a free port if a has none.
func listen(t *testing.T, a Addr, accept Accept, loops ...*testLoop) *Listener {
	t.Helper()
	var ls []*Loop
	for _, l := range loops {
		ls = append(ls, l.Loop)
	}
	if a.Path == "" && a.IP.Port() == 0 {
		a.IP = netip.AddrPortFrom(a.IP.Addr(), loopback(t).IP.Port())
	}
	ln, err := Listen(a, ls, accept)
	if err != nil {
		t.Fatal(err)
	}
	ln.Start()
	return ln
}

var anyPort = Addr{IP: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)}

func connect(t *testing.T, network, address string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(2 * patience))
	t.Cleanup(func() { c.Close() })
	return c
}

// asks sees whether somebody echoes.
func asks(t *testing.T, c net.Conn) {
	t.Helper()
	mustWrite(t, c, []byte("ping"))
	if got := string(mustRead(t, c, 4)); got != "ping" {
		t.Errorf("got %q", got)
	}
}

func echoes(l *testLoop) Accept {
	return func(*Conn, Addr) Handler { return l.track(&recorder{data: echo}) }
}

func TestEachLoopGetsItsShareWhicheverListenerItIs(t *testing.T) {
	loops := []*testLoop{start(t), start(t), start(t)}
	byLoop := map[*Loop]*testLoop{}
	for _, l := range loops {
		byLoop[l.Loop] = l
	}
	accept := func(c *Conn, _ Addr) Handler { return byLoop[c.Loop()].track(&recorder{data: echo}) }
	path := filepath.Join(t.TempDir(), "s")
	tcp := listen(t, anyPort, accept, loops...)
	listen(t, Addr{Path: path}, accept, loops...)
	loads := func() (n []int) {
		for _, l := range loops {
			n = append(n, l.Load())
		}
		return n
	}
	var conns []net.Conn
	for range 15 {
		conns = append(conns, connect(t, "tcp", tcp.Addr().String()), connect(t, "unix", path))
	}
	for _, c := range conns {
		asks(t, c)
	}
	if got := fmt.Sprint(loads()); got != "[10 10 10]" {
		t.Errorf("loads are %s", got)
	}
	// Who loses connections gets the next.
	var lost *Conn
	loops[1].do(func() {
		for _, c := range loops[1].conns {
			if c != nil && lost == nil {
				lost = c
				c.Close(nil)
			}
		}
	})
	eventually(t, "one less", func() bool { return fmt.Sprint(loads()) == "[10 9 10]" })
	asks(t, connect(t, "unix", path))
	if got := fmt.Sprint(loads()); got != "[10 10 10]" {
		t.Errorf("loads are %s", got)
	}
}

func TestRemoteAddress(t *testing.T) {
	l := start(t)
	remotes := make(chan Addr, 1)
	accept := func(_ *Conn, remote Addr) Handler {
		remotes <- remote
		return l.track(&recorder{})
	}
	ln := listen(t, anyPort, accept, l)
	c := connect(t, "tcp", ln.Addr().String())
	if got := <-remotes; got.String() != c.LocalAddr().String() {
		t.Errorf("the remote address is %s, want %s", got, c.LocalAddr())
	}
	path := filepath.Join(t.TempDir(), "s")
	listen(t, Addr{Path: path}, accept, l)
	connect(t, "unix", path)
	if got := <-remotes; got != (Addr{}) {
		t.Errorf("the remote address of a unix socket is %#v, want none", got)
	}
}

func TestIPv6WildcardTakesIPv4AsWell(t *testing.T) {
	if _, err := os.Stat("/proc/net/if_inet6"); err != nil {
		t.Skip("this kernel has no IPv6")
	}
	l := start(t)
	remotes := make(chan Addr, 1)
	ln := listen(t, Addr{IP: netip.AddrPortFrom(netip.IPv6Unspecified(), 0)}, func(_ *Conn, remote Addr) Handler {
		remotes <- remote
		return l.track(&recorder{data: echo})
	}, l)
	port := ln.Addr().IP.Port()
	if got, want := ln.Addr().String(), fmt.Sprintf("[::]:%d", port); got != want {
		t.Errorf("bound to %s, want %s", got, want)
	}
	for _, host := range []string{"127.0.0.1", "::1"} {
		c := connect(t, "tcp", net.JoinHostPort(host, fmt.Sprint(port)))
		asks(t, c)
		if got := (<-remotes).IP.Addr().String(); got != host {
			t.Errorf("a client from %s is known as %s", host, got)
		}
	}
}

func TestPortInUseIsRefused(t *testing.T) {
	l := start(t)
	ln := listen(t, anyPort, echoes(l), l)
	if _, err := Listen(ln.Addr(), []*Loop{l.Loop}, nil); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("got %v, want EADDRINUSE", err)
	}
}

func TestUnixListenerAndThePath(t *testing.T) {
	for _, test := range []struct {
		name  string
		there func(t *testing.T, path string)
		want  error
	}{
		{"nothing there", func(*testing.T, string) {}, nil},
		{"a socket that nobody listens on is taken over", func(t *testing.T, path string) {
			ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
			if err != nil {
				t.Fatal(err)
			}
			ln.SetUnlinkOnClose(false)
			ln.Close()
		}, nil},
		{"a socket that somebody listens on is not", func(t *testing.T, path string) {
			ln, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { ln.Close() })
		}, unix.EADDRINUSE},
		{"a file is not", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, unix.EADDRINUSE},
		{"a link is not", func(t *testing.T, path string) {
			if err := os.Symlink("nowhere", path); err != nil {
				t.Fatal(err)
			}
		}, unix.EADDRINUSE},
		{"a folder that does not exist", func(t *testing.T, path string) {
			if err := os.Remove(filepath.Dir(path)); err != nil {
				t.Fatal(err)
			}
		}, unix.ENOENT},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := start(t)
			path := filepath.Join(t.TempDir(), "s")
			test.there(t, path)
			before, _ := os.Lstat(path)
			ln, err := Listen(Addr{Path: path}, []*Loop{l.Loop}, echoes(l))
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if err != nil {
				if after, _ := os.Lstat(path); before != nil && (after == nil || !os.SameFile(before, after)) {
					t.Error("what was there has gone")
				}
				return
			}
			ln.Start()
			asks(t, connect(t, "unix", path))
			ln.Close()
			l.do(func() {})
			if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("after Close the path is still there: %v", err)
			}
		})
	}
}

func TestListenerThatClosesKeepsItsConnections(t *testing.T) {
	for _, path := range []string{"", filepath.Join(t.TempDir(), "s")} {
		l := start(t)
		a, network := anyPort, "tcp"
		if path != "" {
			a, network = Addr{Path: path}, "unix"
		}
		ln := listen(t, a, echoes(l), l)
		c := connect(t, network, ln.Addr().String())
		asks(t, c)
		ln.Close()
		ln.Close()
		l.do(func() {})
		asks(t, c)
		if c, err := net.Dial(network, ln.Addr().String()); err == nil {
			c.Close()
			t.Error("it still accepts")
		}
	}
}

func TestListenerThatWasNeverStarted(t *testing.T) {
	leaks(t)
	loop, err := NewLoop(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	ln, err := Listen(Addr{Path: path}, []*Loop{loop}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ln.Start() // the loop does not run
	ln.CloseHere()
	ln.CloseHere()
	loop.Discard()
	if _, err := os.Lstat(path); err == nil {
		t.Error("the path is still there")
	}
}

func TestAcceptThatPanicsCostsOnlyItsConnection(t *testing.T) {
	l := start(t)
	var n atomic.Int32
	ln := listen(t, anyPort, func(*Conn, Addr) Handler {
		switch n.Add(1) {
		case 1:
			panic("boom")
		case 2:
			return nil // which panics when it is called
		}
		return l.track(&recorder{data: echo})
	}, l)
	for range 2 {
		c := connect(t, "tcp", ln.Addr().String())
		c.Write([]byte("x"))
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("read something from a connection that nobody handles")
		}
	}
	asks(t, connect(t, "tcp", ln.Addr().String()))
	eventually(t, "the loads are given back", func() bool { return l.Load() == 1 })
}

func TestConnectionForALoopThatHasStoppedIsClosed(t *testing.T) {
	first, second := start(t), start(t)
	first.do(func() { first.load.Add(1) }) // so that the second gets the next
	ln := listen(t, anyPort, echoes(first), first, second)
	second.Stop()
	c := connect(t, "tcp", ln.Addr().String())
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want the end of file", err)
	}
	if n := second.Load(); n != 0 {
		t.Errorf("the stopped loop has a load of %d", n)
	}
}

func TestConnectionGivenToALoopThatIsAboutToStopIsClosed(t *testing.T) {
	l := start(t)
	fd, peer := sockets(t, "unix")
	l.do(func() {
		l.trigger(func(any) error { return errorx.ErrEngineShutdown }) // what comes behind it is not called
		l.load.Add(1)
		l.take(accepted{fd, Addr{}, echoes(l)})
	})
	l.Stop()
	atEnd(t, peer)
	if n := l.Load(); n != 0 {
		t.Errorf("the load is %d", n)
	}
}

func TestStopWhileConnectionsArriveLeavesNothingOpen(t *testing.T) {
	for range 5 {
		first, second := start(t), start(t)
		byLoop := map[*Loop]*testLoop{first.Loop: first, second.Loop: second}
		ln := listen(t, anyPort, func(c *Conn, _ Addr) Handler { return byLoop[c.Loop()].track(&recorder{data: echo}) }, first, second)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 200 {
				c, err := net.Dial("tcp", ln.Addr().String())
				if err != nil {
					return // the listener has gone with its loop
				}
				c.Close()
			}
		}()
		eventually(t, "some arrive", func() bool { return first.wakes.Load() > 20 })
		second.Stop()
		first.Stop()
		<-done
	}
}
