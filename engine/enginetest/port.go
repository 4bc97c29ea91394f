package enginetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"
)

// Tests of several packages run at the same time, each with servers of its own.
// A port that is free when one looks may be another's a moment later: before the
// server that it is for listens there, while that server is stopped, or when a
// connection is to be refused. So whoever needs a port leases it, and keeps it
// for as long as it is of meaning, whether or not somebody listens.

// Leased ports are below the range from which the kernel takes the ports of
// outgoing connections, so a mere connect does not take one either.
const (
	lowestPort  = 12000
	highestPort = 32767
)

// ErrNoPort is that of several ports tried none could be leased.
var ErrNoPort = errors.New("no free port")

// Lease is a TCP port of the loopback that no other lease has, in this process
// or another. It ends with Release or with the process, however that ends; child
// processes do not have it.
type Lease struct {
	Port int
	// fd is a socket bound to an abstract name made of the port. The name is
	// taken until the kernel closes the socket, and lives where ports do, in the
	// network namespace.
	fd int
}

// LeasePort leases a port that nobody listens on.
func LeasePort() (*Lease, error) {
	const tries = 1000
	for range tries {
		l, err := lease(lowestPort + rand.IntN(highestPort-lowestPort+1))
		if !errors.Is(err, syscall.EADDRINUSE) {
			return l, err
		}
	}
	return nil, fmt.Errorf("%w from %d to %d in %d tries", ErrNoPort, lowestPort, highestPort, tries)
}

// LeaseFrom leases the first port that nobody has leased or listens on, of n
// ports from first on.
func LeaseFrom(first, n int) (*Lease, error) {
	for port := first; port < first+n; port++ {
		l, err := lease(port)
		if !errors.Is(err, syscall.EADDRINUSE) {
			return l, err
		}
	}
	return nil, fmt.Errorf("%w from %d to %d", ErrNoPort, first, first+n-1)
}

// lease fails with EADDRINUSE if another has the port.
func lease(port int) (*Lease, error) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("lease a port: %w", err)
	}
	l := &Lease{port, fd}
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: fmt.Sprintf("@mysqlproxy port %d", port)}); err != nil {
		l.Release()
		return nil, fmt.Errorf("lease port %d: %w", port, err)
	}
	// A program that leases nothing may listen there.
	ln, err := net.Listen("tcp4", l.Addr())
	if err != nil {
		l.Release()
		return nil, err
	}
	return l, ln.Close()
}

// Addr is the port on 127.0.0.1.
func (l *Lease) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(l.Port)) }

// Release gives the port back. It is called once.
func (l *Lease) Release() { _ = syscall.Close(l.fd) } // a socket without a peer has nothing to report

// Test is what a lease needs of a *testing.T.
type Test interface {
	Helper()
	Cleanup(func())
	Fatal(args ...any)
}

// FreeAddr is an address of the loopback that nobody listens on, leased until
// the end of the test.
func FreeAddr(t Test) string {
	t.Helper()
	l, err := LeasePort()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Release)
	return l.Addr()
}

// Listen listens on a port of the loopback until the end of the test, if it is
// not closed before. It stays leased: after a Close it is refused.
func Listen(t Test) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp4", FreeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// BlackHole is an address that neither takes a connection nor refuses it: the
// queue of a listener is full, and nobody accepts until the test ends.
func BlackHole(t Test) net.Addr {
	t.Helper()
	l, err := LeasePort()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Release)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	// Connections of whoever had the port before may not have timed out.
	err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Port: l.Port, Addr: [4]byte{127, 0, 0, 1}})
	}
	if err == nil {
		err = syscall.Listen(fd, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp4", l.Addr()) // fills the queue
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.RemoteAddr()
}
