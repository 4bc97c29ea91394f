// Compare measures mysql-proxy beside a direct connection, the floor (a bare
// forwarder in C) and HAProxy, and writes the figures into BENCHMARKS.md.
//
// All contestants run at once and take turns in short windows, the order turned
// round every other time, so that what slows the machine down for a second slows
// all of them. Ratios are taken within a round, then their median.
//
//	go run ./bench/compare           everything, about 35 minutes
//	go run ./bench/compare -quick    a look, about 2 minutes; writes no file
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// settings are the flags; their help says what they mean.
type settings struct {
	quick, write   bool
	contestants    []string
	sysContestants []string
	works          []string
	conns, threads []int
	// sysSplitThreads are sysbench's threads where reads are split.
	sysSplitThreads []int
	rounds          int
	window          time.Duration
	sysRounds       int
	sysTime         time.Duration
	tests, psModes  []string
	idle            int
	slow            time.Duration
	syscalls        bool
	// scriptContestants take part in "scripts", with scriptConns connections.
	scriptContestants []string
	scriptConns       []int
	// splitContestants take part in "splitting", with splitConns connections.
	splitContestants []string
	splitConns       []int
	// digestContestants take part in "digests", with digestConns connections.
	digestContestants []string
	digestConns       []int
	// tlsContestants take part in "tls" and "handshakes", with tlsConns connections.
	tlsContestants  []string
	tlsConns        []int
	storm           float64 // handshakes a second
	compressRounds  int
	proxy           string
	unpinned        bool
	tables, tableSz int
}

// allWorks in the order in which they are done and printed.
var allWorks = []string{"point", "execute", "bulk", "connect", "idle", "slow", "digests", "splitting", "scripts", "tls", "handshakes", "compress", "sysbench", "sysbench-splitting"}

// bench is one run of everything.
type bench struct {
	settings
	procs    *procs
	root     string // of the module
	dir      string // of what is built and written meanwhile
	files    uint64 // limit of open files
	cpuProxy int    // negative: not bound to a CPU
	cpuLoad  int
	machine  machine
	failed   []string // wrong answers and other failures, for the end
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	followParent(ctx, stop)
	err := run(ctx, os.Args[1:])
	stop()
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	set, err := parse(args)
	if err != nil {
		return err
	}
	b := &bench{settings: set, cpuProxy: -1, cpuLoad: -1}
	if b.root, err = moduleRoot(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "compare-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if b.files, err = raiseFiles(65536); err != nil {
		return err
	}
	if cpus := allowedCPUs(); len(cpus) > 1 && !b.unpinned {
		b.cpuProxy, b.cpuLoad = cpus[0], cpus[1]
	}
	b.procs = newProcs(ctx)
	defer b.procs.stopAll()
	if err := b.build(); err != nil {
		return err
	}
	if b.machine, err = b.lookAtMachine(args); err != nil {
		return err
	}
	fmt.Println(b.machine.markdown())
	if err := b.nullSection(); err != nil {
		return err
	}
	if err := b.digestSection(); err != nil {
		return err
	}
	if err := b.splittingSection(); err != nil {
		return err
	}
	if err := b.scriptSection(); err != nil {
		return err
	}
	if err := b.tlsSection(); err != nil {
		return err
	}
	if err := b.compressSection(); err != nil {
		return err
	}
	for _, part := range b.sysParts() {
		if err := b.sysbenchSection(part); err != nil {
			return err
		}
	}
	if len(b.failed) > 0 {
		return fmt.Errorf("%d failures:\n%s", len(b.failed), strings.Join(b.failed, "\n"))
	}
	return nil
}

func parse(args []string) (settings, error) {
	s := settings{
		contestants: []string{direct, floor, haproxy, ours}, sysContestants: []string{direct, haproxy, ours},
		works: allWorks, conns: []int{1, 16, 64, 256}, threads: []int{1, 16, 64, 256}, sysSplitThreads: []int{64},
		scriptContestants: scriptContestants(), scriptConns: []int{16, 64},
		splitContestants: []string{floor, haproxy, ours, oursSplit}, splitConns: []int{1, 16, 64},
		digestContestants: digestContestants(), digestConns: []int{16, 64},
		tlsContestants: tlsContestants, tlsConns: []int{1, 16, 64},
		tests: []string{"oltp_point_select", "oltp_read_only", "oltp_read_write"}, psModes: []string{"disable", "auto"},
	}
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.BoolVar(&s.quick, "quick", false, "a short run; other flags still count")
	f.BoolVar(&s.write, "write", true, "write the figures to BENCHMARKS.md (with -quick only if asked for)")
	texts(f, &s.contestants, "contestants", "who takes part in front of the null server")
	texts(f, &s.sysContestants, "sysbench-contestants", "who takes part in front of real servers; mysql-proxy-split reads from replicas")
	texts(f, &s.works, "works", "what is measured")
	numbers(f, &s.conns, "conns", "connections of point")
	numbers(f, &s.threads, "threads", "threads of sysbench")
	numbers(f, &s.sysSplitThreads, "split-threads", "threads of sysbench-splitting")
	texts(f, &s.scriptContestants, "script-contestants", "who takes part in scripts")
	numbers(f, &s.scriptConns, "script-conns", "connections of scripts")
	texts(f, &s.splitContestants, "split-contestants", "who takes part in splitting")
	numbers(f, &s.splitConns, "split-conns", "connections of splitting")
	texts(f, &s.digestContestants, "digest-contestants", "who takes part in digests")
	numbers(f, &s.digestConns, "digest-conns", "connections of digests")
	texts(f, &s.tlsContestants, "tls-contestants", "who takes part in tls and handshakes")
	numbers(f, &s.tlsConns, "tls-conns", "connections of tls")
	f.Float64Var(&s.storm, "storm", 500, "new TLS connections a second that handshakes makes beside plain sessions")
	f.IntVar(&s.compressRounds, "compress-rounds", 5, "rounds of compress, of twice -window")
	f.IntVar(&s.rounds, "rounds", 7, "rounds in front of the null server")
	f.DurationVar(&s.window, "window", 500*time.Millisecond, "window of one contestant in one round")
	f.IntVar(&s.sysRounds, "sysbench-rounds", 3, "rounds of sysbench")
	f.DurationVar(&s.sysTime, "sysbench-time", 3*time.Second, "window of sysbench, whole seconds")
	texts(f, &s.tests, "tests", "sysbench's tests")
	texts(f, &s.psModes, "ps-modes", "values of sysbench's --db-ps-mode")
	f.IntVar(&s.tables, "tables", 4, "tables of sysbench")
	f.IntVar(&s.tableSz, "table-size", 25000, "rows of each")
	f.IntVar(&s.idle, "idle", 10000, "idle connections; fewer if the limit of open files wants it")
	f.DurationVar(&s.slow, "slow", 10*time.Second, "how long a slow reader reads")
	f.BoolVar(&s.syscalls, "syscalls", false, "count system calls with strace, too")
	f.StringVar(&s.proxy, "proxy", "", "`path` of mysql-proxy (default: built from this checkout)")
	f.BoolVar(&s.unpinned, "unpinned", false, "bind nothing to a CPU")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if f.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	given := map[string]bool{}
	f.Visit(func(fl *flag.Flag) { given[fl.Name] = true })
	if s.quick {
		s.shorten(given)
	}
	for _, w := range s.works {
		if !slices.Contains(allWorks, w) {
			return s, fmt.Errorf("unknown work %q: there are %s", w, strings.Join(allWorks, ", "))
		}
	}
	if s.storm <= 0 || s.compressRounds < 1 {
		return s, errors.New("-storm and -compress-rounds must be above 0")
	}
	if s.rounds < 1 || s.sysRounds < 1 || s.sysTime < time.Second || s.window <= 0 {
		return s, errors.New("rounds and windows must be at least one (-sysbench-time: 1s)")
	}
	return s, nil
}

// shorten is -quick: what was not given by a flag becomes small.
func (s *settings) shorten(given map[string]bool) {
	set := func(name string, f func()) {
		if !given[name] {
			f()
		}
	}
	set("write", func() { s.write = false })
	set("rounds", func() { s.rounds = 3 })
	set("window", func() { s.window = 250 * time.Millisecond })
	set("conns", func() { s.conns = []int{1, 64} })
	set("script-conns", func() { s.scriptConns = []int{64} })
	set("split-conns", func() { s.splitConns = []int{1, 64} })
	set("digest-conns", func() { s.digestConns = []int{64} })
	set("tls-conns", func() { s.tlsConns = []int{1, 64} })
	set("compress-rounds", func() { s.compressRounds = 2 })
	set("threads", func() { s.threads = []int{16} })
	set("sysbench-rounds", func() { s.sysRounds = 1 })
	set("sysbench-time", func() { s.sysTime = 2 * time.Second })
	set("table-size", func() { s.tableSz = 5000 })
	set("idle", func() { s.idle = 2000 })
	set("slow", func() { s.slow = 3 * time.Second })
}

// texts registers a flag that is a list, separated by commas.
func texts(f *flag.FlagSet, p *[]string, name, usage string) {
	f.Func(name, "`list`: "+usage+" (default "+strings.Join(*p, ",")+")", func(v string) error {
		*p = strings.Split(v, ",")
		return nil
	})
}

// numbers is texts for numbers above 0.
func numbers(f *flag.FlagSet, p *[]int, name, usage string) {
	f.Func(name, "`list`: "+usage+" (default "+strings.Trim(strings.ReplaceAll(fmt.Sprint(*p), " ", ","), "[]")+")", func(v string) error {
		*p = nil
		for part := range strings.SplitSeq(v, ",") {
			n, err := strconv.Atoi(part)
			if err != nil || n < 1 {
				return fmt.Errorf("%q is not a number above 0", part)
			}
			*p = append(*p, n)
		}
		return nil
	})
}

func (s settings) does(work string) bool { return slices.Contains(s.works, work) }

// takesPart says whether a contestant is wanted anywhere.
func (s settings) takesPart(name string) bool {
	return slices.Contains(s.contestants, name) || (s.does("tls") || s.does("handshakes")) && slices.Contains(s.tlsContestants, name) || s.does("scripts") && slices.Contains(s.scriptContestants, name) ||
		s.does("splitting") && slices.Contains(s.splitContestants, name) ||
		s.does("sysbench") && slices.Contains(s.sysContestants, name) || s.does("sysbench-splitting") && slices.Contains(sysSplitContestants, name)
}

// sharedBins, if not empty, is a folder of programs that are not built again when
// they are there: tests share one.
var sharedBins string

// bin is the path of a program built by build.
func (b *bench) bin(name string) string {
	if sharedBins != "" {
		return filepath.Join(sharedBins, name)
	}
	return filepath.Join(b.dir, name)
}

// built tells whether a program is there already.
func (b *bench) built(name string) bool {
	_, err := os.Stat(b.bin(name))
	return err == nil
}

// build makes the programs that are needed.
func (b *bench) build() error {
	build := func(name, pkg string) error {
		if b.built(name) {
			return nil
		}
		_, err := b.procs.run(-1, "env", "CGO_ENABLED=0", "go", "build", "-C", b.root, "-trimpath", "-o", b.bin(name), pkg)
		return err
	}
	if err := errors.Join(build("nullserver", "./bench/nullserver"), build("load", "./bench/load")); err != nil {
		return err
	}
	if b.takesPart(floor) && !b.built("floor") {
		if _, err := b.procs.run(-1, "gcc", "-O2", "-Wall", "-std=gnu11", "-o", b.bin("floor"), filepath.Join(b.root, "bench", "floor.c")); err != nil {
			return err
		}
	}
	if b.takesPart(haproxy) || b.takesPart(haproxyTLS) {
		if _, err := exec.LookPath("haproxy"); err != nil {
			return fmt.Errorf("%w; or leave it out with -contestants and -sysbench-contestants", err)
		}
	}
	if b.takesPart(ours) || b.takesPart(oursSplit) || b.does("scripts") || b.does("digests") || b.does("compress") ||
		b.takesPart(oursTLS) || b.takesPart(oursHybrid) {
		if b.proxy == "" {
			b.proxy = b.bin("mysql-proxy")
			if err := os.Setenv("CGO_ENABLED", "0"); err != nil {
				return err
			}
			if err := build("mysql-proxy", "./cmd/mysql-proxy"); err != nil {
				return err
			}
		}
	}
	if b.does("sysbench") || b.does("sysbench-splitting") || b.does("compress") {
		return build("testbed", "./cmd/testbed")
	}
	return nil
}

func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	mod := strings.TrimSpace(string(out))
	if filepath.Base(mod) != "go.mod" {
		return "", errors.New("not in the module's folder")
	}
	return filepath.Dir(mod), nil
}
