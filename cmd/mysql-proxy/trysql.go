package main

import (
	"fmt"
	"strconv"
	"strings"

	"mysqlproxy/packet"
)

// This file has what `mysql-proxy test` runs: SQL statements, and commands of
// the protocol that have no SQL, written with a backslash.

// tryStatements is what runs if no file is given: reads, a write, a
// transaction and a prepared statement.
const tryStatements = `SELECT @@server_id;
SELECT 1;
SELECT name FROM customers WHERE id = 42;
\prepare SELECT ?
\execute 42
\close
INSERT INTO customers (name) VALUES ('Ada');
SELECT LAST_INSERT_ID();
BEGIN;
SELECT name FROM customers WHERE id = 42 FOR UPDATE;
UPDATE customers SET name = 'Grace' WHERE id = 42;
COMMIT;
SELECT name FROM customers WHERE id = 42;
`

// tryStatement is one thing that the client does.
type tryStatement struct {
	text string // as it was written, for people
	line int    // where it begins
	// verb is that of a line with a backslash, empty for SQL; arg is what
	// follows it.
	verb, arg string
	params    []*string // of \execute; nil is NULL
}

// tryVerbs are the lines with a backslash: whether they need an argument, may
// have one.
var tryVerbs = map[string]struct{ needs, may bool }{
	"use": {true, true}, "user": {true, true}, "prepare": {true, true}, "execute": {false, true},
	"ping": {}, "reset": {}, "close": {}, "connect": {},
}

// parseStatements cuts a file into statements. One ends with a semicolon at a
// line's end; comments stay in the statement that they stand before or in.
func parseStatements(file string) (list []tryStatement, err error) {
	var text strings.Builder
	begun := 0
	end := func() {
		if s := strings.TrimSpace(text.String()); s != "" {
			list = append(list, tryStatement{text: s, line: begun})
		}
		text.Reset()
		begun = 0
	}
	for i, line := range strings.Split(file, "\n") {
		line = strings.TrimRight(line, " \t\r")
		bare := strings.TrimLeft(line, " \t")
		if strings.HasPrefix(bare, `\`) && isComment(text.String()) {
			text.Reset()
			begun = 0
			st, err := parseVerb(bare)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			st.line = i + 1
			list = append(list, st)
			continue
		}
		if begun == 0 && bare != "" {
			begun = i + 1
		}
		if strings.HasPrefix(bare, "--") || strings.HasPrefix(bare, "#") {
			text.WriteString(line + "\n")
			continue
		}
		body, ended := strings.CutSuffix(line, ";")
		text.WriteString(body + "\n")
		if ended {
			end()
		}
	}
	if !isComment(text.String()) {
		end()
	}
	return list, nil
}

// parseVerb reads a line with a backslash.
func parseVerb(line string) (st tryStatement, err error) {
	line = strings.TrimSpace(strings.TrimSuffix(line, ";"))
	verb, arg, _ := strings.Cut(line[1:], " ")
	arg = strings.TrimSpace(arg)
	rule, known := tryVerbs[verb]
	switch {
	case !known:
		return st, fmt.Errorf(`\%s is unknown; there are \use, \user, \prepare, \execute, \close, \ping, \reset and \connect`, clip(verb))
	case rule.needs && arg == "":
		return st, fmt.Errorf(`\%s needs something behind it`, verb)
	case !rule.may && arg != "":
		return st, fmt.Errorf(`nothing may stand behind \%s`, verb)
	}
	st = tryStatement{text: line, verb: verb, arg: arg}
	if verb == "execute" {
		st.params, err = parseParams(arg)
	}
	return st, err
}

// parseParams reads values with commas between them: numbers, words, strings
// in single quotes, NULL.
func parseParams(s string) (list []*string, err error) {
	for s = strings.TrimSpace(s); s != ""; {
		var value string
		quoted := s[0] == '\''
		if quoted {
			n := strings.IndexByte(s[1:], '\'')
			if n < 0 {
				return nil, fmt.Errorf("the quote in %s does not end", clip(s))
			}
			value, s = s[1:n+1], strings.TrimSpace(s[n+2:])
			if s != "" && s[0] != ',' {
				return nil, fmt.Errorf("there is no comma before %s", clip(s))
			}
			s = strings.TrimPrefix(s, ",")
		} else {
			value, s, _ = strings.Cut(s, ",")
			value = strings.TrimSpace(value)
		}
		if s = strings.TrimSpace(s); !quoted && strings.EqualFold(value, "NULL") {
			list = append(list, nil)
		} else {
			list = append(list, &value)
		}
	}
	return list, nil
}

// isComment tells whether s has nothing but blanks and comments.
func isComment(s string) bool { return skipComments(s) == "" }

// skipComments cuts blanks and comments off the front of s. A comment with
// code in it, /*! */, is none.
func skipComments(s string) string {
	for {
		s = strings.TrimLeft(s, " \t\r\n")
		switch {
		case strings.HasPrefix(s, "--"), strings.HasPrefix(s, "#"):
			_, s, _ = strings.Cut(s, "\n")
		case strings.HasPrefix(s, "/*") && !strings.HasPrefix(s, "/*!"):
			if _, after, ok := strings.Cut(s[2:], "*/"); ok {
				s = after
			} else {
				return ""
			}
		default:
			return s
		}
	}
}

// sqlWords are the first n words of a statement, in capitals.
func sqlWords(sql string, n int) []string {
	sql = strings.TrimLeft(skipComments(sql), "( \t\r\n")
	words := make([]string, n)
	for i := range words {
		end := strings.IndexFunc(sql, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_')
		})
		if end < 0 {
			end = len(sql)
		}
		words[i] = strings.ToUpper(sql[:end])
		sql = skipComments(sql[end:])
	}
	return words
}

// describeCommand is a command's payload for people: SQL as it is, all else
// with the command's name.
func describeCommand(payload []byte) string {
	if len(payload) == 0 {
		return "a command without a byte"
	}
	code, arg := packet.Command(payload[0]), payload[1:]
	switch code {
	case packet.ComQuery:
		return string(arg)
	case packet.ComInitDB, packet.ComStmtPrepare:
		return code.String() + " " + string(arg)
	case packet.ComStmtExecute, packet.ComStmtClose, packet.ComStmtReset:
		if len(arg) >= 4 {
			return code.String() + " of statement " + strconv.FormatUint(uint64(le32(arg)), 10)
		}
	case packet.ComChangeUser:
		if user, _, ok := packet.NulString(arg); ok {
			return code.String() + " to " + string(user)
		}
	}
	return code.String()
}

func le32(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}
