package e2e

import (
	"context"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"mysqlproxy/packet"
)

// MySQL shows how it reads a statement: STATEMENT_DIGEST_TEXT has its tokens,
// without literals and comments. Whatever quotes, comments and numbers are put
// together, what MySQL reads as a lock, an assignment or a variable is none for
// replicas to the classifier.
func TestClassifierReadsAsMySQLDoes(t *testing.T) {
	fragments := []string{
		" ", "\n", "\t", "'", "''", `"`, `""`, "`", `\`, `\'`, `\"`, "/*", "*/", "/*/", "/**/", "/*!", "/*!99999", "/*+",
		"--", "-- ", "--\n", "#", "-", ",", "+", "(", ")", ".", "1", "1.", ".5", "1e5", "1e+5", "0x1", "1e", "x", "t.x", "N'", "_utf8mb4'", "x'41'",
		"'a'", `"a"`, "`a`", " AS a", " FROM t", " FROM DUAL", ",1", ", 'a'", " INTO @x", " FOR UPDATE", " FOR SHARE", " LOCK IN SHARE MODE", "@x", "@@version",
		"INTO @x", "FOR UPDATE", " UNION SELECT 1", " WHERE a=1", ";", "$", "{d '2020-01-01'}", "\x00",
	}
	quoted := regexp.MustCompile("`(``|[^`])*`")
	danger := regexp.MustCompile(`@|\b(INTO|FOR (UPDATE|SHARE)|LOCK IN SHARE MODE)\b`)
	onEveryFlavour(t, func(t *testing.T) {
		if !bed.mysql() {
			return // MariaDB has no such function
		}
		for mode, lexes := range map[string][]packet.Lex{
			"":                                 {0},
			"NO_BACKSLASH_ESCAPES":             {packet.LexNoBackslashEscapes},
			"ANSI_QUOTES":                      {0, packet.LexAnsiQuotes},
			"ANSI_QUOTES,NO_BACKSLASH_ESCAPES": {packet.LexNoBackslashEscapes, packet.LexNoBackslashEscapes | packet.LexAnsiQuotes},
		} {
			ctx := context.Background()
			c, err := openDB(t, bed.Primary.Addr, bed.Users.App, bed.Database, "charset=utf8mb4").Conn(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.ExecContext(ctx, "SET sql_mode = ?", mode); err != nil {
				t.Fatal(err)
			}
			digest, err := c.PrepareContext(ctx, "SELECT STATEMENT_DIGEST_TEXT(?)")
			if err != nil {
				t.Fatal(err)
			}
			defer digest.Close()
			rnd := rand.New(rand.NewPCG(1, 2))
			read, dangerous := 0, 0
			for range 6000 {
				var b strings.Builder
				b.WriteString("SELECT 1")
				for range 1 + rnd.IntN(7) {
					b.WriteString(fragments[rnd.IntN(len(fragments))])
				}
				q := b.String()
				if strings.Contains(q, "``") {
					continue // shown as a single one: where the name ends cannot be told from the digest
				}
				var text string
				if digest.QueryRowContext(ctx, q).Scan(&text) != nil {
					continue // not a statement
				}
				read++
				if !danger.MatchString(quoted.ReplaceAllString(text, "name")) {
					continue
				}
				dangerous++
				for _, lex := range lexes {
					if st := packet.Classify([]byte(q), lex); st.Route == packet.RouteReplica {
						t.Errorf("sql_mode %q, lex %#x: %q goes to %v, and MySQL reads %s", mode, lex, q, st.Route, text)
					}
				}
			}
			if read < 300 || dangerous < 100 {
				t.Errorf("sql_mode %q: MySQL could read %d statements, %d of them not for replicas; want 300 and 100 at least", mode, read, dangerous)
			}
		}
	})
}
