package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"mysqlproxy/engine/enginetest"
)

const (
	primaryID    = 1
	databaseName = "test"
	maxReplicas  = 20

	// longestSocket is what fits in a socket address, less its final NUL.
	longestSocket = 107
)

// dataSQL makes the database that every server starts with.
//
//go:embed data.sql
var dataSQL string

// settings is what a testbed is started with.
type settings struct {
	replicas  int
	dir       string   // parent of the testbed's own folder; empty: the system's temp folder
	flavour   string   // one of flavours
	server    string   // path of the server program; empty: looked up
	pluginDir string   // empty: the server's own or .cache/plugin of the source tree
	tls       bool     // the servers have certificates
	options   []string // name=value or name, for every server
}

// testbed is one primary and its replicas, all from one prepared data folder.
type testbed struct {
	*flavour
	install installation
	dir     string
	options []string
	users   Users
	tls     TLSFiles // empty without TLS
	spawn   *spawner
	servers []*server // the primary first

	stopOnce sync.Once
	stopping chan struct{}
	stopErr  error
}

// startTestbed starts everything and returns when all replicas replicate. After
// an error nothing is left behind; the end of ctx while it works is one.
func startTestbed(ctx context.Context, set settings) (*testbed, error) {
	if set.replicas < 0 || set.replicas > maxReplicas {
		return nil, fmt.Errorf("--replicas must be from 0 to %d", maxReplicas)
	}
	f, err := findFlavour(set.flavour)
	if err != nil {
		return nil, err
	}
	install, err := f.find(set)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(set.dir, "testbed-")
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	b := &testbed{
		flavour: f, install: install, dir: dir, options: set.options,
		spawn: newSpawner(), stopping: make(chan struct{}),
	}
	// The servers come and go by their own methods, which b.stop interrupts.
	defer context.AfterFunc(ctx, func() { _ = b.stop() })()
	b.users = f.users(b)
	if err := b.startAll(set); err != nil {
		return nil, errors.Join(err, b.stop())
	}
	return b, nil
}

func (b *testbed) startAll(set settings) (err error) {
	if set.tls {
		if b.tls, err = makeCertificates(filepath.Join(b.dir, "tls")); err != nil {
			return err
		}
	}
	for i := range set.replicas + 1 {
		name := "primary"
		if i > 0 {
			name = fmt.Sprintf("replica%d", i)
		}
		s := &server{bed: b, name: name, id: primaryID + i, dir: filepath.Join(b.dir, name)}
		if n := len(s.socket()); n > longestSocket {
			return fmt.Errorf("--dir is too long: the socket %s has %d bytes, %d fit", s.socket(), n, longestSocket)
		}
		b.servers = append(b.servers, s)
	}
	data, err := b.template()
	if err != nil {
		return err
	}
	errs := make(chan error)
	for _, s := range b.servers {
		go func() {
			err := os.CopyFS(s.dataDir(), os.DirFS(data))
			if err == nil {
				err = s.startFirst()
			}
			errs <- err
		}()
	}
	var all []error
	for range b.servers {
		all = append(all, <-errs)
	}
	if err := errors.Join(all...); err != nil {
		return err
	}
	for _, s := range b.servers[1:] {
		if err := b.replicate(s); err != nil {
			return err
		}
	}
	return nil
}

func (b *testbed) primary() *server { return b.servers[0] }

// findPluginDir is the folder that has the plugin: the one asked for, the
// distribution's, or where install.sh puts it in the source tree that this
// program was started in or built in. Empty: none has it.
func findPluginDir(asked string) string {
	if asked != "" {
		return asked
	}
	candidates := []string{
		"/usr/lib/mysql/plugin", "/usr/lib64/mysql/plugin",
		"/usr/lib/mariadb/plugin", "/usr/lib64/mariadb/plugin",
	}
	var starts []string
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	if exe, err := os.Executable(); err == nil {
		starts = append(starts, filepath.Dir(exe))
	}
	for _, d := range starts {
		for ; d != filepath.Dir(d); d = filepath.Dir(d) {
			if exists(filepath.Join(d, "go.mod")) {
				candidates = append(candidates, filepath.Join(d, ".cache", "plugin"))
			}
		}
	}
	for _, d := range candidates {
		if exists(filepath.Join(d, ed25519Plugin)) {
			return d
		}
	}
	return ""
}

// startFirst starts a server for the first time, on a port that is this
// process's from now on: a server can be stopped and started again on it.
func (s *server) startFirst() error {
	port, err := enginetest.LeasePort()
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.port = port.Port
	s.mu.Unlock()
	return s.start()
}

// replicate makes s follow the primary and waits until it does.
func (b *testbed) replicate(s *server) error {
	if err := s.exec(b.follow(b.primary().port, b.users.Replication)...); err != nil {
		return err
	}
	deadline := time.Now().Add(startTimeout)
	for {
		status, err := s.replicaStatus()
		if err != nil {
			return err
		}
		if status[b.ioRunning] == "Yes" && status[b.sqlRunning] == "Yes" {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not replicate: IO %s, SQL %s, %s %s", s.name,
				status[b.ioRunning], status[b.sqlRunning], status["Last_IO_Error"], status["Last_SQL_Error"])
		}
		select {
		case <-b.stopping:
			return errStopping
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// replicaStatus is the row of SHOW REPLICA STATUS by column name; empty on a
// server that is no replica.
func (s *server) replicaStatus() (map[string]string, error) {
	db, err := s.open()
	if err != nil {
		return nil, err
	}
	defer db.Close()
	rows, err := db.Query("SHOW REPLICA STATUS")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	status := map[string]string{}
	if rows.Next() {
		values := make([][]byte, len(names))
		into := make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		for i, n := range names {
			status[n] = string(values[i])
		}
	}
	return status, rows.Err()
}

// describe is the testbed as it is now.
func (b *testbed) describe() (Description, error) {
	d := Description{
		Flavour: b.name, Dir: b.dir, PID: os.Getpid(), Database: databaseName, Users: b.users,
		Primary: b.primary().state(), Replicas: []ServerState{},
	}
	for _, s := range b.servers[1:] {
		d.Replicas = append(d.Replicas, s.state())
	}
	if b.tls != (TLSFiles{}) {
		d.TLS = &b.tls
	}
	db, err := b.primary().open()
	if err != nil {
		return d, err
	}
	defer db.Close()
	return d, db.QueryRow("SELECT VERSION()").Scan(&d.Version)
}

// find is the server of that name, nil if there is none.
func (b *testbed) find(name string) *server {
	for _, s := range b.servers {
		if s.name == name {
			return s
		}
	}
	return nil
}

// stop ends every server at once, without an orderly shutdown since nobody
// will read the data again, and deletes all files. It may be called by
// several goroutines: each returns when it is done.
func (b *testbed) stop() error {
	b.stopOnce.Do(func() {
		close(b.stopping)
		var errs []error
		for _, s := range b.servers {
			s.mu.Lock()
			running := s.running()
			s.mu.Unlock()
			if running {
				if err := s.end(syscall.SIGKILL); err != nil && !strings.HasSuffix(err.Error(), "does not run") {
					errs = append(errs, err)
				}
			}
		}
		errs = append(errs, os.RemoveAll(b.dir))
		b.stopErr = errors.Join(errs...)
	})
	return b.stopErr
}

// findProgram looks a program up in PATH and where distributions put servers.
func findProgram(asked, name string) (string, error) {
	if asked != "" {
		return exec.LookPath(asked)
	}
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/usr/bin", "/usr/libexec"} {
		if p := filepath.Join(dir, name); exists(p) {
			return p, nil
		}
	}
	return "", fmt.Errorf("%s is not installed: run `make deps`", name)
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
