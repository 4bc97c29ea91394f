package reactor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"
)

// What tests do with the other end of a connection.

func mustWrite(t *testing.T, w io.Writer, p []byte) {
	t.Helper()
	if n, err := w.Write(p); err != nil {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(p), err)
	}
}

func mustRead(t *testing.T, r io.Reader, n int) []byte {
	t.Helper()
	p := make([]byte, n)
	if k, err := io.ReadFull(r, p); err != nil {
		t.Fatalf("read %d of %d bytes: %v", k, n, err)
	}
	return p
}

// noise gives the same bytes to whoever writes and to whoever checks.
type noise struct{ src *rand.ChaCha8 }

func newNoise(seed byte) noise { return noise{rand.NewChaCha8([32]byte{seed})} }

func (s noise) Read(p []byte) (int, error) { return s.src.Read(p) }

// checkNoise reads n bytes of r, step at a time, and compares each with what
// newNoise(seed) gives.
func checkNoise(r io.Reader, seed byte, n, step int) error {
	want, got := make([]byte, step), make([]byte, step)
	src := newNoise(seed)
	for at := 0; at < n; at += step {
		k := min(step, n-at)
		if m, err := io.ReadFull(r, got[:k]); err != nil {
			return fmt.Errorf("read %d of %d bytes: %w", at+m, n, err)
		}
		src.Read(want[:k])
		if !bytes.Equal(got[:k], want[:k]) {
			return fmt.Errorf("the bytes at %d to %d are not what was sent", at, at+k)
		}
	}
	return nil
}

// sendNoise writes n bytes of newNoise(seed) to w.
func sendNoise(w io.Writer, seed byte, n int) error {
	_, err := io.CopyN(struct{ io.Writer }{w}, newNoise(seed), int64(n)) // the struct hides ReadFrom
	return err
}

// makeNoise is n bytes of newNoise(seed).
func makeNoise(seed byte, n int) []byte {
	p := make([]byte, n)
	newNoise(seed).Read(p)
	return p
}

// reset closes a TCP connection by an RST, a unix socket at once.
func reset(t *testing.T, peer net.Conn) {
	t.Helper()
	if tc, ok := peer.(*net.TCPConn); ok {
		if err := tc.SetLinger(0); err != nil {
			t.Fatal(err)
		}
	}
	peer.Close()
}

// closeWrite sends a FIN and keeps the other direction.
func closeWrite(t *testing.T, peer net.Conn) {
	t.Helper()
	if err := peer.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
}

// atEnd checks that nothing but an orderly end comes from peer.
func atEnd(t *testing.T, peer net.Conn) {
	t.Helper()
	if n, err := peer.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("read %d bytes and %v, want the end of file", n, err)
	}
}
