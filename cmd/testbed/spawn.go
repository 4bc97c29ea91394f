package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
)

// spawner starts child processes that the kernel kills when this process ends,
// however it ends. The kernel ties such a death signal to the thread that made
// the child, so one goroutine makes them all and keeps its thread for good.
type spawner struct{ starts chan func() }

func newSpawner() *spawner {
	s := &spawner{make(chan func())}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread must outlive the children
		for start := range s.starts {
			start()
		}
	}()
	return s
}

// start starts cmd in a process group of its own, so that a Ctrl-C at the
// terminal reaches only the testbed, which then ends its children in order.
func (s *spawner) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	s.starts <- func() { started <- cmd.Start() }
	return <-started
}

// run is start and Wait.
func (s *spawner) run(cmd *exec.Cmd) error {
	if err := s.start(cmd); err != nil {
		return err
	}
	return cmd.Wait()
}

// Ports below the range from which the kernel takes outgoing connections'
// ports: one that is free now is not gone a moment later by a mere connect.
const (
	lowestPort  = 20000
	highestPort = 32767
)

// freePort finds a TCP port on 127.0.0.1 that nobody listens on. Someone else
// can still take it before the caller does.
func freePort() (int, error) {
	var last error
	for range 200 {
		port := lowestPort + rand.IntN(highestPort-lowestPort+1)
		if last = portIsFree(port); last == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port from %d to %d: %w", lowestPort, highestPort, last)
}

// portIsFree is nil if a program could listen on 127.0.0.1:port now.
func portIsFree(port int) error {
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return l.Close()
}
