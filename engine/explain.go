package engine

import (
	"context"
	"slices"
	"strings"

	"mysqlproxy/packet"
)

// This file is where a statement would go, without its being sent: EXPLAIN ROUTE.
// What decides is asked of what decides for the client, splitting.route, on a copy
// of the session's state; what is known only when it is sent is named.

// ExplainOptions say for which session a statement is explained.
type ExplainOptions struct {
	// Session is the ID of SessionFigures: the statement is explained as if that
	// session's client sent it now; what a command may change that is still running
	// is not in the explanation. With 0 it is one that has just logged in, as
	// a user whose reads can go to replicas as far as --auth allows; then what
	// follows counts.
	Session  uint64
	Database string     // that it has selected
	Lex      packet.Lex // how its statements are read,
	LexKnown bool       // if set; else as a MySQL server does, or MariaDB if that is what sessions have met
}

// Explanation is where a statement would go.
type Explanation struct {
	// Route is "primary" or "replica"; "" if the session has a script, which
	// decides that.
	Route  string
	Reason string // of a RouteReason, or "no_splitting", "script"
	// Backends are the addresses of those of which one would get it; nil if there
	// is none.
	Backends []string
	// Unless has the reasons for which it would go to the primary after all, which
	// are known only when it is sent.
	Unless []string

	Effects []string // on its session, if it succeeds: names of packet.Effects
	// Pins are reasons for which the session's reads would stay at the primary once
	// it has succeeded: words of RouteReason that this statement adds. "called" is
	// one that it may add: its response can tell that nothing has changed. What is
	// left to the server to tell is not among them, such as that SET has switched
	// autocommit off.
	Pins []string
	Many bool // it is several statements

	Digest uint64 // packet.Digest
	Text   string // packet.AppendDigestText, what is no UTF-8 replaced
}

// The reasons of an Explanation that no command is counted with.
const (
	explainUnsplit = "no_splitting" // the session's reads stay with its server
	explainScript  = "script"
)

// Explain tells where a statement would go. An error is ctx's or ErrNoSession; a
// session of the admin port is none.
func (e *Engine) Explain(ctx context.Context, sql string, o ExplainOptions) (Explanation, error) {
	if o.Session == 0 && !o.LexKnown {
		met, err := askLoops(ctx, e, (*loop).meetsMariaDB)
		if err != nil {
			return Explanation{}, err
		}
		if slices.Contains(met, true) {
			o.Lex |= packet.LexMariaDB
		}
	}
	found, err := askLoops(ctx, e, func(l *loop) *Explanation { return l.explain([]byte(sql), o) })
	if err != nil {
		return Explanation{}, err
	}
	for _, x := range found {
		if x != nil {
			return *x, nil
		}
	}
	return Explanation{}, ErrNoSession
}

// meetsMariaDB tells whether a client of l has a session with a MariaDB.
func (l *loop) meetsMariaDB() (met bool) {
	l.each(func(c *client) {
		if s := c.server; s != nil && s.state >= serverReady && s.offers&packet.CapLongPassword == 0 {
			met = true
		}
	})
	return met
}

// explain is Explain if the session is l's, or none is named and l is the first
// loop. It is nil otherwise.
func (l *loop) explain(sql []byte, o ExplainOptions) (x *Explanation) {
	if o.Session == 0 {
		if l.number == 0 {
			x = l.explainNew(sql, o)
		}
		return x
	}
	l.each(func(c *client) {
		if c.number == o.Session && !c.ofAdmin() && c.state >= clientReady && c.state < clientClosing {
			x = c.explain(sql)
		}
	})
	return x
}

// explainNew explains a statement of a session that has just begun.
func (l *loop) explainNew(sql []byte, o ExplainOptions) *Explanation {
	e := l.engine
	x := explained(sql, o.Lex)
	switch {
	case e.scripts != nil:
		x.Reason = explainScript
		return x
	case !e.cfg().Split:
		x.Route, x.Reason, x.Backends = atHome.String(), explainUnsplit, e.backends.leaders()
		return x
	}
	c := &client{loop: l}
	if e.cfg().Auth != AuthPassthrough {
		c.id = &identity{}
	}
	sp := newSplitting(c)
	sp.home = restedHome()
	sp.state = sessionState{lex: o.Lex}
	sp.state.selects(o.Database)
	for _, b := range e.backends.all() {
		if e.backends.leads(b) && l.pool(b).logs == logsGTIDs {
			sp.state.tracked = true
		}
	}
	sp.explain(x, sql)
	if x.Route == atHome.String() {
		x.Backends = e.backends.leaders()
	}
	return x
}

// leaders are the addresses of the backends that writes of a new session may go to.
func (bs *backends) leaders() (list []string) {
	for _, b := range bs.all() {
		if bs.leads(b) && b.State() != BackendDown {
			list = append(list, b.Addr.String())
		}
	}
	return list
}

// restedHome stands for a home that has answered well, outside of a transaction.
func restedHome() *server {
	s := &server{state: serverReady}
	s.resp.Begin(packet.Request{Command: packet.ComPing})
	ok := packet.OK{Status: packet.StatusAutocommit}
	s.resp.Feed(packet.AppendPacket(nil, 1, ok.Append(nil, 0)))
	return s
}

// explain explains a statement of c's.
func (c *client) explain(sql []byte) *Explanation {
	switch {
	case c.sx != nil:
		lex := c.charset
		if c.server != nil {
			lex = c.server.lex()
		}
		x := explained(sql, lex)
		x.Reason = explainScript
		return x
	case c.sp == nil && c.server == nil: // it is looked for
		x := explained(sql, c.charset)
		x.Route, x.Reason = atHome.String(), explainUnsplit
		return x
	case c.sp == nil:
		x := explained(sql, c.server.lex())
		x.Route, x.Reason, x.Backends = atHome.String(), explainUnsplit, []string{c.server.backend.Addr.String()}
		if c.server.backend.replica() {
			x.Route = atReader.String()
		}
		return x
	}
	sp := *c.sp // nothing of what is asked of it stays
	backend := sp.primary
	if sp.home == nil {
		sp.home = restedHome() // it has given home away only because that was so
	} else {
		backend = sp.home.backend
		if q := &sp.home.queue; sp.after.on || c.server != sp.home || !q.empty() && q.last().own != ownNone { // it would wait for that
			h := *sp.home
			h.queue = exchanges{}
			sp.home = &h
		}
	}
	x := explained(sql, sp.lex())
	sp.explain(x, sql)
	if x.Route == atHome.String() {
		bs := &c.loop.engine.backends
		if bs.overtakes(backend) && sp.home.clean() && sp.movable() { // it would go over to that first
			backend = bs.primary()
		}
		if backend != nil {
			x.Backends = []string{backend.Addr.String()}
		}
	}
	return x
}

// explained has what the text says.
func explained(sql []byte, lex packet.Lex) *Explanation {
	st := packet.Classify(sql, lex)
	x := &Explanation{Many: st.Many, Digest: packet.Digest(sql, lex), Text: strings.ToValidUTF8(string(packet.AppendDigestText(nil, sql, lex)), "\uFFFD")}
	if st.Effects != 0 {
		x.Effects = strings.Split(st.Effects.String(), "|")
	}
	return x
}

// explain fills in where a statement of the session's would go, and why, as
// chooseQuery would have it. sp is a copy.
func (sp *splitting) explain(x *Explanation, sql []byte) {
	if len(sql) >= longestRead {
		x.Route, x.Reason = atHome.String(), RouteTooLong.String()
		x.Effects, x.Pins = nil, nil // it would not be looked at
		return
	}
	st := packet.Classify(sql, sp.lex())
	if st.Reason == packet.ReasonSystemVariable && asksToken(sql) { // the proxy asks home something else
		x.Route, x.Reason, x.Effects = atHome.String(), RouteCommand.String(), nil
		return
	}
	sp.demand = wanted{}
	to, why := sp.judge(st, sql)
	switch {
	case to == atReader && why == RouteLastStatement:
		x.Backends = []string{sp.reader.backend.Addr.String()}
		x.Unless = unlessAny
	case to == atReader:
		if x.Backends, x.Unless, why = sp.foretell(); why != RouteRead {
			to, x.Backends, x.Unless = atHome, nil, nil
		}
	}
	x.Route, x.Reason = to.String(), why.String()
	x.Pins = sp.pinsOf(st, sql)
}

// unlessAny are the reasons for which any read may go home after all.
var unlessAny = []string{RouteReplicaError.String(), RouteReplicaLost.String()}

// foretell is ready without doing anything: the replicas of which one would get a
// read now, and what would send it home after all, or why none would.
func (sp *splitting) foretell() (list, unless []string, why RouteReason) {
	l := sp.c.loop
	consistency := l.engine.cfg().Consistency
	unless = slices.Clone(unlessAny)
	r := sp.reader
	if r != nil && (sp.state.database == "" && sp.at.database != "" || !r.backend.fit()) {
		r = nil
	}
	switch {
	case sp.c.id == nil:
		return nil, nil, RouteNoIdentity
	case r != nil:
		list = []string{r.backend.Addr.String()}
	case l.Now() < sp.retry:
		return nil, nil, sp.lacks
	default:
		full := false
		for _, b := range l.engine.backends.listed() {
			if !b.reads() {
				continue
			}
			full = full || b.slots.full()
			if !b.slots.full() || len(l.pool(b).idle) > 0 {
				list = append(list, b.Addr.String())
			}
		}
		if list == nil {
			return nil, nil, l.engine.backends.lack()
		}
		if unless = append(unless, RouteNoReplica.String()); full {
			unless = append(unless, RouteFull.String())
		}
	}
	switch waits := sp.uncertain(r); {
	case consistency == ConsistencyGlobal && !sp.state.tracked:
		return nil, nil, RouteUntracked
	case waits && consistency != ConsistencyGlobal && sp.state.unheard == unheardNone && r != nil && l.Now() < sp.behind:
		return nil, nil, RouteBehind
	case waits:
		unless = append(unless, RouteBehind.String(), RouteUntracked.String())
	}
	return list, unless, RouteRead
}

// uncertain tells whether home or a replica has to be asked before the replica is
// known to have what the read has to see. r is nil if it is yet to be chosen.
func (sp *splitting) uncertain(r *server) bool {
	consistency := sp.c.loop.engine.cfg().Consistency
	if consistency == ConsistencyGlobal || consistency == ConsistencySession && sp.state.unheard != unheardNone {
		return true
	}
	own := consistency == ConsistencySession && sp.at.writes != sp.state.writes
	if !own && !sp.demand.on {
		return false
	}
	return r == nil || !sp.c.loop.pool(r.backend).applied.Contains(sp.needs(own))
}

// pinsOf are the pins that a statement adds to the session's, as words. sp is a
// copy.
func (sp *splitting) pinsOf(st packet.Statement, sql []byte) (words []string) {
	e := st.Effects
	a := sp.foresee(e&^passing, st.Many, sql, sp.lex())
	var pins pin
	for _, row := range effectPins {
		if a.effects&row.effect != 0 {
			pins = pins&^row.ends | row.begins
		}
	}
	if len(a.created) > 0 {
		pins |= pinTemporary
	}
	if len(a.taken) > 0 {
		pins |= pinNamedLock
	}
	if a.tracksOn|a.tracksOff != 0 {
		pins |= pinTracking
	}
	if e&(packet.EffectUnknown|packet.EffectFunction) != 0 {
		pins |= pinUnknown
	}
	if !sp.state.tracked && e&mayWrite != 0 && sp.c.loop.engine.cfg().Consistency == ConsistencySession {
		pins |= pinUntracked
	}
	pins &^= sp.state.pins
	for i := range pinKinds {
		if p := pins & (1 << i); p != 0 {
			words = append(words, p.reason().String())
		}
	}
	if e&packet.EffectBegin != 0 {
		words = append(words, RouteInTransaction.String())
	}
	return words
}
