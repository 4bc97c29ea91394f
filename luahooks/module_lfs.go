package luahooks

import (
	"errors"
	"io"
	"os"
	"reflect"
	"syscall"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// openLfs is the loader of lfs: LuaFileSystem's functions of version 1.2. What
// fails returns nil and a text.
func openLfs(l *lua.LState) int {
	return pushModule(l, "lfs", map[string]lua.LGFunction{
		"attributes": fileAttributes,
		"chdir": func(l *lua.LState) int {
			return pushOutcome(l, os.Chdir(l.CheckString(1)))
		},
		"currentdir": func(l *lua.LState) int {
			dir, err := os.Getwd()
			if err != nil {
				return pushOutcome(l, err)
			}
			l.Push(lua.LString(dir))
			return 1
		},
		"dir":    directoryIterator,
		"lock":   lockFile,
		"unlock": unlockFile,
		"mkdir": func(l *lua.LState) int {
			return pushOutcome(l, os.Mkdir(l.CheckString(1), 0o777))
		},
		"rmdir": func(l *lua.LState) int {
			return pushOutcome(l, syscall.Rmdir(l.CheckString(1)))
		},
		"touch": touchFile,
	})
}

// pushOutcome returns true, or nil and what has failed.
func pushOutcome(l *lua.LState, err error) int {
	if err != nil {
		l.Push(lua.LNil)
		l.Push(lua.LString(err.Error()))
		return 2
	}
	l.Push(lua.LTrue)
	return 1
}

func fileMode(mode uint32) string {
	switch mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		return "file"
	case syscall.S_IFDIR:
		return "directory"
	case syscall.S_IFLNK:
		return "link"
	case syscall.S_IFSOCK:
		return "socket"
	case syscall.S_IFIFO:
		return "named pipe"
	case syscall.S_IFCHR:
		return "char device"
	case syscall.S_IFBLK:
		return "block device"
	}
	return "other"
}

// fileAttributes returns all attributes of a path as a table, or the one named.
func fileAttributes(l *lua.LState) int {
	path := l.CheckString(1)
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return pushOutcome(l, &os.PathError{Op: "cannot obtain information from file", Path: path, Err: err})
	}
	t := l.NewTable()
	t.RawSetString("mode", lua.LString(fileMode(st.Mode)))
	for name, value := range map[string]lua.LNumber{
		"dev":          lua.LNumber(st.Dev),
		"ino":          lua.LNumber(st.Ino),
		"nlink":        lua.LNumber(st.Nlink),
		"uid":          lua.LNumber(st.Uid),
		"gid":          lua.LNumber(st.Gid),
		"rdev":         lua.LNumber(st.Rdev),
		"access":       lua.LNumber(st.Atim.Sec),
		"modification": lua.LNumber(st.Mtim.Sec),
		"change":       lua.LNumber(st.Ctim.Sec),
		"size":         lua.LNumber(st.Size),
		"blocks":       lua.LNumber(st.Blocks),
		"blksize":      lua.LNumber(st.Blksize),
	} {
		t.RawSetString(name, value)
	}
	if l.Get(2) == lua.LNil {
		l.Push(t)
		return 1
	}
	value := t.RawGetString(l.CheckString(2))
	if value == lua.LNil {
		l.ArgError(2, "invalid attribute name")
	}
	l.Push(value)
	return 1
}

// directoryBatch is the number of entries that are read at once.
const directoryBatch = 64

// directoryIterator returns a function that gives the next name, . and ..
// included, and nil at the end. The names are read as they are asked for, but a
// directory that is not read to its end stays open until the collector comes.
func directoryIterator(l *lua.LState) int {
	path := l.CheckString(1)
	f, err := os.Open(path)
	if err == nil {
		var info os.FileInfo
		if info, err = f.Stat(); err == nil && !info.IsDir() {
			f.Close()
			err = &os.PathError{Op: "open", Path: path, Err: syscall.ENOTDIR}
		}
	}
	if err != nil {
		l.RaiseError("cannot open directory: %s", err.Error())
	}
	names := []string{".", ".."}
	l.Push(l.NewFunction(func(l *lua.LState) int {
		if len(names) == 0 && f != nil {
			var err error
			if names, err = f.Readdirnames(directoryBatch); err != nil {
				f.Close()
				f = nil
				if !errors.Is(err, io.EOF) {
					l.RaiseError("cannot read directory: %s", err.Error())
				}
			}
		}
		if len(names) == 0 {
			return 0
		}
		l.Push(lua.LString(names[0]))
		names = names[1:]
		return 1
	}))
	return 1
}

// touchFile sets the times of a file, in seconds; now if there are none.
func touchFile(l *lua.LState) int {
	path := l.CheckString(1)
	access := time.Now()
	if seconds, ok := intOf(l.Get(2)); ok {
		access = time.Unix(int64(seconds), 0)
	}
	modification := access
	if seconds, ok := intOf(l.Get(3)); ok {
		modification = time.Unix(int64(seconds), 0)
	}
	return pushOutcome(l, os.Chtimes(path, access, modification))
}

// lockFile locks part of an open file for this process: "r" shared, "w" alone.
// It does not wait.
func lockFile(l *lua.LState) int {
	kind := int16(syscall.F_RDLCK)
	switch mode := l.CheckString(2); mode {
	case "r":
	case "w":
		kind = syscall.F_WRLCK
	default:
		l.ArgError(2, "invalid mode, r or w expected")
	}
	return setLock(l, kind, 3)
}

func unlockFile(l *lua.LState) int { return setLock(l, syscall.F_UNLCK, 2) }

// setLock locks from the offset in the argument arg on as many bytes as the one
// behind it says; all without them.
func setLock(l *lua.LState, kind int16, arg int) int {
	f := checkFile(l)
	start, _ := intOf(l.Get(arg))
	length, _ := intOf(l.Get(arg + 1))
	return pushOutcome(l, syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &syscall.Flock_t{
		Type: kind, Whence: io.SeekStart, Start: int64(start), Len: int64(length),
	}))
}

// checkFile is the file behind a handle of the io library, which keeps it in a
// field of its own: lfs needs no more of it than the descriptor.
func checkFile(l *lua.LState) *os.File {
	v := reflect.ValueOf(l.CheckUserData(1).Value)
	if v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct {
		for i := range v.Elem().NumField() {
			f := v.Elem().Field(i)
			if f.Type() == reflect.TypeFor[*os.File]() && !f.IsNil() {
				return (*os.File)(f.UnsafePointer())
			}
		}
	}
	l.ArgError(1, "open file expected")
	return nil
}
