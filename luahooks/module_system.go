package luahooks

import (
	"bufio"
	"crypto/md5"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// glib2 and posix: the few calls of the system that MySQL Proxy gave to scripts.

// openGlib2 is the loader of glib2.
func openGlib2(l *lua.LState) int {
	return pushModule(l, "glib2", map[string]lua.LGFunction{
		// usleep stops all sessions of its Lua state, as every hook does that
		// takes its time.
		"usleep": func(l *lua.LState) int {
			microseconds, ok := uintOf(l.Get(1))
			if !ok {
				l.TypeError(1, lua.LTNumber)
			}
			time.Sleep(time.Duration(min(microseconds, 1<<32)) * time.Microsecond)
			return 0
		},
		"md5": func(l *lua.LState) int {
			sum := md5.Sum([]byte(l.CheckString(1)))
			l.Push(lua.LString(hex.EncodeToString(sum[:])))
			return 1
		},
		"get_current_time": func(l *lua.LState) int {
			now := time.Now()
			t := l.NewTable()
			t.RawSetString("tv_sec", lua.LNumber(now.Unix()))
			t.RawSetString("tv_usec", lua.LNumber(now.Nanosecond()/1000))
			l.Push(t)
			return 1
		},
	})
}

// openPosix is the loader of posix.
func openPosix(l *lua.LState) int {
	return pushModule(l, "posix", map[string]lua.LGFunction{
		"getpid": func(l *lua.LState) int {
			l.Push(lua.LNumber(os.Getpid()))
			return 1
		},
		"getuid": func(l *lua.LState) int {
			l.Push(lua.LNumber(os.Getuid()))
			return 1
		},
		"kill": func(l *lua.LState) int {
			pid, ok1 := intOf(l.Get(1))
			signal, ok2 := intOf(l.Get(2))
			if !ok1 || !ok2 {
				l.RaiseError("kill: a process and a signal expected, both numbers")
			}
			result := 0
			if syscall.Kill(pid, syscall.Signal(signal)) != nil {
				result = -1
			}
			l.Push(lua.LNumber(result))
			return 1
		},
		"getpwuid": func(l *lua.LState) int {
			uid, ok := intOf(l.Get(1))
			if !ok {
				l.TypeError(1, lua.LTNumber)
			}
			return pushUser(l, "/etc/passwd", uid)
		},
	})
}

// pushUser returns the first account with uid of a file in the form of
// /etc/passwd, or nothing.
func pushUser(l *lua.LState, path string, uid int) int {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		parts := strings.Split(lines.Text(), ":") // name, x, uid, gid, comment, home, shell
		if len(parts) != 7 || parts[2] != strconv.Itoa(uid) {
			continue
		}
		gid, _ := strconv.Atoi(parts[3])
		t := l.NewTable()
		t.RawSetString("name", lua.LString(parts[0]))
		t.RawSetString("uid", lua.LNumber(uid))
		t.RawSetString("gid", lua.LNumber(gid))
		t.RawSetString("dir", lua.LString(parts[5]))
		t.RawSetString("shell", lua.LString(parts[6]))
		l.Push(t)
		return 1
	}
	return 0
}
