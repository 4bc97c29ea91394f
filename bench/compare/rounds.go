package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// sample is what the load generator reports of one window; its own names.
type sample struct {
	QPS               float64 `json:"qps"`
	P50               float64 `json:"p50_us"`
	P99               float64 `json:"p99_us"`
	CPUPerQuery       float64 `json:"cpu_us_a_query"`
	Queries           int64   `json:"queries"`
	TotalQueries      int64   `json:"total_queries"`
	Bytes             int64   `json:"bytes"`
	ClearBytes        int64   `json:"clear_bytes"`
	Frames            int64   `json:"frames"`
	Seconds           float64 `json:"seconds"`
	CPUSeconds        float64 `json:"cpu_seconds"`
	BackendCPUSeconds float64 `json:"backend_cpu_seconds"`
	AnswerBytes       int64   `json:"answer_bytes"`
	AnswerSum         string  `json:"answer_sum"`
	TLS               string  `json:"tls"`
	peakRSS           int64   // bytes, of the proxy
}

// work is one thing that is measured of everybody in turn.
type work struct {
	title string
	mode  string // of the load generator
	conns int
	args  []string
}

// series is what one contestant did in each round; NaN where it failed.
type series struct {
	name                    string
	cpu, qps, p50, p99, rss []float64
}

// load runs the load generator once against an instance.
func (b *bench) load(to instance, mode string, conns int, args ...string) (sample, error) {
	argv := []string{b.bin("load"), "-addr", to.addr, "-mode", mode, "-conns", fmt.Sprint(conns)}
	if to.proc != nil {
		argv = append(argv, "-pid", fmt.Sprint(to.proc.pid()))
	}
	argv = append(argv, to.load...)
	var s sample
	out, err := b.procs.run(b.cpuLoad, append(argv, args...)...)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(out, &s); err != nil {
		return s, fmt.Errorf("the load generator's report: %w", err)
	}
	return s, nil
}

// window measures one contestant once.
func (b *bench) window(to instance, w work) (sample, error) {
	if to.proc != nil {
		if err := resetPeak(to.proc.pid()); err != nil {
			return sample{}, err
		}
	}
	s, err := b.load(to, w.mode, w.conns, append([]string{"-duration", b.settings.window.String(), "-warmup", (b.settings.window / 5).String()}, w.args...)...)
	if err != nil {
		return s, err
	}
	if s.Queries == 0 {
		return s, errEmptyWindow
	}
	if to.proc != nil {
		if _, s.peakRSS, err = memory(to.proc.pid()); err != nil {
			return s, err
		}
	}
	return s, nil
}

// errEmptyWindow is of a window in which nothing was answered, though all was
// before its time-out: others had the CPU. It costs the round, not the work, and
// the table says so.
var errEmptyWindow = errors.New("no answer within the window")

// measure gives every contestant a window in every round, and turns the order
// round each time: A B C, C B A, A B C.
func (b *bench) measure(w work, all []instance) ([]series, error) {
	out := make([]series, len(all))
	broken := make([]bool, len(all))
	for round := range b.rounds {
		order := make([]int, len(all))
		for i := range order {
			order[i] = i
		}
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, i := range order {
			s := sample{QPS: math.NaN(), P50: math.NaN(), P99: math.NaN(), CPUPerQuery: math.NaN()}
			if !broken[i] {
				got, err := b.window(all[i], w)
				if b.procs.ctx.Err() != nil {
					return nil, b.procs.ctx.Err()
				}
				if err == nil {
					s = got
				} else if !errors.Is(err, errEmptyWindow) {
					broken[i] = true
					b.fail("%s, %s, round %d: %v", label(all[i].name), w.title, round+1, err)
				}
			}
			out[i].add(all[i], s)
		}
	}
	for i, s := range out {
		if !broken[i] && spreadOf(s.qps).n == 0 {
			b.fail("%s, %s: %v, in any round", label(s.name), w.title, errEmptyWindow)
		}
	}
	return out, nil
}

func (r *series) add(i instance, s sample) {
	r.name = i.name
	cpu, rss := s.CPUPerQuery, float64(s.peakRSS)/1e6
	if i.proc == nil {
		cpu = math.NaN()
	}
	if i.proc == nil || s.peakRSS == 0 {
		rss = math.NaN()
	}
	r.cpu, r.qps, r.rss = append(r.cpu, cpu), append(r.qps, s.QPS), append(r.rss, rss)
	r.p50, r.p99 = append(r.p50, s.P50), append(r.p99, s.P99)
}

// fail notes a failure for the end; the others go on.
func (b *bench) fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	fmt.Println("FAILED:", text)
	b.failed = append(b.failed, text)
}

// works are those of the load generator that were asked for.
func (b *bench) loadWorks() []work {
	var all []work
	if b.does("point") {
		for _, n := range b.conns {
			all = append(all, work{title: fmt.Sprintf("Point query, %s", connections(n)), mode: "point", conns: n})
		}
	}
	if b.does("execute") {
		all = append(all, work{title: "Prepared statement (COM_STMT_EXECUTE), 64 connections", mode: "execute", conns: 64})
	}
	if b.does("bulk") {
		all = append(all, work{title: "Results of 10 MB, 4 connections", mode: "bulk", conns: 4, args: []string{"-bulk", "10000000"}})
	}
	if b.does("connect") {
		all = append(all, work{title: "Connect, log in, one query, quit; 16 at once", mode: "connect", conns: 16})
	}
	return all
}

func connections(n int) string {
	if n == 1 {
		return "1 connection"
	}
	return fmt.Sprintf("%d connections", n)
}

// nullSection does all works in front of the null server and reports them.
func (b *bench) nullSection() error {
	works := b.loadWorks()
	if len(works) == 0 && !b.does("idle") && !b.does("slow") && !b.syscalls {
		return nil
	}
	null, err := b.startNull(1)
	if err != nil {
		return err
	}
	defer null.proc.stop()
	var text strings.Builder
	report := func(s string) {
		fmt.Println(s)
		text.WriteString(s + "\n")
	}
	text.WriteString(b.machine.markdown() + "\n")
	if len(works) > 0 || b.syscalls {
		all, stop, err := b.beginAll(b.contestants, null)
		defer stop()
		if err != nil {
			return err
		}
		for _, w := range works {
			t := time.Now()
			result, err := b.measureWork(w, all, null)
			if err != nil {
				return err
			}
			report(table(w, result))
			fmt.Printf("(%.0f s)\n\n", time.Since(t).Seconds())
		}
		if b.syscalls {
			s, err := b.countSyscalls(all)
			if err != nil {
				return err
			}
			report(s)
		}
		stop()
	}
	if b.does("idle") {
		s, err := b.idleMemory(null)
		if err != nil {
			return err
		}
		report(s)
	}
	if b.does("slow") {
		s, err := b.slowReader(null)
		if err != nil {
			return err
		}
		report(s)
	}
	return b.save("null server", text.String())
}

// beginAll starts contestants in front of the null server.
func (b *bench) beginAll(names []string, null *nullServer) (all []instance, stop func(), err error) {
	stop = func() {
		for _, i := range all {
			i.stop()
		}
		all = nil
	}
	for _, name := range names {
		i, err := b.begin(name, null.backends, b.cpuProxy)
		if err != nil {
			return nil, stop, err
		}
		all = append(all, i)
	}
	return all, stop, nil
}

// measureWork leaves the splitting contestant out where it has nothing to split,
// and where it did not: a figure of splitting that did not happen would be a lie.
func (b *bench) measureWork(w work, all []instance, null *nullServer) ([]series, error) {
	split := -1
	if w.mode == "bulk" || w.mode == "connect" {
		all = slices.DeleteFunc(slices.Clone(all), func(i instance) bool { return i.name == oursSplit })
	} else {
		split = slices.IndexFunc(all, func(i instance) bool { return i.name == oursSplit })
	}
	if split >= 0 {
		share, err := b.replicaShare(all[split], w, null, shareWithin)
		if err != nil && b.procs.ctx.Err() != nil {
			return nil, err
		}
		if err == nil && share < .9 {
			err = fmt.Errorf("%.0f%% of the requests went to the replica, so no figures of it", share*100)
		}
		if err != nil {
			b.fail("%s, %s: %v", label(oursSplit), w.title, err)
			all = slices.Delete(slices.Clone(all), split, split+1)
		}
	}
	return b.measure(w, all)
}
