package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// scriptRun is mysql-proxy with one script, as a contestant.
type scriptRun struct {
	name   string
	label  string
	script string // path in the module
	// replica is the least share of the requests that must go to the replica, a
	// read-only backend of those that split.
	replica float64
	// spare: it has the replica as a second read/write backend.
	spare bool
}

// scriptRuns in the order in which they are printed, behind the floor and
// mysql-proxy without a script.
var scriptRuns = []scriptRun{
	{name: "failover", label: "connect_server only (failover.lua)", script: "scripts/failover.lua", spare: true},
	{name: "noop", label: "read_query returns nothing", script: "bench/scripts/noop.lua"},
	{name: "tokenize", label: "read_query tokenizes and counts", script: "bench/scripts/tokenize.lua"},
	{name: "rw-classic", label: "rw-splitting in 0.8.5's style", script: "bench/scripts/rw-classic.lua", replica: .9},
	{name: "rw-splitting", label: "scripts/rw-splitting.lua", script: "scripts/rw-splitting.lua", replica: .05},
}

// scriptContestants are the names of all that may take part with scripts.
func scriptContestants() []string {
	names := []string{floor, ours}
	for _, r := range scriptRuns {
		names = append(names, r.name)
	}
	return names
}

func scriptRunOf(name string) (scriptRun, bool) {
	i := slices.IndexFunc(scriptRuns, func(r scriptRun) bool { return r.name == name })
	if i < 0 {
		return scriptRun{}, false
	}
	return scriptRuns[i], true
}

// commandLine is ours with a script, in front of the same servers.
func (r scriptRun) commandLine(b *bench, port int, to backends) []string {
	argv := append(b.oursLine(port, to), "-s", filepath.Join(b.root, filepath.FromSlash(r.script)))
	for _, replica := range to.replicas {
		switch {
		case r.replica > 0:
			argv = append(argv, "-r", replica)
		case r.spare:
			argv = append(argv, "-b", replica)
		}
	}
	return argv
}

// Splitting scripts have only the server connections that logins have opened. A
// storm of logins opens as many as there are clients, with one server; one more
// with each further server, and some scripts begin with the second.
const (
	warmUps   = 5
	warmUpFor = 50 * time.Millisecond
)

// warmUp has clients log in, ask and leave until a script has its connections.
// It returns which share of the requests of some more clients the replica got.
func (b *bench) warmUp(i instance, w work, null *nullServer) (float64, error) {
	for range warmUps {
		if _, err := b.load(i, w.mode, w.conns, "-warmup", "0s", "-duration", warmUpFor.String()); err != nil {
			return 0, fmt.Errorf("warm up: %w", err)
		}
	}
	return b.replicaShare(i, w, null, shareWithin)
}

// classicTimesFloor is rw-splitting.lua on MySQL Proxy 0.8.5, in front of the
// same kind of null server: 104.8 CPU microseconds a query at 64 connections
// where the floor took 14.6. It was measured once, on another machine.
const classicTimesFloor = 104.8 / 14.6

// scriptSection measures mysql-proxy with scripts beside mysql-proxy without.
func (b *bench) scriptSection() error {
	if !b.does("scripts") {
		return nil
	}
	null, err := b.startNull(1)
	if err != nil {
		return err
	}
	defer null.proc.stop()
	var text strings.Builder
	text.WriteString(b.machine.markdown() + "\n")
	for _, n := range b.scriptConns {
		t := time.Now()
		s, err := b.scriptTable(n, null)
		if err != nil {
			return err
		}
		fmt.Printf("%s\n(%.0f s)\n\n", s, time.Since(t).Seconds())
		text.WriteString(s + "\n")
	}
	return b.save("scripts", text.String())
}

// scriptTable measures and shows one number of connections, with proxies of its
// own: how many server connections a script has depends on all logins before. A
// script that was to split and did not has no figures: they would be a lie.
func (b *bench) scriptTable(conns int, null *nullServer) (string, error) {
	all, stop, err := b.beginAll(b.scriptContestants, null)
	defer stop()
	if err != nil {
		return "", err
	}
	w := work{title: "Point query, " + connections(conns), mode: "point", conns: conns}
	shares := map[string]float64{}
	var fit []instance
	for _, i := range all {
		r, _ := scriptRunOf(i.name)
		if r.replica == 0 {
			fit = append(fit, i)
			continue
		}
		share, err := b.warmUp(i, w, null)
		if b.procs.ctx.Err() != nil {
			return "", b.procs.ctx.Err()
		}
		if err == nil && share < r.replica {
			err = fmt.Errorf("%.0f%% of the requests went to the replica, so no figures of it", share*100)
		}
		if err != nil {
			b.fail("%s, %s: %v", label(i.name), w.title, err)
			continue
		}
		shares[i.name] = share
		fit = append(fit, i)
	}
	result, err := b.measure(w, fit)
	if err != nil {
		return "", err
	}
	return scriptMarkdown(w, result, shares), nil
}

// scriptMarkdown shows one work with scripts; shares are those of the replica.
func scriptMarkdown(w work, all []series, shares map[string]float64) string {
	t := newTable(w.title, "contestant", "CPU us a query", "times no script", "times floor", "a second", "p99 us", "to the replica")
	base, plain := find(all, floor), find(all, ours)
	for _, s := range all {
		name, share := label(s.name), "-"
		if s.name == ours {
			name = "no script"
		}
		if v, ok := shares[s.name]; ok {
			share = fmt.Sprintf("%.0f%%", v*100)
		}
		t.row(name, spreadOf(s.cpu).String(), against(s, plain, cpuOf), against(s, base, cpuOf),
			spreadOf(s.qps).String(), spreadOf(s.p99).String(), share)
		if lost := len(s.qps) - spreadOf(s.qps).n; lost > 0 {
			t.note += fmt.Sprintf("%s has no figures of %d of its %d rounds. ", name, lost, len(s.qps))
		}
	}
	if w.conns == 64 {
		t.note += fmt.Sprintf("For comparison, measured elsewhere and not in this run: MySQL Proxy 0.8.5 with its rw-splitting.lua took %.1f times the floor; a fifth of that is %.2f times.",
			classicTimesFloor, classicTimesFloor/5)
	}
	return t.markdown()
}
