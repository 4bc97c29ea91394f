package packet

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestSessionAssignments(t *testing.T) {
	for _, c := range []struct {
		sql  string
		want string // key: text = value, "+" if relative; "!" if not all of it
	}{
		{"SET sql_mode = ''", "sql_mode: SET SESSION sql_mode='' = "},
		{"set @@session.SQL_MODE := 'ANSI'", "sql_mode: SET SESSION SQL_MODE='ANSI' = ANSI"},
		{`SET sql_mode = "it's"`, "sql_mode: SET SESSION sql_mode='it''s' = it's"},
		{`SET sql_mode = 'it''s'`, "sql_mode: SET SESSION sql_mode='it''s' = it's"},
		{`SET sql_mode = 'it\'s'`, "!"},
		{"SET `sql_mode` = ANSI", "sql_mode: SET SESSION sql_mode=ANSI = ANSI"},
		{"SET max_execution_time=1000;", "max_execution_time: SET SESSION max_execution_time=1000 = 1000"},
		{"SET a = -1, b = 1.5", "a: SET SESSION a=-1 = -1; b: SET SESSION b=1.5 = 1.5"},
		{"SET a = - -1", "a: SET SESSION a=- -1 = "},
		{"SET a = 2 * (3 + 4)", "a: SET SESSION a=2*(3+4) = "},
		{"SET a = ON, b = DEFAULT, c = NULL", "a: SET SESSION a=ON = ON; b: SET SESSION b=DEFAULT = DEFAULT; c: SET SESSION c=NULL = NULL"},
		{"SET sql_mode = CONCAT(@@sql_mode, ',X')", "sql_mode: SET SESSION sql_mode=CONCAT(@@sql_mode,',X') = +"},
		{"SET sql_mode = /* x */ REPLACE ( @@session . sql_mode , 'X' , '' )", "sql_mode: SET SESSION sql_mode=REPLACE(@@session.sql_mode,'X','') = +"},
		{"SET tx_isolation = 'SERIALIZABLE'", "transaction_isolation: SET SESSION tx_isolation='SERIALIZABLE' = SERIALIZABLE"},
		{"SET @@tx_isolation = 'SERIALIZABLE'", ""},
		{"SET NAMES utf8mb4", "names: SET NAMES utf8mb4 = utf8mb4"},
		{"SET NAMES 'gbk' COLLATE \"gbk_bin\"", "names: SET NAMES 'gbk' COLLATE 'gbk_bin' = gbk"},
		{"SET CHARACTER SET latin1", "names: SET CHARACTER SET latin1 = latin1"},
		{"SET CHARSET 'latin1'", "names: SET CHARACTER SET 'latin1' = latin1"},
		{"SET NAMES DEFAULT, a = 1", "names: SET NAMES DEFAULT = DEFAULT; a: SET SESSION a=1 = 1"},
		{"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY",
			"transaction_isolation: SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED = READ COMMITTED; transaction_read_only: SET SESSION TRANSACTION READ ONLY = READ ONLY"},
		{"SET ROLE x", "role: SET ROLE x = "},
		{"SET ROLE 'x'@'%', `y`", "role: SET ROLE 'x'@'%',`y` = "},
		{"SET ROLE ALL EXCEPT x", "role: SET ROLE ALL EXCEPT x = "},
		{"SET autocommit = 1, a = 1, foreign_key_checks = 0", "a: SET SESSION a=1 = 1"},
		{"SET GLOBAL a = 1", ""},
		{"SET @x = 1, a = 2", "a: SET SESSION a=2 = 2"},
		{"SET a = 1, timestamp = 5", "a: SET SESSION a=1 = 1!"},
		{"SET a = @x", "!"},
		{"SET a = 'ж'", "!"},
		{"SET a = (SELECT 1)", "!"},
		{"SET a = 1; SET b = 2", "a: SET SESSION a=1 = 1; b: SET SESSION b=2 = 2"},
		{"SET a = 1; CALL pr()", "a: SET SESSION a=1 = 1!"},
		{"/*! SET a = 1 */", "a: SET SESSION a=1 = 1!"},
		{"SET a = 'x", "!"},
	} {
		list, ok := SessionAssignments([]byte(c.sql), 0)
		var parts []string
		for _, a := range list {
			p := fmt.Sprintf("%s: %s = %s", a.Key, a.Text, a.Value)
			if a.Relative {
				p += "+"
			}
			parts = append(parts, p)
		}
		got := strings.Join(parts, "; ")
		if !ok {
			got += "!"
		}
		if got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.sql, got, c.want)
		}
	}
}

// What is to be repeated elsewhere is itself a SET that can be repeated, and
// means the same under every sql_mode.
func TestAssignmentsRepeatThemselves(t *testing.T) {
	n := 0
	for _, r := range readCorpus(t) {
		list, _ := SessionAssignments([]byte(r.sql), r.lex)
		for _, a := range list {
			n++
			for _, lex := range []Lex{0, LexNoBackslashEscapes, LexAnsiQuotes, LexMariaDB} {
				again, ok := SessionAssignments([]byte(a.Text), lex)
				if !ok || !slices.Equal(again, []Assignment{a}) {
					t.Errorf("%q: %+v becomes %+v, %v", r.sql, a, again, ok)
				}
			}
		}
	}
	if n < 100 {
		t.Errorf("%d assignments in the corpus, want 100 at least", n)
	}
}

func TestUseDatabase(t *testing.T) {
	for sql, want := range map[string]string{
		"USE app": "app", "use `a``b`;": "a`b", "USE/**/App -- x": "App", "USE names": "names", "USE база": "база",
		"USE 5a": "5a", `USE "x"`: "x", "USE a; USE b": "b", "SELECT 1; USE a": "a",
		"USE": "", "USE a b": "", "USE a.b": "", "SELECT 1": "", "USE 'x'": "", "USE `a": "", "USE a; CALL pr()": "", "/*! USE a */": "",
	} {
		if got, ok := UseDatabase([]byte(sql), 0); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v; want %q", sql, got, ok, want)
		}
	}
}

func TestTemporaryTables(t *testing.T) {
	for _, c := range []struct {
		sql, want string // created / dropped, "!" if not all
	}{
		{"CREATE TEMPORARY TABLE X (a INT)", "[X] []"},
		{"create temporary table if not exists `My``T` like y", "[My`T] []"},
		{"CREATE OR REPLACE TEMPORARY TABLE Db . X (a INT)", "[Db.X] []"},
		{"CREATE TEMPORARY SEQUENCE s", "[s] []"},
		{"CREATE TEMPORARY TABLE временная (a INT)", "[временная] []"},
		{"DROP TABLE X", "[] [X]"},
		{"DROP TABLES IF EXISTS x, `db`.`Y` RESTRICT", "[] [x db.Y]"},
		{"DROP TEMPORARY TABLE IF EXISTS x", "[] [x]"},
		{"DROP /* x */ TABLE x -- y", "[] [x]"},
		{"DROP TABLE x WAIT 5", "[] [x]"},
		{"CREATE TEMPORARY TABLE a (a INT); DROP TABLE b", "[a] [b]"},
		{"DROP TABLE x y", "[] [x]!"},
		{"DROP TABLE", "[] []!"},
		{"CREATE TEMPORARY TABLE 'x' (a INT)", "[] []!"},
		{"SET STATEMENT a = 1 FOR CREATE TEMPORARY TABLE y (a INT)", "[] []!"},
		{"ALTER TABLE x RENAME y", "[] []!"},
		{"CREATE TABLE x (a INT)", "[] []"},
		{"CALL pr()", "[] []!"},
		{"CREATE /*! TEMPORARY */ TABLE x (a INT)", "[x] []!"},
	} {
		created, dropped, ok := TemporaryTables([]byte(c.sql), LexMariaDB)
		got := fmt.Sprint(created, " ", dropped)
		if !ok {
			got += "!"
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.sql, got, c.want)
		}
	}
}

func TestNamedLocks(t *testing.T) {
	for _, c := range []struct {
		sql, want string // taken / released / all, "!" if not all of it
	}{
		{"SELECT GET_LOCK('X', 1)", "[x] [] false"},
		{"select get_lock ( 'x' , 1 ) as l;", "[x] [] false"},
		{"DO GET_LOCK(\"it's\", 1), GET_LOCK('y', 1)", "[it's y] [] false"},
		{"SELECT COALESCE(GET_LOCK('x', 1), 0) = 1", "[x] [] false"},
		{"SELECT RELEASE_LOCK('x')", "[] [x] false"},
		{"DO RELEASE_LOCK('x'), RELEASE_LOCK('y')", "[] [x y] false"},
		{"SELECT RELEASE_ALL_LOCKS() n", "[] [] true"},
		{"SELECT GET_LOCK(?, ?)", "[] [] false!"},
		{"SELECT GET_LOCK(CONCAT('a', 'b'), 1)", "[] [] false!"},
		{"SELECT GET_LOCK('a' 'b', 1)", "[] [] false!"},
		{`SELECT GET_LOCK('a\'b', 1)`, "[] [] false!"},
		{"SELECT GET_LOCK('x', 1) FROM t", "[x] [] false!"},
		{"SELECT IF(0, RELEASE_LOCK('x'), 1)", "[] [x] false!"},
		{"SELECT RELEASE_LOCK('x') FROM t", "[] [x] false!"},
		{"SELECT RELEASE_LOCK('x') LIMIT 0", "[] [x] false!"},
		{"SELECT 0 AND RELEASE_LOCK('x')", "[] [x] false!"},
		{"SELECT RELEASE_LOCK('x'), GET_LOCK('x', 1)", "[x] [x] false!"},
		{"SELECT GET_LOCK('x', GET_LOCK('y', 1))", "[x] [] false!"},
		{"SELECT GET_LOCK('x', 1); SELECT 1", "[x] [] false!"},
		{"SELECT get_lock", "[] [] false!"},
		{"SELECT 1", "[] [] false!"},
	} {
		taken, released, all, ok := NamedLocks([]byte(c.sql), 0)
		got := fmt.Sprint(taken, " ", released, " ", all)
		if !ok {
			got += "!"
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.sql, got, c.want)
		}
	}
}

func TestCharsets(t *testing.T) {
	for name, want := range map[string]Lex{
		"utf8mb4": 0, "UTF8MB4_unicode_ci": 0, "latin1": 0, "binary": 0, "gbk": LexMultiByte, "GBK_chinese_ci": LexMultiByte,
		"sjis": LexMultiByte, "gb18030": LexMultiByte, "swe7": LexUnknownCharset, "": LexUnknownCharset, "DEFAULT": LexUnknownCharset,
	} {
		if got := LexCharset(name); got != want {
			t.Errorf("%q: %#x, want %#x", name, got, want)
		}
	}
	for id, want := range map[uint16]Lex{
		45: 0, 255: 0, 8: 0, 33: 0, 28: LexMultiByte, 87: LexMultiByte, 1: LexMultiByte, 249: LexMultiByte, 1024 + 28: LexMultiByte, 10: LexUnknownCharset,
	} {
		if got := LexCollation(id); got != want {
			t.Errorf("collation %d: %#x, want %#x", id, got, want)
		}
	}
}

func TestSystemSchema(t *testing.T) {
	for name, want := range map[string]bool{"mysql": true, "Information_Schema": true, "sys": true, "performance_schema": true, "app": false, "": false, "mysqlx": false} {
		if got := SystemSchema(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

func TestKillTarget(t *testing.T) {
	for _, tc := range []struct {
		sql    string
		thread uint32 // 0: none
	}{
		{"KILL 5", 5}, {"kill query 17;", 17}, {"KILL CONNECTION 5", 5}, {"KILL HARD QUERY 5", 5}, {"KILL SOFT 5 ;  ", 5}, {" /* 3 */ KILL /* 4 */ 5 /* 6 */ -- 7", 5},
		{"KILL QUERY ID 5", 0}, {"KILL USER app1", 0}, {"KILL USER 'app1'", 0}, {"KILL QUERY USER app1", 0}, {"KILL 5+1", 0}, {"KILL 0x5", 0}, {"KILL @a5", 0},
		{"KILL (5)", 0}, {"KILL 5, 6", 0}, {"KILL 5; SELECT 6", 0}, {"KILL /*!50000 5 */", 0}, {"KILL", 0}, {"KILL QUERY", 0}, {"KILL 99999999999", 0}, {"SELECT 5", 0},
	} {
		thread, start, end, ok := KillTarget([]byte(tc.sql), 0)
		if thread != tc.thread || ok != (tc.thread != 0) || ok && tc.sql[start:end] != fmt.Sprint(tc.thread) {
			t.Errorf("%s: got %d, %q, %v; want %d", tc.sql, thread, tc.sql[start:end], ok, tc.thread)
		}
	}
}

func TestAllAssignments(t *testing.T) {
	for _, tc := range []struct{ sql, want string }{
		{"SET foreign_key_checks = 0, sql_mode = ''", "w:SET SESSION foreign_key_checks=0 r:SET SESSION sql_mode=''"},
		{"SET autocommit = 1, unique_checks = OFF", "w:SET SESSION unique_checks=OFF"},
		{"SET last_insert_id = 7", ""},
		{"SET insert_id = 7", "!"},
		{"SET foreign_key_checks = @old", "!"},
		{"SET sql_safe_updates = (SELECT 1)", "!"},
	} {
		list, ok := AllAssignments([]byte(tc.sql), 0)
		var got []string
		for _, a := range list {
			got = append(got, map[bool]string{true: "w:", false: "r:"}[a.Writes]+a.Text)
		}
		if !ok {
			got = append(got, "!")
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: %s, want %s", tc.sql, got, tc.want)
		}
	}
}
