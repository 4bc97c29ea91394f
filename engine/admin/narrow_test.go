package admin

import (
	"context"
	"strings"
	"testing"
)

func TestLike(t *testing.T) {
	for _, tc := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"%", "", true}, {"%", "abc", true}, {"abc", "ABC", true}, {"abc", "abcd", false}, {"a%", "abc", true}, {"%c", "abc", true},
		{"%b%", "abc", true}, {"a_c", "abc", true}, {"a_c", "ac", false}, {"%ab%ab", "abab", true}, {"%ab%ab", "aba", false}, {"a%b%c", "a1b2b3c", true},
		{`a\_c`, "a_c", true}, {`a\_c`, "abc", false}, {`a\%`, "a%", true}, {`a\%`, "ab", false}, {`a\`, "a", false}, {"_%", "", false}, {"%%", "x", true},
		{strings.Repeat("%a", 30), strings.Repeat("a", 29) + "b", false},
	} {
		if got := like(tc.pattern, tc.text); got != tc.want {
			t.Errorf("%q LIKE %q is %v", tc.text, tc.pattern, got)
		}
	}
}

func TestCompareFold(t *testing.T) {
	texts := []string{"", "a", "A", "ab", "aB", "b", "B", "_", "[", "aé", "aÉ", "aéb", "É", "é", "éa", "aZ", "a_", "z", "Z\x80", "z\xff"}
	for _, a := range texts {
		for _, b := range texts {
			if got, want := compareFold(a, b), strings.Compare(strings.ToLower(a), strings.ToLower(b)); got != want {
				t.Errorf("%q and %q: %d, want %d", a, b, got, want)
			}
		}
	}
}

// What a statement says once costs nothing for each row.
func TestLongValuesCostNothingForEachRow(t *testing.T) {
	g := &grid{columns: []column{{name: "a"}}}
	for range 100 {
		g.rows = append(g.rows, []any{"Ab"})
	}
	long := strings.Repeat("X", 1<<10)
	for _, sql := range []string{"WHERE a = '" + long + "'", "WHERE a LIKE '" + long + "'", "LIKE '" + long + "'", "ORDER BY " + strings.Repeat("a, ", 1000) + "a"} {
		s, err := parse(sql)
		if err != nil {
			t.Fatal(err)
		}
		asked, err := s.tail()
		if err != nil {
			t.Fatal(err)
		}
		rows := &grid{columns: g.columns}
		n := testing.AllocsPerRun(10, func() {
			rows.rows = append(rows.rows[:0], g.rows...)
			if err := rows.narrow(context.Background(), asked, "a"); err != nil {
				t.Fatal(err)
			}
		})
		if n > float64(len(g.rows))+20 { // the lower case of each text that a pattern is held to
			t.Errorf("%.40s...: %v allocations", sql, n)
		}
	}
}

func TestNarrow(t *testing.T) {
	p := atWork()
	p.sessions[1].Pins = nil
	for tail, want := range map[string]string{
		"":                                      "3 9 12",
		"LIKE 'b%'":                             "9",
		"LIKE 'B_TCH'":                          "9",
		"LIKE batch":                            "9",
		"WHERE id = 9":                          "9",
		"WHERE id = '9.0'":                      "9",
		"WHERE id <> 9":                         "3 12",
		"WHERE id >= 9 AND id < 12":             "9",
		"WHERE id > 3 AND NOT id <= 9":          "12",
		"WHERE id = 3 OR id = 9 AND user = 'x'": "3",
		"WHERE (id = 3 OR id = 9) AND user='x'": "",
		"WHERE user IS NULL":                    "12",
		"WHERE user IS NOT NULL":                "3 9",
		"WHERE user = NULL":                     "",
		"WHERE user != 'app'":                   "9", // NULL is not different from anything
		"WHERE user IN ('APP', 'x')":            "3",
		"WHERE user NOT IN ('app')":             "9",
		"WHERE user NOT LIKE 'a%'":              "9",
		"WHERE `age_seconds` > 9.5":             "3 9",
		"LIKE 'app' WHERE id = 9":               "",
		"ORDER BY id DESC":                      "12 9 3",
		"ORDER BY user":                         "12 3 9",
		"ORDER BY user DESC":                    "9 3 12",
		"ORDER BY admin DESC, id DESC":          "12 9 3",
		"ORDER BY commands ASC LIMIT 2":         "12 9",
		"LIMIT 1":                               "3",
		"LIMIT 1, 1":                            "9",
		"LIMIT 5 OFFSET 2":                      "12",
		"LIMIT 0":                               "",
		"LIMIT 9, 9":                            "",
	} {
		got := strings.ReplaceAll(rows(t, ask(p, "SELECT id FROM sessions "+tail)), "\n", " ")
		if got != want {
			t.Errorf("%s: %s, want %s", tail, got, want)
		}
	}
	for tail, want := range map[string]string{
		"WHERE":                                 "a column is missing at the end",
		"WHERE id":                              "a comparison is missing at the end",
		"WHERE id NOT = 3":                      "a comparison is missing at '= 3'",
		"WHERE id =":                            "a value is missing at the end",
		"WHERE id IN 3":                         "a ( is missing at '3'",
		"WHERE id IN (3":                        "a ) is missing at the end",
		"WHERE (id = 3":                         "a ) is missing at the end",
		"WHERE id IS 3":                         "NULL is missing at '3'",
		"ORDER BY":                              "a column to order by is missing at the end",
		"LIMIT x":                               "LIMIT is to be a number, and here is 'x'",
		"LIMIT -1":                              "LIMIT is to be a number, and here is '-1'",
		"LIKE":                                  "a value is missing at the end",
		"WHERE id = 3 LIKE 'a'":                 "'LIKE 'a'' is too much here",
		"ORDER BY id LIMIT 3 FROB":              "'FROB' is too much here",
		"WHERE " + strings.Repeat("(", 1000):    "the condition is too deep",
		"WHERE " + strings.Repeat("NOT ", 1000): "the condition is too deep",
	} {
		if got := shown(t, ask(p, "SHOW SESSIONS "+tail)); got != "ERR 1064 42000 "+want {
			t.Errorf("%.40s: %s, want %s", tail, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"SHWO", "SHOW", 1}, {"SESION", "SESSIONS", 2}, {"ABC", "XYZ", 3}, {strings.Repeat("a", 65), "a", 64}} {
		if got := distance(tc.a, tc.b); got != tc.want {
			t.Errorf("from %.9q to %q it is %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}
