package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// What the program asks of the operating system for itself: limits, its pid
// file, another user.

// pidFile is the file with the pid of this process. It stays open: once the
// process has become another user, its name alone may not be enough to read it.
type pidFile struct {
	name string
	f    *os.File
}

// writePidFile writes the pid of this process, without a newline.
func writePidFile(name string) (*pidFile, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err == nil {
		if _, err = f.WriteString(strconv.Itoa(os.Getpid())); err != nil {
			f.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot write the pid file %s: %w; check the folder and its permissions", clean(name), withoutPath(err))
	}
	return &pidFile{name, f}, nil
}

// remove removes the file if it is still the one that was written.
func (p *pidFile) remove() {
	defer p.f.Close()
	ours, err := p.f.Stat()
	if err != nil {
		return
	}
	if there, err := os.Stat(p.name); err == nil && os.SameFile(ours, there) {
		removePidFile(p.name, p.f, os.Getpid())
	}
}

// removePidFile removes the file name, open as f, if it holds pid. It may
// fail: a user without root's rights cannot remove files from every folder.
// Then the file stays, as MySQL Proxy left it.
func removePidFile(name string, f io.ReaderAt, pid int) {
	var text [32]byte
	if n, err := f.ReadAt(text[:], 0); err == io.EOF && string(text[:n]) == strconv.Itoa(pid) {
		_ = os.Remove(name)
	}
}

// setMaxOpenFiles sets the limit of open files, and raises the hard limit if
// that is lower.
func setMaxOpenFiles(n int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("reading the limit of open files: %w", err)
	}
	hard := limit.Max
	limit.Cur = uint64(n)
	limit.Max = max(limit.Max, limit.Cur)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("setting --max-open-files=%d failed: %w; the hard limit is %d, only root may raise it", n, err, hard)
	}
	return nil
}

// account is a user of the system.
type account struct {
	name   string
	uid    int
	gid    int
	groups []int
}

// findAccount looks up the user that --user names. Only root may ask.
func findAccount(name string) (*account, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("can only use the --user switch if running as root; leave it out")
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("unknown user: %s; give the name of a user of this system to --user", clip(name))
	}
	a := &account{name: name}
	if a.uid, err = strconv.Atoi(u.Uid); err != nil {
		return nil, fmt.Errorf("user %s has no numeric uid: %q", clip(name), u.Uid)
	}
	if a.gid, err = strconv.Atoi(u.Gid); err != nil {
		return nil, fmt.Errorf("user %s has no numeric gid: %q", clip(name), u.Gid)
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("looking up the groups of user %s: %w", clip(name), err)
	}
	for _, id := range ids {
		n, err := strconv.Atoi(id)
		if err != nil {
			return nil, fmt.Errorf("user %s has a group without a numeric gid: %q", clip(name), id)
		}
		a.groups = append(a.groups, n)
	}
	return a, nil
}

// become makes the whole process run as a, for good.
func (a *account) become() error {
	if err := syscall.Setgroups(a.groups); err != nil {
		return fmt.Errorf("setting the groups of user %s: %w", a.name, err)
	}
	if err := syscall.Setgid(a.gid); err != nil {
		return fmt.Errorf("switching to the group of user %s: %w", a.name, err)
	}
	if err := syscall.Setuid(a.uid); err != nil {
		return fmt.Errorf("switching to user %s: %w", a.name, err)
	}
	return nil
}
