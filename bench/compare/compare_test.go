package main

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mysqlproxy/engine/enginetest"
)

func TestMain(m *testing.M) {
	var err error
	if sharedBins, err = os.MkdirTemp("", "compare-bins-"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(sharedBins)
	os.Exit(code)
}

// newBench builds the programs that tests need.
func newBench(t *testing.T) *bench {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	s, err := parse([]string{"-contestants", "direct,floor", "-works", "point", "-window", "20ms"})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{settings: s, root: root, dir: t.TempDir(), cpuProxy: -1, cpuLoad: -1, procs: newProcs(context.Background())}
	t.Cleanup(b.procs.stopAll)
	if b.files, err = raiseFiles(1024); err != nil {
		t.Fatal(err)
	}
	if err := b.build(); err != nil {
		t.Fatal(err)
	}
	return b
}

// echo is a server that sends back what it gets. It reports the bytes of each
// connection when that has ended.
func echo(t *testing.T) (addr string, ended chan int64) {
	t.Helper()
	l := enginetest.Listen(t)
	ended = make(chan int64, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if err := c.(*net.TCPConn).SetWriteBuffer(1 << 20); err != nil {
					t.Error(err)
				}
				n, _ := io.Copy(c, struct{ io.Reader }{c}) // however it ends
				ended <- n
			}()
		}
	}()
	return l.Addr().String(), ended
}

func TestFloorForwardsEveryByteBothWays(t *testing.T) {
	b := newBench(t)
	addr, ended := echo(t)
	i, err := b.begin(floor, backends{primary: addr}, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer i.stop()
	<-ended // the connection that saw whether it listens
	c, err := net.Dial("tcp", i.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const size = 64 << 20
	seed := [32]byte{1, 2, 3}
	go func() {
		if n, err := io.Copy(c, io.LimitReader(rand.NewChaCha8(seed), size)); err != nil || n != size {
			t.Errorf("sent %d bytes, %v", n, err)
		}
	}()
	// Nobody reads, until all buffers on the way are full and every writer has
	// been refused part of a write; and again in between.
	want, got, expect := rand.NewChaCha8(seed), make([]byte, 100_003), make([]byte, 100_003)
	for at := 0; at < size; {
		if at/(16<<20) != (at-1)/(16<<20) || at == 0 {
			time.Sleep(100 * time.Millisecond)
		}
		n := min(len(got), size-at)
		if _, err := io.ReadFull(c, got[:n]); err != nil {
			t.Fatalf("at %d: %v", at, err)
		}
		if _, err := io.ReadFull(want, expect[:n]); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got[:n], expect[:n]) {
			t.Fatalf("bytes differ between %d and %d", at, at+n)
		}
		at += n
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if n := <-ended; n != size {
		t.Errorf("the backend got %d bytes, want %d", n, size)
	}
}

func TestFloorOutlivesBackendsThatAreGone(t *testing.T) {
	b := newBench(t)
	i, err := b.begin(floor, backends{primary: enginetest.FreeAddr(t)}, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer i.stop()
	for range 3 {
		if _, err := b.load(i, "point", 2, "-timeout", "5s"); err == nil {
			t.Error("load without a backend has no errors")
		}
	}
	select {
	case <-i.proc.done:
		t.Errorf("floor ended: %s", i.proc.out)
	default:
	}
}

func TestLoadFindsNoErrorInNullServerDirectlyAndThroughFloor(t *testing.T) {
	b := newBench(t)
	null, err := b.startNull(1)
	if err != nil {
		t.Fatal(err)
	}
	all, stop, err := b.beginAll(b.contestants, null)
	defer stop()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		for _, args := range [][]string{
			{"point"}, {"point", "-eof"}, {"execute"}, {"execute", "-eof"}, {"connect"},
			{"bulk", "-bulk", "64000000", "-row", "1021", "-answers", "3"}, {"bulk", "-row", "16", "-bulk", "100000", "-eof"},
		} {
			conns := 20
			if slices.Contains(args, "64000000") {
				conns = 3
			}
			s, err := b.load(i, args[0], conns, append([]string{"-duration", "20ms", "-warmup", "20ms", "-answers", "200", "-password", "secret"}, args[1:]...)...)
			if err != nil {
				t.Errorf("%s, %v: %v", i.name, args, err)
			}
			if s.TotalQueries == 0 {
				t.Errorf("%s, %v: no queries", i.name, args)
			}
			if cpu := s.CPUPerQuery; (cpu > 0) != (i.proc != nil && s.Queries > 0) {
				t.Errorf("%s, %v: CPU a query is %v", i.name, args, cpu)
			}
		}
	}
	before, err := null.counts(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if share, err := b.replicaShare(all[0], work{mode: "point", conns: 2}, null, shareWithin); err != nil || share != 0 {
		t.Errorf("share of the replica is %v, %v; want 0", share, err)
	}
	share, err := b.replicaShare(instance{addr: null.replicas[0]}, work{mode: "point", conns: 2}, null, shareWithin)
	if err != nil || share < .9 {
		t.Errorf("share of the replica is %v, %v; want nearly 1", share, err)
	}
	if before[0] == 0 || before[1] != 0 {
		t.Errorf("counts are %v", before)
	}
}

func TestAContestantThatFailsIsNamedAndTheOthersGoOn(t *testing.T) {
	b := newBench(t)
	null, err := b.startNull(1)
	if err != nil {
		t.Fatal(err)
	}
	broken, err := b.begin(floor, backends{primary: enginetest.FreeAddr(t)}, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer broken.stop()
	b.rounds = 3
	got, err := b.measure(work{title: "a title", mode: "point", conns: 2}, []instance{{name: direct, addr: null.primary}, broken})
	if err != nil {
		t.Fatal(err)
	}
	if len(b.failed) != 1 || !strings.Contains(b.failed[0], "floor") {
		t.Errorf("failures are %q", b.failed)
	}
	if s := spreadOf(got[0].qps); s.n != 3 || s.median <= 0 {
		t.Errorf("direct: %+v", s)
	}
	if s := spreadOf(got[1].qps); s.n != 0 || len(got[1].qps) != 3 {
		t.Errorf("floor: %+v of %v", s, got[1].qps)
	}
}

// TestAShortRun is the whole program but for sysbench and mysql-proxy.
func TestAShortRun(t *testing.T) {
	// Not bound to CPUs: other tests run beside it.
	err := run(t.Context(), strings.Fields("-write=false -unpinned -contestants direct,floor,haproxy -works point,execute,bulk,connect,idle,slow"+
		" -conns 1,16 -rounds 3 -window 20ms -idle 300 -slow 300ms"))
	if err != nil {
		t.Fatal(err)
	}
	if left := children(t); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
}

// TestAShortRunWithTLS has HAProxy and mysql-proxy agree on everything that is
// to be the same, answer every query right, and survive a small storm.
func TestAShortRunWithTLS(t *testing.T) {
	err := run(t.Context(), strings.Fields("-write=false -unpinned -tls-contestants haproxy,mysql-proxy,haproxy-tls,mysql-proxy-tls,mysql-proxy-hybrid"+
		" -works tls,handshakes -tls-conns 4 -rounds 2 -window 100ms -storm 30"))
	if err != nil {
		t.Fatal(err)
	}
	if left := children(t); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
}

func TestAnEndedContextStopsEverything(t *testing.T) {
	newBench(t) // so that nothing has to be built while the time runs
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Second, cancel)
	if err := run(ctx, strings.Fields("-write=false -contestants direct,floor -works point -conns 1 -rounds 1000000")); err == nil {
		t.Error("the run was not stopped")
	}
	if left := children(t); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
}

// children are the processes that this one has.
func children(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil { // a thread may end meanwhile
			all = append(all, strings.Fields(string(b))...)
		}
	}
	return all
}
