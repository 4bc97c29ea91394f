package e2e

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// trace is what a script saw: every packet's header and payload, and notes of
// what it sent. Long payloads are kept as their beginning and their SHA-256.
type trace struct {
	lines     []string
	fragments int
	rec       *wireLog // if there is one, packets are kept there and not in lines
}

func (t *trace) note(format string, args ...any) {
	t.lines = append(t.lines, fmt.Sprintf(format, args...))
}

// packet notes one fragment as it came, or as its reader blanked it.
func (t *trace) packet(header [4]byte, payload []byte) {
	t.fragments++
	if t.rec != nil {
		t.rec.add(header, payload)
		return
	}
	if len(payload) <= 512 {
		t.lines = append(t.lines, fmt.Sprintf("< %x %q", header, payload))
		return
	}
	t.lines = append(t.lines, fmt.Sprintf("< %x %q… sha256 %x", header, payload[:32], sha256.Sum256(payload)))
}

// status tells where in the last packet's payload its status flags stand.
func (t *trace) status(at int) {
	if t.rec != nil {
		t.rec.maskStatus(at)
	}
}

// row tells that the last packet was a row.
func (t *trace) row() {
	if t.rec != nil {
		t.rec.row()
	}
}

// last is the last line, for scripts that want to know how they ended.
func (t *trace) last() string {
	if len(t.lines) == 0 {
		return ""
	}
	return t.lines[len(t.lines)-1]
}

// diff is empty when both traces are the same, else it shows the first
// difference with the lines before it.
func diff(direct, proxied *trace) string {
	line := func(t *trace, i int) string {
		if i < len(t.lines) {
			return t.lines[i]
		}
		return "(nothing more)"
	}
	for i := range max(len(direct.lines), len(proxied.lines)) {
		d, p := line(direct, i), line(proxied, i)
		if d == p {
			continue
		}
		var b strings.Builder
		for _, l := range direct.lines[max(0, i-4):i] {
			fmt.Fprintf(&b, "  both:    %s\n", clip(l))
		}
		fmt.Fprintf(&b, "  direct:  %s\n  proxied: %s\n(line %d of %d direct, %d proxied)",
			clip(d), clip(p), i+1, len(direct.lines), len(proxied.lines))
		return b.String()
	}
	return ""
}

func clip(s string) string {
	if len(s) > 400 {
		return s[:400] + "…"
	}
	return s
}
