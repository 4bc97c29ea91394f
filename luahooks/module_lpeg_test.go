package luahooks

import (
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
)

func newLpegState(t *testing.T) *moduleState {
	m := newModuleState(t)
	m.want(`
		lp = require("lpeg")
		P, R, S, V, C, Ct, Cs, Cc, Cp = lp.P, lp.R, lp.S, lp.V, lp.C, lp.Ct, lp.Cs, lp.Cc, lp.Cp
		digit, alpha = R("09"), R("az", "AZ")
		number = digit^1 / tonumber
		return lp == lpeg`, "true")
	return m
}

func TestLpegPatterns(t *testing.T) {
	m := newLpegState(t)
	for code, want := range map[string]string{
		`lp.match("abc", "abcd")`:                                                                       "4",
		`lp.match("abc", "abd")`:                                                                        "nil",
		`lp.match("", "")`:                                                                              "1",
		`lp.match(3, "abc"), lp.match(3, "ab")`:                                                         "4 nil",
		`lp.match(0, "")`:                                                                               "1",
		`lp.match(-1, ""), lp.match(-1, "a")`:                                                           "1 nil",
		`lp.match(-3, "ab"), lp.match(-3, "abc")`:                                                       "1 nil",
		`lp.match(true, "x"), lp.match(false, "x")`:                                                     "1 nil",
		`lp.match(digit, "7"), lp.match(digit, "x")`:                                                    "2 nil",
		`lp.match(R("az", "09"), "5")`:                                                                  "2",
		`lp.match(R(), "5")`:                                                                            "nil",
		`lp.match(S("+-"), "-"), lp.match(S(""), "-")`:                                                  "2 nil",
		`lp.match(lp.span("ab"), "abacab"), lp.span("x"):match("")`:                                     "4 1",
		`P("a"):match("a"), P("a").match == lp.match`:                                                   "2 true",
		`(P("a") * "b" * 1):match("abc")`:                                                               "4",
		`("a" * P("b")):match("ab"), (1 * P("b")):match("ab")`:                                          "3 3",
		`(P("a") + "b" + 2):match("b"), (P("a") + "b" + 2):match("cc")`:                                 "2 3",
		`(digit - "5"):match("4"), (digit - "5"):match("5")`:                                            "2 nil",
		`(1 - P("x")):match("x"), (1 - P("x")):match("y")`:                                              "nil 2",
		`(-P("a")):match("b"), (-P("a")):match("a")`:                                                    "1 nil",
		`(#P("a")):match("a"), (#P("a")):match("b")`:                                                    "1 nil",
		`(digit^0):match("12x"), (digit^0):match("x")`:                                                  "3 1",
		`(digit^2):match("1"), (digit^2):match("123")`:                                                  "nil 4",
		`(digit^-2):match("123"), (digit^-2):match("x")`:                                                "3 1",
		`(P("ab")^-1 * "c"):match("abc"), (P("ab")^1 * "c"):match("ababc"), (P("ab")^3):match("abab")`:  "4 6 nil",
		`(P("a")^0 * "a"):match("aaa")`:                                                                 "nil",
		`(P("ab") + P("a") * "c"):match("ac")`:                                                          "3",
		`(digit * -1):match("1"), (digit * -1):match("12")`:                                             "2 nil",
		`P("b"):match("abc", 2), P("c"):match("abc", -1), P("a"):match("abc", -9), P(-1):match("a", 9)`: "3 4 2 2",
		`lp.type(P("a")), lp.type("a"), lp.version()`:                                                   "pattern nil 0.8",
		`P(digit) ~= nil, lp.match(P(digit), "1")`:                                                      "true 2",
		`lp.match("\0\255", "\0\255a")`:                                                                 "3",
	} {
		m.want("return "+code, want)
	}
	for code, want := range map[string]string{
		`P(nil)`:                     "pattern expected",
		`P("a") * {}`:                "no initial rule",
		`P("a") * nil`:               "pattern expected",
		`lp.match("a")`:              "string expected",
		`lp.match(newproxy(), "")`:   "pattern expected",
		`R("abc")`:                   "two characters",
		`V()`:                        "name of a rule",
		`P("")^0`:                    "may accept empty string",
		`(digit^0)^0`:                "may accept empty string",
		`(#digit)^1`:                 "may accept empty string",
		`(P("a") + "")^0`:            "may accept empty string",
		`P("a") / true`:              "string, table or function expected",
		`P("a")^"x"`:                 "",
		`V("x"):match("a")`:          "outside a grammar",
		`P({ V("x") })`:              "rule 'x' is not defined",
		`P({ "x" })`:                 "rule 'x' is not defined",
		`P({ "x", x = newproxy() })`: "not a pattern",
		`lp.Carg(0)`:                 "positive number",
	} {
		m.wantError("return "+code, want)
	}
}

func TestLpegCaptures(t *testing.T) {
	m := newLpegState(t)
	for code, want := range map[string]string{
		`C(digit^1):match("12x")`:                                                               "12",
		`C(C(digit) * C(alpha)):match("1a")`:                                                    "1a 1 a",
		`(C(digit) * 1 * C(digit)):match("1-2")`:                                                "1 2",
		`(Cp() * digit^0 * Cp()):match("123")`:                                                  "1 4",
		`Cc("a", 1, nil):match("")`:                                                             "a 1 nil",
		`(Cc() * "a"):match("a")`:                                                               "2",
		`#Ct((C(digit) * P(",")^-1)^0):match("1,2,3")`:                                          "3",
		`Ct(C(1) * Ct(C(1))):match("ab")[2][1]`:                                                 "b",
		`#Ct(""):match("")`:                                                                     "0",
		`(digit^1 / tonumber):match("12") + 1`:                                                  "13",
		`(P("a") / { a = "letter" }):match("a"), (P("b") / { a = 1 }):match("b")`:               "letter 2",
		`(C(1) * C(1) / "%2%1%0%%"):match("ab")`:                                                "baab%",
		`(P("ab") / "<%1>"):match("ab")`:                                                        "<ab>",
		`(P("ab") / 5):match("ab")`:                                                             "5",
		`(C(1) * 1 / function (...) return select("#", ...), ... end):match("ab")`:              "1 a",
		`(P("ab") / function () end):match("ab")`:                                               "3",
		`Cs((digit / "#" + 1)^0):match("a1b23")`:                                                "a#b##",
		`Cs((P("a") / { a = nil } + 1)^0):match("banana")`:                                      "banana",
		`Cs(Cc("x") * 1 * Cp()):match("b")`:                                                     "xb2",
		`Cs(""):match("")`:                                                                      "",
		`Cs(C("a") * "b"):match("ab")`:                                                          "ab",
		`lp.Ca(number * ("," * number / function (a, b) return a + b end)^0):match("10,20,30")`: "60",
		`lp.Carg(2):match("", 1, "a", "b")`:                                                     "b",
		`(C(alpha^1) * "=" * lp.Cb(1)):match("ab=")`:                                            "ab ab",
		`(C(1) * C(C(1) * 1) * lp.Cb(2) * lp.Cb(2)):match("abc")`:                               "a bc b a bc b",
		`(C(1) * Ct(C(1) * lp.Cb(2))):match("ab")`:                                              "",
		`(digit * C(1) + C(alpha) * C(1)):match("ab")`:                                          "a b",
		`(C("a") * "x" + C("a") * "y"):match("ay")`:                                             "a",
		`(C("a")^0 * "b" + C(1)):match("aac")`:                                                  "a",
		`(#C("a") * -C("b") * 1):match("a")`:                                                    "2",
		`C((C(1) * 1)^1):match("abcd")`:                                                         "abcd a c",
	} {
		if want == "" && strings.Contains(code, "Ct(C(1)") {
			m.want(`local a, t = `+code+` return a, t[1], t[2]`, "a b a")
			continue
		}
		m.want("return "+code, want)
	}
	for code, want := range map[string]string{
		`(C(1) / "%2"):match("a")`:           "invalid capture index (2)",
		`(Cc({}) / "%1"):match("a")`:         "invalid capture value (a table)",
		`Cs(Cc({})):match("a")`:              "invalid replacement value (a table)",
		`lp.Ca("a"):match("a")`:              "no initial value",
		`lp.Ca(C("a") * C("b")):match("ab")`: "invalid capture in accumulator",
		`lp.Carg(1):match("a")`:              "absent extra argument #1",
		`lp.Cb(1):match("a")`:                "back reference",
		`(P("boom") / error):match("boom")`:  "boom",
	} {
		m.wantError("return "+code, want)
	}
}

func TestLpegMatchTimeCapture(t *testing.T) {
	m := newLpegState(t)
	for code, want := range map[string]string{
		`lp.Cmt(1, function (s, i, c) return i == 2 and s == "abc" and c == "a" end):match("abc")`: "2",
		`lp.Cmt(1, function () return false end):match("abc")`:                                     "nil",
		`lp.Cmt(1, function () end):match("abc")`:                                                  "nil",
		`lp.Cmt(1, function (s, i) return 4 end):match("abc")`:                                     "4",
		`lp.Cmt(1, function () return true, "x", nil end):match("abc")`:                            "x nil",
		`lp.Cmt(C(1) * C(1), function (_, _, a, b) return true, b .. a end):match("ab")`:           "ba",
		`Ct(C(1) * lp.Cmt(1, function (_, _, x) return true, x:upper() end)):match("ab")[2]`:       "B",
		`(lp.Cmt(1, function () return false end) + C("a")):match("a")`:                            "a",
		`P(function (s, i) return i + 1 end):match("abc")`:                                         "2",
		`Cs((lp.Cmt("a", function () return true, "X" end) + 1)^0):match("bab")`:                   "bXb",
	} {
		m.want("return "+code, want)
	}
	for _, pos := range []string{"0", "5", "1", "1/0", "0/0"} {
		m.wantError(`return lp.Cmt(1, function () return `+pos+` end):match("abc")`, "invalid position")
	}
	m.wantError(`return lp.Cmt(1, function () return "x" end):match("abc")`, "returned a string")
}

func TestLpegGrammars(t *testing.T) {
	m := newLpegState(t)
	m.want(`
		local ws = S(" ")^0
		local function calc(a, op, b)
			if op == "+" then return a + b elseif op == "-" then return a - b elseif op == "*" then return a * b end
			return a / b
		end
		local op = function (set) return C(S(set)) * ws end
		local g = P({ "Exp",
			Exp = lp.Ca(V("Term") * (op("+-") * V("Term") / calc)^0),
			Term = lp.Ca(V("Factor") * (op("*/") * V("Factor") / calc)^0),
			Factor = number * ws + "(" * ws * V("Exp") * ")" * ws,
		}) * -1
		return g:match("1 + 2*(3 - 1) / 4"), g:match("1 +")`, "2 nil")
	m.want(`local balanced = P({ "(" * ((1 - S("()")) + V(1))^0 * ")" })
		return balanced:match("(a(b)c)"), balanced:match("(a(b)c")`, "8 nil")
	m.want(`local anywhere = function (p) return P({ Cp() * p * Cp() + 1 * V(1) }) end
		return anywhere("b"):match("aab"), anywhere("x"):match(("a"):rep(200000) .. "x")`, "3 200001 200002")
	m.want(`local inner = P({ "a", a = P("x") * V("b"), b = P("y") })
		local outer = P({ "s", s = inner * V("b"), b = P("z") })
		return outer:match("xyz")`, "4")
	m.want(`local shared = V("d") * V("d")
		return P({ "s", s = shared * shared, d = digit }):match("1234")`, "5")
	m.wantError(`return P({ "a", a = V("a") * "x" }):match("x")`, "too many pending calls")
	m.wantError(`return P({ "a", a = V("a") }):match("x")`, "too many steps")
	m.want(`return P({ "a", a = V("e")^0 * "x", e = P("") }):match("x")`, "2")
	m.wantError(`return P({ "a", a = "(" * V("a") * ")" + "x" }):match(("("):rep(100000))`, "too many pending calls")
	m.wantError(`local p = P("a"); for i = 1, 40 do p = p + p end return p:match("b")`, "too many steps")
	m.wantError(`local p = Cc("a"); for i = 1, 40 do p = C(p * p) end return p:match("b")`, "too many")
	m.wantError(`return P({ "a", a = "(" * (V("a") / "%0%1%1") + C("x") }):match(("("):rep(60) .. "x")`, "too many steps")
	m.wantError(`local p = C(""); for i = 1, 40 do p = C(p * lp.Cb(1)) end return p:match("b")`, "")
}

// TestLpegDoesWhatScriptsDo is a small language of the kind that scripts define.
func TestLpegDoesWhatScriptsDo(t *testing.T) {
	m := newLpegState(t)
	m.want(`
		local space = S(" \t\n")^0
		local word = C(R("az", "AZ")^1)
		local function key(s)
			local p = P(true)
			for i = 1, #s do local c = s:sub(i, i); p = p * S(c:lower() .. c:upper()) end
			return p * space
		end
		local str = P('"') * C((1 - P('"'))^0) * '"'
		local num = C(P("-")^-1 * R("09")^1) / tonumber
		local bool = P("true") * Cc(true) + P("false") * Cc(false)
		local set = key("SET") * key("GLOBAL") * Ct(word * "." * word * space * "=" * space * (str + num + bool)) * -1
		local out = {}
		for _, s in ipairs({ 'set global a.b = "x y"', "SET GLOBAL a.b=-5", "Set Global a.b = false", "SET GLOBAL a = 1" }) do
			local t = set:match(s)
			out[#out + 1] = t and t[1] .. "." .. t[2] .. "=" .. tostring(t[3]) or "none"
		end
		return table.concat(out, "; ")`, "a.b=x y; a.b=-5; a.b=false; none")
}

func TestLpegPrint(t *testing.T) {
	m := newLpegState(t)
	m.want(`local out; print = function (s) out = s end
		lp.print(C(P("a") * digit^1) + V("x"))
		return out`, "choice\n  C\n    sequence\n      literal \"a\"\n      repeat 1\n        set\n  rule x")
	m.want(`local n; print = function (s) n = #s end
		local p = P("a"); for i = 1, 30 do p = P(p * p) end
		lp.print(p)
		return n < 100000`, "true")
}

func FuzzLpegMatch(f *testing.F) {
	f.Add("1+2*(3-1)", uint8(0))
	f.Add("a,b,\"c\"", uint8(1))
	f.Fuzz(func(t *testing.T, subject string, which uint8) {
		l := newModuleState(t)
		patterns := []string{
			`lp.P({ "e", e = lp.C(lp.V("t") * (lp.S("+-") * lp.V("t"))^0), t = lp.R("09")^1 + "(" * lp.V("e") * ")" })`,
			`lp.Cs((lp.P('"') * lp.C((1 - lp.P('"'))^0) * '"' / "<%1>" + lp.P(1))^0)`,
			`lp.Ct((lp.Cp() * lp.C(lp.P(1)^-3 - ",") * lp.P(",")^-1 * 1)^0)`,
		}
		l.SetGlobal("s", lua.LString(subject))
		if _, err := l.eval(`local lp = require("lpeg"); return lp.match(` + patterns[int(which)%len(patterns)] + `, s)`); err != nil &&
			!strings.Contains(err.Error(), "lpeg: too many") && !strings.Contains(err.Error(), "may accept empty") {
			t.Fatal(err)
		}
	})
}
