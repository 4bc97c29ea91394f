package luahooks

import (
	"io"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
)

// slow is a matcher without any of the tricks of the real one: it reads the
// pattern's text as it goes, and knows captures as a stack of numbers. It takes
// valid patterns only; ok is false for others, and where it has worked too long.
type slow struct {
	subject string
	from    []int
	to      []int // -1: open; -2: a position
	steps   int
	bad     bool
}

func (m *slow) single(s int, item string) bool {
	if s >= len(m.subject) {
		return false
	}
	c := m.subject[s]
	switch item[0] {
	case '.':
		return true
	case '%':
		return slowClass(c, item[1])
	case '[':
		return slowSet(c, item[1:len(item)-1])
	}
	return c == item[0]
}

func slowClass(c, class byte) bool {
	in := false
	switch class | 0x20 {
	case 'a':
		in = strings.IndexByte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", c) >= 0
	case 'd':
		in = strings.IndexByte("0123456789", c) >= 0
	case 's':
		in = strings.IndexByte(" \t\n\v\f\r", c) >= 0
	case 'w':
		in = slowClass(c, 'a') || slowClass(c, 'd')
	case 'z':
		in = c == 0
	case 'c':
		in = c < 32 || c == 127
	case 'l':
		in = slowClass(c, 'a') && c >= 97
	case 'u':
		in = slowClass(c, 'a') && c <= 90
	case 'x':
		in = strings.IndexByte("0123456789abcdefABCDEF", c) >= 0
	case 'p':
		in = c < 127 && !slowClass(c, 'w') && !slowClass(c, 'c') && c != ' '
	default:
		return c == class
	}
	return in != (class >= 'A' && class <= 'Z')
}

func slowSet(c byte, body string) bool {
	want := true
	if strings.HasPrefix(body, "^") {
		want, body = false, body[1:]
	}
	for body != "" {
		switch {
		case body[0] == '%' && len(body) > 1:
			if slowClass(c, body[1]) {
				return want
			}
			body = body[2:]
		case len(body) > 2 && body[1] == '-':
			if body[0] <= c && c <= body[2] {
				return want
			}
			body = body[3:]
		default:
			if body[0] == c {
				return want
			}
			body = body[1:]
		}
	}
	return !want
}

// item is the length of the single item at the beginning of p, 0 if it is bad.
func slowItem(p string) int {
	switch p[0] {
	case '%':
		if len(p) < 2 {
			return 0
		}
		return 2
	case '[':
		i := 1
		if i < len(p) && p[i] == '^' {
			i++
		}
		for first := true; ; first = false {
			switch {
			case i >= len(p):
				return 0
			case p[i] == ']' && !first:
				return i + 1
			case p[i] == '%' && i+1 < len(p):
				i++
			}
			i++
		}
	}
	return 1
}

func (m *slow) match(s int, p string) int {
	if m.steps++; m.steps > 200_000 {
		m.bad = true
	}
	if m.bad {
		return -1
	}
	if p == "" {
		return s
	}
	switch {
	case strings.HasPrefix(p, "()"):
		m.from, m.to = append(m.from, s), append(m.to, -2)
		e := m.match(s, p[2:])
		if e < 0 {
			m.from, m.to = m.from[:len(m.from)-1], m.to[:len(m.to)-1]
		}
		return e
	case p[0] == '(':
		m.from, m.to = append(m.from, s), append(m.to, -1)
		e := m.match(s, p[1:])
		if e < 0 {
			m.from, m.to = m.from[:len(m.from)-1], m.to[:len(m.to)-1]
		}
		return e
	case p[0] == ')':
		for i := len(m.to) - 1; i >= 0; i-- {
			if m.to[i] == -1 {
				m.to[i] = s
				e := m.match(s, p[1:])
				if e < 0 {
					m.to[i] = -1
				}
				return e
			}
		}
		m.bad = true
		return -1
	case p == "$":
		if s == len(m.subject) {
			return s
		}
		return -1
	case p[0] == '%' && len(p) > 1 && p[1] == 'b':
		if len(p) < 4 {
			m.bad = true
			return -1
		}
		depth := 0
		for e := s; e < len(m.subject); e++ {
			switch c := m.subject[e]; {
			case e == s && c != p[2]:
				return -1
			case e == s:
				depth = 1
			case c == p[3]:
				if depth--; depth == 0 {
					return m.match(e+1, p[4:])
				}
			case c == p[2]:
				depth++
			}
		}
		return -1
	case p[0] == '%' && len(p) > 1 && p[1] == 'f':
		n := 0
		if len(p) > 2 && p[2] == '[' {
			n = slowItem(p[2:])
		}
		if n == 0 {
			m.bad = true
			return -1
		}
		framed := "\x00" + m.subject + "\x00"
		set := p[3 : 2+n-1]
		if !slowSet(framed[s], set) && slowSet(framed[s+1], set) {
			return m.match(s, p[2+n:])
		}
		return -1
	case p[0] == '%' && len(p) > 1 && p[1] >= '0' && p[1] <= '9':
		i := int(p[1]) - '1'
		if i < 0 || i >= len(m.to) || m.to[i] == -1 {
			m.bad = true
			return -1
		}
		if m.to[i] == -2 || !strings.HasPrefix(m.subject[s:], m.subject[m.from[i]:m.to[i]]) {
			return -1
		}
		return m.match(s+m.to[i]-m.from[i], p[2:])
	}
	n := slowItem(p)
	if n == 0 {
		m.bad = true
		return -1
	}
	item, rest := p[:n], p[n:]
	again := byte(0)
	if rest != "" && strings.IndexByte("*+-?", rest[0]) >= 0 {
		again, rest = rest[0], rest[1:]
	}
	most := 0
	for m.single(s+most, item) {
		most++
	}
	least := 0
	switch again {
	case 0:
		least, most = 1, min(most, 1)
	case '+':
		least = 1
	case '?':
		most = min(most, 1)
	case '-':
		for i := 0; i <= most; i++ {
			if e := m.match(s+i, rest); e >= 0 {
				return e
			}
		}
		return -1
	}
	for i := most; i >= least; i-- {
		if e := m.match(s+i, rest); e >= 0 {
			return e
		}
	}
	return -1
}

// FuzzPattern compares the matcher with the slow one.
func FuzzPattern(f *testing.F) {
	for _, seed := range [][2]string{
		{"hello world", "(%w+) (%w+)"}, {"((a)(b)", "%b()"}, {"THE fox", "%f[%a]%a+"}, {"aaab", "a-b"},
		{"aaa", "a*a"}, {"abcabc", "(a)(.-)%1"}, {"x=1", "()=()"}, {"a]b", "[]]"}, {"a-z", "[a-]+$"},
		{"\x00a", "%z."}, {"aab", "^a?a?a?b"}, {"", "x*$"}, {"key = v", "^(%w+)%s*=%s*([^%s]+)$"},
		{"aXaXb", "a.-b"}, {"x", "[%]]"}, {"abab", "(ab)*"}, {"zzz", "z+z-z"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, subject, text string) {
		if len(subject) > 24 || len(text) > 16 || strings.IndexByte(text, 0) >= 0 {
			return
		}
		p := compilePattern(text, true)
		rest, anchored := strings.CutPrefix(text, "^")
		for from := 0; from <= len(subject); from++ {
			var m matcher
			m.begin(subject, p, 1_000_000)
			got := m.at(from)
			reference := slow{subject: subject}
			want := reference.match(from, rest)
			if reference.steps > 200_000 || m.failed == "pattern too complex" {
				return
			}
			if reference.bad != (m.failed != "") {
				t.Fatalf("%q at %d of %q: failed %q, reference fails %v", text, from, subject, m.failed, reference.bad)
			}
			if reference.bad {
				return
			}
			if got != want {
				t.Fatalf("%q at %d of %q ends at %d, want %d", text, from, subject, got, want)
			}
			if got >= 0 {
				for i := range reference.to {
					text, position, why := m.captured(i, from, got)
					switch {
					case reference.to[i] == -1 && why == "unfinished capture":
					case reference.to[i] == -2 && position == reference.from[i]+1:
					case reference.to[i] >= 0 && text == subject[reference.from[i]:reference.to[i]]:
					default:
						t.Fatalf("%q at %d of %q: capture %d is %q, %d, %q", text, from, subject, i, text, position, why)
					}
				}
			}
			if anchored {
				break
			}
		}
	})
}

// FuzzFormat: whatever the format, there is a string or a Lua error, no panic.
func FuzzFormat(f *testing.F) {
	for _, seed := range []string{"%d %s", "%-+ #05.3g|", "%q", "%99.99f", "%c%c", "%", "%%", "%5.5.5d", "%#o%#x%#X", "%i%u%e%E%G"} {
		f.Add(seed, 1.5, "text")
	}
	l := newLua(f, io.Discard)
	f.Fuzz(func(t *testing.T, format string, n float64, s string) {
		defer l.SetTop(0)
		l.Push(l.GetField(l.GetGlobal("string"), "format"))
		l.Push(lua.LString(format))
		for range 6 {
			l.Push(lua.LNumber(n))
			l.Push(lua.LString(s))
		}
		err := protectedCall(l, 13, 1, nil)
		if err, ok := err.(*lua.ApiError); ok && err.Type != lua.ApiErrorRun {
			t.Fatalf("%q: %v", format, err)
		}
		if err == nil && len(l.Get(-1).(lua.LString)) > 512*(len(format)+1)+12*len(s) {
			t.Fatalf("%q makes %d bytes", format, len(l.Get(-1).(lua.LString)))
		}
	})
}

// TestHostilePatterns: what would take years ends, with an error.
func TestHostilePatterns(t *testing.T) {
	l := newLua(t, io.Discard)
	shared(l).matchSteps = depth(20_000_000)
	for name, chunk := range map[string]string{
		"backtracking": `return pcall(string.find, ("a"):rep(300), ("a*"):rep(20) .. "b")`,
		"lazy":         `return pcall(string.find, ("a"):rep(300), ("(.-)"):rep(20) .. "b")`,
		"optional":     `return pcall(string.match, ("a"):rep(60), "^" .. ("a?"):rep(60) .. ("a"):rep(60) .. "b")`,
		"squared":      `return pcall(string.find, ("a"):rep(300000), ".-b")`,
		"balance":      `return pcall(string.find, ("("):rep(1000000), "%b()")`,
		"gsub":         `return pcall(string.gsub, ("a"):rep(300000), "a*b", "")`,
		"deep":         `return pcall(string.find, ("a"):rep(300000), ("a?"):rep(250000))`,
	} {
		got := run(t, l, chunk)
		if len(got) != 2 || got[0] != "false" || got[1] != "pattern too complex" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestBoundsOfStrings: a script cannot have more than maxString bytes at once.
func TestBoundsOfStrings(t *testing.T) {
	l := newLua(t, io.Discard)
	for chunk, want := range map[string]string{
		`return string.rep("x", 2^31 - 1)`:                                     "p:1: resulting string too large",
		`return string.rep(("x"):rep(1024), 2^20 + 1)`:                         "p:1: resulting string too large",
		`return #string.rep("x", 2^24)`:                                        "16777216",
		`local s = ("x"):rep(2^28) return s .. s .. s .. s .. s`:               "p:1: string length overflow",
		`local s = ("x"):rep(2^20) return #(s .. 1 .. s)`:                      "2097153",
		`local s = ("x"):rep(2^24) return #(s:sub(2) .. s:upper())`:            "33554431",
		`return #("ab"):rep(2^20):gsub("a", "xyz")`:                            "4194304",
		`local p = ("x"):rep(2^21) return p:byte(), p:byte(-1), (p:find("y"))`: "120 120 nil",
		`return loadstring("return " .. ("- "):rep(20000) .. "1", "=c")`:       "nil c:1: chunk has too many syntax levels",
		`return loadstring("return 08 + 0x", "=c")`:                            "nil c:1: illegal hexadecimal number near '0x'",
		`return loadstring("return 3x", "=c")`:                                 "nil c:1: unexpected symbol near 'x'",
	} {
		if got := strings.Join(run(t, l, chunk), " "); got != want {
			t.Errorf("%s: %.100q, want %q", chunk, got, want)
		}
	}
}
