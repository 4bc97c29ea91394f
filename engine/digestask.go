package engine

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
)

// This file is what the control plane can ask about digests, as it does for the
// figures of figures.go.

// DigestFigures is what commands with one digest have done since the last
// ResetDigests. A command counts once its response is over.
type DigestFigures struct {
	Digest uint64 // packet.Digest of the statement; 0 for Rest
	Text   string // packet.AppendDigestText of it, what is no UTF-8 replaced; "" for Rest
	// Rest is set in the entry for all commands that have no digest of their own:
	// there were too many digests already, or the statement had not come whole when
	// it was sent on, or it is not known which one an execution is of.
	Rest bool

	Schema      string // the session's database, of the first command,
	SchemaKnown bool   // if that is known: not without a script or splitting

	Count   uint64
	Errors  uint64 // of Count, those that ended in an ERR
	Rows    uint64 // sent to clients, without those fetched from cursors
	Primary uint64 // of Count, by where they ran
	Replica uint64

	First time.Time // when a response was over, 100 ms fine
	Last  time.Time

	// Latency is from the command's being sent to the end of its response, of
	// those commands that were timed: all, or some (DigestMode).
	Latency Latencies
}

// Digests are the figures of all digests that have been met since the last
// ResetDigests, those with most commands first; nil with DigestsOff. An error is
// ctx's.
func (e *Engine) Digests(ctx context.Context) ([]DigestFigures, error) {
	lists, err := askLoops(ctx, e, (*loop).digestFigures)
	if err != nil {
		return nil, err
	}
	var all []DigestFigures
	at := map[uint64]int{}
	for _, list := range lists {
		for i := range list {
			d := &list[i]
			j, ok := at[d.Digest]
			if !ok {
				at[d.Digest] = len(all)
				all = append(all, *d)
				continue
			}
			all[j].merge(d)
		}
	}
	slices.SortStableFunc(all, func(a, b DigestFigures) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Text, b.Text))
	})
	return all, nil
}

// merge adds what another loop has counted.
func (d *DigestFigures) merge(o *DigestFigures) {
	if o.First.Before(d.First) {
		d.First, d.Schema, d.SchemaKnown = o.First, o.Schema, o.SchemaKnown
	}
	if d.Last.Before(o.Last) {
		d.Last = o.Last
	}
	d.Count += o.Count
	d.Errors += o.Errors
	d.Rows += o.Rows
	d.Primary += o.Primary
	d.Replica += o.Replica
	d.Latency.merge(&o.Latency)
}

// ResetDigests has the loops count anew. An error is ctx's; some loops may have done
// so then.
func (e *Engine) ResetDigests(ctx context.Context) error {
	_, err := askLoops(ctx, e, func(l *loop) bool {
		for _, ds := range [...]*digests{l.digests, l.paused} {
			if ds != nil {
				ds.reset()
			}
		}
		return true
	})
	return err
}

// digestFigures are those of l.
func (l *loop) digestFigures() (list []DigestFigures) {
	if l.digests == nil {
		return nil
	}
	here, now := l.Now(), time.Now()
	for place, d := range l.digests.list[theRest:] {
		if d.count == 0 {
			continue
		}
		list = append(list, DigestFigures{
			Digest: d.hash, Text: strings.ToValidUTF8(d.text, "\uFFFD"), Rest: place == 0, Schema: d.schema, SchemaKnown: d.selected,
			Count: d.count, Errors: d.errors, Rows: d.rows, Primary: d.to[atHome], Replica: d.to[atReader],
			First: now.Add(d.first - here), Last: now.Add(d.last - here), Latency: d.latency,
		})
	}
	return list
}
