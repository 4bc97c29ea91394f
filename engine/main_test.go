package engine

import (
	"flag"
	"os"
	"testing"
)

// What runs in parallel here waits for time-outs, and needs no processor for it.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "32"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
