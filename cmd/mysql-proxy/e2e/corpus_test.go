package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// corpusCase is a conversation that must look the same, byte by byte, on a
// direct connection and through the proxy.
type corpusCase struct {
	name string
	only []string // variants it runs with; nil: all
	run  func(c *rawConn)

	mariadb bool // it is about what only MariaDB has
	large   bool // it takes seconds, and is about what is the same with all servers
}

type variant struct {
	name      string
	caps, ext uint32
}

// variants are the sets of capabilities that change what a response looks like.
var variants = []variant{
	{"plain", capsBase, 0},
	{"deprecate eof", capsBase | capDeprecateEOF, 0},
	{"session track", capsBase | capDeprecateEOF | capSessionTrack | capConnectAttrs, 0},
	{"mariadb", capsBase&^capLongPassword | capDeprecateEOF | capSessionTrack, extProgress | extBulk | extMetadata | extCacheMetadata},
	{"mariadb eof", capsBase&^capLongPassword | capSessionTrack, extProgress | extBulk | extMetadata | extCacheMetadata},
}

func TestSameBytesDirectlyAndThroughTheProxy(t *testing.T) {
	onEveryFlavour(t, func(t *testing.T) {
		p := startProxy(t, []string{bed.Primary.Addr})
		openSession(t, bed.Primary.Addr).nc.Close() // from here on the account is in the server's cache
		for _, cases := range [][]corpusCase{textCases, commandCases, changeUserCases, pipelineCases} {
			for _, cc := range cases {
				if cc.mariadb && bed.mysql() || cc.large && !long && bed.Flavour != flavours[0].name {
					continue
				}
				t.Run(cc.name, func(t *testing.T) {
					t.Parallel()
					for _, v := range variants {
						if bed.mysql() && strings.HasPrefix(v.name, "mariadb") || cc.only != nil && !slices.Contains(cc.only, v.name) {
							continue
						}
						t.Run(v.name, func(t *testing.T) {
							t.Parallel()
							compare(t, p.addr, cc, v.caps, v.ext)
						})
					}
				})
			}
		}
	})
}

// compare runs a case on both ways and fails at the first difference.
func compare(t *testing.T, addr string, cc corpusCase, caps, ext uint32) {
	t.Helper()
	l := &login{user: bed.Users.App.Name, password: bed.Users.App.Password, db: corpusDB(t), caps: caps, ext: ext,
		attrs: map[string]string{"program_name": "e2e"}}
	run := func(addr string) *trace {
		freshDB(t, l.db)
		return runScript(addr, l, patience, cc.run)
	}
	direct := run(bed.Primary.Addr)
	if i := slices.IndexFunc(direct.lines, badEnd); i >= 0 {
		t.Fatalf("the direct run is not as the case means it: %s, after\n%s", direct.lines[i], clip(strings.Join(direct.lines[max(0, i-5):i], "\n")))
	}
	if os.Getenv("E2E_TRACE") == "1" {
		t.Logf("direct:\n%s", strings.Join(direct.lines, "\n"))
	}
	if d := diff(direct, run(addr)); d != "" {
		t.Error(d)
	}
}

// badEnd tells that a note is not part of what a case may see.
func badEnd(line string) bool {
	for _, s := range []string{"no answer in time", "reading the response:", "connect:", "login refused", "was not prepared", "KILL QUERY:", "no progress report"} {
		if strings.HasPrefix(line, s) || strings.HasPrefix(line, "statement") {
			return true
		}
	}
	return false
}

// corpusDB is the name of a database that only this test has, which is dropped with
// it.
func corpusDB(t *testing.T) (name string) {
	t.Helper()
	name = fmt.Sprintf("e2e_corpus_%d", ownDBs.Add(1))
	db := adminDB(t)
	t.Cleanup(func() { execAll(t, db, "DROP DATABASE IF EXISTS "+name) })
	return name
}

// freshDB makes a database anew, as every run of a case finds it.
func freshDB(t *testing.T, name string) {
	t.Helper()
	statements := []string{"DROP DATABASE IF EXISTS " + name, "CREATE DATABASE " + name + " CHARACTER SET utf8mb4"}
	execAll(t, adminDB(t), append(statements, sequences(name, 2, 3, 9, 10, 300, 2000, 3000)...)...)
}

// adminDB is a direct pool to the primary that all tests share.
func adminDB(t *testing.T) *sql.DB {
	t.Helper()
	bed.mu.Lock()
	defer bed.mu.Unlock()
	if bed.admin == nil {
		db, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s)/", bed.Users.App.Name, bed.Users.App.Password, bed.Primary.Addr))
		if err != nil {
			t.Fatal(err)
		}
		bed.admin = db
	}
	return bed.admin
}

// killWhenSleeping kills the statement of thread id, on a direct connection,
// as soon as it is inside SLEEP().
func killWhenSleeping(id uint32) <-chan error {
	done := make(chan error, 1)
	admin := bed.admin
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		for {
			var n int
			err := admin.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.processlist WHERE id = ? AND state = 'User sleep'", id).Scan(&n)
			if err != nil {
				done <- err
				return
			}
			if n == 1 {
				_, err := admin.ExecContext(ctx, fmt.Sprintf("KILL QUERY %d", id))
				done <- err
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	return done
}

// sleepingThread is the id of a direct connection made to be killed.
func sleepingThread() uint32 {
	tr := &trace{}
	c, err := dialRaw(bed.Primary.Addr, tr)
	if err != nil {
		panic(err)
	}
	c.timeout = patience
	c.login(login{user: bed.Users.App.Name, password: bed.Users.App.Password, caps: capsBase})
	return c.threadID
}

// pipelineCases write many commands before they read the first response, and
// cut requests at places no client would.
var pipelineCases = []corpusCase{
	{name: "a batch of 1", run: func(c *rawConn) { c.batch(1, c.write) }},
	{name: "a batch of 10", run: func(c *rawConn) { c.batch(10, c.write) }},
	{name: "a batch of 200", run: func(c *rawConn) { c.batch(200, c.write) }},
	{name: "a batch of 10 byte by byte", run: func(c *rawConn) {
		c.batch(10, func(b []byte) {
			for i := range b {
				c.write(b[i : i+1])
			}
		})
	}},
	{name: "a batch of 200 byte by byte", only: []string{"plain"}, run: func(c *rawConn) {
		c.batch(200, func(b []byte) {
			for i := range b {
				c.write(b[i : i+1])
			}
		})
	}},
	{name: "a batch of 200 cut at random", run: func(c *rawConn) {
		rng := rand.New(rand.NewSource(1))
		c.batch(200, func(b []byte) { c.writeCut(b, rng, 60) })
	}},
	{name: "large requests cut at random", only: []string{"plain", "mariadb"}, run: func(c *rawConn) {
		rng := rand.New(rand.NewSource(2))
		for range 20 {
			n := rng.Intn(200000)
			c.tr.note("> a request of %d bytes in pieces", n)
			c.writeCut(c.command(comQuery, []byte("SELECT CRC32('"+strings.Repeat("x", n)+"')")), rng, 30000)
			c.result(false)
		}
	}},
	{name: "a batch that is written while its responses come", large: true, only: []string{"plain", "session track"}, run: func(c *rawConn) {
		// Requests and responses of 20 MB each: neither side can hold them in
		// socket buffers, so a proxy that only writes before it reads hangs.
		var b []byte
		for i := range 200 {
			sql := fmt.Sprintf("SELECT %d, '%s'", i, strings.Repeat("p", 100000))
			b = append(b, c.command(comQuery, []byte(sql))...)
		}
		wrote := make(chan error, 1)
		go func() {
			_, err := c.nc.Write(b)
			wrote <- err
		}()
		for range 200 {
			c.result(false)
		}
		if err := <-wrote; err != nil {
			c.end("closed")
		}
	}},
}

// batch writes n commands by way of write and then reads their responses.
func (c *rawConn) batch(n int, write func([]byte)) {
	c.query("CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(20))")
	c.prepare("SELECT a, b FROM t WHERE a < ?")
	c.prepare("DO ?")
	closing := 0
	var b []byte
	var read []func()
	for i := range n {
		switch i % 8 {
		case 0:
			b = append(b, c.command(comQuery, fmt.Appendf(nil, "INSERT INTO t VALUES (%d, 'row %d')", i, i))...)
		case 1:
			b = append(b, c.command(comExecute, executeArg(c.stmts[0], 0, intParam(uint32(i))))...)
		case 2:
			b = append(b, c.command(comPing, nil)...)
		case 3:
			b = append(b, c.command(comQuery, []byte("SELECT nothing"))...)
		case 4:
			b = append(b, c.command(comQuery, []byte("SELECT 1; SELECT * FROM t; DO 1"))...)
		case 5:
			b = append(b, c.command(comStmtClose, u32(uint32(1000+closing)))...)
			closing++
			b = append(b, c.command(comInitDB, []byte(c.db))...)
		case 6:
			b = append(b, c.command(comExecute, executeArg(c.stmts[0], 1, intParam(uint32(i))))...)
			b = append(b, c.command(comFetch, cat(u32(c.stmts[0]), u32(1000)))...)
			read = append(read, func() { c.result(true) }, func() { c.rows() })
			continue
		case 7:
			b = append(b, c.command(comExecute, executeArg(c.stmts[1], 0, stringParam("long data comes elsewhere")))...)
		}
		if i%8 == 2 || i%8 == 5 {
			read = append(read, func() { c.packet() })
		} else {
			read = append(read, func() { c.result(false) })
		}
	}
	c.tr.note("> %d commands at once", n)
	write(b)
	for _, r := range read {
		r()
	}
	c.one(comPing)
}

// TestCompareNoticesADifference is the corpus's own test: a comparison that
// cannot fail would be none.
func TestCompareNoticesADifference(t *testing.T) {
	script := func(c *rawConn) {
		c.query("SELECT 1, 'abc'")
		c.query("SELECT REPEAT('x', 5000)")
		c.one(comPing)
	}
	l := &login{user: bed.Users.App.Name, password: bed.Users.App.Password, db: bed.Database, caps: capsBase}
	direct := runScript(bed.Primary.Addr, l, patience, script)
	if badEnd(direct.last()) {
		t.Fatalf("the direct run ended with %q", direct.last())
	}
	if d := diff(direct, runScript(startRelay(t, bed.Primary.Addr, nil), l, patience, script)); d != "" {
		t.Errorf("an honest relay was found to differ:\n%s", d)
	}
	// The login's last packet ends at about 110 bytes, with data that is random
	// or blanked before it: from 130 on every byte counts.
	var wg sync.WaitGroup
	for _, at := range []int{130, 140, 151, 177, 200, 250, 400, 5000} {
		for what, change := range map[string]spoil{"flipped": flipAt(at), "dropped": dropAt(at)} {
			addr := startRelay(t, bed.Primary.Addr, change)
			wg.Go(func() {
				if diff(direct, runScript(addr, l, 2*time.Second, script)) == "" {
					t.Errorf("byte %d of the server's stream was %s and the comparison did not notice", at, what)
				}
			})
		}
	}
	wg.Wait()
}
