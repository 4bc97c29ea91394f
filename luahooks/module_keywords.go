package luahooks

import "strings"

// Ids of the tokens of mysql.tokenizer, as scripts see them. The keywords are
// between tokenLogicalOr and tokenMySQLComment.
const (
	tokenUnknown = iota
	tokenLE
	tokenGE
	tokenLT
	tokenGT
	tokenEQ
	tokenNE
	tokenString
	tokenComment
	tokenLiteral
	tokenFunction
	tokenInteger
	tokenFloat
	tokenDot
	tokenComma
	tokenAssign
	tokenOBrace
	tokenCBrace
	tokenSemicolon
	tokenStar
	tokenPlus
	tokenMinus
	tokenDiv
	tokenBitwiseAnd
	tokenBitwiseOr
	tokenBitwiseXor
	tokenLogicalAnd
	tokenLogicalOr
	firstKeyword

	tokenMySQLComment = 261
)

const symbolNames = `UNKNOWN LE GE LT GT EQ NE STRING COMMENT LITERAL FUNCTION INTEGER FLOAT DOT COMMA
ASSIGN OBRACE CBRACE SEMICOLON STAR PLUS MINUS DIV BITWISE_AND BITWISE_OR BITWISE_XOR LOGICAL_AND LOGICAL_OR`

// keywordNames stand in the order of their ids.
const keywordNames = `ACCESSIBLE ACTION ADD ALL ALTER ANALYZE AND AS ASC ASENSITIVE BEFORE BETWEEN BIGINT BINARY BIT BLOB
BOTH BY CALL CASCADE CASE CHANGE CHAR CHARACTER CHECK COLLATE COLUMN CONDITION CONSTRAINT CONTINUE
CONVERT CREATE CROSS CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER CURSOR DATABASE
DATABASES DATE DAY_HOUR DAY_MICROSECOND DAY_MINUTE DAY_SECOND DEC DECIMAL DECLARE DEFAULT DELAYED
DELETE DESC DESCRIBE DETERMINISTIC DISTINCT DISTINCTROW DIV DOUBLE DROP DUAL EACH ELSE ELSEIF
ENCLOSED ENUM ESCAPED EXISTS EXIT EXPLAIN FALSE FETCH FLOAT FLOAT4 FLOAT8 FOR FORCE FOREIGN FROM
FULLTEXT GRANT GROUP HAVING HIGH_PRIORITY HOUR_MICROSECOND HOUR_MINUTE HOUR_SECOND IF IGNORE IN
INDEX INFILE INNER INOUT INSENSITIVE INSERT INT INT1 INT2 INT3 INT4 INT8 INTEGER INTERVAL INTO IS
ITERATE JOIN KEY KEYS KILL LEADING LEAVE LEFT LIKE LIMIT LINEAR LINES LOAD LOCALTIME LOCALTIMESTAMP
LOCK LONG LONGBLOB LONGTEXT LOOP LOW_PRIORITY MASTER_SSL_VERIFY_SERVER_CERT MATCH MEDIUMBLOB
MEDIUMINT MEDIUMTEXT MIDDLEINT MINUTE_MICROSECOND MINUTE_SECOND MOD MODIFIES NATURAL NO NOT
NO_WRITE_TO_BINLOG NULL NUMERIC ON OPTIMIZE OPTION OPTIONALLY OR ORDER OUT OUTER OUTFILE PRECISION
PRIMARY PROCEDURE PURGE RANGE READ READ_ONLY READS READ_WRITE REAL REFERENCES REGEXP RELEASE RENAME
REPEAT REPLACE REQUIRE RESTRICT RETURN REVOKE RIGHT RLIKE SCHEMA SCHEMAS SECOND_MICROSECOND SELECT
SENSITIVE SEPARATOR SET SHOW SMALLINT SPATIAL SPECIFIC SQL SQL_BIG_RESULT SQL_CALC_FOUND_ROWS
SQLEXCEPTION SQL_SMALL_RESULT SQLSTATE SQLWARNING SSL STARTING STRAIGHT_JOIN TABLE TERMINATED TEXT
THEN TIME TIMESTAMP TINYBLOB TINYINT TINYTEXT TO TRAILING TRIGGER TRUE UNDO UNION UNIQUE UNLOCK
UNSIGNED UPDATE USAGE USE USING UTC_DATE UTC_TIME UTC_TIMESTAMP VALUES VARBINARY VARCHAR
VARCHARACTER VARYING WHEN WHERE WHILE WITH WRITE X509 XOR YEAR_MONTH ZEROFILL`

// tokenNames has TK_LITERAL, TK_SQL_SELECT and so on by id, keywords the ids by
// word in upper case, longestKeyword the longest one's length in bytes.
var tokenNames, keywords, longestKeyword = nameTokens()

func nameTokens() (names []string, ids map[string]uint16, longest int) {
	for _, name := range strings.Fields(symbolNames) {
		names = append(names, "TK_"+name)
	}
	ids = make(map[string]uint16)
	for _, word := range strings.Fields(keywordNames) {
		ids[word] = uint16(len(names))
		names = append(names, "TK_SQL_"+word)
		longest = max(longest, len(word))
	}
	return append(names, "TK_COMMENT_MYSQL"), ids, longest
}

// keywordPlaces has the keywords by what their letters add up to, each at its place
// or at the next free one behind it: a map's hash would be half of a lexer's time.
var keywordPlaces = func() (places [keywordRoom]keyword) {
	for word, id := range keywords {
		i := sumOf(word)
		for places[i].word != "" {
			i = (i + 1) % keywordRoom
		}
		places[i] = keyword{word, id}
	}
	return places
}()

const keywordRoom = 1024

type keyword struct {
	word string
	id   uint16
}

func sumOf(word string) (sum uint32) {
	for i := range len(word) {
		sum = sum*31 + uint32(word[i])
	}
	return sum % keywordRoom
}

// wordToken is the id of a word: a keyword's in any case, else tokenLiteral.
func wordToken(word string) uint16 {
	var buf [32]byte
	if len(word) > longestKeyword || len(word) > len(buf) {
		return tokenLiteral
	}
	sum := uint32(0)
	for i := range len(word) {
		c := word[i]
		if c-'a' < 26 {
			c -= 'a' - 'A'
		}
		buf[i] = c
		sum = sum*31 + uint32(c)
	}
	for i := sum % keywordRoom; ; i = (i + 1) % keywordRoom {
		switch k := &keywordPlaces[i]; k.word {
		case string(buf[:len(word)]):
			return k.id
		case "":
			return tokenLiteral
		}
	}
}
