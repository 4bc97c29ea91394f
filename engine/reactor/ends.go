package reactor

import "golang.org/x/sys/unix"

// Unlink ends c's link: c is idle from now on, or about to be closed.
func Unlink(c *Conn) { c.unlink() }

// LocalAddr is the socket's own address, the zero Addr if it has none.
func (c *Conn) LocalAddr() Addr {
	if c.fd < 0 {
		return Addr{}
	}
	sa, err := unix.Getsockname(c.fd)
	if err != nil {
		return Addr{}
	}
	return addrOf(sa)
}
