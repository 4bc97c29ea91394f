package packet

// QueryText is the text of a COM_QUERY, without the query attributes that stand
// before it where CapQueryAttributes is in force:
//
//	03, lenenc parameters, lenenc 1 [, null bitmap, 01, types and names, values], text
//
// It borrows payload, which may end early. ok is false if the attributes are
// malformed or go beyond payload.
func QueryText(payload []byte, caps Capability) (text []byte, ok bool) {
	if len(payload) == 0 {
		return nil, false
	}
	if caps&CapQueryAttributes == 0 {
		return payload[1:], true
	}
	f := fields{b: payload[1:]}
	n := f.lenenc()
	f.lenenc() // of sets of them, always 1
	if n == 0 || f.bad {
		return f.b, !f.bad
	}
	if n > maxColumns {
		return nil, false
	}
	nulls := f.take(int(n+7) / 8)
	if f.u8() != 1 || f.bad {
		return nil, false
	}
	types := f
	for range n {
		f.u16()
		f.lenencString()
	}
	for i := range n {
		t := types.u16()
		types.lenencString()
		if f.bad {
			return nil, false
		}
		if nulls[i/8]>>(i%8)&1 != 0 {
			continue
		}
		_, rest, err := BinaryValue(f.b, ColumnType(t), t&0x8000 != 0)
		if err != nil {
			return nil, false
		}
		f.b = rest
	}
	return f.b, !f.bad
}
