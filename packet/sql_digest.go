package packet

import (
	"encoding/binary"
	"math/bits"
	"strings"
)

// This file is what statements have in common that differ in their literals
// only: their digest, a text and its hash.
//
//	SELECT a FROM t WHERE id IN (1, 2) -- x     SELECT a FROM t WHERE id IN (?)
//	insert into t values (1, 'x'), (-2, null)   INSERT INTO t VALUES (?)
//
// Comments are gone, space is what reads well. Keywords and built-in functions
// are in upper case, names as they stand. A literal is a ?, as is the marker of a
// prepared statement and as are several literals with commas between them; rows
// that are alike are one. What is taken back of that, once it is known that it
// repeats what is there, is taken back by going to a mark set before it.

// DigestBytes is up to how many bytes of a statement are read for its digest.
const DigestBytes = 4 << 10

// MaxDigestText is how long a digest's text is at most, in bytes.
const MaxDigestText = 1 << 10

// Digest is the hash of sql's digest, the same for all statements with the same
// one, in each run of the program. It is made for figures, not against people who
// look for statements that share one. Of a text that is longer than 4 KiB, or
// cannot be read with certainty from some byte on, it is that of what is before.
// What is in "" is a literal unless lex has LexAnsiQuotes. It allocates nothing and
// keeps nothing of sql.
func Digest(sql []byte, lex Lex) uint64 {
	d := digester{}
	d.run(sql, lex)
	return d.sum()
}

// AppendDigestText appends the text of sql's digest, MaxDigestText bytes at most.
// No literal is in it. It ends in "..." if there was more of it.
func AppendDigestText(dst, sql []byte, lex Lex) []byte {
	d := digester{writes: true, text: dst}
	d.run(sql, lex)
	if len(d.text)-len(dst) > MaxDigestText {
		d.text = append(d.text[:runeStart(d.text, len(dst)+MaxDigestText-len(" ..."))], " ..."...)
	}
	return d.text
}

// runeStart is the last place up to at where a character of UTF-8 begins, as far
// as text is that.
func runeStart(text []byte, at int) int {
	for i := at; i > at-4 && i > 0; i-- {
		if text[i]&0xC0 != 0x80 {
			return i
		}
	}
	return at
}

// item is what the digest has of a token; what stands beside it depends on it.
type item uint8

const (
	itemNone    item = iota // nothing yet
	itemKeyword             // a word that is no name
	itemTruth               // IS, NOT: what follows is no literal
	itemRows                // VALUES: rows follow
	itemName
	itemFunction
	itemLiteral
	itemOpen
	itemClose
	itemComma
	itemDot
	itemAt
	itemSign // + -
	itemEnd  // ; with more behind it
	itemOther
	items // their number
)

// operand tells whether a + or - behind the item is one between two operands.
func (i item) operand() bool {
	switch i {
	case itemName, itemFunction, itemLiteral, itemClose:
		return true
	}
	return false
}

// digestMark is a place that the digest can be taken back to.
type digestMark struct {
	h    uint64
	text int // length
	prev item
	set  bool
}

// digester makes one digest.
type digester struct {
	lexer
	h      uint64
	prev   item
	writes bool // the text is wanted
	cut    bool // sql goes on behind what is read
	ended  bool // a ';' has been met: it counts if something follows
	text   []byte

	before   digestMark // before a name that turns out to be a function if a '(' follows
	folds    token      // and that word
	at, till int        // where it stands
	comma    digestMark // before the comma behind a literal that stands alone
	alone    bool       // the literal does: what is before it is no operator
	goesOn   bool       // and it is behind such a comma
	sign     digestMark // before a + or - that may be a literal's

	// A row begins behind VALUES, at the parenthesis within one, and behind the
	// comma behind a row. Within it h is that of the row alone.
	rows  digestMark // before the comma behind a row; h is that of all but rows
	outer uint64     // h before the row
	row   uint64     // that of the row before
	depth int        // of parentheses within the row, 0 outside
	after bool       // directly behind a row
	again bool       // this row is behind another
}

const (
	digestSeed  = 0x9E3779B97F4A7C15
	digestPrime = 0xD6E8FEB86659FD93
)

// mix adds v to h. Both are found again in what it returns.
func mix(h, v uint64) uint64 {
	h = (h ^ v) * digestPrime
	return h ^ h>>32
}

// sum is the hash of all that was read.
func (d *digester) sum() uint64 {
	h := d.h ^ d.h>>29
	return h * digestSeed
}

// run reads sql.
func (d *digester) run(sql []byte, lex Lex) {
	if len(sql) > DigestBytes {
		sql, d.cut = sql[:DigestBytes], true
	}
	if lex&(LexMultiByte|LexUnknownCharset) != 0 {
		if n := readable(sql); n < len(sql) {
			sql, d.cut = sql[:n], true
		}
	}
	d.sql, d.lex, d.h = sql, lex, digestSeed
	d.ansiKnown = true // what "" quotes is a literal unless ANSI_QUOTES is known to be in force
	for {
		d.next()
		if d.tok.kind() == tokenEnd || d.cut && d.end == len(sql) {
			break
		}
		d.take()
	}
	d.repeats()
	if d.bad || d.cut {
		d.unfinished()
	}
	if d.depth > 0 {
		d.h = mix(d.outer, d.h)
	}
	if d.bad || d.cut {
		d.h = mix(d.h, digestPrime)
	}
}

// readable is how many bytes of sql are surely read as the server does where a
// byte below 0x80 can be the end of a character.
func readable(sql []byte) int {
	for i := 0; i+1 < len(sql); i++ {
		if sql[i] >= 0x80 && (sql[i+1] == '\\' || sql[i+1] == '`') {
			return i
		}
	}
	return len(sql)
}

// take adds the present token.
func (d *digester) take() {
	if d.ended && !d.tok.is(';') {
		d.ended = false
		d.put(itemEnd, ';')
	}
	switch d.tok.kind() {
	case tokenWord:
		d.takeWord()
	case tokenNumber, tokenString:
		d.literal()
	case tokenDouble:
		if d.lex&LexAnsiQuotes == 0 {
			d.literal()
			return
		}
		d.name(itemName)
	case tokenQuoted:
		d.name(itemName)
	case tokenVariable:
		d.put(itemAt, '@')
	case tokenSystem:
		d.put(itemAt, '@')
		d.put(itemAt, '@')
	case tokenPunct:
		d.punct(d.tok.c())
	}
}

// punct adds a byte that stands for itself.
func (d *digester) punct(c byte) {
	switch c {
	case '(':
		d.open()
	case ')':
		d.repeats()
		d.close()
	case ',':
		d.repeats()
		d.comma.set = false
		switch {
		case d.prev == itemLiteral && d.alone:
			d.comma = d.mark()
		case d.after:
			d.rows = d.mark()
		}
		again := d.after
		d.put(itemComma, c)
		d.after = again
	case '.':
		d.put(itemDot, c)
	case ';':
		d.repeats()
		d.ended = true
	case '?':
		d.literal()
	case '+', '-':
		switch {
		case d.prev.operand():
			d.sign.set = false
		case d.prev != itemSign || !d.sign.set:
			d.sign = d.mark()
		}
		d.put(itemSign, c)
	default:
		d.put(itemOther, c)
	}
}

// open is a '('. The name before it is a function if it is known as one.
func (d *digester) open() {
	if d.prev == itemName && d.before.set {
		t, start, end := d.tok, d.start, d.end
		d.back(d.before)
		d.tok, d.start, d.end = d.folds, d.at, d.till
		d.folded(itemFunction)
		d.tok, d.start, d.end = t, start, end
	}
	begins := d.prev == itemRows || d.prev == itemOpen || d.prev == itemComma && d.after
	again := d.prev == itemComma && d.after
	d.put(itemOpen, '(')
	switch {
	case d.depth > 0:
		d.depth++
	case begins:
		d.outer, d.h, d.depth, d.again = d.h, digestSeed, 1, again
	}
}

// close is a ')'. A row like the one before it is taken back.
func (d *digester) close() {
	d.put(itemClose, ')')
	if d.depth == 0 {
		return
	}
	if d.depth--; d.depth > 0 {
		return
	}
	row := d.h
	if d.again && d.rows.set && row == d.row {
		d.back(d.rows)
	} else {
		d.h = mix(d.outer, row)
	}
	d.row, d.after, d.again = row, true, false
}

// literal adds a literal, unless it goes on from the one before.
func (d *digester) literal() {
	if d.prev == itemSign && d.sign.set {
		d.back(d.sign)
		d.sign.set = false
	}
	if d.prev == itemLiteral { // 'a' 'b'
		return
	}
	d.goesOn = d.prev == itemComma && d.comma.set
	switch d.prev {
	case itemComma, itemOpen, itemKeyword, itemNone:
		d.alone = true
	default:
		d.alone = false
	}
	d.put(itemLiteral, '?')
}

// repeats takes a literal back that only adds to a list of them. It is called when
// what comes next is none that it could be an operand of.
func (d *digester) repeats() {
	if d.prev == itemLiteral && d.goesOn {
		d.back(d.comma)
		d.goesOn = false
	}
}

// takeWord adds a word.
func (d *digester) takeWord() {
	flags := d.tok.flags()
	switch {
	case d.prev == itemDot || d.prev == itemAt:
		d.name(itemName)
		return
	case (d.prev == itemNone || d.prev == itemEnd) && (d.tok.id() != wordNone || flags != 0): // the verb
		d.folded(itemKeyword)
		return
	case d.end == d.start+1 && d.end < len(d.sql) && d.sql[d.end] == '\'':
		switch d.tok.c() | 0x20 {
		case 'x', 'b', 'n': // x'ff': the string is the literal
			return
		}
	}
	switch d.tok.id() {
	case wordNull, wordTrue, wordFalse:
		if d.prev == itemTruth {
			d.folded(itemKeyword)
		} else {
			d.literal()
		}
		return
	case wordNot:
		d.repeats()
		d.folded(itemTruth)
		return
	case wordValues, wordValue:
		d.folded(itemRows)
		return
	}
	switch {
	case flags&inUpperCase != 0:
		d.repeats()
		if d.end == d.start+2 && d.sql[d.start]|0x20 == 'i' && d.sql[d.start+1]|0x20 == 's' {
			d.folded(itemTruth)
			return
		}
		d.folded(itemKeyword)
	case flags&(okBoth|ofSession) != 0:
		m := d.mark()
		d.name(itemName)
		d.before, d.folds, d.at, d.till = m, d.tok, d.start, d.end
	default:
		d.name(itemName)
	}
}

// put adds a byte.
func (d *digester) put(i item, c byte) {
	d.h = mix(d.h, uint64(i)<<8|uint64(c))
	if d.writes {
		if !(i == itemOther && d.prev == itemOther && glued(d.text[len(d.text)-1], c)) {
			d.space(i)
		}
		d.text = append(d.text, c)
	}
	d.prev, d.after, d.before.set = i, false, false
}

// name adds the present token as it stands.
func (d *digester) name(i item) { d.add(i, 0) }

// folded adds the present word, whose letters are all ASCII or of no known word,
// without regard to their case.
func (d *digester) folded(i item) { d.add(i, foldBytes) }

// add adds the present token, with fold in each eight of its bytes.
func (d *digester) add(i item, fold uint64) {
	b := d.sql[d.start:d.end]
	h := d.h ^ bits.RotateLeft64(uint64(len(b))<<8|uint64(i), 40)
	if len(b) < 8 {
		var v uint64
		if d.start+8 <= len(d.sql) {
			v = binary.LittleEndian.Uint64(d.sql[d.start:]) & (^uint64(0) >> (64 - 8*uint(len(b))))
		} else {
			for j := len(b) - 1; j >= 0; j-- {
				v = v<<8 | uint64(b[j])
			}
		}
		h = mix(h, v|fold)
	} else {
		for p := b; len(p) > 8; p = p[8:] {
			h = mix(h, binary.LittleEndian.Uint64(p)|fold)
		}
		h = mix(h, binary.LittleEndian.Uint64(b[len(b)-8:])|fold)
	}
	d.h = h
	if d.writes {
		d.space(i)
		from := len(d.text)
		d.text = append(d.text, b...)
		if fold != 0 {
			for j, c := range d.text[from:] {
				if c >= 'a' && c <= 'z' {
					d.text[from+j] = c - 0x20
				}
			}
		}
	}
	d.prev, d.after, d.before.set = i, false, false
}

// space puts space before an item where one reads better, and where there has to
// be one.
func (d *digester) space(i item) {
	switch d.prev {
	case itemNone, itemDot, itemAt, itemOpen:
		return
	case itemName, itemFunction:
		if i == itemOpen {
			return
		}
	}
	switch i {
	case itemComma, itemClose, itemDot, itemEnd:
		return
	case itemAt:
		if d.prev == itemName || d.prev == itemLiteral { // user@host
			return
		}
	}
	d.text = append(d.text, ' ')
}

// glued tells whether c behind b is one operator with it, as in <= and :=. None of
// these begins a comment.
func glued(b, c byte) bool {
	return strings.IndexByte("<>=!:|&", b) >= 0 && strings.IndexByte("<>=|&", c) >= 0
}

// mark is the present place.
func (d *digester) mark() digestMark {
	return digestMark{h: d.h, text: len(d.text), prev: d.prev, set: true}
}

// back takes back what has come since m.
func (d *digester) back(m digestMark) {
	d.h, d.prev, d.text = m.h, m.prev, d.text[:m.text]
	d.before.set = false
}

// unfinished ends a digest of which more would follow. What may have been taken
// back is: where it ends by chance makes no difference then.
func (d *digester) unfinished() {
	if d.prev == itemSign && d.sign.set {
		d.back(d.sign)
	}
	switch {
	case d.depth > 0 && d.again && d.rows.set:
		d.back(d.rows)
		d.depth = 0
	case d.prev == itemComma && d.comma.set:
		d.back(d.comma)
	case d.prev == itemComma && d.rows.set && d.after:
		d.back(d.rows)
	}
	if d.writes {
		if len(d.text) > 0 {
			d.text = append(d.text, ' ')
		}
		d.text = append(d.text, "..."...)
	}
}
