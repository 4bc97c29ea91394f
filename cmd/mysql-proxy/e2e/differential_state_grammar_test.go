package e2e

// Episodes about the state of a session; each begins with its weight and, if
// only some servers know it, their mark.

const stateGrammar = `
10
[[BEGIN|BEGIN WORK|START TRANSACTION|start$w transaction]]
$W
$R
? $R
? $W
? SELECT @@in_transaction
$R
[[COMMIT|ROLLBACK|COMMIT WORK|commit]]
$R

4
START TRANSACTION [[READ ONLY|WITH CONSISTENT SNAPSHOT|READ ONLY, WITH CONSISTENT SNAPSHOT|READ WRITE]]
$R
? $W
$R
[[COMMIT|ROLLBACK]]

2
BEGIN
$W
COMMIT AND CHAIN
$R
$W
ROLLBACK AND NO CHAIN
$R

3
BEGIN
$W
SAVEPOINT s
$W
$R
[[ROLLBACK TO SAVEPOINT s|ROLLBACK TO s|RELEASE SAVEPOINT s|ROLLBACK TO missing]]
$R
? $R
COMMIT

3
BEGIN
$W
[[CREATE TABLE n1 (a INT)|DROP TABLE IF EXISTS n1|TRUNCATE log|BEGIN|SET autocommit = 1|LOCK TABLES t1 READ|ALTER TABLE t2 COMMENT 'x']]
$R
ROLLBACK
$R
? UNLOCK TABLES

6
[[SET autocommit = 0|SET @@autocommit=OFF|SET SESSION autocommit = FALSE|set @@session.autocommit := 0|SET LOCAL autocommit=0|SET @x = 1, autocommit = 0|CALL p_off()]]
$R
$W
$R
? [[COMMIT|ROLLBACK]]
$R
? $W
[[SET autocommit = 1|SET @@autocommit = ON|SET autocommit = DEFAULT|SET @@SESSION.autocommit=TRUE, @x = 2]]
$R

2
SET [[|SESSION ]]TRANSACTION [[READ ONLY|READ WRITE|ISOLATION LEVEL READ COMMITTED|ISOLATION LEVEL SERIALIZABLE]]
$R
$W
$R
SET SESSION TRANSACTION READ WRITE

2
[[CALL p_begin()|SET completion_type = 1]]
$R
$W
? COMMIT
$R
? ROLLBACK
SET completion_type = 0

2
XA START '{db}1'
$W
? $R
XA END '{db}1'
[[XA ROLLBACK '{db}1'|XA COMMIT '{db}1' ONE PHASE|XA PREPARE '{db}1']]
? $R
? XA [[COMMIT|ROLLBACK]] '{db}1'
XA ROLLBACK '{db}1'
$R

8
SET @[[a|b]] = [[$n|$E|(SELECT MAX(id) FROM t1)]]
$R
SELECT @a, @b
? SELECT id FROM t1 WHERE a > @a ORDER BY id

3
SELECT @a := $n
SELECT @a, @b := @a + 1
? $R
SELECT @b

3
SELECT a, b INTO @a, @b FROM t1 WHERE id = $n
? SHOW WARNINGS
$R
SELECT @a, @b

2
SELECT ~@a~, '@a', "@b" AS x
SELECT @~a~, @'b', @"kept"

18
SET [[|SESSION |LOCAL |@@|@@session.|@@local.]]$V
$R
? SELECT $E, 1 / 3, 'a' = 'A'
? SELECT GROUP_CONCAT(b ORDER BY id) FROM t1
? $W
? SELECT "b", 'a\\' FROM t1 ORDER BY id LIMIT 1
$R

4
SET $V, [[@a = $n|$V|@@$V|SESSION $V|@a = @@sql_mode]]
SELECT $E
$R

3
SET @old = @@[[sql_mode|div_precision_increment|time_zone]], sql_mode = 'NO_BACKSLASH_ESCAPES'
SELECT 'a\', HEX('\')
$R
SET sql_mode = ''

2
SET sql_mode = 'NO_BACKSLASH_ESCAPES'
SELECT 'a\', GET_LOCK('{db}.1', 0), 'b'
SELECT 'a\', @a := 5, 'b'
SELECT 'a\', LAST_INSERT_ID(99), 'b'
SET sql_mode = ''
SELECT 'a\', LAST_INSERT_ID(98), \'b'
SELECT @a, LAST_INSERT_ID(), IS_USED_LOCK('{db}.1') = CONNECTION_ID()

2
SET sql_mode = 'ANSI_QUOTES'
SELECT "b", "id" FROM "t1" ORDER BY "id" LIMIT 2
SELECT "it's", LAST_INSERT_ID(97), 'x'
SELECT 'a' AS "x", @a, "b" FROM t1 ORDER BY id LIMIT 1
SET sql_mode = DEFAULT
SELECT LAST_INSERT_ID()

6
[[SET NAMES|SET CHARACTER SET|SET CHARSET]] [[utf8mb4|latin1|utf8|gbk|sjis|DEFAULT|'utf8mb4'|big5|nosuchset]]
SELECT 'Ä', HEX('Ä'), CHAR_LENGTH('Ä')
? SELECT b FROM t1 WHERE b = 'Äpfel' ORDER BY id
? $W
SELECT @@character_set_client, @@character_set_results, @@collation_connection
? SET NAMES utf8mb4 COLLATE utf8mb4_bin
? SELECT 'a' = 'A'

2
SET NAMES [[gbk|sjis|big5]]
:query "SELECT HEX('\x95\\'), 'x', LAST_INSERT_ID(96)"
:query "SELECT '\xbf\\', LAST_INSERT_ID(95), '"
:query "SELECT '\x95~', 1"
SET NAMES utf8mb4
SELECT LAST_INSERT_ID()

5
[[USE|use]]$w [[{db}x|~{db}x~]]
[[SELECT * FROM t1 ORDER BY id|SHOW TABLES|SELECT DATABASE()|INSERT INTO t1 (a) VALUES ($n)]]
SELECT COUNT(*) FROM t1
? $R
[[USE {db}|:init {db}]]
$R

3
:init {db}x
SELECT COUNT(*), DATABASE() FROM t1
+ :init {db}
SELECT COUNT(*), DATABASE() FROM t1
? :init missing
SELECT DATABASE()

2
CREATE DATABASE {db}y
USE {db}y
CREATE TABLE t1 (id INT AUTO_INCREMENT PRIMARY KEY, a INT, b VARCHAR(40), c INT, d INT)
$W
$R
DROP DATABASE {db}y
SELECT DATABASE()
$R
USE {db}

8
CREATE TEMPORARY TABLE [[tmp|tmp]] (a INT, b VARCHAR(20))
INSERT INTO tmp VALUES (1, 'x'), (2, 'y')
SELECT * FROM tmp ORDER BY a
$R
? UPDATE tmp SET b = 'z' WHERE a = 1
SELECT t1.id, tmp.b FROM t1 JOIN tmp ON tmp.a = t1.a ORDER BY t1.id
? SHOW CREATE TABLE tmp
DROP [[TEMPORARY |]]TABLE [[IF EXISTS |]]tmp
$R
? SELECT * FROM tmp

6
CREATE TEMPORARY TABLE [[|IF NOT EXISTS ]]t[[1|1|2]] (id INT AUTO_INCREMENT PRIMARY KEY, a INT, b VARCHAR(40), c INT, d INT, v TEXT, t1_id INT)
$R
$W
SELECT * FROM t1 ORDER BY id
? SHOW COLUMNS FROM t1
$R
[[DROP TEMPORARY TABLE t1|DROP TEMPORARY TABLE IF EXISTS t1, t2|DROP TEMPORARY TABLE t2|:reset]]
:init {db}
SELECT * FROM t1 ORDER BY id
$R

2
CREATE TEMPORARY TABLE tmp SELECT id, a FROM t1 WHERE a < 5
SELECT * FROM tmp ORDER BY id
ALTER TABLE tmp RENAME [[TO |]]tmp2
SELECT * FROM tmp2 ORDER BY id
SELECT * FROM tmp
CREATE TEMPORARY TABLE tmp3 LIKE t1
SELECT * FROM tmp3
DROP TABLE tmp2, tmp3

2
[[CALL p_temp()|/*!50000 CREATE TEMPORARY */ TABLE tmp (b INT)|/*!50000 CREATE */ TEMPORARY TABLE tmp (b INT)]]
SELECT * FROM tmp
$R
DROP TEMPORARY TABLE IF EXISTS tmp
SELECT * FROM tmp

4
LOCK TABLES t1 [[READ|WRITE|READ LOCAL]][[|, t2 READ|, t1 AS t READ]]
SELECT COUNT(*) FROM t1
$R
$W
? SELECT COUNT(*) FROM t3
[[UNLOCK TABLES|START TRANSACTION|:reset]]
:init {db}
$R
ROLLBACK

4
SELECT GET_LOCK('{db}.1', 0)
$R
SELECT IS_FREE_LOCK('{db}.1'), IS_USED_LOCK('{db}.1') = CONNECTION_ID()
? DO GET_LOCK('{db}.2', 0)
SELECT RELEASE_LOCK('{db}.[[1|2]]')
? SELECT RELEASE_ALL_LOCKS()
SELECT IS_FREE_LOCK('{db}.1'), IS_FREE_LOCK('{db}.2')
$R

1
CALL p_lock('{db}.1')
$R
SELECT IS_FREE_LOCK('{db}.1')
DO RELEASE_ALL_LOCKS()

2
CALL p_set($n)
SELECT 1 / 3
$R
SET div_precision_increment = DEFAULT

2
CALL p_user($n)
$R
SELECT @a, @b

4
HANDLER t1 OPEN
HANDLER t1 READ FIRST
$R
HANDLER t1 READ NEXT
? HANDLER t1 READ u = ($n)
? $W
HANDLER t1 CLOSE
HANDLER t1 READ NEXT

2
CREATE TABLE n1 (id INT AUTO_INCREMENT PRIMARY KEY, a INT)
INSERT INTO n1 (a) VALUES ($n), ($n)
SELECT * FROM n1 ORDER BY id
ALTER TABLE n1 ADD b INT DEFAULT 5
SELECT * FROM n1 ORDER BY id
? RENAME TABLE n1 TO n2
? SELECT * FROM n2 ORDER BY id
DROP TABLE IF EXISTS n1, n2
? SELECT * FROM n1

2
CREATE TABLE [[IF NOT EXISTS |]]n1 AS SELECT id, a FROM t1 WHERE a > $n
SELECT * FROM n1 ORDER BY id
CREATE [[OR REPLACE |]]VIEW n2 AS SELECT COUNT(*) AS n FROM n1
SELECT * FROM n2
DROP VIEW IF EXISTS n2
TRUNCATE TABLE n1
SELECT * FROM n1
DROP TABLE n1

1
CREATE FUNCTION fn() RETURNS INT [[DETERMINISTIC|NO SQL]] RETURN $n
SELECT fn()
DROP FUNCTION fn
SELECT fn()

5 mariadb
SELECT [[NEXTVAL(s1)|NEXT VALUE FOR s1|NEXTVAL(s1), LASTVAL(s1)|nextval ( s1 )]]
$R
SELECT [[LASTVAL(s1)|PREVIOUS VALUE FOR s1|SETVAL(s1, 10$n)]]
? SELECT next_not_cached_value, increment FROM s1
? INSERT INTO t1 (a) VALUES (NEXT VALUE FOR s1)
SELECT LASTVAL(s1)

2 mariadb
SET STATEMENT [[sql_select_limit = 2|div_precision_increment = 9|max_statement_time = 100]] FOR $R
$R
? SET STATEMENT sql_mode = '' FOR $W

2 mariadb
BEGIN NOT ATOMIC DECLARE x INT DEFAULT $n; SELECT x; SET @a = x; INSERT INTO log (what) VALUES ('block'); END
SELECT @a
$R

1 mariadb
EXECUTE IMMEDIATE '[[SELECT 5|SET @b = 5|INSERT INTO log (what) VALUES (1)|CREATE TEMPORARY TABLE tmp (b INT)|SET autocommit = 0]]'
$R
SELECT @b
SELECT * FROM tmp
DROP TEMPORARY TABLE IF EXISTS tmp
SET autocommit = 1

1 mariadb
[[IF 1 THEN SELECT 1; SET @a = 6; END IF|FOR i IN 1..3 DO INSERT INTO log (what) VALUES (i); END FOR]]
SELECT @a
$R

1
SET ROLE NONE
SELECT CURRENT_ROLE()
$R
`
