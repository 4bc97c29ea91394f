package packet

import (
	"bytes"
	"strings"
	"testing"
)

func digestText(sql string, lex Lex) string { return string(AppendDigestText(nil, []byte(sql), lex)) }

func TestDigest(t *testing.T) {
	long := strings.Repeat("a_rather_long_name", 5)
	for _, tc := range []struct {
		name, want string
		lex        Lex
		sql        []string // all of one digest
	}{
		{"literals", "SELECT a FROM t WHERE id = ?", 0, []string{
			"SELECT a FROM t WHERE id = 1", "SELECT a FROM t WHERE id = 'x'", "SELECT a FROM t WHERE id=0x1F", "SELECT a FROM t WHERE id = x'1F'", "SELECT a FROM t WHERE id = b'1'",
			"SELECT a FROM t WHERE id = -1.5e-3", "SELECT a FROM t WHERE id = .5", "SELECT a FROM t WHERE id = NULL", "SELECT a FROM t WHERE id = true", "SELECT a FROM t WHERE id = n'x'",
			`SELECT a FROM t WHERE id = "x"`, "SELECT a FROM t WHERE id = 'it''s'", `SELECT a FROM t WHERE id = 'it\'s'`, "SELECT a FROM t WHERE id = 'x' 'y'", "SELECT a FROM t WHERE id = ?",
			"SELECT a FROM t WHERE id = ?;", "SELECT a FROM t WHERE id = ? ; -- end",
		}},
		{"space and comments", "SELECT a FROM t", 0, []string{
			"SELECT a FROM t", "  SELECT\n\ta\r\nFROM\vt ", "/* x */ SELECT /**/a-- ?\nFROM # 'x\nt -- y", "SELECT /*+ MAX_EXECUTION_TIME(5) */ a FROM t", "/* route=primary */ SELECT a FROM t",
		}},
		{"keywords in any case", "SELECT DISTINCT a FROM t LEFT JOIN u USING (id) WHERE a IS NOT NULL ORDER BY a DESC LIMIT ? OFFSET ?", 0, []string{
			"select distinct a from t left join u using (id) where a is not null order by a desc limit 5 offset 6",
			"Select Distinct a From t Left Join u Using(id) Where a Is Not Null Order By a Desc Limit ? Offset ?",
		}},
		{"functions in any case", "SELECT COUNT(*), CONCAT(a, ?), LAST_INSERT_ID() FROM t", 0, []string{
			"select count(*), concat(a, 'x'), last_insert_id() from t", "SELECT COUNT(*), Concat(a,1) , LAST_INSERT_ID( ) FROM t",
		}},
		{"names as they stand", "SELECT Count, T.Select, `From`.x, f(?), Ä FROM Shop.T", 0, []string{"SELECT Count,T . Select, `From`.x , f(1), Ä FROM Shop.T"}},
		{"a name in quotes is another", "SELECT `a` FROM t", 0, []string{"SELECT `a` FROM t"}},
		{"lists", "SELECT a FROM t WHERE id IN (?)", 0, []string{
			"SELECT a FROM t WHERE id IN (1)", "SELECT a FROM t WHERE id IN (1,2,3)", "SELECT a FROM t WHERE id IN ( 'a' , -1, +2 , NULL, ?)", "SELECT a FROM t WHERE id IN (" + strings.Repeat("1,", 1000) + "1)",
		}},
		{"a list with a name", "SELECT a FROM t WHERE id IN (?, a, ?)", 0, []string{"SELECT a FROM t WHERE id IN (1, a, 2)", "SELECT a FROM t WHERE id IN (1, 2, a, 3, -4)"}},
		{"lists of lists", "SELECT a FROM t WHERE (a, id) IN ((?))", 0, []string{"SELECT a FROM t WHERE (a,id) IN ((1,2))", "SELECT a FROM t WHERE (a,id) IN ((1,2), (3, 4),(5,6))"}},
		{"rows", "INSERT INTO t(a, b) VALUES (?)", 0, []string{"INSERT INTO t (a, b) VALUES (1, 'x')", "insert into t(a,b) values (1,'x'),(2,NULL), (-3, 'z')"}},
		{"rows with expressions", "INSERT INTO t VALUES (?, NOW(), (a + ?))", 0, []string{
			"INSERT INTO t VALUES (1, NOW(), (a + 1))", "INSERT INTO t VALUES (1, NOW(), (a + 1)), (2, now(), (a + 5)), (3, Now(), (a+'x'))",
		}},
		{"rows that differ", "INSERT INTO t VALUES (?, NOW()), (?, a)", 0, []string{"INSERT INTO t VALUES (1, NOW()), (2, a)", "INSERT INTO t VALUES (1, NOW()), (3, NOW()), (2, a), (2, a)"}},
		{"behind rows", "INSERT INTO t VALUES (?) ON DUPLICATE KEY UPDATE a = VALUES (a), b = ?", 0, []string{"INSERT INTO t VALUES (1),(2) on duplicate key update a = values(a), b = 5"}},
		{"signs", "SELECT a - ?, ? - a, (a) + ?, ? * ?, ? - ?, CASE a WHEN ? THEN ? END", 0, []string{"SELECT a-1, -1-a, (a)+1, -1*-1, 3-4, case a when -1 then +1 end"}},
		{"signs of signs", "SELECT a - ?, - a, ?", 0, []string{"SELECT a - - 1, -a, +-1", "SELECT a - -+-1, - a, -+1"}},
		{"expressions of literals", "SELECT ?, ? + a, ? * ?, a = ?, ?", 0, []string{"SELECT 1, 2, 3 + a, 4 * 5, a = 6, 7, 8", "SELECT 1, 3 + a, 4 * 5, a = 6, 8"}},
		{"variables", "SELECT @a, @@sort_buffer_size, @@GLOBAL.x := ?", 0, []string{"SELECT @a , @@sort_buffer_size,@@GLOBAL.x:=5"}},
		{"accounts", "CREATE user ?@? IDENTIFIED BY ?", 0, []string{"create user 'a'@'b' IDENTIFIED by 'secret'"}},
		{"several statements", "SET a = ?; SELECT ?", 0, []string{"SET a=1; SELECT 2;", "set a = 'x' ; select 1"}},
		{"code for some servers", "SELECT SQL_NO_CACHE a FROM t", 0, []string{"SELECT /*!40001 SQL_NO_CACHE */ a FROM t", "SELECT SQL_NO_CACHE a FROM t"}},
		{"ANSI_QUOTES", `SELECT "a" FROM t WHERE b = ?`, LexAnsiQuotes, []string{`SELECT "a" FROM t WHERE b = 'x'`}},
		{"NO_BACKSLASH_ESCAPES", `SELECT ? FROM t`, LexNoBackslashEscapes, []string{`SELECT 'a\' FROM t`}},
		{"backslash escapes", `SELECT ? FROM t`, 0, []string{`SELECT 'a\' FROM t' FROM t`}},
		{"nothing", "", 0, []string{"", " ", "-- x", ";", "/* x */ ;"}},
		{"unreadable", "SELECT a, ...", 0, []string{"SELECT a, 'secret", "SELECT a, \"secret", "SELECT a, \x01 secret", "SELECT a, \\ secret"}},
		{"nothing readable", "...", 0, []string{"'secret", "/* secret", "\x00"}},
		{"a character set in which it cannot be told where a string ends", "SELECT ...", LexMultiByte, []string{"SELECT '\x81\\', secret, '"}},
		{"many rows", "INSERT INTO t VALUES (?) ...", 0, []string{
			"INSERT INTO t VALUES " + strings.Repeat("(1, 'abc'), ", 1000) + "(1, 'abc')", "INSERT INTO t VALUES " + strings.Repeat("(12, 'abcdef'),", 1000) + "(1, 'abc')",
			"INSERT INTO t VALUES (1, 'a'), (1, '" + strings.Repeat("abc", 5000) + "')",
		}},
		{"a long list", "SELECT a FROM t WHERE id IN (? ...", 0, []string{
			"SELECT a FROM t WHERE id IN (" + strings.Repeat("1,", 5000) + "1)", "SELECT a FROM t WHERE id IN (" + strings.Repeat("123, ", 5000) + "1)", "SELECT a FROM t WHERE id IN (1" + strings.Repeat(", -3", 5000) + ")",
		}},
		{"a long text", ("SELECT " + strings.Repeat(long+", ", 50))[:MaxDigestText-4] + " ...", 0, []string{"SELECT " + strings.Repeat(long+", ", 30) + "a"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			first := Digest([]byte(tc.sql[0]), tc.lex)
			for _, sql := range tc.sql {
				if got := digestText(sql, tc.lex); got != tc.want {
					t.Errorf("%.200q:\n got %q\nwant %q", sql, got, tc.want)
				}
				if got := Digest([]byte(sql), tc.lex); got != first {
					t.Errorf("%.200q and %.200q have other hashes, %x and %x", sql, tc.sql[0], got, first)
				}
			}
		})
	}
}

// No two of these have the same digest.
func TestDigestTellsApart(t *testing.T) {
	seen := map[uint64]string{}
	for _, sql := range []string{
		"", "SELECT 1", "SELECT a", "SELECT A", "SELECT `a`", "SELECT a, b", "SELECT b, a", "SELECT ab", "SELECT a b", "SELECT a.b", "SELECT a, 1", "SELECT 1, a", "SELECT 1, a, 1", "SELECT (1)", "SELECT (a)",
		"SELECT a - 1", "SELECT a + 1", "SELECT a, -1 - 1", "SELECT @a", "SELECT @@a", "SELECT a FROM t", "SELECT a FROM T", "SELECT a FROM t;SELECT a FROM t", "SELECT 'x", "SELECT COUNT(*)", "SELECT count", "SELECT COUNT",
		"INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (a)", "INSERT INTO t VALUES (a), (1)", "INSERT INTO t VALUES (1), (a)", "INSERT INTO t VALUES ((a))", "INSERT INTO t VALUES (a, 1), (a, b)",
		"SELECT a IS NULL", "SELECT a IS NOT NULL", "SELECT a IS TRUE", "SELECT abcdefgh", "SELECT abcdefgi", "SELECT abcdefghi", "SELECT abcdefghj", "SELECT abcdefghabcdefghi", "SELECT abcdefgh_abcdefghi",
	} {
		h := Digest([]byte(sql), 0)
		if other, ok := seen[h]; ok {
			t.Errorf("%q and %q have the same hash", sql, other)
		}
		seen[h] = sql
	}
}

// A digest's hash is the same for ever: what is kept of figures elsewhere goes by it.
func TestDigestStays(t *testing.T) {
	if got, want := Digest([]byte("SELECT a FROM t WHERE id = 1"), 0), uint64(0x3af4e1ddedc30e18); got != want {
		t.Errorf("the hash is %#x, want %#x", got, want)
	}
}

// checkDigest: whatever the text, nothing panics, the digest's text is bounded and
// is its own digest, and statements have the same hash if and only if they have the
// same text.
func checkDigest(t *testing.T, sql []byte, lex Lex, texts map[string]uint64, hashes map[uint64]string) {
	t.Helper()
	before := bytes.Clone(sql)
	h, text := Digest(sql, lex), AppendDigestText([]byte("ahead "), sql, lex)
	if !bytes.Equal(sql, before) {
		t.Fatalf("%q was changed to %q", before, sql)
	}
	text, ok := bytes.CutPrefix(text, []byte("ahead "))
	if !ok || len(text) > MaxDigestText {
		t.Fatalf("%q: %d bytes of text: %q", sql, len(text), text)
	}
	if bytes.HasSuffix(text, []byte("...")) {
		return
	}
	if again := AppendDigestText(nil, text, lex); !bytes.Equal(again, text) {
		t.Errorf("%q: the digest %q has the digest %q", sql, text, again)
	}
	if again := Digest(text, lex); again != h {
		t.Errorf("%q: the digest %q has the hash %x, not %x", sql, text, again, h)
	}
	if have, ok := texts[string(text)]; ok && have != h {
		t.Errorf("%q: %q has two hashes, %x and %x", sql, text, have, h)
	}
	if have, ok := hashes[h]; ok && have != string(text) {
		t.Errorf("%q: %x is the hash of %q and of %q", sql, h, have, text)
	}
	texts[string(text)], hashes[h] = h, string(text)
}

func FuzzDigest(f *testing.F) {
	for _, r := range readCorpus(f) {
		f.Add([]byte(r.sql), byte(r.lex))
	}
	f.Fuzz(func(t *testing.T, sql []byte, lex byte) {
		checkDigest(t, sql, Lex(lex)&^LexMultiStatements, map[string]uint64{}, map[uint64]string{})
	})
}

func TestDigestOfTheCorpus(t *testing.T) {
	texts, hashes := map[Lex]map[string]uint64{}, map[Lex]map[uint64]string{}
	for _, r := range readCorpus(t) {
		if texts[r.lex] == nil {
			texts[r.lex], hashes[r.lex] = map[string]uint64{}, map[uint64]string{}
		}
		for i := range len(r.sql) + 1 { // all that it begins with
			checkDigest(t, []byte(r.sql[:i]), r.lex, texts[r.lex], hashes[r.lex])
		}
	}
}

func TestDigestDoesNotAllocate(t *testing.T) {
	for _, r := range readCorpus(t) {
		sql := []byte(r.sql)
		if n := testing.AllocsPerRun(1, func() { Digest(sql, r.lex) }); n != 0 {
			t.Errorf("%q: %v allocations, want 0", r.sql, n)
		}
	}
}

func BenchmarkDigest(b *testing.B) {
	for _, c := range []struct{ name, sql string }{
		{"point", "SELECT c FROM sbtest1 WHERE id=4711"},
		{"join", "SELECT o.id, o.total, c.name FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.status IN ('open', 'paid') AND o.created > '2024-01-01' GROUP BY o.id ORDER BY COUNT(*) DESC LIMIT 20"},
		{"insert", "INSERT INTO items (name, price) VALUES ('a name', 12.50)"},
		{"long", "INSERT INTO t (b) VALUES ('" + strings.Repeat("some text, it''s long. ", 50000) + "')"},
		{"list", "SELECT * FROM t WHERE id IN (1" + strings.Repeat(", 12345", 1000) + ")"},
	} {
		b.Run(c.name, func(b *testing.B) {
			sql := []byte(c.sql)
			b.ReportAllocs()
			for b.Loop() {
				Digest(sql, 0)
			}
		})
	}
}
