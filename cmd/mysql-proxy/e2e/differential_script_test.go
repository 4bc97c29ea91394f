package e2e

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A script is what one client does in one session, a command a line. A line is
// a statement for COM_QUERY, or begins with a colon:
//
//	:query "Go string"            a statement that is no plain line
//	:load "content" STATEMENT     a statement that is answered with a file if it asks for one
//	:hidden STATEMENT             its rows are not compared, not even their number
//	:prepare SLOT STATEMENT       COM_STMT_PREPARE; the statement is SLOT from now on
//	:execute SLOT PARAM...        COM_STMT_EXECUTE; "cursor" or "typeless" may stand before the PARAMs
//	:last PARAM...                COM_STMT_EXECUTE of the statement prepared last, by MariaDB's id for it
//	:bulk SLOT INT TEXT...        MariaDB's COM_STMT_BULK_EXECUTE with pairs of values
//	:long SLOT INDEX "bytes"      COM_STMT_SEND_LONG_DATA
//	:fetch SLOT N                 COM_STMT_FETCH
//	:rewind SLOT, :close SLOT     COM_STMT_RESET, COM_STMT_CLOSE
//	:init NAME                    COM_INIT_DB
//	:fields "table\x00wildcard"   COM_FIELD_LIST
//	:option N                     COM_SET_OPTION
//	:user NAME                    COM_CHANGE_USER: app, other, or wrong (a wrong password)
//	:ping, :reset, :raw N "bytes" COM_PING, COM_RESET_CONNECTION, any command with one packet as its response
//	:pause                        nothing for a while, in which replicas may catch up
//
// A PARAM is i5 (INT), L5 (BIGINT), y5 (TINYINT), d1.5 (DOUBLE), s"text", b"bytes"
// (BLOB), n (NULL) or l (long data). "+ " before all sends the command together
// with the next one, its response is read afterwards.
//
// In statements, {db} is the run's own database, {ro} one that is never written
// while scripts run, {tid} the connection's thread id as the greeting told it.
//
// Every line stands for itself: any can be left out and the rest is still a
// script. That is what shrinking needs.
type step struct {
	verb     string // without the colon
	ahead    bool
	slot     int // of a statement; a number for the verbs that have one
	text     string
	data     string
	params   []param
	shown    string // params as they were written
	cursor   bool
	typeless bool
}

// parseStep reads a line.
func parseStep(line string) (s step, err error) {
	rest := line
	if after, ok := strings.CutPrefix(rest, "+ "); ok {
		s.ahead, rest = true, after
	}
	if !strings.HasPrefix(rest, ":") {
		s.verb, s.text = "query", rest
		return s, nil
	}
	s.verb, rest, _ = strings.Cut(rest[1:], " ")
	number := func() {
		word, after, _ := strings.Cut(rest, " ")
		n, e := strconv.Atoi(word)
		if e != nil && err == nil {
			err = fmt.Errorf("%s: %w", line, e)
		}
		s.slot, rest = n, after
	}
	quoted := func() string {
		q, e := strconv.QuotedPrefix(rest)
		if e != nil {
			if err == nil {
				err = fmt.Errorf("%s: not a Go string: %s", line, rest)
			}
			return ""
		}
		rest = strings.TrimPrefix(rest[len(q):], " ")
		text, _ := strconv.Unquote(q) // QuotedPrefix has checked it
		return text
	}
	switch s.verb {
	case "query", "fields":
		s.text = quoted()
	case "load":
		s.data = quoted()
		s.text = rest
	case "hidden", "init", "user":
		s.text = rest
	case "prepare":
		number()
		s.text = rest
	case "execute", "bulk":
		number()
		s.readParams(&rest, quoted, &err)
	case "last":
		s.readParams(&rest, quoted, &err)
	case "long":
		number()
		slot := s.slot
		number()
		s.params, s.slot = []param{{kind: uint16(s.slot)}}, slot
		s.data = quoted()
	case "fetch":
		number()
		slot := s.slot
		number()
		s.params, s.slot = []param{intParam(uint32(s.slot))}, slot
	case "rewind", "close", "option":
		number()
	case "raw":
		number()
		s.data = quoted()
	case "ping", "reset", "pause":
	default:
		err = fmt.Errorf("%s: no such command", line)
	}
	return s, err
}

func (s *step) readParams(rest *string, quoted func() string, err *error) {
	for {
		if after, ok := strings.CutPrefix(*rest, "cursor"); ok {
			s.cursor, *rest = true, strings.TrimPrefix(after, " ")
		} else if after, ok := strings.CutPrefix(*rest, "typeless"); ok {
			s.typeless, *rest = true, strings.TrimPrefix(after, " ")
		} else {
			break
		}
	}
	s.shown = *rest
	for *rest != "" && *err == nil {
		kind := (*rest)[0]
		*rest = (*rest)[1:]
		if kind == 's' || kind == 'b' {
			s.params = append(s.params, textParam(kind, quoted()))
			continue
		}
		word, after, _ := strings.Cut(*rest, " ")
		*rest = after
		p, e := numberParam(kind, word)
		if e != nil {
			*err = e
		}
		s.params = append(s.params, p)
	}
}

// textParam is a VARCHAR or a BLOB of up to 64 KiB.
func textParam(kind byte, text string) param {
	value := []byte{byte(len(text))}
	if len(text) > 250 {
		value = binary.LittleEndian.AppendUint16([]byte{0xFC}, uint16(len(text)))
	}
	p := param{kind: 253, value: append(value, text...)}
	if kind == 'b' {
		p.kind = 252
	}
	return p
}

func numberParam(kind byte, word string) (param, error) {
	switch kind {
	case 'n':
		return nullParam(), nil
	case 'l':
		return longParam(), nil
	case 'd':
		f, err := strconv.ParseFloat(word, 64)
		return param{kind: 5, value: binary.LittleEndian.AppendUint64(nil, math.Float64bits(f))}, err
	}
	n, err := strconv.ParseInt(word, 10, 64)
	switch kind {
	case 'i':
		return intParam(uint32(n)), err
	case 'L':
		return param{kind: 8, value: binary.LittleEndian.AppendUint64(nil, uint64(n))}, err
	case 'y':
		return param{kind: 1, value: []byte{byte(n)}}, err
	}
	return param{}, fmt.Errorf("no parameter begins with %q", kind)
}

// String is the line that parseStep reads.
func (s step) String() string {
	text := s.line()
	if s.ahead {
		return "+ " + text
	}
	return text
}

func (s step) line() string {
	switch s.verb {
	case "query":
		if !plainLine(s.text) {
			return fmt.Sprintf(":query %q", s.text)
		}
		return s.text
	case "fields":
		return fmt.Sprintf(":fields %q", s.text)
	case "load":
		return fmt.Sprintf(":load %q %s", s.data, s.text)
	case "hidden", "init", "user":
		return ":" + s.verb + " " + s.text
	case "prepare":
		return fmt.Sprintf(":prepare %d %s", s.slot, s.text)
	case "long":
		return fmt.Sprintf(":long %d %d %q", s.slot, s.params[0].kind, s.data)
	case "fetch":
		return fmt.Sprintf(":fetch %d %d", s.slot, binary.LittleEndian.Uint32(s.params[0].value))
	case "rewind", "close", "option":
		return fmt.Sprintf(":%s %d", s.verb, s.slot)
	case "raw":
		return fmt.Sprintf(":raw %d %q", s.slot, s.data)
	case "execute", "bulk", "last":
		words := []string{":" + s.verb}
		if s.verb != "last" {
			words = append(words, strconv.Itoa(s.slot))
		}
		if s.cursor {
			words = append(words, "cursor")
		}
		if s.typeless {
			words = append(words, "typeless")
		}
		if s.shown != "" {
			words = append(words, s.shown)
		}
		return strings.Join(words, " ")
	}
	return ":" + s.verb
}

// plainLine tells that a statement can stand on a line as it is.
func plainLine(sql string) bool {
	if sql == "" || sql[0] == ':' || sql[0] == ' ' || strings.HasPrefix(sql, "+ ") || strings.HasSuffix(sql, " ") || !utf8.ValidString(sql) {
		return false
	}
	return strings.IndexFunc(sql, func(r rune) bool { return r < ' ' || r == 0x7F }) < 0
}

// listing is a script, a step a line.
func listing(script []step) string {
	var b strings.Builder
	for _, s := range script {
		b.WriteString(s.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// parseScript reads a listing.
func parseScript(text string) (script []step, err error) {
	for line := range strings.Lines(text) {
		if line = strings.Trim(line, "\n"); line == "" {
			continue
		}
		s, err := parseStep(line)
		if err != nil {
			return nil, err
		}
		script = append(script, s)
	}
	return script, nil
}
