package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"mysqlproxy/engine"
)

// The log of MySQL Proxy, as a handler of log/slog:
//
//	2026-01-31 23:59:59: (message) proxy listening on port :4040
//	2026-01-31 23:59:59: (warning) text of the record key=value key="a value"
//
// slog record -> one line of text -> level filter, repeats -> sink (sink.go)

// levelFatal is MySQL Proxy's level "error", which nothing logs at: there it
// aborted the process. As --log-level it means silence.
const levelFatal = slog.LevelError + 4

// levels from the most severe to the least.
var levels = []struct {
	name  string
	level slog.Level
}{
	{"error", levelFatal},
	{"critical", slog.LevelError},
	{"warning", slog.LevelWarn},
	{"message", engine.LevelMessage},
	{"info", slog.LevelInfo},
	{"debug", slog.LevelDebug},
}

func levelByName(name string) (slog.Level, bool) {
	for _, l := range levels {
		if l.name == name {
			return l.level, true
		}
	}
	return 0, false
}

// levelName is the name of the level that l is, or of the next one below.
func levelName(l slog.Level) string {
	for _, known := range levels {
		if l >= known.level {
			return known.name
		}
	}
	return "debug"
}

func levelNames() []string {
	var names []string
	for _, l := range levels {
		names = append(names, l.name)
	}
	return names
}

const (
	maxRepeats = 100              // suppressed lines until one is written again
	repeatTime = 30 * time.Second // age of the written line until then
	maxLogText = 16 << 10         // bytes of a line; longer ones are cut
	timeFormat = "2006-01-02 15:04:05"
)

// logger is what all handlers of one log share. Any goroutine may use it.
type logger struct {
	min slog.LevelVar

	mu      sync.Mutex
	sink    sink
	line    []byte // scratch
	last    []byte // text written last
	wrote   time.Time
	level   slog.Level // of the last suppressed line
	repeats int        // how often last was suppressed since
	rotated bool
}

// handler is a slog.Handler: a logger and what With and WithGroup have added.
type handler struct {
	log    *logger
	tag    string // before every text, such as "[angel] "
	attrs  []byte // " key=value" of With
	prefix string // "group." of WithGroup
}

// newLog returns a logger for lines of min and above, and its slog front.
func newLog(to sink, min slog.Level, tag string) (*logger, *slog.Logger) {
	l := &logger{sink: to}
	l.min.Set(min)
	return l, slog.New(&handler{log: l, tag: tag})
}

func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.log.min.Level()
}

// texts recycles the buffers that records are rendered in. That happens
// outside the lock: an attribute's own method may log.
var texts = sync.Pool{New: func() any { return new([]byte) }}

func (h *handler) Handle(_ context.Context, r slog.Record) error {
	if r.Level < h.log.min.Level() {
		return nil
	}
	buf := texts.Get().(*[]byte)
	text := append((*buf)[:0], h.tag...)
	text = appendText(text, clipText(r.Message))
	text = append(text, h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		text = appendAttr(text, h.prefix, a)
		return len(text) < maxLogText
	})
	text = cut(text)
	h.log.add(r.Time, r.Level, text)
	*buf = text
	texts.Put(buf)
	return nil
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	to := *h
	to.attrs = bytes.Clone(h.attrs)
	for _, a := range attrs {
		to.attrs = appendAttr(to.attrs, h.prefix, a)
	}
	return &to
}

func (h *handler) WithGroup(name string) slog.Handler {
	to := *h
	if name != "" {
		to.prefix += name + "."
	}
	return &to
}

// add writes a line, or counts it if it repeats the one before.
func (l *logger) add(now time.Time, level slog.Level, text []byte) {
	if now.IsZero() {
		now = time.Now()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	repeated := !l.wrote.IsZero() && bytes.Equal(text, l.last)
	if repeated && l.repeats <= maxRepeats && now.Sub(l.wrote) <= repeatTime && !l.rotated {
		l.repeats++
		l.level = level
		return
	}
	l.tellRepeats(now, level)
	l.write(now, level, text)
	l.last = append(l.last[:0], text...)
	l.wrote, l.rotated = now, false
}

// tellRepeats writes how often the last line was suppressed, if it was. The
// caller holds mu.
func (l *logger) tellRepeats(now time.Time, level slog.Level) {
	if l.repeats == 0 {
		return
	}
	l.write(now, level, fmt.Appendf(nil, "last message repeated %d times", l.repeats))
	l.repeats = 0
}

// write sends one line to the sink. The caller holds mu.
func (l *logger) write(now time.Time, level slog.Level, text []byte) {
	b := now.Local().AppendFormat(l.line[:0], timeFormat)
	b = append(b, ": ("...)
	b = append(b, levelName(level)...)
	b = append(b, ") "...)
	b = append(b, text...)
	b = append(b, '\n')
	l.line = b
	l.sink.write(level, b)
}

// reopen opens the log file again under its name, after a rotation. If that
// fails the old one stays in use.
func (l *logger) reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rotated = true
	return l.sink.reopen()
}

// flush writes the count of suppressed lines, before the process ends.
func (l *logger) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tellRepeats(time.Now(), l.level)
}

// cut shortens a text to maxLogText.
func cut(text []byte) []byte {
	if len(text) <= maxLogText {
		return text
	}
	n := maxLogText
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return append(text[:n], "... (cut)"...)
}

// clipText keeps a huge string from being escaped only to be cut.
func clipText(s string) string {
	if len(s) > maxLogText {
		return s[:maxLogText+1] // one more: cut must see it
	}
	return s
}

// appendText appends s with everything escaped that could end the line or
// drive a terminal: what a client sends must not look like a line of ours.
func appendText(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		if c := s[i]; c >= ' ' && c < 0x7f {
			dst = append(dst, c)
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if size > 1 && strconv.IsPrint(r) {
			dst = append(dst, s[i:i+size]...)
		} else {
			q := strconv.AppendQuote(nil, s[i:i+size])
			dst = append(dst, q[1:len(q)-1]...)
		}
		i += size
	}
	return dst
}

// appendAttr appends " key=value"; a group becomes group.key=value.
func appendAttr(dst []byte, prefix string, a slog.Attr) []byte {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range v.Group() {
			dst = appendAttr(dst, prefix, member)
		}
		return dst
	}
	if a.Key == "" && v.Kind() == slog.KindAny && v.Any() == nil {
		return dst // the empty attribute
	}
	dst = append(dst, ' ')
	dst = appendText(dst, prefix)
	dst = appendText(dst, a.Key)
	dst = append(dst, '=')
	switch v.Kind() {
	case slog.KindString:
		return appendValue(dst, v.String())
	case slog.KindInt64:
		return strconv.AppendInt(dst, v.Int64(), 10)
	case slog.KindUint64:
		return strconv.AppendUint(dst, v.Uint64(), 10)
	case slog.KindFloat64:
		return strconv.AppendFloat(dst, v.Float64(), 'g', -1, 64)
	case slog.KindBool:
		return strconv.AppendBool(dst, v.Bool())
	case slog.KindDuration:
		return append(dst, v.Duration().String()...)
	case slog.KindTime:
		return v.Time().AppendFormat(dst, time.RFC3339Nano)
	}
	return appendValue(dst, fmt.Sprint(v.Any()))
}

// appendValue appends s as it is if it is one clean word, else quoted.
func appendValue(dst []byte, s string) []byte {
	s = clipText(s)
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\' {
			return strconv.AppendQuote(dst, s)
		}
	}
	if s == "" {
		return append(dst, `""`...)
	}
	return append(dst, s...)
}
