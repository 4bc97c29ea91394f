package reactor

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// acceptor listens for one of the kinds of addresses that can be dialled, with
// a backlog of its own choosing if that matters.
func acceptor(t *testing.T, kind string) (net.Listener, Addr) {
	t.Helper()
	network, a := "tcp", loopback(t)
	switch kind {
	case "unix":
		network, a = "unix", Addr{Path: filepath.Join(t.TempDir(), "s")}
	case "tcp6":
		a.IP = netip.AddrPortFrom(netip.IPv6Loopback(), a.IP.Port())
	}
	ln, err := net.Listen(network, a.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln, a
}

// dial has l connect to a.
func (l *testLoop) dial(a Addr, timeout time.Duration, r *recorder) *Conn {
	l.t.Helper()
	l.track(r)
	return on(l, func() *Conn {
		c := l.Dial(a, timeout, r)
		if h := r.history(); h != "" {
			l.t.Errorf("told %q before Dial returned", h)
		}
		return c
	})
}

func TestDial(t *testing.T) {
	for _, kind := range []string{"tcp", "tcp6", "unix"} {
		t.Run(kind, func(t *testing.T) {
			l := start(t)
			ln, a := acceptor(t, kind)
			r := &recorder{opened: func(c *Conn) {
				c.Write([]byte("3"))
				if !c.Open() {
					t.Error("not open in Opened")
				}
			}}
			l.track(r)
			var conn *Conn
			l.do(func() {
				conn = l.Dial(a, patience, r)
				conn.Write([]byte("1")) // kept: it is not open yet
				conn.Write([]byte("2"))
				if conn.Open() || conn.Waiting() != 2 {
					t.Errorf("open is %v and %d bytes wait right after Dial", conn.Open(), conn.Waiting())
				}
			})
			peer, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			if got := string(mustRead(t, peer, 3)); got != "123" {
				t.Errorf("the peer got %q", got)
			}
			mustWrite(t, peer, []byte("answer"))
			eventually(t, "the answer", func() bool { return r.used() == "answer" })
			if h := r.history(); h != "opened data" {
				t.Errorf("told %q", h)
			}
			l.do(func() {
				if conn.timer.Armed() || conn.watch != watchRead {
					t.Error("the connect has left its timer or its interest")
				}
			})
		})
	}
}

func TestDialRefused(t *testing.T) {
	gone := func(kind string) Addr {
		ln, a := acceptor(t, kind)
		ln.Close()
		return a
	}
	for _, test := range []struct {
		name string
		addr Addr
		want error
	}{
		{"tcp, nobody listens", gone("tcp"), unix.ECONNREFUSED},
		{"unix, no such path", gone("unix"), unix.ENOENT},
		{"unix, path too long", Addr{Path: "/" + string(make([]byte, 200))}, unix.EINVAL},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := start(t)
			r := &recorder{}
			conn := l.dial(test.addr, patience, r)
			if err := r.awaitClosed(t); !errors.Is(err, test.want) {
				t.Errorf("closed with %v, want %v", err, test.want)
			}
			if h := r.history(); h != "closed" {
				t.Errorf("told %q", h)
			}
			l.do(func() {
				if conn.timer.Armed() {
					t.Error("the time-out is still armed")
				}
			})
		})
	}
}

// full makes a listener whose backlog is full, so that a connect to it hangs.
// fd accepts without blocking.
func full(t *testing.T, kind string) (fd int, a Addr) {
	t.Helper()
	if kind == "unix" {
		a = Addr{Path: filepath.Join(t.TempDir(), "s")}
		var err error
		if fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
		if err := unix.Bind(fd, &unix.SockaddrUnix{Name: a.Path}); err != nil {
			t.Fatal(err)
		}
		if err := unix.Listen(fd, 0); err != nil {
			t.Fatal(err)
		}
	} else {
		fd, a = listenRaw(t, 0)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	domain, sa := a.sockaddr()
	filled := func() bool { return true }
	if kind != "unix" { // where connects come to the listener a little later
		filled = func() bool {
			info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
			if err != nil {
				t.Fatal(err)
			}
			return info.Unacked > info.Sacked // of a listener these are its queue and the backlog
		}
	}
	for range 4 {
		c, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(c) })
		if err := unix.Connect(c, sa); err != nil && err != unix.EINPROGRESS && err != unix.EAGAIN {
			t.Fatal(err)
		}
	}
	eventually(t, "the backlog is full", filled)
	return fd, a
}

func TestDialTimesOut(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			l := start(t)
			forward := l.clock()
			_, a := full(t, kind)
			r := &recorder{}
			l.dial(a, time.Second, r)
			for range time.Second/tick - 1 {
				forward(tick)
			}
			l.settled()
			if r.isClosed() {
				t.Error("closed too early")
			}
			for range 3 { // a full unix socket is tried at every other tick
				forward(tick)
			}
			err := r.awaitClosed(t)
			var timeout interface{ Timeout() bool }
			if !errors.Is(err, ErrTimeout) || !errors.As(err, &timeout) || !timeout.Timeout() || r.history() != "closed" {
				t.Errorf("told %q with %v, want closed with a time-out", r.history(), err)
			}
		})
	}
}

func TestDialOfAFullUnixSocketIsTriedAgain(t *testing.T) {
	l := start(t)
	fd, a := full(t, "unix")
	r := &recorder{}
	l.dial(a, patience, r)
	l.settled()
	if h := r.history(); h != "" {
		t.Fatalf("told %q while the backlog is full", h)
	}
	eventually(t, "opened", func() bool {
		if c, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC); err == nil {
			unix.Close(c)
		}
		return strings.HasPrefix(r.history(), "opened")
	})
}

func TestCloseWhileConnecting(t *testing.T) {
	for _, kind := range kinds {
		for name, end := range map[string]func(c *Conn){
			"Close":           func(c *Conn) { c.Close(nil) },
			"CloseAfterFlush": func(c *Conn) { c.CloseAfterFlush(time.Second, true) },
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				l := start(t)
				_, a := full(t, kind)
				r := &recorder{}
				conn := l.dial(a, patience, r)
				l.do(func() { conn.Write([]byte("never sent")); end(conn) })
				if err := r.awaitClosed(t); err != nil || r.history() != "closed" {
					t.Errorf("told %q with %v", r.history(), err)
				}
				l.do(func() {
					if conn.timer.Armed() || conn.out.head != nil {
						t.Error("the time-out is still armed, or what was written is kept")
					}
				})
			})
		}
	}
}

func TestDialThatPanicsInOpened(t *testing.T) {
	l := start(t)
	_, a := acceptor(t, "tcp")
	r := &recorder{opened: func(*Conn) { panic("boom") }}
	l.dial(a, patience, r)
	if err := r.awaitClosed(t); !errors.Is(err, ErrPanic) || r.history() != "opened closed" {
		t.Errorf("told %q with %v", r.history(), err)
	}
}

func TestLinkPausesTheSourceWhileItsTargetConnects(t *testing.T) {
	const size = 8 << 20
	l := start(t)
	fd, a := full(t, "unix")
	target := l.dial(a, patience, &recorder{})
	source, peer := l.pair("unix", &recorder{quiet: true, data: forward(&target)})
	l.do(func() { Link(source, target) })
	sent := make(chan error, 1)
	go func() { sent <- sendNoise(peer, 1, size) }()
	eventually(t, "the source is paused", func() bool { return on(l, func() bool { return source.paused == pausedByPeer }) })
	if n := on(l, target.Waiting); n > highMark+readFull {
		t.Errorf("%d bytes wait for a connect", n)
	}

	l.do(func() { // while the loop is held the backlog has only those that fill it
		for c, err := 0, error(nil); err == nil; unix.Close(c) {
			c, _, err = unix.Accept4(fd, unix.SOCK_CLOEXEC)
		}
	})
	var end net.Conn
	eventually(t, "it connects", func() bool {
		c, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		if err != nil {
			return false
		}
		f := os.NewFile(uintptr(c), "accepted")
		defer f.Close()
		end, err = net.FileConn(f)
		return err == nil
	})
	defer end.Close()
	end.SetDeadline(time.Now().Add(patience))
	if err := checkNoise(end, 1, size, 100_000); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}
