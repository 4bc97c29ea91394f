package luahooks

import (
	"fmt"
	"io"
	"os"
	"weak"

	lua "github.com/yuin/gopher-lua"
)

const fileClass = "FILE*"

func (s *stdlib) openIo(l *lua.LState) {
	meta := l.CreateTable(0, 12)
	l.G.Registry.RawSetString(fileClass, meta)
	methods := map[string]lua.LGFunction{
		"close":      s.fileClose,
		"flush":      func(l *lua.LState) int { return pushResult(l, fileArg(l, 1).flush(), "") },
		"lines":      fileLines,
		"read":       func(l *lua.LState) int { return readFile(l, fileArg(l, 1), 2) },
		"seek":       fileSeek,
		"setvbuf":    fileSetVBuf,
		"write":      func(l *lua.LState) int { return writeFile(l, fileArg(l, 1), 2) },
		"__gc":       func(*lua.LState) int { return 0 },
		"__tostring": fileToString,
	}
	for _, name := range sortedKeys(methods) {
		meta.RawSetString(name, l.NewFunction(methods[name]))
	}
	meta.RawSetString("__index", meta)

	lib := s.library(l, "io", map[string]lua.LGFunction{
		"close": func(l *lua.LState) int {
			if l.GetTop() == 0 {
				return s.close(l, live(l, s.output))
			}
			return s.fileClose(l)
		},
		"flush":   func(l *lua.LState) int { return pushResult(l, live(l, s.output).flush(), "") },
		"input":   func(l *lua.LState) int { return s.ioDefault(l, &s.input, "r") },
		"lines":   s.ioLines,
		"open":    s.ioOpen,
		"output":  func(l *lua.LState) int { return s.ioDefault(l, &s.output, "w") },
		"popen":   s.ioPopen,
		"read":    func(l *lua.LState) int { return readFile(l, live(l, s.input), 1) },
		"tmpfile": s.ioTmpFile,
		"type":    ioType,
		"write":   func(l *lua.LState) int { return writeFile(l, live(l, s.output), 1) },
	})
	s.input = &luaFile{f: os.Stdin, read: true, std: true}
	s.output = &luaFile{out: s.stdout, put: true, std: true}
	lib.RawSetString("stdin", fileValue(l, s.input))
	lib.RawSetString("stdout", fileValue(l, s.output))
	lib.RawSetString("stderr", fileValue(l, &luaFile{f: os.Stderr, put: true, std: true}))
}

// fileValue is a file as a Lua value.
func fileValue(l *lua.LState, f *luaFile) *lua.LUserData {
	if v := f.value.Value(); v != nil {
		return v
	}
	v := &lua.LUserData{Value: f, Env: l.G.Global, Metatable: l.G.Registry.RawGetString(fileClass)}
	f.value = weak.Make(v)
	return v
}

// anyFile is argument n, a file that may be closed.
func anyFile(l *lua.LState, n int) *luaFile {
	if ud, ok := l.Get(n).(*lua.LUserData); ok {
		if f, ok := ud.Value.(*luaFile); ok {
			return f
		}
	}
	typeError(l, n, fileClass)
	return nil
}

// fileArg is argument n, a file that is open.
func fileArg(l *lua.LState, n int) *luaFile { return live(l, anyFile(l, n)) }

// live raises an error if f is closed.
func live(l *lua.LState, f *luaFile) *luaFile {
	if f.closed {
		raise(l, "attempt to use a closed file")
	}
	return f
}

func fileToString(l *lua.LState) int {
	f := anyFile(l, 1)
	if f.closed {
		l.Push(lua.LString("file (closed)"))
	} else {
		l.Push(lua.LString(fmt.Sprintf("file (%p)", f)))
	}
	return 1
}

func ioType(l *lua.LState) int {
	v := lua.LValue(lua.LNil)
	if ud, ok := checkAny(l, 1).(*lua.LUserData); ok {
		if f, ok := ud.Value.(*luaFile); ok {
			v = lua.LString("file")
			if f.closed {
				v = lua.LString("closed file")
			}
		}
	}
	l.Push(v)
	return 1
}

func (s *stdlib) fileClose(l *lua.LState) int { return s.close(l, fileArg(l, 1)) }

func (s *stdlib) close(l *lua.LState, f *luaFile) int {
	if f.std {
		l.Push(lua.LNil)
		l.Push(lua.LString("cannot close standard file"))
		return 2
	}
	return pushResult(l, f.close(), "")
}

func (s *stdlib) ioOpen(l *lua.LState) int {
	name := checkString(l, 1)
	f, err := s.openFile(name, optString(l, 2, "r"))
	if err != nil {
		return pushResult(l, err, name)
	}
	l.Push(fileValue(l, f))
	return 1
}

func (s *stdlib) ioPopen(l *lua.LState) int {
	command, mode := checkString(l, 1), optString(l, 2, "r")
	if mode != "r" && mode != "w" {
		l.Push(lua.LNil)
		l.Push(lua.LString(command + ": Invalid argument"))
		l.Push(lua.LNumber(22))
		return 3
	}
	f, err := s.process(command, mode == "r")
	if err != nil {
		return pushResult(l, err, command)
	}
	l.Push(fileValue(l, f))
	return 1
}

func (s *stdlib) ioTmpFile(l *lua.LState) int {
	f, err := os.CreateTemp("", "lua_")
	if err != nil {
		return pushResult(l, err, "")
	}
	os.Remove(f.Name())
	l.Push(fileValue(l, s.newFile(f, true, true)))
	return 1
}

// ioDefault is io.input and io.output.
func (s *stdlib) ioDefault(l *lua.LState, to **luaFile, mode string) int {
	switch v := l.Get(1).(type) {
	case *lua.LNilType:
	case lua.LString, lua.LNumber:
		name, _ := textOfValue(v)
		*to = s.open(l, name, mode)
	default:
		*to = fileArg(l, 1)
	}
	l.Push(fileValue(l, *to))
	return 1
}

// open opens a file or raises an error about argument 1.
func (s *stdlib) open(l *lua.LState, name, mode string) *luaFile {
	f, err := s.openFile(name, mode)
	if err != nil {
		argError(l, 1, name+": "+errText(err))
	}
	return f
}

func (s *stdlib) ioLines(l *lua.LState) int {
	if l.Get(1) == lua.LNil {
		return pushLines(l, live(l, s.input), false)
	}
	return pushLines(l, s.open(l, checkString(l, 1), "r"), true)
}

func fileLines(l *lua.LState) int { return pushLines(l, fileArg(l, 1), false) }

// pushLines pushes the function that reads one line at each call. With thenClose
// it closes the file at its end.
func pushLines(l *lua.LState, f *luaFile, thenClose bool) int {
	l.Push(l.NewFunction(func(l *lua.LState) int {
		if f.closed {
			raise(l, "file is already closed")
		}
		r, err := f.reader()
		var line []byte
		ok := false
		if err == nil {
			line, ok, err = readLine(r)
		}
		switch {
		case err != nil:
			raise(l, errText(err))
		case ok:
			l.Push(bytesValue(line))
			return 1
		case thenClose:
			f.close()
		}
		return 0
	}))
	return 1
}

// readFile reads what the arguments from first on ask for. What cannot be had is
// nil, and ends it.
func readFile(l *lua.LState, f *luaFile, first int) int {
	r, err := f.reader()
	if err != nil {
		return pushResult(l, err, "")
	}
	last, n := l.GetTop(), 0
	if last < first {
		line, ok, err := readLine(r)
		return pushRead(l, 0, line, ok, err)
	}
	for arg := first; arg <= last; arg++ {
		ok := false
		var data []byte
		if size, isNumber := l.Get(arg).(lua.LNumber); isNumber {
			if want := cutInt(float64(size)); want == 0 {
				_, err = r.Peek(1)
				ok = err == nil
				if err == io.EOF {
					err = nil
				}
			} else {
				data, err = readBytes(r, want)
				ok = len(data) > 0
			}
		} else {
			format, isText := textOfValue(l.Get(arg))
			if !isText || format == "" || format[0] != '*' {
				argError(l, arg, "invalid option")
			}
			format += "\x00"
			switch format[1] {
			case 'n':
				var value float64
				if value, ok, err = readANumber(r); ok {
					l.Push(lua.LNumber(value))
					n++
					continue
				}
			case 'l':
				data, ok, err = readLine(r)
			case 'a':
				data, err = readBytes(r, -1)
				ok = true
			default:
				argError(l, arg, "invalid format")
			}
		}
		if !ok || err != nil {
			return pushRead(l, n, nil, false, err)
		}
		l.Push(bytesValue(data))
		n++
	}
	return n
}

// pushRead pushes the last result of a read, behind n others.
func pushRead(l *lua.LState, n int, data []byte, ok bool, err error) int {
	switch {
	case err != nil:
		return pushResult(l, err, "")
	case ok:
		l.Push(bytesValue(data))
	default:
		l.Push(lua.LNil)
	}
	return n + 1
}

func writeFile(l *lua.LState, f *luaFile, first int) int {
	var failed error
	for arg := first; arg <= l.GetTop(); arg++ {
		if err := f.write(checkString(l, arg)); err != nil && failed == nil {
			failed = err
		}
	}
	return pushResult(l, failed, "")
}

func fileSeek(l *lua.LState) int {
	f := fileArg(l, 1)
	whence := map[string]int{"set": io.SeekStart, "cur": io.SeekCurrent, "end": io.SeekEnd}[checkOption(l, 2, "cur", "set", "cur", "end")]
	at, err := f.seek(int64(optInt(l, 3, 0)), whence)
	if err != nil {
		return pushResult(l, err, "")
	}
	l.Push(lua.LNumber(at))
	return 1
}

func fileSetVBuf(l *lua.LState) int {
	f := fileArg(l, 1)
	mode := checkOption(l, 2, "", "no", "full", "line")
	size := max(optInt(l, 3, blockSize), 1)
	if mode == "no" {
		size = 0
	}
	size = min(size, 1<<20)
	if f.out != nil {
		f.out.size, f.out.byLines = size, mode == "line"
		return pushResult(l, f.out.settle(), "")
	}
	f.size, f.byLines = size, mode == "line"
	return pushResult(l, f.flush(), "")
}
