package main

import (
	"slices"
	"strings"
	"testing"
)

func TestStatementsOfAFile(t *testing.T) {
	for _, tc := range []struct {
		name, file string
		want       []string
	}{
		{"a semicolon at a line's end", "SELECT 1;\nSELECT 2; \n", []string{"SELECT 1", "SELECT 2"}},
		{"one within a line", "SELECT ';'; SELECT 2;\n", []string{"SELECT ';'; SELECT 2"}},
		{"none at the end", "SELECT 1", []string{"SELECT 1"}},
		{"more lines than one", "SELECT\n\n  1\n;\n", []string{"SELECT\n\n  1"}},
		{"lines as Windows ends them", "SELECT 1;\r\nSELECT 2;\r\n", []string{"SELECT 1", "SELECT 2"}},
		{"a comment before", "-- one;\n# two\n/* three */ SELECT 1;", []string{"-- one;\n# two\n/* three */ SELECT 1"}},
		{"a comment within", "SELECT 1 -- one\n  + 2;", []string{"SELECT 1 -- one\n  + 2"}},
		{"comments only", "-- one\n/* two\n */\n# three", nil},
		{"comments at the end", "SELECT 1;\n-- one\n", []string{"SELECT 1"}},
		{"code in a comment", "/*!40101 SET @a = 1 */", []string{"/*!40101 SET @a = 1 */"}},
		{"empty ones", ";\n;\n\n", nil},
		{"commands", "\\ping\n-- one\n\\use shop;\nSELECT 1;\n", []string{`\ping`, `\use shop`, "SELECT 1"}},
		{"a backslash within a statement", "SELECT 1,\n\\ping\n;", []string{"SELECT 1,\n\\ping"}},
	} {
		list, err := parseStatements(tc.file)
		var got []string
		for _, st := range list {
			got = append(got, st.text)
		}
		if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, %v; want %q", tc.name, got, err, tc.want)
		}
	}
}

func TestFaultsOfAFile(t *testing.T) {
	for _, tc := range []struct{ file, says string }{
		{"SELECT 1;\n\\pnig\n", `line 2: \pnig is unknown`},
		{`\use`, `line 1: \use needs something behind it`},
		{`\ping 3`, `line 1: nothing may stand behind \ping`},
		{`\execute 'a`, "the quote in 'a does not end"},
		{`\execute 'a' 'b'`, "there is no comma before 'b'"},
	} {
		if _, err := parseStatements(tc.file); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%q: %v, want %q", tc.file, err, tc.says)
		}
	}
}

func TestParametersOfExecute(t *testing.T) {
	for in, want := range map[string][]string{
		"":                 nil,
		"1":                {"1"},
		" 1 , -2,x ":       {"1", "-2", "x"},
		"'', 'a, b' ,NULL": {"", "a, b", "<nil>"},
		"'NULL'":           {"NULL"},
	} {
		params, err := parseParams(in)
		var got []string
		for _, p := range params {
			if p == nil {
				got = append(got, "<nil>")
			} else {
				got = append(got, *p)
			}
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestFirstWords(t *testing.T) {
	for sql, want := range map[string]string{
		"select 1":                    "SELECT ",
		"  (SELECT 1)":                "SELECT ",
		"-- x\n/* y */ show warnings": "SHOW WARNINGS",
		"SHOW/* x */SLAVE STATUS":     "SHOW SLAVE",
		"":                            " ",
		"/* no end":                   " ",
	} {
		if got := strings.Join(sqlWords(sql, 2), " "); got != want {
			t.Errorf("%q: %q, want %q", sql, got, want)
		}
	}
}

// The built-in list shows what the help says it does.
func TestBuiltInStatements(t *testing.T) {
	list, err := parseStatements(tryStatements)
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]bool{}
	for _, st := range list {
		words[first(st.verb, sqlWords(st.text, 1)[0])] = true
	}
	for _, w := range []string{"SELECT", "INSERT", "UPDATE", "BEGIN", "COMMIT", "prepare", "execute", "close"} {
		if !words[w] {
			t.Errorf("there is no %s", w)
		}
	}
}
