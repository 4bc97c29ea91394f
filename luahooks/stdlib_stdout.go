package luahooks

import (
	"bytes"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// blockSize is the size of a stream's buffer in bytes, as C's stdio has it.
const blockSize = 4096

// standardOut is the buffer between print and io.write and the process' standard
// output: written out by blocks if that is a file or a pipe, by lines if it is a
// terminal or something else. It is used by whoever may use the state.
type standardOut struct {
	w       io.Writer
	buf     []byte
	byLines bool
	size    int // bytes to hold back at most; 0: none
}

func newStandardOut(w io.Writer) *standardOut {
	s := &standardOut{w: w, size: blockSize, byLines: true}
	if f, ok := w.(*os.File); ok {
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		s.byLines = err == nil
	}
	return s
}

func (s *standardOut) writeString(text string) error {
	s.buf = append(s.buf, text...)
	return s.settle()
}

func (s *standardOut) writeByte(c byte) error {
	s.buf = append(s.buf, c)
	if c != '\n' && len(s.buf) < s.size {
		return nil
	}
	return s.settle()
}

// settle writes what must not wait: on a terminal all lines, elsewhere, when the
// buffer is full, all whole lines, so that those of several states do not mix.
func (s *standardOut) settle() error {
	full := len(s.buf) >= s.size
	if !full && !s.byLines {
		return nil
	}
	n := bytes.LastIndexByte(s.buf, '\n') + 1
	if full && n == 0 {
		n = len(s.buf)
	}
	return s.write(n)
}

func (s *standardOut) flush() error { return s.write(len(s.buf)) }

// write writes the first n bytes. What cannot be written is dropped, as the next
// try would fail as well.
func (s *standardOut) write(n int) error {
	if n == 0 {
		return nil
	}
	_, err := s.w.Write(s.buf[:n])
	s.buf = append(s.buf[:0], s.buf[n:]...)
	if cap(s.buf) > 16*blockSize {
		s.buf = bytes.Clone(s.buf)
	}
	return err
}
