package luahooks

import (
	"runtime"
	"testing"
)

// A script that keeps something for each connection and clears it when the
// connection ends takes no more memory after many connections than after a few.
func TestClearedKeysGiveBackTheirRoom(t *testing.T) {
	w := newWorld(t, `
proxy.global.n = (proxy.global.n or 0) + 1
proxy.global.per = proxy.global.per or {}
local key = "connection number " .. proxy.global.n
proxy.global.per[key] = true
function disconnect_client() proxy.global.per[key] = nil end
`, nil)
	after := func(sessions int) int64 {
		for range sessions {
			sc, _ := w.open()
			sc.DisconnectClient()
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		runtime.KeepAlive(w)
		return int64(m.HeapAlloc)
	}
	few := after(2 * tidyEvery)
	many := after(20 * tidyEvery)
	t.Logf("%d bytes of heap, then %d", few, many)
	if many-few > 2<<20 {
		t.Errorf("%d sessions later the heap is %d bytes larger", 20*tidyEvery, many-few)
	}
}
