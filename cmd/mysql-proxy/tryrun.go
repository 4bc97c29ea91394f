package main

import (
	"errors"
	"fmt"
	"strings"

	"mysqlproxy/engine"
	"mysqlproxy/packet"
)

// tryRun is one run of `mysql-proxy test`. One goroutine uses it.
type tryRun struct {
	tryOptions
	list []tryStatement
	p    tryPrinter

	trace    *tryTrace
	servers  []*tryServer
	engine   *engine.Engine
	client   *tryClient // nil if it is not logged in
	ran      int        // statements, of all rounds
	answered int
	refused  int // logins
}

// run runs all and returns the exit code.
func (r *tryRun) run() int {
	r.trace.count = true
	if !r.quiet {
		r.p.printf("script   %s\n", oneLine(r.script))
		r.p.printf("servers  1 read/write (primary), %d read-only (replica)\n\n", r.replicas)
	}
	ok := r.warmUp() && r.logIn("login  ")
	for round := 1; ok && round <= r.repeat; round++ {
		r.trace.mu.Lock()
		r.trace.count = round == r.repeat // the others are for the time
		r.trace.mu.Unlock()
		for i := range r.list {
			if ok = r.statement(round, i); !ok {
				break
			}
		}
	}
	r.trace.mu.Lock()
	r.trace.count = true
	r.trace.mu.Unlock()
	r.logOut("logout", "", false)
	return r.summary()
}

// warmUp has clients log in and out, one after the other, as far as they come.
func (r *tryRun) warmUp() bool {
	for i := range r.warm {
		c, a, err := r.dial()
		events, mark := r.trace.take()
		bad := err != nil || anyFailed(events)
		if err == nil {
			r.trace.begin([]byte{byte(packet.ComQuit)})
			c.quit()
			r.awaitEnd()
			more, _ := r.trace.take()
			events = append(events, more...)
			bad = bad || anyFailed(more)
		}
		switch head := fmt.Sprintf("warm-up login %d  ", i+1); {
		case bad:
			r.p.block(head, "", events)
			r.outcome(a, mark, err)
		case !r.quiet:
			var calls []string
			for _, e := range events {
				if e.label == "hook" {
					calls = append(calls, e.name+": "+e.text)
				}
			}
			r.trace.mu.Lock()
			where := r.trace.server
			r.trace.mu.Unlock()
			r.p.printf("%s%-11s%s\n", head, first(where, "no server"), strings.Join(calls, "; "))
			for _, e := range events {
				if e.label == "print" || e.label == "log" {
					r.p.event(e)
				}
			}
		}
		if err != nil {
			r.refused++
			return false
		}
	}
	if r.warm > 0 && !r.quiet {
		r.p.printf("\n")
	}
	return true
}

// dial logs a client in. The caller takes the trace. The error says why there
// is none; a refusal is one too.
func (r *tryRun) dial() (*tryClient, tryAnswer, error) {
	r.trace.begin(nil)
	address := r.engine.Addrs()[0]
	c, err := dialTry(address, r.timeout)
	if err != nil {
		return nil, tryAnswer{}, err
	}
	a, err := c.login()
	if err == nil && a.failed {
		err = errTryRefused
	}
	if err != nil {
		c.conn.Close()
		r.awaitEnd()
		return nil, a, err
	}
	return c, a, nil
}

var errTryRefused = errors.New("the login was refused")

// logIn logs the client in whose statements are run.
func (r *tryRun) logIn(head string) bool {
	c, a, err := r.dial()
	events, mark := r.trace.take()
	if !r.quiet || err != nil || anyFailed(events) {
		r.p.block(head, tryUser+", default database "+tryDatabase, events)
		r.outcome(a, mark, err)
		r.p.printf("\n")
	}
	if err != nil {
		r.refused++
		return false
	}
	r.client = c
	return true
}

// logOut ends the session.
func (r *tryRun) logOut(head, title string, silent bool) {
	if r.client == nil {
		return
	}
	r.trace.begin([]byte{byte(packet.ComQuit)})
	r.client.quit()
	r.client = nil
	r.awaitEnd()
	events, _ := r.trace.take()
	if !r.quiet && !silent || anyFailed(events) {
		r.p.block(head, title, events)
		if title != "" {
			r.p.printf("\n")
		}
	}
}

func (r *tryRun) awaitEnd() { r.trace.wait(r.timeout, func() bool { return r.trace.ended }) }

// statement runs one statement. It is false if there is no going on.
func (r *tryRun) statement(round, i int) bool {
	st := &r.list[i]
	head := fmt.Sprintf("[%d] ", i+1)
	if round > 1 {
		head = fmt.Sprintf("[%d, round %d] ", i+1, round)
	}
	silent := r.quiet || round > 1
	if st.verb == "connect" {
		r.ran++
		r.logOut(head, st.text, silent)
		if !r.logInAgain(silent) {
			return false
		}
		r.answered++
		return true
	}
	if r.client == nil && !r.logInAgain(silent) {
		return false
	}
	r.ran++
	payload := r.client.payload(st)
	r.trace.begin(payload)
	a, err := r.client.run(payload)
	if err == nil {
		r.settle(packet.Command(payload[0]))
		r.answered++
	}
	if err != nil || r.trace.over() {
		if err != nil {
			r.client.conn.Close()
		}
		r.awaitEnd()
		r.client.conn.Close()
		r.client = nil
	}
	events, mark := r.trace.take()
	if !packet.Command(payload[0]).HasResponse() {
		mark = ""
	}
	if !silent || err != nil || anyFailed(events) {
		r.p.block(head, st.text, events)
		r.outcome(a, mark, err)
		r.p.printf("\n")
	}
	return true
}

// logInAgain logs in within the statements.
func (r *tryRun) logInAgain(silent bool) bool {
	quiet := r.quiet
	r.quiet = silent
	defer func() { r.quiet = quiet }()
	return r.logIn("login  ")
}

// settle waits until the engine is through with a command that the client has
// the answer to, so that the trace is whole.
func (r *tryRun) settle(code packet.Command) {
	t := r.trace
	t.wait(r.timeout, func() bool {
		if !code.HasResponse() { // nor is read_query_result called
			return t.reached || t.swallowed || t.ended
		}
		return t.pending == 0 || t.ended
	})
}

// outcome writes what the client got.
func (r *tryRun) outcome(a tryAnswer, mark string, err error) {
	switch {
	case err == nil, errors.Is(err, errTryRefused):
		r.p.answer(a, mark)
	case errors.Is(err, errTryTime):
		r.p.line("client", fmt.Sprintf("NO ANSWER within %v, %v", r.timeout, err))
	default:
		r.p.line("client", "NO ANSWER: "+err.Error())
	}
}

func anyFailed(events []*tryEvent) bool {
	for _, e := range events {
		if e.failed {
			return true
		}
	}
	return false
}

// summary writes the figures and returns the exit code.
func (r *tryRun) summary() int {
	t := r.trace
	t.mu.Lock()
	figures, failed := t.figures, len(t.failed)
	t.mu.Unlock()
	r.p.figures(figures[:])
	r.p.printf("\n")
	for _, s := range r.servers {
		r.p.printf("%-18s %s opened, %s\n", s.name, plural(uint64(s.logins.Load()), "connection"), plural(uint64(s.commands.Load()), "command"))
	}
	all := uint64(len(r.list) * r.repeat)
	missing := all - uint64(r.answered)
	if failed == 0 && r.refused == 0 && missing == 0 {
		r.p.printf("\nPASSED: %s, all answered; no hook failed\n", plural(uint64(r.ran), "statement"))
		return 0
	}
	var why []string
	if r.refused > 0 {
		why = append(why, plural(uint64(r.refused), "failed login"))
	}
	if missing > 0 {
		why = append(why, fmt.Sprintf("%d of %s without an answer", missing, plural(all, "statement")))
	}
	if failed > 0 {
		why = append(why, plural(uint64(failed), "failure")+" in the script")
	}
	r.p.printf("\nFAILED: %s\n", strings.Join(why, "; "))
	return 1
}
