package luahooks

import (
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
)

// cut writes the tokens of a statement as NAME:text, without TK_.
func cut(sql string) string {
	var out []string
	for _, t := range scanAll(nil, sql) {
		out = append(out, strings.TrimPrefix(tokenNames[t.id], "TK_")+":"+t.text(sql))
	}
	return strings.Join(out, "|")
}

func TestLexer(t *testing.T) {
	for name, row := range map[string]struct{ sql, want string }{
		"nothing":                      {"", ""},
		"white space":                  {" \t\r\n\v\f", ""},
		"comment to the newline":       {"-- a b\nx", "COMMENT:a b|LITERAL:x"},
		"comment keeps CR and blanks":  {"--\t a \r\nx", "COMMENT: a \r|LITERAL:x"},
		"comment to the end":           {"-- a", "COMMENT:a"},
		"empty comment":                {"--\nx", "COMMENT:|LITERAL:x"},
		"empty comment, CR LF":         {"--\r\nx", "COMMENT:|LITERAL:x"},
		"dashes, CR alone":             {"--\rx", "MINUS:-|MINUS:-|LITERAL:x"},
		"dashes before a word":         {"--x", "MINUS:-|MINUS:-|LITERAL:x"},
		"dashes at the end":            {"--", "MINUS:-|MINUS:-"},
		"C comment":                    {"/* a */1/**/", "COMMENT: a |INTEGER:1|COMMENT:"},
		"C comment is not /*/":         {"/*/ a */1", "COMMENT:/ a |INTEGER:1"},
		"MySQL comment":                {"/*!50000 1 + */", "COMMENT_MYSQL:50000 1 + "},
		"open comment":                 {"1 /* a", "INTEGER:1|COMMENT: a"},
		"open MySQL comment":           {"/*! a", "COMMENT_MYSQL: a"},
		"hash is no comment":           {"# a", "UNKNOWN:#|LITERAL:a"},
		"strings":                      {`'a' "b" ''`, "STRING:a|STRING:b|STRING:"},
		"doubled quotes":               {`'it''s' "a""b"`, `STRING:it's|STRING:a"b`},
		"doubled quotes twice":         {`'a''''b'`, `STRING:a''b`},
		"backslashes are kept":         {`'a\'b\\' "\""`, `STRING:a\'b\\|STRING:\"`},
		"backslash at a newline":       {"'a\\\nb'", "STRING:a\nb"},
		"backslash at the end":         {`'a\`, "STRING:a"},
		"open string":                  {"'a b", "STRING:a b"},
		"string after string":          {`'a','b'`, "STRING:a|COMMA:,|STRING:b"},
		"account":                      {`'x'@'y'`, "STRING:x|LITERAL:@|STRING:y"},
		"quotes of two kinds":          {`'a'"b"`, `STRING:a'"b"`},
		"mixed quotes of the original": {"\"'\"`` `qq-mixed''\"", "STRING:'\"`` `qq-mixed''"},
		"name in back-ticks":           {"`select`", "LITERAL:select"},
		"doubled back-tick":            {"`a``b`", "LITERAL:a`b"},
		"backslash in back-ticks":      {"`a\\`", "LITERAL:a\\"},
		"keyword in any case":          {"SELECT select SeLeCt", "SQL_SELECT:SELECT|SQL_SELECT:select|SQL_SELECT:SeLeCt"},
		"no keyword":                   {"COMMIT START begin engine", "LITERAL:COMMIT|LITERAL:START|LITERAL:begin|LITERAL:engine"},
		"variables":                    {"@a @@x @", "LITERAL:@a|LITERAL:@@x|LITERAL:@"},
		"longest keyword and longer":   {"MASTER_SSL_VERIFY_SERVER_CERT MASTER_SSL_VERIFY_SERVER_CERTS", "SQL_MASTER_SSL_VERIFY_SERVER_CERT:MASTER_SSL_VERIFY_SERVER_CERT|LITERAL:MASTER_SSL_VERIFY_SERVER_CERTS"},
		"word longer than any buffer":  {strings.Repeat("a", 100), "LITERAL:" + strings.Repeat("a", 100)},
		"hexadecimal":                  {"0x1F 1e t1", "LITERAL:0x1F|LITERAL:1e|LITERAL:t1"},
		"name with parts":              {"a.select.c.d", "LITERAL:a|DOT:.|SQL_SELECT:select|DOT:.|LITERAL:c|DOT:.|LITERAL:d"},
		"name with blanks":             {"a . b", "LITERAL:a|DOT:.|LITERAL:b"},
		"t1.1t":                        {"t1.1t", "LITERAL:t1|DOT:.|LITERAL:1t"},
		"e1.1e+1":                      {"e1.1e+1", "LITERAL:e1|DOT:.|LITERAL:1e|PLUS:+|INTEGER:1"},
		"e1 . 1e+1":                    {"e1 . 1e+1", "LITERAL:e1|DOT:.|FLOAT:1e+1"},
		".1t":                          {".1t", "FLOAT:.1|LITERAL:t"},
		"1e + 1":                       {"1e + 1", "LITERAL:1e|PLUS:+|INTEGER:1"},
		"1e+1e":                        {"1e+1e", "FLOAT:1e+1|LITERAL:e"},
		"1e1x is longer than 1e1":      {"1e1x", "LITERAL:1e1x"},
		"1e1.b is longer than 1e1":     {"1e1.b", "LITERAL:1e1|DOT:.|LITERAL:b"},
		"1e1 is called":                {"1e1(", "FUNCTION:1e1|OBRACE:("},
		"CALL foo.bar(x)":              {"CALL foo.bar(x)", "SQL_CALL:CALL|LITERAL:foo|DOT:.|FUNCTION:bar|OBRACE:(|LITERAL:x|CBRACE:)"},
		"keyword as function":          {"VALUES(1) IN(2)", "FUNCTION:VALUES|OBRACE:(|INTEGER:1|CBRACE:)|FUNCTION:IN|OBRACE:(|INTEGER:2|CBRACE:)"},
		"blank before the brace":       {"COUNT (", "LITERAL:COUNT|OBRACE:("},
		"numbers":                      {"1 12 1.5 .1 1e1 1e+1 1E-1 1.1e+1 .1e1", "INTEGER:1|INTEGER:12|FLOAT:1.5|FLOAT:.1|FLOAT:1e1|FLOAT:1e+1|FLOAT:1E-1|FLOAT:1.1e+1|FLOAT:.1e1"},
		"dot without digits":           {"1. .", "INTEGER:1|DOT:.|DOT:."},
		"version":                      {"1.2.3", "FLOAT:1.2|FLOAT:.3"},
		"punctuation":                  {",.();*+-/", "COMMA:,|DOT:.|OBRACE:(|CBRACE:)|SEMICOLON:;|STAR:*|PLUS:+|MINUS:-|DIV:/"},
		"comparisons":                  {"< > <= >= = <> !=", "LT:<|GT:>|LE:<=|GE:>=|EQ:=|NE:<>|NE:!="},
		"<=> and <<":                   {"<=> <<", "LE:<=|GT:>|LT:<|LT:<"},
		"assignment":                   {":= :", "ASSIGN::=|UNKNOWN::"},
		"bits and logic":               {"& && | || ^", "BITWISE_AND:&|LOGICAL_AND:&&|BITWISE_OR:||LOGICAL_OR:|||BITWISE_XOR:^"},
		"unknown bytes":                {"?%~!$\x00\xff", "UNKNOWN:?|UNKNOWN:%|UNKNOWN:~|UNKNOWN:!|UNKNOWN:$|UNKNOWN:\x00|UNKNOWN:\xff"},
		"national string":              {"N'x'", "LITERAL:N|STRING:x"},
		"variable in quotes":           {"@'x'", "LITERAL:@|STRING:x"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := cut(row.sql); got != row.want {
				t.Errorf("%q\n got %q\nwant %q", row.sql, got, row.want)
			}
		})
	}
}

func TestTokenNamesHaveTheirIds(t *testing.T) {
	for id, name := range map[int]string{
		0: "TK_UNKNOWN", 1: "TK_LE", 7: "TK_STRING", 8: "TK_COMMENT", 9: "TK_LITERAL", 13: "TK_DOT", 14: "TK_COMMA",
		20: "TK_PLUS", 21: "TK_MINUS", 27: "TK_LOGICAL_OR", 28: "TK_SQL_ACCESSIBLE", 66: "TK_SQL_DATABASE",
		67: "TK_SQL_DATABASES", 105: "TK_SQL_FROM", 154: "TK_SQL_MASTER_SSL_VERIFY_SERVER_CERT", 204: "TK_SQL_SELECT",
		212: "TK_SQL_SQL", 215: "TK_SQL_SQLEXCEPTION", 222: "TK_SQL_TABLE", 260: "TK_SQL_ZEROFILL", 261: "TK_COMMENT_MYSQL",
	} {
		if got := tokenNames[id]; got != name {
			t.Errorf("id %d is %s, want %s", id, got, name)
		}
	}
	if len(tokenNames) != tokenMySQLComment+1 || len(keywords) != 233 {
		t.Errorf("%d names, %d keywords; want 262, 233", len(tokenNames), len(keywords))
	}
	if longestKeyword > 32 {
		t.Errorf("a keyword of %d bytes does not fit wordToken's buffer", longestKeyword)
	}
}

func TestTokenListInLua(t *testing.T) {
	m := newModuleState(t)
	m.want(`t = require("mysql.tokenizer").tokenize("SELECT 'a''b'")
		return #t, t[1].text, t[1].token_name, t[1].token_id, t[2]["text"]`, "2 SELECT TK_SQL_SELECT 204 a'b")
	m.want(`return t[0], t[3], t[-1], t["2"].text`, "nil nil nil a'b")
	m.want(`return t[1] == t[1], type(t), type(t[1])`, "true userdata userdata")
	m.wantError(`return t["x"]`, "number expected")
	m.wantError(`return t[1].size`, "tokens[...] has no size field")
	m.wantError(`t[1] = "x"`, "nil expected")
	m.wantError(`for _ in ipairs(t) do end`, "table expected")
	m.wantError(`require("mysql.tokenizer").tokenize()`, "string expected")
	m.want(`kept = t[1]; t[1] = nil; t[9] = nil; return #t, t[1], t[2].text`, "2 nil a'b")
	m.wantError(`return kept.text`, "has been set to nil")
	m.want(`local t, n = tokenizer.tokenize(string.rep("a ", 100)), 0
		for i = 1, #t do if t[i].text == "a" then n = n + 1 end end
		return n`, "100")
	m.wantError(`return getmetatable(t).__index({}, 1)`, "userdata expected")
	m.wantError(`return getmetatable(t[2]).__index(t, "text")`, "token expected")
}

func TestProxyTokenizer(t *testing.T) {
	m := newModuleState(t)
	m.want(`tk = require("proxy.tokenizer"); n = function (s) return tk.normalize(tk.tokenize(s)) end return type(tk.tokenize)`, "function")
	for sql, want := range map[string]string{
		"select count(*) from mysql.user":                    "SELECT COUNT( * ) FROM `mysql` . `user` ",
		"CREATE TABLE t1 ( id INT ) engine = myisam":         "CREATE TABLE `t1` ( `id` INT ) `engine` = `myisam` ",
		"SET GLOBAL a.b = 1":                                 "SET `GLOBAL` `a` . `b` = ? ",
		"/* c */ start TRANSACTION":                          "START TRANSACTION ",
		"commit":                                             "COMMIT ",
		"SELECT commit, transaction":                         "SELECT `commit` , `transaction` ",
		"begin transaction":                                  "BEGIN `transaction` ",
		"/*!40000 x */ select @a, 'x', 1.5 -- end":           "/*!40000 x */ SELECT @a , ? , ? ",
		"select '\xe4' from `\xe4` where x = 'a' and y = 10": "SELECT ? FROM `\xe4` WHERE `x` = ? AND `y` = ? ",
		"": "",
	} {
		m.SetGlobal("q", lua.LString(sql))
		m.want("return n(q)", want)
	}
	m.want(`return tk.first_stmt_token(tk.tokenize("/* a */ -- b\nSELECT 1")).text`, "SELECT")
	m.want(`return tk.first_stmt_token(tk.tokenize("/*! a */ SELECT 1")).token_name`, "TK_COMMENT_MYSQL")
	m.want(`return tk.first_stmt_token(tk.tokenize("/* a */"))`, "")
	m.want(`return table.concat(tk.bare_tokens(tk.tokenize("a /* x */ 'b\\n\"'"), true), "|")`, `a|"b\\n\""`)
	m.want(`return table.concat(tk.bare_tokens(tk.tokenize("a /* x */ 'b'")), "|")`, `a|b`)
	m.want(`return table.concat(tk.tokens_without_comments(tk.tokenize("a /* x */ 'b'")), "|")`, `a|b`)
	m.want(`return tk.tokens_to_query(tk.tokenize("SELECT NOW(), 'a' /* x */ FROM t"))`, `SELECT NOW( ) , "a" FROM t `)
	m.want(`return tk.tokens_to_query(tk.tokenize("SELECT a, b FROM t"), 2, 4)`, "a , b ")
	m.want(`return tk.tokens_to_query(tk.tokenize("a b"), -5, 99)`, "a b ")
	m.want("return tk.tokens_to_query(tk.tokenize('/*!1 x*/ `a` `b c` `select` `d``e`'))", "/*!1 x*/ a `b c` `select` `d``e` ")
	m.want(`local t = { { token_name = "TK_SQL_SET", text = "SET" }, { token_name = "TK_LITERAL", text = "GLOBAL" },
			{ token_name = "TK_INTEGER", text = 1 } }
		return tk.normalize(t), tk.first_stmt_token(t) == t[1], tk.bare_tokens(t)[3]`, "SET `GLOBAL` ?  true 1")
	m.want(`local t = tk.tokenize("a b c"); t[2] = nil return tk.normalize(t)`, "`a` `c` ")
	m.wantError(`tk.normalize("a")`, "list of tokens expected")
	m.want(`return tk.normalize({ 1, "x", {} })`, "")
	m.want(`return tokenizer == require("mysql.tokenizer")`, "true")
}

func TestQuoteLua(t *testing.T) {
	if got, want := quoteLua("a\"\\\n\r\x00\xff"), "\"a\\\"\\\\\\\n\\r\\000\xff\""; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestScanAllAllocatesTheListOnly(t *testing.T) {
	const sql = "SELECT a.b, COUNT(*) FROM `t` WHERE id = 17 AND name = 'it''s' /* c */ LIMIT 1"
	if n := testing.AllocsPerRun(100, func() { scanAll(nil, sql) }); n > 1 {
		t.Errorf("%v allocations, want 1, the list", n)
	}
}

// FuzzScan: whatever the statement, each step goes on, its tokens lie in order
// within what it took, and what is between them is white space or marks.
func FuzzScan(f *testing.F) {
	for _, sql := range []string{"SELECT 'a''b', `c` -- x\n/*! y */ 1e+1e t1.1t(", "'\\", "--", "/*", "a.b.c.d.1", "'a'\"b\""} {
		f.Add(sql)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		for at := 0; at < len(sql); {
			tokens, next := scanToken(nil, sql, at)
			if next <= at || next > len(sql) {
				t.Fatalf("%q: from %d to %d of %d", sql, at, next, len(sql))
			}
			if len(tokens) == 0 && !sqlSpace(sql[at]) {
				t.Fatalf("%q: no token for %q", sql, sql[at:next])
			}
			covered := at
			for _, token := range tokens {
				start, end := int(token.start), int(token.end)
				if start < covered || end < start || end > next {
					t.Fatalf("%q: token %d to %d within %d to %d", sql, start, end, covered, next)
				}
				if marks := sql[covered:start]; strings.Trim(marks, "'\"`/*!- \t") != "" {
					t.Fatalf("%q: %q is skipped", sql, marks)
				}
				if text := token.text(sql); len(text) > end-start {
					t.Fatalf("%q: text %q is longer than %q", sql, text, sql[start:end])
				}
				covered = end
			}
			if marks := sql[covered:next]; len(tokens) > 0 && len(marks) > 2 {
				t.Fatalf("%q: %q is skipped at the end", sql, marks)
			}
			at = next
		}
		if a, b := cut(sql), cut(sql); a != b {
			t.Fatalf("%q, then %q", a, b)
		}
	})
}

func BenchmarkScan(b *testing.B) {
	const sql = "SELECT a.b, COUNT(*) FROM `t` WHERE id = 17 AND name = 'it''s' /* c */ LIMIT 1"
	b.ReportAllocs()
	b.SetBytes(int64(len(sql)))
	for b.Loop() {
		scanAll(nil, sql)
	}
}
