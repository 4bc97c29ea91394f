package scripts

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
)

// connections lists both ends of a process's TCP sockets, as the kernel writes
// them, one socket a line.
func connections(t *testing.T, pid int) string {
	t.Helper()
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	inodes := map[string]bool{}
	for _, fd := range fds {
		to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, fd.Name())) // closed in between: no socket
		if n, ok := strings.CutPrefix(to, "socket:["); ok {
			inodes[strings.TrimSuffix(n, "]")] = true
		}
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for line := range strings.Lines(string(b)) {
		if w := strings.Fields(line); len(w) > 9 && inodes[w[9]] {
			fmt.Fprintln(&out, w[1], w[2])
		}
	}
	return out.String()
}

// hexPort is an address's port as the kernel writes it.
func hexPort(t *testing.T, addr string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(":%04X", n)
}
