package luahooks

import (
	"math"

	lua "github.com/yuin/gopher-lua"
)

// next in PUC Lua's order. gopher-lua walks over keys in the order they came;
// PUC Lua's depends on the hashes of the keys and on how its table grew. Scripts
// have come to rely on it (MySQL Proxy's own tests do), so the table that PUC Lua
// would have is computed when a walk begins, and the walk follows it.

// maxOrdered is the number of keys, cleared ones among them, beyond which a table
// is walked over in gopher-lua's order: nobody reads that much by eye.
const maxOrdered = 256

// walk is one walk over the hash part of a table.
type walk struct {
	table    *lua.LTable
	keys     []lua.LValue // in PUC Lua's order
	borrowed bool         // keys are the table's own: it has too many to be ordered
	at       int          // of the key that was given out last
}

// end ends the walk. It lets go of the table; keys is used again.
func (w *walk) end() {
	if w.borrowed {
		w.keys = nil
	}
	clear(w.keys)
	*w = walk{keys: w.keys[:0]}
}

// baseNext is next.
func (s *stdlib) baseNext(l *lua.LState) int {
	t := checkTable(l, 1)
	key := l.Get(2)
	if key == lua.LNil || isArrayIndex(t, key) {
		if k, v, ok := nextInArray(t, key); ok {
			l.Push(k)
			l.Push(v)
			return 2
		}
		return s.pushNext(l, s.begin(t), -1)
	}
	w := s.find(t, key)
	if w == nil {
		w = s.begin(t)
		for w.at = 0; w.at < len(w.keys) && w.keys[w.at] != key; w.at++ {
		}
		if w.at == len(w.keys) {
			raiseBare(l, "invalid key to 'next'")
		}
	}
	return s.pushNext(l, w, w.at)
}

// isArrayIndex tells whether key is in the array part.
func isArrayIndex(t *lua.LTable, key lua.LValue) bool {
	n, ok := key.(lua.LNumber)
	return ok && n >= 1 && n <= lua.LNumber(len(arrayPart(t))) && n == lua.LNumber(math.Trunc(float64(n)))
}

// nextInArray is the element of the array part behind key.
func nextInArray(t *lua.LTable, key lua.LValue) (k, v lua.LValue, ok bool) {
	from := 0
	if n, ok := key.(lua.LNumber); ok {
		from = int(n)
	}
	array := arrayPart(t)
	for i := from; i < len(array); i++ {
		if v := array[i]; v != nil && v != lua.LNil {
			return intValue(i + 1), v, true
		}
	}
	return nil, nil, false
}

// pushNext pushes the key behind the one at at, and its value.
func (s *stdlib) pushNext(l *lua.LState, w *walk, at int) int {
	for at++; at < len(w.keys); at++ {
		if v := w.table.RawGetH(w.keys[at]); v != lua.LNil { // not cleared on the way
			w.at = at
			l.Push(w.keys[at])
			l.Push(v)
			return 2
		}
	}
	w.end()
	l.Push(lua.LNil)
	return 1
}

// find is the walk over t that stands at key, nil if it is forgotten.
func (s *stdlib) find(t *lua.LTable, key lua.LValue) *walk {
	for i := range s.walks {
		w := &s.walks[i]
		if w.table != t {
			continue
		}
		if w.at < len(w.keys) && w.keys[w.at] == key {
			return w
		}
		for at, k := range w.keys {
			if k == key {
				w.at = at
				return w
			}
		}
	}
	return nil
}

// begin begins a walk over the hash part of t.
func (s *stdlib) begin(t *lua.LTable) *walk {
	var w *walk
	for i := range s.walks {
		if s.walks[i].table == nil || s.walks[i].table == t {
			w = &s.walks[i]
			break
		}
	}
	if w == nil {
		w = &s.walks[s.walkNext]
		s.walkNext = (s.walkNext + 1) % len(s.walks)
	}
	w.end()
	w.table = t
	if keys := hashKeys(t); len(keys) > maxOrdered {
		w.keys, w.borrowed = keys, true
	} else {
		w.keys = s.orderedKeys(w.keys, t)
	}
	return w
}

// orderedKeys appends the keys of the hash part of t.
func (s *stdlib) orderedKeys(dst []lua.LValue, t *lua.LTable) []lua.LValue {
	hashable := true
	for _, k := range hashKeys(t) {
		if t.RawGetH(k) == lua.LNil {
			continue
		}
		dst = append(dst, k)
		switch k.(type) {
		case lua.LString, lua.LNumber, lua.LBool:
		default: // PUC Lua orders these by their addresses
			hashable = false
		}
	}
	if !hashable || len(dst) < 2 {
		return dst
	}
	n := &s.nodes
	for _, k := range dst {
		n.insert(k)
	}
	dst = dst[:0]
	for _, node := range n.node {
		if node.key != nil {
			dst = append(dst, node.key)
		}
	}
	n.reset()
	return dst
}

// nodes is the hash part of one of PUC Lua's tables: Brent's variation of chained
// scattering. A colliding key takes the last free node; a key in a place that is
// another's main position makes room for it.
type nodes struct {
	node  []hashNode
	spare []hashNode // of the size before, to be used again
	free  int        // no node from here on is free
}

type hashNode struct {
	key  lua.LValue
	next int // the next node of the chain, -1 at its end
}

// reset makes the table empty.
func (n *nodes) reset() {
	clear(n.node)
	n.node, n.free = n.node[:0], 0
}

func (n *nodes) insert(key lua.LValue) {
	if len(n.node) == 0 {
		n.grow(key)
		return
	}
	main := n.mainPosition(key)
	if n.node[main].key == nil {
		n.node[main].key, n.node[main].next = key, -1
		return
	}
	free := -1
	for n.free > 0 {
		n.free--
		if n.node[n.free].key == nil {
			free = n.free
			break
		}
	}
	if free < 0 {
		n.grow(key)
		return
	}
	if other := n.mainPosition(n.node[main].key); other != main {
		// The key there is not at home: it moves to the free node.
		for n.node[other].next != main {
			other = n.node[other].next
		}
		n.node[other].next = free
		n.node[free] = n.node[main]
		n.node[main].key, n.node[main].next = key, -1
		return
	}
	n.node[free].key, n.node[free].next = key, n.node[main].next
	n.node[main].next = free
}

// grow makes room for one more key: the least power of two, and the keys go in
// again from the last node to the first.
func (n *nodes) grow(key lua.LValue) {
	old, spare := n.node, n.spare
	used := 1
	for _, node := range old {
		if node.key != nil {
			used++
		}
	}
	size := 1
	for size < used {
		size *= 2
	}
	n.spare, n.free = old, size
	n.node = append(spare[:0], make([]hashNode, size)...)
	for i := len(old) - 1; i >= 0; i-- {
		if old[i].key != nil {
			n.insert(old[i].key)
		}
	}
	clear(old) // it keeps no keys alive
	n.insert(key)
}

// mainPosition is the node where a key belongs.
func (n *nodes) mainPosition(key lua.LValue) int {
	size := uint32(len(n.node))
	switch k := key.(type) {
	case lua.LString:
		return int(hashString(string(k)) & (size - 1))
	case lua.LBool:
		if k {
			return int(1 & (size - 1))
		}
		return 0
	case lua.LNumber:
		if k == 0 {
			return 0
		}
		bits := math.Float64bits(float64(k))
		return int((uint32(bits) + uint32(bits>>32)) % ((size - 1) | 1))
	}
	return 0
}

// hashString is the hash of PUC Lua 5.1: of long strings not every byte counts.
func hashString(s string) uint32 {
	h := uint32(len(s))
	step := len(s)>>5 + 1
	for i := len(s); i >= step; i -= step {
		h ^= h<<5 + h>>2 + uint32(s[i-1])
	}
	return h
}
