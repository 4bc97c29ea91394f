package luahooks

import (
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// masterFields are the lines of a replica's master.info.
var masterFields = []struct {
	name   string
	number bool
}{
	{"master_lines", true},
	{"master_log_file", false},
	{"master_log_pos", true},
	{"master_host", false},
	{"master_user", false},
	{"master_password", false},
	{"master_port", true},
	{"master_connect_retry", true},
	{"master_ssl", true},
	{"master_ssl_ca", false},
	{"master_ssl_capath", false},
	{"master_ssl_cert", false},
	{"master_ssl_cipher", false},
	{"master_ssl_key", false},
	{"master_ssl_verify_server_cert", true}, // from 15 lines on
}

const masterLinesWithVerify = 15

func fromMasterInfo(l *lua.LState) int {
	rest := l.CheckString(1)
	t := fieldTable{l, l.NewTable()}
	lines := uint64(0)
	for i, f := range masterFields {
		if i == masterLinesWithVerify-1 && lines < masterLinesWithVerify {
			break
		}
		line, more, ok := strings.Cut(rest, "\n")
		if !ok && line == "" {
			l.RaiseError("master.info ends before its line %d, %s", i+1, f.name)
		}
		rest = more
		line = strings.TrimSuffix(line, "\r")
		if !f.number {
			t.setString(f.name, line)
			continue
		}
		n, err := strconv.ParseUint(line, 10, 64)
		if err != nil {
			l.RaiseError("line %d of master.info, %s, is no number", i+1, f.name)
		}
		t.setNumber(f.name, n)
		if i == 0 {
			lines = n
		}
	}
	l.Push(t.t)
	return 1
}

func toMasterInfo(l *lua.LState) int {
	if l.GetTop() != 1 {
		l.RaiseError("exactly one argument expected, a table")
	}
	t := fieldTable{l, l.CheckTable(1)}
	lines := t.number("master_lines", masterLinesWithVerify)
	var dst []byte
	for i, f := range masterFields {
		switch {
		case i == 0:
			dst = strconv.AppendUint(dst, lines, 10)
		case i == masterLinesWithVerify-1 && lines < masterLinesWithVerify:
			continue
		case f.number:
			dst = strconv.AppendUint(dst, t.number(f.name, 0), 10)
		default:
			s := t.string(f.name)
			if strings.ContainsAny(s, "\r\n") { // it would move all that follows
				l.RaiseError("field '%s' must be a single line", f.name)
			}
			dst = append(dst, s...)
		}
		dst = append(dst, '\n')
	}
	l.Push(lua.LString(dst))
	return 1
}
