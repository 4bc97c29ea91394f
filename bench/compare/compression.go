package main

import (
	"database/sql"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Large text results of real servers, compressed by the server itself or by the
// proxy in front of it. Nothing is bound to a CPU: client, server and proxy work
// at the same time.

// compressFlavours are the testbed's, each with what it compresses by.
var compressFlavours = []struct {
	name       string
	algorithms []string
}{
	{"mariadb10.11", []string{"zlib"}},
	{"mysql9", []string{"zlib", "zstd"}},
}

// packedWay is one way to a result.
type packedWay struct {
	instance
	label     string
	algorithm string
	like      int // the direct way with the same algorithm; its own place for direct ones
	// In each round: MB of result a second, CPU milliseconds a MB of it, and bytes
	// on the wire for one of the result, and KB of result a frame.
	rate, server, proxy, both, wire, frame []float64
	sum                                    string
	size                                   int64
}

// textRows and textRow make a result of about 10 MB.
const (
	textRows = 10_000
	textRow  = 1000
)

const textQuery = "SELECT t FROM compressed_text"

// compressSection measures each flavour and reports.
func (b *bench) compressSection() error {
	if !b.does("compress") {
		return nil
	}
	// Both back as they were for what comes behind.
	defer func(proxy, load int) { b.cpuProxy, b.cpuLoad = proxy, load }(b.cpuProxy, b.cpuLoad)
	b.cpuProxy, b.cpuLoad = -1, -1
	var text strings.Builder
	text.WriteString(b.machine.markdown() + "\n")
	for _, f := range compressFlavours {
		begun := time.Now()
		s, err := b.compressFlavour(f.name, f.algorithms)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		fmt.Printf("%s\n(%.0f s)\n\n", s, time.Since(begun).Seconds())
		text.WriteString(s + "\n")
	}
	return b.save("compression", text.String())
}

func (b *bench) compressFlavour(flavour string, algorithms []string) (string, error) {
	bed, state, err := b.startTestbed("--flavour", flavour, "--replicas", "0")
	if err != nil {
		return "", err
	}
	defer bed.stop()
	if err := b.fillText(state); err != nil {
		return "", err
	}
	to := backends{primary: state.Primary.Addr}
	base := instance{name: direct, addr: to.primary}
	plain, err := b.begin(ours, to, -1)
	if err != nil {
		return "", err
	}
	defer plain.stop()
	// Servers compress by zlib's level 6.
	six, err := b.begin(oursZlib6, to, -1)
	if err != nil {
		return "", err
	}
	defer six.stop()
	ways := []*packedWay{{instance: base, label: direct}, {instance: plain, label: ours}}
	for _, a := range algorithms {
		at := len(ways)
		ways = append(ways, &packedWay{instance: base, label: direct, algorithm: a, like: at}, &packedWay{instance: plain, label: ours, algorithm: a, like: at})
		if a == "zlib" {
			ways = append(ways, &packedWay{instance: six, label: label(oursZlib6), algorithm: a, like: at})
		}
	}
	for round := range b.compressRounds {
		order := slices.Clone(ways)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, w := range order {
			err := b.packedWindow(w, state)
			if b.procs.ctx.Err() != nil {
				return "", b.procs.ctx.Err()
			}
			if err == nil && (w.sum != ways[0].sum || w.size != ways[0].size) && ways[0].sum != "" {
				err = fmt.Errorf("the result has %d bytes with the sum %s, directly %d with %s", w.size, w.sum, ways[0].size, ways[0].sum)
			}
			if err != nil && !errors.Is(err, errEmptyWindow) {
				b.fail("%s %s, %s, round %d: %v", w.label, w.algorithm, flavour, round+1, err)
			}
		}
	}
	for _, w := range ways {
		if spreadOf(w.rate).n == 0 {
			b.fail("%s %s, %s: no figures of any round", w.label, w.algorithm, flavour)
		}
	}
	return compressTable(fmt.Sprintf("Text result of %.1f MB, one connection, %s %s", float64(ways[0].size)/1e6, flavour, state.Version), ways), nil
}

// fillText makes the table: words of a small vocabulary, the same in every run.
func (b *bench) fillText(t testbedState) error {
	db, err := sql.Open("mysql", t.Users.App.Name+":"+t.Users.App.Password+"@tcp("+t.Primary.Addr+")/"+t.Database+"?maxAllowedPacket=16000000")
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(b.procs.ctx, "CREATE TABLE compressed_text (id INT PRIMARY KEY, t VARCHAR(1024) NOT NULL) ENGINE=InnoDB"); err != nil {
		return err
	}
	const batch = 1000
	text := newProse()
	for id := 0; id < textRows; id += batch {
		var s strings.Builder
		s.WriteString("INSERT INTO compressed_text VALUES ")
		for k := range batch {
			if k > 0 {
				s.WriteByte(',')
			}
			fmt.Fprintf(&s, "(%d,'%s')", id+k, text.row())
		}
		if _, err := db.ExecContext(b.procs.ctx, s.String()); err != nil {
			return err
		}
	}
	return nil
}

// prose makes rows of words, some of which are much more common than others, and
// of numbers, as tables have them.
type prose struct {
	rnd   *rand.Rand
	words []string
}

func newProse() *prose {
	t := &prose{rnd: rand.New(rand.NewPCG(1, 2))}
	for range 5000 {
		word := make([]byte, 2+t.rnd.IntN(9))
		for i := range word {
			word[i] = "etaoinshrdlucmfwypvbgkqjxz"[int(26*math.Pow(t.rnd.Float64(), 1.7))]
		}
		t.words = append(t.words, string(word))
	}
	return t
}

// row is textRow bytes long.
func (t *prose) row() string {
	var s strings.Builder
	for s.Len() < textRow {
		if t.rnd.IntN(8) == 0 {
			fmt.Fprintf(&s, "%d ", t.rnd.IntN(1_000_000))
		} else {
			s.WriteString(t.words[int(float64(len(t.words))*math.Pow(t.rnd.Float64(), 3))] + " ")
		}
	}
	return s.String()[:textRow]
}

// packedWindow measures one way once.
func (b *bench) packedWindow(w *packedWay, t testbedState) error {
	nan := math.NaN()
	rate, server, proxy, both, wire, frame := nan, nan, nan, nan, nan, nan
	s, err := b.load(w.instance, "query", 1, "-query", textQuery, "-user", t.Users.Empty.Name, "-db", t.Database,
		"-compress", w.algorithm, "-backend-pid", fmt.Sprint(t.Primary.PID),
		"-warmup", "300ms", "-duration", (2 * b.settings.window).String())
	if err == nil && (s.ClearBytes == 0 || s.AnswerSum == "") {
		err = errEmptyWindow
	}
	if err == nil {
		mb := float64(s.ClearBytes) / 1e6
		rate, server, wire = mb/s.Seconds, s.BackendCPUSeconds*1e3/mb, float64(s.Bytes)/float64(s.ClearBytes)
		both = server
		if s.Frames > 0 {
			frame = mb * 1e3 / float64(s.Frames)
		}
		if w.proc != nil {
			proxy = s.CPUSeconds * 1e3 / mb
			both += proxy
		}
		w.sum, w.size = s.AnswerSum, s.AnswerBytes
	}
	w.rate, w.server, w.proxy = append(w.rate, rate), append(w.server, server), append(w.proxy, proxy)
	w.both, w.wire, w.frame = append(w.both, both), append(w.wire, wire), append(w.frame, frame)
	return err
}

// compressTable shows the ways to one server's result.
func compressTable(title string, ways []*packedWay) string {
	t := newTable(title, "contestant", "with the client", "MB a second", "times direct alike", "server's CPU ms a MB", "proxy's", "both", "times direct alike", "on the wire", "KB a frame")
	for i, w := range ways {
		algorithm := w.algorithm
		if algorithm == "" {
			algorithm = "not compressed"
		}
		rate, both := "1", "1"
		if i != w.like {
			like := ways[w.like]
			rate, both = spreadOf(ratios(w.rate, like.rate)).withQuartiles(), spreadOf(ratios(w.both, like.both)).withQuartiles()
		}
		t.row(w.label, algorithm, spreadOf(w.rate).String(), rate, spreadOf(w.server).String(), spreadOf(w.proxy).String(),
			spreadOf(w.both).String(), both, fmt.Sprintf("%.0f%%", 100*spreadOf(w.wire).median), spreadOf(w.frame).String())
		if lost := len(w.rate) - spreadOf(w.rate).n; lost > 0 {
			t.note += fmt.Sprintf("%s, %s, has no figures of %d of its %d rounds. ", w.label, algorithm, lost, len(w.rate))
		}
	}
	return t.markdown()
}
