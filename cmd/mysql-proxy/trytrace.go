package main

import (
	"bytes"
	"context"
	"log/slog"
	"math/bits"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"

	"mysqlproxy/engine"
	"mysqlproxy/engine/hook"
)

// This file notes what happens. tryhooks.go stands between the engine and the
// script and tells it here:
//
//	engine --> tracedScripts, tracedScript --> luahooks
//
// The servers tell what they get and answer (sent, answered), the script what it
// prints (Write), and engine and luahooks what they log (Handle).

// tryHooks are the rows of the figures: the script's main chunk, then the hooks
// in the order of their bits.
var tryHooks = [...]string{
	"main chunk", "connect_server", "read_handshake", "read_auth", "read_auth_result",
	"read_query", "read_query_result", "disconnect_client",
}

func rowOf(h hook.Set) int { return bits.TrailingZeros8(uint8(h)) + 1 }

// tryEvent is one line of the trace.
type tryEvent struct {
	label  string // what kind
	name   string // of a hook or a server
	text   string
	raw    []byte // what text will be, for who must not allocate
	failed bool
}

// tryFigure is what the calls of a hook have cost.
type tryFigure struct {
	calls, failed int
	time          time.Duration
	counted       int // calls whose allocations were counted
	allocs, bytes uint64
}

// tryTrace notes what happens to one statement, or to one login, at a time.
// Any goroutine may use it.
type tryTrace struct {
	script string // its path

	mu      sync.Mutex
	changed *sync.Cond
	events  []*tryEvent
	spare   []tryEvent // to be used for events
	printed []byte     // what the events' raw lies in
	call    *tryEvent  // the hook that runs
	failed  []string   // what went wrong, all told
	figures [len(tryHooks)]tryFigure
	count   bool // allocations are to be counted

	payload   []byte // the client's command
	mark      string // where its answer comes from, if not from the server as it is
	pending   int    // queries of the queue that wait, the one under way included
	reached   bool   // a server has got a command
	swallowed bool   // read_query answered
	closing   bool   // the script asked for the session's end
	ended     bool   // the session is at its end
	server    string // who was logged in to last

	before, after runtime.MemStats // of the hook that runs
}

func newTryTrace(script string) *tryTrace {
	t := &tryTrace{script: script}
	t.changed = sync.NewCond(&t.mu)
	return t
}

// begin starts the trace of a command; nil is a login.
func (t *tryTrace) begin(payload []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events, t.payload, t.mark = nil, payload, ""
	t.prepare()
	t.pending, t.reached, t.swallowed = 0, false, false
	if payload == nil {
		t.closing, t.ended, t.server = false, false, ""
	}
}

// take returns what was noted since begin, and the mark of the answer.
func (t *tryTrace) take() ([]*tryEvent, string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.events {
		if e.raw != nil {
			e.text, e.raw = string(e.raw), nil
		}
	}
	events := t.events
	t.prepare()
	return events, t.mark
}

// prepare makes room for events ahead, so that noting one while a hook runs
// does not count as the hook's allocation.
func (t *tryTrace) prepare() {
	const room = 64 // events, as a rule
	t.events, t.spare, t.printed = make([]*tryEvent, 0, room), make([]tryEvent, room), make([]byte, 0, 4096)
}

// over tells whether the session has ended or is about to.
func (t *tryTrace) over() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closing || t.ended
}

// wait waits until done, called with mu held, or the limit.
func (t *tryTrace) wait(limit time.Duration, done func() bool) bool {
	over := false
	timer := time.AfterFunc(limit, func() {
		t.mu.Lock()
		over = true
		t.mu.Unlock()
		t.changed.Broadcast()
	})
	defer timer.Stop()
	t.mu.Lock()
	defer t.mu.Unlock()
	for !done() && !over {
		t.changed.Wait()
	}
	return !over
}

// add notes an event and returns where it is. The caller holds mu.
func (t *tryTrace) add(e tryEvent) *tryEvent {
	if len(t.spare) == 0 {
		t.spare = make([]tryEvent, 64)
	}
	kept := &t.spare[0]
	t.spare = t.spare[1:]
	*kept = e
	t.events = append(t.events, kept)
	t.changed.Broadcast()
	return kept
}

// sent is told of a command that a server got.
func (t *tryTrace) sent(server, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reached, t.server = true, server
	t.add(tryEvent{label: "server", name: server, text: text})
}

// answered is told of a server's answer.
func (t *tryTrace) answered(server, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.add(tryEvent{label: "answer", name: server, text: text})
}

// Write takes what the script prints.
func (t *tryTrace) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for line := range bytes.Lines(p) {
		at := len(t.printed)
		t.printed = append(t.printed, bytes.TrimRight(line, "\r\n")...)
		t.add(tryEvent{label: "print", raw: t.printed[at:]})
	}
	return len(p), nil
}

// slog.Handler

func (t *tryTrace) Enabled(_ context.Context, level slog.Level) bool {
	return level >= engine.LevelMessage
}
func (t *tryTrace) WithAttrs([]slog.Attr) slog.Handler { return t }
func (t *tryTrace) WithGroup(string) slog.Handler      { return t }

// Handle takes what the engine and luahooks log. What is critical while a hook
// runs is that hook's failure.
func (t *tryTrace) Handle(_ context.Context, r slog.Record) error {
	text := []byte(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "script" && a.Key != "client" {
			text = appendAttr(text, "", a)
		}
		return true
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	line := t.place(string(text))
	bad := r.Level >= slog.LevelError
	if bad {
		t.failed = append(t.failed, line)
	}
	if call := t.call; bad && call != nil && !call.failed {
		call.failed = true
		call.text = "FAILED: " + strings.TrimPrefix(line, "("+call.name+") ")
		if call.name != tryHooks[0] {
			return nil // its line says so
		}
	}
	t.add(tryEvent{label: "log", text: levelName(r.Level) + ": " + line, failed: bad})
	return nil
}

var chunk = regexp.MustCompile(`\[string "([^"\n]*?)(\.\.\.)?"\]:(\d+):`)

// place writes a line of this script as people do.
func (t *tryTrace) place(text string) string {
	text = strings.TrimPrefix(text, "(lua-error) ["+t.script+"] ")
	return chunk.ReplaceAllStringFunc(text, func(s string) string {
		m := chunk.FindStringSubmatch(s)
		if !strings.HasPrefix(t.script, m[1]) {
			return s
		}
		return "line " + m[3] + ":"
	})
}

// enter begins a call.
func (t *tryTrace) enter(row int, text string) *tryEvent {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := tryEvent{label: "hook", name: tryHooks[row], text: text}
	if row == 0 { // it has no line
		t.call = &e
	} else {
		t.call = t.add(e)
	}
	return t.call
}

// leave ends it.
func (t *tryTrace) leave(row int, e *tryEvent, took time.Duration, counted bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.call = nil
	f := &t.figures[row]
	f.calls++
	f.time += took
	if e.failed {
		f.failed++
	}
	if counted {
		f.counted++
		f.allocs += t.after.Mallocs - t.before.Mallocs
		f.bytes += t.after.TotalAlloc - t.before.TotalAlloc
	}
	t.changed.Broadcast()
}

// measured calls do, which is a hook. Hooks run one at a time, and whoever else
// takes part waits for them, so that what is allocated meanwhile is theirs.
func (t *tryTrace) measured(row int, e *tryEvent, do func()) {
	t.mu.Lock()
	counted := t.count
	t.mu.Unlock()
	if counted {
		runtime.ReadMemStats(&t.before)
	}
	start := time.Now()
	do()
	took := time.Since(start)
	if counted {
		runtime.ReadMemStats(&t.after)
	}
	t.leave(row, e, took, counted)
}
