package e2e

// Episodes about what refers to the statement before, prepared statements and
// commands beside COM_QUERY.

const diagnosticGrammar = `

10
[[INSERT INTO t1 (b) VALUES ('l')|INSERT INTO t2 (v) VALUES ('l'), ('m')|INSERT IGNORE INTO t1 (a) VALUES ($n)|INSERT INTO t1 (a) VALUES ($n)]]
? $R
SELECT [[LAST_INSERT_ID()|last_insert_id ( )|LAST_INSERT_ID/**/()|@@last_insert_id|@@identity|LAST_INSERT_ID() AS id, @@identity]]
? SELECT * FROM t1 WHERE id = LAST_INSERT_ID()
? INSERT INTO t2 (t1_id, v) VALUES (LAST_INSERT_ID(), 'of it')
$R

3
SELECT LAST_INSERT_ID($n)
$R
SELECT LAST_INSERT_ID()
? INSERT INTO log (what) VALUES ('x')
SELECT LAST_INSERT_ID()

2
SET sql_auto_is_null = 1
INSERT INTO t1 (b) VALUES ('null')
SELECT id, b FROM t1 WHERE id IS NULL
? SELECT id, b FROM t1 WHERE id IS NULL
SET sql_auto_is_null = 0

5
SELECT SQL_CALC_FOUND_ROWS id FROM t1 ORDER BY id LIMIT $n
? $R
SELECT FOUND_ROWS()

3
$R
SELECT FOUND_ROWS()

3
$W
SELECT ROW_COUNT()

3
$R
SELECT ROW_COUNT()[[|, FOUND_ROWS()]]

8
[[SELECT CAST('12abc' AS SIGNED)|SELECT 1 / 0|INSERT IGNORE INTO t1 (a, c) VALUES (1, 'x')|DROP TABLE IF EXISTS missing|SELECT missing|SELECT 1 + 'x', CAST('y' AS SIGNED)|$R|$W|CALL p_warn()]]
[[SHOW WARNINGS|SHOW ERRORS|SHOW COUNT(*) WARNINGS|SELECT @@warning_count|SELECT @@error_count, @@warning_count|SHOW WARNINGS LIMIT 1|show$w warnings|SHOW COUNT(*) ERRORS]]
? SHOW WARNINGS
? SELECT @@warning_count
? $R
? SHOW WARNINGS

2
SELECT 1 / 0
GET DIAGNOSTICS @a = NUMBER
SELECT @a
SHOW WARNINGS

2
SELECT * FROM t1 WHERE id = $n FOR [[UPDATE|SHARE]]
$R

2
BEGIN
SELECT id FROM t1 WHERE a < $n ORDER BY id [[FOR UPDATE|LOCK IN SHARE MODE|FOR SHARE|FOR UPDATE NOWAIT]]
$W
$R
ROLLBACK

4
CALL p_read($n)
? SELECT FOUND_ROWS()
? SHOW WARNINGS
$R

2
CALL p_write($n)
SELECT COUNT(*) FROM log
? SELECT LAST_INSERT_ID()

2
CALL p_out($n, @a)
$R
SELECT @a

1
CALL [[p_fail()|missing()|p_read()]]
SHOW WARNINGS
$R

4
SELECT [[writes($n)|writes($n), 1|writes(id) FROM t1 WHERE a < 3 ORDER BY id]]
SELECT * FROM log ORDER BY id
? SELECT LAST_INSERT_ID()

2
SELECT * FROM v_writes
SELECT COUNT(*) FROM log

2
SELECT keeps($n)
? $R
SELECT @kept

2
SET @kept = $n
? $R
SELECT tells()

4
:load "[[50\tfile\n51\tmore\n|1\tdup\n|x\ty\tz\n|]]" LOAD DATA LOCAL INFILE 'whatever' [[|IGNORE |REPLACE ]]INTO TABLE [[my|t3|missing]]
? SHOW WARNINGS
SELECT COUNT(*) FROM my
$R

1
:load "70\tfile\n" SELECT 1; LOAD DATA LOCAL INFILE 'whatever' INTO TABLE my; SELECT COUNT(*) FROM my
$R

3
SELECT 1; [[SELECT missing|SELECT LAST_INSERT_ID(9$n)|SET @a = 3|INSERT INTO t1 (b) VALUES ('m')|BEGIN|SET autocommit = 0|CREATE TEMPORARY TABLE tmp (a INT)|USE {db}x|SELECT GET_LOCK('{db}.1', 0)]]; SELECT 2
$R
SELECT @a, LAST_INSERT_ID(), DATABASE(), IS_FREE_LOCK('{db}.1')
? SELECT COUNT(*) FROM tmp
$R
? SET autocommit = 1
ROLLBACK
USE {db}
`

const statementGrammar = `

5
PREPARE [[s|~s~|S]] FROM '[[SELECT ?, id FROM t1 WHERE a > ? ORDER BY id|INSERT INTO t2 (t1_id, v) VALUES (?, ?)|SELECT ? + ? + LAST_INSERT_ID()]]'
SET @a = $n, @b = $n
EXECUTE s USING @a, @b
? $R
EXECUTE s USING @b, @a
? EXECUTE s USING @a
[[DEALLOCATE PREPARE s|DROP PREPARE s|:reset]]
:init {db}
EXECUTE s USING @a, @b
$R

2
PREPARE s FROM [['SELECT COUNT(*) FROM t1'|'SET @b = 4'|'SET autocommit = 0'|'CREATE TEMPORARY TABLE tmp (a INT)'|'BEGIN'|'SELECT broken('|@a]]
EXECUTE s
$R
SELECT @b, @@autocommit
? $W
? $R
DEALLOCATE PREPARE s
ROLLBACK
SET autocommit = 1
? SELECT * FROM tmp
DROP TEMPORARY TABLE IF EXISTS tmp

14
:prepare $p SELECT [[?, id, b FROM t1 WHERE a > ? ORDER BY id|a + ? FROM t1 WHERE id = ?|CONCAT(?, ?)|?, ?, COUNT(*) FROM t2]]
:execute $p i$n i$n
? $R
? $W
:execute $p [[typeless |]]i$n i$n
? :execute $p s"text" n
? :execute $p cursor d1.5 L77
? :fetch $p 2
? :execute $p [[i1|i1 i2 i3|]]
? :rewind $p
:execute $p y3 s"4"
[[:close $p|:ping]]
:execute $p i$n i$n
$R

6
:prepare $p [[INSERT INTO t1 (a, b) VALUES (?, ?)|UPDATE t1 SET a = a + ? WHERE b = ?|REPLACE INTO t3 (n, k) VALUES (?, ?)|DELETE FROM t2 WHERE id = ? OR v = ?]]
:execute $p i$n s"bound"
? SELECT LAST_INSERT_ID(), ROW_COUNT()
$R
:execute $p typeless i1$n s"again"
? :execute $p i$n n
$R
:close $p

6
:prepare $p $R
:execute $p
? $W
? SET $V
:execute $p
? :close $p

4
:prepare $p SELECT * FROM t1 WHERE a > ? ORDER BY id
:execute $p i$n
ALTER TABLE t1 [[ADD COLUMN e INT DEFAULT 3|DROP COLUMN e|MODIFY b VARCHAR(60)|ADD KEY (c)]]
:execute $p typeless i$n
? :execute $p cursor i0
? :fetch $p 1
:execute $p i$n
:close $p

5
:prepare $p SELECT id, a, b FROM t1 WHERE a >= ? ORDER BY id
:execute $p cursor i$n
:fetch $p 1
? $R
? :prepare $q SELECT COUNT(*) FROM t2
? :execute $q
:fetch $p 2
? [[$W|:rewind $p|COMMIT|:execute $p i0]]
:fetch $p 100
:fetch $p 1
? :close $q
:close $p

3
:prepare $p [[INSERT INTO t2 (t1_id, v) VALUES (?, ?)|SELECT ? + 0, LENGTH(?)]]
:long $p 1 "long \x00 data "
? $R
:long $p 1 "in pieces"
? :long $p 9 "no such parameter"
? :rewind $p
:execute $p i$n l
:execute $p i$n s"short"
$R

3
:prepare $p SELECT [[@a|LAST_INSERT_ID()|FOUND_ROWS()|@@warning_count|@a := ?|?|GET_LOCK('{db}.1', 0) AS l|CONNECTION_ID() = {tid} AS same|DATABASE()|@@sql_mode|1 / 3|@@server_id|NULL FOR UPDATE]]
[[SET @a = $n|$W|$R|SET $V|SELECT 1 / 0]]
:execute $p
:execute $p i$n
$R
SELECT @a
DO RELEASE_ALL_LOCKS()

2
:prepare $p [[SET @a = ?|SET SESSION div_precision_increment = ?|SET autocommit = 0|BEGIN|CREATE TEMPORARY TABLE tmp (a INT)|USE {db}x|CALL p_read(?)|CALL p_out(?, ?)|DO ?|SHOW WARNINGS|SHOW TABLES|COMMIT]]
:execute $p i$n
? :execute $p
? :execute $p i$n i$n
$R
SELECT @a, 1 / 3, DATABASE()
? SELECT * FROM tmp
ROLLBACK
SET autocommit = 1
DROP TEMPORARY TABLE IF EXISTS tmp
USE {db}

2
:prepare $p [[SELEC 1|SELECT * FROM missing|SELECT 1; SELECT 2|SELECT ?? FROM t1||SELECT 1;]]
:execute $p
? SHOW WARNINGS
$R

2
:prepare $p SELECT id FROM t1 WHERE a < ? ORDER BY id
CREATE TEMPORARY TABLE t1 (id INT, a INT)
:execute $p i9
DROP TEMPORARY TABLE t1
:execute $p typeless i9

2
:prepare $p SELECT COUNT(*), DATABASE() FROM t1
:execute $p
USE {db}x
:execute $p
:prepare $q SELECT COUNT(*), DATABASE() FROM t1
USE {db}
:execute $q
:execute $p

2
:prepare $p SELECT id FROM t1 WHERE a > ? ORDER BY id
DROP TABLE t1
:execute $p i1
CREATE TABLE t1 (id INT AUTO_INCREMENT PRIMARY KEY, a INT, b VARCHAR(40), c DECIMAL(10,2), d DATETIME)
:execute $p i1
$R

3
BEGIN
:prepare $p SELECT a, b FROM t1 WHERE id = ?
:execute $p i$n
$W
:execute $p typeless i$n
[[COMMIT|ROLLBACK]]
:execute $p i$n

2
+ :prepare $p SELECT ?, 'piped'
+ $R
+ :execute $p i1
+ :close $p
:execute $p i2
$R

2 mariadb
[[+ |]]:prepare $p SELECT [[?, 'last' FROM t1|? FROM missing|? + LAST_INSERT_ID()]]
:last i$n
? $R
:last i$n
:close $p
:last i$n

2 bulk
:prepare $p INSERT INTO t1 (a, b) VALUES (?, ?)
:bulk $p i6$n s"bulk" i7$n n i8$n s""
? SELECT LAST_INSERT_ID(), ROW_COUNT()
:bulk $p i6$n s"again"
$R

1
:prepare $p SELECT id FROM t1 WHERE a > ? ORDER BY id
:execute $p i1
:user [[app|other]]
:init {db}
:execute $p i1
$R
`

const commandGrammar = `

6
SET @a = $n, div_precision_increment = 7
? CREATE TEMPORARY TABLE tmp (a INT)
? BEGIN
? $W
:reset
SELECT @a, 1 / 3, DATABASE()
? SELECT * FROM tmp
:init {db}
$R

3
SET @a = $n, sql_mode = 'ANSI_QUOTES'
? SELECT GET_LOCK('{db}.1', 0)
? BEGIN
? $W
:user [[app|other]]
SELECT @a, CURRENT_USER(), DATABASE(), @@sql_mode, 1 / 3
:init {db}
$R
$W
$R

2
:option 1
SELECT 1; SELECT 2
$R
:option 0
SELECT 1; SELECT 2

1
:option 7
$R

3
:fields "[[t1\x00|t1\x00b%|missing\x00|t2\x00%|v1\x00]]"
$R

1
:raw [[5|6|12|15|16|29|80|254]] "argument"
$R

2
KILL QUERY {tid}
$R

1
[[COMMIT RELEASE|ROLLBACK RELEASE|KILL {tid}]]
:ping
:init {db}
$R

2
[[CHECK|ANALYZE|OPTIMIZE|CHECKSUM]] TABLE t3
$R

1 mariadb
ANALYZE UPDATE t3 SET n = n + 1 WHERE k = 'none'
SHOW WARNINGS

2
:hidden EXPLAIN [[SELECT * FROM t1 WHERE id = 1|DELETE FROM t1|UPDATE t3 SET n = 1]]
$R

2
FLUSH TABLES {db}.t1
$R

1
SHOW GRANTS
$R

1
:query "\xff\xfe"
:query ""
$R
`
