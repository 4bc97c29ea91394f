package luahooks

import (
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"

	"mysqlproxy/engine/hook"
)

// What functions in Go do when the loop calls them without a frame: the everyday
// case of each. Whatever they refuse goes the usual way, and errors with it.

type quickCall = func(args []lua.LValue) (value lua.LValue, ok bool)

// makeQuick puts functions in the places of those that they stand for.
func makeQuick(lib *lua.LTable, quick map[string]quickCall) {
	for name, call := range quick {
		if fn, ok := lib.RawGetString(name).(*lua.LFunction); ok {
			lib.RawSetString(name, newQuick(fn.Env, fn.GFunction, call))
		}
	}
}

// quickString are functions of the library string.
var quickString = map[string]quickCall{
	"byte": func(args []lua.LValue) (lua.LValue, bool) {
		str, ok := stringArg(args)
		if !ok || len(args) > 2 {
			return nil, false
		}
		at := 1
		if len(args) == 2 {
			n, ok := args[1].(lua.LNumber)
			if !ok {
				return nil, false
			}
			at = fromEnd(cutInt(float64(n)), len(str))
		}
		if at < 1 || at > len(str) {
			return lua.LNil, true
		}
		return smallNumbers[str[at-1]], true
	},
	"char": func(args []lua.LValue) (lua.LValue, bool) {
		if len(args) != 1 {
			return nil, false
		}
		n, ok := args[0].(lua.LNumber)
		if !ok || !(n >= 0 && n < 256) {
			return nil, false
		}
		return oneByte[byte(n)], true
	},
	"len": func(args []lua.LValue) (lua.LValue, bool) {
		str, ok := stringArg(args)
		return intValue(len(str)), ok
	},
	"lower": func(args []lua.LValue) (lua.LValue, bool) {
		str, ok := stringArg(args)
		if !ok {
			return nil, false
		}
		if b := lowerBytes(str); b != nil {
			return bytesValue(b), true
		}
		return args[0], true
	},
	"sub": func(args []lua.LValue) (lua.LValue, bool) {
		str, ok := stringArg(args)
		if !ok || len(args) < 2 || len(args) > 3 {
			return nil, false
		}
		from, ok := args[1].(lua.LNumber)
		to := lua.LNumber(-1)
		if ok && len(args) == 3 {
			to, ok = args[2].(lua.LNumber)
		}
		if !ok {
			return nil, false
		}
		return subValue(args[0], str, cutInt(float64(from)), cutInt(float64(to))), true
	},
}

func (s *stdlib) quickUpper(args []lua.LValue) (lua.LValue, bool) {
	str, ok := stringArg(args)
	if !ok {
		return nil, false
	}
	return s.words.upperOf(args[0], str), true
}

func stringArg(args []lua.LValue) (string, bool) {
	if len(args) == 0 {
		return "", false
	}
	str, ok := args[0].(lua.LString)
	return string(str), ok
}

// quickBase are basic functions.
var quickBase = map[string]quickCall{
	"type": func(args []lua.LValue) (lua.LValue, bool) {
		if len(args) == 0 {
			return nil, false
		}
		return typeNames[args[0].Type()], true
	},
	"tonumber": func(args []lua.LValue) (lua.LValue, bool) {
		if len(args) != 1 {
			return nil, false
		}
		_, ok := args[0].(lua.LNumber)
		return args[0], ok
	},
	"tostring": func(args []lua.LValue) (lua.LValue, bool) {
		if len(args) != 1 {
			return nil, false
		}
		_, ok := args[0].(lua.LString)
		return args[0], ok
	},
}

// quickConcat joins strings and numbers.
func quickConcat(args []lua.LValue) (lua.LValue, bool) {
	return concatValues(args)
}

// quickBound lets a bound of a for loop pass.
func quickBound(args []lua.LValue) (lua.LValue, bool) {
	if len(args) != 1 {
		return nil, false
	}
	_, ok := args[0].(lua.LNumber)
	return args[0], ok
}

// quickTokenize is mysql.tokenizer's only function.
func quickTokenize(l *lua.LState, lists, tokens *lua.LTable) quickCall {
	sp := &shared(l).spare
	return func(args []lua.LValue) (lua.LValue, bool) {
		sql, ok := stringArg(args)
		if !ok || len(sql) > maxStatement {
			return nil, false
		}
		return sp.tokenList().of(l, sql, lists, tokens), true
	}
}

// quickFirstToken is first_stmt_token of proxy.tokenizer.
func quickFirstToken(args []lua.LValue) (lua.LValue, bool) {
	if len(args) == 0 {
		return nil, false
	}
	ud, ok := args[0].(*lua.LUserData)
	if !ok {
		return nil, false
	}
	list, ok := ud.Value.(*tokenList)
	if !ok {
		return nil, false
	}
	for i, t := range list.tokens {
		if t.id != tokenComment && t.id != tokenFreed {
			return list.object(i, list.meta), true
		}
	}
	return lua.LNil, true
}

// quickInjection is the arguments of proxy.queries:append() and prepend().
func (v *vm) quickInjection(args []lua.LValue) (q *hook.Queue, in *hook.Injection, ok bool) {
	if len(args) < 3 || len(args) > 4 {
		return nil, nil, false
	}
	ud, ok := args[0].(*lua.LUserData)
	if !ok {
		return nil, nil, false
	}
	s, ok := ud.Value.(*queries)
	if !ok || (*script)(s) != v.current {
		return nil, nil, false
	}
	id, ok := args[1].(lua.LNumber)
	text, ok2 := args[2].(lua.LString)
	if !ok || !ok2 {
		return nil, nil, false
	}
	needed := false
	if len(args) == 4 {
		switch options := args[3].(type) {
		case *lua.LNilType:
		case *lua.LTable:
			switch value := options.RawGetString(string(resultNeeded)).(type) {
			case *lua.LNilType:
			case lua.LBool:
				needed = bool(value)
			default:
				return nil, nil, false
			}
		default:
			return nil, nil, false
		}
	}
	q = s.session.Queue()
	in = q.New()
	in.ID, in.Query, in.ResultNeeded, in.Queued = truncate(float64(id)), string(text), needed, time.Now()
	return q, in, true
}

// quickFind is string.find.
func (s *stdlib) quickFind(args, results []lua.LValue) bool {
	if len(args) < 2 || len(args) > 4 {
		return false
	}
	subject, ok1 := args[0].(lua.LString)
	text, ok2 := args[1].(lua.LString)
	init := 0
	if len(args) > 2 {
		n, ok := args[2].(lua.LNumber)
		if !ok {
			return false
		}
		init = min(max(fromEnd(cutInt(float64(n)), len(subject))-1, 0), len(subject))
	}
	if !ok1 || !ok2 {
		return false
	}
	set := func(i int, value lua.LValue) {
		if i < len(results) {
			results[i] = value
		}
	}
	if isPlain(string(text)) || len(args) == 4 && truth(args[3]) {
		if at := strings.Index(string(subject[init:]), string(text)); at >= 0 {
			set(0, intValue(init+at+1))
			set(1, intValue(init+at+len(text)))
		}
		return true
	}
	m := s.matcher(string(subject), s.patterns.get(string(text), true))
	defer s.release(m)
	from, to := m.search(init)
	if m.failed != "" {
		return false
	}
	if to < 0 {
		return true
	}
	set(0, intValue(from+1))
	set(1, intValue(to))
	for i := range m.level {
		part, position, why := m.captured(i, from, to)
		switch {
		case why != "":
			return false
		case position != 0:
			set(i+2, intValue(position))
		case i+2 < len(results):
			set(i+2, stringValue(part, string(subject)))
		}
	}
	return true
}

// quickFindOne is string.find for its first result.
func (s *stdlib) quickFindOne(args []lua.LValue) (lua.LValue, bool) {
	results := [1]lua.LValue{lua.LNil}
	ok := s.quickFind(args, results[:])
	return results[0], ok
}
