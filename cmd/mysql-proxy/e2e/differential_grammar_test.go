package e2e

// The grammar of scripts: reads, writes, settings and what they are made of.
// See expansion for its signs; ~ stands for a backtick. Nothing here depends on
// the time, on chance or on a plan (whose joins shape a column's flags): rows have a total order wherever there is
// more than one, which also holds when a session limits or sorts them oddly.

const readGrammar = `
8| SELECT$w [[*|id, b|a]] FROM t1 WHERE id = $n
4| SELECT *$w FROM t1 WHERE a [[>=|<|<>]] $n ORDER BY id
2| SELECT b, c FROM t1 WHERE b LIKE '%[[a|e|i]]%' ORDER BY id LIMIT $n
2| $wSELECT t1.id, t2.v FROM t1 [[LEFT |]]JOIN t2 ON t2.t1_id = t1.id ORDER BY t1.id, t2.id
2| SELECT t1.id, COUNT(t2.id) FROM t1 LEFT JOIN t2 ON t2.t1_id = t1.id GROUP BY t1.id ORDER BY t1.id
2| SELECT a % 3 AS m, SUM(c), GROUP_CONCAT(b ORDER BY id) FROM t1 GROUP BY m ORDER BY m
2| SELECT COUNT(*), MAX(id), MIN(a) FROM [[t1|t1|{db}.t1|~t1~]]
2| SELECT COUNT(*) FROM [[t2|t3|my|log]]
2| SELECT * FROM [[t2|log]] ORDER BY id
SELECT * FROM t3 ORDER BY k
SELECT * FROM my ORDER BY a
SELECT COUNT(*), SUM(id) FROM t1 WHERE a IN (SELECT t1_id FROM t2)
SELECT id, (SELECT v FROM t2 WHERE t2.t1_id = t1.id ORDER BY id LIMIT 1) FROM t1 ORDER BY id
SELECT SUM(id) FROM t1 WHERE EXISTS (SELECT 1 FROM t2 WHERE t1_id = a)
WITH x AS (SELECT id, a FROM t1) SELECT COUNT(*), SUM(a) FROM x
$wWITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < $n) SELECT SUM(i) FROM n
(SELECT id FROM t1 WHERE a < $n) UNION (SELECT id FROM t2) ORDER BY 1
$w(($wSELECT $n AS n))
SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT $n
SELECT id, ROW_NUMBER() OVER (ORDER BY id DESC) FROM t1 ORDER BY id
SELECT DISTINCT a % 2 FROM t1 ORDER BY 1
6| SELECT $E
3| SELECT $E,$w $E AS x
2| select$w $E from t1 order by id limit 3
SELECT id FROM t1 WHERE $E ORDER BY id
SELECT * FROM v1 ORDER BY id
2| SELECT * FROM {ro}.t1 ORDER BY id
SELECT * FROM {db}x.t1 ORDER BY id
SELECT DATABASE(), CURRENT_USER(), USER()
SHOW TABLES
SHOW TABLES LIKE 't%'
SHOW [[FULL |]]COLUMNS FROM [[t1|t2|v1]]
DESCRIBE t1
SHOW CREATE TABLE t3
SHOW CREATE TABLE t1
:hidden SHOW TABLE STATUS
:hidden SHOW INDEX FROM t1
:hidden EXPLAIN SELECT * FROM t1 WHERE a = $n
SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1
SELECT auto_increment FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 't1'
SELECT @@sql_mode, @@autocommit, @@div_precision_increment
SELECT @@server_id, @@port, @@read_only
SELECT @@character_set_client, @@character_set_results, @@collation_connection
SHOW VARIABLES LIKE 'server\_id'
SHOW SESSION VARIABLES LIKE 'character\_set\_re%'
select @@version_comment limit 1
SELECT CONNECTION_ID() = {tid} AS same
mariadb| VALUES ($n), (2)
mariadb| SELECT id FROM t1 ORDER BY id FETCH FIRST 2 ROWS ONLY
mariadb| SELECT JSON_VALUE('{"a": $n}', '$.a')
mysql| VALUES ROW($n, 2), ROW(3, 'x')
mysql| TABLE t1 ORDER BY id
mysql| SELECT /*+ SET_VAR(div_precision_increment = 2) */ 1 / 3
SELECT SQL_NO_CACHE a FROM t1 WHERE id = $n
SELECT STRAIGHT_JOIN a FROM t1 WHERE id = $n
SELECT pure($n)
SELECT REPEAT('long ', 20000)
SELECT b FROM t1 WHERE d > '2000-01-01' ORDER BY id
`

const writeGrammar = `
4| INSERT INTO t1 (a, b) VALUES ($n, $S)
3| INSERT INTO t1 (b) VALUES ($S)
INSERT INTO t1 (b) VALUES ($S), ('two'), (NULL)
INSERT IGNORE INTO t1 (a, b) VALUES ($n, 'i'), ($n, 'j')
INSERT INTO t1 (c) VALUES ('[[abc|1.239|1e20]]')
INSERT INTO t1 (b) VALUES (REPEAT('long', 20))
2| INSERT INTO t2 (t1_id, v) VALUES ($n, 'v')
INSERT INTO t2 (t1_id, v) SELECT id, b FROM t1 WHERE a < $n ORDER BY id
INSERT INTO t1 SET a = $n, b = 'set'
INSERT INTO t1 (a, b) VALUES ($n, 'dup') ON DUPLICATE KEY UPDATE [[b = 'was there'|id = LAST_INSERT_ID(id)]]
3| UPDATE t1 SET b = $S WHERE a = $n
UPDATE t1 SET c = a / 3 WHERE id < $n
UPDATE t1 SET a = a + 100 WHERE id > $n ORDER BY id DESC LIMIT 2
UPDATE t1, t2 SET t2.v = t1.b WHERE t2.t1_id = t1.id
UPDATE t1 SET id = LAST_INSERT_ID(id), b = 'l' WHERE a = $n
2| DELETE FROM t1 WHERE a = $n
DELETE FROM t2 WHERE id > $n ORDER BY id LIMIT 1
DELETE t2 FROM t1 JOIN t2 ON t2.t1_id = t1.id WHERE t1.a = $n
REPLACE INTO t3 VALUES ('[[k|l|m]]', $n)
INSERT INTO t3 VALUES ('k', $n) ON DUPLICATE KEY UPDATE n = n + 1
INSERT INTO my VALUES ($n, 'm'), (1, 'again')
UPDATE my SET b = $S WHERE a = 1
TRUNCATE t2
INSERT INTO {db}x.t1 (a) VALUES ($n)
INSERT INTO missing VALUES (1)
mariadb| INSERT INTO t1 (b) VALUES ('r') RETURNING id, b
mariadb| DELETE FROM t2 WHERE id = $n RETURNING id
mariadb| UPDATE t3 SET n = n + 1 WHERE k = 'k'
mysql| WITH x AS (SELECT 'k' AS k) UPDATE t3, x SET n = n + 1 WHERE t3.k = x.k
$wINSERT/**/INTO log (what) VALUES ('w$n')
`

// What settings assign; the last lines are refused.
const settingGrammar = `
4| sql_mode = '[[|ANSI_QUOTES|NO_BACKSLASH_ESCAPES|ANSI_QUOTES,NO_BACKSLASH_ESCAPES|STRICT_ALL_TABLES|PIPES_AS_CONCAT|IGNORE_SPACE|ONLY_FULL_GROUP_BY|ANSI]]'
sql_mode = [[DEFAULT|CONCAT(@@sql_mode, ',ANSI_QUOTES')|'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION']]
2| time_zone = '[[+00:00|+03:00|-11:30]]'
2| group_concat_max_len = [[8|1024|DEFAULT]]
2| div_precision_increment = [[0|2|9|DEFAULT]]
2| sql_select_limit = [[2|DEFAULT|18446744073709551615]]
lc_time_names = '[[de_DE|fr_FR|en_US]]'
max_sort_length = [[8|DEFAULT]]
collation_connection = [[utf8mb4_bin|utf8mb4_general_ci|latin1_german1_ci]]
character_set_results = [[NULL|latin1|utf8mb4|DEFAULT]]
default_week_format = $n
sql_safe_updates = [[0|1]]
foreign_key_checks = [[0|1]]
sql_auto_is_null = [[0|1]]
last_insert_id = 7$n
insert_id = 5$n
timestamp = 1700000000
auto_increment_increment = [[1|3]]
sql_warnings = [[0|1]]
session_track_schema = [[0|1]]
session_track_state_change = [[0|1]]
session_track_transaction_info = '[[OFF|STATE|CHARACTERISTICS]]'
session_track_system_variables = '[[|autocommit|time_zone,sql_mode,autocommit]]'
mysql| session_track_gtids = 'OFF'
mysql| max_execution_time = [[0|100000]]
mysql| transaction_read_only = [[0|1]]
mysql| transaction_isolation = '[[READ-COMMITTED|REPEATABLE-READ]]'
mariadb| max_statement_time = [[0|100]]
mariadb| tx_isolation = '[[READ-COMMITTED|REPEATABLE-READ]]'
mariadb| old_mode = DEFAULT
optimizer_switch = 'index_merge=[[on|off]]'
completion_type = [[0|0|1]]
innodb_lock_wait_timeout = [[1|2]]
no_such_variable = 1
version = 'x'
sql_mode = 'NO_SUCH_MODE'
div_precision_increment = 'x'
autocommit = 7
`

const expressionGrammar = `
4| $n
4| $S
$n / 3
$n / 0
CAST('12abc' AS SIGNED)
'a' = 'A'
HEX($S)
CONCAT($S, $S)
$E + $E
IF($E, $E, $E)
COALESCE(NULL, $E)
FROM_UNIXTIME(86400 * $n)
DATE_FORMAT('2024-05-0[[1|2]]', '%M %W')
WEEK('2024-01-0$n')
UNIX_TIMESTAMP('2024-01-01 00:00:00')
NOW() = FROM_UNIXTIME(1700000000)
CHAR_LENGTH('Ä')
'Ä'
x'4$n'
1 -- comment%N + 1
1 /* c */ + $n
1 /*! + 1 */
1 /*!99999 + 1 */
1 /*M! + 1 */
1 # c%N + 2
2--1
_latin1'\xe4'
'a' 'b'
DATE '2024-01-01'
CASE $n WHEN 1 THEN 'one' ELSE $S END
EXISTS (SELECT 1 FROM t1)
(SELECT MAX(id) FROM t1)
(SELECT COUNT(*) FROM t2)
"b"
~b~
@@div_precision_increment
@@SESSION.time_zone
@@max_sort_length
@a
@@autocommit
LAST_INSERT_ID()
'x' || 'y'
TRUE
NULL
pure($n)
VERSION() IS NULL
COUNT (*)
LENGTH($S)
CONVERT('[[12|-1]]', UNSIGNED)
mysql| JSON_EXTRACT('{"a": $n}', '$.a')
`

// Literals, most with something that looks like more than text.
const textGrammar = `
4| 'text $n'
2| ''
'it''s'
'a\\'
'a\'b'
'a\', LAST_INSERT_ID(), \'b'
"double"
"it's"
"a\"b"
'LAST_INSERT_ID()'
'@a'
'; DELETE FROM t1'
'/* not a comment'
'-- neither'
'FOR UPDATE'
'SQL_CALC_FOUND_ROWS'
'INTO @a'
'Grüße 🐬'
N'national'
'%_'
`

// noiseGrammar is what most of a script is.
const noiseGrammar = `
60
$R

25
$W

10
$R
$W
$R

8
:ping

4
$R;

3
:init [[{db}|{db}|{db}|{db}x|missing]]

6
[[SELECT missing|SELECT * FROM missing|SELEC 1|SELECT FROM|SELECT 1 FROM t1 WHERE|DROP TABLE missing|SELECT nofunction(1)|INSERT INTO t1 (id) VALUES (1)|SELECT 'open|]]

5
[[DO $E|DO 0|SELECT $E LIMIT 0]]

3
SELECT [[$n|$E]] INTO @[[a|b]]

3
SHOW WARNINGS

4
+ $R
+ $W
+ :ping
$R

2
SELECT $n; SELECT $n

2
$W; $R

2
$R; $R; $W

`
