package main

import (
	"strings"
	"testing"

	"mysqlproxy/engine"
)

func TestDigestsOfTheEngine(t *testing.T) {
	_, log := newLogLines()
	for arg, want := range map[string]engine.DigestMode{
		"--digests=off": engine.DigestsOff, "--digests=sampled": engine.DigestsSampled, "--digests=on": engine.DigestsOn, "--splitting=off": engine.DigestsSampled,
	} {
		c, err := engineConfig(tlsSettings(t, "-b", "127.0.0.1:1", "-P", "127.0.0.1:0", "--auth=passthrough", arg), log, nil)
		if err != nil || c.Digests != want {
			t.Errorf("%s: mode %d (%v), want %d", arg, c.Digests, err, want)
		}
	}
	l, err := load([]string{"--digests=some"}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.check(); err == nil || !strings.Contains(err.Error(), "give sampled, on or off") {
		t.Errorf("--digests=some: %v", err)
	}
}
