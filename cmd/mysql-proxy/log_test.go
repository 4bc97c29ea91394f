package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mysqlproxy/engine"
)

// memorySink keeps the lines.
type memorySink struct{ bytes.Buffer }

func (m *memorySink) write(_ slog.Level, line []byte) { m.Write(line) }
func (m *memorySink) reopen() error                   { return nil }

// noon is the time of the lines in these tests.
var noon = time.Date(2026, 1, 31, 12, 0, 0, 123456789, time.Local)

// record sends a record to log as if it were logged at the time.
func record(log *slog.Logger, at time.Time, level slog.Level, text string, attrs ...slog.Attr) {
	r := slog.NewRecord(at, level, text, 0)
	r.AddAttrs(attrs...)
	if log.Enabled(context.Background(), level) {
		_ = log.Handler().Handle(context.Background(), r)
	}
}

type verbose struct{}

func (verbose) LogValue() slog.Value { return slog.StringValue("from LogValue") }

func TestLogLine(t *testing.T) {
	for _, tc := range []struct {
		name  string
		level slog.Level
		text  string
		attrs []slog.Attr
		want  string
	}{
		{"debug", slog.LevelDebug, "x", nil, "(debug) x"},
		{"info", slog.LevelInfo, "x", nil, "(info) x"},
		{"message", engine.LevelMessage, "x", nil, "(message) x"},
		{"warning", slog.LevelWarn, "x", nil, "(warning) x"},
		{"critical", slog.LevelError, "x", nil, "(critical) x"},
		{"above critical", levelFatal, "x", nil, "(error) x"},
		{"between two levels", slog.LevelInfo + 1, "x", nil, "(info) x"},
		{"below debug", slog.LevelDebug - 4, "x", nil, "(debug) x"},
		{"values", slog.LevelWarn, "x", []slog.Attr{
			slog.String("s", "word"), slog.Int("i", -1), slog.Uint64("u", 2), slog.Float64("f", 0.5),
			slog.Bool("b", true), slog.Duration("d", 1500*time.Millisecond), slog.Any("e", errors.New("why not")),
		}, `(warning) x s=word i=-1 u=2 f=0.5 b=true d=1.5s e="why not"`},
		{"values that need quotes", slog.LevelWarn, "x", []slog.Attr{
			slog.String("blank", "a b"), slog.String("quote", `a"b`), slog.String("equals", "a=b"), slog.String("empty", ""), slog.String("back", `a\b`),
		}, `(warning) x blank="a b" quote="a\"b" equals="a=b" empty="" back="a\\b"`},
		{"forged line in the text", slog.LevelWarn, "x\n2026-01-31 12:00:00: (critical) forged", nil, `(warning) x\n2026-01-31 12:00:00: (critical) forged`},
		{"forged line in a value", slog.LevelWarn, "x", []slog.Attr{slog.String("user", "u\r\nforged")}, `(warning) x user="u\r\nforged"`},
		{"forged line in a key", slog.LevelWarn, "x", []slog.Attr{slog.String("k\n", "v")}, `(warning) x k\n=v`},
		{"terminal controls", slog.LevelWarn, "\x1b[2J\x00\u202e\u2028\x85", nil, `(warning) \x1b[2J\x00\u202e\u2028\x85`},
		{"other letters stay", slog.LevelWarn, "für 東京", nil, "(warning) für 東京"},
		{"LogValuer", slog.LevelWarn, "x", []slog.Attr{slog.Any("v", verbose{})}, `(warning) x v="from LogValue"`},
		{"group", slog.LevelWarn, "x", []slog.Attr{slog.Group("g", "a", 1, "b", 2)}, "(warning) x g.a=1 g.b=2"},
		{"empty attribute", slog.LevelWarn, "x", []slog.Attr{{}}, "(warning) x"},
		{"nil error", slog.LevelWarn, "x", []slog.Attr{slog.Any("e", error(nil))}, "(warning) x e=<nil>"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out memorySink
			_, log := newLog(&out, slog.LevelDebug-8, "")
			record(log, noon, tc.level, tc.text, tc.attrs...)
			if want := "2026-01-31 12:00:00: " + tc.want + "\n"; out.String() != want {
				t.Errorf("got  %q\nwant %q", out.String(), want)
			}
		})
	}
}

func TestLogWithAttrsAndGroups(t *testing.T) {
	var out memorySink
	_, log := newLog(&out, slog.LevelDebug, "[angel] ")
	base := log.With("a", 1).WithGroup("g").With("b", 2)
	record(base.With("c", 3), noon, slog.LevelWarn, "x", slog.Int("d", 4))
	record(base, noon, slog.LevelWarn, "y")
	want := "2026-01-31 12:00:00: (warning) [angel] x a=1 g.b=2 g.c=3 g.d=4\n2026-01-31 12:00:00: (warning) [angel] y a=1 g.b=2\n"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out.String(), want)
	}
}

func TestLogLevelFilter(t *testing.T) {
	for i, at := range levels {
		var out memorySink
		min, ok := levelByName(at.name)
		if !ok {
			t.Fatalf("no level %s", at.name)
		}
		_, log := newLog(&out, min, "")
		for _, l := range levels {
			record(log, noon, l.level, l.name)
		}
		if got := strings.Count(out.String(), "\n"); got != i+1 {
			t.Errorf("--log-level=%s shows %d levels, want %d:\n%s", at.name, got, i+1, out.String())
		}
	}
	for _, name := range []string{"", "notice", "CRITICAL", "critical "} {
		if _, ok := levelByName(name); ok {
			t.Errorf("%q is taken as a level", name)
		}
	}
}

func TestLogRepeats(t *testing.T) {
	type event struct {
		after time.Duration
		level slog.Level
		text  string
		times int
	}
	const minute = time.Minute
	for _, tc := range []struct {
		name   string
		events []event
		want   []string
	}{
		{"no repeats", []event{{0, slog.LevelWarn, "a", 1}, {0, slog.LevelWarn, "b", 1}, {0, slog.LevelWarn, "a", 1}}, []string{"(warning) a", "(warning) b", "(warning) a"}},
		{"counted before the next line, with its level", []event{{0, slog.LevelWarn, "a", 4}, {0, slog.LevelError, "b", 1}},
			[]string{"(warning) a", "(critical) last message repeated 3 times", "(critical) b"}},
		{"the level does not make a line another", []event{{0, slog.LevelWarn, "a", 1}, {0, slog.LevelError, "a", 1}, {0, slog.LevelWarn, "b", 1}},
			[]string{"(warning) a", "(warning) last message repeated 1 times", "(warning) b"}},
		{"more than 100: written again", []event{{0, slog.LevelWarn, "a", 103}},
			[]string{"(warning) a", "(warning) last message repeated 101 times", "(warning) a"}},
		{"older than 30 seconds: written again", []event{{0, slog.LevelWarn, "a", 2}, {minute, slog.LevelWarn, "a", 1}},
			[]string{"(warning) a", "(warning) last message repeated 1 times", "(warning) a"}},
		{"30 seconds are not older", []event{{0, slog.LevelWarn, "a", 1}, {30 * time.Second, slog.LevelWarn, "a", 1}}, []string{"(warning) a"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out memorySink
			_, log := newLog(&out, slog.LevelDebug, "")
			now := noon
			for _, e := range tc.events {
				now = now.Add(e.after)
				for range e.times {
					record(log, now, e.level, e.text)
				}
			}
			var got []string
			for line := range strings.Lines(out.String()) {
				got = append(got, strings.TrimSuffix(line[len(timeFormat)+2:], "\n"))
			}
			if strings.Join(got, "|") != strings.Join(tc.want, "|") {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

func TestLogRepeatsEndWithRotationAndFlush(t *testing.T) {
	var out memorySink
	l, log := newLog(&out, slog.LevelDebug, "")
	record(log, noon, slog.LevelWarn, "a")
	record(log, noon, slog.LevelWarn, "a")
	if err := l.reopen(); err != nil {
		t.Fatal(err)
	}
	record(log, noon, slog.LevelWarn, "a")
	record(log, noon, slog.LevelError, "a")
	l.flush()
	l.flush()
	const text = `(warning) a
(warning) last message repeated 1 times
(warning) a
(critical) last message repeated 1 times
`
	if got := regexp.MustCompile(`(?m)^.{19}: `).ReplaceAllString(out.String(), ""); got != text {
		t.Errorf("got  %q\nwant %q", got, text)
	}
}

func TestLogCutsHugeLines(t *testing.T) {
	for _, attrs := range [][]slog.Attr{nil, {slog.String("sql", strings.Repeat("\n", 1<<20))}} {
		var out memorySink
		_, log := newLog(&out, slog.LevelDebug, "")
		record(log, noon, slog.LevelWarn, strings.Repeat("ü", maxLogText), attrs...)
		record(log, noon, slog.LevelWarn, "x", attrs...)
		for line := range strings.Lines(out.String()) {
			if len(line) > maxLogText+100 || strings.ContainsRune(line, '\uFFFD') {
				t.Errorf("a line has %d bytes, or a letter was cut in half", len(line))
			}
		}
		if !strings.Contains(out.String(), "(cut)") {
			t.Error("no line tells that it was cut")
		}
	}
}

// discardSink is for counting allocations.
type discardSink struct{}

func (discardSink) write(slog.Level, []byte) {}
func (discardSink) reopen() error            { return nil }

func TestLogAllocates(t *testing.T) {
	_, log := newLog(discardSink{}, slog.LevelInfo, "")
	ctx := context.Background()
	i := 0
	for name, tc := range map[string]struct {
		max float64 // the race detector makes sync.Pool forget, and so costs some
		do  func()
	}{
		"suppressed by level": {0, func() { log.LogAttrs(ctx, slog.LevelDebug, "x", slog.Int("i", i)) }},
		"written":             {3, func() { i++; log.LogAttrs(ctx, slog.LevelWarn, "x", slog.Int("i", i), slog.String("s", "a b")) }},
	} {
		if got := testing.AllocsPerRun(200, tc.do); got > tc.max {
			t.Errorf("%s: %v allocations, want at most %v", name, got, tc.max)
		}
	}
}

func TestLogFromManyGoroutines(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	sink, err := openFileSink(name, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	l, log := newLog(sink, slog.LevelDebug, "")
	const goroutines, lines = 8, 200
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for i := range lines {
				log.Info("line", "g", g, "i", i)
				if i%50 == 0 {
					if err := l.reopen(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	whole := regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d: \(info\) line g=\d+ i=\d+$`)
	if got := len(whole.FindAll(text, -1)); got != goroutines*lines || bytes.Count(text, []byte("\n")) != got {
		t.Errorf("%d good lines of %d, want %d", got, bytes.Count(text, []byte("\n")), goroutines*lines)
	}
}

func TestLogFileIsAppendedToAndReopened(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "log")
	if err := os.WriteFile(name, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sink, err := openFileSink(name, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	l, log := newLog(sink, slog.LevelDebug, "")
	log.Info("one")
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	log.Info("two")
	if err := l.reopen(); err != nil {
		t.Fatal(err)
	}
	log.Info("three")

	// A file that cannot be opened again leaves the old one in use.
	if err := os.Rename(name, name+".2"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(name, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := l.reopen(); err == nil {
		t.Error("a folder is opened as log file")
	}
	log.Info("four")
	for file, want := range map[string]string{".1": "before one two", ".2": "three four"} {
		text, err := os.ReadFile(name + file)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for line := range strings.Lines(string(text)) {
			w := strings.Fields(line)
			got = append(got, w[len(w)-1])
		}
		if strings.Join(got, " ") != want {
			t.Errorf("log%s has %q, want %q", file, got, want)
		}
	}
}

func TestLogFileIsCreatedForItsGroup(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	name := filepath.Join(t.TempDir(), "log")
	if _, err := openFileSink(name, nil, false); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v; want 0660", info.Mode(), err)
	}
}

func TestSyslogPriorities(t *testing.T) {
	addr := filepath.Join(t.TempDir(), "log")
	server, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: addr, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	_, log := newLog(&syslogSink{network: "unixgram", addr: addr}, slog.LevelDebug, "")
	buf := make([]byte, 4096)
	const userFacility = 1 << 3
	for _, tc := range []struct {
		level    slog.Level
		name     string
		priority int
	}{
		{levelFatal, "error", 2}, {slog.LevelError, "critical", 3}, {slog.LevelWarn, "warning", 4},
		{engine.LevelMessage, "message", 5}, {slog.LevelInfo, "info", 6}, {slog.LevelDebug, "debug", 7},
	} {
		record(log, noon, tc.level, "text "+tc.name)
		if err := server.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		n, err := server.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got := string(buf[:n])
		want := fmt.Sprintf("2026-01-31 12:00:00: (%s) text %s", tc.name, tc.name)
		if !strings.HasPrefix(got, fmt.Sprintf("<%d>", userFacility+tc.priority)) || !strings.Contains(got, "mysql-proxy") || !strings.Contains(got, want) {
			t.Errorf("got %q, want priority %d, mysql-proxy and %q", got, tc.priority, want)
		}
	}
}

// Without a daemon the lines are not lost, and it is found when it starts.
func TestSyslogThatStartsLater(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	old := os.Stderr
	os.Stderr = w
	addr := filepath.Join(t.TempDir(), "log")
	_, log := newLog(&syslogSink{network: "unixgram", addr: addr}, slog.LevelDebug, "")
	log.Warn("one")
	os.Stderr = old
	w.Close()
	if text, err := io.ReadAll(r); err != nil || !strings.Contains(string(text), "syslog cannot be reached") || !strings.Contains(string(text), "(warning) one\n") {
		t.Errorf("standard error got %q, %v", text, err)
	}

	server, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: addr, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	log.Warn("two")
	if err := server.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	if n, err := server.Read(buf); err != nil || !strings.Contains(string(buf[:n]), "(warning) two") {
		t.Errorf("syslog got %q, %v", buf[:n], err)
	}
}
