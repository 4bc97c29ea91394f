package packet

// This file is what character sets mean to who reads SQL byte by byte.

// LexOfCollation is LexOfCharset for the collation of a login, by its number in
// information_schema.COLLATIONS.
func LexOfCollation(id byte) Lex {
	switch id {
	case 1, 84, // big5
		13, 88, // sjis
		95, 96, // cp932
		28, 87, // gbk
		19, 85, // euckr
		248, 249, 250: // gb18030
		return LexMultiByte
	case 10, 82: // swe7
		return LexUnknownCharset
	}
	return 0
}

// LexOfCharset says how statements in a character set are to be read, by its name
// in lower case: no flag if bytes below 0x80 are ASCII wherever they stand.
func LexOfCharset(name string) Lex {
	switch name {
	case "utf8mb4", "utf8", "utf8mb3", "latin1", "ascii", "binary", "latin2", "latin5", "latin7",
		"cp850", "cp852", "cp866", "cp1250", "cp1251", "cp1256", "cp1257", "koi8r", "koi8u", "dec8", "hp8", "hebrew", "greek", "tis620",
		"armscii8", "geostd8", "macce", "macroman", "keybcs2",
		"ujis", "eucjpms", "gb2312": // their trailing bytes have the highest bit
		return 0
	case "big5", "sjis", "cp932", "gbk", "gb18030", "euckr":
		return LexMultiByte
	}
	return LexUnknownCharset
}
