package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"
)

// The defaults-file has the syntax of a GLib key file:
//
//	# comment            ; comment (ours)
//	[group]
//	key = value          to the end of the line; quotes are ordinary letters
//
// Only the group [mysql-proxy] counts. Where GLib refused something that can
// have one meaning only (; comments, yes and on), it is taken.

// fileGroup is the group of the file that is read.
const fileGroup = "mysql-proxy"

// maxFileLen bounds the size of a defaults-file in bytes.
const maxFileLen = 1 << 20

// entry is one key of the file.
type entry struct {
	key  string
	raw  string // text after the =, without leading blanks, escapes untouched
	line int    // from 1
}

// fileError is a fault in a line of the defaults-file.
type fileError struct {
	line int
	text string
}

func (e *fileError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.text) }

// readDefaultsFile reads the file after the checks of who may access it.
func readDefaultsFile(name string) ([]byte, error) {
	data, mode, err := readRegular(name, maxFileLen)
	switch {
	case err != nil:
		return nil, err
	case mode.Perm()&0o007 != 0:
		return nil, fmt.Errorf("its mode %04o gives access to everybody, and it may hold passwords; allow 0660 or stricter: chmod o= %s",
			mode.Perm(), clean(name))
	}
	return data, nil
}

// withoutPath takes the operation and the name off an error of package os.
func withoutPath(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// parseKeyfile returns the keys of [mysql-proxy] in the order of the file,
// each once: a later line overrides an earlier one.
func parseKeyfile(data []byte) ([]entry, error) {
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		return nil, &fileError{1, "the file starts with a byte order mark; save it as UTF-8 without one"}
	}
	var entries []entry
	at := map[string]int{} // index in entries
	group, inGroup := "", false
	n := 0
	for raw := range bytes.Lines(data) {
		n++
		if !utf8.Valid(raw) {
			return nil, &fileError{n, "it is not UTF-8; save the file in that encoding"}
		}
		if bytes.IndexByte(raw, 0) >= 0 {
			return nil, &fileError{n, "it contains a NUL byte"}
		}
		line := strings.TrimLeft(strings.TrimRight(string(raw), "\r\n"), blanks)
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
			continue
		case line[0] == '[':
			name, err := groupName(line, n)
			if err != nil {
				return nil, err
			}
			group, inGroup = name, true
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key = strings.TrimRight(key, blanks)
		switch {
		case !inGroup:
			return nil, &fileError{n, "the file does not start with a group; put [" + fileGroup + "] before the first option"}
		case !ok:
			if i := strings.IndexAny(key, blanks+":"); i > 0 {
				key = key[:i] // what follows may be a password
			}
			return nil, &fileError{n, fmt.Sprintf("%q has no value; write %s = VALUE, for a flag %s = true", clip(key), clip(key), clip(key))}
		case key == "":
			return nil, &fileError{n, "there is no option name before the ="}
		case group != fileGroup:
			continue
		}
		e := entry{key, strings.TrimLeft(value, blanks), n}
		if i, seen := at[key]; seen {
			entries[i] = e
			continue
		}
		at[key] = len(entries)
		entries = append(entries, e)
	}
	return entries, nil
}

// blanks are the characters that are cut around names and values.
const blanks = " \t\v\f\r"

func groupName(line string, n int) (string, error) {
	name, after, ok := strings.Cut(line[1:], "]")
	switch {
	case !ok:
		return "", &fileError{n, "the ] after the group's name is missing"}
	case strings.Trim(after, blanks) != "":
		return "", &fileError{n, "only blanks may follow the ] of a group"}
	case name == "":
		return "", &fileError{n, "the group has no name"}
	}
	return name, nil
}

// clip shortens a piece of the file for an error message.
func clip(s string) string {
	if len(s) > 60 {
		s = s[:60] + "..."
	}
	return clean(s)
}

// setFromFile stores a value in the file's syntax. warning is empty, or says
// what was taken otherwise than the line may have meant it.
func (o *option) setFromFile(s *settings, raw string) (warning string, err error) {
	switch dst := o.dst(s).(type) {
	case *bool:
		on, err := parseBool(raw)
		if err != nil {
			return "", err
		}
		*dst = on
		if o.kind == reversedKind {
			*dst = !on
			warning = fmt.Sprintf("%s = %v is taken as --%s means it; MySQL Proxy 0.8.5 took it the other way round", o.long, on, o.long)
		}
		return warning, nil
	case *string:
		v, err := unescape(raw)
		*dst = strings.TrimRight(v, blanks+"\n")
		return "", err
	case *[]string:
		for _, element := range splitList(raw) {
			v, err := unescape(element)
			if err != nil {
				return "", err
			}
			if v = strings.Trim(v, blanks+"\n"); v != "" {
				*dst = append(*dst, v)
			}
		}
		return "", nil
	case *int:
		number, warning := firstWord(raw)
		if strings.Trim(number, "+-0123456789") != "" {
			return "", fmt.Errorf("%q is not a decimal integer", clip(number))
		}
		// Here a leading 0 does not mean octal.
		sign, digits := "", number
		if number != "" && (number[0] == '-' || number[0] == '+') {
			sign, digits = number[:1], number[1:]
		}
		if digits = strings.TrimLeft(digits, "0"); digits == "" && number != sign {
			digits = "0"
		}
		return warning, o.set(s, sign+digits)
	default:
		if o.kind == sizeKind { // a unit may stand apart from its number
			return "", o.set(s, raw)
		}
		number, warning := firstWord(raw)
		return warning, o.set(s, number)
	}
}

// firstWord cuts a number off what follows it. GLib ignored the rest, so that
// files with a comment there have worked.
func firstWord(raw string) (word, warning string) {
	raw = strings.TrimRight(raw, blanks)
	i := strings.IndexAny(raw, blanks)
	if i < 0 {
		return raw, ""
	}
	return raw[:i], fmt.Sprintf("the text after the number is ignored: %q", clip(strings.TrimLeft(raw[i:], blanks)))
}

func parseBool(raw string) (bool, error) {
	switch strings.ToLower(strings.TrimRight(raw, blanks)) {
	case "true", "1", "yes", "on":
		return true, nil
	case "false", "0", "no", "off":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", clip(raw))
}

// splitList cuts at the commas that no backslash precedes.
func splitList(raw string) []string {
	var list []string
	start := 0
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '\\':
			i++
		case ',':
			list = append(list, raw[start:i])
			start = i + 1
		}
	}
	return append(list, raw[start:])
}

// unescape undoes \s \n \t \r \\ and, as in lists, \, .
func unescape(raw string) (string, error) {
	if strings.IndexByte(raw, '\\') < 0 {
		return raw, nil
	}
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			continue
		}
		i++
		if i == len(raw) {
			return "", errors.New(`a single \ ends the value; write \\ for a backslash`)
		}
		switch raw[i] {
		case 's':
			out = append(out, ' ')
		case 'n':
			out = append(out, '\n')
		case 't':
			out = append(out, '\t')
		case 'r':
			out = append(out, '\r')
		case '\\', ',':
			out = append(out, raw[i])
		default:
			_, size := utf8.DecodeRuneInString(raw[i:])
			return "", fmt.Errorf(`\%s is not an escape (\s \n \t \r \\); write \\ for a backslash`, clip(raw[i:i+size]))
		}
	}
	return string(out), nil
}
