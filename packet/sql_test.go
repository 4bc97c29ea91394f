package packet

import (
	stdflag "flag" // the package has a flag of its own
	"fmt"
	"math/bits"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestSQLNamesAreComplete(t *testing.T) {
	for r := range reasonCount {
		if r.String() == "" {
			t.Errorf("reason %d has no name", r)
		}
	}
	if got, want := len(effectNames), bits.TrailingZeros64(uint64(effectEnd)); got != want {
		t.Errorf("%d names of effects, want %d", got, want)
	}
	if got := fmt.Sprint(RouteReplica, RouteReason(200), HintPrimary, EffectWrite|EffectKill); got != "replica reason200 primary write|kill" {
		t.Error(got)
	}
}

// Every word is found, in any case, wherever in a text it stands, and nothing
// that only looks like one.
func TestWordsAreFound(t *testing.T) {
	for _, w := range sqlWords[1:] {
		if len(w.name) > longestWord {
			t.Errorf("%s is longer than %d", w.name, longestWord)
		}
		for _, text := range []string{w.name, strings.ToUpper(w.name), w.name + "                "} {
			if id, flags := findWord([]byte(text), 0, len(w.name)); id != w.id || flags != w.flags {
				t.Errorf("%s: %d, %d; want %d, %d", text, id, flags, w.id, w.flags)
			}
		}
		for i := range len(w.name) {
			other := w.name[:i] + "9" + w.name[i+1:]
			if id, flags := findWord([]byte(other), 0, len(other)); id != wordNone || flags != 0 {
				t.Errorf("%s is taken for a word", other)
			}
		}
	}
	for id := wordNone + 1; id < wordEnd_; id++ {
		if wordText[id] == "" {
			t.Errorf("word %d has no text", id)
		}
	}
}

var update = stdflag.Bool("update", false, "write testdata/functions.txt anew")

// testdata/functions.txt has the words that may stand before a '(' on a
// replica, for the end-to-end test that asks real servers about them.
func TestFunctionsFile(t *testing.T) {
	var lines []string
	for _, w := range sqlWords[1:] {
		if w.flags&okBoth == 0 {
			continue
		}
		line := w.name
		for _, f := range []struct {
			flag wordFlags
			name string
		}{{okMySQL, " mysql"}, {okMariaDB, " mariadb"}, {okAdjacent, " adjacent"}} {
			if w.flags&f.flag != 0 {
				line += f.name
			}
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	want := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile("testdata/functions.txt", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("testdata/functions.txt")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("testdata/functions.txt is not up to date: run this test with -update")
	}
}

func TestClassifyDoesNotAllocate(t *testing.T) {
	for _, r := range readCorpus(t) {
		sql := []byte(r.sql)
		if n := testing.AllocsPerRun(1, func() { Classify(sql, r.lex) }); n != 0 {
			t.Errorf("%q: %v allocations, want 0", r.sql, n)
		}
	}
}

// However long and deep: no stack, no time out of proportion. That it ends at
// all, well within a test's time limit, is what this holds; were any of it
// quadratic, it would not.
func TestClassifyLongStatements(t *testing.T) {
	n := 4 << 20
	if underRace {
		n = 256 << 10
	}
	for _, c := range []struct {
		name, sql string
		want      Route
	}{
		{"parentheses", strings.Repeat("(", n) + "SELECT 1" + strings.Repeat(")", n), RouteReplica},
		{"parentheses behind", "SELECT " + strings.Repeat("(", n) + "1" + strings.Repeat(")", n), RouteReplica},
		{"open parentheses", "SELECT " + strings.Repeat("(", n), RouteReplica},
		{"comments", strings.Repeat("/**/", n) + "SELECT 1", RouteReplica},
		{"open comments", strings.Repeat("/*", n) + "SELECT 1", RoutePrimary},
		{"lines", strings.Repeat("-- \n", n) + "SELECT 1", RouteReplica},
		{"a string", "SELECT '" + strings.Repeat("x", n) + "'", RouteReplica},
		{"quotes", "SELECT '" + strings.Repeat("''", n) + "'", RouteReplica},
		{"strings", "SELECT 'a'" + strings.Repeat("'a'", n), RouteReplica},
		{"backslashes", "SELECT \"" + strings.Repeat("\\\\", n) + "\"", RouteReplica},
		{"a word", "SELECT " + strings.Repeat("x", n), RouteReplica},
		{"bytes that are no ASCII", "SELECT " + strings.Repeat("\xc3a", n), RouteReplica},
		{"digits", "SELECT " + strings.Repeat("1", n), RouteReplica},
		{"points", "SELECT 1" + strings.Repeat(".1", n), RouteReplica},
		{"names", "SELECT x" + strings.Repeat(".`sys`", n), RouteReplica},
		{"exponents", "SELECT " + strings.Repeat("1e+", n), RoutePrimary},
		{"conditional comments", "SELECT 1" + strings.Repeat("/*!,1*/", n), RoutePrimary},
		{"hints", "SELECT " + strings.Repeat("/*+x*/", n) + "1", RouteReplica},
		{"common tables", "WITH x AS (SELECT 1)" + strings.Repeat(",x AS (SELECT 1)", n/8) + "SELECT 1", RouteReplica},
		{"statements", "SELECT 1" + strings.Repeat(";SELECT 1", n/4), RoutePrimary},
		{"locks", "FLUSH TABLES" + strings.Repeat(" x,", n), RoutePrimary},
		{"variables", "SELECT " + strings.Repeat("@@", n), RoutePrimary},
		{"counts", "SELECT @@warning_count" + strings.Repeat(",@@warning_count", n/8), RouteLast},
		{"assignments", "SET a=1" + strings.Repeat(",a=1", n), RoutePrimary},
	} {
		if got := Classify([]byte(c.sql), 0); got.Route != c.want {
			t.Errorf("%s: %v (%v), want %v", c.name, got.Route, got.Reason, c.want)
		}
	}
}

// Wherever a statement is cut off, nothing panics.
func TestClassifyCutOff(t *testing.T) {
	for _, r := range readCorpus(t) {
		for i := range len(r.sql) {
			sql := []byte(r.sql)[:i:i]
			Classify(sql, r.lex)
			SessionAssignments(sql, r.lex)
			UseDatabase(sql, r.lex)
			TemporaryTables(sql, r.lex)
			NamedLocks(sql, r.lex)
		}
	}
}

func BenchmarkClassify(b *testing.B) {
	for _, c := range []struct{ name, sql string }{
		{"point", "SELECT id, name, price FROM items WHERE id = 12345 LIMIT 1"},
		{"join", "SELECT o.id, o.total, c.name FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.status IN ('open', 'paid') AND o.created > '2024-01-01' GROUP BY o.id ORDER BY COUNT(*) DESC LIMIT 20"},
		{"insert", "INSERT INTO items (name, price) VALUES ('a name', 12.50)"},
		{"long", "INSERT INTO t (b) VALUES ('" + strings.Repeat("some text, it''s long. ", 50000) + "')"},
		{"list", "SELECT * FROM t WHERE id IN (1" + strings.Repeat(", 12345", 1000) + ")"},
	} {
		b.Run(c.name, func(b *testing.B) {
			sql := []byte(c.sql)
			b.SetBytes(int64(len(sql)))
			b.ReportAllocs()
			for b.Loop() {
				Classify(sql, 0)
			}
		})
	}
}

func TestCommentsWithGTIDs(t *testing.T) {
	for _, tc := range []struct{ sql, want string }{
		{"SELECT a FROM t", ""},
		{"/* gtid=0-1-7 */ SELECT a FROM t", "0-1-7"},
		{"SELECT /*gtid = 0-1-7,\n1-1-8*/ a FROM t", "0-1-7,\n1-1-8"},
		{"/* route=replica */ /* GTID=0-1-7 */ SELECT a FROM t", "0-1-7"},
		{"/* gtid=0-1-7 */ SELECT /* gtid=0-1-8 */ a FROM t", "0-1-7"},
		{"SELECT a /* gtid=0-1-7 */ FROM t", ""},
		{"/* gtid */ /* gtid= */ /* gtids=0-1-7 */ SELECT a FROM t", ""},
		{`/* gtid=0-1-7 */ SELECT "a" FROM t`, "0-1-7"}, // read twice
		{"/* gtid=0-1-7 */ SELECT 'é' FROM t", "0-1-7"},
	} {
		for _, lex := range []Lex{0, LexMariaDB, LexAnsiQuotes, LexMultiByte} {
			st := Classify([]byte(tc.sql), lex)
			if got := tc.sql[st.GTIDs[0]:st.GTIDs[1]]; got != tc.want {
				t.Errorf("%q: %q, want %q", tc.sql, got, tc.want)
			}
		}
	}
}
