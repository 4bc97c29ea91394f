package e2e

import (
	"regexp"
	"strings"
)

// What a script finds when it begins, at every server.

// object is a table or a routine that is made for the scripts that name it.
type object struct {
	name string // a regular expression
	sql  []string
}

var objects = []object{
	{`\bt1\b|\bv1\b|\bp_read\b`, []string{
		"CREATE TABLE t1 (id INT AUTO_INCREMENT PRIMARY KEY, a INT, b VARCHAR(40), c DECIMAL(10,2), d DATETIME, UNIQUE KEY u (a)) DEFAULT CHARSET utf8mb4",
		"INSERT INTO t1 (a, b, c, d) VALUES (1, 'one', 1.1, '2024-01-01 10:00:00'), (2, 'two', 2.22, NULL), (3, NULL, NULL, '2024-02-29 00:00:00')," +
			" (5, 'five', -5, NULL), (8, 'Äpfel', 0, '1999-12-31 23:59:59'), (NULL, 'it''s', 100, NULL), (13, '', 99999999.99, NULL)"}},
	{`\bt2\b`, []string{
		"CREATE TABLE t2 (id INT AUTO_INCREMENT PRIMARY KEY, t1_id INT, v TEXT, KEY (t1_id)) DEFAULT CHARSET utf8mb4",
		"INSERT INTO t2 (t1_id, v) VALUES (1, 'first'), (1, 'second'), (2, 'third'), (7, NULL), (NULL, 'lost')"}},
	{`\bt3\b`, []string{
		"CREATE TABLE t3 (k VARCHAR(20) PRIMARY KEY, n INT NOT NULL DEFAULT 0) DEFAULT CHARSET utf8mb4",
		"INSERT INTO t3 VALUES ('k', 1), ('m', 2)"}},
	{`\blog\b|\bwrites\b|\bv_writes\b|\bp_write\b`, []string{
		"CREATE TABLE log (id INT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(40))"}},
	{`\bmy\b`, []string{
		"CREATE TABLE my (a INT PRIMARY KEY, b VARCHAR(20)) ENGINE=MyISAM DEFAULT CHARSET utf8mb4", "INSERT INTO my VALUES (1, 'm')"}},
	{`\bv1\b`, []string{"CREATE VIEW v1 AS SELECT id, a, b FROM t1 WHERE a IS NOT NULL"}},
	{`\bpure\b`, []string{"CREATE FUNCTION pure(x INT) RETURNS INT DETERMINISTIC NO SQL RETURN x * 2"}},
	{`\bwrites\b|\bv_writes\b`, []string{
		"CREATE FUNCTION writes(x INT) RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO log (what) VALUES (x); RETURN x; END"}},
	{`\bv_writes\b`, []string{"CREATE VIEW v_writes AS SELECT writes(1) AS w"}},
	{`\bkeeps\b`, []string{"CREATE FUNCTION keeps(x INT) RETURNS INT READS SQL DATA BEGIN SET @kept = x; RETURN x; END"}},
	{`\btells\b`, []string{"CREATE FUNCTION tells() RETURNS INT READS SQL DATA RETURN @kept"}},
	{`\bp_read\b`, []string{"CREATE PROCEDURE p_read(IN x INT) BEGIN SELECT id, a FROM t1 WHERE a >= x ORDER BY id; SELECT x; END"}},
	{`\bp_write\b`, []string{"CREATE PROCEDURE p_write(IN x INT) INSERT INTO log (what) VALUES (x)"}},
	{`\bp_set\b`, []string{"CREATE PROCEDURE p_set(IN x INT) SET SESSION div_precision_increment = x"}},
	{`\bp_temp\b`, []string{"CREATE PROCEDURE p_temp() CREATE TEMPORARY TABLE tmp AS SELECT 'of the procedure' AS b"}},
	{`\bp_out\b`, []string{"CREATE PROCEDURE p_out(IN x INT, OUT y INT) SET y = x + 1"}},
	{`\bp_begin\b`, []string{"CREATE PROCEDURE p_begin() START TRANSACTION"}},
	{`\bp_off\b`, []string{"CREATE PROCEDURE p_off() SET autocommit = 0"}},
	{`\bp_lock\b`, []string{"CREATE PROCEDURE p_lock(IN x VARCHAR(60)) SELECT GET_LOCK(x, 0)"}},
	{`\bp_user\b`, []string{"CREATE PROCEDURE p_user(IN x INT) SET @a = x, @b = NULL"}},
	{`\bp_warn\b`, []string{"CREATE PROCEDURE p_warn() SIGNAL SQLSTATE '01000' SET MESSAGE_TEXT = 'a warning', MYSQL_ERRNO = 4242"}},
	{`\bp_fail\b`, []string{"CREATE PROCEDURE p_fail() BEGIN SELECT 1; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'a failure'; END"}},
	{`\bs1\b`, []string{"CREATE SEQUENCE s1 START 10 INCREMENT 5"}},
	{`\{db\}x|\bx\.`, []string{
		"CREATE DATABASE {db}x",
		"CREATE TABLE {db}x.t1 (id INT AUTO_INCREMENT PRIMARY KEY, a INT, b VARCHAR(40))",
		"INSERT INTO {db}x.t1 (a, b) VALUES (1, 'elsewhere'), (40, NULL)"}},
}

var objectNames = func() []*regexp.Regexp {
	var list []*regexp.Regexp
	for _, o := range objects {
		list = append(list, regexp.MustCompile(o.name))
	}
	return list
}()

// tables are those of objects that a script's end looks at, with those that
// scripts make.
var tables = []string{"t1", "t2", "t3", "log", "my", "n1", "n2"}

// readOnlyDB is made and waited for before any script runs: what scripts begin
// to read before they have written anything.
const readOnlyDB = "diff_ro"

var readOnlySQL = []string{
	"CREATE DATABASE IF NOT EXISTS " + readOnlyDB + " CHARACTER SET utf8mb4",
	"CREATE TABLE " + readOnlyDB + ".t1 (id INT PRIMARY KEY, a INT, b VARCHAR(40))",
	"INSERT INTO " + readOnlyDB + ".t1 VALUES (1, 10, 'read'), (2, 20, 'only'), (3, NULL, NULL)",
}

// setup is what makes a script's database, with the objects that it names.
func setup(script []step) (statements []string) {
	text := listing(script)
	statements = []string{"CREATE DATABASE {db} CHARACTER SET utf8mb4", "USE {db}"}
	for i, o := range objects {
		if objectNames[i].MatchString(text) {
			statements = append(statements, o.sql...)
		}
	}
	return statements
}

// dressed is a script with its beginning, and with its end, which looks at the
// session and at the tables.
func dressed(script []step) []step {
	text := listing(script)
	lines := []string{"SELECT * FROM {ro}.t1 ORDER BY id", ":init {db}"}
	all := append(queries(lines), script...)
	lines = []string{
		"SHOW WARNINGS", "SELECT @a, @b, @kept", "SELECT LAST_INSERT_ID()", "SELECT DATABASE()", "SELECT CONNECTION_ID() = {tid} AS same",
		"SHOW SESSION VARIABLES WHERE Variable_name NOT IN ('" + strings.Join(honestVariables, "', '") + "')",
	}
	if strings.Contains(text, "XA ") { // MariaDB 11.8 lets a session that is reset with a prepared one read no table
		lines = append(lines, "XA END '{db}1'", "XA ROLLBACK '{db}1'")
	}
	lines = append(lines, ":reset", ":init {db}")
	for _, t := range tables {
		if regexp.MustCompile(`\b` + t + `\b`).MatchString(text) {
			lines = append(lines, "SELECT * FROM "+t+" ORDER BY 1", "CHECKSUM TABLE "+t, "SHOW CREATE TABLE "+t)
		}
	}
	return append(all, queries(lines)...)
}

// queries are lines that are known to be good.
func queries(lines []string) (script []step) {
	for _, l := range lines {
		s, err := parseStep(l)
		if err != nil {
			panic(err)
		}
		script = append(script, s)
	}
	return script
}

// honestVariables differ between two sessions of the same server that have done
// the same.
var honestVariables = []string{
	"pseudo_thread_id",         // the thread's number
	"timestamp",                // the time of day
	"rand_seed1", "rand_seed2", // MySQL shows 0, MariaDB what RAND() is seeded by
	"last_gtid", "gtid_seq_no", "gtid_next", // the number of the session's last write
	"gtid_binlog_pos", "gtid_binlog_state", "gtid_current_pos", // of the server's: both runs write
	"gtid_executed", "gtid_purged", "gtid_slave_pos", "gtid_owned",
	"error_count", "warning_count", // compared by SHOW WARNINGS; SHOW VARIABLES is a statement with warnings of its own
	"statement_id", // MySQL's count of all statements of all sessions
	// How the proxy hears of a session's writes.
	"session_track_system_variables", "session_track_gtids", "session_track_state_change",
}
