package admin

import (
	"strconv"
	"strings"
	"time"

	"mysqlproxy/packet"
)

// This file is a result: columns with types, and rows of cells.

// columnKind is what the cells of a column are. Each may be nil, which is NULL:
// what is not known is never shown as 0.
type columnKind uint8

const (
	textColumn    columnKind = iota // string
	numberColumn                    // uint64 or int64
	secondsColumn                   // float64
	timeColumn                      // time.Time
	longColumn                      // as numberColumn, and
	stringColumn                    // as textColumn: the types that MySQL Proxy's own results had
)

type column struct {
	name string
	kind columnKind
	help string
}

// grid is a result.
type grid struct {
	columns []column
	rows    [][]any
}

// at is the index of the column with the name, -1 if there is none.
func (g *grid) at(name string) int {
	for i := range g.columns {
		if strings.EqualFold(g.columns[i].name, name) {
			return i
		}
	}
	return -1
}

// field is a column of T: its name, the type of its cells, and how a cell comes
// from a T.
type field[T any] struct {
	column
	of func(*T) any
}

// fill makes the result of a list.
func fill[T any](list []T, fields []field[T]) *grid {
	g := &grid{rows: make([][]any, len(list))}
	for _, f := range fields {
		g.columns = append(g.columns, f.column)
	}
	for i := range list {
		row := make([]any, len(fields))
		for j := range fields {
			row[j] = fields[j].of(&list[i])
		}
		g.rows[i] = row
	}
	return g
}

// Constructors of cells, for what may be unknown.

func known(ok bool, cell any) any {
	if !ok {
		return nil
	}
	return cell
}

// filled is a text that is NULL if there is none.
func filled(text string) any { return known(text != "", text) }

func yesNo(is bool) any {
	if is {
		return "yes"
	}
	return "no"
}

func toSeconds(d time.Duration) any { return d.Seconds() }

// number is a whole number as a cell.
func number[N int | int32 | int64 | uint32 | uint64](n N) any {
	if n < 0 {
		return int64(n)
	}
	return uint64(n)
}

// secondsDecimals is how exact times in seconds are shown: to the microsecond.
const secondsDecimals = 6

// timeFormat is in the proxy's own time zone, as the log is.
const timeFormat = "2006-01-02 15:04:05.000"

// cellText is a cell as a client reads it; ok is false for NULL.
func cellText(cell any) (text string, ok bool) {
	switch v := cell.(type) {
	case string:
		return v, true
	case uint64:
		return strconv.FormatUint(v, 10), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		text = strconv.FormatFloat(v, 'f', secondsDecimals, 64)
		text = strings.TrimRight(text, "0")
		return strings.TrimSuffix(text, "."), true
	case time.Time:
		return v.Local().Format(timeFormat), true
	}
	return "", false
}

// Limits of a result.
const (
	maxRows   = 100_000
	maxResult = 32 << 20 // bytes
	// maxColumns is many times what any view has. A * may be given more than once,
	// and each multiplies the rows of a view, which may be many.
	maxColumns = 256
)

// Character sets of columns.
const (
	collationUTF8MB4 = 45
	collationBinary  = 63
)

func (c *column) definition() packet.Column {
	d := packet.Column{Catalog: []byte("def"), Name: []byte(c.name), OrgName: []byte(c.name), Collation: collationBinary}
	switch c.kind {
	case numberColumn:
		d.Type, d.Length, d.Flags = packet.TypeLongLong, 20, packet.ColumnUnsigned|packet.ColumnBinary
	case secondsColumn:
		d.Type, d.Length, d.Flags, d.Decimals = packet.TypeDouble, 22, packet.ColumnBinary, packet.NoDecimals
	case timeColumn:
		d.Type, d.Length, d.Flags, d.Decimals = packet.TypeDatetime, uint32(len(timeFormat)), packet.ColumnBinary, 3
	case textColumn:
		d.Type, d.Length, d.Collation = packet.TypeVarString, 1024, collationUTF8MB4
	case longColumn:
		d.Type, d.Length, d.Flags = packet.TypeLong, 11, packet.ColumnBinary
	case stringColumn:
		d.Type, d.Length, d.Collation = packet.TypeString, 1024, collationUTF8MB4
	}
	return d
}

// protocol are the capabilities that the shape of a result depends on: the admin
// port offers none of them but this.
const protocol = packet.CapProtocol41

// payloads are those of the packets that a client gets.
func (g *grid) payloads() ([][]byte, error) {
	if len(g.rows) > maxRows {
		return nil, failed("these are %d rows, and %d are the most; narrow it by LIKE, WHERE or LIMIT", len(g.rows), maxRows)
	}
	end := packet.OK{Status: packet.StatusAutocommit}
	list := [][]byte{packet.AppendColumnCount(nil, uint64(len(g.columns)), protocol)}
	for i := range g.columns {
		d := g.columns[i].definition()
		for _, row := range g.rows {
			if n, signed := row[i].(int64); signed && n < 0 {
				d.Flags &^= packet.ColumnUnsigned
			}
		}
		list = append(list, d.Append(nil, protocol))
	}
	list = append(list, end.AppendEnd(nil, protocol))
	size := 0
	for _, row := range g.rows {
		var p []byte
		for _, cell := range row {
			if text, ok := cellText(cell); ok {
				p = packet.AppendLenEncString(p, text)
			} else {
				p = packet.AppendTextValue(p, nil)
			}
		}
		if size += len(p); size > maxResult {
			return nil, failed("the result is larger than %d MiB; narrow it by LIKE, WHERE or LIMIT", maxResult>>20)
		}
		list = append(list, p)
	}
	return append(list, end.AppendEnd(nil, protocol)), nil
}
