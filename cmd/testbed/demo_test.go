package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"mysqlproxy/engine/enginetest"
)

// demoOf runs `testbed demo` without a terminal, in a folder of its own.
func demoOf(t *testing.T, args ...string) (out string, err error) {
	t.Helper()
	dir := tempDir(t)
	b, err := program("testbed", append([]string{"demo", "--dir=" + dir}, args...)...).CombinedOutput()
	checkNothingLeft(t, dir)
	return string(b), err
}

func TestDemo(t *testing.T) {
	for name, args := range map[string][]string{
		"through a proxy": {"--proxy", script(t, "relay")},
		"direct":          {"--direct"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := demoOf(t, args...)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range []string{
				`\|         1 \| +\d+ \|  5000 \| 15628125.00 \|`, // printed by the mariadb client
				`(?m)^  answered by primary$`,
				`replicated to replica1`,
				`replicated to replica2`,
				`mariadb -h 127\.0\.0\.1 -P \d+ -uapp -papp-password test`,
			} {
				if !regexp.MustCompile(want).MatchString(out) {
					t.Errorf("the output has no %s:\n%s", want, out)
				}
			}
		})
	}
}

func TestDemoTakesTheNextFreePort(t *testing.T) {
	_, port, _ := net.SplitHostPort(enginetest.Listen(t).Addr().String())
	out, err := demoOf(t, "--replicas=0", "--proxy", script(t, "relay"), "--port", port)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.Contains(out, "-P "+port+" ") {
		t.Errorf("the proxy has a port that was taken:\n%s", out)
	}
}

func TestDemoFails(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"a proxy that ends": {[]string{"--proxy", script(t, "broken")},
			[]string{"the proxy ended while it started: exit status 3", "no luck today", "end of the primary's log"}},
		"no proxy": {[]string{"--proxy", "/nonexistent"}, []string{"start the proxy"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := demoOf(t, append(c.args, "--replicas=0")...)
			if err == nil {
				t.Errorf("it succeeded:\n%s", out)
			}
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("the output has no %q:\n%s", want, out)
				}
			}
		})
	}
}

// A Ctrl-C at a terminal ends the demo with success, and the program that
// started it goes on: a make would otherwise fail.
func TestDemoAtATerminal(t *testing.T) {
	terminal, tty := openTerminal(t)
	dir := tempDir(t)
	// The shell stands for make: it is the terminal's foreground, and would
	// die of a SIGINT.
	cmd := exec.Command("sh", "-c", `"$0" demo --direct --replicas=0 --dir="$1"; echo "status $?"`, script(t, "testbed"), dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tty.Close()
	var out strings.Builder
	pressed := false
	buf := make([]byte, 4096)
	for {
		n, err := terminal.Read(buf)
		out.Write(buf[:n])
		if !pressed && strings.Contains(out.String(), "Ctrl-C stops") {
			pressed = true
			if _, err := terminal.Write([]byte{3}); err != nil {
				t.Fatal(err)
			}
		}
		if err != nil {
			break // EIO: the other side is closed
		}
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "status 0") {
		t.Errorf("%v, want a shell that says \"status 0\":\n%s", err, out.String())
	}
	checkNothingLeft(t, dir)
}

// openTerminal makes a pseudo terminal: what is typed at the one side is read
// at the other.
func openTerminal(t *testing.T) (typing, tty *os.File) {
	t.Helper()
	typing, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { typing.Close() })
	if err := unix.IoctlSetPointerInt(int(typing.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(typing.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return typing, tty
}

func TestIsTerminal(t *testing.T) {
	_, tty := openTerminal(t)
	defer tty.Close()
	if !isTerminal(tty) {
		t.Error("a terminal is none")
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if isTerminal(null) {
		t.Error(os.DevNull + " is a terminal")
	}
}

// What waits for a process must notice its end.
func TestDemoNoticesADeadServer(t *testing.T) {
	d := demo{set: settings{flavour: flavours[0].name, replicas: 1, dir: tempDir(t)}, direct: true, out: io.Discard}
	if err := d.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	replica := d.bed.servers[1]
	if err := replica.end(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := d.wait(t.Context()); err == nil || !strings.Contains(err.Error(), "replica1 has ended") {
		t.Errorf("wait: %v, want that replica1 has ended", err)
	}
	if err := d.stop(); err != nil {
		t.Error(err)
	}
	checkNothingLeft(t, filepath.Dir(d.bed.dir))
}
