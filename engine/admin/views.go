package admin

import (
	"strings"

	"mysqlproxy/engine"
)

// This file is what a SHOW is: a view, which is a list and its columns. shows.go
// has those of the proxy, tools.go those that are there because clients ask.

// view is a result that can be asked for: SHOW BACKENDS, SELECT * FROM backends.
type view struct {
	name    string // in capitals
	like    string // the column that LIKE is about; "": none
	help    string
	columns []column
	get     func(*request) (*grid, error)
}

// list makes a view of a list of T.
func list[T any](name, like, help string, get func(*request) ([]T, error), fields ...field[T]) view {
	v := view{name: name, like: like, help: help}
	for _, f := range fields {
		v.columns = append(v.columns, f.column)
	}
	v.get = func(r *request) (*grid, error) {
		all, err := get(r)
		if err != nil {
			return nil, err
		}
		return fill(all, fields), nil
	}
	return v
}

func text[T any](name, help string, of func(*T) any) field[T] {
	return field[T]{column{name, textColumn, help}, of}
}

func count[T any](name, help string, of func(*T) any) field[T] {
	return field[T]{column{name, numberColumn, help}, of}
}

func instant[T any](name, help string, of func(*T) any) field[T] {
	return field[T]{column{name, timeColumn, help}, of}
}

func duration[T any](name, help string, of func(*T) any) field[T] {
	return field[T]{column{name, secondsColumn, help}, of}
}

// figures is a list of the engine's figures.
func figures[T any](r *request, of func(*engine.Figures) []T) ([]T, error) {
	f, err := r.proxy.Figures(r)
	return of(&f), err
}

// some are those of a list that is is about.
func some[T any](all []T, is func(*T) bool) (list []T) {
	for i := range all {
		if is(&all[i]) {
			list = append(list, all[i])
		}
	}
	return list
}

func (r *request) settings() []Setting {
	if r.Settings == nil {
		return nil
	}
	return r.Settings.All()
}

// narrowing is what may follow a SHOW, for HELP.
const narrowing = `It may be followed by
  LIKE 'pattern'
  WHERE condition: = != < <= > >= [NOT] LIKE, [NOT] IN (...), IS [NOT] NULL, AND, OR, NOT
  ORDER BY column [DESC], ...
  LIMIT n [OFFSET n]
in this order.`

// describe is what HELP says of a view beside its line.
func (v *view) describe() string {
	var b strings.Builder
	b.WriteString(narrowing + "\n\n")
	if v.like != "" {
		b.WriteString("LIKE is about " + v.like + ".\n\n")
	}
	b.WriteString("Columns:\n")
	for _, c := range v.columns {
		b.WriteString("  " + c.name)
		if c.help != "" {
			b.WriteString(": " + c.help)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// show answers SHOW for v, of which the rest is to be read.
func (r *request) show(v view) (*result, error) {
	t, err := r.tail()
	if err != nil {
		return nil, err
	}
	g, err := v.get(r)
	if err == nil {
		err = g.narrow(r, t, v.like)
	}
	return &result{grid: g}, err
}
