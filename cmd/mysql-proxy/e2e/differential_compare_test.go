package e2e

import (
	"bytes"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// arena is where scripts are played on both ways: one primary, directly and
// through one proxy.
type arena struct {
	bed     *testbed
	direct  string // the primary's address
	proxied string // the proxy's
	attrs   map[string]string
	limit   time.Duration // for one response
	pause   time.Duration // of the session through the proxy
	players int           // at a time

	// shares tells that the proxy lends sessions with servers to one client after the
	// other: then CONNECTION_ID() is not what the greeting said.
	shares bool

	// withholds are the server's extended capabilities that the proxy does not
	// offer: a client asks for none of them directly either.
	withholds uint32

	// tracks tells that the proxy has the server track more of a session than its
	// client has, see lenient. What the end of a result cannot tell, without
	// capDeprecateEOF, comes with an OK later, which one depends on what is tracked.
	tracks bool

	admin    *sql.DB // at the primary, takes several statements at once
	replicas []*sql.DB
	wg       sync.WaitGroup
	drop     chan string // databases that nobody needs any more
}

// databases counts those that were made.
var databases atomic.Int64

// difference is what a script showed to be different on the two ways.
type difference struct {
	script          []step // as it was played
	at              int    // the step
	direct, proxied reply
	err             error // a way could not be played at all
}

// play plays a script on both ways at once, each in databases of its own, and
// compares. It is nil if all is equal.
func (a *arena) play(v variant, script []step) *difference {
	name := fmt.Sprintf("diff%05x", databases.Add(1))
	if err := a.prepare(setup(script), name+"d", name+"p"); err != nil {
		return &difference{err: err}
	}
	script = dressed(script)
	if a.shares {
		for i := range script {
			script[i].text = strings.ReplaceAll(script[i].text, "CONNECTION_ID() = {tid}", "CONNECTION_ID() > 0")
		}
	}
	v.ext &^= a.withholds
	if a.tracks && v.caps&capDeprecateEOF == 0 {
		v.caps &^= capSessionTrack
	}
	other := a.bed.Users.Native
	if a.bed.mysql() {
		other = a.bed.Users.SHA2
	}
	one := way{addr: a.direct, db: name + "d", user: a.bed.Users.App, other: other, caps: v, attrs: a.attrs, limit: a.limit, mysql: a.bed.mysql()}
	two := one
	two.addr, two.db, two.pause = a.proxied, name+"p", a.pause
	two.again = a.caughtUp
	var direct, proxied []reply
	var directErr, proxiedErr error
	var wg sync.WaitGroup
	wg.Go(func() { direct, directErr = play(one, script) })
	proxied, proxiedErr = play(two, script)
	wg.Wait()
	a.drop <- name + "d"
	a.drop <- name + "p"
	return compareReplies(script, direct, proxied, name, a.tracks, directErr, proxiedErr)
}

// usesDatabase tells that a statement changes the current database.
var usesDatabase = regexp.MustCompile(`(?i)\b(use|database)\b`)

func compareReplies(script []step, direct, proxied []reply, name string, tracks bool, directErr, proxiedErr error) *difference {
	for i := range min(len(direct), len(proxied)) {
		d, p := &direct[i], &proxied[i]
		// What the server itself leaves without an end is no script to compare by.
		schema := !tracks || script[i].verb == "init" || usesDatabase.MatchString(script[i].text)
		if !same(d, p, name, schema) || d.note == "no answer in time" {
			p.blob = bytes.ReplaceAll(p.blob, []byte(name+"p"), []byte(name+"d"))
			return &difference{script: script, at: i, direct: *d, proxied: *p}
		}
	}
	if directErr != nil || proxiedErr != nil || len(direct) != len(proxied) {
		return &difference{script: script, at: min(len(direct), len(proxied)) - 1,
			err: fmt.Errorf("directly: %w; through the proxy: %w", orNothing(directErr), orNothing(proxiedErr))}
	}
	return nil
}

// same tells that two replies are equal but for the names of their databases.
func same(d, p *reply, name string, schema bool) bool {
	if d.note != p.note {
		return false
	}
	named := bytes.ReplaceAll(p.blob, []byte(name+"p"), []byte(name+"d")) // a name of the same length
	return bytes.Equal(d.blob, named) || bytes.Equal(lenient(d.blob, schema), lenient(named, schema))
}

// statementID is what SHOW WARNINGS says of a statement by the id that the
// server gave it, with the length of the text before it.
var statementID = regexp.MustCompile(`.(The statement|Unknown prepared statement handler) \(\d+\)`)

// lenient is a reply without what two honest runs may differ in beside names:
// statement ids in the texts of warnings, the flags of a column definition,
// which tell of keys and NULLs as the plan at hand has them, and the order of
// an OK's session state, which for a SET NAMES follows the server's own table.
// Without schema, entries that tell the current database are left out too: which
// OK has them of those that have nothing to do with a change of the database
// depends on what else is tracked.
func lenient(blob []byte, schema bool) (out []byte) {
	const definition, tail = "\x03def", 5 // from the flags to the end
	for b := blob; len(b) >= 4; {
		n := min(4+(int(b[0])|int(b[1])<<8|int(b[2])<<16), len(b))
		switch {
		case n < 5:
			out = append(out, b[:n]...)
		case bytes.HasPrefix(b[4:n], []byte(definition)) && n > 4+20:
			out = append(append(out, b[:n-tail]...), b[n-tail+2:n]...)
		case statementID.Match(b[:n]): // be the row one of text or, with a 0 in front, of binary values
			out = append(out, statementID.ReplaceAll(b[3:n], []byte("$1 (id)"))...)
		case b[4] == 0x00 || b[4] == 0xFE:
			out = append(out, b[3])
			out = append(out, withSortedState(b[4:n], schema)...)
		default:
			out = append(out, b[:n]...)
		}
		b = b[n:]
	}
	return out
}

// withSortedState is an OK with the entries of its session state in order.
// Whatever else p is, it is returned as it is.
func withSortedState(p []byte, schema bool) []byte {
	at := 1
	for range 2 { // affected rows, insert id
		if at >= len(p) || p[at] > 0xFC || at+3 > len(p) {
			return p
		}
		_, n := lenenc(p[at:])
		at += n
	}
	at += 4 // status, warnings
	text := func(b []byte) (s, rest []byte, ok bool) {
		if len(b) == 0 || b[0] > 0xFC || b[0] == 0xFC && len(b) < 3 {
			return nil, nil, false
		}
		size, n := lenenc(b)
		if uint64(len(b)) < uint64(n)+size {
			return nil, nil, false
		}
		return b[n : n+int(size)], b[n+int(size):], true
	}
	if at > len(p) {
		return p
	}
	info, rest, ok := text(p[at:])
	var state []byte
	if ok && len(rest) > 0 { // without any, an empty one may come or not
		state, rest, ok = text(rest)
	}
	if !ok || len(rest) > 0 {
		return p
	}
	var entries []string
	for len(state) > 0 {
		_, after, ok := text(state[1:])
		if !ok {
			return p
		}
		if state[0] != 1 || schema {
			entries = append(entries, string(state[:len(state)-len(after)]))
		}
		state = after
	}
	slices.Sort(entries)
	if len(entries) == 0 && len(info) == 0 {
		return p[:at]
	}
	return append(append(bytes.Clone(p[:at]), info...), strings.Join(entries, "")...)
}

func orNothing(err error) error {
	if err == nil {
		return fmt.Errorf("nothing")
	}
	return err
}

// String shows the script up to the step that differs, with both replies.
func (d *difference) String() string {
	var b strings.Builder
	for i, s := range d.script {
		if i > d.at {
			break
		}
		fmt.Fprintf(&b, "%s\n", clip(s.String()))
	}
	if d.err != nil {
		fmt.Fprintf(&b, "-- then %v\n", d.err)
		return b.String()
	}
	direct, proxied := d.direct.packets(), d.proxied.packets()
	line := func(lines []string, i int) string {
		if i < len(lines) {
			return clip(lines[i])
		}
		return "(nothing more)"
	}
	shown := 0
	for i := 0; i < max(len(direct), len(proxied)) && shown < 5; i++ {
		x, y := line(direct, i), line(proxied, i)
		switch {
		case x != y:
			fmt.Fprintf(&b, "-- direct:  %s\n-- proxied: %s\n", x, y)
			shown++
		case len(direct) < 20:
			fmt.Fprintf(&b, "-- both:    %s\n", x)
		}
	}
	return b.String()
}

// packets shows what a reply consists of, a packet a line.
func (r *reply) packets() (lines []string) {
	for b := r.blob; len(b) >= 4; {
		n := min(4+(int(b[0])|int(b[1])<<8|int(b[2])<<16), len(b))
		lines = append(lines, fmt.Sprintf("%x %q", b[:4], b[4:n]))
		b = b[n:]
	}
	if r.note != "" {
		lines = append(lines, r.note)
	}
	return lines
}

// shrink takes out of a script what the difference does not need, by playing it
// again and again without some of its steps. It plays at most runs times. A
// script that does not differ every time is played as often as tries says
// before its shorter form is taken to be equal.
func shrink(script []step, play func([]step) *difference, runs, tries int) (shortest []step, last *difference) {
	differs := func(s []step) bool {
		for range tries {
			if runs <= 0 {
				return false
			}
			runs--
			if d := play(s); d != nil {
				last = d
				return true
			}
		}
		return false
	}
	// Nothing after the difference matters.
	for size := max(1, len(script)/2); ; {
		changed := false
		for from := len(script) - size; runs > 0; from -= size {
			from = max(0, from)
			shorter := append(append([]step(nil), script[:from]...), script[min(from+size, len(script)):]...)
			if len(shorter) < len(script) && differs(shorter) {
				script, changed = shorter, true
			}
			if from == 0 {
				break
			}
		}
		switch {
		case runs <= 0 || size == 1 && !changed:
			return alone(script, differs), last
		case size > 1:
			size /= 2
		}
	}
}

// alone tries to send the steps one by one.
func alone(script []step, differs func([]step) bool) []step {
	for i := range script {
		if !script[i].ahead {
			continue
		}
		single := append([]step(nil), script...)
		single[i].ahead = false
		if differs(single) {
			script = single
		}
	}
	return script
}

// newArena is an arena whose proxy listens at an address.
func newArena(t *testing.T, b *testbed, proxied string) *arena {
	t.Helper()
	a := &arena{bed: b, direct: b.Primary.Addr, proxied: proxied, limit: patience, players: 1,
		admin: openDB(t, b.Primary.Addr, b.Users.App, "", "multiStatements=true"), drop: make(chan string, 10000)}
	for _, r := range b.Replicas {
		a.replicas = append(a.replicas, openDB(t, r.Addr, b.Users.App, "", ""))
	}
	for range 2 {
		a.wg.Go(a.dropAll)
	}
	return a
}

// stop ends an arena.
func (a *arena) stop() {
	close(a.drop)
	a.wg.Wait()
}

// prepare has statements make databases, and waits for the replicas to have them.
func (a *arena) prepare(statements []string, names ...string) error {
	for _, name := range names {
		text := strings.ReplaceAll(strings.Join(statements, "; "), "{db}", name)
		if _, err := a.admin.Exec(text); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return a.caughtUp()
}

// caughtUp waits for the replicas to have what the primary has now.
func (a *arena) caughtUp() error {
	if len(a.replicas) == 0 {
		return nil
	}
	position, wait := "SELECT @@GLOBAL.gtid_binlog_pos", "SELECT MASTER_GTID_WAIT(?, ?)"
	if a.bed.mysql() {
		position, wait = "SELECT @@GLOBAL.gtid_executed", "SELECT WAIT_FOR_EXECUTED_GTID_SET(?, ?)"
	}
	var at string
	if err := a.admin.QueryRow(position).Scan(&at); err != nil {
		return err
	}
	for _, r := range a.replicas {
		var late int
		if err := r.QueryRow(wait, at, patience.Seconds()).Scan(&late); err != nil || late != 0 {
			return fmt.Errorf("a replica does not come to %s: %d, %w; it says: %s", at, late, orNothing(err), slaveStatus(r))
		}
	}
	return nil
}

// dropAll drops databases that nobody needs any more.
func (a *arena) dropAll() {
	for name := range a.drop {
		// What is not there any more is no failure.
		_, _ = a.admin.Exec("XA ROLLBACK '" + name + "1'")
		for _, suffix := range []string{"", "x", "y"} {
			for range 3 { // it waits for a session that has not quite ended, for a limited time
				if _, err := a.admin.Exec("DROP DATABASE IF EXISTS " + name + suffix); err == nil {
					break
				}
			}
		}
	}
}
