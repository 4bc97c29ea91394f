package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/try/*.golden")

// tryRunOf runs `mysql-proxy test` in this process.
func tryRunOf(stdin string, args ...string) (out, errs string, code int) {
	var stdout, stderr bytes.Buffer
	code = tryScript(args, "/", strings.NewReader(stdin), &stdout, &stderr)
	return stdout.String(), stderr.String(), code
}

// costs are the columns of the figures that differ from run to run.
var costs = regexp.MustCompile(`(?m)^((?:main chunk|[a-z]+_[a-z_]+) +\d+ +\d+) .*$`)

func TestReportsAreGolden(t *testing.T) {
	for _, tc := range []struct {
		golden string
		args   []string
		code   int
	}{
		{"pass", []string{"pass.lua"}, 0},
		{"pass-quiet", []string{"pass.lua", "--quiet", "--warm=0"}, 0},
		{"inject", []string{"inject.lua", "--warm=0", "--backends=0"}, 0},
		{"rewrite", []string{"rewrite.lua", "rewrite.sql", "--warm=1", "--backends=1"}, 0},
		{"pool", []string{"pool.lua"}, 0},
		{"mock", []string{"mock.lua", "--warm=1"}, 0},
		{"failing", []string{"failing.lua", "failing.sql", "--warm=0", "--backends=0", "--timeout=5"}, 1},
	} {
		t.Run(tc.golden, func(t *testing.T) {
			t.Chdir("testdata/try")
			out, errs, code := tryRunOf("", tc.args...)
			if errs != "" || code != tc.code {
				t.Errorf("exit code %d, want %d; %s", code, tc.code, errs)
			}
			out = costs.ReplaceAllString(out, "$1  (cost)")
			if *update {
				if err := os.WriteFile(tc.golden+".golden", []byte(out), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(tc.golden + ".golden")
			if err != nil {
				t.Fatal(err)
			}
			if out != string(want) {
				t.Errorf("got\n%s\nwant\n%s", out, want)
			}
		})
	}
}

func TestTryExitCodesAndMessages(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	good := file("good.lua", "")
	for _, tc := range []struct {
		name  string
		stdin string
		args  []string
		code  int
		says  string // on either stream
	}{
		{"help", "", []string{"--help"}, 0, "mysql-proxy test SCRIPT [FILE.sql]"},
		{"no script", "", nil, 1, "which script?"},
		{"script missing", "", []string{dir + "/none.lua"}, 1, "cannot read the script " + dir + "/none.lua: no such file or directory"},
		{"syntax error", "", []string{file("syntax.lua", "function f()\n  retrun 1\nend\n")}, 1, "line 2: "},
		{"main chunk fails", "", []string{file("main.lua", "local x\nx.y = 1\n")}, 1, "line 2: attempt to index"},
		{"hook fails in the warm-up", "SELECT 1;", []string{file("warm.lua", "function connect_server()\n error('no')\nend")}, 1, "FAILED: line 2: no"},
		{"hook fails at the end", "SELECT 1;", []string{file("end.lua", "function disconnect_client()\n error('no')\nend"), "--warm=0", "--quiet"}, 1, "FAILED: line 2: no"},
		{"login refused", "", []string{file("refuse.lua", "function read_auth()\n proxy.response = { type = proxy.MYSQLD_PACKET_ERR, errmsg = 'not you' }\n return proxy.PROXY_SEND_RESULT\nend")}, 1, "not you  <- made by the script"},
		{"hook in a module fails", "SELECT 1;", []string{file("module.lua", "package.path = '"+dir+"/?.lua'\nlocal m = require('helper')\nfunction read_query(p) m.fail() end"), "--warm=0"}, 1, "helper.lua:2: from the module"},
		{"no file", "", []string{good, dir + "/none.sql"}, 1, "cannot read the statements " + dir + "/none.sql: no such file"},
		{"empty file", "", []string{good, file("empty.sql", "-- nothing\n")}, 1, "there is no statement in"},
		{"fault in the file", "", []string{good, file("fault.sql", "\\x\n")}, 1, `fault.sql, line 1: \x is unknown`},
		{"statements from standard input", "SELECT 123;\n", []string{good}, 0, "PASSED: 1 statement,"},
		{"standard input by name", "SELECT 123;\n", []string{good, "-"}, 0, "| 123 |"},
		{"built-in statements", "", []string{good}, 0, "PASSED: 13 statements,"},
		{"rounds", "SELECT 1;\nBEGIN;\n\\prepare SELECT ?\n\\execute 1\n\\close\n\\connect\n", []string{good, "--repeat=3"}, 0, "PASSED: 18 statements,"},
		{"what fails in a later round is shown", "SELECT 1;", []string{file("third.lua", "local n = 0\nfunction read_query() n = n + 1 if n == 3 then error('third') end end"), "--repeat=4"}, 1, "[1, round 3] SELECT 1\n"},
		{"an ERR is an answer", "FROBNICATE;", []string{good}, 0, "ERR 1064 (42000)"},
		{"a replica refuses writes", "DROP TABLE t;", []string{file("replica.lua", "function connect_server() proxy.connection.backend_ndx = 2 end")}, 0, "ERR 1290 (HY000)"},
		{"option unknown", "", []string{good, "--verbose"}, 1, "unknown option: --verbose"},
		{"a word too many", "", []string{good, "a", "b"}, 1, "b is one word too many"},
		{"backends", "", []string{good, "--backends=x"}, 1, "--backends needs a number from 0 to 64"},
		{"too many backends", "", []string{good, "--backends=65"}, 1, "--backends needs a number from 0 to 64"},
		{"rounds without end", "", []string{good, "--repeat=-1"}, 1, "--repeat needs a number"},
		{"no round", "", []string{good, "--repeat=0"}, 1, "--repeat=0 would run nothing"},
		{"time limit", "", []string{good, "--timeout=nan"}, 1, "--timeout needs seconds"},
		{"quiet", "", []string{good, "--quiet=1"}, 1, "--quiet takes no value"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file("helper.lua", "return { fail = function()\n error('from the module') end }")
			out, errs, code := tryRunOf(tc.stdin, tc.args...)
			if code != tc.code || !strings.Contains(out+errs, tc.says) {
				t.Errorf("exit code %d, want %d and %q:\n%s%s", code, tc.code, tc.says, out, errs)
			}
		})
	}
}

// The scripts for users pass, whatever they do with the statements.
func TestScriptsRunThroughTheTest(t *testing.T) {
	list, err := filepath.Glob("../../scripts/*.lua")
	if err != nil || len(list) == 0 {
		t.Fatalf("there are %d scripts, %v", len(list), err)
	}
	for _, script := range list {
		t.Run(filepath.Base(script), func(t *testing.T) {
			if out, errs, code := tryRunOf("", script); code != 0 {
				t.Errorf("exit code %d:\n%s%s", code, out, errs)
			}
		})
	}
}

// The figures are of the calls that there were.
func TestFiguresCountEveryCall(t *testing.T) {
	out, _, _ := tryRunOf("SELECT 1;", "testdata/try/pass.lua", "--repeat=5", "--warm=2")
	for _, want := range []string{
		`(?m)^main chunk +3 +0 +\d`,
		`(?m)^connect_server +3 +0 +\d`,
		`(?m)^read_query +8 +0 +\d`, // 5, and 3 COM_QUIT
		`(?m)^disconnect_client +3 +0 +\d`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("%s is not in\n%s", want, out)
		}
	}
}

// More of it costs more: the allocations are the hooks' own.
func TestAllocationsAreTheHooks(t *testing.T) {
	script := filepath.Join(t.TempDir(), "allocs.lua")
	text := "function read_query(p)\n if p:sub(2) == 'DO 1' then for i = 1, 1000 do local t = { i } end end\nend"
	if err := os.WriteFile(script, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	allocs := func(sql string) string {
		out, _, _ := tryRunOf(sql, script, "--warm=0", "--repeat=3")
		m := regexp.MustCompile(`(?m)^read_query +\d+ +0 +[\d.]+ .?s +[\d.]+ .?s +([\d.]+)`).FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("no figure of read_query in\n%s", out)
		}
		return m[1]
	}
	// Half of the calls that are counted are the COM_QUIT.
	if few, many := allocs("DO 0;"), allocs("DO 1;"); len(few) > 4 || len(many) < 5 {
		t.Errorf("%s and %s allocations a call, want below 100 and above 500", few, many)
	}
}

func TestHelpNamesTheTest(t *testing.T) {
	var b strings.Builder
	writeHelp(&b, mainGroup, plugins)
	if !strings.Contains(b.String(), "\n  mysql-proxy test SCRIPT [FILE.sql] - ") {
		t.Errorf("the help is\n%s", b.String())
	}
}

func TestTestIsACommandOfTheProgram(t *testing.T) {
	run := func(args ...string) (string, int) {
		cmd := exec.Command(binary(t), append([]string{"test"}, args...)...)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, code := run("testdata/try/pass.lua"); code != 0 || !strings.Contains(out, "PASSED: 13 statements") {
		t.Errorf("exit code %d, want 0:\n%s", code, out)
	}
	if out, code := run("testdata/try/rewrite.sql"); code != 1 || !strings.Contains(out, "rewrite.sql: line 2: ") {
		t.Errorf("exit code %d, want 1:\n%s", code, out)
	}
}
