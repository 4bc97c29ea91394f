package packet

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// corpusRow is a statement of testdata/statements.txt, which says how it is
// written.
type corpusRow struct {
	line    int
	sql     string
	lex     Lex
	want    string // route, reason and effects
	route   Route
	effects Effects
}

func readCorpus(t testing.TB) []corpusRow {
	t.Helper()
	b, err := os.ReadFile("testdata/statements.txt")
	if err != nil {
		t.Fatal(err)
	}
	var rows []corpusRow
	var head corpusRow
	for i, line := range strings.Split(string(b), "\n") {
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			head = corpusHead(t, i+1, line)
		default:
			where, text, ok := strings.Cut(line, " ")
			r := head
			r.line = i + 1
			r.sql, err = strconv.Unquote(`"` + strings.ReplaceAll(strings.ReplaceAll(text, `"`, `\"`), `\0`, `\x00`) + `"`)
			if !ok || err != nil {
				t.Fatalf("line %d: %v", i+1, err)
			}
			switch strings.Trim(where, "-~") {
			case "mysql":
				rows = append(rows, r)
			case "mariadb", "mariadb11":
				r.lex |= LexMariaDB
				rows = append(rows, r)
			case "", "all":
				rows = append(rows, r)
				r.lex |= LexMariaDB
				rows = append(rows, r)
			default:
				t.Fatalf("line %d: where is %q?", i+1, where)
			}
		}
	}
	return rows
}

func corpusHead(t testing.TB, n int, line string) (r corpusRow) {
	t.Helper()
	f := strings.Fields(strings.Trim(line, "[]"))
	if len(f) != 4 {
		t.Fatalf("line %d: want [route reason effects lex]", n)
	}
	for _, name := range strings.Split(f[2], "|") {
		for i, have := range effectNames {
			if have == name {
				r.effects |= 1 << i
				name = "-"
			}
		}
		if name != "-" {
			t.Fatalf("line %d: effect %q?", n, name)
		}
	}
	for _, name := range strings.Split(f[3], "|") {
		lex, ok := map[string]Lex{"-": 0, "no_backslash": LexNoBackslashEscapes, "ansi": LexAnsiQuotes, "multibyte": LexMultiByte,
			"unknown_charset": LexUnknownCharset, "multistatements": LexMultiStatements}[name]
		if !ok {
			t.Fatalf("line %d: lex %q?", n, name)
		}
		r.lex |= lex
	}
	r.route = map[string]Route{"replica": RouteReplica, "last": RouteLast}[f[0]]
	r.want = fmt.Sprintf("%s %s %v", f[0], f[1], r.effects)
	return r
}

func TestClassifyCorpus(t *testing.T) {
	rows := readCorpus(t)
	if len(rows) < 1200 {
		t.Errorf("%d rows, want 1200 at least", len(rows))
	}
	for _, r := range rows {
		st := Classify([]byte(r.sql), r.lex)
		if got := fmt.Sprintf("%v %v %v", st.Route, st.Reason, st.Effects); got != r.want {
			t.Errorf("line %d, lex %#x: %q\n got %s\nwant %s", r.line, r.lex, r.sql, got, r.want)
		}
	}
}
