package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mysqlproxy/engine/enginetest"
)

// manyThreads is more than the proxy may need: one for each that is in a system call at
// the same time, which is up to the machine. It is few for what is in the thousands.
const manyThreads = 64

// Connects that are dropped at once, in every way, leave nothing behind.
func TestConnectAndDrop(t *testing.T) {
	path, err := plainProxy()
	if err != nil {
		t.Fatal(err)
	}
	p := startBinary(t, path, []string{bed.Primary.Addr})
	stop := undisturbed(t, p.addr)
	defer stop()
	fds, threads := p.openFiles(t), p.status(t, "Threads")
	// What a storm of connects only needs for a while, such as free lists and the stacks
	// of threads, the next ones need no more of, or soon one does not: how many connects
	// are under way at a time is up to the machine. A leak is there each time: that of
	// one session object for each connect would be several times the bound.
	const each, window, bound = 2000, 3, 3 << 9
	most := 12
	if long {
		most = 60
	}
	sizes := []int{p.status(t, "VmRSS")}
	grown := func() int { return sizes[len(sizes)-1] - sizes[len(sizes)-1-window] }
	for storm := 1; storm <= window || storm <= most && (long || grown() > bound); storm++ {
		var wg sync.WaitGroup
		for w := range 16 {
			wg.Go(func() {
				for i := w; i < each; i += 16 {
					connectAndDrop(t, p.addr, i)
				}
			})
		}
		wg.Wait()
		settled(t, p, fds+4)
		sizes = append(sizes, p.status(t, "VmRSS"))
	}
	t.Logf("%d connects: open files %d -> %d, threads %d -> %d, resident KiB after each %d: %v", each*(len(sizes)-1),
		fds, p.openFiles(t), threads, p.status(t, "Threads"), each, sizes)
	if grown() > bound {
		t.Errorf("the last %d connects have left %d KiB, want at most %d", window*each, grown(), bound)
	}
	if now := p.status(t, "Threads"); now > threads+manyThreads {
		t.Errorf("%d threads, before %d", now, threads)
	}
	openSession(t, p.addr).mustAsk("SELECT 1", "1")
}

func connectAndDrop(t *testing.T, addr string, i int) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Errorf("connect %d: %v", i, err)
		return
	}
	switch i % 5 {
	case 0:
		nc.Close()
	case 1:
		drop(nc)
	case 2: // half a login, without waiting for the greeting
		_, _ = nc.Write(fakeLoginPacket(capsBase)[:30])
		nc.Close()
	case 3: // after the greeting
		nc.SetReadDeadline(time.Now().Add(patience))
		if !readFakePacket(nc) {
			t.Errorf("connect %d: no greeting", i)
		}
		drop(nc)
	case 4: // a login that is refused, whose answer nobody awaits
		if !readFakePacket(nc) {
			t.Errorf("connect %d: no greeting", i)
		}
		_, _ = nc.Write(fakeLoginPacket(capsBase &^ capConnectWithDB))
		nc.Close()
	}
}

// Idle sessions cost the proxy little: neither a buffer nor a goroutine, with one
// server or, if their reads go elsewhere, with two.
func TestTenThousandIdleSessions(t *testing.T) {
	t.Run("forwarding", func(t *testing.T) { idleSessions(t, 10000, 1, 3) })
	t.Run("splitting", func(t *testing.T) { idleSessions(t, 4000, 2, 8) })
}

// idleSessions has at most so many clients log in, and read once, and do nothing, each
// with so many servers. most is what one may cost, in KiB.
func idleSessions(t *testing.T, atMost, servers int, most float64) {
	const few = 1000
	// The proxy has a file open for each end, and so has this process, which is the
	// client and the servers. Without leave to raise the hard limit there are a few
	// sessions less.
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	files := 1 + servers
	many := min(atMost, (int(limit.Max)-200)/files)
	if many < 2*few {
		t.Fatalf("the hard limit of %d open files is too low for this test", limit.Max)
	}
	path, err := plainProxy()
	if err != nil {
		t.Fatal(err)
	}
	fake := func() string {
		return startFake(t, func(nc net.Conn) {
			if fakeLogin(nc) {
				fakeAnswers(nc)
			}
		}).addr
	}
	args := []string{fmt.Sprintf("--max-open-files=%d", files*many+150)}
	if servers > 1 {
		users := filepath.Join(t.TempDir(), "users")
		if err := os.WriteFile(users, []byte("app:\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-r", fake(), "--users-file="+users)
	}
	p := startBinary(t, path, []string{fake()}, args...)
	var mu sync.Mutex
	var open []net.Conn
	t.Cleanup(func() {
		for _, nc := range open {
			nc.Close()
		}
	})
	grow := func(to int) (rss int) {
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for {
					mu.Lock()
					n := len(open)
					if n >= to || t.Failed() {
						mu.Unlock()
						return
					}
					nc, err := net.Dial("tcp", p.addr)
					if err == nil {
						open = append(open, nc)
					}
					mu.Unlock()
					if err != nil || !logIn(nc) || !readsRow(nc) {
						t.Errorf("session %d: %v", n, err)
						return
					}
				}
			})
		}
		wg.Wait()
		return p.status(t, "VmRSS")
	}
	grow(few / 2) // what the first sessions cost is not theirs: code, tables, buffers
	small, threads := grow(few), p.status(t, "Threads")
	large := grow(many)
	if t.Failed() {
		return
	}
	each := float64(large-small) / float64(many-few)
	t.Logf("resident: %d KiB with %d sessions, %d KiB with %d: %.2f KiB each; %d open files, threads %d -> %d",
		small, few, large, many, each, p.openFiles(t), threads, p.status(t, "Threads"))
	if n := p.openFiles(t); n < files*many {
		t.Errorf("%d open files, want %d for each of %d sessions", n, files, many)
	}
	if each > most {
		t.Errorf("an idle session costs %.2f KiB, want at most %.0f", each, most)
	}
	if now := p.status(t, "Threads"); now > threads+manyThreads {
		t.Errorf("%d threads, before %d", now, threads)
	}
}

// logIn goes through a login at a fake backend.
func logIn(nc net.Conn) bool {
	nc.SetDeadline(time.Now().Add(patience))
	if !readFakePacket(nc) {
		return false
	}
	if _, err := nc.Write(fakeLoginPacket(capsBase &^ capConnectWithDB)); err != nil {
		return false
	}
	return readFakePacket(nc)
}

// readsRow reads a row from a fake backend.
func readsRow(nc net.Conn) bool {
	if _, err := nc.Write(packetOf(0, []byte("\x03SELECT a FROM t"))); err != nil {
		return false
	}
	for range 5 { // a count, a column, an EOF, a row, an EOF
		if !readFakePacket(nc) {
			return false
		}
	}
	return true
}

// turns is how often the event loops have found a socket ready so far. A loop that goes
// round and round for what nobody can take has far more turns than bytes go to and fro.
func turns(t *testing.T, http string) int {
	t.Helper()
	return int(samples(t, http)["mysql_proxy_loop_turns_total"])
}

// wantFewTurns fails the test if there were more than it takes to pass on so many bytes.
func wantFewTurns(t *testing.T, turns, bytes int) {
	t.Helper()
	if most := 1000 + 4*bytes/10000; turns > most {
		t.Errorf("the loops had %d turns for %d bytes, want at most %d", turns, bytes, most)
	}
}

// A result of 1 GB for a client that reads 1 MB/s costs the proxy neither
// memory nor time: it stops reading from the server.
func TestSlowReader(t *testing.T) {
	path, err := plainProxy()
	if err != nil {
		t.Fatal(err)
	}
	http := enginetest.FreeAddr(t)
	p := startBinary(t, path, []string{bed.Primary.Addr}, "--http-address="+http)
	warm := openSession(t, p.addr)
	for range 3 { // so that the loops' read buffers have their size
		warm.mustAsk("SELECT REPEAT('x', 1048576) FROM seq_1_to_8", strings.Repeat("x", 100))
	}
	s := openSession(t, p.addr)
	if err := s.nc.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	before := turns(t, http)
	rss := p.status(t, "VmRSS")
	s.start("SELECT REPEAT('x', 1048576) FROM seq_1_to_1000")
	start, most := time.Now(), rss
	buf := make([]byte, 10000)
	read := 0
	for i := 0; read < 4_000_000; i++ {
		s.nc.SetReadDeadline(time.Now().Add(patience))
		n, err := s.nc.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		read += n
		if i%10 == 0 {
			most = max(most, p.status(t, "VmRSS"))
		}
		// Ahead of 1 MB/s: wait until it is due.
		time.Sleep(time.Until(start.Add(time.Duration(read) * time.Microsecond)))
	}
	had := turns(t, http) - before
	t.Logf("the client has read %d KiB: resident %d -> at most %d KiB, %d turns of the loops", read>>10, rss, most, had)
	// What may wait for the client is 256 KiB and then the piece that went
	// above that, one read of at most 1 MiB. The loop that has this session may
	// not be the one that was warmed up: its read buffer is another 1 MiB. The
	// runtime's collector lets garbage come up to as much again as is in use:
	// twice (0.25 + 1 + 1) MiB is 4.5 MiB. The result is 1000 MiB.
	if most > rss+4608 {
		t.Errorf("resident memory grew by %d KiB, want at most 4608", most-rss)
	}
	wantFewTurns(t, had, read)
}

// A backend that takes nothing stops the client from sending, and costs the
// proxy as little as a slow client does.
func TestBackendThatTakesNothing(t *testing.T) {
	path, err := plainProxy()
	if err != nil {
		t.Fatal(err)
	}
	f := startFake(t, func(nc net.Conn) { fakeLogin(nc) })
	http := enginetest.FreeAddr(t)
	p := startBinary(t, path, []string{f.addr}, "--shutdown-timeout=1", "--http-address="+http)
	nc, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if !logIn(nc) {
		t.Fatal("no login at the fake backend")
	}
	before := turns(t, http)
	rss := p.status(t, "VmRSS")
	// One statement of 200 MB, in fragments, as far as the sockets take it.
	piece := append([]byte{0xFF, 0xFF, 0xFF, 0, comQuery}, make([]byte, maxFragment-1)...)
	nc.SetWriteDeadline(time.Now().Add(3 * time.Second))
	wrote := 0
	for i := range 12 {
		piece[3] = byte(i)
		n, err := nc.Write(piece)
		wrote += n
		if err != nil {
			break
		}
	}
	grown := p.status(t, "VmRSS") - rss
	had := turns(t, http) - before
	t.Logf("the client could send %d KiB; resident memory grew by %d KiB, %d turns of the loops", wrote>>10, grown, had)
	if wrote >= 12*len(piece) {
		t.Errorf("the client could send all of its %d bytes to a backend that takes none", wrote)
	}
	if grown > 4608 { // the arithmetic of TestSlowReader
		t.Errorf("resident memory grew by %d KiB, want at most 4608", grown)
	}
	wantFewTurns(t, had, wrote)
}
