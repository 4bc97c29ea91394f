package luahooks

import (
	"io"
	"slices"
	"testing"
)

// Each answer is PUC Lua 5.1's.
func TestAssignmentToSeveralTargets(t *testing.T) {
	l := newLua(t, io.Discard)
	for _, row := range []struct {
		name, chunk string
		want        []string
	}{
		{"locals are swapped", `local a, b = 1, 2 a, b = b, a return a, b`, []string{"2", "1"}},
		{"three go round", `local a, b, c = 1, 2, 3 a, b, c = b, c, a return a, b, c`, []string{"2", "3", "1"}},
		{"a field and the local it is in", `local t = {x = 1} local u = t t, t.x = {x = 5}, 7 return t.x, u.x`, []string{"5", "7"}},
		{"an index is read first", `local i, t = 1, {} i, t[i] = i + 1, 20 return i, t[1], t[2]`, []string{"2", "20", "nil"}},
		{"a value uses another target", `local t = {x = 3} local c = 9 local d c, d = t.x, c return c, d`, []string{"3", "9"}},
		{"elements are swapped", `local t = {1, 2} t[1], t[2] = t[2], t[1] return t[1], t[2]`, []string{"2", "1"}},
		{"globals are swapped", `x, y = 1, 2 x, y = y, x return x, y`, []string{"2", "1"}},
		{"upvalues are swapped", `local a, b = 1, 2 local function f() a, b = b, a end f() return a, b`, []string{"2", "1"}},
		{"too few values", `local a, b = 1, 2 a, b = 5 return a, b`, []string{"5", "nil"}},
		{"too many values", `local a, b a, b = 1, 2, 3 return a, b`, []string{"1", "2"}},
		{"a call gives the rest", `local function f() return 1, 2, 3 end local a, b, c a, b, c = 0, f() return a, b, c`, []string{"0", "1", "2"}},
		{"a call in the middle gives one", `local function f() return 1, 2 end local a, b a, b = f(), 9 return a, b`, []string{"1", "9"}},
		{"varargs", `local function f(...) local a, b, c a, b, c = ... return a, b, c end return f(4, 5)`, []string{"4", "5", "nil"}},
		{"a call names the table", `local t = {} local function f() return t, 1 end f().x, f().y = 1, 2 return t.x, t.y`, []string{"1", "2"}},
		{"the last target is written first", `local t = {} t.a, t.a = 1, 2 return t.a`, []string{"1"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := run(t, l, row.chunk); !slices.Equal(got, row.want) {
				t.Errorf("%q, want %q", got, row.want)
			}
		})
	}
}
