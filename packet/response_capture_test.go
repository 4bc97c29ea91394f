package packet

import "testing"

// What real servers have said is followed packet by packet. Sequence ids tell
// where a response must end: it starts one above its command and goes on by
// one, whoever speaks, to the packet before the next command.
func TestResponsesOfRealServersEndWhereTheNextCommandBegins(t *testing.T) {
	followed := 0
	for _, c := range conversations(t) {
		t.Run(c.name, func(t *testing.T) {
			g, err := ParseGreeting(c.packets[0].pkt.Payload())
			if err != nil {
				if c.packets[0].pkt.Payload()[0] != headERR {
					t.Fatal(err)
				}
				return // too many connections: no response to follow
			}
			l, err := ParseLogin(c.packets[1].pkt.Payload(), g.Capabilities)
			if err != nil {
				t.Fatal(err)
			}
			var r Response
			r.BeginLogin()
			asked, seq, over := "login", c.packets[1].pkt.Seq(), false
			for i, p := range c.packets[2:] {
				switch {
				case p.from == 'S':
					if over {
						t.Fatalf("packet %d belongs to the response to %s, which was over: %.60x", i+2, asked, p.pkt)
					}
					if seq++; p.pkt.Seq() != seq {
						t.Fatalf("packet %d has sequence id %d, want %d", i+2, p.pkt.Seq(), seq)
					}
					n, step := r.Feed(p.pkt)
					if n != len(p.pkt) || step == Malformed {
						t.Fatalf("packet %d of the response to %s: %v at %d of %d bytes: %.60x", i+2, asked, step, n, len(p.pkt), p.pkt)
					}
					if over = step == Done; over && asked == "login" {
						r.SetCapabilities(Effective(g.Capabilities, l.Capabilities))
					}
				case p.pkt.Seq() != 0: // the client's part of a dialogue
					if over {
						t.Fatalf("packet %d is the client's part of the response to %s, which was over", i+2, asked)
					}
					seq = p.pkt.Seq()
				default:
					if !over {
						t.Fatalf("packet %d is a command, but the response to %s is not over", i+2, asked)
					}
					q, ok := Expect(p.pkt.Payload(), p.pkt.PayloadLen())
					if !ok {
						t.Fatalf("packet %d is no command: %.60x", i+2, p.pkt)
					}
					if q.Command.HasResponse() {
						r.Begin(q)
						asked, seq, over = q.Command.String(), 0, false
						followed++
					}
				}
			}
			if !over {
				t.Errorf("the response to %s is not over", asked)
			}
		})
	}
	if followed < 45 {
		t.Errorf("%d responses were followed: the captures lack some", followed)
	}
}
