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
	ln, err := Listen()
	if err != nil {
		panic(err)
	}
	ln.Close()
	os.Exit(m.Run())
}
