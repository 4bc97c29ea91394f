package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// This file writes the report of `mysql-proxy test`. A block is a statement:
//
//	[3] SELECT 1
//	    hook    read_query           SEND_QUERY
//	    queue   id 1, result needed  SELECT 2
//	    server  replica 1            SELECT 2
//	    answer  replica 1            1 row (2)
//	    hook    read_query_result    nothing  (id 1)
//	    client  1 row  <- the answer to the script's own query, id 1
//	            | 2 |

const (
	tryIndent   = "    "
	tryMaxText  = 2000 // bytes of a text; longer ones are cut
	tryMaxCell  = 60   // characters of a value in a table
	tryMaxRows  = 20   // of a table
	nameColumn  = 21   // where the text starts behind the name
	labelColumn = 8
)

// tryPrinter writes to one goroutine's out.
type tryPrinter struct{ out io.Writer }

func (p tryPrinter) printf(format string, args ...any) { fmt.Fprintf(p.out, format, args...) }

// block writes what happened to one statement.
func (p tryPrinter) block(head, title string, events []*tryEvent) {
	p.printf("%s\n", strings.TrimRight(head+indentLines(title, len(head)), " "))
	for _, e := range events {
		p.event(e)
	}
}

func (p tryPrinter) event(e *tryEvent) {
	if e.label == "log" || e.label == "print" {
		p.line(e.label, strings.ReplaceAll(e.text, "\t", tryIndent))
		return
	}
	gap := max(2, nameColumn-len(e.name))
	p.line(e.label, e.name+strings.Repeat(" ", gap)+oneLine(e.text))
}

// line writes a label and what it is about.
func (p tryPrinter) line(label, text string) {
	p.printf("%s%-*s%s\n", tryIndent, labelColumn, label, oneLine(text))
}

// answer writes what the client got.
func (p tryPrinter) answer(a tryAnswer, mark string) {
	text := a.summary
	if mark != "" {
		text += "  <- " + mark
	}
	p.line("client", text)
	for _, t := range a.tables {
		p.table(t)
	}
}

// table writes a result, aligned.
func (p tryPrinter) table(t tryTable) {
	rows := append([][]string{t.columns}, t.rows[:min(len(t.rows), tryMaxRows)]...)
	widths := make([]int, len(t.columns))
	cells := make([][]string, len(rows))
	for i, row := range rows {
		for j, value := range row {
			value = clipCell(oneLine(value))
			cells[i] = append(cells[i], value)
			widths[j] = max(widths[j], utf8.RuneCountInString(value))
		}
	}
	margin := tryIndent + strings.Repeat(" ", labelColumn)
	for i, row := range cells {
		p.printf("%s|", margin)
		for j, value := range row {
			p.printf(" %s%s |", value, strings.Repeat(" ", widths[j]-utf8.RuneCountInString(value)))
		}
		p.printf("\n")
		if i == 0 {
			p.printf("%s|", margin)
			for _, w := range widths {
				p.printf("%s|", strings.Repeat("-", w+2))
			}
			p.printf("\n")
		}
	}
	if n := len(t.rows) - tryMaxRows; n > 0 {
		p.printf("%s... and %s more\n", margin, plural(uint64(n), "row"))
	}
}

func clipCell(s string) string {
	if utf8.RuneCountInString(s) <= tryMaxCell {
		return s
	}
	return string([]rune(s)[:tryMaxCell-3]) + "..."
}

// oneLine has nothing in it that could end the line or drive a terminal.
func oneLine(s string) string {
	if len(s) > tryMaxText {
		return string(appendText(nil, strings.ToValidUTF8(s[:tryMaxText], ""))) + fmt.Sprintf("... (%d bytes)", len(s))
	}
	return string(appendText(nil, s))
}

// indentLines is a text of several lines, the later ones indented by n.
func indentLines(s string, n int) string {
	var out []string
	for line := range strings.SplitSeq(s, "\n") {
		out = append(out, oneLine(strings.ReplaceAll(strings.TrimRight(line, "\r"), "\t", tryIndent)))
	}
	return strings.Join(out, "\n"+strings.Repeat(" ", n))
}

// figures writes what the calls of each hook have cost.
func (p tryPrinter) figures(figures []tryFigure) {
	p.printf("\n%-18s %8s %8s %12s %12s %12s %12s\n", "hook", "calls", "failed", "time", "mean", "allocs/call", "bytes/call")
	for i, f := range figures {
		if f.calls == 0 {
			continue
		}
		allocs, bytes := "-", "-"
		if f.counted > 0 {
			allocs = fmt.Sprintf("%.1f", float64(f.allocs)/float64(f.counted))
			bytes = fmt.Sprintf("%.0f", float64(f.bytes)/float64(f.counted))
		}
		p.printf("%-18s %8d %8d %12s %12s %12s %12s\n", tryHooks[i], f.calls, f.failed,
			shortTime(f.time), shortTime(f.time/time.Duration(f.calls)), allocs, bytes)
	}
}

// shortTime is a duration with three digits or four.
func shortTime(d time.Duration) string {
	switch {
	case d < time.Microsecond:
		return fmt.Sprintf("%d ns", d.Nanoseconds())
	case d < time.Millisecond:
		return fmt.Sprintf("%.1f us", float64(d)/float64(time.Microsecond))
	case d < time.Second:
		return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}
