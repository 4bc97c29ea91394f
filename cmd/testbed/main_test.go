package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asProgram makes the test binary be another program: testbed itself, or one
// that takes the proxy's options.
const asProgram = "TESTBED_TEST_AS"

func TestMain(m *testing.M) {
	switch os.Getenv(asProgram) {
	case "":
		os.Exit(m.Run())
	case "testbed":
		main()
	case "relay":
		relay()
	case "broken":
		fmt.Fprintln(os.Stderr, "no luck today")
		os.Exit(3)
	}
}

// relay takes the proxy's options and copies bytes between every client and
// the first backend: what the demo needs of a proxy, and nothing more.
func relay() {
	address := flag.String("proxy-address", "", "")
	backend := flag.String("proxy-backend-addresses", "", "")
	flag.String("proxy-read-only-backend-addresses", "", "")
	flag.String("log-level", "", "")
	flag.Parse()
	ctx, stop := signalContext()
	defer stop()
	l, err := net.Listen("tcp", *address)
	if err != nil {
		panic(err)
	}
	go func() {
		<-ctx.Done()
		os.Exit(0)
	}()
	for {
		client, err := l.Accept()
		if err != nil {
			panic(err)
		}
		server, err := net.Dial("tcp", *backend)
		if err != nil {
			panic(err)
		}
		pipe := func(to, from net.Conn) { _, _ = io.Copy(to, from); to.Close() }
		go pipe(server, client)
		go pipe(client, server)
	}
}

// program is a command that runs the test binary as something else.
func program(as string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"="+as)
	return cmd
}

// script is an executable file that runs the test binary as something else: a
// program that can be named by its path.
func script(t *testing.T, as string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), as)
	text := fmt.Sprintf("#!/bin/sh\n%s=%s exec '%s' \"$@\"\n", asProgram, as, os.Args[0])
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// running is a `testbed run --json --stdin` and the way to talk to it.
type running struct {
	Description
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Scanner
	err   *bytes.Buffer
}

func runTestbed(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{t: t, err: &bytes.Buffer{}}
	r.cmd = program("testbed", append([]string{"run", "--json", "--stdin", "--dir=" + tempDir(t)}, args...)...)
	r.cmd.Stderr = r.err
	var err error
	if r.stdin, err = r.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.lines = bufio.NewScanner(stdout)
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.stdin.Close()
		_ = r.cmd.Wait() // the tests that care have waited before
	})
	r.read(&r.Description)
	return r
}

// tempDir is a folder for a testbed. Its path is short: a socket's must be.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// read reads a line of JSON into v.
func (r *running) read(v any) {
	r.t.Helper()
	if !r.lines.Scan() {
		r.t.Fatalf("the testbed has ended: %v\n%s", r.cmd.Wait(), r.err)
	}
	d := json.NewDecoder(bytes.NewReader(r.lines.Bytes()))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		r.t.Fatalf("%s: %v", r.lines.Bytes(), err)
	}
}

// say gives a control command and returns the answer.
func (r *running) say(command string) Reply {
	r.t.Helper()
	if _, err := io.WriteString(r.stdin, command+"\n"); err != nil {
		r.t.Fatal(err)
	}
	var reply Reply
	r.read(&reply)
	if reply.Command != command {
		r.t.Fatalf("the answer is to %q, want %q", reply.Command, command)
	}
	return reply
}

// do is say, and what is said must succeed.
func (r *running) do(command string) ServerState {
	r.t.Helper()
	reply := r.say(command)
	if !reply.OK {
		r.t.Fatalf("%s: %s", command, reply.Error)
	}
	return *reply.Server
}

// pids are the servers' process ids as the description has them.
func (r *running) pids() []int {
	pids := []int{r.Primary.PID}
	for _, s := range r.Replicas {
		pids = append(pids, s.PID)
	}
	return pids
}

// processState is the kernel's letter for a process's state, Z for one that
// is no more.
func processState(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if os.IsNotExist(err) || (err != nil && strings.Contains(err.Error(), syscall.ESRCH.Error())) {
		return "Z"
	}
	if err != nil {
		t.Fatal(err)
	}
	// The name before it stands in parentheses and may have any byte in it.
	return string(b[bytes.LastIndexByte(b, ')')+2])
}

// waitState waits until a process is in that state.
func waitState(t *testing.T, pid int, want string) {
	t.Helper()
	eventually(t, fmt.Sprintf("process %d is in state %s", pid, want), func() bool { return processState(t, pid) == want })
}

// eventually waits for what must come; how long that takes is never what a test is
// about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// checkNothingLeft fails if a folder of a testbed or a process of it is left.
func checkNothingLeft(t *testing.T, dir string, pids ...int) {
	t.Helper()
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 0 {
		t.Errorf("files are left: %q", left)
	}
	alive := slices.DeleteFunc(pids, func(pid int) bool { return processState(t, pid) == "Z" })
	if len(alive) != 0 {
		t.Errorf("processes are left: %v", alive)
	}
}
