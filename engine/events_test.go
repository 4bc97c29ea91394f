package engine

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	. "mysqlproxy/engine/enginetest"
)

func TestEventsKeepTheLast(t *testing.T) {
	for _, n := range []int{0, 1, mostEvents - 1, mostEvents, mostEvents + 1, 3*mostEvents + 7} {
		var es events
		for i := range n {
			es.add(Event{Kind: EventHealth, To: fmt.Sprint(i + 1)})
		}
		got := es.list()
		if len(got) != min(n, mostEvents) || es.n != uint64(n) {
			t.Fatalf("of %d events %d are kept and %d counted", n, len(got), es.n)
		}
		for i, ev := range got {
			if want := n - len(got) + i + 1; ev.Number != uint64(want) || ev.To != fmt.Sprint(want) || ev.At.IsZero() {
				t.Fatalf("of %d events the one at %d is %v, want number %d", n, i, ev, want)
			}
		}
	}
}

func TestEventsOfManyGoroutines(t *testing.T) {
	var es events
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range mostEvents {
				es.add(Event{Kind: EventRole})
				if i%16 > 0 {
					continue
				}
				if list := es.list(); list[0].Number+uint64(len(list))-1 != list[len(list)-1].Number {
					t.Errorf("%d events from %d to %d", len(list), list[0].Number, list[len(list)-1].Number)
				}
			}
		})
	}
	all.Wait()
	if es.n != 4*mostEvents {
		t.Errorf("%d events, want %d", es.n, 4*mostEvents)
	}
}

func TestEventsBoundAServersWords(t *testing.T) {
	var es events
	es.add(Event{Reason: strings.Repeat("é", longestReason)})
	es.add(Event{Reason: "\xff\xfe"})
	for _, ev := range es.list() {
		if len(ev.Reason) > longestReason+len("\uFFFD") || strings.ToValidUTF8(ev.Reason, "") != ev.Reason {
			t.Errorf("a reason of %d bytes, %q", len(ev.Reason), ev.Reason)
		}
	}
}

// happened waits until the engine's events that which picks are these, each as
// "kind backend from>to".
func (w *world) happened(which func(Event) bool, want ...string) {
	w.Helper()
	eventually(w, "the events", func() error {
		var got []string
		for _, ev := range w.proxy.Events() {
			if which(ev) {
				got = append(got, fmt.Sprintf("%s %s %s>%s", ev.Kind, ev.Backend, ev.From, ev.To))
			}
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		return nil
	})
}

// A backend that is down is tried again by clients, which is no event; that it is
// back is one.
func TestEventsOfConnects(t *testing.T) {
	w := newWorld(t)
	ln := w.listen()
	cfg := w.config(ln.Addr())
	w.start(cfg)
	b := w.proxy.Backends()[0]
	b.fail(w.proxy, errors.New("connection refused"))
	b.since.Add(-wakeAfter - 1)
	s := NewServer(ln, Scripts(served()))
	w.servers = append(w.servers, s)
	b.state.Store(int32(BackendUnknown)) // as wake does
	b.fail(w.proxy, errors.New("connection refused"))
	b.state.Store(int32(BackendUnknown))
	w.client("client", asked()...)
	w.peers.Wait()
	a := b.Addr.String()
	w.happened(func(Event) bool { return true }, "backend_state "+a+" unknown>down", "backend_state "+a+" down>up")
	if why := w.proxy.Events()[0].Reason; why != "connection refused" {
		t.Errorf("the reason is %q", why)
	}
}

func TestEventsOfElections(t *testing.T) {
	w := newWorld(t)
	patients := w.roled([]bool{true, false}, w.refused(), w.refused())
	a, b := w.proxy.Backends()[0].Addr.String(), w.proxy.Backends()[1].Addr.String()
	w.leadIs(0)
	patients[0].is(table{}, &net.OpError{Op: "dial", Err: errors.New("connection refused")})
	w.leadIs(-1)
	patients[1].leads(true)
	w.leadIs(1)
	patients[0].leads(true)
	w.happened(func(ev Event) bool { return ev.Kind == EventPrimary || ev.Kind == EventSplitBrain },
		"primary "+a+" none>"+a, "primary "+a+" "+a+">none", "primary "+b+" none>"+b, "split_brain "+a+", "+b+" >")
	w.happened(func(ev Event) bool { return ev.Kind == EventRole && ev.Backend == b }, "role "+b+" unknown>replica", "role "+b+" replica>primary")
	w.happened(func(ev Event) bool { return ev.Kind == EventHealth && ev.Backend == a }, "health "+a+" unknown>good", "health "+a+" good>down", "health "+a+" down>good")
}
