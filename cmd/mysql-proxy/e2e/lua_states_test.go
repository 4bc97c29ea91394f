package e2e

import (
	"strconv"
	"strings"
	"sync"
	"testing"
)

// One Lua state for all sessions, or one for each event loop: hooks run, and
// proxy.global is of the state.
func TestLuaStates(t *testing.T) {
	for how, want := range map[string]int{"shared": 1, "per-loop": 2} {
		t.Run(how, func(t *testing.T) {
			p := startLua(t, "states.lua", []string{bed.Primary.Addr}, "--lua-states="+how, "--event-threads=2")
			const sessions, queries = 16, 40
			states := map[string]int{} // name to the number of commands it has seen

			var wg sync.WaitGroup
			open := make([]*session, sessions)
			for i := range open {
				open[i] = openSession(t, p.addr)
			}
			for _, s := range open {
				wg.Go(func() {
					for range queries {
						if got := s.ask("SELECT 7 UNION ALL SELECT 8"); got != "8" {
							t.Errorf("got %q, want 8", got)
							return
						}
					}
				})
			}
			wg.Wait()
			total := 0
			for i, s := range open {
				name, rest, _ := strings.Cut(strings.TrimPrefix(s.ask("SELECT state"), "table: "), " ")
				count, cells, _ := strings.Cut(rest, " ")
				if cells != "80" { // two rows for each query
					t.Errorf("session %d: its script has seen %q cells, want 80", i, cells)
				}
				n, err := strconv.Atoi(count)
				if err != nil {
					t.Fatalf("session %d: the count is %q", i, count)
				}
				states[name] = n
			}
			for _, n := range states {
				total += n
			}
			if len(states) != want || total != sessions*(queries+1) {
				t.Errorf("the states have seen %v commands, want %d by %d states", states, sessions*(queries+1), want)
			}
		})
	}
}
