package admin

import (
	"fmt"
	"strconv"
	"strings"
)

// This file cuts a statement for the console into words. The console's language is
// small: names may have dashes and dots, so that options and addresses need no
// quotes.

type wordKind uint8

const (
	endOfText  wordKind = iota
	bareWord            // SHOW, max-replica-lag, 10.0.0.1:3306, 12
	textWord            // 'text' or "text"
	nameWord            // `name`
	systemWord          // @@name, without the signs
	markWord            // = < > <= >= != <> , ( ) * ; and any other byte
)

// token is a word of a statement.
type token struct {
	kind     wordKind
	text     string // without quotes
	at, ends int    // in the statement, in bytes
}

// is tells whether w is this word or mark, in whatever case.
func (w token) is(text string) bool {
	return (w.kind == bareWord || w.kind == markWord) && strings.EqualFold(w.text, text)
}

// statement is a statement that is being read, word by word.
type statement struct {
	sql   string
	words []token // the last one is endOfText
	i     int     // the next one
	raw   string  // what EXPLAIN ROUTE is about: it is not of the console's language
}

// maxWords bounds a statement that only looks like one for the console.
const maxWords = 4096

// parse cuts sql into words. A ; at its end is not among them, nor is what stands
// behind EXPLAIN ROUTE.
func parse(sql string) (*statement, error) {
	s := &statement{sql: sql}
	for at := 0; ; {
		w, err := nextWord(sql, at)
		if err != nil {
			return nil, err
		}
		if at = w.ends; len(s.words) == maxWords {
			return nil, syntax("the statement has more than %d words", maxWords)
		}
		s.words = append(s.words, w)
		if w.kind == endOfText {
			break
		}
		if len(s.words) == 2 && s.words[0].is("EXPLAIN") && w.is("ROUTE") {
			s.raw = strings.TrimRight(sql[at:], "; \t\r\n")
			s.words = append(s.words, token{at: at, ends: at})
			break
		}
	}
	for n := len(s.words) - 2; n >= 0 && s.words[n].is(";"); n-- {
		s.words[n] = token{at: s.words[n].at, ends: s.words[n].at}
		s.words = s.words[:n+1]
	}
	return s, nil
}

const inBareWord = "_$-.:/[]%"

func bare(c byte) bool {
	return c >= 0x80 || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || strings.IndexByte(inBareWord, c) >= 0
}

// nextWord reads the word at or behind at. Comments stand for blanks; what is in
// one for MySQL, /*! ... */, counts.
func nextWord(sql string, at int) (token, error) {
	for at < len(sql) {
		rest := sql[at:]
		switch c := sql[at]; {
		case c <= ' ':
			at++
		case c == '#', strings.HasPrefix(rest, "--") && (len(rest) == 2 || rest[2] <= ' '):
			n := strings.IndexByte(rest, '\n')
			if n < 0 {
				n = len(rest) - 1
			}
			at += n + 1
		case strings.HasPrefix(rest, "/*!"):
			at += 3
			for at < len(sql) && sql[at] >= '0' && sql[at] <= '9' { // the version that it is for
				at++
			}
		case strings.HasPrefix(rest, "/*"):
			n := strings.Index(rest[2:], "*/")
			if n < 0 {
				return token{}, syntax("the comment at %s has no end", near(sql, at))
			}
			at += 2 + n + 2
		case strings.HasPrefix(rest, "*/"):
			at += 2
		case c == '\'' || c == '"' || c == '`':
			return quotedWord(sql, at)
		case strings.HasPrefix(rest, "@@"):
			end := at + 2
			for end < len(sql) && (bare(sql[end]) && sql[end] != '/') {
				end++
			}
			return token{kind: systemWord, text: sql[at+2 : end], at: at, ends: end}, nil
		case bare(c) && !strings.HasPrefix(rest, "/*"):
			end := at
			for end < len(sql) && bare(sql[end]) && !strings.HasPrefix(sql[end:], "/*") {
				end++
			}
			return token{kind: bareWord, text: sql[at:end], at: at, ends: end}, nil
		default:
			end := at + 1
			if two := rest[:min(2, len(rest))]; two == "<=" || two == ">=" || two == "<>" || two == "!=" {
				end++
			}
			return token{kind: markWord, text: sql[at:end], at: at, ends: end}, nil
		}
	}
	return token{at: len(sql), ends: len(sql)}, nil
}

// quotedWord reads what is between two of the quote at at. Two of it inside stand
// for one; \ as in MySQL, but not in a name.
func quotedWord(sql string, at int) (token, error) {
	quote := sql[at]
	w := token{kind: textWord, at: at}
	if quote == '`' {
		w.kind = nameWord
	}
	var text strings.Builder
	for i := at + 1; i < len(sql); i++ {
		c := sql[i]
		switch {
		case c == quote && i+1 < len(sql) && sql[i+1] == quote:
			i++
		case c == quote:
			w.text, w.ends = text.String(), i+1
			return w, nil
		case c == '\\' && w.kind == textWord && i+1 < len(sql):
			i++
			switch c = sql[i]; c {
			case 'n':
				c = '\n'
			case 't':
				c = '\t'
			case '%', '_': // LIKE has to see that they mean themselves
				text.WriteByte('\\')
			}
		}
		text.WriteByte(c)
	}
	return w, syntax("the quotes at %s are not closed", near(sql, at))
}

// near is what stands at at, for an error.
func near(sql string, at int) string {
	const most = 30
	if at >= len(sql) {
		return "the end"
	}
	text := sql[at:]
	if len(text) > most {
		text = text[:most] + "..."
	}
	return "'" + strings.ToValidUTF8(text, "?") + "'"
}

func (s *statement) peek() token { return s.words[s.i] }

func (s *statement) next() token {
	w := s.words[s.i]
	if w.kind != endOfText {
		s.i++
	}
	return w
}

// took takes these words if they come next.
func (s *statement) took(words ...string) bool {
	for i, text := range words {
		if s.i+i >= len(s.words) || !s.words[s.i+i].is(text) {
			return false
		}
	}
	s.i += len(words)
	return true
}

// end wants the statement to be over.
func (s *statement) end() error {
	if w := s.peek(); w.kind != endOfText {
		return syntax("%s is too much here", near(s.sql, w.at))
	}
	return nil
}

// number takes a whole number that is not negative.
func (s *statement) number(what string) (uint64, error) {
	w := s.peek()
	n, err := strconv.ParseUint(w.text, 10, 64)
	if err != nil || w.kind != bareWord {
		return 0, syntax("%s is to be a number, and here is %s", what, near(s.sql, w.at))
	}
	s.next()
	return n, nil
}

// name takes a name, quoted or not.
func (s *statement) name(what string) (string, error) {
	w := s.peek()
	if w.kind != bareWord && w.kind != nameWord && w.kind != textWord {
		return "", syntax("%s is missing at %s", what, near(s.sql, w.at))
	}
	return s.next().text, nil
}

// rest is what has not been read, as it stands.
func (s *statement) rest() string {
	last := s.words[len(s.words)-1]
	return strings.TrimSpace(s.sql[s.peek().at:last.at])
}

// fault is an ERR for the client.
type fault struct {
	code  uint16
	state string
	text  string
}

func (f *fault) Error() string { return f.text }

// syntax is the ERR of a statement that cannot be read.
func syntax(format string, args ...any) error {
	return &fault{1064, "42000", fmt.Sprintf(format, args...)}
}

// failed is the ERR of a statement that cannot be done.
func failed(format string, args ...any) error {
	return &fault{1105, "HY000", fmt.Sprintf(format, args...)}
}
