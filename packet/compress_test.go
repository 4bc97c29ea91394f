package packet

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"
)

var algorithms = map[string]Capability{"zlib": CapCompress, "zstd": CapZstd}

// decodeIn decodes src, of which arrive says how many bytes come at a time, into
// as many bytes at a time as room says.
func decodeIn(t testing.TB, c *Compressed, src []byte, arrive, room func() int) ([]byte, error) {
	t.Helper()
	var out, left, buf []byte
	for len(src) > 0 || len(left) > 0 {
		// Each piece has a slice of its own, to be overwritten: what Decode
		// keeps of it must be a copy.
		n := min(arrive(), len(src))
		piece := append(bytes.Clone(left), src[:n]...)
		src = src[n:]
		at := 0
		for {
			n := room()
			if n > len(buf) {
				buf = make([]byte, n)
			}
			dst := buf[:n]
			filled, taken, err := c.Decode(dst, piece[at:])
			out, at = append(out, dst[:filled]...), at+taken
			if err != nil {
				return out, err
			}
			if filled == 0 && taken == 0 {
				if at < len(piece) && len(dst) > 0 {
					t.Fatalf("nothing taken of %d bytes with room for %d", len(piece)-at, len(dst))
				}
				break
			}
		}
		left = bytes.Clone(piece[at:])
		clear(piece)
	}
	return out, nil
}

func atOnce() int { return 1 << 30 }

func some(r *rand.Rand, most int) func() int {
	return func() int { return 1 + r.IntN(most) }
}

func rooms(n int) func() int { return func() int { return n } }

// textRows are rows as SELECT * of a table of orders gives them, n bytes of
// which any MiB is like the first.
func textRows(n int) []byte {
	if n > 1<<20 {
		return bytes.Repeat(textRows(1<<20), n>>20+1)[:n]
	}
	var b []byte
	for i := 0; len(b) < n; i++ {
		row := AppendLenEncString(nil, fmt.Sprint(1000000+i))
		row = AppendLenEncString(row, fmt.Sprintf("customer-%d@example.com", i*7919%100003))
		row = AppendLenEncString(row, fmt.Sprintf("2026-%02d-%02d %02d:00:00", 1+i%12, 1+i*5%28, i*11%24))
		row = AppendLenEncString(row, fmt.Sprintf("%d.%02d", i*104729%5000, i%100))
		row = AppendLenEncString(row, []string{"new", "paid", "shipped", "returned"}[i*31%4])
		b = AppendPacket(b, byte(i), row)
	}
	return b[:n]
}

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

func TestCompressedRoundTrip(t *testing.T) {
	sizes := []int{0, 1, 49, 50, 51, 1000, plainFrame - 1, plainFrame, plainFrame + 1, 5*plainFrame + 17, 17 << 20}
	for name, caps := range algorithms {
		for what, fill := range map[string]func(int) []byte{"rows": textRows, "noise": noise, "zeros": func(n int) []byte { return make([]byte, n) }} {
			for _, size := range sizes {
				if size > 1<<20 && what != "rows" {
					continue
				}
				t.Run(fmt.Sprint(name, " ", what, " ", size), func(t *testing.T) {
					r := rand.New(rand.NewPCG(1, uint64(size)))
					plain := fill(size)
					out, in := NewCompressed(caps, 1), NewCompressed(caps, 0)
					var stream []byte
					for rest, left := plain, some(r, 1+size/3); len(rest) > 0; {
						n := min(left(), len(rest))
						stream = out.Encode(stream, rest[:n])
						rest = rest[n:]
						if r.IntN(3) == 0 {
							stream = out.Flush(stream)
						}
					}
					stream = out.Flush(stream)
					if again := out.Flush(stream); len(again) != len(stream) {
						t.Error("a second Flush has written something")
					}
					for i, c := range []struct{ arrive, room func() int }{
						{atOnce, rooms(max(size, 1))},
						{some(r, 100_000), some(r, 100_000)},
						{some(r, 1+size/50), rooms(16 << 10)},
						{atOnce, some(r, 1+size/100)},
						{some(r, 10), rooms(3)},
					} {
						if i != 2 && size > 1<<20 || i == 4 && size > plainFrame+1 {
							continue // slow, and nothing new
						}
						got, err := decodeIn(t, in, stream, c.arrive, c.room)
						if err != nil || !bytes.Equal(got, plain) {
							t.Fatalf("way %d: %d bytes, %v, want %d", i, len(got), err, len(plain))
						}
						if in.held != nil || in.in != nil || in.headLen != 0 {
							t.Fatalf("way %d: something is held between frames", i)
						}
					}
				})
			}
		}
	}
}

// A stream of all kinds of frames is cut at every place, into all small rooms.
func TestCompressedAtEverySplit(t *testing.T) {
	for name, caps := range algorithms {
		out := NewCompressed(caps, 0)
		want := textRows(700)
		stream := out.Flush(out.Encode(nil, want[:20]))
		stream = append(stream, 0, 0, 0, 2, 0, 0, 0) // an empty frame
		stream = out.Flush(out.Encode(stream, want[20:400]))
		stream = out.Flush(out.Encode(stream, want[400:]))
		for cut := range len(stream) + 1 {
			for _, room := range []int{1, 7, 280, 1000} {
				first := true
				arrive := func() int {
					if first {
						first = false
						return cut
					}
					return len(stream)
				}
				got, err := decodeIn(t, NewCompressed(caps, 0), stream, arrive, rooms(room))
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%s cut at %d, room for %d: %d bytes, %v", name, cut, room, len(got), err)
				}
			}
		}
	}
}

const golden = "\x82\x00\x00\x00\x03SELECT 'abc abc abc abc abc abc abc abc abc abc abc abc abc abc abc abc abc abc abc abc abc abc abc abc abc abc abc abc abc abc '"

// The frames were made by Python's zlib and by the zstd program.
func TestCompressedReadsOthersFrames(t *testing.T) {
	for _, c := range []struct {
		name  string
		caps  Capability
		hex   string
		plain string
		last  byte
	}{
		{"zlib", CapCompress, "1c000000860000789c6b626060600e76f571750e51504f4c4a561808ac0e007f0b28e8", golden, 0},
		{"zlib, two frames", CapCompress, "1b0000003c000078016b626060600e76f571750e51504f4c4a5620010300f46711b5100000014a000078da53484c4a56a0065607006c421734", golden, 1},
		{"both in force", CapCompress | CapZstd, "1c000000860000789c6b626060600e76f571750e51504f4c4a561808ac0e007f0b28e8", golden, 0},
		{"stored", CapCompress, "05000005000000010000000e", "\x01\x00\x00\x00\x0e", 5},
		{"zstd level 3 with checksum", CapZstd, "2600000086000028b52ffd0458cd000090820000000353454c454354202761626320270100e3a95b023f16cb94", golden, 0},
		{"zstd level 19 without", CapZstd, "2200000086000028b52ffd0068cd000090820000000353454c454354202761626320270100a3f42e01", golden, 0},
	} {
		stream, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		for _, room := range []int{10, 1000} {
			side := NewCompressed(c.caps, 0)
			got, err := decodeIn(t, side, stream, atOnce, rooms(room))
			if err != nil || string(got) != c.plain || side.Last() != c.last {
				t.Errorf("%s: %q, %v, last %d\nwant %q, last %d", c.name, got, err, side.Last(), c.plain, c.last)
			}
		}
	}
}

// A header alone, however large what it announces, costs nothing.
func TestCompressedHoldsWhatHasArrived(t *testing.T) {
	for name, caps := range algorithms {
		c := NewCompressed(caps, 0)
		stream := frameOf(0, MaxPayload, make([]byte, MaxPayload))
		got, err := decodeIn(t, c, stream[:compressedHeaderLen+1000], atOnce, rooms(1000))
		if err != nil || len(got) != 0 || cap(c.held.b) > bufferKept {
			t.Errorf("%s: %d bytes, %v, %d held", name, len(got), err, cap(c.held.b))
		}
	}
}

func TestCompressedSequenceIDs(t *testing.T) {
	for name, caps := range algorithms {
		c := NewCompressed(caps, 0)
		var stream []byte
		var want []byte
		send := func(n int, ids ...byte) {
			stream = c.Flush(c.Encode(stream, make([]byte, n)))
			want = append(want, ids...)
		}
		receive := func(seq byte) {
			if _, _, err := c.Decode(make([]byte, 10), frameOf(seq, 0, []byte("x"))); err != nil || c.Last() != seq {
				t.Fatalf("%s: last %d, %v, want %d", name, c.Last(), err, seq)
			}
		}
		send(1, 0)
		receive(0)
		send(3*plainFrame, 1, 2, 3)
		receive(4)
		receive(9)
		send(10, 10)
		c.Begin()
		send(plainFrame+1, 0, 1)
		c.Answer(7)
		send(100, 7)
		receive(255)
		send(1, 0)
		c.Answer(254)
		send(3*plainFrame, 254, 255, 0)
		var got []byte
		for len(stream) > 0 {
			got = append(got, stream[3])
			stream = stream[compressedHeaderLen+payloadLen(stream):]
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: sequence ids %v, want %v", name, got, want)
		}
	}
}

// Of the two, only zstd shrinks 50 bytes at the usual level.
func TestCompressedStoresWhatDoesNotShrink(t *testing.T) {
	for name, caps := range algorithms {
		for what, c := range map[string]struct {
			p      []byte
			stored bool
		}{
			"49 zeros": {make([]byte, 49), true}, "50 zeros": {make([]byte, 50), caps == CapCompress}, "200 zeros": {make([]byte, 200), false},
			"noise": {noise(10000), true}, "rows": {textRows(10000), false},
		} {
			side := NewCompressed(caps, 0)
			b := side.Flush(side.Encode([]byte("dst"), c.p))[3:]
			stored := b[4] == 0 && b[5] == 0 && b[6] == 0
			if stored != c.stored || len(b) != compressedHeaderLen+payloadLen(b) || stored && payloadLen(b) != len(c.p) {
				t.Errorf("%s, %s: header %x and %d bytes", name, what, b[:7], len(b)-7)
			}
		}
	}
}

func TestCompressedLevels(t *testing.T) {
	p := textRows(plainFrame)
	for name, caps := range algorithms {
		length := map[int]int{}
		for level := -1; level <= 30; level++ {
			out := NewCompressed(caps, level)
			stream := out.Flush(out.Encode(nil, p))
			got, err := decodeIn(t, NewCompressed(caps, 0), stream, atOnce, rooms(len(p)))
			if err != nil || !bytes.Equal(got, p) {
				t.Errorf("%s level %d: %d bytes, %v", name, level, len(got), err)
			}
			length[level] = len(stream)
		}
		usual := map[string]int{"zlib": 6, "zstd": 3}[name]
		if length[0] != length[usual] || length[-1] != length[usual] || length[30] != length[22] || length[22] >= length[1] {
			t.Errorf("%s: lengths by level %v", name, length)
		}
	}
}

// One small message each way. The zstd decoder has pools of the kind that forgets
// things under the race detector, and there alone allocates a little.
func TestCompressedDoesNotAllocate(t *testing.T) {
	p := textRows(400)
	for name, caps := range algorithms {
		out, in := NewCompressed(caps, 0), NewCompressed(caps, 0)
		stream, dst := make([]byte, 0, 1<<10), make([]byte, 1<<10)
		noAllocs(t, name+" Encode", func() { stream = out.Flush(out.Encode(stream[:0], p)) })
		most := map[string]float64{"zlib": 0, "zstd": 4}[name]
		for what, decode := range map[string]func(){
			"at once": func() { _, _, _ = in.Decode(dst, stream) },
			"into little room": func() {
				_, n, _ := in.Decode(dst[:100], stream)
				for filled := 1; filled > 0; {
					filled, _, _ = in.Decode(dst[:100], stream[n:])
				}
			},
			"in pieces": func() {
				_, _, _ = in.Decode(dst, stream[:50])
				_, _, _ = in.Decode(dst, stream[50:])
			},
		} {
			if n := testing.AllocsPerRun(100, decode); n > most {
				t.Errorf("%s Decode %s: %v allocs, want %v at most", name, what, n, most)
			}
		}
	}
}
