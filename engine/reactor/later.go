package reactor

import (
	"os"

	"golang.org/x/sys/unix"
)

// postpone has c settled again when the poller has asked all others. It is a
// descriptor that is readable: a task would be run in the same pass as the one
// that posts it.
func (l *Loop) postpone(c *Conn) {
	if c.later {
		return
	}
	c.later = true
	if l.later = append(l.later, c); len(l.later) == 1 {
		_, _ = unix.Write(l.laterFD, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

// resumeLater is the turn of those that were postponed.
func (l *Loop) resumeLater() {
	var b [8]byte
	_, _ = unix.Read(l.laterFD, b[:])
	for i, c := range l.later {
		l.later[i] = nil
		c.later = false
		c.touch()
	}
	l.later = l.later[:0]
}

// openLater makes the descriptor of postpone.
func (l *Loop) openLater() error {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	if err := l.p.AddRead(attach(fd), false); err != nil {
		unix.Close(fd)
		return err
	}
	l.laterFD = fd
	l.other[fd] = l.resumeLater
	return nil
}
