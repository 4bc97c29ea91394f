package admin

import (
	"slices"
	"strings"

	"mysqlproxy/engine"
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
		{words: "SELECT * FROM backends", help: "lists the backends and their state, as ever"},
		{words: "SELECT", args: "* | column, ... | COUNT(*) FROM table [WHERE condition] [ORDER BY column [DESC], ...] [LIMIT n]",
			help: "as SHOW, but for backends and help; SHOW TABLES lists the tables"},
	}, list...)
}

var classicBackends = view{name: "BACKENDS", like: "address", get: func(r *request) (*grid, error) {
	f, err := r.proxy.Figures(r)
	return fill(f.Backends, []field[engine.BackendFigures]{
		{column{"backend_ndx", longColumn, ""}, func(b *engine.BackendFigures) any { return number(b.Index + 1) }},
		{column{"address", stringColumn, ""}, func(b *engine.BackendFigures) any { return b.Address }},
		{column{"state", stringColumn, ""}, func(b *engine.BackendFigures) any { return b.State }},
		{column{"type", stringColumn, ""}, func(b *engine.BackendFigures) any { return b.Type }},
		{column{"uuid", stringColumn, ""}, func(b *engine.BackendFigures) any { return filled(b.UUID) }},
		{column{"connected_clients", longColumn, ""}, func(b *engine.BackendFigures) any { return number(b.Clients) }},
	}), err
}}

var helpTable = view{name: "HELP", like: "command", get: func(*request) (*grid, error) {
	return fill(statements(), []field[verb]{
		{column{"command", stringColumn, ""}, func(v *verb) any { return strings.TrimSpace(v.words + " " + v.args) }},
		{column{"description", stringColumn, ""}, func(v *verb) any { return v.help }},
	}), nil
}}

func makeViews() {
	views = slices.Concat(ownViews, toolViews)
	tables = append([]view{helpTable, classicBackends}, some(views, func(v *view) bool { return v.name != classicBackends.name })...)
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
