package packet

import (
	"encoding/binary"
	"strconv"
)

// This file has the column definitions that come before the rows of a result,
// and behind a COM_STMT_PREPARE_OK.

// ColumnType is the type of a column, or of a value in a binary row.
type ColumnType byte

// The column types.
const (
	TypeDecimal    ColumnType = 0x00
	TypeTiny       ColumnType = 0x01
	TypeShort      ColumnType = 0x02
	TypeLong       ColumnType = 0x03
	TypeFloat      ColumnType = 0x04
	TypeDouble     ColumnType = 0x05
	TypeNull       ColumnType = 0x06
	TypeTimestamp  ColumnType = 0x07
	TypeLongLong   ColumnType = 0x08
	TypeInt24      ColumnType = 0x09
	TypeDate       ColumnType = 0x0a
	TypeTime       ColumnType = 0x0b
	TypeDatetime   ColumnType = 0x0c
	TypeYear       ColumnType = 0x0d
	TypeNewDate    ColumnType = 0x0e
	TypeVarchar    ColumnType = 0x0f
	TypeBit        ColumnType = 0x10
	TypeVector     ColumnType = 0xf2
	TypeJSON       ColumnType = 0xf5
	TypeNewDecimal ColumnType = 0xf6
	TypeEnum       ColumnType = 0xf7
	TypeSet        ColumnType = 0xf8
	TypeTinyBlob   ColumnType = 0xf9
	TypeMediumBlob ColumnType = 0xfa
	TypeLongBlob   ColumnType = 0xfb
	TypeBlob       ColumnType = 0xfc
	TypeVarString  ColumnType = 0xfd
	TypeString     ColumnType = 0xfe
	TypeGeometry   ColumnType = 0xff
)

var columnTypeNames = map[ColumnType]string{
	TypeDecimal: "DECIMAL", TypeTiny: "TINY", TypeShort: "SHORT", TypeLong: "LONG", TypeFloat: "FLOAT",
	TypeDouble: "DOUBLE", TypeNull: "NULL", TypeTimestamp: "TIMESTAMP", TypeLongLong: "LONGLONG",
	TypeInt24: "INT24", TypeDate: "DATE", TypeTime: "TIME", TypeDatetime: "DATETIME", TypeYear: "YEAR",
	TypeNewDate: "NEWDATE", TypeVarchar: "VARCHAR", TypeBit: "BIT", TypeVector: "VECTOR", TypeJSON: "JSON",
	TypeNewDecimal: "NEWDECIMAL", TypeEnum: "ENUM", TypeSet: "SET", TypeTinyBlob: "TINY_BLOB",
	TypeMediumBlob: "MEDIUM_BLOB", TypeLongBlob: "LONG_BLOB", TypeBlob: "BLOB", TypeVarString: "VAR_STRING",
	TypeString: "STRING", TypeGeometry: "GEOMETRY",
}

// String is the type's name in the protocol's documentation.
func (t ColumnType) String() string {
	if s, ok := columnTypeNames[t]; ok {
		return s
	}
	return "type" + strconv.Itoa(int(t))
}

// Flags of a column.
const (
	ColumnNotNull       uint16 = 0x0001
	ColumnPrimaryKey    uint16 = 0x0002
	ColumnUniqueKey     uint16 = 0x0004
	ColumnMultipleKey   uint16 = 0x0008
	ColumnBlob          uint16 = 0x0010
	ColumnUnsigned      uint16 = 0x0020
	ColumnZerofill      uint16 = 0x0040
	ColumnBinary        uint16 = 0x0080
	ColumnEnum          uint16 = 0x0100
	ColumnAutoIncrement uint16 = 0x0200
	ColumnTimestamp     uint16 = 0x0400
	ColumnSet           uint16 = 0x0800
)

// NoDecimals in Column.Decimals says that a number has as many as it needs.
const NoDecimals = 31

// columnFixedLen is the length in bytes of a definition's fixed part, which
// stands behind its own length.
const columnFixedLen = 12

// Column is a column definition. Its slices borrow the payload.
type Column struct {
	Catalog  []byte // always "def"
	Schema   []byte
	Table    []byte // the alias, if there is one
	OrgTable []byte
	Name     []byte // the alias, if there is one
	OrgName  []byte
	Extended []byte // see NextExtended; only with CapMariaDBExtendedMetadata
	// Default is the column's default value in the response to COM_FIELD_LIST;
	// nil is NULL. Other responses leave it out: HasDefault is false.
	Default    []byte
	HasDefault bool

	Collation uint16
	Length    uint32 // of the longest value, in bytes
	Type      ColumnType
	Flags     uint16
	Decimals  byte
}

// ParseColumn reads a column definition:
//
//	lenenc catalog, schema, table, org table, name, org name, [lenenc extended],
//	0C, u16 collation, u32 length, u8 type, u16 flags, u8 decimals, 2 reserved,
//	[lenenc default]
//
// caps are the capabilities in force.
func ParseColumn(payload []byte, caps Capability) (Column, error) {
	f := fields{b: payload}
	c := Column{
		Catalog: f.lenencString(), Schema: f.lenencString(), Table: f.lenencString(),
		OrgTable: f.lenencString(), Name: f.lenencString(), OrgName: f.lenencString(),
	}
	if caps&CapMariaDBExtendedMetadata != 0 {
		c.Extended = f.lenencString()
	}
	fixed := fields{b: f.lenencString()}
	c.Collation = fixed.u16()
	c.Length = fixed.u32()
	c.Type = ColumnType(fixed.u8())
	c.Flags = fixed.u16()
	c.Decimals = fixed.u8()
	if len(f.b) > 0 {
		c.HasDefault = true
		if f.b[0] != lenencNull {
			c.Default = f.lenencString()
		}
	}
	if f.bad || fixed.bad {
		return Column{}, ErrMalformed
	}
	return c, nil
}

// Append appends the definition's payload.
func (c *Column) Append(dst []byte, caps Capability) []byte {
	dst = AppendLenEncString(dst, c.Catalog)
	dst = AppendLenEncString(dst, c.Schema)
	dst = AppendLenEncString(dst, c.Table)
	dst = AppendLenEncString(dst, c.OrgTable)
	dst = AppendLenEncString(dst, c.Name)
	dst = AppendLenEncString(dst, c.OrgName)
	if caps&CapMariaDBExtendedMetadata != 0 {
		dst = AppendLenEncString(dst, c.Extended)
	}
	dst = append(dst, columnFixedLen, byte(c.Collation), byte(c.Collation>>8))
	dst = binary.LittleEndian.AppendUint32(dst, c.Length)
	dst = append(dst, byte(c.Type), byte(c.Flags), byte(c.Flags>>8), c.Decimals, 0, 0)
	if c.HasDefault {
		dst = AppendTextValue(dst, c.Default)
	}
	return dst
}

// Kinds of MariaDB's extended metadata.
const (
	ExtendedType   byte = 0 // the type's name: "point", "inet6", "uuid"
	ExtendedFormat byte = 1 // how the value is written: "json"
)

// NextExtended cuts the first entry off a Column's Extended. value and rest
// alias b. ok is false at the end and where b is malformed; rest is empty only
// at the end.
func NextExtended(b []byte) (kind byte, value, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, b, false
	}
	value, rest, ok = LenEncString(b[1:])
	if !ok {
		return 0, nil, b, false
	}
	return b[0], value, rest, true
}

// AppendColumnCount appends the payload that opens a result with n columns, n
// at least 1 and definitions following.
func AppendColumnCount(dst []byte, n uint64, caps Capability) []byte {
	dst = AppendLenEnc(dst, n)
	if caps&(CapOptionalMetadata|CapMariaDBCacheMetadata) != 0 {
		dst = append(dst, 1)
	}
	return dst
}

// ParseColumnCount reads the payload that opens a result. follow is false if
// the definitions are left out because the client has them already.
//
// The byte that says so stands behind the count, whatever MySQL's documentation
// has.
func ParseColumnCount(payload []byte, caps Capability) (n uint64, follow bool, err error) {
	f := fields{b: payload}
	n, follow = f.lenenc(), true
	if caps&(CapOptionalMetadata|CapMariaDBCacheMetadata) != 0 && len(f.b) > 0 {
		follow = f.u8() != 0
	}
	// No table has more than 4096 columns; the servers' own counters have 16 bits.
	if f.bad || n == 0 || n > 1<<16-1 {
		return 0, false, ErrMalformed
	}
	return n, follow, nil
}
