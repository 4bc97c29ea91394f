package luahooks

import (
	"unsafe"

	lua "github.com/yuin/gopher-lua"
)

// gopher-lua's tables never forget a key: one that was cleared stays in the list
// of keys and in the index of that list, and the array part never becomes shorter.
// A script that keeps something for each connection would take ever more memory.
// compactTables gives it back.

// leastCleared is how many cleared keys a table has at least before it is worth it.
const leastCleared = 64

// compactTables goes over all tables that the state and the roots reach, and makes
// those smaller that are mostly empty; it tells how many. It may be called between
// any two instructions: walks of pairs go on as they would have. Its time grows with
// what is reached, as that of a full collection does.
func compactTables(l *lua.LState, roots ...lua.LValue) int {
	c := compactor{seen: map[lua.LValue]struct{}{}}
	c.add(l.G.Global)
	c.add(l.G.Registry)
	c.add(l.Env)
	for _, v := range roots {
		c.add(v)
	}
	for f := currentFrame(l); f.ok(); f = f.caller() {
		c.add(f.fn())
	}
	for len(c.next) > 0 {
		v := c.next[len(c.next)-1]
		c.next = c.next[:len(c.next)-1]
		c.visit(v)
	}
	if s := shared(l); s != nil {
		s.compacted += c.compacted
	}
	return c.compacted
}

// compactor is one pass.
type compactor struct {
	seen      map[lua.LValue]struct{}
	next      []lua.LValue
	compacted int
}

// add notes a value that may lead to tables.
func (c *compactor) add(v lua.LValue) {
	switch v := v.(type) {
	case *lua.LTable:
		if v == nil {
			return
		}
	case *lua.LFunction:
		if v == nil {
			return
		}
	case *lua.LUserData:
		if v == nil {
			return
		}
	default:
		return
	}
	if _, ok := c.seen[v]; !ok {
		c.seen[v] = struct{}{}
		c.next = append(c.next, v)
	}
}

func (c *compactor) visit(v lua.LValue) {
	switch v := v.(type) {
	case *lua.LTable:
		if compact(v) {
			c.compacted++
		}
		c.add(v.Metatable)
		v.ForEach(func(key, value lua.LValue) {
			c.add(key)
			c.add(value)
		})
	case *lua.LFunction:
		c.add(v.Env)
		for _, up := range v.Upvalues {
			if up != nil {
				c.add(up.Value())
			}
		}
	case *lua.LUserData:
		c.add(v.Env)
		c.add(v.Metatable)
	}
}

// compact makes a table smaller if most of its keys, or of its array part's end,
// are cleared.
func compact(t *lua.LTable) bool {
	p := unsafe.Pointer(t)
	done := false
	keys := field[[]lua.LValue](p, ofTable.keys)
	texts := field[map[string]lua.LValue](p, ofTable.strings)
	others := field[map[lua.LValue]lua.LValue](p, ofTable.others)
	if live := len(*texts) + len(*others); len(*keys)-live > max(leastCleared, live) {
		kept := make([]lua.LValue, 0, live)
		places := make(map[lua.LValue]int, live)
		for _, k := range *keys {
			if t.RawGetH(k) != lua.LNil {
				places[k] = len(kept)
				kept = append(kept, k)
			}
		}
		*keys = kept
		*field[map[lua.LValue]int](p, ofTable.places) = places
		*texts, *others = smaller(*texts), smaller(*others)
		done = true
	}
	array := field[[]lua.LValue](p, ofTable.array)
	if n := t.MaxN(); cap(*array)-n > max(leastCleared, n) {
		*array = append(make([]lua.LValue, 0, n), (*array)[:n]...)
		done = true
	}
	return done
}

// smaller is m without the room that deleted entries have left.
func smaller[K comparable](m map[K]lua.LValue) map[K]lua.LValue {
	if m == nil {
		return nil
	}
	n := make(map[K]lua.LValue, len(m))
	for k, v := range m {
		n[k] = v
	}
	return n
}
