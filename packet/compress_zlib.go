package packet

import (
	"bytes"
	"io"

	"github.com/klauspost/compress/zlib"
)

// zlibLevel is the level that a user's or a client's stands for.
func zlibLevel(level int) int {
	if level <= 0 {
		return 6
	}
	return min(level, zlib.BestCompression)
}

// zlibInflater inflates one frame of zlib. It is in a pool while it does not.
type zlibInflater struct {
	body  bytes.Reader
	zlib  io.ReadCloser // nil before the first frame
	extra [1]byte
}

var zlibInflaters = make(pool[*zlibInflater], pooled)

func newZlibInflater() *zlibInflater {
	if z, ok := zlibInflaters.get(); ok {
		return z
	}
	return new(zlibInflater)
}

func (z *zlibInflater) open(body []byte) (err error) {
	z.body.Reset(body)
	if z.zlib == nil {
		z.zlib, err = zlib.NewReader(&z.body)
		return err
	}
	return z.zlib.(zlib.Resetter).Reset(&z.body, nil)
}

func (z *zlibInflater) read(dst []byte) (int, error) { return readSome(z.zlib, dst) }

func (z *zlibInflater) end() error { return readEnd(z.zlib, &z.body, z.extra[:]) }

func (z *zlibInflater) keep(buf []byte) []byte { return keepRest(&z.body, buf) }

func (z *zlibInflater) close() {
	z.body.Reset(nil)
	zlibInflaters.put(z)
}

// readSome reads at least one byte, or says why there is none.
func readSome(r io.Reader, dst []byte) (int, error) {
	for {
		if n, err := r.Read(dst); n > 0 && (err == nil || err == io.EOF) {
			return n, nil
		} else if err != nil {
			return 0, err
		}
	}
}

// readEnd is nil if r, which inflates body, is at its end, and so is body. Only
// the attempt to read further makes r look at a checksum.
func readEnd(r io.Reader, body *bytes.Reader, extra []byte) error {
	for {
		n, err := r.Read(extra)
		switch {
		case n > 0:
			return ErrCompression
		case err == io.EOF && body.Len() == 0:
			return nil
		case err != nil:
			return ErrCompression
		}
	}
}

// keepRest moves what r has not read to the end of buf, and lets r read it from
// there.
func keepRest(r *bytes.Reader, buf []byte) []byte {
	at := len(buf)
	buf = append(buf, make([]byte, r.Len())...)
	_, _ = r.Read(buf[at:])
	r.Reset(buf[at:])
	return buf
}

// zlibDeflater compresses frames at one level. It is in that level's pool while
// it does not.
type zlibDeflater struct {
	zlib *zlib.Writer
	out  appender
}

var zlibDeflaters = newPools[*zlibDeflater](zlib.BestCompression + 1)

// deflateZlib appends p compressed.
func deflateZlib(dst, p []byte, level int) []byte {
	d, ok := zlibDeflaters[level].get()
	if !ok {
		d = new(zlibDeflater)
		d.zlib, _ = zlib.NewWriterLevel(&d.out, level) // no error: zlibLevel has made the level
	}
	d.out.b = dst
	d.zlib.Reset(&d.out)
	_, _ = d.zlib.Write(p) // an appender has no errors
	_ = d.zlib.Close()
	dst, d.out.b = d.out.b, nil
	zlibDeflaters[level].put(d)
	return dst
}

// appender is an io.Writer that appends.
type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}
