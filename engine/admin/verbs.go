package admin

import (
	"cmp"
	"slices"
	"strings"
)

// This file has the statements that the console knows, in one table: what they
// are called, what HELP says, and who does them. The views of views.go are in it as
// SHOW statements.

// verb is a statement.
type verb struct {
	words string // that it begins with
	args  string // what may or must follow, for HELP
	help  string // one line; "": HELP does not tell of it
	more  string // for HELP about this one
	run   func(*request) (*result, error)
}

// verbs are all statements but SELECT, longer ones before those that they begin
// with. They are made once.
var verbs []verb

func init() {
	makeViews()
	verbs = []verb{
		{"HELP", "[statement]", "lists the statements, or explains one",
			"mysql and mariadb answer HELP alone themselves: there it is SELECT * FROM help.", (*request).help},
		{"USE", "name", "", "", func(r *request) (*result, error) {
			r.next()
			return &result{}, r.end()
		}},
	}
	verbs = append(verbs, acts...)
	for _, v := range views {
		verbs = append(verbs, verb{"SHOW " + v.name, "", v.help, v.describe(), func(r *request) (*result, error) { return r.show(v) }})
	}
	for _, text := range []string{"BEGIN", "START TRANSACTION", "COMMIT", "ROLLBACK", "UNLOCK TABLES", "FLUSH"} {
		verbs = append(verbs, verb{text, "", "", "", func(*request) (*result, error) { return &result{}, nil }})
	}
	slices.SortStableFunc(verbs, func(a, b verb) int { return cmp.Compare(strings.Count(b.words, " "), strings.Count(a.words, " ")) })
}

// query answers a statement.
func (r *request) query(sql string) (*result, error) {
	s, err := parse(sql)
	if err != nil {
		return nil, err
	}
	if r.statement = s; s.peek().kind == endOfText {
		if strings.TrimSpace(sql) != "" {
			return &result{}, nil // a comment
		}
		return nil, &fault{1065, "42000", "Query was empty"}
	}
	if s.took("SELECT") {
		return r.selects()
	}
	show := s.took("SHOW")
	if show {
		for s.took("FULL") || s.took("GLOBAL") || s.took("SESSION") || s.took("LOCAL") || s.took("ALL") {
		}
	}
	for i := range verbs {
		words := strings.Fields(verbs[i].words)
		if show != (words[0] == "SHOW") {
			continue
		}
		if show {
			words = words[1:]
		}
		if s.took(words...) {
			return verbs[i].run(r)
		}
	}
	return nil, newUnknown(s)
}

// unknownStatement is the error for a statement that is none here.
type unknownStatement struct{ text string }

func (u *unknownStatement) Error() string { return u.text }

func newUnknown(s *statement) error {
	var words []string
	for _, w := range s.words[:len(s.words)-1] {
		if len(words) < 3 {
			words = append(words, strings.ToUpper(w.text))
		}
	}
	text := "the console does not know " + near(s.sql, s.words[0].at)
	if verb := nearest(words); verb != "" {
		return &unknownStatement{text + "; did you mean " + verb + "? SELECT * FROM help lists all statements"}
	}
	return &unknownStatement{text + "; SELECT * FROM help lists its statements"}
}

// nearest is the statement that words are most like, "" if they are like none.
func nearest(words []string) string {
	best, least := "", 0
	for i := range verbs {
		if verbs[i].help == "" {
			continue
		}
		n := strings.Count(verbs[i].words, " ") + 1
		given := strings.Join(words[:min(n, len(words))], " ")
		d := distance(given, verbs[i].words)
		if most := (len(verbs[i].words) + 2) / 4; d <= most && (best == "" || d < least) {
			best, least = verbs[i].words, d
		}
	}
	if best != "" || len(words) == 0 {
		return best
	}
	for i := range verbs { // the noun alone: BACKENDS, DIGEST
		if noun, ok := strings.CutPrefix(verbs[i].words, "SHOW "); ok && slices.ContainsFunc(words, func(w string) bool { return distance(w, noun) <= len(noun)/5 }) {
			return verbs[i].words
		}
	}
	return ""
}

// distance is how many bytes have to be put in, taken out, exchanged or swapped
// with their neighbour to make a of b.
func distance(a, b string) int {
	const most = 64
	if len(a) > most || len(b) > most {
		return most
	}
	var rows [3][most + 1]int
	for j := range b {
		rows[1][j+1] = j + 1
	}
	before, last, now := &rows[0], &rows[1], &rows[2]
	for i := range a {
		now[0] = i + 1
		for j := range b {
			d := last[j]
			if a[i] != b[j] {
				d = 1 + min(d, last[j+1], now[j])
			}
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				d = min(d, before[j-1]+1)
			}
			now[j+1] = d
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}
