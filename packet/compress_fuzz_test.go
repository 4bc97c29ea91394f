package packet

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// announced is how many bytes the frames of stream may inflate to, the last one
// cut perhaps.
func announced(stream []byte) (n int) {
	for len(stream) >= compressedHeaderLen {
		body, plain := payloadLen(stream), int(stream[4])|int(stream[5])<<8|int(stream[6])<<16
		rest := stream[compressedHeaderLen:]
		if plain == 0 {
			plain = min(body, len(rest))
		}
		n += plain
		stream = rest[min(body, len(rest)):]
	}
	return n
}

// FuzzCompressed: what comes out of any bytes is no more than they announce, and
// the same however they arrive and whatever room there is.
func FuzzCompressed(f *testing.F) {
	const most = 1 << 18 // bytes; what is true of more, too, is only slower
	p := textRows(600)
	for _, caps := range algorithms {
		c := NewCompressed(caps, 0)
		b := c.Flush(c.Encode(nil, p[:30]))
		f.Add(c.Flush(c.Encode(b, p)), caps == CapZstd, uint64(1))
	}
	for _, s := range []string{
		"1c000000860000789c6b626060600e76f571750e51504f4c4a561808ac0e007f0b28e8",
		"2600000086000028b52ffd0458cd000090820000000353454c454354202761626320270100e3a95b023f16cb94",
	} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, len(s) == 90, uint64(2))
	}
	f.Add(frameOf(0, 600, zstdStream(p)), true, uint64(3))
	f.Add(frameOf(0, 600, zstdStream(p, zstd.WithWindowSize(1<<25))), true, uint64(3))
	f.Add(frameOf(0, 600, append(zstdOf(p[:300]), zstdOf(p[300:])...)), true, uint64(4))
	f.Add(frameOf(0, most, zlibOf(make([]byte, most))), false, uint64(5))
	f.Add(frameOf(0, 600, append(zlibOf(p), 0)), false, uint64(6))
	f.Fuzz(func(t *testing.T, in []byte, zstd bool, seed uint64) {
		caps := CapCompress
		if zstd {
			caps = CapZstd
		}
		if announced(in) > most {
			return
		}
		want, wantErr := decodeIn(t, NewCompressed(caps, 0), in, atOnce, rooms(most))
		if n := announced(in); len(want) > n {
			t.Fatalf("%d bytes, announced are %d", len(want), n)
		}
		r := rand.New(rand.NewPCG(seed, 0))
		for _, room := range []func() int{some(r, 1000), rooms(1 << 22)} {
			got, err := decodeIn(t, NewCompressed(caps, 0), in, some(r, 100), room)
			if (err != nil) != (wantErr != nil) || err == nil && !bytes.Equal(got, want) || len(got) > announced(in) {
				t.Fatalf("in pieces: %d bytes, %v\nat once:   %d bytes, %v", len(got), err, len(want), wantErr)
			}
		}
	})
}

// FuzzCompressedRoundTrip: what is sent is received, in frames as they must be.
func FuzzCompressedRoundTrip(f *testing.F) {
	f.Add(textRows(3000), byte(0), false, uint64(1))
	f.Add(textRows(3000), byte(7), true, uint64(2))
	f.Add(noise(3000), byte(1), true, uint64(3))
	f.Fuzz(func(t *testing.T, in []byte, level byte, zstd bool, seed uint64) {
		caps := CapCompress
		if zstd {
			caps = CapZstd
		}
		r := rand.New(rand.NewPCG(seed, 0))
		plain := in
		if len(in) > 0 && seed%8 == 0 { // more than a frame
			plain = bytes.Repeat(in, 1+(3*plainFrame)/len(in))
		}
		c := NewCompressed(caps, int(level%32))
		var stream []byte
		for rest := plain; len(rest) > 0; {
			n := min(1+r.IntN(1+len(plain)/2), len(rest))
			stream = c.Encode(stream, rest[:n])
			if rest = rest[n:]; r.IntN(4) == 0 {
				stream = c.Flush(stream)
			}
		}
		stream = c.Flush(stream)
		if got := announced(stream); got != len(plain) {
			t.Fatalf("the frames announce %d bytes of %d", got, len(plain))
		}
		for at, seq := 0, byte(0); at < len(stream); at, seq = at+compressedHeaderLen+payloadLen(stream[at:]), seq+1 {
			if stream[at+3] != seq {
				t.Fatalf("sequence id %d, want %d", stream[at+3], seq)
			}
		}
		got, err := decodeIn(t, NewCompressed(caps, 0), stream, some(r, 1+len(stream)), some(r, 1+len(plain)))
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("%d bytes, %v, want %d", len(got), err, len(plain))
		}
	})
}
