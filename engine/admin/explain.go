package admin

import (
	"errors"
	"fmt"
	"strings"

	"mysqlproxy/engine"
)

// This file is EXPLAIN ROUTE.

// explain answers it. The statement that it is about may be of any length and
// language, and is read here up to where that begins.
func (r *request) explain() (*result, error) {
	o := engine.ExplainOptions{Database: r.from.Database}
	sql := strings.TrimSpace(r.raw)
	at := 0
	if w, err := nextWord(sql, at); err == nil && w.is("FOR") {
		if w, err = nextWord(sql, w.ends); err != nil || !w.is("SESSION") {
			return nil, syntax("SESSION is missing at %s", near(sql, w.at))
		}
		if w, err = nextWord(sql, w.ends); err != nil {
			return nil, err
		}
		id := &statement{sql: sql, words: []token{w, {}}}
		if o.Session, err = id.number("the id of a session"); err != nil {
			return nil, err
		}
		at = w.ends
	}
	if sql = strings.TrimSpace(sql[at:]); sql == "" {
		return nil, syntax("a statement to explain is missing at the end")
	}
	x, err := r.proxy.Explain(r, sql, o)
	if errors.Is(err, engine.ErrNoSession) {
		err = &fault{1094, "HY000", fmt.Sprintf("there is no session %d of a client that is logged in; SHOW SESSIONS lists them", o.Session)}
	}
	if err != nil {
		return nil, err
	}
	words := func(list []string) any { return filled(strings.Join(list, ",")) }
	return &result{grid: fill([]engine.Explanation{x}, []field[engine.Explanation]{
		text("route", "", func(x *engine.Explanation) any { return filled(x.Route) }),
		text("reason", "", func(x *engine.Explanation) any { return filled(x.Reason) }),
		text("backends", "", func(x *engine.Explanation) any { return words(x.Backends) }),
		text("unless", "", func(x *engine.Explanation) any { return words(x.Unless) }),
		text("effects", "", func(x *engine.Explanation) any { return words(x.Effects) }),
		text("pins", "", func(x *engine.Explanation) any { return words(x.Pins) }),
		text("several", "", func(x *engine.Explanation) any { return yesNo(x.Many) }),
		text("digest", "", func(x *engine.Explanation) any { return fmt.Sprintf("%016x", x.Digest) }),
		text("digest_text", "", func(x *engine.Explanation) any { return filled(x.Text) }),
	})}, nil
}
