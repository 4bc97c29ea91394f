package main

import (
	"os"
	"path/filepath"
	"testing"
)

// secrets is a folder of files that nobody else may read.
type secrets struct {
	t   *testing.T
	dir string
}

func newSecrets(t *testing.T) secrets { return secrets{t, t.TempDir()} }

// put writes a file, over one that is there, and returns its name.
func (s secrets) put(name string, text []byte) string {
	s.t.Helper()
	name = filepath.Join(s.dir, name)
	if err := os.WriteFile(name, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return name
}
