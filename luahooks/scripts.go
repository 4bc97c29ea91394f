package luahooks

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"mysqlproxy/engine/hook"
)

// levelMessage is MySQL Proxy's log level "message". What it calls critical is
// slog.LevelError here.
const levelMessage = slog.LevelInfo + 2

// Options are what New needs to know.
type Options struct {
	// Script is the path of the Lua script; empty is none, then no session has
	// a hook.
	Script string
	Log    *slog.Logger
	Global hook.Global
	// Version of the proxy, "1.1.0", is proxy.PROXY_VERSION.
	Version string
	// LuaPath is package.path, as the variable LUA_PATH has it; empty leaves
	// what the environment says.
	LuaPath string
	// BaseDir is the proxy's base directory, for modules.
	BaseDir string
	// Stdout is where print and io.write write; nil is os.Stdout.
	Stdout io.Writer
	// Shutdown ends the process in an orderly way, on any goroutine; nil where
	// a script may not.
	Shutdown func()

	// What one call of a hook, or one run of a script's main chunk, may cost.
	// 0 is the default, below 0 is any amount. Memory is by how many bytes the
	// process may grow meanwhile: a stop to a runaway script, not an account.
	Instructions int64
	Time         time.Duration
	Memory       int64

	// PerLoop is the number of Lua states, one for each event loop. With 0
	// there is one for all, as in MySQL Proxy, and all scripts share
	// proxy.global.
	PerLoop int
}

// The defaults of what a call may cost.
const (
	DefaultInstructions = 1_000_000_000
	DefaultTime         = 5 * time.Second
	DefaultMemory       = 1 << 30 // bytes
)

// Scripts makes scripts for client sessions out of one file. Any goroutine may
// use it.
type Scripts struct {
	opts *Options
	file *file // nil without a script
	vms  *states
}

// states are the Lua states, each made when its first session comes.
type states struct {
	mu   sync.Mutex
	list []*vm
}

// New opens no script yet: that is looked at for each client that connects.
func New(opts Options) (*Scripts, error) {
	if opts.Log == nil || opts.Global == nil {
		return nil, errors.New("luahooks: Options without Log or Global")
	}
	if _, err := versionNumber(opts.Version); err != nil {
		return nil, err
	}
	if opts.PerLoop < 0 {
		return nil, fmt.Errorf("luahooks: %d Lua states", opts.PerLoop)
	}
	if opts.Stdout == nil {
		opts.Stdout = os.Stdout
	}
	opts.Instructions = orDefault(opts.Instructions, DefaultInstructions)
	opts.Time = orDefault(opts.Time, DefaultTime)
	opts.Memory = orDefault(opts.Memory, DefaultMemory)
	s := &Scripts{opts: &opts, vms: &states{list: make([]*vm, max(1, opts.PerLoop))}}
	s.file = openFile(opts.Script)
	return s, nil
}

func orDefault[T int64 | time.Duration](n, def T) T {
	switch {
	case n == 0:
		return def
	case n < 0:
		return 0
	}
	return n
}

func openFile(path string) *file {
	if path == "" {
		return nil
	}
	return &file{path: path}
}

// With makes scripts out of another file in the same Lua states, as the admin
// plugin's script is one: it shares _G and proxy.global.
func (s *Scripts) With(script string) *Scripts {
	return &Scripts{opts: s.opts, file: openFile(script), vms: s.vms}
}

// Open loads the script that is on disk now and runs its main chunk for the
// session. It waits while another session's hook runs.
func (s *Scripts) Open(session hook.Session) hook.Script {
	sc := &script{session: session}
	if s.file == nil {
		return sc
	}
	sc.file, sc.log = s.file, s.opts.Log
	version, err := s.file.load()
	if err != nil && s.file.mayLog() {
		s.opts.Log.Error("(lua-error) [" + s.file.path + "] " + err.Error())
	}
	sc.vm = s.vms.of(s, session.Loop())
	sc.open(version)
	return sc
}

// of returns the state of an event loop.
func (st *states) of(s *Scripts, loop int) *vm {
	st.mu.Lock()
	defer st.mu.Unlock()
	i := 0
	if loop > 0 {
		i = loop % len(st.list)
	}
	if st.list[i] == nil {
		st.list[i] = newVM(s)
	}
	return st.list[i]
}

// versionNumber is major, minor and patch as proxy.PROXY_VERSION has them:
// 0.8.5 is 0x000805. What follows the patch level is ignored.
func versionNumber(version string) (int, error) {
	core, _, _ := strings.Cut(version, "-")
	parts := strings.Split(core, ".")
	if len(parts) != 3 {
		return 0, fmt.Errorf("luahooks: version %q is not major.minor.patch", version)
	}
	n := 0
	for _, part := range parts {
		i, err := strconv.ParseUint(part, 10, 8)
		if err != nil {
			return 0, fmt.Errorf("luahooks: version %q is not major.minor.patch", version)
		}
		n = n<<8 | int(i)
	}
	return n, nil
}

// Check looks at the script as it is now and logs what is wrong with it, for
// whoever starts the proxy; the clients would be told, too.
func (s *Scripts) Check() {
	if s.file == nil {
		return
	}
	if _, err := s.file.load(); err != nil && s.file.mayLog() {
		s.opts.Log.Error("(lua-error) [" + s.file.path + "] " + err.Error())
	}
}
