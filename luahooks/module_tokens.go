package luahooks

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// proxy.tokenizer: what scripts make of a list of tokens. It was Lua in MySQL
// Proxy. Scripts that count queries by their shape normalize each one, so here
// it is Go.

// tokenView is a list of tokens as scripts hand it in: mysql.tokenizer's, or an
// array of tables with token_name and text.
type tokenView struct {
	l     *lua.LState
	list  *tokenList
	table *lua.LTable
}

func checkTokens(l *lua.LState, arg int) tokenView {
	switch v := l.Get(arg).(type) {
	case *lua.LUserData:
		if list, ok := v.Value.(*tokenList); ok {
			return tokenView{l: l, list: list}
		}
	case *lua.LTable:
		return tokenView{l: l, table: v}
	}
	l.ArgError(arg, "list of tokens expected")
	return tokenView{}
}

func (v tokenView) len() int {
	if v.list != nil {
		return len(v.list.tokens)
	}
	return v.table.Len()
}

// at is the token with the index ndx, from 1. ok is false for one that has been
// set to nil and for what is no token.
func (v tokenView) at(ndx int) (name, text string, ok bool) {
	if v.list != nil {
		t := v.list.tokens[ndx-1]
		if t.id == tokenFreed {
			return "", "", false
		}
		return tokenNames[t.id], t.text(v.list.sql), true
	}
	switch t := v.table.RawGetInt(ndx).(type) {
	case *lua.LTable, *lua.LUserData:
		name, ok := v.l.GetField(t, "token_name").(lua.LString)
		text, _ := textOf(v.l.GetField(t, "text"))
		return string(name), text, ok
	}
	return "", "", false
}

// value is the token itself.
func (v tokenView) value(ndx int) lua.LValue {
	if v.list != nil {
		mt := v.l.NewTypeMetatable(tokenType)
		return v.list.object(ndx-1, mt)
	}
	return v.table.RawGetInt(ndx)
}

// openProxyTokenizer is the loader of proxy.tokenizer.
func openProxyTokenizer(l *lua.LState) int {
	l.Push(l.GetGlobal("require"))
	l.Push(lua.LString("mysql.tokenizer"))
	l.Call(1, 1)
	core := l.Get(-1)
	l.Pop(1)
	module := l.SetFuncs(l.NewTable(), map[string]lua.LGFunction{
		"first_stmt_token":        firstStatementToken,
		"normalize":               normalizeTokens,
		"bare_tokens":             func(l *lua.LState) int { return pushTexts(l, l.ToBool(2)) },
		"tokens_without_comments": func(l *lua.LState) int { return pushTexts(l, false) },
		"tokens_to_query":         tokensToQuery,
	})
	makeQuick(module, map[string]quickCall{"first_stmt_token": quickFirstToken})
	module.RawSetString("tokenize", l.GetField(core, "tokenize"))
	l.Push(module)
	return 1
}

// firstStatementToken returns the first token that is no comment.
func firstStatementToken(l *lua.LState) int {
	tokens := checkTokens(l, 1)
	for i := 1; i <= tokens.len(); i++ {
		if name, _, ok := tokens.at(i); ok && name != "TK_COMMENT" {
			l.Push(tokens.value(i))
			return 1
		}
	}
	return 0
}

// normalizeTokens returns the statement with ? in place of its values, so that
// statements that differ in these alone become the same.
func normalizeTokens(l *lua.LState) int {
	tokens := checkTokens(l, 1)
	var b strings.Builder
	started := false // START was the first element
	for i, elements := 1, 0; i <= tokens.len(); i++ {
		name, text, ok := tokens.at(i)
		if !ok || name == "TK_COMMENT" {
			continue
		}
		elements++
		switch name {
		case "TK_COMMENT_MYSQL":
			b.WriteString("/*!" + text + "*/ ")
		case "TK_LITERAL":
			upper := upperASCII(text)
			switch {
			case strings.HasPrefix(text, "@"):
				b.WriteString(text)
			case elements == 1 && isTransactionWord(upper), elements == 2 && started && upper == "TRANSACTION":
				b.WriteString(upper)
				started = upper == "START"
			default:
				b.WriteString("`" + text + "`")
			}
			b.WriteByte(' ')
		case "TK_STRING", "TK_INTEGER", "TK_FLOAT":
			b.WriteString("? ")
		case "TK_FUNCTION":
			b.WriteString(upperASCII(text))
		default:
			b.WriteString(upperASCII(text))
			b.WriteByte(' ')
		}
	}
	l.Push(lua.LString(b.String()))
	return 1
}

func isTransactionWord(s string) bool {
	return s == "COMMIT" || s == "ROLLBACK" || s == "BEGIN" || s == "START"
}

// upperASCII leaves bytes alone that are not ASCII: statements need not be
// UTF-8.
func upperASCII(s string) string {
	for i := range len(s) {
		if s[i]-'a' < 26 {
			b := []byte(s)
			for ; i < len(b); i++ {
				if b[i]-'a' < 26 {
					b[i] -= 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// pushTexts returns an array of the texts of all tokens that are no comments.
func pushTexts(l *lua.LState, quoteStrings bool) int {
	tokens := checkTokens(l, 1)
	n := tokens.len()
	texts := l.CreateTable(n, 0)
	for i := 1; i <= n; i++ {
		name, text, ok := tokens.at(i)
		if !ok || name == "TK_COMMENT" {
			continue
		}
		if quoteStrings && name == "TK_STRING" {
			text = quoteLua(text)
		}
		texts.Append(lua.LString(text))
	}
	l.Push(texts)
	return 1
}

// tokensToQuery returns SQL made of the tokens from to to. MySQL Proxy takes the
// marks off /*! */ and off names in back-ticks; what would be another statement
// without them keeps them here.
func tokensToQuery(l *lua.LState) int {
	tokens := checkTokens(l, 1)
	from, to := 1, tokens.len()
	if n, ok := intOf(l.Get(2)); ok {
		from = max(n, 1)
	}
	if n, ok := intOf(l.Get(3)); ok {
		to = min(n, to)
	}
	var b strings.Builder
	for i := from; i <= to; i++ {
		name, text, ok := tokens.at(i)
		if !ok || name == "TK_COMMENT" {
			continue
		}
		switch {
		case name == "TK_STRING":
			text = quoteLua(text)
		case name == "TK_COMMENT_MYSQL":
			text = "/*!" + text + "*/"
		case tokens.list != nil && tokens.list.tokens[i-1].quote == '`' && !isPlainName(text):
			text = "`" + strings.ReplaceAll(text, "`", "``") + "`"
		}
		b.WriteString(text)
		if name != "TK_FUNCTION" {
			b.WriteByte(' ')
		}
	}
	l.Push(lua.LString(b.String()))
	return 1
}

// isPlainName tells whether the lexer would take s for the same name again.
func isPlainName(s string) bool {
	return s != "" && s[0] != '@' && partLen(s) == len(s) && wordToken(s) == tokenLiteral
}

// quoteLua quotes as string.format does with %q in Lua 5.1.
func quoteLua(s string) string {
	b := make([]byte, 0, len(s)+2)
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\', '\n':
			b = append(b, '\\', c)
		case '\r':
			b = append(b, `\r`...)
		case 0:
			b = append(b, `\000`...)
		default:
			b = append(b, c)
		}
	}
	return string(append(b, '"'))
}
