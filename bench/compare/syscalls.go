package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// countSyscalls has strace count while the load generator runs. strace makes
// everything many times slower, so there are only counts here, no times.
func (b *bench) countSyscalls(all []instance) (string, error) {
	t := newTable("System calls of the proxy a query", "contestant", "1 connection", "of which", "16 connections", "of which")
	t.note = "Counted with strace, which slows everything down, from connect to quit."
	for _, i := range all {
		if i.proc == nil {
			continue
		}
		cells := []string{label(i.name)}
		for _, conns := range []int{1, 16} {
			calls, queries, err := b.syscallsOf(i, conns)
			if b.procs.ctx.Err() != nil {
				return "", b.procs.ctx.Err()
			}
			if err != nil {
				b.fail("%s, system calls with %s: %v", label(i.name), connections(conns), err)
				cells = append(cells, "-", "-")
				continue
			}
			cells = append(cells, perQuery(calls, queries)...)
		}
		t.row(cells...)
	}
	return t.markdown(), nil
}

// perQuery makes the two cells: the sum, and the calls that make most of it.
func perQuery(calls map[string]int64, queries int64) []string {
	var total int64
	var names []string
	for name, n := range calls {
		total += n
		if float64(n)/float64(queries) >= .05 {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(x, y string) int { return int(calls[y] - calls[x]) })
	for k, name := range names {
		names[k] = fmt.Sprintf("%s %.2f", name, float64(calls[name])/float64(queries))
	}
	return []string{fmt.Sprintf("%.1f", float64(total)/float64(queries)), strings.Join(names, ", ")}
}

func (b *bench) syscallsOf(i instance, conns int) (calls map[string]int64, queries int64, err error) {
	file := filepath.Join(b.dir, "strace.out")
	_ = os.Remove(file) // of the round before
	tracer, err := b.procs.start("strace", b.cpuLoad, "strace", "-f", "-c", "-o", file, "-p", fmt.Sprint(i.proc.pid()))
	if err != nil {
		return nil, 0, err
	}
	defer tracer.stop()
	// strace says on its standard error when it is attached.
	for n := 0; !strings.Contains(tracer.out.String(), "attached"); n++ {
		if n > 200 {
			return nil, 0, fmt.Errorf("strace is not attached: %s", tracer.out)
		}
		time.Sleep(20 * time.Millisecond)
	}
	s, err := b.load(i, "point", conns, "-warmup", "0s", "-duration", "2s")
	if err != nil {
		return nil, 0, err
	}
	if s.TotalQueries == 0 {
		return nil, 0, errors.New("no query was answered")
	}
	if err := tracer.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return nil, 0, err
	}
	if !tracer.ended(10 * time.Second) {
		return nil, 0, errors.New("strace does not end")
	}
	out, err := os.ReadFile(file)
	if err != nil {
		return nil, 0, err
	}
	calls, err = parseStrace(string(out))
	return calls, s.TotalQueries, err
}

// parseStrace reads the table of strace -c: calls by name.
func parseStrace(out string) (map[string]int64, error) {
	calls := map[string]int64{}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		// % time, seconds, usecs/call, calls, [errors,] name
		if len(f) < 5 || len(f) > 6 || f[len(f)-1] == "total" {
			continue
		}
		if n, err := strconv.ParseInt(f[3], 10, 64); err == nil {
			calls[f[len(f)-1]] = n
		}
	}
	if len(calls) == 0 {
		return nil, fmt.Errorf("no calls in strace's table: %q", out)
	}
	return calls, nil
}
