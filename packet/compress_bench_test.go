package packet

import (
	"fmt"
	"testing"
)

// Text rows in frames as we send them, through a loop's buffer.
func BenchmarkCompressed(b *testing.B) {
	plain := textRows(1 << 20)
	dst := make([]byte, 64<<10)
	for _, c := range []struct {
		caps  Capability
		name  string
		level int
	}{{CapCompress, "zlib", 1}, {CapCompress, "zlib", 6}, {CapZstd, "zstd", 3}} {
		side := NewCompressed(c.caps, c.level)
		var stream []byte
		b.Run(fmt.Sprint("encode/", c.name, "-", c.level), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(plain)))
			for b.Loop() {
				stream = side.Flush(side.Encode(stream[:0], plain))
			}
			b.ReportMetric(float64(len(plain))/float64(len(stream)), "ratio")
		})
		for _, room := range []int{16 << 10, 64 << 10} {
			b.Run(fmt.Sprint("decode/", c.name, "-", c.level, "/room=", room), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(plain)))
				for b.Loop() {
					total := 0
					for at, more := 0, true; more; {
						filled, taken, err := side.Decode(dst[:room], stream[at:])
						if err != nil {
							b.Fatal(err)
						}
						total, at, more = total+filled, at+taken, filled+taken > 0
					}
					if total != len(plain) {
						b.Fatal(total)
					}
				}
			})
		}
	}
}

// A command and its answer: 100 and 400 bytes.
func BenchmarkCompressedSmall(b *testing.B) {
	query, rows := textRows(100), textRows(400)
	for name, caps := range algorithms {
		b.Run(name, func(b *testing.B) {
			client, server := NewCompressed(caps, 0), NewCompressed(caps, 0)
			stream, dst := make([]byte, 0, 1<<10), make([]byte, 1<<10)
			b.ReportAllocs()
			for b.Loop() {
				stream = client.Flush(client.Encode(stream[:0], query))
				_, _, _ = server.Decode(dst, stream)
				stream = server.Flush(server.Encode(stream[:0], rows))
				_, _, _ = client.Decode(dst, stream)
				client.Begin()
			}
		})
	}
}
