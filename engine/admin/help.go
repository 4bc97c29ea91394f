package admin

import (
	"slices"
	"strings"
)

// This file is HELP, and the two tables that MySQL Proxy's admin.lua had.

// views are all that SHOW knows; tables are what SELECT can have. Both are made
// once.
var views, tables []view

// statements are the verbs that HELP tells of, by name.
func statements() []verb {
	list := some(verbs, func(v *verb) bool { return v.help != "" })
	slices.SortStableFunc(list, func(a, b verb) int { return strings.Compare(a.words, b.words) })
	return append([]verb{
		{words: "SELECT * FROM help", help: "shows this list"},
		{words: "SELECT * FROM backends", help: "lists the backends and their state, by the columns of old; others can be named"},
		{words: "SELECT", args: "* | column, ... | COUNT(*) FROM table [WHERE condition] [ORDER BY column [DESC], ...] [LIMIT n]",
			help: "as SHOW; SHOW TABLES lists the tables"},
	}, list...)
}

// backendsTable is the name of the view that was there already.
const backendsTable = "BACKENDS"

// classicColumns are those of SELECT * FROM backends, with the types that they had.
var classicColumns = []column{
	{"backend_ndx", longColumn, ""}, {"address", stringColumn, ""}, {"state", stringColumn, ""}, {"type", stringColumn, ""}, {"uuid", stringColumn, ""},
	{"connected_clients", longColumn, ""},
}

// classic is a view of backends with those columns beside its own.
func classic(v view) view {
	get := v.get
	v.get = func(r *request) (*grid, error) {
		g, err := get(r)
		if err != nil {
			return nil, err
		}
		clients := g.at("clients")
		g.columns = append(g.columns, column{"connected_clients", numberColumn, ""})
		for i, row := range g.rows {
			g.rows[i] = append(row, row[clients])
		}
		return g, nil
	}
	return v
}

// pick is g with some of its columns, as they are described.
func (g *grid) pick(columns []column) *grid {
	out := &grid{columns: columns}
	for _, row := range g.rows {
		cells := make([]any, len(columns))
		for i, c := range columns {
			cells[i] = row[g.at(c.name)]
		}
		out.rows = append(out.rows, cells)
	}
	return out
}

var helpTable = view{name: "HELP", like: "command", get: func(*request) (*grid, error) {
	return fill(statements(), []field[verb]{
		{column{"command", stringColumn, ""}, func(v *verb) any { return strings.TrimSpace(v.words + " " + v.args) }},
		{column{"description", stringColumn, ""}, func(v *verb) any { return v.help }},
	}), nil
}}

func makeViews() {
	views = slices.Concat(ownViews, toolViews)
	tables = append([]view{helpTable}, views...)
	for i := range tables {
		if tables[i].name == backendsTable {
			tables[i] = classic(tables[i])
		}
	}
	views = append(views, view{name: "HELP", like: helpTable.like, get: helpTable.get})
}

// help answers HELP. The columns are those of MySQL's, which its shell lays out:
// one statement is explained, of several the names are listed.
func (r *request) help() (*result, error) {
	var words []string
	for w := r.next(); w.kind != endOfText; w = r.next() {
		words = append(words, strings.Fields(strings.ToUpper(w.text))...)
	}
	topic := strings.Join(words, " ")
	if topic == "" {
		g, err := helpTable.get(r)
		return &result{grid: g}, err
	}
	all := statements()
	found := some(all, func(v *verb) bool { return strings.EqualFold(v.words, topic) })
	if len(found) == 0 {
		found = some(all, func(v *verb) bool { return strings.Contains(strings.ToUpper(v.words), topic) })
	}
	if len(found) == 0 {
		if best := nearest(words); best != "" {
			found = some(all, func(v *verb) bool { return v.words == best })
		}
	}
	if len(found) != 1 {
		return &result{grid: fill(found, []field[verb]{
			text("name", "", func(v *verb) any { return v.words }),
			text("is_it_category", "", func(*verb) any { return "N" }),
		})}, nil
	}
	return &result{grid: fill(found, []field[verb]{
		text("name", "", func(v *verb) any { return v.words }),
		text("description", "", func(v *verb) any {
			return strings.TrimSpace(v.words+" "+v.args) + "\n\n" + v.help + ".\n\n" + v.more
		}),
		text("example", "", func(*verb) any { return "" }),
	})}, nil
}
