package packet

import "strconv"

// This file has what Classify does not say of a statement because it would have
// to allocate: names.

// names is a lexer with what the functions here have in common.
type names struct {
	lexer
	sure bool // all that was asked for has been found
}

// namesOf starts at the first token of sql.
func namesOf(sql []byte, lex Lex) names {
	var n names
	n.sql, n.lex = sql, lex
	n.ansiKnown = lex&(LexAnsiQuotes|LexMariaDB) != 0
	n.sure = lex&LexUnknownCharset == 0
	n.next()
	return n
}

func (n *names) ended() bool { return n.tok.kind() == tokenEnd || n.tok.is(';') }

// certain says whether the text was read as the server reads it.
func (n *names) certain() bool {
	return n.sure && !n.bad && !n.ambiguous && n.code == 0
}

// take moves on if the present token is the word id.
func (n *names) take(id wordID) bool {
	if n.tok.id() != id {
		return false
	}
	n.next()
	return true
}

// identifier takes a name, as it is called.
func (n *names) identifier() (string, bool) {
	if !n.tok.named() || n.start == n.end {
		return "", false
	}
	b := n.sql[n.start:n.end]
	name := string(b)
	if n.tok.kind() != tokenWord {
		name = unquote(b)
	}
	if n.lex&LexMultiByte != 0 && !ascii(b) {
		n.sure = false
	}
	n.next()
	return name, name != ""
}

// table takes database.table or table, as they are called.
func (n *names) table() (string, bool) {
	name, ok := n.identifier()
	if !ok {
		return "", false
	}
	if n.tok.is('.') {
		n.next()
		second, ok := n.identifier()
		if !ok {
			return "", false
		}
		name += "." + second
	}
	return name, true
}

// lowerASCII leaves bytes that are not ASCII alone: their character set is not
// known here.
func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}

// skip moves behind the end of the statement.
func (n *names) skip() {
	for !n.ended() {
		n.next()
	}
	if n.tok.is(';') {
		n.next()
	}
}

// UseDatabase returns the name of a USE statement, as it is called and not as
// it is quoted: the last one if there are several. ok is false if it cannot be
// told.
func UseDatabase(sql []byte, lex Lex) (name string, ok bool) {
	n := namesOf(sql, lex)
	for n.tok.kind() != tokenEnd {
		if n.take(wordUse) {
			name, ok = n.identifier()
			if !ok || !n.ended() {
				return "", false
			}
		}
		n.skip()
	}
	effects := Classify(sql, lex).Effects
	if !ok || !n.certain() || effects&EffectUse == 0 || effects&EffectUnknown != 0 {
		return "", false
	}
	return name, true
}

// TemporaryTables returns the names of the temporary tables that a statement
// creates and of the tables, temporary or not, that it drops:
// "database.table" or "table", as they are called and not as they are
// quoted. Whether names that differ in case are one is up to the server. ok is
// false if not all of them can be told.
func TemporaryTables(sql []byte, lex Lex) (created, dropped []string, ok bool) {
	n := namesOf(sql, lex)
	for n.tok.kind() != tokenEnd {
		switch {
		case n.take(wordCreate):
			if n.take(wordOr) {
				n.take(wordReplace)
			}
			if n.take(wordTemporary) {
				created = n.created(created)
			}
		case n.take(wordDrop):
			n.take(wordTemporary)
			if n.take(wordTable) || n.take(wordTables) || n.take(wordSequence) {
				dropped = n.dropped(dropped)
			}
		}
		n.skip()
	}
	effects := Classify(sql, lex).Effects
	ok = n.certain() && effects&(EffectUnknown|EffectRenameTable) == 0 &&
		(effects&EffectTemporary != 0) == (len(created) > 0) && (effects&EffectDropTable != 0) == (len(dropped) > 0)
	return created, dropped, ok
}

// created is behind CREATE TEMPORARY.
func (n *names) created(list []string) []string {
	if !n.take(wordTable) && !n.take(wordSequence) {
		n.sure = false
		return list
	}
	if n.take(wordIf) {
		n.take(wordNot)
		n.take(wordExists)
	}
	name, ok := n.table()
	if !ok {
		n.sure = false
		return list
	}
	return append(list, name)
}

// dropped is behind DROP TABLE.
func (n *names) dropped(list []string) []string {
	if n.take(wordIf) {
		n.take(wordExists)
	}
	for {
		name, ok := n.table()
		if !ok {
			n.sure = false
			return list
		}
		list = append(list, name)
		if !n.tok.is(',') {
			break
		}
		n.next()
	}
	if !n.ended() && n.tok.id() != wordRestrict && n.tok.id() != wordCascade && n.tok.id() != wordWait && n.tok.id() != wordNowait {
		n.sure = false
	}
	return list
}

// NamedLocks returns the names, in lower case, that a statement takes by
// GET_LOCK and releases by RELEASE_LOCK; all is set if it releases all. ok is
// false if not all of it can be told: when a name is not a literal, when the
// statement reads tables and so may take a lock for each row, or when there is
// more to it than a list of such calls, so that a release may not come to pass.
func NamedLocks(sql []byte, lex Lex) (taken, released []string, all, ok bool) {
	n := namesOf(sql, lex)
	plain := n.take(wordSelect) || n.take(wordDo) // a list of calls and nothing else so far
	for n.tok.kind() != tokenEnd {
		id := n.tok.id()
		if id == wordFrom {
			n.sure = false
		}
		if id != wordGetLock && id != wordReleaseLock && id != wordReleaseAllLocks {
			plain = plain && n.ended()
			n.next()
			continue
		}
		if n.next(); !n.tok.is('(') {
			n.sure = false
			continue
		}
		n.next()
		switch name, literal := n.lockName(id); {
		case id == wordReleaseAllLocks:
			all = true
		case !literal:
			n.sure = false
		case id == wordGetLock:
			taken = append(taken, name)
		default:
			released = append(released, name)
		}
		plain = n.callEnds() && plain
	}
	st := Classify(sql, lex)
	ok = n.certain() && !st.Many && st.Effects&EffectUnknown == 0
	if len(released) > 0 || all {
		// In which order, and whether at all, is only clear for a plain list
		// that does not take any.
		ok = ok && plain && len(taken) == 0
	}
	return taken, released, all, ok && (all || len(taken)+len(released) > 0)
}

// lockName takes the name at the beginning of a call's arguments, if it is a
// literal.
func (n *names) lockName(of wordID) (string, bool) {
	if n.tok.kind() != tokenString && n.tok.kind() != tokenDouble {
		return "", false
	}
	b := n.sql[n.start:n.end]
	for _, c := range b {
		if c == '\\' || c >= 0x80 {
			return "", false
		}
	}
	name := lowerASCII(unquote(b))
	n.next()
	if of == wordGetLock {
		return name, n.tok.is(',')
	}
	return name, n.tok.is(')')
}

// callEnds takes the rest of a call, an alias, and a ',' if one follows. It
// returns false if there is more to it.
func (n *names) callEnds() bool {
	plain := true
	for !n.ended() && !n.tok.is(')') {
		switch {
		case n.tok.id() == wordGetLock, n.tok.id() == wordReleaseLock, n.tok.id() == wordReleaseAllLocks:
			n.sure = false // one within the other
		case n.tok.is('('):
			plain = false
		}
		n.next()
	}
	n.next()
	if n.take(wordAs) || n.tok.named() && n.tok.id() == wordNone {
		if _, ok := n.identifier(); !ok {
			return false
		}
	}
	if n.tok.is(',') {
		n.next()
		return plain
	}
	return plain && n.ended()
}

// KillTarget finds the number of the thread that a KILL is for: sql[start:end]. ok
// is false if it is for a query's number or a user, or the thread is an expression.
func KillTarget(sql []byte, lex Lex) (thread uint32, start, end int, ok bool) {
	n := namesOf(sql, lex)
	if !n.take(wordKill) {
		return 0, 0, 0, false
	}
	for range 2 { // HARD or SOFT, CONNECTION or QUERY
		if n.tok.kind() != tokenWord {
			break
		}
		switch word := n.sql[n.start:n.end]; {
		case equalFold(word, "hard"), equalFold(word, "soft"), equalFold(word, "connection"), equalFold(word, "query"):
			n.next()
		}
	}
	if n.tok.kind() != tokenNumber {
		return 0, 0, 0, false
	}
	start, end = n.start, n.end
	id, err := strconv.ParseUint(string(n.sql[start:end]), 10, 32)
	n.next()
	ended := n.ended()
	n.skip()
	if err != nil || !ended || n.tok.kind() != tokenEnd || !n.certain() {
		return 0, 0, 0, false
	}
	return uint32(id), start, end, true
}
