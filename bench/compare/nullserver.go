package main

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"mysqlproxy/engine/enginetest"
)

// nullServer is the running null server. It listens as a primary and as each
// replica, and counts the requests of each.
type nullServer struct {
	proc *proc
	backends
}

func (b *bench) startNull(replicas int) (*nullServer, error) {
	var addrs []string
	for range 1 + replicas {
		lease, err := enginetest.LeasePort() // until this program ends
		if err != nil {
			return nil, err
		}
		addrs = append(addrs, lease.Addr())
	}
	p, err := b.procs.start("null server", b.cpuLoad, b.bin("nullserver"), "-addr", strings.Join(addrs, ","))
	if err != nil {
		return nil, err
	}
	return &nullServer{p, backends{addrs[0], addrs[1:], "bench:"}}, b.procs.listening(p, addrs[replicas])
}

// counts are the requests answered so far, by listener.
func (n *nullServer) counts(ctx context.Context) ([]int64, error) {
	db, err := sql.Open("mysql", "bench@tcp("+n.primary+")/")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	var text string
	if err := db.QueryRowContext(ctx, "nullserver counts").Scan(&text); err != nil {
		return nil, fmt.Errorf("the null server's counts: %w", err)
	}
	var out []int64
	for word := range strings.FieldsSeq(text) {
		v, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	if len(out) != 1+len(n.replicas) {
		return nil, fmt.Errorf("the null server's counts: %q", text)
	}
	return out, nil
}

// replicaShare runs a short load and returns which share of it went to replicas.
func (b *bench) replicaShare(to instance, w work, null *nullServer, during time.Duration) (float64, error) {
	before, err := null.counts(b.procs.ctx)
	if err != nil {
		return 0, err
	}
	// As many requests of each session that those of its login do not matter.
	if _, err := b.load(to, w.mode, w.conns, "-duration", during.String(), "-answers", fmt.Sprint(500*w.conns)); err != nil {
		return 0, err
	}
	after, err := null.counts(b.procs.ctx)
	if err != nil {
		return 0, err
	}
	return shareOf(before, after), nil
}

// shareWithin is how long requests are counted where they have to be few.
const shareWithin = 200 * time.Millisecond

// shareOf is the replicas' share of the requests between two counts.
func shareOf(before, after []int64) float64 {
	var all, replicas int64
	for i := range after {
		n := after[i] - before[i]
		all += n
		if i > 0 {
			replicas += n
		}
	}
	return float64(replicas) / float64(max(1, all))
}
