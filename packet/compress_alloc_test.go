//go:build !race

package packet

import "testing"

// One small message each way. Not under the race detector, where a sync.Pool
// forgets some of what it is given.
func TestCompressedDoesNotAllocate(t *testing.T) {
	p := textRows(400)
	for name, caps := range algorithms {
		out, in := NewCompressed(caps, 0), NewCompressed(caps, 0)
		stream, dst := make([]byte, 0, 1<<10), make([]byte, 1<<10)
		noAllocs(t, name+" Encode", func() { stream = out.Flush(out.Encode(stream[:0], p)) })
		noAllocs(t, name+" Decode", func() { _, _, _ = in.Decode(dst, stream) })
		noAllocs(t, name+" Decode into little room", func() {
			_, n, _ := in.Decode(dst[:100], stream)
			for filled := 1; filled > 0; {
				filled, _, _ = in.Decode(dst[:100], stream[n:])
			}
		})
		noAllocs(t, name+" Decode in pieces", func() {
			_, _, _ = in.Decode(dst, stream[:50])
			_, _, _ = in.Decode(dst, stream[50:])
		})
	}
}
