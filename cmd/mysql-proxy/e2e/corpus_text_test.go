package e2e

import (
	"bytes"
	"fmt"
	"strings"
)

// Statements of the text protocol. Every case runs on a database made anew.
var textCases = []corpusCase{
	{name: "every column type", run: func(c *rawConn) {
		table, rows := types()
		c.query(table)
		c.query(rows)
		c.query("SELECT * FROM types ORDER BY id")
		c.query("SELECT * FROM types WHERE id < 0")
		c.query("SHOW FULL COLUMNS FROM types")
		c.query("SHOW CREATE TABLE types")
	}},
	{name: "first columns that look like headers", run: func(c *rawConn) {
		c.query("SELECT '', 1")
		c.query("SELECT NULL, NULL")
		c.query("SELECT NULL UNION SELECT '' UNION SELECT REPEAT('x', 251) UNION SELECT REPEAT('x', 254)")
		c.query("SELECT 1 WHERE 1 = 0")
		c.query("SELECT REPEAT('y', 65535), REPEAT('z', 65536)")
	}},
	{name: "300 columns", run: func(c *rawConn) {
		var cols []string
		for i := range 300 {
			cols = append(cols, fmt.Sprintf("%d AS c%d", i, i))
		}
		c.query("SELECT " + strings.Join(cols, ", "))
	}},
	{name: "many rows, sequence ids wrap", run: func(c *rawConn) {
		c.query("SELECT seq, REPEAT('r', seq) FROM seq_1_to_2000")
	}},
	{name: "OK packets", run: func(c *rawConn) {
		c.query("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(10))")
		c.query("INSERT INTO t (v) VALUES ('a'), ('b'), ('c')")
		c.query("UPDATE t SET v = 'x'")
		c.query("DELETE FROM t WHERE id > 1")
		c.query("INSERT INTO t VALUES (3000000000 - 900000000, 'big')")
		c.query("REPLACE INTO t VALUES (1, 'again')")
		c.query("DO 1")
		c.query("SET @a = 1")
		c.query("USE " + c.db)
		c.query("TRUNCATE t")
	}},
	{name: "errors", run: func(c *rawConn) {
		c.query("SELEC 1")
		c.query("SELECT * FROM nowhere")
		c.query("SELECT nothing")
		c.query("CREATE TABLE t (id INT PRIMARY KEY)")
		c.query("INSERT INTO t VALUES (1)")
		c.query("INSERT INTO t VALUES (1)")
		c.query("SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'made up', MYSQL_ERRNO = 31001")
		c.query("")
		c.query("/* only a comment */")
		c.query(";")
		c.query("USE nowhere")
	}},
	{name: "error in the middle of a result", run: func(c *rawConn) {
		c.query("SELECT o.seq, REPEAT('x', 30000), (SELECT s.seq FROM seq_1_to_9 s WHERE s.seq < o.seq - 6) FROM seq_1_to_10 o")
		c.query("SELECT 1")
	}},
	{name: "KILL QUERY in the middle of a result", run: func(c *rawConn) {
		done := killWhenSleeping(c.threadID)
		c.query("SELECT seq, REPEAT('x', 30000), IF(seq = 5, SLEEP(60), 0) FROM seq_1_to_10")
		if err := <-done; err != nil {
			c.tr.note("KILL QUERY: %v", err)
		}
		c.query("SELECT 'still here'")
	}},
	{name: "multi-statements", run: func(c *rawConn) {
		c.query("CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (2); SELECT * FROM t; DO 1; SELECT 1 WHERE 0; DROP TABLE t")
		c.query("SELECT 1; SELECT nothing; SELECT 2")
		c.query("SELECT 1; SELECT 2;")
		c.query("SELECT seq FROM seq_1_to_300; SELECT 'x'")
	}},
	{name: "CALL", run: func(c *rawConn) {
		c.query("CREATE PROCEDURE p(IN a INT, OUT b INT) BEGIN SELECT a; SELECT a, 'two'; SET b = a * 2; END")
		c.query("CREATE PROCEDURE none() BEGIN DO 1; END")
		c.query(cursorLoop)
		c.query("CREATE PROCEDURE fails() BEGIN SELECT 1; SIGNAL SQLSTATE '45000'; SELECT 2; END")
		c.query("CALL p(21, @b)")
		c.query("SELECT @b")
		c.query("CALL none()")
		c.query("CALL cur()")
		c.query("CALL fails()")
		c.query("CALL missing()")
		c.query("CALL p(1, @x); CALL p(2, @y); SELECT @x, @y")
	}},
	{name: "SELECT INTO and warnings", run: func(c *rawConn) {
		c.query("SELECT 1, 2 INTO @a, @b")
		c.query("SELECT @a, @b")
		c.query("SELECT seq FROM seq_1_to_2 INTO @c")
		c.query("SELECT CAST('12abc' AS SIGNED), 1/0")
		c.query("SHOW WARNINGS")
		c.query("SHOW COUNT(*) WARNINGS")
		c.query("DROP TABLE IF EXISTS nowhere")
		c.query("SHOW ERRORS")
	}},
	{name: "transactions", run: func(c *rawConn) {
		c.query("CREATE TABLE t (a INT) ENGINE=InnoDB")
		c.query("BEGIN")
		c.query("INSERT INTO t VALUES (1)")
		c.query("SELECT * FROM t")
		c.query("ROLLBACK")
		c.query("SET autocommit = 0")
		c.query("INSERT INTO t VALUES (2)")
		c.query("COMMIT AND CHAIN")
		c.query("SELECT * FROM t")
		c.query("SET autocommit = 1")
		c.query("START TRANSACTION READ ONLY")
		c.query("INSERT INTO t VALUES (3)")
		c.query("COMMIT")
	}},
	{name: "session tracking", run: func(c *rawConn) {
		c.query("SET session_track_state_change = 1, session_track_transaction_info = 'CHARACTERISTICS', session_track_system_variables = 'autocommit,time_zone,sql_mode,character_set_client,foreign_key_checks'")
		c.query("SET NAMES utf8mb4")
		c.query("SET time_zone = '+01:00', sql_mode = ANSI_QUOTES, foreign_key_checks = 0")
		c.query("CREATE TABLE t (a INT)")
		c.query("START TRANSACTION WITH CONSISTENT SNAPSHOT")
		c.query("SELECT * FROM t")
		c.query("INSERT INTO t VALUES (1)")
		c.query("COMMIT")
		c.query("USE mysql")
		c.query("SELECT 1; SET @x = 1; SELECT 2")
		c.query("CREATE TEMPORARY TABLE " + c.db + ".tt (a INT)")
	}},
	{name: "progress reports", only: []string{"mariadb", "mariadb eof"}, run: func(c *rawConn) {
		c.query("CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(100)) ENGINE=Aria")
		c.query("INSERT INTO t SELECT seq, REPEAT('x', 90) FROM seq_1_to_3000")
		c.query("ALTER TABLE t ADD KEY (b), ALGORITHM=COPY")
		c.query("CHECK TABLE t EXTENDED")
		c.query("REPAIR TABLE t")
		if c.reported == 0 {
			c.tr.note("no progress report came")
		}
		c.query("SELECT COUNT(*) FROM t")
	}},
	{name: "LOAD DATA LOCAL", run: func(c *rawConn) {
		c.query("CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(20))")
		load := "LOAD DATA LOCAL INFILE 'whatever' INTO TABLE t"
		c.file = []byte("1\tone\n2\ttwo\n3\tthree\n")
		c.query(load)
		c.file = nil
		c.query(load)
		c.query("LOAD DATA LOCAL INFILE 'whatever' INTO TABLE nowhere")
		c.file = []byte("4\tfour\n1\tagain\n")
		c.query("LOAD DATA LOCAL INFILE 'whatever' IGNORE INTO TABLE t")
		c.file = []byte("5\tfive\nx\ty\tz\n")
		c.query(load)
		c.query("SET sql_mode = 'STRICT_ALL_TABLES'")
		c.file = []byte("6\tsix\nnot a number\tseven\n")
		c.query(load)
		c.query("SELECT * FROM t")
		c.file = []byte("10\tten\n")
		c.query("SELECT 'before'; " + load + "; SELECT 'between'; INSERT INTO t VALUES (11, 'eleven'); SELECT * FROM t")
		c.query("CREATE TRIGGER refuse BEFORE INSERT ON t FOR EACH ROW IF NEW.a = 99 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no 99'; END IF")
		c.file = []byte("50\tx\n99\tx\n") // an ERR after the upload
		c.query(load)
		c.query(load + "; SELECT 'not reached'")
		c.file = []byte("12\tx\n")
		c.query("LOAD DATA LOCAL INFILE 'whatever' INTO TABLE nowhere; SELECT 'not reached'")
	}},
	{name: "LOAD DATA LOCAL of 20 MB", large: true, only: []string{"plain", "session track"}, run: func(c *rawConn) {
		c.query("CREATE TABLE t (a INT PRIMARY KEY, b TEXT) ENGINE=Aria")
		var b bytes.Buffer
		for i := range 20000 {
			fmt.Fprintf(&b, "%d\t%s\n", i, strings.Repeat("f", 1000))
		}
		c.file = b.Bytes()
		c.query("LOAD DATA LOCAL INFILE 'whatever' INTO TABLE t")
		c.query("SELECT COUNT(*), SUM(a), SUM(LENGTH(b)) FROM t")
		c.query("CREATE TRIGGER refuse BEFORE INSERT ON t FOR EACH ROW SIGNAL SQLSTATE '45000'")
		c.query("LOAD DATA LOCAL INFILE 'whatever' INTO TABLE t") // an error with the whole file still to come
		c.query("SELECT 'next'")
	}},
	{name: "payloads around the fragment limit", large: true, only: []string{"plain", "deprecate eof"}, run: func(c *rawConn) {
		for _, n := range []int{maxFragment - 4 - 1, maxFragment - 4, maxFragment - 4 + 1, 1 << 24, 1<<24 + 1} {
			c.query(fmt.Sprintf("SELECT REPEAT('r', %d)", n))
			c.query(fmt.Sprintf("SELECT 1, REPEAT('\xfe', %d), 2", n)) // a continuation that begins like a terminator
		}
		for _, n := range []int{maxFragment - 1, maxFragment, maxFragment + 1, 2 * maxFragment} {
			sql := "SELECT CRC32('"
			sql += strings.Repeat("q", n-1-len(sql)-2) + "')" // a payload of n bytes with the command byte
			c.query(sql)
		}
		c.query("SELECT 'after'")
	}},
	{name: "64 MiB both ways", large: true, only: []string{"plain"}, run: func(c *rawConn) {
		c.query("SELECT '" + strings.Repeat("ab", 32<<20) + "' AS big")
		c.query("SELECT REPEAT('x', 67108864), 'tail' UNION ALL SELECT 'short', 'row'")
		c.query("SELECT 'after'")
	}},
	{name: "too large for the server", only: []string{"plain"}, run: func(c *rawConn) {
		c.query("SELECT REPEAT('x', 1024*1024*1024*2)")
		c.query("SELECT 'after'")
	}},
}

// cursorLoop makes a procedure with a result set for each row of its cursor.
const cursorLoop = `CREATE PROCEDURE cur() BEGIN
 DECLARE n, done INT DEFAULT 0;
 DECLARE k CURSOR FOR SELECT seq FROM seq_1_to_3;
 DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = 1;
 OPEN k;
 l: LOOP FETCH k INTO n; IF done THEN LEAVE l; END IF; SELECT n; END LOOP;
 CLOSE k;
END`

// types are the statements that make and fill a table with a column of every
// type. MySQL has no type for addresses and none for UUIDs.
func types() (table, rows string) {
	if bed.mysql() {
		return strings.NewReplacer("INET6", "VARCHAR(45)", "UUID", "CHAR(36)").Replace(typesTable), typesRows
	}
	return typesTable, typesRows
}

const typesTable = `CREATE TABLE types (
 id INT PRIMARY KEY, ti TINYINT, tu TINYINT UNSIGNED, si SMALLINT, mi MEDIUMINT, bi BIGINT, bu BIGINT UNSIGNED ZEROFILL,
 f FLOAT, d DOUBLE, de DECIMAL(40,10), b1 BIT(1), b64 BIT(64), y YEAR, da DATE, ti0 TIME, ti6 TIME(6), dt DATETIME, dt6 DATETIME(6),
 ts TIMESTAMP NULL, ts6 TIMESTAMP(6) NULL, c CHAR(10), vc VARCHAR(100), cb CHAR(10) COLLATE utf8mb4_bin, bin BINARY(5), vb VARBINARY(100),
 tt TINYTEXT, tx TEXT, mt MEDIUMTEXT, lt LONGTEXT, tb TINYBLOB, bl BLOB, mb MEDIUMBLOB, lb LONGBLOB,
 e ENUM('a','b'), s SET('x','y','z'), js JSON, ip INET6, uu UUID, g GEOMETRY, p POINT
) CHARACTER SET utf8mb4`

const typesRows = `INSERT INTO types VALUES
 (1, -128, 255, -32768, 8388607, -9223372036854775808, 18446744073709551615, 1.5, -1e300, 123456789012345678901234567890.0123456789,
  b'1', b'1010101010', 2026, '2026-02-28', '-838:59:59', '12:34:56.789012', '9999-12-31 23:59:59', '2026-01-02 03:04:05.000006',
  '2020-01-01 00:00:00', '2020-01-01 00:00:00.123456', 'char', 'Grüße 🐬', 'bin', 'b', X'00FF00FE', 'tiny', 'text', 'medium', 'long',
  X'00', X'FF', X'FB', X'FE', 'b', 'x,z', '{"a": [1, null]}', '::ffff:1.2.3.4', '123e4567-e89b-12d3-a456-426655440000', POINT(1, 2), POINT(3, 4)),
 (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
  NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
 (3, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'0', 0, 0, '1000-01-01', '00:00:00', '00:00:00', '1000-01-01 00:00:00', '1000-01-01 00:00:00.000000',
  '1971-01-01 00:00:01', '1971-01-01 00:00:01', '', '', '', '', '', '', '', '', '', '', '', '', '', 'a', '', '0', '::', '00000000-0000-0000-0000-000000000000',
  POINT(0, 0), POINT(0, 0))`
