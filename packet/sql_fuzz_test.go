package packet

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzClassify: whatever the text, nothing panics, and what may go to a replica
// is one statement that stays one, and stays a read, in other clothes.
func FuzzClassify(f *testing.F) {
	for _, r := range readCorpus(f) {
		f.Add([]byte(r.sql), byte(r.lex))
	}
	f.Fuzz(func(t *testing.T, sql []byte, lex byte) { checkStatement(t, sql, Lex(lex)) })
}

func checkStatement(t *testing.T, sql []byte, lex Lex) {
	t.Helper()
	before := bytes.Clone(sql)
	st := Classify(sql, lex)
	SessionAssignments(sql, lex)
	UseDatabase(sql, lex)
	TemporaryTables(sql, lex)
	NamedLocks(sql, lex)
	if !bytes.Equal(sql, before) {
		t.Fatalf("%q was changed to %q", before, sql)
	}
	if lex&(LexNoBackslashEscapes|LexAnsiQuotes|LexMariaDB) == 0 {
		// Not to know ANSI_QUOTES is not to be wiser than knowing it.
		if ansi := Classify(sql, lex|LexAnsiQuotes); ansi.Effects&^st.Effects != 0 && ansi.Effects&EffectUnknown == 0 {
			t.Errorf("%q: %v under ANSI_QUOTES, %v if that is not known", sql, ansi.Effects, st.Effects)
		}
	}
	if st.Route == RoutePrimary {
		return
	}
	if st.Many || st.Effects&^(EffectRowState|EffectNamedLock) != 0 {
		t.Errorf("%q: %v, with %v", sql, st.Route, st.Effects)
	}
	first := strings.ToLower(strings.TrimLeft(string(stripComments(sql)), " \t\n\v\f\r("))
	for _, verb := range strings.Fields(verbsWriting + " begin commit rollback use lock grant rename handler xa kill") {
		if rest, ok := strings.CutPrefix(first, verb); ok && (rest == "" || !inWord(rest[0])) {
			t.Errorf("%q begins with %s, and goes to %v", sql, verb, st.Route)
		}
	}
	// A comment to the end of the line may be open.
	for _, more := range []string{"\n/*!*/", "\n; DELETE FROM t", "\nINTO OUTFILE 'x'", "\nFOR UPDATE", "\n+ @x", "\n, GET_LOCK('x', 1)", "\n + f(1)"} {
		if st.Hint == HintReplica && more == "\n + f(1)" {
			continue
		}
		if strings.Contains(more, ";") || !endsStatement(sql) {
			if got := Classify(append(bytes.Clone(sql), more...), lex); got.Route == RouteReplica {
				t.Errorf("%q with %q behind it goes to %v (%v)", sql, more, got.Route, got.Reason)
			}
		}
	}
	for name, other := range map[string][]byte{
		"in upper case":      bytes.Map(upperASCII, sql),
		"in lower case":      bytes.Map(lowerRune, sql),
		"with space around":  append(append([]byte(" \n\t"), sql...), " \n"...),
		"behind a comment":   append([]byte("/* it's */ -- \"\n# `\n"), sql...),
		"before a comment":   append(bytes.Clone(sql), "\n-- it's"...),
		"with much space":    widen(sql, "\n \t"),
		"with many comments": widen(sql, "/**/"),
	} {
		if got := Classify(other, lex); got.Route != st.Route && got.Reason != ReasonUnknownFunction {
			t.Errorf("%q goes to %v, %s to %v (%v): %q", sql, st.Route, name, got.Route, got.Reason, other)
		}
	}
}

// endsStatement says whether a ';' stands at the end, so that what is put
// behind it is a statement of its own, mostly an invalid one.
func endsStatement(sql []byte) bool {
	return bytes.HasSuffix(bytes.TrimRight(stripComments(sql), " \t\n\v\f\r"), []byte(";"))
}

// bytes.Map takes bytes that are not UTF-8 for U+FFFD; these mappings are only
// used where the result is still compared as a statement.
func upperASCII(r rune) rune {
	if r >= 'a' && r <= 'z' {
		return r - 0x20
	}
	return r
}

func lowerRune(r rune) rune {
	if r >= 'A' && r <= 'Z' {
		return r + 0x20
	}
	return r
}

// widen puts space where there was a single one, outside of quotes and
// comments. It leaves alone what it is not sure of.
func widen(sql []byte, space string) []byte {
	if bytes.ContainsAny(sql, "'\"`#\\") || bytes.Contains(sql, []byte("--")) || bytes.Contains(sql, []byte("/*")) {
		return sql
	}
	return bytes.ReplaceAll(sql, []byte(" "), []byte(" "+space+" "))
}

// stripComments is a second and plainer reading of comments, for text that has
// been found to be readable.
func stripComments(sql []byte) []byte {
	var out []byte
	var quote byte
	for i := 0; i < len(sql); i++ {
		c := sql[i]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			} else if c == '\\' && quote != '`' {
				out = append(out, c)
				i++
				if i == len(sql) {
					return out
				}
				c = sql[i]
			}
		case c == '\'' || c == '"' || c == '`':
			quote = c
		case c == '#', bytes.HasPrefix(sql[i:], []byte("--")) && (i+2 == len(sql) || sql[i+2] <= ' ' || sql[i+2] == 0x7F):
			n := bytes.IndexByte(sql[i:], '\n')
			if n < 0 {
				return out
			}
			i += n
			c = '\n'
		case bytes.HasPrefix(sql[i:], []byte("/*")):
			n := bytes.Index(sql[i+2:], []byte("*/"))
			if n < 0 {
				return out
			}
			i += n + 3
			c = ' '
		}
		out = append(out, c)
	}
	return out
}

func TestClassifyKeepsItsWordOnTheCorpus(t *testing.T) {
	for _, r := range readCorpus(t) {
		checkStatement(t, []byte(r.sql), r.lex)
	}
}
