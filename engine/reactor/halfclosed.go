package reactor

import "golang.org/x/sys/unix"

// HalfClosed tells whether c's peer sends no more, also where c is not read from and
// the end lies behind what has not been read. It asks the kernel.
func (c *Conn) HalfClosed() bool {
	if c.state > stateOpen || c.paused&pausedByEOF != 0 {
		return true
	}
	fds := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0 && fds[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
}
