package main

import (
	"os/exec"
	"runtime"
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
