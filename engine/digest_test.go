package engine

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/hook"
	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

// digestLines has a line for each digest, sorted.
func (w *world) digestLines() (lines []string) {
	w.Helper()
	list, err := w.proxy.Digests(context.Background())
	if err != nil {
		w.Fatal(err)
	}
	for _, d := range list {
		if want := packet.Digest([]byte(d.Text), 0); d.Digest != want && !d.Rest && !strings.HasSuffix(d.Text, "...") {
			w.Errorf("%q has the digest %x, want %x", d.Text, d.Digest, want)
		}
		if now := time.Now(); d.First.After(d.Last) || d.Last.After(now) || d.First.Before(now.Add(-time.Minute)) {
			w.Errorf("%q was first seen at %v and last at %v, it is %v", d.Text, d.First, d.Last, now)
		}
		if d.Latency.Count != min(d.Count, d.Latency.Count) || d.Latency.Max > time.Minute || d.Latency.Quantile(.5) > d.Latency.Max {
			w.Errorf("%q: %d were timed of %d, half took %v, all %v", d.Text, d.Latency.Count, d.Count, d.Latency.Quantile(.5), d.Latency.Max)
		}
		schema := "-"
		if d.SchemaKnown {
			schema = d.Schema
		}
		name := d.Text
		if d.Rest {
			name = "the rest"
		}
		lines = append(lines, fmt.Sprintf("%s: %d, %d failed, %d rows, %d/%d, in %s, %d timed", name, d.Count, d.Errors, d.Rows, d.Primary, d.Replica, schema, d.Latency.Count))
	}
	slices.Sort(lines)
	return lines
}

func (w *world) wantDigests(want ...string) {
	w.Helper()
	if got := w.digestLines(); !slices.Equal(got, want) {
		w.Errorf("the digests are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func withDigests(mode DigestMode) func(*Config) { return func(c *Config) { c.Digests = mode } }

// closes is a COM_STMT_CLOSE.
func closes(id uint32) []byte {
	return binary.LittleEndian.AppendUint32([]byte{byte(packet.ComStmtClose)}, id)
}

func TestDigestsOfForwardedCommands(t *testing.T) {
	rows, _ := Result(nil, 1, Caps, 0, "a", "b", "c")
	long := "INSERT INTO t VALUES " + strings.Repeat("(1, 'a long value'), ", 1000) + "(2, 'x')"
	conversation := []struct {
		command, response []byte
	}{
		{Query("SELECT a FROM t WHERE id = 5"), rows},
		{Query("select a from t where id = 'x' -- by name"), rows},
		{Query("SELECT a FROM nowhere"), packet.AppendPacket(nil, 1, packet.AppendERR(nil, 1146, "42S02", "no such table"))},
		{Query("UPDATE t SET a = 1; SELECT a FROM t"), append(packet.AppendPacket(nil, 1, OK(packet.StatusMoreResults)), func() []byte { b, _ := Result(nil, 2, Caps, 0, "a"); return b }()...)},
		{Query(long), packet.AppendPacket(nil, 1, OK(0))},
		{preparing("SELECT a FROM t WHERE id = ?"), preparedAs(7, 0, 0)},
		{preparing("UPDATE t SET a = ?"), preparedAs(8, 0, 0)},
		{runs(7, noType), rows},
		{runs(8, noType), packet.AppendPacket(nil, 1, OK(0))},
		{runs(7, noType), rows},
		{runs(packet.ExecuteLast, noType), packet.AppendPacket(nil, 1, OK(0))},
		{preparing("SELECT broken("), packet.AppendPacket(nil, 1, packet.AppendERR(nil, 1064, "42000", "no"))},
		{closes(8), nil},
		{runs(8, noType), packet.AppendPacket(nil, 1, packet.AppendERR(nil, 1243, "HY000", "unknown statement"))},
		{ping, packet.AppendPacket(nil, 1, OK(0))},
		{[]byte{byte(packet.ComResetConnection)}, packet.AppendPacket(nil, 1, OK(0))},
		{runs(7, noType), packet.AppendPacket(nil, 1, packet.AppendERR(nil, 1243, "HY000", "unknown statement"))},
		{Query(""), packet.AppendPacket(nil, 1, packet.AppendERR(nil, 1065, "42000", "Query was empty"))},
	}
	client, server := steps(Enter(Caps)), steps(Admit(Caps))
	for i, x := range conversation {
		name := fmt.Sprintf("command %d", i)
		client = append(client, All(name, SendPacket(0, x.command), Expect(x.response)))
		server = append(server, All(name, ExpectPacket(0, x.command), Send(x.response)))
	}
	want := func(schema string) []string {
		return []string{
			": 1, 1 failed, 0 rows, 1/0, in " + schema + ", 1 timed",
			"INSERT INTO t VALUES (?) ...: 1, 0 failed, 0 rows, 1/0, in " + schema + ", 1 timed",
			"SELECT a FROM nowhere: 1, 1 failed, 0 rows, 1/0, in " + schema + ", 1 timed",
			"SELECT a FROM t WHERE id = ?: 4, 0 failed, 12 rows, 4/0, in " + schema + ", 4 timed",
			"UPDATE t SET a = ?: 2, 0 failed, 0 rows, 2/0, in " + schema + ", 2 timed",
			"UPDATE t SET a = ?; SELECT a FROM t: 1, 0 failed, 1 rows, 1/0, in " + schema + ", 1 timed",
			"the rest: 2, 2 failed, 0 rows, 2/0, in -, 2 timed",
		}
	}
	for name, change := range map[string]func(*Config){
		"as they pass":           func(*Config) {},
		"of a script that looks": with(&hooks{query: passQuery}),
		"of one that does not":   with(&hooks{gone: func(hook.Session) {}}),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			cfg := w.config(w.server(append(slices.Clone(server), ExpectEnd())))
			withDigests(DigestsSampled)(&cfg)
			change(&cfg)
			w.start(cfg)
			w.clientNow("client", client...)
			schema := "-"
			if name != "as they pass" {
				schema = ""
			}
			w.wantDigests(want(schema)...)
			f, err := w.proxy.Figures(context.Background())
			if err != nil || f.Latency == nil || f.Latency.Total() != 12 {
				t.Errorf("the figures have the latencies %+v of commands (%v), want 12", f.Latency, err)
			}
			if err := w.proxy.ResetDigests(context.Background()); err != nil {
				t.Error(err)
			}
			w.wantDigests()
		})
	}
}

// A command that comes in pieces is known by what is there of it when the first
// goes on.
func TestDigestsOfTornCommands(t *testing.T) {
	w := newWorld(t)
	short := packet.AppendPacket(nil, 0, Query("SELECT a FROM t"))
	w.start(func() Config {
		cfg := w.config(w.server(steps(Admit(Caps), ExpectPacket(0, short[4:]), SendPacket(1, OK(0)), ExpectEnd())))
		withDigests(DigestsOn)(&cfg)
		return cfg
	}())
	client := w.clientNow("client", Enter(Caps), Send(short[:9]))
	eventually(t, "the first part has passed", func() error {
		list, err := w.proxy.Sessions(context.Background())
		if err != nil || len(list) != 1 || list[0].Commands != 1 {
			return fmt.Errorf("%+v, %v", list, err)
		}
		return nil
	})
	if err := client.Run(Send(short[9:]), ExpectPacket(1, OK(0))); err != nil {
		t.Fatal(err)
	}
	w.wantDigests("the rest: 1, 0 failed, 0 rows, 1/0, in -, 1 timed")
}

func TestDigestsOfSplitCommands(t *testing.T) {
	ok, okSent := ExpectPacket(1, OK(0)), SendPacket(1, OK(0))
	w := newWorld(t)
	primary := append(atHomeBegins(), gets("INSERT INTO t VALUES (1)", okSent), gets("SELECT b FROM t", one("p")), getsPrepare(byID, home1, 1, 1), getsPrepare("DELETE FROM t WHERE id=?", 9, 0, 1), getsFor(runs(9, oneType, 1), okSent), gets("SELECT a FROM t", one("p")), ExpectEnd())
	replica := steps(lets(), gets("SELECT a FROM t", one("r")), gets("SELECT b FROM t", fails(1290)), getsPrepare(byID, reader1, 1, 1), getsFor(runs(reader1, oneType, 1), one("r")), getsFor(runs(reader1, oneType, 2), one("s")), gets("SELECT a FROM t", Reset()))
	cfg := w.config(w.server(primary), w.server(replica))
	cfg.Backends[1].ReadOnly = true
	asEverybody(&cfg)
	withDigests(DigestsOn)(&cfg)
	cfg.Consistency = ConsistencyNone
	w.start(cfg)
	w.clientNow("client", Enter(ModernCaps),
		asks("SELECT a FROM t", sees("r")), asks("INSERT INTO t VALUES (1)", ok), asks("SELECT b FROM t", sees("p")),
		asksPrepare(byID, home1, 1, 1), asksFor(runs(home1, oneType, 1), sees("r")), asksPrepare("DELETE FROM t WHERE id=?", 9, 0, 1), asksFor(runs(home1, oneType, 2), sees("s")), asksFor(runs(9, oneType, 1), ok),
		asks("SELECT a FROM t", sees("p")))
	w.wantDigests(
		"DELETE FROM t WHERE id = ?: 1, 0 failed, 0 rows, 1/0, in , 1 timed",
		"INSERT INTO t VALUES (?): 1, 0 failed, 0 rows, 1/0, in , 1 timed",
		"SELECT a FROM t WHERE id = ?: 2, 0 failed, 2 rows, 0/2, in , 2 timed",
		"SELECT a FROM t: 2, 0 failed, 2 rows, 1/1, in , 2 timed",
		"SELECT b FROM t: 1, 0 failed, 1 rows, 1/0, in , 1 timed", // the replica's refusal was nobody's
	)
}

func TestDigestsOff(t *testing.T) {
	w := newWorld(t)
	w.start(w.config(w.server(steps(Admit(Caps), gets("SELECT 1", SendPacket(1, OK(0))), ExpectEnd()))))
	w.clientNow("client", Enter(Caps), asks("SELECT 1", ExpectPacket(1, OK(0))))
	w.wantDigests()
	if f, err := w.proxy.Figures(context.Background()); err != nil || f.Latency != nil {
		t.Errorf("the figures have latencies, %+v (%v)", f.Latency, err)
	}
}

// They can be switched on and off, and what was counted stays.
func TestDigestsCanBeSwitched(t *testing.T) {
	w := newWorld(t)
	ok, okSent := ExpectPacket(1, OK(0)), SendPacket(1, OK(0))
	server := steps(Admit(Caps), getsFor(preparing("SELECT a FROM t"), Send(preparedAs(7, 0, 0))))
	for range 5 {
		server = append(server, getsFor(runs(7, noType), okSent))
	}
	cfg := w.config(w.server(append(server, ExpectEnd())))
	w.start(cfg)
	client := w.clientNow("client", Enter(Caps), asksFor(preparing("SELECT a FROM t"), Expect(preparedAs(7, 0, 0))), asksFor(runs(7, noType), ok))
	switched := func(mode DigestMode) {
		t.Helper()
		cfg.Digests = mode
		cfg.Listen = w.proxy.cfg().Listen
		if err := w.proxy.Apply(context.Background(), cfg); err != nil {
			t.Fatal(err)
		}
		if _, err := w.proxy.Figures(context.Background()); err != nil { // so that the loop has done what it was posted
			t.Fatal(err)
		}
		if err := client.Run(asksFor(runs(7, noType), ok)); err != nil {
			t.Fatal(err)
		}
	}
	w.wantDigests()
	switched(DigestsOn)
	w.wantDigests("the rest: 1, 0 failed, 0 rows, 1/0, in -, 1 timed") // it was prepared before
	switched(DigestsOff)
	w.wantDigests()
	switched(DigestsSampled)
	w.wantDigests("the rest: 2, 0 failed, 0 rows, 2/0, in -, 2 timed")
	switched(DigestsOn)
	w.wantDigests("the rest: 3, 0 failed, 0 rows, 3/0, in -, 3 timed")
}

// More digests than there is room for count as one, until those without commands
// since a reset give way.
func TestDigestTableIsBounded(t *testing.T) {
	ds := newDigests(DigestsOn)
	c := &client{}
	s := &server{client: c, loop: &loop{digests: ds}}
	run := func(sql string) digestRef {
		r := ds.statement(c, []byte(sql), 0)
		ds.over(s, &exchange{counted: counted{digest: r}}, atHome, 0)
		return r
	}
	other := func(i int) string { return fmt.Sprintf("SELECT a%d FROM t", i) }
	stays, goes := run("SELECT a FROM stays"), run("SELECT a FROM goes")
	for i := range 3 * maxDigests {
		run(other(i))
	}
	check := func(what string, r digestRef, want uint64) {
		t.Helper()
		if d := ds.of(r); d.count != want {
			t.Errorf("%s: %d commands of %q, want %d", what, d.count, d.text, want)
		}
	}
	rest := ds.ref(theRest)
	check("full", rest, 2*maxDigests+2)
	check("full", stays, 1)
	if n := len(ds.list); n != maxDigests+2 {
		t.Errorf("%d entries, want %d", n, maxDigests+2)
	}
	ds.reset()
	check("reset", stays, 0)
	run("SELECT a FROM stays")
	check("known from before", stays, 1)
	for i := range 3 * maxDigests {
		run(other(maxDigests + i))
	}
	check("full again", stays, 1)
	check("full again", goes, 2*maxDigests+1) // it is of the rest now
	check("full again", rest, 2*maxDigests+1)
	if n := len(ds.list); n != maxDigests+2 {
		t.Errorf("%d entries, want %d", n, maxDigests+2)
	}
	for i := range maxDigests - 1 {
		if r := ds.statement(c, []byte(other(maxDigests+i)), 0); ds.of(r).count != 1 || r == rest {
			t.Fatalf("%s has %d commands, want 1", other(maxDigests+i), ds.of(r).count)
		}
	}
}

// Of a digest some commands are timed with DigestsSampled, and all with DigestsOn.
func TestDigestsSampled(t *testing.T) {
	for mode, want := range map[DigestMode]int{DigestsSampled: timedFirst + (1000-timedFirst)/timedThen, DigestsOn: 1000} {
		ds := newDigests(mode)
		l, err := reactor.NewLoop(slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Discard()
		c := &client{loop: &loop{Loop: l, digests: ds}}
		s := &server{client: c, loop: c.loop}
		timed := 0
		for range 1000 {
			payload := Query("SELECT 1")
			x := exchange{Request: packet.Request{Command: packet.ComQuery}, counted: c.digests(s, packet.Request{Command: packet.ComQuery}, payload, len(payload))}
			if x.began != 0 {
				timed++
			}
			ds.over(s, &x, atHome, 0)
		}
		if d := ds.list[theRest+1]; timed != want || d.count != 1000 || d.latency.Count != uint64(want) || ds.all.Count != uint64(want) {
			t.Errorf("mode %d: %d of %d commands were timed, %d counted, want %d", mode, timed, d.count, d.latency.Count, want)
		}
	}
}

func TestLatencies(t *testing.T) {
	for us := range uint32(1 << 20) {
		i := bucketOf(us)
		if from, to := bucketFrom(i), bucketFrom(i+1); uint64(us) < from || uint64(us) >= to || to-from > max(1, from/8) {
			t.Fatalf("%d µs are in the bucket of %d to %d", us, from, to)
		}
	}
	var h Latencies
	if h.Quantile(.99) != 0 {
		t.Errorf("half of nothing took %v", h.Quantile(.5))
	}
	for ms := 1; ms <= 1000; ms++ {
		h.add(time.Duration(ms) * time.Millisecond)
	}
	var two Latencies
	two.merge(&h)
	two.merge(&h)
	for q, want := range map[float64]time.Duration{0: time.Millisecond, .5: 500 * time.Millisecond, .95: 950 * time.Millisecond, .99: 990 * time.Millisecond, 1: time.Second} {
		for _, h := range []*Latencies{&h, &two} {
			if got := h.Quantile(q); got < want || got > want+want/8+time.Microsecond || got > h.Max {
				t.Errorf("%v of %d took up to %v, want %v", q, h.Count, got, want)
			}
		}
	}
	if h.Count != 1000 || h.Sum != 500500*time.Millisecond || h.Max != time.Second || two.Sum != 2*h.Sum {
		t.Errorf("the histogram has %d, %v in sum, %v at most", h.Count, h.Sum, h.Max)
	}
	spread := h.histogram()
	if spread.Total() != h.Count || spread.Sum != h.Sum {
		t.Errorf("the histogram has %d, %v in sum", spread.Total(), spread.Sum)
	}
	n, want := uint64(0), uint64(0)
	for i, d := range spread.Bounds {
		n += spread.Counts[i]
		for time.Duration(want+1)*time.Millisecond < d && want < 1000 {
			want++
		}
		if n != want {
			t.Errorf("%d took less than %v, want %d", n, d, want)
		}
	}
	h = Latencies{}
	h.add(24 * time.Hour)
	if got := h.Quantile(.5); got != 24*time.Hour {
		t.Errorf("half of one that took a day took %v", got)
	}
}

// What it adds to a forwarded command to be counted by its digest.
func BenchmarkDigests(b *testing.B) {
	l, err := reactor.NewLoop(slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer l.Discard()
	var timer reactor.Timer
	l.Arm(&timer, time.Hour) // as one always is while there are sessions: the loop's clock runs by itself
	for name, mode := range map[string]DigestMode{"sampled": DigestsSampled, "on": DigestsOn} {
		ds := newDigests(mode)
		c := &client{loop: &loop{Loop: l, digests: ds}}
		s := &server{client: c, loop: c.loop, backend: &Backend{}}
		prepared := preparedAs(7, 0, 0)
		s.expectCounted(c, preparing("SELECT c FROM sbtest1 WHERE id=?"))
		s.preparedAs(prepared)
		s.queue.pop()
		for _, command := range []struct {
			name    string
			payload []byte
		}{
			{"point", Query("SELECT c FROM sbtest1 WHERE id = 000004711")},
			{"join", Query("SELECT o.id, o.total, c.name FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.status IN ('open', 'paid') AND o.created > '2024-01-01' GROUP BY o.id ORDER BY COUNT(*) DESC LIMIT 20")},
			{"execute", runs(7, noType)},
		} {
			b.Run(command.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					s.expectCounted(c, command.payload)
					s.digested(s.queue.first())
					s.queue.pop()
				}
			})
		}
	}
}

// expectCounted queues a command with its digest.
func (s *server) expectCounted(c *client, payload []byte) {
	q, _ := packet.Expect(payload, len(payload))
	s.queue.push(exchange{Request: q, counted: c.digests(s, q, payload, len(payload))})
}
