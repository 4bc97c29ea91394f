package packet

import "bytes"

// This file reads comments, and what is not one: code for some servers, hints
// for the optimizer, hints for the proxy.

// skipLine skips the comment that goes to the end of the line, or, to some
// servers, to a NUL. It returns false if it has failed.
func (l *lexer) skipLine(i int) bool {
	end := len(l.sql)
	if n := bytes.IndexByte(l.sql[i:], '\n'); n >= 0 {
		end = i + n + 1
	}
	if bytes.IndexByte(l.sql[i:end], 0) >= 0 {
		l.fail()
		return false
	}
	l.pos = end
	return true
}

// dashes reads a '-', which begins a comment if another one and a space or
// control character follow. It returns false if there is a token now.
func (l *lexer) dashes(i int) bool {
	if i+1 < len(l.sql) && l.sql[i+1] == '-' {
		switch {
		case i+2 >= len(l.sql) || l.sql[i+2] <= ' ' || l.sql[i+2] == 0x7F:
			return l.skipLine(i)
		case l.sql[i+2] >= 0x80: // a space in latin1, a letter elsewhere
			l.fail()
			return false
		}
	}
	l.set(tokenPunct, i, i+1)
	return false
}

// comment skips the comment at i. It returns false if it has failed.
func (l *lexer) comment(i int) bool {
	body := l.sql[i+2:]
	n := bytes.Index(body, []byte("*/"))
	if n < 0 || len(body) > 0 && body[0] == '/' || l.inCode {
		l.fail()
		return false
	}
	body = body[:n]
	if bytes.IndexByte(body, 0) >= 0 {
		l.fail()
		return false
	}
	l.pos = i + 2 + n + 2
	if n == 0 {
		return true
	}
	switch {
	case body[0] == '!' || n > 1 && (body[0] == 'M' || body[0] == 'm') && body[1] == '!':
		return l.conditional(i, body)
	case body[0] == '+':
		return l.optimizerHint(body)
	case l.hinting:
		if l.hint == HintNone {
			l.hint = hintOf(body)
		}
		if from, to, ok := hintValue(body, "gtid"); ok && l.gtids[1] == 0 {
			l.gtids = [2]int32{int32(i + 2 + from), int32(i + 2 + to)}
		}
	}
	return true
}

// conditional reads the body of a comment that is code to some servers. If it
// is plain enough not to change how the text behind it is read, its words are
// tokens like others.
func (l *lexer) conditional(i int, body []byte) bool {
	l.code++
	for _, c := range body {
		switch byteClasses[c] {
		case classWord, classDigit, classSpace, classAt, classDot:
		default:
			if c != '=' && c != ',' && c != '(' && c != ')' && c != '!' {
				l.fail()
				return false
			}
		}
	}
	l.inCode = true
	l.pos = i + 2 + bytes.IndexByte(body, '!') + 1
	for l.pos < len(l.sql) && byteClasses[l.sql[l.pos]] == classDigit {
		l.pos++
	}
	l.tok = 0
	return true
}

// optimizerHint looks for hints that set variables. Names in it may be quoted;
// it fails if the comment's end is inside of such a name, since then the
// servers see another end.
func (l *lexer) optimizerHint(body []byte) bool {
	for i := 1; i < len(body); i++ {
		c := body[i]
		switch byteClasses[c] {
		case classQuote, classDouble, classBack:
			n := bytes.IndexByte(body[i+1:], c)
			if n < 0 || bytes.IndexByte(body[i+1:i+1+n], '\\') >= 0 {
				l.fail()
				return false
			}
			i += n + 1
		case classWord:
			j := i
			for j < len(body) && inWord(body[j]) {
				j++
			}
			if equalFold(body[i:j], "set_var") || equalFold(body[i:j], "resource_group") {
				l.optimizer = true
			}
			i = j - 1
		}
	}
	return true
}

// hintOf reads a comment's body such as " route=primary ".
func hintOf(body []byte) Hint {
	from, to, _ := hintValue(body, "route")
	switch value := body[from:to]; {
	case equalFold(value, "primary"):
		return HintPrimary
	case equalFold(value, "replica"):
		return HintReplica
	}
	return HintNone
}

// hintValue is where the value in a comment's body such as " key=value " lies.
func hintValue(body []byte, key string) (from, to int, ok bool) {
	skip := func() {
		for from < len(body) && byteClasses[body[from]] == classSpace {
			from++
		}
	}
	skip()
	if len(body)-from <= len(key) || !equalFold(body[from:from+len(key)], key) {
		return 0, 0, false
	}
	from += len(key)
	skip()
	if from == len(body) || body[from] != '=' {
		return 0, 0, false
	}
	from++
	skip()
	return from, from + len(bytes.TrimRight(body[from:], " \t\n\v\f\r")), true
}
