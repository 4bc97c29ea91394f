package luahooks

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
)

func (s *stdlib) openTable(l *lua.LState) {
	s.library(l, "table", map[string]lua.LGFunction{
		"concat":   tableConcat,
		"foreach":  s.tableForEach,
		"foreachi": tableForEachI,
		"getn":     tableGetN,
		"insert":   tableInsert,
		"maxn":     s.tableMaxN,
		"remove":   tableRemove,
		"setn":     tableSetN,
		"sort":     tableSort,
	})
}

func tableConcat(l *lua.LState) int {
	t := checkTable(l, 1)
	sep := optString(l, 2, "")
	from := optInt(l, 3, 1)
	to := 0
	if l.Get(4) == lua.LNil {
		to = t.Len()
	} else {
		to = checkInt(l, 4)
	}
	var b strings.Builder
	for i := from; i <= to; i++ {
		switch v := rawGetInt(t, i).(type) {
		case lua.LString:
			b.WriteString(string(v))
		case lua.LNumber:
			b.WriteString(numberText(float64(v)))
		default:
			raisef(l, "invalid value (%s) at index %d in table for 'concat'", v.Type(), i)
		}
		if i < to {
			b.WriteString(sep)
		}
		if b.Len() > maxString {
			raise(l, "string length overflow")
		}
	}
	l.Push(lua.LString(b.String()))
	return 1
}

// callForEach calls the function of foreach and leaves its result on the stack if
// it is not nil.
func callForEach(l *lua.LState, f, key, value lua.LValue) bool {
	l.Push(f)
	l.Push(key)
	l.Push(value)
	l.Call(2, 1)
	if l.Get(-1) != lua.LNil {
		return true
	}
	l.Pop(1)
	return false
}

func (s *stdlib) tableForEach(l *lua.LState) int {
	t, f := checkTable(l, 1), checkFunction(l, 2)
	key := lua.LValue(lua.LNil)
	for {
		l.SetTop(0)
		l.Push(t)
		l.Push(key)
		if s.baseNext(l) == 1 {
			return 0
		}
		var value lua.LValue
		key, value = l.Get(-2), l.Get(-1)
		if callForEach(l, f, key, value) {
			return 1
		}
	}
}

func tableForEachI(l *lua.LState) int {
	t, f := checkTable(l, 1), checkFunction(l, 2)
	n := t.Len()
	for i := 1; i <= n; i++ {
		if callForEach(l, f, intValue(i), t.RawGetInt(i)) {
			return 1
		}
	}
	return 0
}

func tableGetN(l *lua.LState) int {
	l.Push(intValue(checkTable(l, 1).Len()))
	return 1
}

func tableSetN(l *lua.LState) int {
	checkTable(l, 1)
	raise(l, "'setn' is obsolete")
	return 0
}

func (s *stdlib) tableMaxN(l *lua.LState) int {
	t := checkTable(l, 1)
	most := lua.LNumber(t.MaxN())
	for _, k := range hashKeys(t) {
		if n, ok := k.(lua.LNumber); ok && n > most && t.RawGetH(k) != lua.LNil {
			most = n
		}
	}
	l.Push(most)
	return 1
}

// setInt is t[i] = v for any i.
func setInt(t *lua.LTable, i int, v lua.LValue) {
	if i > 0 && i < lua.MaxArrayIndex {
		if v == lua.LNil && i > len(arrayPart(t)) { // there is nothing to clear
			return
		}
		t.RawSetInt(i, v)
		return
	}
	t.RawSet(lua.LNumber(i), v)
}

func tableInsert(l *lua.LState) int {
	t := checkTable(l, 1)
	e := t.Len() + 1
	switch l.GetTop() {
	case 2:
		setInt(t, e, l.Get(2))
	case 3:
		pos := checkInt32(l, 2)
		for i := max(e, pos); i > pos; i-- {
			setInt(t, i, rawGetInt(t, i-1))
		}
		setInt(t, pos, l.Get(3))
	default:
		raise(l, "wrong number of arguments to 'insert'")
	}
	return 0
}

func tableRemove(l *lua.LState) int {
	t := checkTable(l, 1)
	e := t.Len()
	pos := e
	if l.Get(2) != lua.LNil {
		pos = checkInt32(l, 2)
	}
	if pos < 1 || pos > e {
		return 0
	}
	l.Push(t.RawGetInt(pos))
	for ; pos < e; pos++ {
		t.RawSetInt(pos, t.RawGetInt(pos+1))
	}
	t.RawSetInt(e, lua.LNil)
	return 1
}

// sorter sorts a table in place. The algorithm decides in which order elements
// come that compare equal: this is the one that PUC Lua has, a quicksort with the
// median of three.
type sorter struct {
	l    *lua.LState
	t    *lua.LTable
	less lua.LValue // nil: the operator <
}

func tableSort(l *lua.LState) int {
	s := sorter{l: l, t: checkTable(l, 1), less: lua.LNil}
	if l.Get(2) != lua.LNil {
		s.less = checkFunction(l, 2)
	}
	l.SetTop(2)
	s.sort(1, s.t.Len())
	return 0
}

func (s *sorter) at(i int) lua.LValue { return rawGetInt(s.t, i) }

func (s *sorter) swap(i, j int) {
	a, b := s.at(i), s.at(j)
	setInt(s.t, i, b)
	setInt(s.t, j, a)
}

// lessThan tells whether a comes before b.
func (s *sorter) lessThan(a, b lua.LValue) bool {
	if s.less != lua.LNil {
		return lua.LVAsBool(callMeta(s.l, s.less, a, b))
	}
	switch x := a.(type) {
	case lua.LNumber:
		if y, ok := b.(lua.LNumber); ok {
			return x < y
		}
	case lua.LString:
		if y, ok := b.(lua.LString); ok {
			return x < y
		}
	default:
		if a.Type() == b.Type() && metaOf(s.l, a, "__lt") != lua.LNil {
			return s.l.LessThan(a, b)
		}
	}
	raiseBare(s.l, compareError(a, b))
	return false
}

func compareError(a, b lua.LValue) string {
	if a.Type() == b.Type() {
		return "attempt to compare two " + a.Type().String() + " values"
	}
	return "attempt to compare " + a.Type().String() + " with " + b.Type().String()
}

// sort sorts the elements from low to high.
func (s *sorter) sort(low, high int) {
	for low < high {
		if s.lessThan(s.at(high), s.at(low)) {
			s.swap(low, high)
		}
		if high-low == 1 {
			return
		}
		middle := (low + high) / 2
		if s.lessThan(s.at(middle), s.at(low)) {
			s.swap(middle, low)
		} else if s.lessThan(s.at(high), s.at(middle)) {
			s.swap(middle, high)
		}
		if high-low == 2 {
			return
		}
		pivot := s.at(middle)
		s.swap(middle, high-1)
		i := s.partition(low, high, pivot)
		s.swap(high-1, i)
		// The smaller part by recursion, the larger in this loop.
		if i-low < high-i {
			s.sort(low, i-1)
			low = i + 1
		} else {
			s.sort(i+1, high)
			high = i - 1
		}
	}
}

// partition moves what comes before the pivot, which is at high-1, to the left.
func (s *sorter) partition(low, high int, pivot lua.LValue) int {
	i, j := low, high-1
	for {
		for i++; s.lessThan(s.at(i), pivot); i++ {
			if i > high {
				raise(s.l, "invalid order function for sorting")
			}
		}
		for j--; s.lessThan(pivot, s.at(j)); j-- {
			if j < low {
				raise(s.l, "invalid order function for sorting")
			}
		}
		if j < i {
			return i
		}
		s.swap(i, j)
	}
}
