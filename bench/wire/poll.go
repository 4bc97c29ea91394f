package wire

import (
	"fmt"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Poller is a level-triggered epoll. One goroutine uses it.
type Poller struct {
	fd     int
	events [512]unix.EpollEvent
}

// NewPoller opens an epoll.
func NewPoller() (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	return &Poller{fd: fd}, nil
}

// Add watches a descriptor for unix.EPOLLIN, unix.EPOLLOUT or both.
func (p *Poller) Add(fd int, events uint32) error {
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// Mod changes what a descriptor is watched for.
func (p *Poller) Mod(fd int, events uint32) error {
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// Del forgets a descriptor.
func (p *Poller) Del(fd int) error {
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil)
}

// Wait returns the ready descriptors, none after timeout milliseconds; -1 waits
// for ever. The slice is valid until the next Wait.
func (p *Poller) Wait(timeout int) ([]unix.EpollEvent, error) {
	n, err := unix.EpollWait(p.fd, p.events[:], timeout)
	if err == unix.EINTR {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("epoll_wait: %w", err)
	}
	return p.events[:n], nil
}

// Close closes the epoll, not the descriptors in it.
func (p *Poller) Close() { unix.Close(p.fd) }

// Read and Write are read(2) and write(2) of non-blocking descriptors without
// telling the scheduler, which has nothing to do during them. b is not empty.
func Read(fd int, b []byte) (int, syscall.Errno) {
	for {
		n, _, e := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		if e != unix.EINTR {
			return int(n), e
		}
	}
}

// Write is described at Read.
func Write(fd int, b []byte) (int, syscall.Errno) {
	for {
		n, _, e := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		if e != unix.EINTR {
			return int(n), e
		}
	}
}

// Listen opens a non-blocking listener and returns the address it got.
func Listen(addr netip.AddrPort) (int, netip.AddrPort, error) {
	fd, err := unix.Socket(family(addr), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, addr, fmt.Errorf("socket: %w", err)
	}
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err == nil {
		if err = unix.Bind(fd, sockaddr(addr)); err == nil {
			err = unix.Listen(fd, 4096)
		}
	}
	if err != nil {
		unix.Close(fd)
		return -1, addr, fmt.Errorf("listen on %s: %w", addr, err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		unix.Close(fd)
		return -1, addr, fmt.Errorf("getsockname: %w", err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		addr = netip.AddrPortFrom(addr.Addr(), uint16(sa.Port))
	case *unix.SockaddrInet6:
		addr = netip.AddrPortFrom(addr.Addr(), uint16(sa.Port))
	}
	return fd, addr, nil
}

// Accept takes one connection off a listener, non-blocking and with TCP_NODELAY.
// The error is unix.EAGAIN when there is none.
func Accept(listener int) (int, error) {
	fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err != nil {
		return -1, err
	}
	noDelay(fd)
	return fd, nil
}

// Connect begins a connection; it is made, or has failed, when the descriptor
// is writable: see ConnectError.
func Connect(addr netip.AddrPort) (int, error) {
	fd, err := unix.Socket(family(addr), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	noDelay(fd)
	if err := unix.Connect(fd, sockaddr(addr)); err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return -1, fmt.Errorf("connect to %s: %w", addr, err)
	}
	return fd, nil
}

// ConnectError is how a connection begun by Connect ended; nil if it is made.
func ConnectError(fd int) error {
	e, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && e != 0 {
		err = syscall.Errno(e)
	}
	return err
}

func noDelay(fd int) {
	// A refusal would show in the latency, and there is nothing else to do.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
}

func family(addr netip.AddrPort) int {
	if addr.Addr().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func sockaddr(addr netip.AddrPort) unix.Sockaddr {
	if addr.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()}
}
