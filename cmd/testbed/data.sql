-- The database that every server of a testbed starts with. The same rows every
-- time: no random numbers, no current time. Statements end at a line's end.

SET NAMES utf8mb4;
SET time_zone = '+00:00';

-- 5000 rows for reads by key, ranges and large results.
CREATE TABLE items (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT,
  name VARCHAR(40) NOT NULL,
  price DECIMAL(10,2) NOT NULL,
  stock INT NOT NULL,
  added DATETIME NOT NULL,
  note TEXT,
  PRIMARY KEY (id),
  KEY stock (stock)
);
INSERT INTO items
  SELECT seq, CONCAT('item ', seq), seq * 1.25, (seq * 7919) % 1000,
         '2020-01-01 00:00:00' + INTERVAL seq HOUR,
         IF(seq % 10 = 0, NULL, REPEAT(CHAR(97 + seq % 26), seq % 200))
  FROM seq_1_to_5000;

-- Empty, for writes.
CREATE TABLE notes (
  id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  body TEXT NOT NULL
);

-- One column of every type that has a form of its own in a row. Row 1 has the
-- smallest values, row 2 the largest, row 3 only NULL, then come 200 others.
CREATE TABLE types (
  id INT NOT NULL PRIMARY KEY,
  t_tinyint TINYINT, t_utinyint TINYINT UNSIGNED, t_bool BOOL,
  t_smallint SMALLINT, t_usmallint SMALLINT UNSIGNED,
  t_mediumint MEDIUMINT, t_umediumint MEDIUMINT UNSIGNED,
  t_int INT, t_uint INT UNSIGNED, t_zerofill INT(8) UNSIGNED ZEROFILL,
  t_bigint BIGINT, t_ubigint BIGINT UNSIGNED,
  t_decimal DECIMAL(65,30), t_float FLOAT, t_double DOUBLE,
  t_bit1 BIT(1), t_bit64 BIT(64),
  t_date DATE, t_time TIME, t_time6 TIME(6), t_datetime DATETIME, t_datetime6 DATETIME(6),
  t_timestamp TIMESTAMP NULL, t_timestamp6 TIMESTAMP(6) NULL, t_year YEAR,
  t_char CHAR(10), t_varchar VARCHAR(255), t_latin1 VARCHAR(20) CHARACTER SET latin1,
  t_ucs2 VARCHAR(20) CHARACTER SET ucs2,
  t_binary BINARY(10), t_varbinary VARBINARY(255),
  t_tinytext TINYTEXT, t_text TEXT, t_mediumtext MEDIUMTEXT, t_longtext LONGTEXT,
  t_tinyblob TINYBLOB, t_blob BLOB, t_mediumblob MEDIUMBLOB, t_longblob LONGBLOB,
  t_enum ENUM('', 'small', 'medium', 'large'), t_set SET('a', 'b', 'c'),
  t_json JSON, t_inet6 INET6, t_uuid UUID, t_geometry GEOMETRY
);
INSERT INTO types VALUES (1,
  -128, 0, FALSE, -32768, 0, -8388608, 0, -2147483648, 0, 0, -9223372036854775808, 0,
  -99999999999999999999999999999999999.999999999999999999999999999999, -3.402823e38, -1.7976931348623157e308,
  b'0', b'0',
  '0001-01-01', '-838:59:59', '-838:59:59.999999', '0001-01-01 00:00:00', '0001-01-01 00:00:00.000000',
  '1970-01-01 00:00:01', '1970-01-01 00:00:01.000000', 1901,
  '', '', '', '', '', '', '', '', '', '', '', '', '', '',
  '', '', '{}', '::', '00000000-0000-0000-0000-000000000000', ST_GeomFromText('POINT(0 0)'));
INSERT INTO types VALUES (2,
  127, 255, TRUE, 32767, 65535, 8388607, 16777215, 2147483647, 4294967295, 99999999,
  9223372036854775807, 18446744073709551615,
  99999999999999999999999999999999999.999999999999999999999999999999, 3.402823e38, 1.7976931348623157e308,
  b'1', 18446744073709551615,
  '9999-12-31', '838:59:59', '838:59:59.999999', '9999-12-31 23:59:59', '9999-12-31 23:59:59.999999',
  '2038-01-19 03:14:07', '2038-01-19 03:14:07.999999', 2155,
  'zzzzzzzzzz', REPEAT('ž', 255), 'ÿÿÿÿ', '…€', REPEAT(x'FF', 10), REPEAT(x'FF', 255),
  REPEAT('t', 255), REPEAT('t', 65535), REPEAT('t', 70000), REPEAT('t', 300000),
  REPEAT(x'00', 255), REPEAT(x'FB', 65535), REPEAT(x'FE', 70000), REPEAT(x'FF', 300000),
  'large', 'a,b,c', '{"a": [1, 2, {"b": null}], "ž": "😀"}',
  'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'ffffffff-ffff-ffff-ffff-ffffffffffff',
  ST_GeomFromText('POLYGON((0 0, 10 0, 10 10, 0 10, 0 0))'));
INSERT INTO types (id) VALUES (3);
INSERT INTO types
  SELECT seq,
    seq % 127, seq % 255, seq % 2, seq * 100, seq * 200, seq * 10000, seq * 20000,
    seq * 1000000, seq * 2000000, seq, seq * 10000000000, seq * 20000000000,
    seq / 7, seq / 8, seq / 16, seq % 2, seq * 4294967296,
    '2000-01-01' + INTERVAL seq DAY, SEC_TO_TIME(seq * 61), SEC_TO_TIME(seq * 61.000001),
    '2000-01-01 00:00:00' + INTERVAL seq MINUTE, '2000-01-01 00:00:00' + INTERVAL seq MICROSECOND,
    '2000-01-01 00:00:00' + INTERVAL seq MINUTE, '2000-01-01 00:00:00' + INTERVAL seq MICROSECOND,
    1901 + seq % 255,
    CONCAT('c', seq), REPEAT('v', seq), 'façade', 'ucs',
    CONCAT('b', seq), REPEAT(x'00', seq),
    REPEAT('a', seq % 256), REPEAT('b', seq * 3), REPEAT('c', seq * 5), REPEAT('d', seq * 7),
    REPEAT(x'01', seq % 256), REPEAT(x'02', seq * 3), REPEAT(x'03', seq * 5), REPEAT(x'04', seq * 7),
    ELT(1 + seq % 3, 'small', 'medium', 'large'), seq % 8,
    CONCAT('{"n": ', seq, '}'), CONCAT('2001:db8::', HEX(seq)),
    CONCAT('00000000-0000-4000-8000-', LPAD(HEX(seq), 12, '0')), POINT(seq, -seq)
  FROM seq_4_to_203;

-- A procedure whose call answers with several result sets.
CREATE DEFINER = 'app'@'%' PROCEDURE two_results(IN n INT) SELECT n AS n UNION ALL SELECT n + 1;

-- Not transactional: what it takes stays after a ROLLBACK.
CREATE TABLE counters (
  name VARCHAR(64) NOT NULL PRIMARY KEY,
  n BIGINT NOT NULL DEFAULT 0
) ENGINE=MyISAM;
INSERT INTO counters (name) VALUES ('visits');
