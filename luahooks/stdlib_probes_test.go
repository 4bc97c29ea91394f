package luahooks

import (
	"io"
	"os"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
)

// newLua is a state with the standard libraries.
// depth is n, and less under the race detector: what a script may do until it is
// stopped takes ten times as long there, and one goroutine does it.
func depth(n int) int {
	if underRace {
		return n / 10
	}
	return n
}

var underRace bool // set by underrace_test.go

func newLua(t testing.TB, stdout io.Writer) *lua.LState {
	t.Helper()
	l := lua.NewState(lua.Options{
		SkipOpenLibs: true, CallStackSize: depth(20_000), MinimizeStackMemory: true,
		RegistrySize: 4 << 10, RegistryMaxSize: 1 << 20, RegistryGrowStep: 4 << 10,
	})
	openStdlib(l, stdout)
	t.Cleanup(l.Close)
	return l
}

// run runs a chunk and returns the texts of its results; an error is the last.
func run(t testing.TB, l *lua.LState, chunk string) []string {
	t.Helper()
	f, err := loadChunk(l, []byte(chunk), "=p")
	if err != nil {
		return []string{err.Error()}
	}
	top := l.GetTop()
	l.Push(f)
	if err := protectedCall(l, 0, lua.MultRet, nil); err != nil {
		return []string{toString(l, errorValue(err)).String()}
	}
	var out []string
	for i := top + 1; i <= l.GetTop(); i++ {
		out = append(out, toString(l, l.Get(i)).String())
	}
	l.SetTop(top)
	return out
}

// TestProbes runs testdata/stdlib/probes.txt. What is wanted was printed by Lua
// 5.1.5 (Debian 12's lua5.1), with TZ=UTC and without LUA_PATH and LUA_CPATH:
//
//	cd luahooks/testdata/stdlib && lua5.1 -e '
//	  local f = io.open("probes.txt") probes = f:read("*a") f:close()
//	  io.write(dofile("run.lua"))' > probes.golden
func TestProbes(t *testing.T) {
	for _, name := range []string{"LUA_PATH", "LUA_CPATH"} {
		t.Setenv(name, "") // so that it is put back afterwards
		os.Unsetenv(name)
	}
	t.Setenv("TZ", "UTC")
	read := func(name string) string {
		text, err := os.ReadFile("testdata/stdlib/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if underRace { // one goroutine, for a minute
			return strings.ReplaceAll(string(text), `("x"):rep(200):find(`, `("x"):rep(60):find(`)
		}
		return string(text)
	}
	l := newLua(t, io.Discard)
	l.SetGlobal("probes", lua.LString(read("probes.txt")))
	got := strings.Split(strings.Join(run(t, l, read("run.lua")), "\n"), "\n")
	want := strings.Split(read("probes.golden"), "\n")
	if len(got) != len(want) || len(want) < 2*300 {
		t.Fatalf("%d lines, want %d: %s", len(got), len(want), got[len(got)-1])
	}
	for i := 0; i+1 < len(want); i += 2 {
		expect := want[i+1]
		if other, ok := remaining[want[i]]; ok {
			if expect == "\t"+other {
				t.Errorf("%s\nis no difference any more", want[i])
			}
			expect = "\t" + other
		}
		if got[i+1] != expect {
			t.Errorf("%s\n got %s\nwant %s", want[i], got[i+1], expect)
		}
	}
}
