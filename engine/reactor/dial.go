package reactor

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// tosThroughput is what MySQL Proxy asks of the network for its connections to
// backends (IPTOS_THROUGHPUT).
const tosThroughput = 8

// Dial connects to a without blocking. h is told by Opened, or by Closed if it
// cannot be done within the time-out; never before Dial returns. What is
// written before Opened is kept and sent when the connect has finished. A
// handler that dials again from Closed must count its tries: some fail at once.
func (l *Loop) Dial(a Addr, timeout time.Duration, h Handler) *Conn {
	domain, sa := a.sockaddr()
	c := &Conn{loop: l, h: h, fd: -1, meter: &l.rest, state: stateConnecting, to: sa}
	c.timer.Owner = c
	if l.ends {
		c.Close(ErrStopped)
		return c
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		c.Close(os.NewSyscallError("socket", err))
		return c
	}
	c.fd = fd
	l.add(c)
	tune(fd, domain)
	if domain == unix.AF_INET {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, tosThroughput)
	}
	l.Arm(&c.timer, timeout)
	c.until = c.timer.at
	c.connect()
	return c
}

func (c *Conn) connect() {
	err := unix.Connect(c.fd, c.to)
	switch err {
	case nil, unix.EINPROGRESS, unix.EINTR:
		// Also where it is done already, the poller says so in the next turn.
		if c.watch == watchNothing {
			if err := c.setWatch(watchReadWrite); err != nil {
				c.Close(err)
			}
		}
	case unix.EAGAIN: // a unix socket whose backlog is full
		c.loop.Arm(&c.timer, tick)
	default:
		c.Close(os.NewSyscallError("connect", err))
	}
}

// connected looks at how the connect went.
func (c *Conn) connected() {
	code, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	if err != nil {
		c.Close(os.NewSyscallError("connect", err))
		return
	}
	if _, err := unix.Getpeername(c.fd); err != nil {
		return // the event was older than the connect
	}
	c.loop.Disarm(&c.timer)
	c.state, c.to = stateOpen, nil
	c.touch()
	if c.out.n > 0 {
		c.flush()
	}
	if c.state == stateOpen {
		c.h.Opened(c)
	}
}

func (c *Conn) connectExpired() {
	if c.watch != watchNothing || c.loop.wheel.now >= c.until {
		c.Close(os.NewSyscallError("connect", ErrTimeout))
		return
	}
	c.connect()
}
