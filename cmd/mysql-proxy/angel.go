package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"mysqlproxy/engine"
)

// The angel of --keepalive starts the worker, waits for it and starts it
// again if it did not end by itself:
//
//	worker exits with a code      the angel ends with the same code
//	worker dies by a signal       again after restartDelay
//	worker exits with crashCode   the same: Go's runtime ends so at a panic
//	SIGTERM, SIGINT to the angel  forwarded; from then on no restart

const (
	restartDelay = 2 * time.Second

	// crashCode is the exit code that Go's runtime gives to a process that
	// panicked. The program itself ends with 0 or 1 only.
	crashCode = 2
)

// angel watches over one worker after the other. One goroutine runs it.
type angel struct {
	h       handoff
	s       *settings
	log     *slog.Logger
	file    *logger
	signals chan os.Signal // SIGHUP and SIGUSR1, 2 arrive already
	asked   bool           // SIGTERM or SIGINT came: no restart any more
}

// run returns the exit code of the process.
func (a *angel) run() int {
	signal.Notify(a.signals, syscall.SIGTERM, syscall.SIGINT)
	for first := true; ; first = false {
		p, err := startStage(stageWorker, a.h)
		switch {
		case err == nil:
			code, again := a.watch(p)
			if !again {
				return code
			}
		case first:
			a.log.Error("starting the worker failed: " + err.Error())
			return 1
		default:
			a.log.Error(fmt.Sprintf("starting the worker failed: %v; trying again in %v", err, restartDelay))
		}
		if !a.sleep() {
			return 0
		}
	}
}

// watch waits for the end of worker p and forwards signals to it. It tells
// how p ended and whether there should be another.
func (a *angel) watch(p *os.Process) (code int, again bool) {
	a.log.Log(context.Background(), engine.LevelMessage, fmt.Sprintf("we try to keep PID=%d alive", p.Pid))
	type end struct {
		state *os.ProcessState
		err   error
	}
	ended := make(chan end, 1)
	go func() {
		state, err := p.Wait()
		ended <- end{state, err}
	}()
	for {
		select {
		case sig := <-a.signals:
			a.forward(p, sig)
		case e := <-ended:
			if e.err != nil {
				a.log.Error(fmt.Sprintf("waiting for PID=%d failed: %v", p.Pid, e.err))
				return 1, false
			}
			if f, err := os.Open(a.s.PidFile); err == nil { // the worker may lack the right to
				removePidFile(a.s.PidFile, f, p.Pid)
				f.Close()
			}
			return a.judge(p.Pid, e.state)
		}
	}
}

// forward passes a signal on. The log file comes first: the worker may have
// no right to create it, and finds it there.
func (a *angel) forward(p *os.Process, sig os.Signal) {
	switch sig {
	case syscall.SIGTERM, syscall.SIGINT:
		a.asked = true
	case syscall.SIGHUP:
		if err := a.file.reopen(); err != nil {
			a.log.Error("re-opening the log file failed: " + err.Error())
		}
	}
	if err := p.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		a.log.Error(fmt.Sprintf("forwarding the signal %v to PID=%d failed: %v", sig, p.Pid, err))
	}
}

func (a *angel) judge(pid int, state *os.ProcessState) (code int, again bool) {
	var memory int64
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		memory = int64(usage.Maxrss)
	}
	status := state.Sys().(syscall.WaitStatus)
	if !status.Signaled() && status.ExitStatus() != crashCode {
		a.log.Log(context.Background(), engine.LevelMessage, fmt.Sprintf("PID=%d exited normally with exit-code = %d (it used %d kBytes max)",
			pid, status.ExitStatus(), memory))
		return status.ExitStatus(), false
	}
	how, code := fmt.Sprintf("crashed, exit-code = %d", crashCode), crashCode
	if status.Signaled() {
		how, code = fmt.Sprintf("died on signal=%d", status.Signal()), 128+int(status.Signal())
	}
	if a.asked {
		if s := status.Signal(); s == syscall.SIGTERM || s == syscall.SIGINT {
			code = 0 // it had not come far enough to catch the signal
		}
		a.log.Error(fmt.Sprintf("PID=%d %s (it used %d kBytes max) while it shut down", pid, how, memory))
		return code, false
	}
	a.log.Error(fmt.Sprintf("PID=%d %s (it used %d kBytes max) ... waiting %v before restart", pid, how, memory, restartDelay))
	return 0, true
}

// sleep waits for the restart. It is false if the angel shall end instead.
func (a *angel) sleep() bool {
	timer := time.NewTimer(restartDelay)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return true
		case sig := <-a.signals:
			if sig == syscall.SIGTERM || sig == syscall.SIGINT {
				a.log.Log(context.Background(), engine.LevelMessage, "Initiating shutdown, requested from signal handler")
				return false
			}
			if sig == syscall.SIGHUP {
				if err := a.file.reopen(); err != nil {
					a.log.Error("re-opening the log file failed: " + err.Error())
				}
			}
		}
	}
}
