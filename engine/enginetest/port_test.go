package enginetest

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
)

// holderEnv has this test binary lease a port, print it, and then wait for the
// end of its standard input.
const holderEnv = "ENGINETEST_HOLD_A_PORT"

func TestMain(m *testing.M) {
	if os.Getenv(holderEnv) == "" {
		os.Exit(m.Run())
	}
	l, err := LeasePort()
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Port)
	_, _ = bufio.NewReader(os.Stdin).ReadByte() // its end is what is waited for
}

// holder is another process that has leased a port.
func holder(t *testing.T) (cmd *exec.Cmd, port int) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holderEnv+"=1")
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := fmt.Fscan(out, &port); err != nil {
		t.Fatal(err)
	}
	return cmd, port
}

func mustLease(t *testing.T, port int) *Lease {
	t.Helper()
	l, err := LeaseFrom(port, 1)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestAnotherProcessHasItsPortUntilItEnds(t *testing.T) {
	cmd, port := holder(t)
	if l, err := LeaseFrom(port, 1); !errors.Is(err, ErrNoPort) {
		t.Fatalf("leased %+v, %v; want no port", l, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	mustLease(t, port).Release()
}

func TestAPortIsLeasedWhetherOrNotSomebodyListens(t *testing.T) {
	l, err := LeasePort()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if again, err := LeaseFrom(l.Port, 1); !errors.Is(err, ErrNoPort) {
			t.Fatalf("leased twice: %+v, %v", again, err)
		}
		ln, err := net.Listen("tcp4", l.Addr())
		if err != nil {
			t.Fatal(err)
		}
		ln.Close()
	}
	l.Release()
	mustLease(t, l.Port).Release()
}

func TestAChildDoesNotKeepItsParentsPort(t *testing.T) {
	l, err := LeasePort()
	if err != nil {
		t.Fatal(err)
	}
	_, other := holder(t)
	if other == l.Port {
		t.Fatalf("both have port %d", other)
	}
	l.Release()
	mustLease(t, l.Port).Release()
}

func TestAPortThatAStrangerListensOnIsNotLeased(t *testing.T) {
	taken, err := LeasePort()
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp4", taken.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	taken.Release() // what is left is a listener that has leased nothing
	if l, err := LeaseFrom(taken.Port, 1); !errors.Is(err, ErrNoPort) {
		t.Fatalf("leased %+v, %v; want no port", l, err)
	}
	next, err := LeaseFrom(taken.Port, 100)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Release()
	if next.Port <= taken.Port {
		t.Errorf("leased %d, want one above %d", next.Port, taken.Port)
	}
}
