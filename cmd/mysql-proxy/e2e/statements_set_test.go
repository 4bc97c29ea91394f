package e2e

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"maps"
	"os"
	"strconv"
	"strings"
	"testing"

	"mysqlproxy/packet"
)

// What a SET does to a session on the primary, its assignments do to one on a
// replica: afterwards all session variables that the SET has changed have the
// same values there, save those that only matter to writes.
func TestAssignmentsRepeatOnAReplica(t *testing.T) {
	b, err := os.ReadFile("../../../packet/testdata/statements.txt")
	if err != nil {
		t.Fatal(err)
	}
	var statements []string
	in := false
	for _, line := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(line, "[") {
			effects := strings.Fields(line)[2]
			in = strings.Contains(effects, "set_variables") && !strings.Contains(effects, "set_opaque")
			continue
		}
		if _, text, ok := strings.Cut(line, " "); ok && in {
			q, err := strconv.Unquote(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`)
			if err != nil {
				t.Fatal(err)
			}
			statements = append(statements, q)
		}
	}
	onEveryFlavour(t, func(t *testing.T) {
		primary := openDB(t, bed.Primary.Addr, bed.Users.App, "", "")
		replica := openDB(t, bed.Replicas[0].Addr, bed.Users.App, "", "")
		done, repeated := 0, 0
		for _, q := range statements {
			list, ok := packet.SessionAssignments([]byte(q), flavourLex())
			if !ok {
				t.Errorf("%s: not all of it can be repeated", q)
				continue
			}
			changed, err := changedBy(primary, q)
			if err != nil {
				continue // of the other flavour, or names what is not there
			}
			done++
			var texts []string
			for _, a := range list {
				texts = append(texts, a.Text)
			}
			again, err := changedBy(replica, texts...)
			if err != nil {
				t.Errorf("%s, repeated as %q: %v", q, texts, err)
				continue
			}
			for name, value := range changed {
				if again[name] == value {
					repeated++
				} else if !forWritesOnly(name) {
					t.Errorf("%s: %s is %q, and %q on the replica after %q", q, name, value, again[name], texts)
				}
			}
		}
		if done < 40 || repeated < 30 {
			t.Errorf("%d statements ran, %d values were repeated; want 40 and 30 at least", done, repeated)
		}
	})
}

// forWritesOnly says whether SessionAssignments leaves a variable out.
func forWritesOnly(name string) bool {
	list, ok := packet.SessionAssignments([]byte("SET "+name+" = 1"), flavourLex())
	return ok && len(list) == 0
}

// changedBy runs statements on a connection of their own, and returns the
// session variables that are different afterwards, with their new values.
func changedBy(db *sql.DB, statements ...string) (map[string]string, error) {
	c, err := db.Conn(context.Background())
	if err != nil {
		return nil, err
	}
	// Not to be used again: its session has been changed.
	defer c.Close()
	defer c.Raw(func(any) error { return driver.ErrBadConn })
	before, err := variablesOf(c)
	if err != nil {
		return nil, err
	}
	// Some change by themselves, such as timestamp.
	idle, err := variablesOf(c)
	if err != nil {
		return nil, err
	}
	for _, q := range statements {
		if _, err := c.ExecContext(context.Background(), q); err != nil {
			return nil, err
		}
	}
	after, err := variablesOf(c)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(after, func(name, value string) bool { return before[name] == value || before[name] != idle[name] })
	return after, nil
}

func variablesOf(c *sql.Conn) (map[string]string, error) {
	rows, err := c.QueryContext(context.Background(), "SHOW SESSION VARIABLES")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	vars := map[string]string{}
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return nil, err
		}
		vars[name] = value
	}
	return vars, rows.Err()
}
