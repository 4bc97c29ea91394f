package main

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// idleBase are the connections that are there before those that are counted, so
// that what a proxy sets up once is not charged to them.
const idleBase = 256

// proxies are the contestants that are processes of their own. The splitting one
// is left out: it is the same program.
func (b *bench) proxies() []string {
	return slices.DeleteFunc(slices.Clone(b.contestants), func(n string) bool { return n == direct || n == oursSplit })
}

// hold opens idle connections, all logged in when it returns, and keeps them
// until release is called, which reports what went wrong with them meanwhile.
func (b *bench) hold(to instance, conns int) (release func() error, err error) {
	end, err := b.beside("idle connections", to, "-mode", "idle", "-conns", fmt.Sprint(conns), "-warmup", "0s")
	if err != nil {
		return nil, err
	}
	return func() error {
		_, err := end()
		return err
	}, nil
}

// idleMemory measures what a connection costs that does nothing.
func (b *bench) idleMemory(null *nullServer) (string, error) {
	// A session takes two descriptors of the proxy; some are its own.
	conns := min(b.idle, (int(b.files)-500)/2-idleBase)
	if conns < 1 {
		return "", fmt.Errorf("%d open files are too few for idle connections", b.files)
	}
	t := newTable(fmt.Sprintf("Memory of an idle connection: resident memory with %s connections more than %d", thousands(float64(conns)), idleBase),
		"contestant", "KB a connection", fmt.Sprintf("MB with %s connections", thousands(float64(conns+idleBase))), fmt.Sprintf("MB with %d", idleBase))
	if conns < b.idle {
		t.note = fmt.Sprintf("%s connections were asked for; the limit of %s open files does not let a proxy have more.", thousands(float64(b.idle)), thousands(float64(b.files)))
	}
	for _, name := range b.proxies() {
		few, many, err := b.idleOf(name, conns, null)
		if b.procs.ctx.Err() != nil {
			return "", b.procs.ctx.Err()
		}
		if err != nil {
			b.fail("%s, idle connections: %v", label(name), err)
			continue
		}
		t.row(label(name), fmt.Sprintf("%.2f", float64(many-few)/1024/float64(conns)), megabytes(many), megabytes(few))
	}
	return t.markdown(), nil
}

// idleOf returns the resident memory in bytes with idleBase connections, and
// with conns more.
func (b *bench) idleOf(name string, conns int, null *nullServer) (few, many int64, err error) {
	i, err := b.begin(name, null.backends, b.cpuProxy)
	if err != nil {
		return 0, 0, err
	}
	defer i.stop()
	measure := func(n int) (int64, func() error, error) {
		release, err := b.hold(i, n)
		if err != nil {
			return 0, nil, err
		}
		time.Sleep(500 * time.Millisecond) // what was needed for the logins only may go
		now, _, err := memory(i.proc.pid())
		return now, release, err
	}
	few, releaseFew, err := measure(idleBase)
	if err != nil {
		return 0, 0, err
	}
	many, releaseMany, err := measure(conns)
	if err != nil {
		return 0, 0, err
	}
	return few, many, errors.Join(releaseMany(), releaseFew())
}

// slowReader measures what a proxy keeps for a client that reads slowly.
func (b *bench) slowReader(null *nullServer) (string, error) {
	t := newTable(fmt.Sprintf("A result of 1 GB to one client that reads 1 MB a second, for %s", b.slow),
		"contestant", "MB more than before, at the peak", "peak, MB")
	for _, name := range b.proxies() {
		before, peak, err := b.slowOf(name, null)
		if b.procs.ctx.Err() != nil {
			return "", b.procs.ctx.Err()
		}
		if err != nil {
			b.fail("%s, slow reader: %v", label(name), err)
			continue
		}
		t.row(label(name), megabytes(max(0, peak-before)), megabytes(peak))
	}
	return t.markdown(), nil
}

func (b *bench) slowOf(name string, null *nullServer) (before, peak int64, err error) {
	i, err := b.begin(name, null.backends, b.cpuProxy)
	if err != nil {
		return 0, 0, err
	}
	defer i.stop()
	if before, _, err = memory(i.proc.pid()); err != nil {
		return 0, 0, err
	}
	if err = resetPeak(i.proc.pid()); err != nil {
		return 0, 0, err
	}
	s, err := b.load(i, "slow", 1, "-bulk", "1000000000", "-rate", "1000000", "-warmup", "0s", "-duration", b.slow.String())
	if err != nil {
		return 0, 0, err
	}
	if n := float64(s.Bytes); n < 1e6*b.slow.Seconds() || n > 1.1e6*s.Seconds {
		return 0, 0, fmt.Errorf("the client read %d bytes in %.1f s", s.Bytes, s.Seconds)
	}
	_, peak, err = memory(i.proc.pid())
	return before, peak, err
}

func megabytes(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/1e6) }
