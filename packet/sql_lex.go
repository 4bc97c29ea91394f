package packet

// This file cuts a statement into tokens as the servers do. Where the servers,
// their versions or their settings may differ, or where the text is odd enough
// not to care, the token is tokenBad and the statement belongs to the primary.

type tokenKind uint8

const (
	tokenEnd    tokenKind = iota // the end of the text, or what cannot be read
	tokenWord                    // a keyword or an unquoted identifier
	tokenQuoted                  // `identifier`
	tokenDouble                  // "string", or "identifier" under ANSI_QUOTES
	tokenString                  // 'string'
	tokenNumber
	tokenVariable // @
	tokenSystem   // @@
	tokenPunct    // any other byte
)

// token is what the scanner remembers of a token, in one register: its kind,
// its first byte, and, if it is a known word, what is known of it. Its text is
// sql[start:end] of the lexer as long as it is the present one.
type token uint32

func wordToken(c byte, id wordID, flags wordFlags) token {
	return token(tokenWord) | token(c)<<8 | token(id)<<16 | token(flags)<<24
}

func (t token) kind() tokenKind  { return tokenKind(t) }
func (t token) c() byte          { return byte(t >> 8) }
func (t token) id() wordID       { return wordID(t >> 16) }
func (t token) flags() wordFlags { return wordFlags(t >> 24) }

func (t token) is(c byte) bool { return t&0xFFFF == token(tokenPunct)|token(c)<<8 }

// named says whether the token can be the name of something.
func (t token) named() bool { return t.kind()-tokenWord <= tokenDouble-tokenWord }

// lexer cuts sql into tokens.
type lexer struct {
	sql        []byte
	pos        int // behind the present token
	start, end int // of the present token
	tok        token
	lex        Lex
	ansiKnown  bool // LexAnsiQuotes says how it is, set or not
	ambiguous  bool // has met text that depends on ANSI_QUOTES, and it is not known
	hinting    bool // a comment here may be a Hint
	inCode     bool // inside of a /*! comment
	hint       Hint
	gtids      [2]int32 // of Statement
	code       int      // how many /*! comments there were
	optimizer  bool     // has met an optimizer hint that changes variables
	bad        bool     // the text cannot be read with certainty from here on
}

type byteClass uint8

const (
	classBad    byteClass = iota // control characters, backslash
	classSpace                   // space, \t \n \v \f \r
	classWord                    // letters, _, $ and bytes >= 0x80
	classDigit                   // 0-9
	classPunct                   // what stands for itself
	classQuote                   // '
	classDouble                  // "
	classBack                    // `
	classAt                      // @
	classHash                    // #
	classMinus                   // -
	classSlash                   // /
	classStar                    // *
	classDot                     // .
)

var byteClasses = func() (t [256]byteClass) {
	for c := range t {
		switch {
		case c >= 0x80, c|0x20 >= 'a' && c|0x20 <= 'z', c == '_', c == '$':
			t[c] = classWord
		case c >= '0' && c <= '9':
			t[c] = classDigit
		case c == ' ', c >= '\t' && c <= '\r':
			t[c] = classSpace
		case c > ' ' && c < 0x7F && c != '\\':
			t[c] = classPunct
		}
	}
	for c, class := range map[byte]byteClass{
		'\'': classQuote, '"': classDouble, '`': classBack, '@': classAt, '#': classHash,
		'-': classMinus, '/': classSlash, '*': classStar, '.': classDot,
	} {
		t[c] = class
	}
	return t
}()

func inWord(c byte) bool { return byteClasses[c]-classWord <= classDigit-classWord }

// next moves to the next token. At the end, and behind what cannot be read, it
// is tokenEnd from then on.
func (l *lexer) next() {
	for l.pos < len(l.sql) {
		i := l.pos
		c := l.sql[i]
		switch byteClasses[c] {
		case classSpace:
			l.pos++
			continue
		case classWord:
			l.word(i)
			return
		case classDigit:
			l.number(i)
			return
		case classPunct:
			l.set(tokenPunct, i, i+1)
			return
		case classQuote:
			l.quoted(tokenString, i, l.lex&LexNoBackslashEscapes == 0)
			return
		case classDouble:
			l.quoted(tokenDouble, i, l.lex&(LexNoBackslashEscapes|LexAnsiQuotes) == 0)
			return
		case classBack:
			l.quoted(tokenQuoted, i, false)
			return
		case classAt:
			if i+1 < len(l.sql) && l.sql[i+1] == '@' {
				l.set(tokenSystem, i, i+2)
			} else {
				l.set(tokenVariable, i, i+1)
			}
			return
		case classHash:
			if !l.skipLine(i) {
				return
			}
		case classMinus:
			if !l.dashes(i) {
				return
			}
		case classSlash:
			if i+1 >= len(l.sql) || l.sql[i+1] != '*' {
				l.set(tokenPunct, i, i+1)
				return
			}
			if !l.comment(i) {
				return
			}
		case classStar:
			if l.inCode && i+1 < len(l.sql) && l.sql[i+1] == '/' {
				l.inCode = false
				l.pos += 2
				continue
			}
			l.set(tokenPunct, i, i+1)
			return
		case classDot:
			afterName := l.tok.named() && l.end == i
			if !afterName && i+1 < len(l.sql) && byteClasses[l.sql[i+1]] == classDigit {
				l.fraction(i, i)
				return
			}
			l.set(tokenPunct, i, i+1)
			return
		default:
			l.fail()
			return
		}
	}
	if l.inCode {
		l.bad = true
	}
	l.start, l.end = len(l.sql), len(l.sql)
	l.tok = 0
}

func (l *lexer) set(kind tokenKind, start, end int) {
	l.tok = token(kind) | token(l.sql[start])<<8
	l.start, l.end, l.pos = start, end, end
}

// fail ends the text here: the rest cannot be read with certainty.
func (l *lexer) fail() {
	l.bad = true
	l.pos = len(l.sql)
	l.start, l.end = l.pos, l.pos
	l.tok = 0
}

func (l *lexer) word(i int) {
	sql := l.sql
	high := sql[i]
	end := i + 1
	for end < len(sql) && inWord(sql[end]) {
		high |= sql[end]
		end++
	}
	var id wordID
	var flags wordFlags
	switch {
	case sql[i] == '$' && l.lex&LexMariaDB == 0:
		// MySQL 8.0.32 and later know $tag$ string $tag$.
		l.fail()
		return
	case high < 0x80:
		id, flags = findWord(sql, i, end)
	case l.hidesWord(i, end):
		l.fail()
		return
	}
	l.tok = wordToken(sql[i], id, flags)
	l.start, l.end, l.pos = i, end, end
}

// hidesWord says whether a known word stands between bytes that are not ASCII.
// In some single-byte character sets such as latin1 not all of these are
// letters: a non-breaking space separates words.
func (l *lexer) hidesWord(start, end int) bool {
	for i := start; i < end; i++ {
		if l.sql[i] >= 0x80 {
			continue
		}
		j := i
		for j < end && l.sql[j] < 0x80 {
			j++
		}
		if id, flags := findWord(l.sql, i, j); id != wordNone || flags&ofSession != 0 {
			return true
		}
		i = j
	}
	return false
}

// number reads what begins with a digit: a number, or an identifier. Where the
// servers let a word begin directly behind a number, as in 1e5into, it fails.
func (l *lexer) number(i int) {
	sql := l.sql
	end := i + 1
	for end < len(sql) && byteClasses[sql[end]] == classDigit {
		end++
	}
	if end < len(sql) {
		afterDot := l.tok.is('.') && l.end == i
		switch c := sql[end]; {
		case afterDot: // t.5abc: a name
		case c == '.', (c == 'e' || c == 'E') && l.exponent(end) > end:
			l.fraction(i, end)
			return
		}
	}
	high := byte(0)
	digits := end
	for end < len(sql) && inWord(sql[end]) {
		high |= sql[end]
		end++
	}
	if high >= 0x80 && l.hidesWord(digits, end) {
		l.fail()
		return
	}
	kind := tokenNumber
	if end > digits && !(digits == i+1 && sql[i] == '0' && (sql[digits] == 'x' || sql[digits] == 'b')) {
		kind = tokenWord
	}
	l.set(kind, i, end)
}

// exponent is the end of the exponent that stands at i, or i if there is none.
func (l *lexer) exponent(i int) int {
	j := i + 1
	if j < len(l.sql) && (l.sql[j] == '+' || l.sql[j] == '-') {
		j++
	}
	digits := j
	for j < len(l.sql) && byteClasses[l.sql[j]] == classDigit {
		j++
	}
	if j == digits {
		return i
	}
	return j
}

// fraction reads the rest, from i on, of a number with a point or an exponent.
func (l *lexer) fraction(start, i int) {
	sql := l.sql
	if sql[i] == '.' {
		i++
		for i < len(sql) && byteClasses[sql[i]] == classDigit {
			i++
		}
	}
	if i < len(sql) && sql[i]|0x20 == 'e' {
		i = l.exponent(i)
	}
	if i < len(sql) && inWord(sql[i]) {
		l.fail()
		return
	}
	l.set(tokenNumber, start, i)
}

// quoted reads what is between two of the quote at i; two of it inside stand
// for one.
func (l *lexer) quoted(kind tokenKind, i int, escapes bool) {
	sql := l.sql
	quote := sql[i]
	for j := i + 1; j < len(sql); j++ {
		switch c := sql[j]; {
		case c == quote:
			if j+1 < len(sql) && sql[j+1] == quote {
				j++
				continue
			}
			l.set(kind, i, j+1)
			return
		case c == '\\' && kind != tokenQuoted:
			if kind == tokenDouble && !l.ansiKnown && l.lex&LexNoBackslashEscapes == 0 {
				l.ambiguous = true
			}
			if escapes {
				j++
			}
		}
	}
	l.fail()
}
