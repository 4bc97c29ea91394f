package packet

import (
	"bytes"

	"github.com/klauspost/compress/zstd"
)

// maxWindow is the largest window of a zstd frame in bytes. It is that of level
// 22 for all that one frame of the protocol can hold.
const maxWindow = 1 << 24

// zstdLevel is the level that a user's or a client's stands for: the encoder has
// four for zstd's 22. Its lowest one serves up to 3, the usual one: on rows it
// takes half the time of the next, for 2 % more bytes, and still makes fewer than
// servers do of their smaller frames.
func zstdLevel(level int) int {
	switch {
	case level <= 3:
		return int(zstd.SpeedFastest)
	case level <= 7:
		return int(zstd.SpeedDefault)
	case level <= 15:
		return int(zstd.SpeedBetterCompression)
	}
	return int(zstd.SpeedBestCompression)
}

// zstdInflater inflates one frame of zstd of which the end does not fit where
// the beginning goes. It is in a pool while it does not.
type zstdInflater struct {
	body  bytes.Reader
	zstd  *zstd.Decoder
	large bool // its window has grown beyond what may stay in the pool
	extra [1]byte
}

// newZstdDecoder returns a decoder that starts no goroutine.
func newZstdDecoder(opts ...zstd.DOption) *zstd.Decoder {
	d, err := zstd.NewReader(nil, append(opts, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxWindow))...)
	if err != nil {
		panic(err) // the options are constants
	}
	return d
}

var zstdInflaters = make(pool[*zstdInflater], pooled)

func newZstdInflater() *zstdInflater {
	if z, ok := zstdInflaters.get(); ok {
		return z
	}
	return &zstdInflater{zstd: newZstdDecoder()}
}

func (z *zstdInflater) open(body []byte) error {
	var h zstd.Header
	if err := h.Decode(body); err != nil {
		return err
	}
	z.large = max(h.WindowSize, h.FrameContentSize) > 1<<18
	z.body.Reset(body)
	return z.zstd.Reset(&z.body)
}

func (z *zstdInflater) read(dst []byte) (int, error) { return readSome(z.zstd, dst) }

func (z *zstdInflater) end() error { return readEnd(z.zstd, &z.body, z.extra[:]) }

func (z *zstdInflater) keep(buf []byte) []byte { return keepRest(&z.body, buf) }

func (z *zstdInflater) close() {
	z.body.Reset(nil)
	if err := z.zstd.Reset(nil); err == nil && !z.large {
		zstdInflaters.put(z)
	}
}

// zstdDecoders are decoders for frames that fit where they go: these need no
// window of their own.
var zstdDecoders = make(pool[*zstd.Decoder], pooled)

// inflateZstd inflates body, which must be as much as dst holds.
func inflateZstd(dst, body []byte) error {
	d, ok := zstdDecoders.get()
	if !ok {
		d = newZstdDecoder(zstd.WithDecodeAllCapLimit(true))
	}
	out, err := d.DecodeAll(body, dst[:0])
	if err != nil || len(out) != len(dst) {
		return ErrCompression
	}
	if &out[0] != &dst[0] {
		copy(dst, out)
	}
	zstdDecoders.put(d)
	return nil
}

var zstdEncoders = newPools[*zstd.Encoder](int(zstd.SpeedBestCompression) + 1)

// deflateZstd appends p compressed. The window is what a frame holds, and there
// is no checksum, as in the servers' frames.
func deflateZstd(dst, p []byte, level int) []byte {
	e, ok := zstdEncoders[level].get()
	if !ok {
		var err error
		e, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.EncoderLevel(level)), zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(plainFrame), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic(err) // the options are constants, and zstdLevel has made the level
		}
	}
	dst = e.EncodeAll(p, dst)
	zstdEncoders[level].put(e)
	return dst
}
