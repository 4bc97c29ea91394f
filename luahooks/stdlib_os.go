package luahooks

import (
	"errors"
	"os"
	"os/exec"
	"syscall"

	lua "github.com/yuin/gopher-lua"
)

func (s *stdlib) openOs(l *lua.LState) {
	s.library(l, "os", map[string]lua.LGFunction{
		"clock":     osClock,
		"date":      osDate,
		"difftime":  osDiffTime,
		"execute":   osExecute,
		"exit":      s.osExit,
		"getenv":    osGetEnv,
		"remove":    osRemove,
		"rename":    osRename,
		"setlocale": osSetLocale,
		"time":      osTime,
		"tmpname":   osTmpName,
	})
}

// osClock is the processor time of the process in seconds.
func osClock(l *lua.LState) int {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		l.Push(lua.LNumber(-1))
		return 1
	}
	micro := (u.Utime.Sec+u.Stime.Sec)*1e6 + int64(u.Utime.Usec) + int64(u.Stime.Usec)
	l.Push(lua.LNumber(float64(micro) / 1e6))
	return 1
}

func osDiffTime(l *lua.LState) int {
	a, b := cutInt(checkNumber(l, 1)), cutInt(optNumber(l, 2, 0))
	l.Push(lua.LNumber(float64(a) - float64(b)))
	return 1
}

// osExecute answers as system does: the status of wait.
func osExecute(l *lua.LState) int {
	if l.Get(1) == lua.LNil {
		l.Push(lua.LNumber(1)) // there is a shell
		return 1
	}
	cmd := exec.Command("/bin/sh", "-c", checkString(l, 1))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	l.Push(lua.LNumber(waitStatus(cmd, cmd.Run())))
	return 1
}

// waitStatus is the status of a process that has ended, -1 if it could not be had.
func waitStatus(cmd *exec.Cmd, err error) int {
	if err != nil && cmd.ProcessState == nil {
		return -1
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
		return int(status)
	}
	return cmd.ProcessState.ExitCode() << 8
}

// osExit ends the process, with what is in buffers written.
func (s *stdlib) osExit(l *lua.LState) int {
	code := optInt(l, 1, 0)
	s.flushAll()
	s.exit(code & 0xff)
	return 0
}

func osGetEnv(l *lua.LState) int {
	if v, ok := os.LookupEnv(checkString(l, 1)); ok {
		l.Push(lua.LString(v))
	} else {
		l.Push(lua.LNil)
	}
	return 1
}

// pushResult pushes true, or nil, the error's text (behind the name, if there is
// one) and its number.
func pushResult(l *lua.LState, err error, name string) int {
	if err == nil {
		l.Push(lua.LTrue)
		return 1
	}
	text, errno := cError(err)
	if name != "" {
		text = name + ": " + text
	}
	l.Push(lua.LNil)
	l.Push(lua.LString(text))
	l.Push(lua.LNumber(errno))
	return 3
}

func osRemove(l *lua.LState) int {
	name := checkString(l, 1)
	err := syscall.Unlink(name)
	if errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.EPERM) {
		err = syscall.Rmdir(name)
	}
	return pushResult(l, err, name)
}

func osRename(l *lua.LState) int {
	from, to := checkString(l, 1), checkString(l, 2)
	return pushResult(l, syscall.Rename(from, to), from)
}

func osTmpName(l *lua.LState) int {
	f, err := os.CreateTemp("/tmp", "lua_")
	if err != nil {
		raise(l, "unable to generate a unique filename")
	}
	f.Close()
	l.Push(lua.LString(f.Name()))
	return 1
}

// osSetLocale knows the C locale, which is the one that all of this follows.
func osSetLocale(l *lua.LState) int {
	name := optString(l, 1, "C")
	checkOption(l, 2, "all", "all", "collate", "ctype", "monetary", "numeric", "time")
	switch name {
	case "C", "POSIX", "":
		l.Push(lua.LString("C"))
	default:
		l.Push(lua.LNil)
	}
	return 1
}
