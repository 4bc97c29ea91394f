package reactor

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"golang.org/x/sys/unix"
)

// A process of its own runs out of descriptors: the test binary, started again
// with the path to listen on in this variable.
const starvedEnv = "REACTOR_TEST_STARVED"

const starvedFiles = 40 // that it may have open

// starved is the main function of that process: an echo server, until its
// standard input ends. It prints a line when it listens and its figures then.
func starved(path string) int {
	lim := unix.Rlimit{Cur: starvedFiles, Max: starvedFiles}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		fmt.Println(err)
		return 1
	}
	var lines atomic.Int64
	log := slog.New(slog.NewTextHandler(counter{&lines}, nil))
	l, err := NewLoop(log)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	ln, err := Listen(Addr{Path: path}, []*Loop{l}, func(*Conn, Addr) Handler { return &recorder{data: echo} })
	if err != nil {
		fmt.Println(err)
		return 1
	}
	ln.Start()
	events := 0
	go l.run(func(fd int, ev netpoll.IOEvent, flags netpoll.IOFlags) error {
		if fd == ln.fd {
			events++
		}
		return l.event(fd, ev, flags)
	})
	fmt.Println("listening")
	bufio.NewReader(os.Stdin).ReadByte()
	ticks := 0
	done := make(chan struct{})
	l.Post(func() { ticks = int(l.wheel.clock()); close(done) })
	<-done
	l.Stop()
	fmt.Println("events", events, "ticks", ticks, "lines", lines.Load())
	return 0
}

type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) { c.n.Add(1); return len(p), nil }

func TestAcceptingGoesOnWhenDescriptorsAreFreeAgain(t *testing.T) {
	leaks(t)
	path := filepath.Join(t.TempDir(), "s")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), starvedEnv+"="+path)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "listening" {
		t.Fatalf("the process said %q", lines.Text())
	}

	served := make(chan int, 2*starvedFiles) // the numbers of those that were answered
	var conns []net.Conn
	for i := range 2 * starvedFiles {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		conns = append(conns, c)
		go func() {
			c.Write([]byte("?"))
			if n, _ := c.Read(make([]byte, 1)); n == 1 {
				served <- i
			}
		}()
	}
	first := <-served
	for n := 1; n < len(conns); n++ { // each that is served makes room for another
		conns[first].Close()
		select {
		case first = <-served:
		case <-time.After(patience):
			t.Fatalf("%d of %d connections were accepted", n, len(conns))
		}
	}
	in.Close()
	if !lines.Scan() {
		t.Fatal("the process has died")
	}
	var events, ticks, logged int
	if _, err := fmt.Sscanf(strings.TrimSpace(lines.Text()), "events %d ticks %d lines %d", &events, &ticks, &logged); err != nil {
		t.Fatalf("%q: %v", lines.Text(), err)
	}
	// One event for each connect and, while there are no descriptors, one a tick.
	if most := len(conns) + ticks; events > most {
		t.Errorf("the listener had %d events in %d ticks, want at most %d", events, ticks, most)
	}
	if most := 1 + ticks/10; logged == 0 || logged > most {
		t.Errorf("%d lines logged in %d ticks, want 1 to %d", logged, ticks, most)
	}
}
