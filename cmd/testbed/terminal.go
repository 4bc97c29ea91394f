package main

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// isTerminal says whether somebody sits there; /dev/null is no terminal.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// takeTerminal makes this process alone the terminal's foreground, so that a
// Ctrl-C comes to it and not to the make that started it: make would report an
// interrupt and fail though all ended as it should. The function it returns
// gives the terminal back. Where the terminal is not ours to take (another
// program is in front, or we lead the session), nothing changes.
func takeTerminal(tty *os.File) (giveBack func()) {
	nothing := func() {}
	fd := int(tty.Fd())
	before := unix.Getpgrp()
	front, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	if err != nil || front != before {
		return nothing
	}
	// Who moves the terminal from the background is stopped, unless it ignores
	// that; and a Ctrl-Z, which nobody would notice, would leave a dead terminal.
	signal.Ignore(syscall.SIGTTOU, syscall.SIGTSTP)
	if err := unix.Setpgid(0, 0); err != nil {
		return nothing
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPGRP, unix.Getpid()); err != nil {
		return nothing
	}
	return func() { _ = unix.IoctlSetPointerInt(fd, unix.TIOCSPGRP, before) }
}
