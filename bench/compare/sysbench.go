package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// testbedState is what is needed of the line with which `testbed run` describes
// its servers.
type testbedState struct {
	Version  string `json:"version"`
	Database string `json:"database"`
	Primary  struct {
		Addr string `json:"addr"`
		PID  int    `json:"pid"`
	} `json:"primary"`
	Replicas []struct {
		Addr string `json:"addr"`
	} `json:"replicas"`
	Users struct {
		App struct {
			Name     string `json:"name"`
			Password string `json:"password"`
		} `json:"app"`
		Empty struct {
			Name string `json:"name"`
		} `json:"empty"` // has no password
	} `json:"users"`
}

// startTestbed starts a primary and, unless args say otherwise, two replicas. The testbed ends, and takes
// its servers with it, when its standard input does: so it has no parent-death
// signal, which would leave it no time for that.
func (b *bench) startTestbed(args ...string) (*proc, testbedState, error) {
	var state testbedState
	c := &proc{name: "testbed", out: &tailBuffer{}, cmd: exec.Command(b.bin("testbed"), append([]string{"run", "--json", "--stdin"}, args...)...)}
	c.cmd.Stderr = c.out
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, state, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, state, err
	}
	if err := b.procs.keep(c, -1); err != nil {
		return nil, state, err
	}
	line := make(chan []byte, 1)
	go func() {
		s, _ := bufio.NewReader(out).ReadBytes('\n') // empty if it ended
		line <- s
	}()
	select {
	case s := <-line:
		if err := json.Unmarshal(s, &state); err != nil {
			c.stop()
			return nil, state, fmt.Errorf("testbed: %v: %s", c.err, c.out)
		}
	case <-b.procs.ctx.Done():
		c.stop()
		return nil, state, b.procs.ctx.Err()
	}
	return c, state, nil
}

// sysRun is what one run of sysbench found.
type sysRun struct {
	qps      float64
	queries  float64
	p50, p99 float64 // milliseconds of an event: a transaction, or a query of oltp_point_select
}

// sysArgs are sysbench's arguments against one address. test is its name, and
// options of its own behind it.
func (b *bench) sysArgs(t testbedState, addr, test, psMode string, threads int) []string {
	host, port, _ := strings.Cut(addr, ":")
	return append(append([]string{"sysbench"}, strings.Fields(test)...),
		"--db-driver=mysql", "--mysql-host="+host, "--mysql-port="+port,
		"--mysql-user="+t.Users.App.Name, "--mysql-password="+t.Users.App.Password, "--mysql-db="+t.Database,
		fmt.Sprintf("--tables=%d", b.tables), fmt.Sprintf("--table-size=%d", b.tableSz),
		"--db-ps-mode="+psMode, fmt.Sprintf("--threads=%d", threads),
		fmt.Sprintf("--time=%d", int(b.sysTime.Round(time.Second)/time.Second)), "--histogram=on", "--percentile=99",
		"--forced-shutdown=15", // a query without an answer ends the run, badly
	)
}

// sysPart is a section of sysbench's tests.
type sysPart struct {
	work        string // and what the section is called
	contestants []string
	tests       []string
	threads     []int
}

// sysSplitContestants take part in "sysbench-splitting".
var sysSplitContestants = []string{direct, haproxy, ours, oursSplit}

// sysParts are all of them. Reads within transactions stay at the primary, so
// what is to be split has none.
func (b *bench) sysParts() []sysPart {
	return []sysPart{
		{"sysbench", b.sysContestants, b.tests, b.threads},
		{"sysbench-splitting", sysSplitContestants, []string{"oltp_read_only --skip-trx=on", "oltp_read_write --skip-trx=on --mysql-ignore-errors=1213,1020,1205,1062", "oltp_read_write"}, b.sysSplitThreads},
	}
}

// sysbenchSection runs sysbench's tests over real servers and reports them.
func (b *bench) sysbenchSection(part sysPart) error {
	if !b.does(part.work) {
		return nil
	}
	bed, state, err := b.startTestbed()
	if err != nil {
		return err
	}
	defer bed.stop()
	if _, err := b.procs.run(-1, append(b.sysArgs(state, state.Primary.Addr, "oltp_read_write", "auto", 1), "prepare")...); err != nil {
		return fmt.Errorf("sysbench prepare: %w", err)
	}
	to := backends{primary: state.Primary.Addr, user: state.Users.App.Name + ":" + state.Users.App.Password}
	for _, r := range state.Replicas {
		to.replicas = append(to.replicas, r.Addr)
	}
	var all []instance
	defer func() {
		for _, i := range all {
			i.stop()
		}
	}()
	for _, name := range part.contestants {
		i, err := b.begin(name, to, -1)
		if err != nil {
			return err
		}
		all = append(all, i)
	}
	var text strings.Builder
	text.WriteString(b.machine.markdown())
	fmt.Fprintf(&text, "- Servers: MariaDB %s, one primary and %d replicas; %d tables of %s rows\n\n", state.Version, len(state.Replicas), b.tables, thousands(float64(b.tableSz)))
	for _, test := range part.tests {
		for _, mode := range b.psModes {
			s, err := b.sysTable(state, all, test, mode, part.threads)
			if err != nil {
				return err
			}
			fmt.Println(s)
			text.WriteString(s + "\n")
		}
	}
	return b.save(part.work, text.String())
}

// sysTable runs one test with each number of threads, everybody in turn.
func (b *bench) sysTable(state testbedState, all []instance, test, psMode string, numbers []int) (string, error) {
	t := newTable(fmt.Sprintf("%s, --db-ps-mode=%s", test, psMode), "threads", "contestant", "queries a second", "share of direct",
		"p50 ms", "p99 ms", "proxy's CPU us a query", "times HAProxy", "reads at replicas")
	status, err := openStatus(state)
	if err != nil {
		return "", err
	}
	defer status.close()
	for _, threads := range numbers {
		out := make([]series, len(all))
		reads := make([][]int64, len(all)) // by server, of all rounds
		for i := range all {
			out[i].name = all[i].name
		}
		broken := make([]bool, len(all))
		for round := range b.sysRounds {
			order := slices.Collect(func(yield func(int) bool) {
				for i := range all {
					if round%2 == 1 {
						i = len(all) - 1 - i
					}
					if !yield(i) {
						return
					}
				}
			})
			for _, i := range order {
				r, cpu := sysRun{qps: math.NaN(), p50: math.NaN(), p99: math.NaN()}, math.NaN()
				if err := status.add(b.procs.ctx, nil); err != nil {
					return "", err
				}
				if !broken[i] {
					got, c, err := b.sysWindow(state, all[i], test, psMode, threads)
					if err == nil {
						err = status.add(b.procs.ctx, &reads[i])
					}
					if b.procs.ctx.Err() != nil {
						return "", b.procs.ctx.Err()
					}
					if err == nil {
						r, cpu = got, c
					} else {
						broken[i] = true
						b.fail("%s, %s, --db-ps-mode=%s, %d threads: %v", label(all[i].name), test, psMode, threads, err)
					}
				}
				o := &out[i]
				o.qps, o.p50, o.p99, o.cpu = append(o.qps, r.qps), append(o.p50, r.p50), append(o.p99, r.p99), append(o.cpu, cpu)
			}
		}
		base, ha := find(out, direct), find(out, haproxy)
		for i, s := range out {
			t.row(strconv.Itoa(threads), label(s.name), spreadOf(s.qps).String(), against(s, base, qpsOf),
				spreadOf(s.p50).String(), spreadOf(s.p99).String(), spreadOf(s.cpu).String(), against(s, ha, cpuOf), replicasPart(reads[i]))
		}
	}
	return t.markdown(), nil
}

// sysWindow runs sysbench once. cpu is of the proxy, from sysbench's start to its
// end, in microseconds a query; NaN for a direct connection.
func (b *bench) sysWindow(state testbedState, to instance, test, psMode string, threads int) (r sysRun, cpu float64, err error) {
	cpu = math.NaN()
	var before, after time.Duration
	if to.proc != nil {
		if before, err = cpuTime(to.proc.pid()); err != nil {
			return r, cpu, err
		}
	}
	out, err := b.procs.run(-1, append(b.sysArgs(state, to.addr, test, psMode, threads), "run")...)
	if err != nil {
		// sysbench writes most of its errors to the standard output.
		return r, cpu, fmt.Errorf("%w %s", err, fatal(string(out)))
	}
	if r, err = parseSysbench(string(out)); err != nil {
		return r, cpu, err
	}
	if to.proc != nil {
		if after, err = cpuTime(to.proc.pid()); err != nil {
			return r, cpu, err
		}
		cpu = float64(after-before) / 1e3 / r.queries
	}
	return r, cpu, nil
}

// fatal picks the first lines in which sysbench says what went wrong.
func fatal(out string) string {
	var found []string
	for line := range strings.Lines(out) {
		if strings.Contains(line, "FATAL") && len(found) < 3 {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return strings.Join(found, "; ")
}

// parseSysbench reads sysbench's report with its histogram.
func parseSysbench(out string) (sysRun, error) {
	r := sysRun{qps: math.NaN()}
	type bin struct{ ms, n float64 }
	var bins []bin
	var events float64
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		name, rest, _ := strings.Cut(line, ":")
		f := strings.Fields(strings.NewReplacer("(", " ", ")", " ").Replace(rest))
		switch {
		case name == "queries" && len(f) >= 2:
			r.queries, r.qps = number(f[0]), number(f[1])
		default:
			if left, right, ok := strings.Cut(line, " |"); ok {
				right = strings.TrimLeft(right, "* ")
				if ms, n := number(strings.TrimSpace(left)), number(strings.TrimSpace(right)); !math.IsNaN(ms) && !math.IsNaN(n) {
					bins = append(bins, bin{ms, n})
					events += n
				}
			}
		}
	}
	if !(r.queries > 0) || events == 0 {
		return r, errors.New("sysbench's report has no queries or no histogram")
	}
	at := func(q float64) float64 {
		var sum float64
		for _, b := range bins {
			if sum += b.n; sum >= q*events {
				return b.ms
			}
		}
		return bins[len(bins)-1].ms
	}
	r.p50, r.p99 = at(.5), at(.99)
	return r, nil
}

// number is NaN for what is none.
func number(s string) float64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return math.NaN()
	}
	return v
}
