package packet

import (
	"bytes"
	"testing"
)

// packets cuts b into its packets.
func packets(b []byte) (pkts []Packet, rest []byte) {
	for {
		pkt, left, ok := Next(b)
		if !ok {
			return pkts, b
		}
		pkts, b = append(pkts, pkt), left
	}
}

// someStream has packets of lengths that matter: none, one byte, two and three
// bytes' worth of length.
func someStream() []byte {
	var b []byte
	for i, n := range []int{0, 1, 0xff, 0x100, 0, 7, 0x10001} {
		b = AppendPacket(b, byte(i), bytes.Repeat([]byte{byte(n) | 1}, n))
	}
	return b
}

func TestNextAtEverySplit(t *testing.T) {
	stream := someStream()
	want, _ := packets(stream)
	if len(want) != 7 {
		t.Fatalf("%d packets, want 7", len(want))
	}
	for cut := range len(stream) + 1 {
		got, rest := packets(stream[:cut])
		more, left := packets(append(rest[:len(rest):len(rest)], stream[cut:]...))
		got = append(got, more...)
		if len(left) != 0 || len(got) != len(want) {
			t.Fatalf("cut at %d: %d packets, %d bytes left; want %d, 0", cut, len(got), len(left), len(want))
		}
		if cut > 600 { // far inside the last packet
			break
		}
	}
	for i, p := range want {
		if p.Seq() != byte(i) || p.PayloadLen() != len(p.Payload()) {
			t.Errorf("packet %d: sequence id %d, length %d of %d", i, p.Seq(), p.PayloadLen(), len(p.Payload()))
		}
	}
}

func TestAnAppendToAPacketLeavesTheRestAlone(t *testing.T) {
	b := AppendPacket(AppendPacket(nil, 0, []byte("one")), 1, []byte("two"))
	pkt, rest, _ := Next(b)
	_ = append(pkt, "xxxxxxx"...)
	if got, _, _ := Next(rest); string(got.Payload()) != "two" {
		t.Errorf("the packet behind is %q", got.Payload())
	}
}

func TestAppendPacketCutsLongPayloads(t *testing.T) {
	payload := bytes.Repeat([]byte("0123456789abcdef"), 2*(MaxPayload+1)/16+1)
	for _, c := range []struct {
		n    int
		want []int // payload lengths
	}{
		{0, []int{0}},
		{1, []int{1}},
		{MaxPayload - 1, []int{MaxPayload - 1}},
		{MaxPayload, []int{MaxPayload, 0}},
		{MaxPayload + 1, []int{MaxPayload, 1}},
		{2 * MaxPayload, []int{MaxPayload, MaxPayload, 0}},
	} {
		pkts, rest := packets(AppendPacket(nil, 254, payload[:c.n]))
		if len(rest) > 0 || len(pkts) != len(c.want) {
			t.Errorf("%d bytes: %d packets, %d bytes left; want %d packets", c.n, len(pkts), len(rest), len(c.want))
			continue
		}
		var all []byte
		for i, p := range pkts {
			if p.PayloadLen() != c.want[i] || p.Seq() != 254+byte(i) {
				t.Errorf("%d bytes, packet %d: length %d, sequence id %d; want %d, %d",
					c.n, i, p.PayloadLen(), p.Seq(), c.want[i], 254+byte(i))
			}
			all = append(all, p.Payload()...)
		}
		if !bytes.Equal(all, payload[:c.n]) {
			t.Errorf("%d bytes: the packets carry other bytes", c.n)
		}
	}
}

func TestCursorKnowsWhereAPayloadEnds(t *testing.T) {
	var c Cursor
	if !c.Between() || !c.Whole() || c.Continued() {
		t.Error("the zero Cursor does not stand before a packet")
	}
	for i, s := range []struct {
		header       []byte
		continuation bool
		length       int
		whole        bool // behind it
	}{
		{AppendHeader(nil, 3, 7), false, 3, true},
		{AppendHeader(nil, 0, 8), false, 0, true},
		{AppendHeader(nil, MaxPayload, 9), false, MaxPayload, false},
		{AppendHeader(nil, MaxPayload, 10), true, MaxPayload, false},
		{AppendHeader(nil, 0, 11), true, 0, true},
		{AppendHeader(nil, 1, 12), false, 1, true},
	} {
		if got := c.Open(s.header); got != s.continuation {
			t.Errorf("packet %d: continuation is %v, want %v", i, got, s.continuation)
		}
		if s.length > 0 {
			if c.Between() || c.Whole() {
				t.Errorf("packet %d is over before it has passed", i)
			}
			if got := c.Pass(1); got != 1 {
				t.Errorf("packet %d: %d bytes passed, want 1", i, got)
			}
			if got := c.Pass(s.length + 5); got != s.length-1 {
				t.Errorf("packet %d: %d bytes passed, want %d", i, got, s.length-1)
			}
		}
		if !c.Between() || c.Whole() != s.whole || c.Continued() == s.whole || c.Seq() != byte(7+i) {
			t.Errorf("behind packet %d: between %v, whole %v, continued %v, sequence id %d",
				i, c.Between(), c.Whole(), c.Continued(), c.Seq())
		}
	}
}

func FuzzNext(f *testing.F) { // property: packets and rest are the input
	f.Add([]byte{})
	f.Add(someStream()[:300])
	f.Fuzz(func(t *testing.T, in []byte) {
		pkts, rest := packets(in)
		var got []byte
		for _, p := range pkts {
			if len(p.Payload()) != p.PayloadLen() {
				t.Fatalf("payload of %d bytes, header says %d", len(p.Payload()), p.PayloadLen())
			}
			got = append(got, p...)
		}
		if got = append(got, rest...); !bytes.Equal(got, in) {
			t.Fatalf("packets and rest are %x, want the input %x", got, in)
		}
	})
}
