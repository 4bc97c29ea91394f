package e2e

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Connects that are dropped at once, in every way, leave nothing behind.
func TestConnectAndDrop(t *testing.T) {
	path, err := plainProxy()
	if err != nil {
		t.Fatal(err)
	}
	p := startBinary(t, path, []string{bed.Primary.Addr})
	stop := undisturbed(t, p.addr)
	defer stop()
	total := 20000
	if long {
		total = 100000
	}
	storm := func(n int) {
		var wg sync.WaitGroup
		for w := range 16 {
			wg.Go(func() {
				for i := w; i < n; i += 16 {
					connectAndDrop(t, p.addr, i)
				}
			})
		}
		wg.Wait()
	}
	storm(2000) // so that free lists and the like have their size
	time.Sleep(time.Second)
	fds, threads, rss := p.openFiles(t), p.status(t, "Threads"), p.status(t, "VmRSS")
	storm(total)
	settled(t, p, fds+4)
	t.Logf("%d connects: open files %d -> %d, threads %d -> %d, resident %d -> %d KiB", total,
		fds, p.openFiles(t), threads, p.status(t, "Threads"), rss, p.status(t, "VmRSS"))
	if now := p.status(t, "Threads"); now > threads+4 {
		t.Errorf("%d threads, before %d", now, threads)
	}
	// A leak of one session object each would be several times this.
	if now := p.status(t, "VmRSS"); now > rss+6<<10 {
		t.Errorf("%d KiB resident, before %d", now, rss)
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
		nc.SetReadDeadline(time.Now().Add(20 * time.Second))
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

// Idle sessions cost the proxy little: neither a buffer nor a goroutine.
func TestTenThousandIdleSessions(t *testing.T) {
	const few = 1000
	// The proxy has two files open for a session, and so has this process, which
	// is the client and the server. Without leave to raise the hard limit there
	// are a few sessions less.
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	many := min(10000, (int(limit.Max)-200)/2)
	if many < 2*few {
		t.Fatalf("the hard limit of %d open files is too low for this test", limit.Max)
	}
	path, err := plainProxy()
	if err != nil {
		t.Fatal(err)
	}
	f := startFake(t, func(nc net.Conn) { fakeLogin(nc) })
	p := startBinary(t, path, []string{f.addr}, fmt.Sprintf("--max-open-files=%d", 2*many+150))
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
					if err != nil || !logIn(nc) {
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
	if n := p.openFiles(t); n < 2*many {
		t.Errorf("%d open files, want two for each of %d sessions", n, many)
	}
	if each > 3 {
		t.Errorf("an idle session costs %.2f KiB, want at most 3", each)
	}
	if now := p.status(t, "Threads"); now > threads+4 {
		t.Errorf("%d threads, before %d", now, threads)
	}
}

// logIn goes through a login at a fake backend.
func logIn(nc net.Conn) bool {
	nc.SetDeadline(time.Now().Add(30 * time.Second))
	if !readFakePacket(nc) {
		return false
	}
	if _, err := nc.Write(fakeLoginPacket(capsBase &^ capConnectWithDB)); err != nil {
		return false
	}
	return readFakePacket(nc)
}

// A result of 1 GB for a client that reads 1 MB/s costs the proxy neither
// memory nor time: it stops reading from the server.
func TestSlowReader(t *testing.T) {
	path, err := plainProxy()
	if err != nil {
		t.Fatal(err)
	}
	p := startBinary(t, path, []string{bed.Primary.Addr})
	warm := openSession(t, p.addr)
	for range 3 { // so that the loops' read buffers have their size
		warm.mustAsk("SELECT REPEAT('x', 1048576) FROM seq_1_to_20", strings.Repeat("x", 100))
	}
	s := openSession(t, p.addr)
	if err := s.nc.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	rss, cpu := p.status(t, "VmRSS"), p.cpuTicks(t)
	s.start("SELECT REPEAT('x', 1048576) FROM seq_1_to_1000")
	const seconds = 6
	start, most := time.Now(), rss
	buf := make([]byte, 10000)
	for read, i := 0, 0; time.Since(start) < seconds*time.Second; i++ {
		s.nc.SetReadDeadline(time.Now().Add(20 * time.Second))
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
	used := p.cpuTicks(t) - cpu
	t.Logf("over %d s: resident %d -> at most %d KiB, %d ms of processor time", seconds, rss, most, used*10)
	// What may wait for the client is 256 KiB and then the piece that went
	// above that, one read of at most 1 MiB. The loop that has this session may
	// not be the one that was warmed up: its read buffer is another 1 MiB. The
	// runtime's collector lets garbage come up to as much again as is in use:
	// twice (0.25 + 1 + 1) MiB is 4.5 MiB. The result is 1000 MiB.
	if most > rss+4608 {
		t.Errorf("resident memory grew by %d KiB, want at most 4608", most-rss)
	}
	if used > seconds*100/5 {
		t.Errorf("the proxy used %d ms of processor time in %d s, want at most a fifth", used*10, seconds)
	}
}

// A backend that takes nothing stops the client from sending, and costs the
// proxy as little as a slow client does.
func TestBackendThatTakesNothing(t *testing.T) {
	path, err := plainProxy()
	if err != nil {
		t.Fatal(err)
	}
	f := startFake(t, func(nc net.Conn) { fakeLogin(nc) })
	p := startBinary(t, path, []string{f.addr}, "--shutdown-timeout=1")
	nc, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if !logIn(nc) {
		t.Fatal("no login at the fake backend")
	}
	rss, cpu := p.status(t, "VmRSS"), p.cpuTicks(t)
	// One statement of 200 MB, in fragments, as far as the sockets take it.
	piece := append([]byte{0xFF, 0xFF, 0xFF, 0, comQuery}, make([]byte, maxFragment-1)...)
	const seconds = 3
	nc.SetWriteDeadline(time.Now().Add(seconds * time.Second))
	wrote := 0
	for i := range 12 {
		piece[3] = byte(i)
		n, err := nc.Write(piece)
		wrote += n
		if err != nil {
			break
		}
	}
	grown, used := p.status(t, "VmRSS")-rss, p.cpuTicks(t)-cpu
	t.Logf("the client could send %d KiB; resident memory grew by %d KiB, %d ms of processor time", wrote>>10, grown, used*10)
	if wrote >= 12*len(piece) {
		t.Errorf("the client could send all of its %d bytes to a backend that takes none", wrote)
	}
	if grown > 4608 { // the arithmetic of TestSlowReader
		t.Errorf("resident memory grew by %d KiB, want at most 4608", grown)
	}
	if used > seconds*100/5 {
		t.Errorf("the proxy used %d ms of processor time in %d s, want at most a fifth", used*10, seconds)
	}
}
