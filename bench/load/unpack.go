package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"mysqlproxy/bench/wire"
)

// frameHeader is the length of the header of a frame of the compressed protocol:
// length of the body, sequence id, length of what is in it or 0 if it is stored.
const frameHeader = wire.HeaderLen + 3

// unpacker takes apart the compressed protocol.
type unpacker struct {
	tail []byte // an incomplete frame
	body bytes.Reader
	zlib io.ReadCloser // nil before the first frame, and with zstd
	zstd *zstd.Decoder // nil with zlib
	out  []byte
	ask  []byte // the frame that is sent
}

func newUnpacker(algorithm string) *unpacker {
	u := &unpacker{}
	if algorithm == "zstd" {
		var err error
		if u.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1)); err != nil {
			panic(err) // of options that are constants
		}
	}
	return u
}

// unpack gives c what is in the whole frames of what has arrived.
func (u *unpacker) unpack(b []byte, c *conn) error {
	if len(u.tail) > 0 {
		u.tail = append(u.tail, b...)
		b = u.tail
	}
	for c.zip == u && len(b) >= frameHeader && len(b) >= frameHeader+wire.PayloadLen(b) {
		n := frameHeader + wire.PayloadLen(b)
		p, err := u.open(b[frameHeader:n], wire.PayloadLen(b[wire.HeaderLen:]))
		if err != nil {
			return fmt.Errorf("compressed protocol: %w", err)
		}
		if c.r.phase == phaseMeasure {
			c.r.report.Frames++
		}
		c.take(p)
		b = b[n:]
	}
	u.tail = append(u.tail[:0], b...)
	return nil
}

// open returns what is in the body of a frame, size bytes, or the body itself if
// size is 0. It is valid until the next call.
func (u *unpacker) open(body []byte, size int) ([]byte, error) {
	if size == 0 {
		return body, nil
	}
	var err error
	if u.zstd != nil {
		u.out, err = u.zstd.DecodeAll(body, u.out[:0])
	} else {
		err = u.inflate(body, size)
	}
	if err == nil && len(u.out) != size {
		err = errors.New("a frame has another length than it says")
	}
	return u.out, err
}

func (u *unpacker) inflate(body []byte, size int) (err error) {
	u.body.Reset(body)
	if u.zlib == nil {
		u.zlib, err = zlib.NewReader(&u.body)
	} else {
		err = u.zlib.(zlib.Resetter).Reset(&u.body, nil)
	}
	if err != nil {
		return err
	}
	if cap(u.out) < size {
		u.out = make([]byte, size)
	}
	u.out = u.out[:size]
	if _, err = io.ReadFull(u.zlib, u.out); err != nil {
		return err
	}
	// The checksum is read, and compared, only with the end.
	if n, err := u.zlib.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return fmt.Errorf("behind the end of a frame: %v", err)
	}
	return nil
}

// frame makes a frame of a short request, stored as clients store what is hardly
// worth compressing. It is valid until the next call.
func (u *unpacker) frame(p []byte) []byte {
	u.ask = append(wire.AppendHeader(u.ask[:0], len(p), 0), 0, 0, 0)
	u.ask = append(u.ask, p...)
	return u.ask
}
