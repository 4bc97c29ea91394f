package luahooks

import (
	"math"

	lua "github.com/yuin/gopher-lua"
)

// tokenList is what mysql.tokenizer gives scripts: the tokens of a statement,
// and Lua objects for those that a script has looked at. It belongs to its Lua
// state.
type tokenList struct {
	lua.LUserData
	sql    string
	tokens []token
	// objects are made in blocks: a script that looks at one token looks at
	// its neighbours. A nil block has none yet.
	objects [][]tokenObject
	one     [1][]tokenObject // the blocks, if one is enough
	meta    *lua.LTable      // of the objects
}

// tokenObject is one token as userdata.
type tokenObject struct {
	lua.LUserData
	list *tokenList
	ndx  int // from 0
}

const (
	tokenBlock = 32     // objects
	tokenFreed = 0xffff // the id of a token that the script has given up
)

const (
	tokenListType = "mysql.tokenizer.list"
	tokenType     = "mysql.tokenizer.token"
)

// tokenNameValues are tokenNames as Lua has them.
var tokenNameValues = func() []lua.LValue {
	values := make([]lua.LValue, len(tokenNames))
	for i, name := range tokenNames {
		values[i] = lua.LString(name)
	}
	return values
}()

// openTokenizer is the loader of mysql.tokenizer.
func openTokenizer(l *lua.LState) int {
	mt := l.NewTypeMetatable(tokenListType)
	tokens := l.NewTypeMetatable(tokenType)
	l.SetFuncs(tokens, map[string]lua.LGFunction{"__index": tokenIndex})
	l.SetFuncs(mt, map[string]lua.LGFunction{
		"__len":      tokenListLen,
		"__newindex": tokenListNewIndex,
		"__index":    func(l *lua.LState) int { return tokenListIndex(l, tokens) },
	})
	n := pushModule(l, "tokenizer", map[string]lua.LGFunction{
		"tokenize": func(l *lua.LState) int {
			sql := l.CheckString(1)
			if len(sql) > maxStatement {
				l.ArgError(1, "statement too long")
			}
			l.Push(new(tokenList).of(l, sql, mt, tokens))
			return 1
		},
	})
	makeQuick(l.Get(-1).(*lua.LTable), map[string]quickCall{"tokenize": quickTokenize(l, mt, tokens)})
	return n
}

// maxStatement is the longest statement in bytes.
const maxStatement = math.MaxUint32

// of fills a list, new or used before, with the tokens of a statement. lists and
// tokens are the metatables.
func (list *tokenList) of(l *lua.LState, sql string, lists, tokens *lua.LTable) *lua.LUserData {
	if list.meta != tokens || list.Metatable != lua.LValue(lists) { // it is new
		list.LUserData = lua.LUserData{Value: list, Env: l.Env, Metatable: lists}
		list.objects, list.meta = nil, tokens
	}
	list.sql, list.tokens = sql, scanAll(list.tokens[:0], sql)
	if blocks := (len(list.tokens) + tokenBlock - 1) / tokenBlock; blocks > len(list.objects) {
		if list.objects == nil && blocks == 1 {
			list.objects = list.one[:]
		} else {
			list.objects = append(list.objects, make([][]tokenObject, blocks-len(list.objects))...)
		}
	}
	return &list.LUserData
}

func checkTokenList(l *lua.LState) *tokenList {
	list, ok := l.CheckUserData(1).Value.(*tokenList)
	if !ok {
		l.ArgError(1, "list of tokens expected")
	}
	return list
}

// checkTokenNdx is the index from 0 that a script has asked for; ok is false
// outside of the list.
func checkTokenNdx(l *lua.LState, list *tokenList) (ndx int, ok bool) {
	ndx, ok = intOf(l.Get(2))
	if !ok {
		l.TypeError(2, lua.LTNumber)
	}
	return ndx - 1, ndx >= 1 && ndx <= len(list.tokens)
}

func tokenListLen(l *lua.LState) int {
	l.Push(lua.LNumber(len(checkTokenList(l).tokens)))
	return 1
}

func tokenListIndex(l *lua.LState, mt *lua.LTable) int {
	list := checkTokenList(l)
	ndx, ok := checkTokenNdx(l, list)
	if !ok || list.tokens[ndx].id == tokenFreed {
		return 0
	}
	l.Push(list.object(ndx, mt))
	return 1
}

func (list *tokenList) object(ndx int, mt *lua.LTable) *lua.LUserData {
	block := &list.objects[ndx/tokenBlock]
	if n := min(tokenBlock, len(list.tokens)-ndx/tokenBlock*tokenBlock); len(*block) < n {
		*block = make([]tokenObject, min(tokenBlock, (n+7)&^7)) // for other statements too
	}
	o := &(*block)[ndx%tokenBlock]
	if o.list == nil {
		o.list, o.ndx = list, ndx
		o.Value, o.Metatable = o, mt
	}
	return &o.LUserData
}

// element is for the loop. tokenMeta is the metatable of a list's tokens.
func (list *tokenList) element(_ *vm, _ *lua.LUserData, i int) (lua.LValue, bool) {
	if i < 1 || i > len(list.tokens) || list.tokens[i-1].id == tokenFreed {
		return lua.LNil, true
	}
	return list.object(i-1, list.meta), true
}

// length is for the loop.
func (list *tokenList) length(*vm, *lua.LUserData) (int, bool) { return len(list.tokens), true }

// field is for the loop.
func (o *tokenObject) field(v *vm, _ *lua.LUserData, name string) (lua.LValue, bool) {
	t := o.list.tokens[o.ndx]
	if t.id == tokenFreed {
		return nil, false
	}
	switch name {
	case "text":
		return v.std.words.value(t.text(o.list.sql)), true
	case "token_name":
		return tokenNameValues[t.id], true
	case "token_id":
		return intValue(int(t.id)), true
	}
	return nil, false
}

// tokenListNewIndex frees a token: the only value that may be assigned is nil.
func tokenListNewIndex(l *lua.LState) int {
	list := checkTokenList(l)
	ndx, ok := checkTokenNdx(l, list)
	if l.Get(3) != lua.LNil {
		l.ArgError(3, "nil expected, tokens cannot be replaced")
	}
	if ok {
		list.tokens[ndx].id = tokenFreed
	}
	return 0
}

func tokenIndex(l *lua.LState) int {
	o, ok := l.CheckUserData(1).Value.(*tokenObject)
	if !ok {
		l.ArgError(1, "token expected")
	}
	t := o.list.tokens[o.ndx]
	if t.id == tokenFreed {
		l.RaiseError("tokens[%d] has been set to nil", o.ndx+1)
	}
	switch key := l.CheckString(2); key {
	case "text":
		l.Push(lua.LString(t.text(o.list.sql)))
	case "token_name":
		l.Push(tokenNameValues[t.id])
	case "token_id":
		l.Push(lua.LNumber(t.id))
	default:
		l.RaiseError("tokens[...] has no %s field", key)
	}
	return 1
}
