package packet

import (
	"bytes"
	"errors"
	"testing"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

func zlibOf(p []byte) []byte {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = w.Write(p)
	_ = w.Close()
	return b.Bytes()
}

func zstdOf(p []byte, opts ...zstd.EOption) []byte {
	e, err := zstd.NewWriter(nil, opts...)
	if err != nil {
		panic(err)
	}
	return e.EncodeAll(p, nil)
}

// zstdStream is zstd of p without its length in the header.
func zstdStream(p []byte, opts ...zstd.EOption) []byte {
	var b bytes.Buffer
	e, err := zstd.NewWriter(&b, opts...)
	if err != nil {
		panic(err)
	}
	_, _ = e.Write(p[:len(p)/2])
	_ = e.Flush()
	_, _ = e.Write(p[len(p)/2:])
	_ = e.Close()
	return b.Bytes()
}

func frameOf(seq byte, plain int, body []byte) []byte {
	b := AppendHeader(nil, len(body), seq)
	return append(append(b, byte(plain), byte(plain>>8), byte(plain>>16)), body...)
}

func TestCompressedTakesWhatOthersMaySend(t *testing.T) {
	p := textRows(5000)
	long := make([]byte, MaxPayload)
	for _, c := range []struct {
		name   string
		caps   Capability
		stream []byte
		want   []byte
	}{
		{"zlib, the longest", CapCompress, frameOf(0, MaxPayload, zlibOf(long)), long},
		{"zstd, the longest", CapZstd, frameOf(0, MaxPayload, zstdOf(long)), long},
		{"zstd in a stream, without its length", CapZstd, frameOf(0, 5000, zstdStream(p)), p},
		{"zstd with a window of 16 MiB", CapZstd, frameOf(0, 5000, zstdStream(p, zstd.WithWindowSize(1<<24))), p},
		{"two zstd frames in one", CapZstd, frameOf(0, 5000, append(zstdOf(p[:3000]), zstdOf(p[3000:])...)), p},
		{"compressed below the length where it is worth it", CapCompress, frameOf(0, 3, zlibOf(p[:3])), p[:3]},
		{"stored, the longest", CapCompress, frameOf(0, 0, long), long},
	} {
		for _, room := range []int{3000, 1 << 24} {
			got, err := decodeIn(t, NewCompressed(c.caps, 0), c.stream, atOnce, rooms(room))
			if err != nil || !bytes.Equal(got, c.want) {
				t.Errorf("%s, room for %d: %d bytes, %v, want %d", c.name, room, len(got), err, len(c.want))
			}
		}
	}
}

func TestCompressedRefuses(t *testing.T) {
	p := textRows(5000)
	zl, zs, checked := zlibOf(p), zstdOf(p, zstd.WithEncoderCRC(false)), zstdOf(p)
	bomb := make([]byte, MaxPayload+1)
	change := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		b[(len(b)+at)%len(b)] ^= 1
		return b
	}
	for _, c := range []struct {
		name string
		caps Capability
		// The frame announces plain bytes.
		plain int
		body  []byte
	}{
		{"zlib, more than announced", CapCompress, 4999, zl},
		{"zlib, less than announced", CapCompress, 5001, zl},
		{"zlib, a bomb", CapCompress, 1000, zlibOf(bomb)},
		{"zlib, the largest bomb", CapCompress, MaxPayload, zlibOf(bomb)},
		{"zlib, garbage behind", CapCompress, 5000, append(bytes.Clone(zl), 0)},
		{"zlib, two streams", CapCompress, 5000, append(zlibOf(p[:3000]), zlibOf(p[3000:])...)},
		{"zlib, checksum", CapCompress, 5000, change(zl, -1)},
		{"zlib, cut in the checksum", CapCompress, 5000, zl[:len(zl)-1]},
		{"zlib, cut", CapCompress, 5000, zl[:len(zl)/2]},
		{"zlib, header", CapCompress, 5000, change(zl, 0)},
		{"zlib, no body", CapCompress, 5000, nil},
		{"zlib, zstd", CapCompress, 5000, zs},
		{"zstd, more than announced", CapZstd, 4999, zs},
		{"zstd, more than announced, in a stream", CapZstd, 4999, zstdStream(p)},
		{"zstd, less than announced", CapZstd, 5001, zs},
		{"zstd, less than announced, in a stream", CapZstd, 5001, zstdStream(p)},
		{"zstd, a bomb", CapZstd, 1000, zstdOf(bomb)},
		{"zstd, a bomb in a stream", CapZstd, 1000, zstdStream(bomb)},
		{"zstd, the largest bomb", CapZstd, MaxPayload, zstdStream(bomb)},
		{"zstd, garbage behind", CapZstd, 5000, append(bytes.Clone(zs), 0)},
		{"zstd, more garbage behind", CapZstd, 5000, append(bytes.Clone(zs), "more than a frame's magic number"...)},
		{"zstd, a second frame", CapZstd, 5000, append(bytes.Clone(zs), zs...)},
		{"zstd, checksum", CapZstd, 5000, change(checked, -1)},
		{"zstd, cut in the checksum", CapZstd, 5000, checked[:len(checked)-1]},
		{"zstd, cut", CapZstd, 5000, zs[:len(zs)/2]},
		{"zstd, a window of 32 MiB", CapZstd, 5000, zstdStream(p, zstd.WithWindowSize(1<<25))},
		{"zstd, a window of 512 MiB", CapZstd, 5000, zstdStream(p, zstd.WithWindowSize(1<<29))},
		{"zstd, no body", CapZstd, 5000, nil},
		{"zstd, zlib", CapZstd, 5000, zl},
	} {
		for _, room := range []int{1, 700, 1 << 25} {
			for way, arrive := range map[string]func() int{"at once": atOnce, "in pieces": rooms(999)} {
				if room == 1 && c.plain == MaxPayload {
					continue
				}
				// A good frame before it, and one behind, which must not come out.
				good := frameOf(0, 0, []byte("good"))
				stream := append(append(bytes.Clone(good), frameOf(1, c.plain, c.body)...), good...)
				side := NewCompressed(c.caps, 0)
				got, err := decodeIn(t, side, stream, arrive, rooms(room))
				if !errors.Is(err, ErrCompression) || len(got) > 4+c.plain || !bytes.HasPrefix(got, []byte("good")) {
					t.Errorf("%s, %s, room for %d: %d bytes, %v, want %v", c.name, way, room, len(got), err, ErrCompression)
				}
				if filled, taken, err := side.Decode(make([]byte, 10), good); filled+taken != 0 || !errors.Is(err, ErrCompression) {
					t.Errorf("%s: goes on after the error: %d, %d, %v", c.name, filled, taken, err)
				}
			}
		}
	}
}
