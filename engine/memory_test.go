package engine

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

// What the proxy holds for a peer that does not take it is bounded, in both
// directions. The sockets are unix ones, whose buffers have a size of their own
// and do not grow.
func TestMemoryForASlowPeerIsBounded(t *testing.T) {
	big := make([]byte, 1<<20)
	for _, tc := range []struct {
		name   string
		toward func(e ends) (fast, slow int)
		before func(w *world, e ends) // what comes before the bulk
		bulk   []byte                 // sent again and again
	}{
		{"client", func(e ends) (int, int) { return e.server, e.client }, func(w *world, e ends) {
			query := packet.AppendPacket(nil, 0, Query("SELECT"))
			w.put(e.client, query)
			w.get(e.server, query)
			head, _ := Result(nil, 1, Caps, 0)
			head = head[:len(head)-9]
			w.put(e.server, head)
			w.get(e.client, head)
		}, packet.AppendPacket(nil, 4, append([]byte{0xfd, 0, 0, 16}, big[:len(big)-1]...))},
		{"server", func(e ends) (int, int) { return e.client, e.server }, func(*world, ends) {},
			packet.AppendPacket(nil, 0, append([]byte{byte(packet.ComStmtSendLongData)}, big...))},
	} {
		t.Run("slow "+tc.name, func(t *testing.T) {
			w := newWorld(t)
			dir := t.TempDir()
			ln, err := net.Listen("unix", filepath.Join(dir, "server.sock"))
			if err != nil {
				t.Fatal(err)
			}
			e := openEnds(w, ln, func(c *Config) { c.Listen = []reactor.Addr{{Path: filepath.Join(dir, "proxy.sock")}} })
			tc.before(w, e)
			fast, slow := tc.toward(e)
			if err := unix.SetsockoptInt(fast, unix.SOL_SOCKET, unix.SO_SNDBUF, 64<<10); err != nil {
				t.Fatal(err)
			}
			kernel := 0 // what lies in the buffers before and behind the proxy
			for _, fd := range []int{fast, slow} {
				n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF) // slow's as a measure of the proxy's own
				if err != nil {
					t.Fatal(err)
				}
				kernel += n
			}
			if err := unix.SetNonblock(fast, true); err != nil {
				t.Fatal(err)
			}
			sent, got, at := 0, 0, 0
			buf := make([]byte, 100_000)
			for range 40 {
				for still := 0; still < 20; { // until the proxy has had time to take more and did not
					n, err := unix.Write(fast, tc.bulk[at:])
					if err == unix.EAGAIN {
						still++
						time.Sleep(time.Millisecond)
						continue
					}
					if err != nil {
						t.Fatal(err)
					}
					still = 0
					sent += n
					at = (at + n) % len(tc.bulk)
					if held := sent - got; held > kernel+1<<20 {
						t.Fatalf("%d bytes are held for a peer that has taken %d, want at most %d + 1 MiB", held, got, kernel)
					}
				}
				w.get(slow, buf)
				got += len(buf)
			}
			if sent < 4_000_000 {
				t.Errorf("%d bytes have passed, want at least 4 MB", sent)
			}
		})
	}
}
