package packet

import (
	"errors"
	"testing"
)

// everyCut calls parse with each beginning of payload, in a slice without a
// byte of room behind it, so that reading too far panics. A beginning of fewer
// than whole bytes must be ErrMalformed, the whole payload must not.
func everyCut(t *testing.T, payload []byte, whole int, parse func([]byte) error) {
	t.Helper()
	for n := range len(payload) + 1 {
		cut := append(make([]byte, 0, n), payload[:n]...)
		err := parse(cut)
		switch {
		case n < whole && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrOldProtocol):
			t.Errorf("%d of %d bytes: error %v, want ErrMalformed", n, len(payload), err)
		case n == len(payload) && err != nil:
			t.Errorf("all %d bytes: %v", n, err)
		}
	}
}

// noAllocs runs f, which must not allocate.
func noAllocs(t *testing.T, what string, f func()) {
	t.Helper()
	if n := testing.AllocsPerRun(100, f); n != 0 {
		t.Errorf("%s: %v allocs, want 0", what, n)
	}
}

// underRace is set by race_test.go. The race detector makes what is done millions
// of times in one goroutine ten times as long and finds nothing in it: such tests
// do less of it there, and all of it where they run without.
var underRace bool
