package admin

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"mysqlproxy/engine"
)

// This file is what the console does: to backends, sessions, digests and options.
// What comes of it is in the log and among the events, the engine sees to that; who
// has asked for it is in the log before.

// acts are the statements that change something, and EXPLAIN.
var acts = []verb{
	{"EXPLAIN ROUTE", "[FOR SESSION id] statement", "where a statement would go and why, without its being sent",
		"It is that of a session that has just logged in and selected the database of USE, or of the one with the id, as it is now.\n" +
			"The columns unless and pins are lists of reasons: for those it would go to the primary after all, for these the session's reads would stay there from then on.", (*request).explain},
	{"DRAIN", "'address' [FOR n SECONDS] [FORCE]", "a backend gets no new sessions; those that it has may go on, for n seconds at most",
		"SHOW BACKENDS says when no session is left: then it is in maintenance. The backend may be named by its address or by its backend_ndx.\n" +
			"The last one that could take writes stays, unless FORCE is given.", func(r *request) (*result, error) { return r.duty(engine.DutyDraining) }},
	{"MAINTENANCE", "'address' [FOR n SECONDS] [FORCE]", "drains a backend, and ends what it runs now, or after n seconds",
		"The last one that could take writes stays, unless FORCE is given.", func(r *request) (*result, error) { return r.duty(engine.DutyMaintenance) }},
	{"ONLINE", "'address'", "a backend gets sessions and reads again", "", func(r *request) (*result, error) { return r.duty(engine.DutyOnline) }},
	{"KILL QUERY", "id", "ends what a session runs, at its backend too, but not the session", "The id is that of SHOW SESSIONS.", func(r *request) (*result, error) { return r.kill(true) }},
	{"KILL CONNECTION", "id", "", "", func(r *request) (*result, error) { return r.kill(false) }},
	{"KILL", "id", "ends a session, and what it runs at its backend", "The id is that of SHOW SESSIONS.", func(r *request) (*result, error) { return r.kill(false) }},
	{"RESET DIGESTS", "", "counts statements by digest anew", "", func(r *request) (*result, error) {
		if err := r.end(); err != nil {
			return nil, err
		}
		r.note("RESET DIGESTS")
		return &result{}, r.proxy.ResetDigests(r)
	}},
	{"SET", "option = value", "changes an option while the proxy runs: SHOW CONFIG says which can be",
		"It holds until the next RELOAD. What clients set for themselves, such as NAMES and autocommit, is accepted and has no effect.", (*request).set},
	{"RELOAD", "", "reads the defaults-file again and applies what has changed in it: all of it or nothing",
		"The result has the options that have changed. SIGHUP does the same.", (*request).reload},
}

// note has the log say who asks for something.
func (r *request) note(what string) {
	r.Log.Log(r, engine.LevelMessage, "an operator asks: "+what, "user", r.from.User, "client", r.from.Client)
}

// address takes a backend's, which needs no quotes, or its backend_ndx.
func (r *request) address() (string, error) {
	w := r.peek()
	name, err := r.name("the address of a backend")
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(name)
	if err != nil || w.kind != bareWord {
		return name, nil
	}
	f, err := r.proxy.Figures(r)
	for _, b := range f.Backends {
		if b.Index+1 == n {
			return b.Address, nil
		}
	}
	if err == nil {
		err = failed("there is no backend with the number %d; SHOW BACKENDS lists them", n)
	}
	return "", err
}

// longestGrace bounds FOR n SECONDS.
const longestGrace = 7 * 24 * time.Hour

// duty answers DRAIN, MAINTENANCE and ONLINE.
func (r *request) duty(to engine.Duty) (*result, error) {
	addr, err := r.address()
	if err != nil {
		return nil, err
	}
	var grace time.Duration
	do := r.proxy.SetBackend
	if to != engine.DutyOnline {
		if r.took("FOR") {
			n, err := r.number("the time")
			if err != nil {
				return nil, err
			}
			if grace = time.Duration(min(n, uint64(longestGrace/time.Second))) * time.Second; !r.took("SECONDS") && !r.took("SECOND") {
				return nil, syntax("SECONDS is missing at %s", near(r.sql, r.peek().at))
			}
			if n == 0 && to == engine.DutyDraining {
				return nil, syntax("to drain for 0 seconds is MAINTENANCE")
			}
		}
		if r.took("FORCE") {
			do = r.proxy.ForceBackend
		}
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	r.note(fmt.Sprintf("%s %q", [...]string{"ONLINE", "DRAIN", "MAINTENANCE"}[to], addr[:min(len(addr), 200)]))
	var last *engine.LastWriterError
	switch err := do(r, addr, to, grace); {
	case errors.Is(err, engine.ErrNoBackend):
		return nil, failed("there is no backend %s; SHOW BACKENDS lists them", near(addr, 0))
	case errors.As(err, &last):
		return nil, failed("%v: with FORCE behind the statement", err)
	case err != nil:
		return nil, err
	}
	said := addr + " is online"
	switch {
	case to == engine.DutyDraining && grace > 0:
		said = fmt.Sprintf("%s is draining, for %d seconds at most; SHOW BACKENDS says when it is done", addr, int(grace.Seconds()))
	case to == engine.DutyDraining:
		said = addr + " is draining; SHOW BACKENDS says when it is done"
	case to == engine.DutyMaintenance && grace > 0:
		said = fmt.Sprintf("%s is in maintenance in %d seconds, or when no session is left", addr, int(grace.Seconds()))
	case to == engine.DutyMaintenance:
		said = addr + " is about to be in maintenance; what it runs is ended"
	}
	return &result{said: said}, nil
}

// kill answers KILL.
func (r *request) kill(queryOnly bool) (*result, error) {
	id, err := r.number("the id of a session")
	if err == nil {
		err = r.end()
	}
	if err != nil {
		return nil, err
	}
	return r.killed(id, queryOnly)
}

func (r *request) killed(id uint64, queryOnly bool) (*result, error) {
	what := "KILL "
	if queryOnly {
		what = "KILL QUERY "
	}
	r.note(what + strconv.FormatUint(id, 10))
	err := r.proxy.Kill(r, id, queryOnly)
	if errors.Is(err, engine.ErrNoSession) {
		err = &fault{1094, "HY000", fmt.Sprintf("there is no session %d; SHOW SESSIONS lists them", id)}
	}
	return &result{}, err
}

// set answers SET.
func (r *request) set() (*result, error) {
	w := r.next()
	for w.is("GLOBAL") || w.is("SESSION") || w.is("LOCAL") || w.is("PERSIST") {
		w = r.next()
	}
	name := strings.ToLower(w.text)
	if w.kind == systemWord {
		for _, scope := range []string{"session.", "global.", "local.", "persist."} {
			name = strings.TrimPrefix(name, scope)
		}
	}
	option := strings.ReplaceAll(name, "_", "-")
	for _, s := range r.settings() {
		if s.Name == option {
			return r.setOption(s)
		}
	}
	if w.kind == markWord && name == "@" || forClients(name) {
		return &result{}, nil
	}
	return nil, &fault{1193, "HY000", "there is no option " + near(w.text, 0) + "; SHOW CONFIG lists them, those with live = yes can be set"}
}

// setOption answers SET of an option, from behind its name.
func (r *request) setOption(s Setting) (*result, error) {
	if !s.Live {
		return nil, &fault{1238, "HY000", s.Name + " cannot be changed while the proxy runs; change it in the defaults-file or on the command line, and start it anew"}
	}
	if !r.took("=") && !r.took(":", "=") && !r.took(":=") {
		return nil, syntax("a = is missing at %s", near(r.sql, r.peek().at))
	}
	value := r.rest()
	if w := r.peek(); w.kind == textWord || w.kind == nameWord {
		value = r.next().text
		if err := r.end(); err != nil {
			return nil, err
		}
	} else if w.kind == endOfText {
		return nil, syntax("a value is missing at the end")
	}
	r.note("SET " + s.Name)
	changes, err := r.Settings.Set(r, s.Name, value)
	if err != nil {
		return nil, refused(err)
	}
	if len(changes) == 0 {
		return &result{said: s.Name + " is that already"}, nil
	}
	said := make([]string, len(changes))
	for i, c := range changes {
		said[i] = c.String()
	}
	return &result{said: strings.Join(said, "; ")}, nil
}

// reload answers RELOAD.
func (r *request) reload() (*result, error) {
	if err := r.end(); err != nil {
		return nil, err
	}
	if r.Settings == nil {
		return nil, failed("there is nothing to read again")
	}
	r.note("RELOAD")
	changes, err := r.Settings.Reload(r)
	if err != nil {
		return nil, refused(err)
	}
	return &result{grid: fill(changes, []field[engine.Change]{
		text("option", "", func(c *engine.Change) any { return c.Option }),
		text("was", "", func(c *engine.Change) any { return filled(c.From) }),
		text("is", "", func(c *engine.Change) any { return filled(c.To) }),
	})}, nil
}

// refused is the ERR of options that cannot be.
func refused(err error) error { return &fault{1231, "42000", "nothing has changed: " + err.Error()} }
