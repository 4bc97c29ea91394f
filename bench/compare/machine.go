package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine is what figures are worth nothing without.
type machine struct {
	cpu, kernel string
	cores       int
	versions    []string
	commit      string
	command     string
	date        time.Time
	pinned      string
	busy        string // load averages when it began: what others did
}

func (b *bench) lookAtMachine(args []string) (machine, error) {
	m := machine{
		cores: runtime.NumCPU(), date: time.Now().UTC(),
		command: strings.TrimSpace("go run ./bench/compare " + strings.Join(args, " ")),
		pinned:  "nothing is bound to a CPU",
	}
	if b.cpuProxy >= 0 {
		m.pinned = fmt.Sprintf("proxies on CPU %d; load generator and null server on CPU %d; sysbench's part is not bound", b.cpuProxy, b.cpuLoad)
	}
	avg, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return m, err
	}
	m.busy = strings.Join(strings.Fields(string(avg))[:2], " and ")
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return m, err
	}
	for line := range strings.Lines(string(info)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			m.cpu = strings.TrimSpace(value)
			break
		}
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return m, fmt.Errorf("uname: %w", err)
	}
	m.kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	m.versions = append(m.versions, runtime.Version())
	for _, argv := range [][]string{{"haproxy", "-v"}, {"sysbench", "--version"}, {"mariadbd", "--version"}, {"gcc", "--version"}} {
		if _, err := os.Stat("/usr/sbin/" + argv[0]); err == nil {
			argv[0] = "/usr/sbin/" + argv[0] // where some users' PATH does not go
		}
		// A program that is not there does not take part.
		if out, err := b.procs.run(-1, argv...); err == nil {
			line, _, _ := strings.Cut(string(out), "\n")
			m.versions = append(m.versions, tidyVersion(filepath.Base(argv[0]), line))
		}
	}
	rev, err := b.procs.run(-1, "git", "-C", b.root, "rev-parse", "--short=12", "HEAD")
	if err != nil {
		return m, err
	}
	m.commit = strings.TrimSpace(string(rev))
	changed, err := b.procs.run(-1, "git", "-C", b.root, "status", "--porcelain", "--", "*.go", "*.c", "go.mod")
	if err != nil {
		return m, err
	}
	if len(changed) > 0 {
		m.commit += " with changes"
	}
	return m, nil
}

// tidyVersion leaves of a program's first line its name and number.
func tidyVersion(name, line string) string {
	for word := range strings.FieldsSeq(line) {
		word = strings.Trim(word, "(),")
		if word != "" && word[0] >= '0' && word[0] <= '9' && strings.Contains(word, ".") {
			return name + " " + word
		}
	}
	return name + " (" + strings.TrimSpace(line) + ")"
}

func (m machine) markdown() string {
	var s strings.Builder
	fmt.Fprintf(&s, "- Machine: %s, %d CPUs, %s\n", m.cpu, m.cores, m.kernel)
	fmt.Fprintf(&s, "- Versions: %s\n", strings.Join(m.versions, ", "))
	fmt.Fprintf(&s, "- Commit: %s\n", m.commit)
	fmt.Fprintf(&s, "- Command: `%s`\n", m.command)
	fmt.Fprintf(&s, "- Date: %s\n", m.date.Format("2006-01-02 15:04 MST"))
	fmt.Fprintf(&s, "- CPUs: %s; load average of the last 1 and 5 minutes at the start %s\n", m.pinned, m.busy)
	return s.String()
}
