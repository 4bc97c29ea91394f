package admin

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"mysqlproxy/engine"
)

// This file is SELECT: from the views, which are tables by their names, and of the
// values that clients ask a server for.
//
//	SELECT * | column, ... | COUNT(*) FROM view [WHERE ...] [ORDER BY ...] [LIMIT ...]
//	SELECT value [[AS] name], ... [FROM DUAL] [LIMIT n]

// item is one of what is selected.
type item struct {
	name   string // of the column in the result
	column string // of a view; "": it is no column
	all    bool   // *
	count  bool   // COUNT(*)
	value  any
	fails  error // to be said if it is no column of a view
}

func (r *request) selects() (*result, error) {
	var items []item
	for more := true; more; more = r.took(",") {
		it, err := r.item()
		if err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	if r.took("FROM") && !r.took("DUAL") {
		name, err := r.name("a table")
		if err != nil {
			return nil, err
		}
		return r.table(items, name[strings.LastIndexByte(name, '.')+1:])
	}
	if r.took("LIMIT") {
		if _, err := r.number("LIMIT"); err != nil {
			return nil, err
		}
	}
	if err := r.end(); err != nil {
		return nil, newUnknown(r.statement)
	}
	g := &grid{rows: [][]any{make([]any, len(items))}}
	for i, it := range items {
		switch {
		case it.fails != nil:
			return nil, it.fails
		case it.all || it.count:
			return nil, newUnknown(r.statement)
		}
		g.columns = append(g.columns, column{name: it.name, kind: kindOf(it.value)})
		g.rows[0][i] = it.value
	}
	return &result{grid: g}, nil
}

func kindOf(cell any) columnKind {
	switch cell.(type) {
	case uint64, int64:
		return numberColumn
	case float64:
		return secondsColumn
	case time.Time:
		return timeColumn
	}
	return textColumn
}

// item reads a value or a column, and what it is to be called.
func (r *request) item() (item, error) {
	w := r.next()
	it := item{name: r.sql[w.at:w.ends]}
	switch {
	case w.is("*"):
		it.all = true
		return it, nil
	case w.kind == textWord:
		it.name, it.value = w.text, w.text
	case w.kind == systemWord:
		if v, ok := r.variable(w.text); ok {
			it.value = v
		} else {
			it.fails = &fault{1193, "HY000", "Unknown system variable '" + w.text + "'; SHOW VARIABLES lists those that there are"}
		}
	case w.kind == nameWord:
		it.column = w.text
		it.name = w.text
	case w.kind != bareWord:
		return it, newUnknown(r.statement)
	case r.peek().is("("):
		star := false
		for depth := 0; ; {
			switch next := r.next(); {
			case next.kind == endOfText:
				return it, syntax("a ) is missing at the end")
			case next.is("("):
				depth++
			case next.is(")"):
				depth--
			default:
				star = next.is("*")
			}
			if depth == 0 {
				break
			}
		}
		it.name = strings.TrimSpace(r.sql[w.at:r.words[r.i-1].ends])
		if star && w.is("COUNT") {
			it.count = true
		} else {
			it.value, it.fails = r.call(w.text)
		}
	default:
		it.value, it.column, it.fails = r.bareValue(w.text)
	}
	if alias := r.peek(); r.took("AS") || alias.kind == nameWord || alias.kind == textWord || alias.kind == bareWord && !alias.is("FROM") && !alias.is("LIMIT") {
		name, err := r.name("a name")
		if err != nil {
			return it, err
		}
		it.name = name
	}
	return it, nil
}

// bareValue is the value of a word that is not called; else it may be a column.
func (r *request) bareValue(text string) (value any, column string, err error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return number(n), "", nil
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && text[0] <= '9' {
		return f, "", nil
	}
	switch strings.ToUpper(text) {
	case "NULL":
		return nil, "", nil
	case "TRUE":
		return number(1), "", nil
	case "FALSE":
		return number(0), "", nil
	case "CURRENT_USER", "CURRENT_TIMESTAMP", "LOCALTIME":
		value, err := r.call(text)
		return value, "", err
	}
	return nil, text, &fault{1054, "42S22", "there is no column " + near(text, 0) + " without a FROM; SHOW TABLES lists what there is"}
}

// call is the value of a function.
func (r *request) call(name string) (any, error) {
	switch strings.ToUpper(name) {
	case "USER", "CURRENT_USER", "SESSION_USER", "SYSTEM_USER":
		host := r.from.Client
		if i := strings.LastIndexByte(host, ':'); i >= 0 {
			host = host[:i]
		}
		if host == "" || host[0] == '/' {
			host = "localhost"
		}
		return r.from.User + "@" + host, nil
	case "DATABASE", "SCHEMA":
		return filled(r.from.Database), nil
	case "VERSION":
		return engine.AdminVersion, nil
	case "CONNECTION_ID":
		return number(r.from.Session), nil
	case "NOW", "CURRENT_TIMESTAMP", "LOCALTIME", "SYSDATE":
		return time.Now(), nil
	}
	return nil, &fault{1305, "42000", "FUNCTION " + name + " does not exist here"}
}

// table selects items from the view with the name.
func (r *request) table(items []item, name string) (*result, error) {
	i := slices.IndexFunc(tables, func(v view) bool { return strings.EqualFold(v.name, name) })
	if i < 0 {
		text := "there is no table " + near(name, 0) + "; "
		if best := nearest([]string{"SHOW", strings.ToUpper(name)}); best != "" {
			text += "did you mean " + strings.ToLower(strings.TrimPrefix(best, "SHOW ")) + "? "
		}
		return nil, &unknownStatement{text + "SHOW TABLES lists them, SELECT * FROM help all statements"}
	}
	res, err := r.show(tables[i])
	if err != nil {
		return nil, err
	}
	g := res.grid
	if len(items) == 1 && items[0].all {
		if tables[i].name == backendsTable {
			res.grid = g.pick(classicColumns)
		}
		return res, nil
	}
	out := &grid{}
	if len(items) == 1 && items[0].count {
		out.columns = []column{{name: items[0].name, kind: numberColumn}}
		out.rows = [][]any{{number(len(g.rows))}}
		return &result{grid: out}, nil
	}
	columns := 0
	for _, it := range items {
		if columns++; it.all {
			columns += len(g.columns) - 1
		}
	}
	if columns > maxColumns {
		return nil, &fault{1117, "HY000", "Too many columns"}
	}
	out.rows = make([][]any, len(g.rows))
	for _, it := range items {
		var from []int
		switch at := g.at(it.column); {
		case it.all:
			for i := range g.columns {
				from = append(from, i)
			}
		case it.count:
			return nil, syntax("COUNT(*) stands alone here")
		case it.column == "" && it.fails == nil: // a value
			out.columns = append(out.columns, column{name: it.name, kind: kindOf(it.value)})
			for j := range out.rows {
				out.rows[j] = append(out.rows[j], it.value)
			}
		case at < 0:
			return nil, g.noColumn(it.name)
		default:
			from = []int{at}
		}
		for _, at := range from {
			c := g.columns[at]
			if !it.all {
				c.name = it.name
			}
			out.columns = append(out.columns, c)
			for j := range out.rows {
				out.rows[j] = append(out.rows[j], g.rows[j][at])
			}
		}
	}
	return &result{grid: out}, nil
}
