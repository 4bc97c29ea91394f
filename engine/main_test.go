package engine

import (
	"flag"
	"os"
	"testing"

	. "mysqlproxy/engine/enginetest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// What runs in parallel here waits for time-outs, and needs no processor for it.
	if err := flag.Set("test.parallel", "32"); err != nil {
		panic(err)
	}
	// Go's runtime opens descriptors of its own at its first socket, which are no leak.
	l, err := LeasePort()
	if err != nil {
		panic(err)
	}
	l.Release()
	os.Exit(m.Run())
}
