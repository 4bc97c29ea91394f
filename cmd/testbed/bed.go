package main

import (
	"bytes"
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
	mariadbd  string   // empty: looked up
	pluginDir string   // empty: the server's own or .cache/plugin of the source tree
	options   []string // name=value or name, for every server
}

// testbed is one primary and its replicas, all from one prepared data folder.
type testbed struct {
	dir       string
	mariadbd  string
	pluginDir string // empty: the server's default
	options   []string
	users     Users
	spawn     *spawner
	servers   []*server // the primary first

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
	mariadbd, err := findProgram(set.mariadbd, "mariadbd")
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
		dir: dir, mariadbd: mariadbd, options: set.options,
		spawn: newSpawner(), stopping: make(chan struct{}),
	}
	// The servers come and go by their own methods, which b.stop interrupts.
	defer context.AfterFunc(ctx, func() { _ = b.stop() })()
	b.pluginDir = findPluginDir(set.pluginDir)
	if err := b.startAll(set.replicas); err != nil {
		return nil, errors.Join(err, b.stop())
	}
	return b, nil
}

func (b *testbed) startAll(replicas int) error {
	for i := range replicas + 1 {
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
	prepared := filepath.Join(b.dir, "prepared")
	if err := b.prepare(prepared); err != nil {
		return err
	}
	for _, s := range b.servers[1:] {
		if err := os.CopyFS(s.dataDir(), os.DirFS(prepared)); err != nil {
			return err
		}
	}
	if err := os.Mkdir(b.primary().dir, 0o700); err != nil {
		return err
	}
	if err := os.Rename(prepared, b.primary().dataDir()); err != nil {
		return err
	}
	errs := make(chan error)
	for _, s := range b.servers {
		go func() { errs <- s.startFirst() }()
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

// commonArgs are the options that the preparing server and the real ones share:
// those that shape files, and little memory.
func (b *testbed) commonArgs() []string {
	args := []string{
		"--no-defaults", // must be first
		// Nothing waits for the disk: what a killed server has written is in
		// the kernel's hands, and nobody pulls the plug on a testbed.
		"--debug-no-sync",
		"--innodb-flush-method=nosync",
		"--innodb-flush-log-at-trx-commit=2", // commits do reach the kernel: `kill` loses none
		"--performance-schema=OFF",
		"--skip-name-resolve",
		"--innodb-buffer-pool-size=64M",
		"--innodb-log-file-size=16M",
		"--innodb-log-buffer-size=4M",
		"--innodb-buffer-pool-dump-at-shutdown=0",
		"--innodb-buffer-pool-load-at-startup=0",
		"--aria-pagecache-buffer-size=8M",
		"--aria-log-file-size=8M",
		"--key-buffer-size=1M",
		"--table-open-cache=400",
		"--character-set-server=utf8mb4",
		"--collation-server=utf8mb4_general_ci",
	}
	if os.Geteuid() == 0 {
		// The folder is ours and private; a change of user would also make
		// the kernel forget that the server has to die with us.
		args = append(args, "--user=root")
	}
	if b.pluginDir != "" {
		args = append(args, "--plugin-dir="+b.pluginDir)
	}
	if b.hasEd25519() {
		args = append(args, "--plugin-load-add=auth_ed25519")
	}
	return args
}

// hasEd25519 says whether the server can load the plugin auth_ed25519, which
// some distributions ship apart from the server program.
func (b *testbed) hasEd25519() bool {
	return b.pluginDir != "" && exists(filepath.Join(b.pluginDir, ed25519Plugin))
}

const ed25519Plugin = "auth_ed25519.so"

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

// prepare makes the data folder that every server gets a copy of: system
// tables, accounts and the test database, none of it in a binary log.
func (b *testbed) prepare(dir string) error {
	b.users = testbedUsers(b.hasEd25519())
	installDB, err := findProgram("", "mariadb-install-db")
	if err != nil {
		return err
	}
	tmp := filepath.Join(b.dir, "tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return err
	}
	log := filepath.Join(b.dir, "prepare.log")
	out, err := os.Create(log)
	if err != nil {
		return err
	}
	defer out.Close()
	args := append(b.commonArgs(), "--datadir="+dir, "--tmpdir="+tmp,
		"--skip-test-db", "--auth-root-authentication-method=normal")
	cmd := exec.Command(installDB, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = b.dir, out, out
	cmd.Env = append(os.Environ(), "MYSQLD_BOOTSTRAP="+b.mariadbd)
	if err := b.spawn.run(cmd); err != nil {
		return fmt.Errorf("%s: %w; the end of its output:\n%s", installDB, err, tail(log))
	}
	// A server in bootstrap mode reads statements from its standard input.
	cmd = exec.Command(b.mariadbd, append(b.commonArgs(), "--bootstrap",
		"--datadir="+dir, "--tmpdir="+tmp, "--log-warnings=0")...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = b.dir, out, out
	cmd.Stdin = bytes.NewBufferString(usersSQL(b.users) + dataSQL)
	if err := b.spawn.run(cmd); err != nil {
		return fmt.Errorf("load the test data: %w; the end of its output:\n%s", err, tail(log))
	}
	return nil
}

// usersSQL makes the accounts. The server in bootstrap mode reads the grant
// tables only when told to.
func usersSQL(u Users) string {
	var s strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&s, format+";\n", args...) }
	line("DELETE FROM mysql.global_priv WHERE User = '' OR Host <> 'localhost'")
	line("DELETE FROM mysql.proxies_priv")
	line("FLUSH PRIVILEGES")
	line("CREATE DATABASE %s", databaseName)
	for _, user := range []User{u.App, u.Empty, u.Replication, u.Ed25519} {
		if user.Name == "" {
			continue
		}
		line("CREATE USER '%s'@'%%' IDENTIFIED VIA %s USING PASSWORD('%s')", user.Name, user.Plugin, user.Password)
		line("GRANT ALL ON %s.* TO '%s'@'%%'", databaseName, user.Name)
	}
	line("GRANT ALL ON *.* TO '%s'@'%%' WITH GRANT OPTION", u.App.Name)
	line("REVOKE READ_ONLY ADMIN ON *.* FROM '%s'@'%%'", u.App.Name)
	line("GRANT REPLICATION SLAVE ON *.* TO '%s'@'%%'", u.Replication.Name)
	line("USE %s", databaseName)
	return s.String()
}

// startFirst starts a server for the first time, on a free port. Another
// program may take that port first, then it takes another one.
func (s *server) startFirst() error {
	const tries = 5
	for try := 1; ; try++ {
		port, err := freePort()
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.port = port
		s.mu.Unlock()
		err = s.start()
		if err == nil || try == tries || !strings.Contains(tail(s.logFile()), "Address already in use") {
			return err
		}
	}
}

// replicate makes s follow the primary and waits until it does.
func (b *testbed) replicate(s *server) error {
	err := s.exec(
		fmt.Sprintf("CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%d, MASTER_USER='%s', MASTER_PASSWORD='%s',"+
			" MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1",
			b.primary().port, b.users.Replication.Name, b.users.Replication.Password),
		"START SLAVE")
	if err != nil {
		return err
	}
	deadline := time.Now().Add(startTimeout)
	for {
		status, err := s.replicaStatus()
		if err != nil {
			return err
		}
		if status["Slave_IO_Running"] == "Yes" && status["Slave_SQL_Running"] == "Yes" {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not replicate: IO %s, SQL %s, %s %s", s.name,
				status["Slave_IO_Running"], status["Slave_SQL_Running"], status["Last_IO_Error"], status["Last_SQL_Error"])
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
		Dir: b.dir, PID: os.Getpid(), Database: databaseName, Users: b.users,
		Primary: b.primary().state(), Replicas: []ServerState{},
	}
	for _, s := range b.servers[1:] {
		d.Replicas = append(d.Replicas, s.state())
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
