package admin

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
)

// This file narrows a result: LIKE, WHERE, ORDER BY and LIMIT behind a SHOW.
//
//	[LIKE 'pattern'] [WHERE condition] [ORDER BY column [ASC|DESC], ...] [LIMIT [offset,] rows [OFFSET offset]]
//
//	condition: column = value, != <> < <= > >=, [NOT] LIKE 'pattern', [NOT] IN (value, ...), IS [NOT] NULL,
//	           NOT condition, condition AND condition, condition OR condition, (condition)

// tail is what stands behind a SHOW.
type tail struct {
	like  string // pattern, in lower case
	liked bool
	where *condition // nil: all rows
	order []orderBy
	skip  uint64
	rows  uint64
	few   bool // rows counts
}

type orderBy struct {
	column string
	down   bool
}

// condition is a node of a WHERE.
type condition struct {
	op     string // "and", "or", "not", or what compares a column: = != < <= > >= like in null
	args   []*condition
	column string
	values []string
	not    bool
}

// maxDepth bounds how deep conditions may lie in each other.
const maxDepth = 50

// tail reads what stands behind a SHOW, up to the statement's end.
func (s *statement) tail() (t tail, err error) {
	if s.took("LIKE") {
		if t.like, err = s.value(); err != nil {
			return t, err
		}
		t.like, t.liked = strings.ToLower(t.like), true
	}
	if s.took("WHERE") {
		if t.where, err = s.either(0); err != nil {
			return t, err
		}
	}
	if s.took("ORDER", "BY") {
		for more := true; more; more = s.took(",") {
			o := orderBy{}
			if o.column, err = s.name("a column to order by"); err != nil {
				return t, err
			}
			if !s.took("ASC") {
				o.down = s.took("DESC")
			}
			t.order = append(t.order, o)
		}
	}
	if s.took("LIMIT") {
		t.few = true
		if t.rows, err = s.number("LIMIT"); err != nil {
			return t, err
		}
		if s.took(",") {
			t.skip = t.rows
			t.rows, err = s.number("LIMIT")
		} else if s.took("OFFSET") {
			t.skip, err = s.number("OFFSET")
		}
		if err != nil {
			return t, err
		}
	}
	return t, s.end()
}

// value takes a text or a number.
func (s *statement) value() (string, error) {
	switch w := s.peek(); w.kind {
	case textWord, bareWord:
		return s.next().text, nil
	default:
		return "", syntax("a value is missing at %s", near(s.sql, w.at))
	}
}

func (s *statement) either(depth int) (*condition, error) {
	return s.chain("or", depth, func(depth int) (*condition, error) {
		return s.chain("and", depth, s.single)
	})
}

// chain reads conditions with the word op between them.
func (s *statement) chain(op string, depth int, one func(int) (*condition, error)) (*condition, error) {
	if depth > maxDepth {
		return nil, syntax("the condition is too deep")
	}
	first, err := one(depth + 1)
	if err != nil || !s.peek().is(op) {
		return first, err
	}
	all := &condition{op: op, args: []*condition{first}}
	for s.took(op) {
		c, err := one(depth + 1)
		if err != nil {
			return nil, err
		}
		all.args = append(all.args, c)
	}
	return all, nil
}

func (s *statement) single(depth int) (c *condition, err error) {
	if depth > maxDepth {
		return nil, syntax("the condition is too deep")
	}
	if s.took("NOT") {
		c, err := s.single(depth + 1)
		return &condition{op: "not", args: []*condition{c}}, err
	}
	if s.took("(") {
		if c, err = s.either(depth + 1); err == nil && !s.took(")") {
			err = syntax("a ) is missing at %s", near(s.sql, s.peek().at))
		}
		return c, err
	}
	c = new(condition)
	if c.column, err = s.name("a column"); err != nil {
		return nil, err
	}
	if s.took("IS") {
		c.op, c.not = "null", s.took("NOT")
		if !s.took("NULL") {
			return nil, syntax("NULL is missing at %s", near(s.sql, s.peek().at))
		}
		return c, nil
	}
	c.not = s.took("NOT")
	at := s.peek()
	switch {
	case s.took("IN"):
		c.op = "in"
		if !s.took("(") {
			return nil, syntax("a ( is missing at %s", near(s.sql, s.peek().at))
		}
		for more := true; more; more = s.took(",") {
			v, err := s.value()
			if err != nil {
				return nil, err
			}
			c.values = append(c.values, v)
		}
		if !s.took(")") {
			return nil, syntax("a ) is missing at %s", near(s.sql, s.peek().at))
		}
		return c, nil
	case s.took("LIKE"):
		c.op = "like"
	case !c.not && at.kind == markWord && slices.Contains([]string{"=", "!=", "<>", "<", "<=", ">", ">="}, at.text):
		if c.op = s.next().text; c.op == "<>" {
			c.op = "!="
		}
	default:
		return nil, syntax("a comparison is missing at %s", near(s.sql, at.at))
	}
	v, err := s.value()
	if c.op == "like" {
		v = strings.ToLower(v)
	}
	c.values = []string{v}
	return c, err
}

// holds tells whether a row is one that c is about. NULL compares to nothing, and
// is in the outcome as false.
func (c *condition) holds(g *grid, row []any) bool {
	switch c.op {
	case "and":
		return !slices.ContainsFunc(c.args, func(a *condition) bool { return !a.holds(g, row) })
	case "or":
		return slices.ContainsFunc(c.args, func(a *condition) bool { return a.holds(g, row) })
	case "not":
		return !c.args[0].holds(g, row)
	case "null":
		return (row[g.at(c.column)] == nil) != c.not
	}
	cell := row[g.at(c.column)]
	if cell == nil {
		return false
	}
	is := false
	switch c.op {
	case "in":
		is = slices.ContainsFunc(c.values, func(v string) bool { return compareText(cell, v) == 0 })
	case "like":
		text, _ := cellText(cell)
		is = likeFolded(c.values[0], text)
	case "=":
		is = compareText(cell, c.values[0]) == 0
	case "!=":
		is = compareText(cell, c.values[0]) != 0
	case "<":
		is = compareText(cell, c.values[0]) < 0
	case "<=":
		is = compareText(cell, c.values[0]) <= 0
	case ">":
		is = compareText(cell, c.values[0]) > 0
	case ">=":
		is = compareText(cell, c.values[0]) >= 0
	}
	return is != c.not
}

// unknownColumn is the first column of c that g does not have.
func (c *condition) unknownColumn(g *grid) string {
	if c == nil {
		return ""
	}
	for _, a := range c.args {
		if name := a.unknownColumn(g); name != "" {
			return name
		}
	}
	if len(c.args) == 0 && g.at(c.column) < 0 {
		return c.column
	}
	return ""
}

// compareText compares a cell with a value of a statement: as numbers if both are.
func compareText(cell any, value string) int {
	if n, ok := numeric(cell); ok {
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			return cmp.Compare(n, v)
		}
	}
	text, _ := cellText(cell)
	return compareFold(text, value)
}

// compareFold compares texts in whatever case. It looks no farther than to where
// they differ: a value may be as long as a statement, and is compared to each row.
func compareFold(a, b string) int {
	for i := range min(len(a), len(b)) {
		x, y := a[i], b[i]
		if x|y >= 0x80 {
			return strings.Compare(strings.ToLower(a[i:]), strings.ToLower(b[i:]))
		}
		if x = lower(x); x != lower(y) {
			return cmp.Compare(x, lower(y))
		}
	}
	return cmp.Compare(len(a), len(b))
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c |= 0x20
	}
	return c
}

func numeric(cell any) (float64, bool) {
	switch v := cell.(type) {
	case uint64:
		return float64(v), true
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// compareCells orders cells of one column; NULL comes first, as in MySQL.
func compareCells(a, b any) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	if t, ok := a.(time.Time); ok {
		return t.Compare(b.(time.Time))
	}
	n, ok := numeric(a)
	if m, both := numeric(b); ok && both {
		return cmp.Compare(n, m)
	}
	x, _ := cellText(a)
	y, _ := cellText(b)
	return compareFold(x, y)
}

// narrow takes from g what t asks for. column is the one that LIKE is about. An error
// may be ctx's: a condition of a megabyte takes its time with many rows, and the
// event loops can use the processor.
func (g *grid) narrow(ctx context.Context, t tail, column string) error {
	missing := t.where.unknownColumn(g)
	for _, o := range t.order {
		if missing == "" && g.at(o.column) < 0 {
			missing = o.column
		}
	}
	if missing != "" {
		return g.noColumn(missing)
	}
	if t.liked {
		i := g.at(column)
		if i < 0 {
			return syntax("LIKE has no meaning here; use WHERE")
		}
		g.keep(ctx, func(row []any) bool {
			text, ok := cellText(row[i])
			return ok && likeFolded(t.like, text)
		})
	}
	if t.where != nil {
		g.keep(ctx, func(row []any) bool { return t.where.holds(g, row) })
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(t.order) > 0 {
		var by []int // columns, each once: it has no say a second time
		var order []orderBy
		for _, o := range t.order {
			if i := g.at(o.column); !slices.Contains(by, i) {
				by, order = append(by, i), append(order, o)
			}
		}
		slices.SortStableFunc(g.rows, func(a, b []any) int {
			for j, o := range order {
				i := by[j]
				if n := compareCells(a[i], b[i]); n != 0 && o.down {
					return -n
				} else if n != 0 {
					return n
				}
			}
			return 0
		})
	}
	if t.few {
		g.rows = g.rows[min(t.skip, uint64(len(g.rows))):]
		g.rows = g.rows[:min(t.rows, uint64(len(g.rows)))]
	}
	return nil
}

// noColumn is the error for a column that g does not have.
func (g *grid) noColumn(name string) error {
	names := make([]string, len(g.columns))
	for i := range g.columns {
		names[i] = g.columns[i].name
	}
	return &fault{1054, "42S22", "there is no column " + near(name, 0) + " here; there are " + strings.Join(names, ", ")}
}

// keep takes out the rows that are not as is says: all from the end of ctx on.
func (g *grid) keep(ctx context.Context, is func(row []any) bool) {
	g.rows = slices.DeleteFunc(g.rows, func(row []any) bool { return ctx.Err() != nil || !is(row) })
}

// like tells whether text is as in an SQL pattern, in whatever case: % is any
// text, _ any byte, \ takes their meaning.
func like(pattern, text string) bool { return likeFolded(strings.ToLower(pattern), text) }

// likeFolded is like for a pattern in lower case: it is made so once for all rows.
func likeFolded(p, text string) bool {
	t := strings.ToLower(text)
	// The last % is where to go on from if the rest does not fit.
	back, from := -1, 0
	i, j := 0, 0
	for j < len(t) {
		switch {
		case i < len(p) && p[i] == '%':
			back, from = i, j
			i++
			continue
		case i+1 < len(p) && p[i] == '\\' && p[i+1] == t[j]:
			i += 2
			j++
			continue
		case i < len(p) && (p[i] == '_' || p[i] == t[j] && p[i] != '\\'):
			i++
			j++
			continue
		case back >= 0:
			from++
			i, j = back+1, from
			continue
		}
		return false
	}
	for i < len(p) && p[i] == '%' {
		i++
	}
	return i == len(p)
}
