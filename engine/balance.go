package engine

import (
	"math"
	"math/rand/v2"
	"time"
)

// This file is which replica a session reads from.
//
//	those fit for reads --> two of them, by weight and chance --> the one with less to do
//
// Two and not the best of all: what is known of the load is never of this moment,
// and everybody would go to the same one.

// takeReplica chooses a read-only backend for reads and counts the client that
// asked to it. It is nil if there is none. release gives it back.
func (l *loop) takeReplica() *Backend {
	var fit [maxChoice]*Backend
	n := 0
	for _, b := range l.engine.backends.listed() {
		if b.reads() && n < len(fit) && (!b.slots.full() || len(l.pool(b).idle) > 0) {
			fit[n] = b
			n++
		}
	}
	now := l.Now()
	b := choose(fit[:n], l.dice, func(b *Backend) float64 { return l.burden(b, now) })
	if b != nil {
		b.clients.Add(1)
	}
	return b
}

// maxChoice is among how many replicas is chosen.
const maxChoice = 64

// choose draws two of bs, each as likely as its weight, and returns the one with
// the smaller burden, the first of equals; nil if there is none.
func choose(bs []*Backend, dice *rand.Rand, burden func(*Backend) float64) *Backend {
	if len(bs) == 0 {
		return nil
	}
	i := draw(bs, dice)
	if len(bs) == 1 {
		return bs[0]
	}
	one := bs[i]
	bs[i] = bs[len(bs)-1]
	other := bs[draw(bs[:len(bs)-1], dice)]
	bs[len(bs)-1] = one
	if burden(other) < burden(one) {
		return other
	}
	return one
}

// draw is the place of one of bs.
func draw(bs []*Backend, dice *rand.Rand) int {
	sum := 0
	for _, b := range bs {
		sum += int(b.weight.Load())
	}
	at := dice.IntN(sum)
	for i, b := range bs {
		if at -= int(b.weight.Load()); at < 0 {
			return i
		}
	}
	return len(bs) - 1
}

// burden is what one more client would be to b: how many it has, by its weight,
// and how long each waits. now is on the loop's clock.
func (l *loop) burden(b *Backend, now time.Duration) float64 {
	return float64(b.clients.Load()+1) / float64(b.weight.Load()) * float64(l.delay(b, now))
}

// delay is how long an answer of b's takes, as far as is known.
func (l *loop) delay(b *Backend, now time.Duration) time.Duration {
	return max(b.Latency(), l.pool(b).speed.mean(now)) + evenly
}

// outpaced tells, once in a while, whether the session is better off with another
// replica: its own has become much slower than one of the others. Not all
// sessions hear of it at the same time.
func (sp *splitting) outpaced() bool {
	l := sp.c.loop
	now := l.Now()
	if now-sp.reviewed < reviewAfter {
		return false
	}
	sp.reviewed = now
	own := l.delay(sp.reader.backend, now)
	for _, b := range l.engine.backends.listed() {
		if b != sp.reader.backend && b.reads() && l.delay(b, now)*muchSlower < own {
			return l.dice.IntN(4) == 0
		}
	}
	return false
}

// fit tells whether reads that are at b may go on there.
func (b *Backend) fit() bool {
	return b.Duty() == DutyOnline && b.Health().reads() && (!b.auto || b.replica())
}

// reads tells whether b is a replica that is fit for reads.
func (b *Backend) reads() bool { return b.replica() && b.open() && b.Health().reads() }

const (
	// evenly is added to response times: differences far below it count little.
	evenly = time.Millisecond
	// reviewAfter is how often a session looks whether its replica has become slow,
	// and muchSlower how many times the delay of another that is.
	reviewAfter = time.Second
	muchSlower  = 4
	// speedMemory is after how long a response time counts for a third of what it
	// did.
	speedMemory = 10 * time.Second
	// speedSample is how many of a session's reads are measured: one of so many.
	speedSample = 8
)

// asks is told that a read goes to the reader: some are measured.
func (sp *splitting) asks() {
	if sp.reads++; sp.reads%speedSample == 1 {
		sp.asked = time.Now()
	}
}

// answers is told that the response to a read begins.
func (sp *splitting) answers() {
	if !sp.asked.IsZero() {
		l := sp.c.loop
		l.pool(sp.reader.backend).speed.add(time.Since(sp.asked), l.Now())
		sp.asked = time.Time{}
	}
}

// speed is the mean of response times as far as one loop has seen them; what is
// long ago counts less. It belongs to its loop.
type speed struct {
	took time.Duration
	at   time.Duration // the last one, on the loop's clock
}

// add adds a response time.
func (s *speed) add(took, now time.Duration) {
	keep := min(fading(now-s.at), 1-1./32)
	if s.took == 0 {
		keep = 0
	}
	keep = max(keep, 1-1./4) // the first of a while may just be a long one
	s.took, s.at = time.Duration(float64(s.took)*keep+float64(took)*(1-keep)), now
}

// mean is the mean. Without response times it fades, for a backend that got no
// reads because it was slow may be fast now.
func (s *speed) mean(now time.Duration) time.Duration {
	return time.Duration(float64(s.took) * fading(now-s.at))
}

func fading(d time.Duration) float64 { return math.Exp(-float64(d) / float64(speedMemory)) }

// lack says why takeReplica has found none.
func (bs *backends) lack() RouteReason {
	for _, b := range bs.listed() {
		switch {
		case b.reads() && b.slots.full():
			return RouteFull
		case b.replica() && b.open() && b.Health().behind():
			return RouteLagging
		}
	}
	return RouteNoReplica
}
