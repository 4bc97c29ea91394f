package luahooks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// maxScript is the longest script in bytes.
const maxScript = 64 << 20

// file is a script on disk. Any goroutine may use it: compiling needs no Lua
// state, so a slow one holds up no hook.
type file struct {
	path string

	mu    sync.Mutex
	known bool // the next four are of the file as it was read last
	text  []byte
	mtime time.Time
	size  int64
	// settled: a further change would show in mtime or size.
	settled bool
	last    *version // of text, or the error that it gave
	err     error

	logged time.Time
}

// version is a script compiled.
type version struct {
	main *lua.FunctionProto
	// restless tells whether a hook might define hooks: see definesLater.
	restless bool
}

// settleAfter is how old a file has to be before its mtime tells it from a
// later version: file systems count in ticks, and two versions may be of one
// size.
const settleAfter = time.Second

// load returns the version that is on disk. One is known again by mtime and
// size or, as long as that may deceive, and if it has failed, by its text.
func (f *file) load() (*version, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, err
	}
	if f.settled && info.ModTime().Equal(f.mtime) && info.Size() == f.size {
		return f.last, nil
	}
	if !info.Mode().IsRegular() { // reading a pipe would never end
		return nil, fmt.Errorf("%s is not a regular file", f.path)
	}
	text, info, err := read(f.path)
	if err != nil {
		return nil, err
	}
	if !f.known || !bytes.Equal(text, f.text) {
		f.known, f.text, f.last = true, text, nil
		var main *lua.FunctionProto
		if main, f.err = compileScript(text, chunkName(f.path)); f.err == nil {
			f.last = &version{main: main, restless: definesLater(main)}
		}
	}
	f.mtime, f.size = info.ModTime(), info.Size()
	f.settled = f.err == nil && time.Since(f.mtime) > settleAfter
	return f.last, f.err
}

// mayLog tells whether it is time to complain again: once a second, however
// many clients come.
func (f *file) mayLog() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if now.Sub(f.logged) < time.Second {
		return false
	}
	f.logged = now
	return true
}

func read(path string) ([]byte, os.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxScript+1))
	if err == nil && len(text) > maxScript {
		err = fmt.Errorf("%s is longer than %d bytes", path, maxScript)
	}
	return text, info, err
}

// compileScript compiles text as the body of a function without parameters, as
// MySQL Proxy does: ... is an error at the top level, a return may stand at the
// end only, and the lines are the file's own.
func compileScript(text []byte, name string) (*lua.FunctionProto, error) {
	outer, err := compileText(io.MultiReader(
		strings.NewReader("return function()"), bytes.NewReader(text), strings.NewReader("\nend")), name)
	if err != nil {
		return nil, errors.New(syntaxErrorText(err, name, 1+bytes.Count(text, []byte("\n"))))
	}
	return outer.FunctionPrototypes[0], nil
}

// bringsIn are the names of functions with which a script may run code that is
// not in its file, and reachesOut those with which it may set a global without
// the global's name standing in the code.
var (
	bringsIn   = []string{"require", "dofile", "loadfile", "loadstring", "load"}
	reachesOut = []string{"_G", "getfenv", "setfenv", "rawset", "setmetatable", "debug", "module", "__proxy"}
)

// definesLater tells whether the functions of a script, once its main chunk has
// run, could define a hook: then the hooks are looked up after each call, which
// is as dear as an empty hook.
func definesLater(main *lua.FunctionProto) bool {
	if mentions(main, bringsIn) || mentions(main, reachesOut) {
		return true
	}
	return slices.ContainsFunc(main.FunctionPrototypes, func(inner *lua.FunctionProto) bool {
		return mentions(inner, names[:]) || definesLater(inner)
	})
}

// mentions tells whether one of the words is among the constants of p itself.
func mentions(p *lua.FunctionProto, words []string) bool {
	for _, c := range p.Constants {
		if s, ok := c.(lua.LString); ok && slices.Contains(words, string(s)) {
			return true
		}
	}
	return false
}

// chunkName is the name of a script's chunk. It is the path as it is: Lua, which
// is given no @ before it, takes it for the text and shows it as such.
func chunkName(path string) string { return chunkID(path) }
