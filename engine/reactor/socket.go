package reactor

import (
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawRead and rawWrite skip the scheduler's bookkeeping around a system call:
// on a non-blocking socket the call cannot block, and without it a tenth of the
// CPU time per forwarded packet goes away. recv(2) and send(2) skip what read(2)
// and write(2) do for files. p is not empty.
func rawRead(fd int, p []byte) (int, unix.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

// rawWrite is send(2) without SIGPIPE, see rawRead.
func rawWrite(fd int, p []byte) (int, unix.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

// rawWritev writes the vectors of iov, of which there is at least one. The
// process ignores SIGPIPE on descriptors other than 1 and 2, as every Go
// program does.
func rawWritev(fd int, iov []unix.Iovec) (int, unix.Errno) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(iov))), uintptr(len(iov)))
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

// sockaddr is a in the form that the kernel takes.
func (a Addr) sockaddr() (domain int, sa unix.Sockaddr) {
	if a.Path != "" {
		return unix.AF_UNIX, &unix.SockaddrUnix{Name: a.Path}
	}
	ip := a.IP.Addr()
	if ip.Is4() || ip.Is4In6() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(a.IP.Port()), Addr: ip.As4()}
	}
	s := &unix.SockaddrInet6{Port: int(a.IP.Port()), Addr: ip.As16()}
	s.ZoneId = zoneID(ip.Zone())
	return unix.AF_INET6, s
}

// zoneID is the number of a network interface, 0 if it has none by that name.
func zoneID(zone string) uint32 {
	if zone == "" {
		return 0
	}
	var id uint32
	for _, c := range []byte(zone) {
		if c < '0' || c > '9' {
			return interfaceIndex(zone)
		}
		id = id*10 + uint32(c-'0')
	}
	return id
}

// addrOf is what the kernel calls sa; the zero Addr for a unix socket without a
// path.
func addrOf(sa unix.Sockaddr) Addr {
	switch s := sa.(type) {
	case *unix.SockaddrInet4:
		return Addr{IP: netip.AddrPortFrom(netip.AddrFrom4(s.Addr), uint16(s.Port))}
	case *unix.SockaddrInet6:
		return Addr{IP: netip.AddrPortFrom(netip.AddrFrom16(s.Addr).Unmap(), uint16(s.Port))}
	case *unix.SockaddrUnix:
		if s.Name != "@" { // a client has no path
			return Addr{Path: s.Name}
		}
	}
	return Addr{}
}

// tune sets what every TCP connection gets: no waiting for more to send, and
// probes that find a peer that has vanished.
func tune(fd, domain int) {
	if domain == unix.AF_UNIX {
		return
	}
	// A socket that refuses an option still works.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 60)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 4)
}

// bind makes a listening socket. A unix socket's path that nobody listens on
// any more is taken over.
func bind(a Addr) (_ int, bound Addr, err error) {
	domain, sa := a.sockaddr()
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, Addr{}, os.NewSyscallError("socket", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	switch domain {
	case unix.AF_UNIX:
		err = unix.Bind(fd, sa)
		if err == unix.EADDRINUSE && isSocket(a.Path) && abandoned(sa) {
			if err = unix.Unlink(a.Path); err == nil {
				err = unix.Bind(fd, sa)
			}
		}
	case unix.AF_INET6:
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
		fallthrough
	default:
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		tune(fd, domain) // accepted sockets inherit it
		err = unix.Bind(fd, sa)
	}
	if err != nil {
		return -1, Addr{}, os.NewSyscallError("bind", err)
	}
	if err = unix.Listen(fd, backlog); err != nil {
		return -1, Addr{}, os.NewSyscallError("listen", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return -1, Addr{}, os.NewSyscallError("getsockname", err)
	}
	bound = addrOf(name)
	if domain == unix.AF_INET6 { // ::ffff:1.2.3.4 apart, keep the form that was asked for
		bound.IP = netip.AddrPortFrom(a.IP.Addr(), bound.IP.Port())
	}
	return fd, bound, nil
}

// backlog is how many connections the kernel holds until they are accepted; it
// takes less of it if net.core.somaxconn is lower.
const backlog = 4096

// isSocket tells whether path is a socket: a connect to a file fails like one
// to a socket that nobody listens on.
func isSocket(path string) bool {
	fi, err := os.Lstat(path)
	return err == nil && fi.Mode().Type() == os.ModeSocket
}

// abandoned tells whether nobody answers on the unix socket sa.
func abandoned(sa unix.Sockaddr) bool {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.Connect(fd, sa) == unix.ECONNREFUSED
}
