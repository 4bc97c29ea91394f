package luahooks

import (
	"strings"
)

// The lexer of mysql.tokenizer. It cuts SQL up as MySQL Proxy's does, accidents
// included, since scripts compare the results; for what a statement does to the
// session the proxy itself has another one.
//
//	text --scan--> token{id, where its text is} --text--> what scripts see
//
// A token has no text of its own: most scripts look at a few tokens only, and
// only a quoted item with a doubled quote in it needs another text than that in
// the statement.

// token is a piece of a statement. start and end bound its text, which is
// without the marks around it.
type token struct {
	start, end uint32
	id         uint16
	quote      byte // of a quoted item, 0 for others
	edited     bool // the text is not what the statement has: see text
}

// text is what scripts see of t in its statement sql.
func (t token) text(sql string) string {
	raw := sql[t.start:t.end]
	if !t.edited {
		return raw
	}
	var b strings.Builder
	b.Grow(len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case c == '\\' && t.quote != '`':
			if i+1 == len(raw) || raw[i+1] == '\n' {
				continue // a backslash that no byte of the line follows is dropped
			}
			b.WriteByte(c)
			i++
			c = raw[i]
		case c == t.quote && i+1 < len(raw) && raw[i+1] == c:
			i++
		}
		b.WriteByte(c)
	}
	return b.String()
}

// scanAll cuts all of sql up, which must be shorter than 4 GiB, and appends the
// tokens.
func scanAll(tokens []token, sql string) []token {
	// slices.Grow would allocate twice under the race detector.
	if n := len(sql)/4 + 8; cap(tokens)-len(tokens) < n {
		tokens = append(make([]token, 0, len(tokens)+n), tokens...)
	}
	for at := 0; at < len(sql); {
		tokens, at = scanToken(tokens, sql, at)
	}
	return tokens
}

// scanToken appends the tokens that start at sql[at], at < len(sql): none for white
// space, up to five for a dotted name. next is greater than at.
func scanToken(tokens []token, sql string, at int) (_ []token, next int) {
	one := func(id uint16, n int) ([]token, int) {
		return append(tokens, token{start: uint32(at), end: uint32(at + n), id: id}), at + n
	}
	rest := sql[at:]
	second := byte(0)
	if len(rest) > 1 {
		second = rest[1]
	}
	switch c := rest[0]; {
	case sqlSpace(c):
		return tokens, at + 1
	case c == '\'', c == '"', c == '`':
		return scanQuoted(tokens, sql, at)
	case c == '-' && second == '-':
		return scanDashes(tokens, sql, at)
	case c == '/' && second == '*':
		id, start := uint16(tokenComment), at+2
		if len(rest) > 2 && rest[2] == '!' {
			id, start = tokenMySQLComment, at+3
		}
		end, next := len(sql), len(sql)
		if i := strings.Index(sql[start:], "*/"); i >= 0 {
			end, next = start+i, start+i+2
		}
		return append(tokens, token{start: uint32(start), end: uint32(end), id: id}), next
	case sqlDigit(c), sqlWord(c), c == '.' && sqlDigit(second):
		// The longest match wins, and of two that are as long the number.
		number, id := numberLen(rest)
		if name := nameLen(rest); name > number || name == number && callFollows(rest, name) {
			return scanName(tokens, sql, at, at+name)
		}
		return one(id, number)
	default:
		return one(symbolToken(c, second))
	}
}

// scanQuoted takes a quoted item. A doubled quote stands for one, and a
// backslash shields the next byte except within back-ticks. Of two quotes of
// different kinds that stand side by side the first is content, even if it is
// the one that would close: MySQL Proxy has it so. An item that nothing closes
// takes the rest.
func scanQuoted(tokens []token, sql string, at int) ([]token, int) {
	t := token{start: uint32(at + 1), end: uint32(len(sql)), id: tokenString, quote: sql[at]}
	if t.quote == '`' {
		t.id = tokenLiteral
	}
	for i := at + 1; i < len(sql); i++ {
		switch c := sql[i]; {
		case c == '\\' && t.quote != '`':
			if i+1 == len(sql) || sql[i+1] == '\n' {
				t.edited = true
			} else {
				i++
			}
		case c != t.quote:
		case i+1 < len(sql) && sql[i+1] == c:
			t.edited = true
			i++
		case i+1 < len(sql) && sqlQuote(sql[i+1]):
		default:
			t.end = uint32(i)
			return append(tokens, t), i + 1
		}
	}
	return append(tokens, t), len(sql)
}

// scanDashes takes --, which is a comment only if a blank or the line's end
// follows.
func scanDashes(tokens []token, sql string, at int) ([]token, int) {
	rest := sql[at+2:]
	start := at + 2
	switch {
	case strings.HasPrefix(rest, "\n"), strings.HasPrefix(rest, "\r\n"):
		return append(tokens, token{start: uint32(start), end: uint32(start), id: tokenComment}), start
	case rest != "" && (rest[0] == ' ' || rest[0] == '\t'):
		start++
		end := len(sql)
		if i := strings.IndexByte(sql[start:], '\n'); i >= 0 {
			end = start + i
		}
		return append(tokens, token{start: uint32(start), end: uint32(end), id: tokenComment}), end
	}
	return append(tokens,
		token{start: uint32(at), end: uint32(at + 1), id: tokenMinus},
		token{start: uint32(at + 1), end: uint32(at + 2), id: tokenMinus}), at + 2
}

// scanName takes the dotted name sql[at:end]. Its last part is a function if an
// opening brace follows at once, keyword or not.
func scanName(tokens []token, sql string, at, end int) ([]token, int) {
	for start := at; ; {
		stop := end
		if i := strings.IndexByte(sql[start:end], '.'); i >= 0 {
			stop = start + i
		}
		t := token{start: uint32(start), end: uint32(stop), id: wordToken(sql[start:stop])}
		if stop == end {
			if end < len(sql) && sql[end] == '(' {
				t.id = tokenFunction
			}
			return append(tokens, t), end
		}
		tokens = append(tokens, t, token{start: uint32(stop), end: uint32(stop + 1), id: tokenDot})
		start = stop + 1
	}
}

// nameLen is the length of the name that s starts with, of up to three parts
// with dots between them; 0 if there is none.
func nameLen(s string) int {
	n := partLen(s)
	for parts := 1; n > 0 && parts < 3 && n < len(s) && s[n] == '.'; parts++ {
		more := partLen(s[n+1:])
		if more == 0 {
			break
		}
		n += 1 + more
	}
	return n
}

// partLen is the length of the part of a name that s starts with: digits, then
// at least one byte that is none.
func partLen(s string) int {
	n := digitsLen(s)
	if n == len(s) || !sqlWord(s[n]) {
		return 0
	}
	for n < len(s) && (sqlWord(s[n]) || sqlDigit(s[n])) {
		n++
	}
	return n
}

// callFollows tells whether the name s[:n] is called. The brace makes a name
// longer than the number that its bytes could be as well: 1e1( is a function.
func callFollows(s string, n int) bool { return n > 0 && n < len(s) && s[n] == '(' }

// numberLen is the length of the number that s starts with, 0 if there is none.
func numberLen(s string) (n int, id uint16) {
	n, id = digitsLen(s), tokenInteger
	if n < len(s) && s[n] == '.' {
		if more := digitsLen(s[n+1:]); more > 0 {
			n, id = n+1+more, tokenFloat
		}
	}
	if n > 0 && n < len(s) && s[n]|0x20 == 'e' {
		at := n + 1
		if at < len(s) && (s[at] == '+' || s[at] == '-') {
			at++
		}
		if more := digitsLen(s[at:]); more > 0 {
			n, id = at+more, tokenFloat
		}
	}
	return n, id
}

func digitsLen(s string) int {
	n := 0
	for n < len(s) && sqlDigit(s[n]) {
		n++
	}
	return n
}

// symbolToken is the token, and its length, of what starts with c and goes on with
// second, which is 0 at the end.
func symbolToken(c, second byte) (id uint16, n int) {
	switch {
	case c == '<' && second == '=':
		return tokenLE, 2
	case c == '>' && second == '=':
		return tokenGE, 2
	case c == '<' && second == '>', c == '!' && second == '=':
		return tokenNE, 2
	case c == ':' && second == '=':
		return tokenAssign, 2
	case c == '&' && second == '&':
		return tokenLogicalAnd, 2
	case c == '|' && second == '|':
		return tokenLogicalOr, 2
	}
	switch c {
	case '<':
		return tokenLT, 1
	case '>':
		return tokenGT, 1
	case '=':
		return tokenEQ, 1
	case ',':
		return tokenComma, 1
	case '.':
		return tokenDot, 1
	case '(':
		return tokenOBrace, 1
	case ')':
		return tokenCBrace, 1
	case ';':
		return tokenSemicolon, 1
	case '*':
		return tokenStar, 1
	case '+':
		return tokenPlus, 1
	case '-':
		return tokenMinus, 1
	case '/':
		return tokenDiv, 1
	case '&':
		return tokenBitwiseAnd, 1
	case '|':
		return tokenBitwiseOr, 1
	case '^':
		return tokenBitwiseXor, 1
	}
	return tokenUnknown, 1
}

func sqlSpace(c byte) bool { return c == ' ' || c-'\t' < 5 }
func sqlDigit(c byte) bool { return c-'0' < 10 }
func sqlQuote(c byte) bool { return c == '\'' || c == '"' || c == '`' }

// sqlWord tells whether c can stand in a name at any place.
func sqlWord(c byte) bool { return c|0x20-'a' < 26 || c == '_' || c == '@' }
