package luahooks

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	lua "github.com/yuin/gopher-lua"
)

// maxChunk is the longest text in bytes that load and its like compile.
const maxChunk = 64 << 20

// loadChunk makes a function of a chunk of Lua. name is as luaL_loadbuffer takes
// it: "@file", "=name" or the text itself. Its environment is that of the globals.
// A first line that begins with # is skipped in files only; see loadFile.
func loadChunk(l *lua.LState, text []byte, name string) (*lua.LFunction, error) {
	id := chunkID(name)
	switch {
	case bytes.HasPrefix(text, []byte("\x1bLua")):
		return nil, errors.New(id + ": bad header in precompiled chunk: bytecode cannot be loaded, only source")
	case len(text) > maxChunk:
		return nil, errors.New(id + ": chunk is too long")
	}
	proto, err := compileText(bytes.NewReader(text), id)
	if err != nil {
		return nil, errors.New(syntaxErrorText(err, id, 1+bytes.Count(text, []byte("\n"))))
	}
	f := l.NewFunctionFromProto(proto)
	f.Env = l.G.Global
	return f, nil
}

// loadFile loads a file, standard input if the name is empty.
func loadFile(l *lua.LState, name string) (*lua.LFunction, error) {
	var text []byte
	var err error
	chunk := "@" + name
	if name == "" {
		chunk = "=stdin"
		text, err = io.ReadAll(io.LimitReader(os.Stdin, maxChunk+1))
	} else {
		text, err = readChunk(name)
	}
	if err != nil {
		what := "open"
		if e := (*fs.PathError)(nil); errors.As(err, &e) && e.Op == "read" {
			what = "read"
		}
		return nil, errors.New("cannot " + what + " " + chunk[1:] + ": " + errText(err))
	}
	if len(text) > 0 && text[0] == '#' { // #!/usr/bin/lua: the line stays, empty
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			text = text[i:]
		} else {
			text = nil
		}
	}
	return loadChunk(l, text, chunk)
}

func readChunk(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxChunk+1))
}

// errText is strerror of an error of package os.
func errText(err error) string {
	text, _ := cError(err)
	return text
}

// cError is strerror and errno of an error of package os.
func cError(err error) (text string, errno int) {
	var e syscall.Errno
	if !errors.As(err, &e) {
		if errors.Is(err, fs.ErrClosed) {
			e = syscall.EBADF
		} else {
			return err.Error(), 0
		}
	}
	text = e.Error()
	if text != "" { // glibc begins with a capital letter
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	return text, int(e)
}

// pushLoaded pushes a function, or nil and the error.
func pushLoaded(l *lua.LState, f *lua.LFunction, err error) int {
	if err != nil {
		l.Push(lua.LNil)
		l.Push(lua.LString(err.Error()))
		return 2
	}
	l.Push(f)
	return 1
}

func baseLoadString(l *lua.LState) int {
	text := checkString(l, 1)
	f, err := loadChunk(l, []byte(text), optString(l, 2, text))
	return pushLoaded(l, f, err)
}

func baseLoadFile(l *lua.LState) int {
	f, err := loadFile(l, optString(l, 1, ""))
	return pushLoaded(l, f, err)
}

// baseLoad loads the pieces that a function returns.
func baseLoad(l *lua.LState) int {
	read := checkFunction(l, 1)
	name := optString(l, 2, "=(load)")
	l.SetTop(0)
	var text []byte
	for {
		l.Push(read)
		if err := protectedCall(l, 0, 1, nil); err != nil {
			l.Push(lua.LNil)
			l.Push(errorValue(err))
			return 2
		}
		piece, ok := textOfValue(l.Get(-1))
		end := l.Get(-1) == lua.LNil
		l.SetTop(0)
		if end || ok && piece == "" {
			break
		}
		if !ok {
			l.Push(lua.LNil)
			l.Push(lua.LString(where(l, 1) + "reader function must return a string"))
			return 2
		}
		if text = append(text, piece...); len(text) > maxChunk {
			break // loadChunk refuses it
		}
	}
	f, err := loadChunk(l, text, name)
	return pushLoaded(l, f, err)
}

func baseDoFile(l *lua.LState) int {
	f, err := loadFile(l, optString(l, 1, ""))
	if err != nil {
		l.Error(lua.LString(err.Error()), 0)
	}
	top := l.GetTop()
	l.Push(f)
	l.Call(0, lua.MultRet)
	return l.GetTop() - top
}
