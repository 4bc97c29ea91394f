package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The scripts of these tests are in the folder lua; COVERAGE.md there says
// which test holds which part of the interface.

// startLua starts the proxy with a script of the folder lua. Its hooks have patience.
func startLua(t *testing.T, script string, backends []string, args ...string) *proxy {
	t.Helper()
	return startProxy(t, backends, append([]string{"--proxy-lua-script=" + luaFile(t, script), patientHooks}, args...)...)
}

// patientHooks is for tests that are not about a hook that does not come back.
const patientHooks = "--lua-hook-time=60"

func luaFile(t *testing.T, name string) string {
	t.Helper()
	if relayOnly {
		t.Fatal("a relay runs no scripts")
	}
	path, err := filepath.Abs(filepath.Join("lua", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// luaText is a script of the folder lua, with replacements: old and new text in turn.
func luaText(t *testing.T, name string, replace ...string) string {
	t.Helper()
	b, err := os.ReadFile(luaFile(t, name))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(string(b), replace[i]) {
			t.Fatalf("%s does not contain %q", name, replace[i])
		}
	}
	return strings.NewReplacer(replace...).Replace(string(b))
}

// writeScript puts text into the file path in one step, as editors do.
func writeScript(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// luaConn is one connection of the go-sql-driver.
type luaConn struct {
	t *testing.T
	*sql.Conn
}

func connectAs(t *testing.T, addr string, u user, dbname string) *luaConn {
	t.Helper()
	c, err := tryConnectAs(t, addr, u, dbname)
	if err != nil {
		t.Fatalf("login at %s as %s: %v", addr, u.Name, err)
	}
	return c
}

func tryConnectAs(t *testing.T, addr string, u user, dbname string) (*luaConn, error) {
	t.Helper()
	db := openDB(t, addr, u, dbname, "readTimeout=120s&interpolateParams=true")
	c, err := db.Conn(context.Background())
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { c.Close() })
	return &luaConn{t, c}, nil
}

// rows is a result with a blank between cells and a comma between rows.
func (c *luaConn) rows(query string) string {
	c.t.Helper()
	text, err := c.tryRows(query)
	if err != nil {
		c.t.Fatalf("%s: %v", query, err)
	}
	return text
}

func (c *luaConn) tryRows(query string) (string, error) {
	rows, err := c.QueryContext(context.Background(), query)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	cols, err := rows.Columns()
	if err != nil {
		return "", err
	}
	var lines []string
	for rows.Next() {
		cells := make([]sql.NullString, len(cols))
		to := make([]any, len(cols))
		for i := range cells {
			to[i] = &cells[i]
		}
		if err := rows.Scan(to...); err != nil {
			return "", err
		}
		var line []string
		for _, cell := range cells {
			if !cell.Valid {
				cell.String = "NULL"
			}
			line = append(line, cell.String)
		}
		lines = append(lines, strings.Join(line, " "))
	}
	return strings.Join(lines, ","), rows.Err()
}

func (c *luaConn) mustRows(query, want string) {
	c.t.Helper()
	if got := c.rows(query); got != want {
		c.t.Errorf("%s: got %q, want %q", query, got, want)
	}
}

// mustFail runs a statement that has to end in an error with text in it.
func (c *luaConn) mustFail(query, text string) {
	c.t.Helper()
	if got, err := c.tryRows(query); err == nil || !strings.Contains(err.Error(), text) {
		c.t.Errorf("%s: got %q, %v; want an error with %q", query, got, err, text)
	}
}

func (c *luaConn) exec(statements ...string) {
	c.t.Helper()
	for _, q := range statements {
		if _, err := c.ExecContext(context.Background(), q); err != nil {
			c.t.Fatalf("%s: %v", q, err)
		}
	}
}

// mariadbCLI runs the command line client, one statement an argument, and
// returns what it prints: cells with a tab between them, no column names.
func mariadbCLI(t *testing.T, addr string, u user, statements ...string) (string, error) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return runTool(t, nil, "mariadb", "--no-defaults", "--protocol=tcp", "-h", host, "-P", port, "-u", u.Name, "-p"+u.Password,
		"--batch", "--skip-column-names", "--skip-ssl", "-e", strings.Join(statements, "; "))
}

// pyMySQL runs a Python program that finds a connect function in its scope.
func pyMySQL(t *testing.T, addr string, u user, program string) (string, error) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	const head = `
import os, pymysql
def connect(**more):
    return pymysql.connect(host=os.environ["DB_HOST"], port=int(os.environ["DB_PORT"]), user=os.environ["DB_USER"],
        password=os.environ["DB_PASSWORD"], connect_timeout=60, read_timeout=120, **more)
`
	return runTool(t, []string{"DB_HOST=" + host, "DB_PORT=" + port, "DB_USER=" + u.Name, "DB_PASSWORD=" + u.Password},
		"/usr/bin/python3", "-c", head+program)
}

func runTool(t *testing.T, env []string, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = 5 * time.Second
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	text := strings.TrimSuffix(string(out), "\n")
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", name, err, text)
	}
	return text, err
}

// logLines counts the proxy's log lines that match pattern.
func (p *proxy) logLines(pattern string) int {
	return len(regexp.MustCompile("(?m)^.*"+pattern).FindAllString(p.logs(), -1))
}

// mustLog waits for a log line that matches pattern.
func (p *proxy) mustLog(t *testing.T, pattern string) {
	t.Helper()
	eventually(t, patience, "a log line with "+pattern, func() bool { return p.logLines(pattern) > 0 })
}
