package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// mdTable is a table with a heading.
type mdTable struct {
	title, note string
	rows        [][]string
}

func newTable(title string, head ...string) *mdTable {
	return &mdTable{title: title, rows: [][]string{head}}
}

func (t *mdTable) row(cells ...string) { t.rows = append(t.rows, cells) }

// markdown is the table with its columns made even, so that it can be read as it is.
func (t *mdTable) markdown() string {
	width := make([]int, len(t.rows[0]))
	for _, r := range t.rows {
		for i, c := range r {
			width[i] = max(width[i], len(c))
		}
	}
	left := func(i int) bool { return i == 0 || t.rows[0][i] == "contestant" }
	var s strings.Builder
	fmt.Fprintf(&s, "### %s\n\n", t.title)
	for k, r := range t.rows {
		s.WriteByte('|')
		for i, c := range r {
			if left(i) {
				fmt.Fprintf(&s, " %-*s |", width[i], c)
			} else {
				fmt.Fprintf(&s, " %*s |", width[i], c)
			}
		}
		s.WriteByte('\n')
		if k > 0 {
			continue
		}
		s.WriteByte('|')
		for i, w := range width {
			if left(i) {
				s.WriteString(strings.Repeat("-", w+2) + "|")
			} else {
				s.WriteString(strings.Repeat("-", w+1) + ":|")
			}
		}
		s.WriteByte('\n')
	}
	if t.note != "" {
		fmt.Fprintf(&s, "\n%s\n", t.note)
	}
	return s.String()
}

// missing notes rounds without figures.
func (t *mdTable) missing(s series) {
	if lost := len(s.qps) - spreadOf(s.qps).n; lost > 0 {
		t.note += fmt.Sprintf("%s has no figures of %d of its %d rounds. ", label(s.name), lost, len(s.qps))
	}
}

// find returns the series of a contestant, an empty one if it did not take part.
func find(all []series, name string) series {
	for _, s := range all {
		if s.name == name {
			return s
		}
	}
	return series{}
}

func cpuOf(s series) []float64 { return s.cpu }
func qpsOf(s series) []float64 { return s.qps }

// against shows a figure of s as a ratio to that of another contestant.
func against(s, other series, figure func(series) []float64) string {
	if s.name == other.name {
		return "1"
	}
	if other.name == "" {
		return "-"
	}
	return spreadOf(ratios(figure(s), figure(other))).withQuartiles()
}

// table shows one work.
func table(w work, all []series) string {
	unit := "query"
	switch w.mode {
	case "bulk":
		unit = "result"
	case "connect":
		unit = "session"
	}
	t := newTable(w.title, "contestant", "CPU us a "+unit, "times floor", "times HAProxy", "a second", "p50 us", "p99 us", "peak RSS MB")
	base, ha := find(all, floor), find(all, haproxy)
	for _, s := range all {
		t.row(label(s.name), spreadOf(s.cpu).String(),
			against(s, base, cpuOf), against(s, ha, cpuOf),
			spreadOf(s.qps).String(), spreadOf(s.p50).String(), spreadOf(s.p99).String(), spreadOf(s.rss).String())
		t.missing(s)
	}
	return t.markdown()
}

// save puts a section into BENCHMARKS.md, if figures are to be written at all.
func (b *bench) save(section, text string) error {
	if !b.write {
		return nil
	}
	if len(b.failed) > 0 {
		text += "\nFailures of this run:\n\n- " + strings.Join(b.failed, "\n- ") + "\n"
	}
	path := filepath.Join(b.root, "BENCHMARKS.md")
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	out, err := replaceSection(string(old), section, text)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(out), 0o644)
}

// replaceSection replaces what stands between a section's two marks; what people
// wrote around them stays.
func replaceSection(doc, section, text string) (string, error) {
	begin, end := "<!-- figures: "+section+" -->\n", "<!-- end of figures: "+section+" -->"
	i := strings.Index(doc, begin)
	j := strings.Index(doc, end)
	if i < 0 || j < i {
		return "", fmt.Errorf("the marks %q and %q are missing", strings.TrimSpace(begin), end)
	}
	return doc[:i+len(begin)] + "\n" + strings.TrimSpace(text) + "\n\n" + doc[j:], nil
}
