package engine

import "mysqlproxy/packet"

// This file is what MySQL's prepared statements remember of their executions: a
// parameter keeps the type of the values that it has had, and what another value
// is taken for, and how a NULL is described, depends on that. (MariaDB's remember
// nothing.) So an execution runs only where the statement has had the same types as
// the client has sent; one that changes a type runs at home, as do all behind it.

// bound is what is known of a parameter: the kind of its values in the low bits, 0
// before it has had any, and who has seen one.
type bound byte

const (
	boundHome   bound = 0x80
	boundReader bound = 0x40
	boundKind   bound = 0x3f
)

// The kinds of values that are one type to a statement.
const (
	kindNone bound = iota
	kindInt
	kindUnsigned
	kindDouble
	kindDecimal
	kindText
	kindDate
	kindTime
	kindDatetime
	kindOther // each of them is a type of its own
)

// kindOf is the kind of a parameter's type, of which flags is the second byte.
func kindOf(t packet.ColumnType, flags byte) bound {
	switch t {
	case packet.TypeTiny, packet.TypeShort, packet.TypeInt24, packet.TypeLong, packet.TypeLongLong, packet.TypeYear:
		if flags&0x80 != 0 {
			return kindUnsigned
		}
		return kindInt
	case packet.TypeFloat, packet.TypeDouble:
		return kindDouble
	case packet.TypeDecimal, packet.TypeNewDecimal:
		return kindDecimal
	case packet.TypeVarchar, packet.TypeVarString, packet.TypeString, packet.TypeTinyBlob, packet.TypeMediumBlob, packet.TypeLongBlob, packet.TypeBlob:
		return kindText
	case packet.TypeDate, packet.TypeNewDate:
		return kindDate
	case packet.TypeTime:
		return kindTime
	case packet.TypeDatetime, packet.TypeTimestamp:
		return kindDatetime
	case packet.TypeNull:
		return kindNone
	}
	return kindOther
}

// values has a value of each kind, as an execution that binds it has it: its type,
// and its bytes.
var values = [...]struct {
	of    [2]byte
	value string
}{
	kindNone:     {of: [2]byte{byte(packet.TypeNull), 0}},
	kindInt:      {[2]byte{byte(packet.TypeTiny), 0}, "\x00"},
	kindUnsigned: {[2]byte{byte(packet.TypeTiny), 0x80}, "\x00"},
	kindDouble:   {[2]byte{byte(packet.TypeFloat), 0}, "\x00\x00\x00\x00"},
	kindDecimal:  {[2]byte{byte(packet.TypeNewDecimal), 0}, "\x010"},
	kindText:     {[2]byte{byte(packet.TypeVarString), 0}, "\x00"},
	kindDate:     {[2]byte{byte(packet.TypeDate), 0}, "\x00"},
	kindTime:     {[2]byte{byte(packet.TypeTime), 0}, "\x00"},
	kindDatetime: {[2]byte{byte(packet.TypeDatetime), 0}, "\x00"},
	kindOther:    {of: [2]byte{byte(packet.TypeNull), 0}},
}

// binding is how an execution stands to what its statement remembers.
type binding struct {
	changes bool // a type, or it is not known whether it does
	home    bool // home has seen all that matters to it
	reader  bool // the reader has
}

// binding says it of an execution with types; nil: they are not known. named: a name
// follows each.
func (st *statement) binding(e *packet.Execute, types []byte, named bool) binding {
	b := binding{changes: types == nil, home: true, reader: true}
	for i, was := range st.bounds {
		k, null := kindNone, true
		if types != nil {
			k, types = nextKind(types, named)
			null = k == kindNone || e.Nulls[i/8]&(1<<(i%8)) != 0
		}
		switch kind := was & boundKind; {
		case kind == kindNone:
			b.changes = b.changes || !null && k == kindOther
		case !null && (k != kind || k == kindOther):
			b.changes = true
		case null:
			b.home = b.home && was&boundHome != 0
			b.reader = b.reader && was&boundReader != 0
		}
	}
	if b.changes { // it is a change from all of that
		for _, was := range st.bounds {
			b.home = b.home && (was == 0 || was&boundHome != 0)
		}
	}
	return b
}

// binds is told that an execution with such types goes to who.
func (st *statement) binds(e *packet.Execute, types []byte, named bool, who bound) {
	for i := range st.bounds {
		var k bound
		if k, types = nextKind(types, named); k != kindNone && e.Nulls[i/8]&(1<<(i%8)) == 0 {
			st.bounds[i] = st.bounds[i]&^boundKind | k | who
		}
	}
}

// nextKind is the kind of the first of a list of types, and the rest of that. What is
// not in the list, which may be that of an execution with fewer parameters, is
// kindOther.
func nextKind(types []byte, named bool) (k bound, rest []byte) {
	if len(types) < 2 {
		return kindOther, types[:0]
	}
	k, rest = kindOf(packet.ColumnType(types[0]), types[1]), types[2:]
	if named {
		_, rest, _ = packet.LenEncString(rest)
	}
	return k, rest
}

// remind has home bind the types that only the reader has seen, by an execution of
// the proxy's own. st only reads.
func (sp *splitting) remind(st *statement) {
	n := len(st.bounds)
	e := packet.Execute{Statement: st.home, Iterations: 1, Params: n, Nulls: make([]byte, (n+7)/8), HasTypes: true}
	named := sp.home.caps&packet.CapQueryAttributes != 0
	if named {
		e.Flags = packet.ExecuteCounted
	}
	for i := range st.bounds {
		v := &values[st.bounds[i]&boundKind]
		e.Types = append(e.Types, v.of[:]...)
		if named {
			e.Types = append(e.Types, 0)
		}
		if e.Values = append(e.Values, v.value...); v.value == "" {
			e.Nulls[i/8] |= 1 << (i % 8)
		}
		if st.bounds[i] != 0 {
			st.bounds[i] |= boundHome
		}
	}
	st.homeTypes = 0 // the client's it gets with the next execution
	sp.ask(sp.home, ownTypes, e.Append(nil, sp.home.caps))
}
