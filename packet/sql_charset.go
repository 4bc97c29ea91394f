package packet

import "strings"

// LexCharset returns LexMultiByte, LexUnknownCharset or nothing for the name of
// a client's character set or of one of its collations, such as "gbk" or
// "gbk_chinese_ci".
func LexCharset(name string) Lex {
	name, _, _ = strings.Cut(strings.ToLower(name), "_")
	switch name {
	case "gbk", "gb18030", "big5", "sjis", "cp932", "euckr":
		return LexMultiByte
	case "utf8mb4", "utf8", "utf8mb3", "latin1", "latin2", "latin5", "latin7", "ascii", "binary", "ujis", "eucjpms",
		"gb2312", "cp1250", "cp1251", "cp1256", "cp1257", "cp850", "cp852", "cp866", "dec8", "hp8", "koi8r", "koi8u",
		"hebrew", "greek", "armscii8", "geostd8", "keybcs2", "macce", "macroman", "tis620":
		return 0
	}
	return LexUnknownCharset
}

// LexCollation returns the same for the number of a collation, as a client
// names its character set at login.
func LexCollation(id uint16) Lex {
	base := id
	if id > 1024 && id < 2048 { // MariaDB's collations without padding
		base = id - 1024
	}
	switch base {
	case 1, 84, // big5
		13, 88, // sjis
		19, 85, // euckr
		28, 87, // gbk
		95, 96: // cp932
		return LexMultiByte
	case 248, 249, 250: // gb18030
		return LexMultiByte
	case 10, 82: // swe7
		return LexUnknownCharset
	}
	return 0
}
