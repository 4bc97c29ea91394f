package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// template is a folder in the cache with data that every server starts with a
// copy of. It is made the first time that it is asked for: a server's system
// tables, the accounts and the test database. Its name has in it all that it
// depends on, so nothing makes it stale.
func (b *testbed) template() (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	parent := filepath.Join(cache, "data")
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", err
	}
	key, err := b.templateKey()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(parent, b.flavour.name+"-"+key)
	if exists(dir) {
		now := time.Now()
		return dir, os.Chtimes(dir, now, now) // it is in use
	}
	// Test programs that start at once would all make it.
	unlock, err := lockFile(filepath.Join(parent, b.flavour.name+".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if exists(dir) {
		return dir, nil
	}
	made := filepath.Join(b.dir, "prepared")
	if err := b.makeData(b, made); err != nil {
		return "", err
	}
	// Onto the cache's file system first, then there at once.
	partial, err := os.MkdirTemp(parent, "."+b.flavour.name+"-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(partial)
	if err := os.CopyFS(partial, os.DirFS(made)); err != nil {
		return "", err
	}
	if err := os.Rename(partial, dir); err != nil {
		return "", err
	}
	removeStale(parent, b.flavour.name, dir)
	return dir, os.RemoveAll(made)
}

// templateKey is a digest of what a template depends on.
func (b *testbed) templateKey() (string, error) {
	h := sha256.New()
	program := b.install.argv[len(b.install.argv)-1]
	st, err := os.Stat(program)
	if err != nil {
		return "", err
	}
	fmt.Fprintln(h, program, st.Size(), st.ModTime().UnixNano())
	fmt.Fprintln(h, strings.Join(b.fileArgs(b), "\n"))
	fmt.Fprintln(h, b.users, schema(b.flavour), templateVersion)
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

// templateVersion changes when makeData does other things with the same inputs.
const templateVersion = 1

// removeStale deletes the templates of a flavour that nobody has used for long.
func removeStale(parent, flavour, except string) {
	const long = 7 * 24 * time.Hour
	old, _ := filepath.Glob(filepath.Join(parent, flavour+"-*"))
	for _, dir := range old {
		if st, err := os.Stat(dir); err == nil && dir != except && time.Since(st.ModTime()) > long {
			_ = os.RemoveAll(dir) // what stays costs some disk space
		}
	}
}

// lockFile waits until this process alone has the lock.
func lockFile(name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
