package packet

// This file takes rows apart, value by value, in the two forms they come in:
//
//	text row:    ( 0xFB | lenenc string )*
//	binary row:  00, NULL bitmap with 2 unused bits before it, values that are not NULL

// TextValue cuts the first value off a text row, or off what was left of one.
// A nil value is NULL, an empty string is not nil. Both results alias row. The
// row is at its end when nothing is left.
func TextValue(row []byte) (value, rest []byte, err error) {
	if len(row) == 0 {
		return nil, nil, ErrMalformed
	}
	if row[0] == lenencNull {
		return nil, row[1:], nil
	}
	value, rest, ok := LenEncString(row)
	if !ok {
		return nil, nil, ErrMalformed
	}
	return value, rest, nil
}

// AppendTextValue appends a value to a text row; nil is NULL.
func AppendTextValue(dst, value []byte) []byte {
	if value == nil {
		return append(dst, lenencNull)
	}
	return AppendLenEncString(dst, value)
}

// bitmapSkip is the number of bits that a binary row's NULL bitmap leaves
// unused at its beginning.
const bitmapSkip = 2

// BinaryRow goes through the values of a binary row, which it borrows. The
// values do not say what they are: Next has to be told.
type BinaryRow struct {
	nulls   []byte
	rest    []byte
	at      int // the next column
	columns int
}

// ParseBinaryRow opens a row of columns values.
func ParseBinaryRow(payload []byte, columns int) (BinaryRow, error) {
	f := fields{b: payload}
	if f.u8() != 0 || f.bad || columns < 0 || columns > 8*len(f.b) {
		return BinaryRow{}, ErrMalformed
	}
	nulls := f.take((columns + bitmapSkip + 7) / 8)
	if f.bad {
		return BinaryRow{}, ErrMalformed
	}
	return BinaryRow{nulls: nulls, rest: f.b, columns: columns}, nil
}

// Next returns the next value, which is of column c. It is ErrMalformed to ask
// for more values than the row has columns. Behind an error nothing of the row
// can be read any more.
func (r *BinaryRow) Next(c *Column) (Value, error) {
	if r.at >= r.columns {
		return Value{}, ErrMalformed
	}
	bit := r.at + bitmapSkip
	r.at++
	if r.nulls[bit/8]&(1<<(bit%8)) != 0 {
		return Value{}, nil
	}
	v, rest, err := BinaryValue(r.rest, c.Type, c.Flags&ColumnUnsigned != 0)
	if err != nil {
		r.at = r.columns
		return Value{}, err
	}
	r.rest = rest
	return v, nil
}

// Rest is what has not been read of the row. Behind the last value it is empty
// in a row that is sound.
func (r *BinaryRow) Rest() []byte { return r.rest }
