package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"mysqlproxy/engine"
)

// Certificates, keys and authorities are files that others replace while the
// proxy runs:
//
//	handshake --> watched.get --(once a second)--> files changed? --> a new value, or the old one and a line in the log

// watchPause is the shortest time between two looks at the files.
const watchPause = time.Second

// maxSecretLen bounds a file that is watched, in bytes.
const maxSecretLen = 1 << 20

// watchedFile is one of the files of a value.
type watchedFile struct {
	option  string // that names it, without dashes
	name    string
	secret  bool // a warning is due if everybody may read it
	private bool // and the file is of no use then
}

// watched is a value that files make, made again when they change. Any goroutine
// may use it that may wait for a file: no event loop.
type watched[T any] struct {
	files []watchedFile
	parse func(texts [][]byte) (*T, error)
	log   *slog.Logger
	pause time.Duration

	value atomic.Pointer[T]

	mu     sync.Mutex // whoever holds it looks; nobody waits for it
	looked time.Time
	texts  [][]byte // of the files as they were tried last
	fault  error    // what is wrong with them, or nil
	failed string   // the error that was logged last; empty since the files are good
}

// watch reads the files for the first time. What is wrong with them is an error
// now, and a line in the log later.
func watch[T any](log *slog.Logger, parse func(texts [][]byte) (*T, error), files ...watchedFile) (*watched[T], error) {
	w := &watched[T]{files: files, parse: parse, log: log, pause: watchPause, looked: time.Now()}
	return w, w.look()
}

// get is the value of the files as they are now, or were up to a second ago. If
// they have become unusable it is that of the last good ones.
func (w *watched[T]) get() *T {
	if w.mu.TryLock() {
		if time.Since(w.looked) >= w.pause {
			switch err := w.look(); {
			case err == nil:
				w.failed = ""
			case err.Error() != w.failed:
				w.failed = err.Error()
				w.log.Error(w.failed + "; what was read before stays in use")
			}
			w.looked = time.Now()
		}
		w.mu.Unlock()
	}
	return w.value.Load()
}

// look makes the value anew if the files are not what they were. Comparing their
// texts, and not their times, also sees what is changed within a tick of the
// file system's clock.
func (w *watched[T]) look() error {
	texts := make([][]byte, len(w.files))
	again := w.texts != nil
	var changed []string // their names
	open := ""
	for i, f := range w.files {
		text, mode, err := readRegular(f.name, maxSecretLen)
		if err != nil {
			return fmt.Errorf("--%s: cannot read %s: %w", f.option, clean(f.name), err)
		}
		texts[i] = text
		if !again || !bytes.Equal(text, w.texts[i]) {
			changed = append(changed, clean(f.name))
		}
		if mode.Perm()&0o007 == 0 {
			continue
		}
		if f.private {
			return openToAll(f.option, f.name, mode)
		}
		if f.secret {
			open = openToAll(f.option, f.name, mode).Error()
		}
	}
	if len(changed) == 0 {
		return w.fault
	}
	w.texts = texts
	var value *T
	if value, w.fault = w.parse(texts); w.fault != nil {
		return w.fault
	}
	w.value.Store(value)
	if open != "" {
		w.log.Warn(open)
	}
	if again {
		w.log.Log(context.Background(), engine.LevelMessage, "changed and read again: "+strings.Join(changed, ", "))
	}
	return nil
}

// openToAll says that everybody may read a file.
func openToAll(option, name string, mode fs.FileMode) error {
	return fmt.Errorf("--%s: the mode %04o of %s gives access to everybody: chmod o= %s", option, mode.Perm(), clean(name), clean(name))
}

// readRegular reads a file of at most limit bytes.
func readRegular(name string, limit int64) ([]byte, fs.FileMode, error) {
	// Without O_NONBLOCK, opening a pipe would wait for its writer.
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, fmt.Errorf("%w; check the name and the permissions", withoutPath(err))
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, 0, withoutPath(err)
	case !info.Mode().IsRegular():
		return nil, 0, errors.New("it is not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, 0, withoutPath(err)
	case int64(len(data)) > limit:
		return nil, 0, fmt.Errorf("it is larger than %d bytes", limit)
	}
	return data, info.Mode(), nil
}
