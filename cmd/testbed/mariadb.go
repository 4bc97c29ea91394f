package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// mariadb is MariaDB's dialect; systemTables makes the system tables of a new
// data folder and returns after writing to log.
func mariadb(systemTables func(b *testbed, dir, tmp string, log *os.File) error) dialect {
	return dialect{
		fileArgs:   mariadbFileArgs,
		serverArgs: mariadbServerArgs,
		users:      mariadbUsers,
		makeData: func(b *testbed, dir string) error {
			return makeMariaDB(b, dir, systemTables)
		},
		tlsArgs: func(c TLSFiles) []string {
			return []string{"--ssl", "--ssl-ca=" + c.CA, "--ssl-cert=" + c.Cert, "--ssl-key=" + c.Key}
		},
		without: "--skip-ssl",
		follow: func(port int, u User) []string {
			return []string{
				fmt.Sprintf("CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%d, MASTER_USER='%s', MASTER_PASSWORD='%s',"+
					" MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, MASTER_SSL=0", port, u.Name, u.Password),
				"START SLAVE",
			}
		},
		client: "mariadb", clientArgs: []string{"--disable-ssl-verify-server-cert"},
		ioRunning: "Slave_IO_Running", sqlRunning: "Slave_SQL_Running",
	}
}

func mariadbFileArgs(b *testbed) []string {
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
	if b.install.root != "" {
		args = append(args,
			"--basedir="+filepath.Join(b.install.root, "usr"),
			"--lc-messages-dir="+b.install.share("mariadb"),
			"--character-sets-dir="+b.install.share("mariadb/charsets"))
	}
	if os.Geteuid() == 0 {
		// The folder is ours and private; a change of user would also make
		// the kernel forget that the server has to die with us.
		args = append(args, "--user=root")
	}
	if b.install.pluginDir != "" {
		args = append(args, "--plugin-dir="+b.install.pluginDir)
	}
	if b.install.hasPlugin(dialogPlugin) {
		args = append(args, "--plugin-maturity=unknown") // it is an example
	}
	for _, p := range authPlugins {
		if b.install.hasPlugin(p) {
			args = append(args, "--plugin-load-add="+p)
		}
	}
	return args
}

// authPlugins are MariaDB's authentication plugins that are not part of the
// server program: loaded where they are.
var authPlugins = []string{ed25519Plugin, parsecPlugin, sha2Plugin, dialogPlugin}

const (
	ed25519Plugin = "auth_ed25519.so"
	parsecPlugin  = "auth_parsec.so"
	sha2Plugin    = "auth_mysql_sha2.so"
	dialogPlugin  = "dialog_examples.so"
)

// hasPlugin says whether the server can load a plugin, which distributions may
// ship apart from the server program.
func (in installation) hasPlugin(file string) bool {
	return in.pluginDir != "" && exists(filepath.Join(in.pluginDir, file))
}

func mariadbServerArgs(s *server) []string {
	args := []string{
		"--log-bin=binlog",
		"--relay-log=relaylog",
		"--log-slave-updates", // a replica can be promoted
		"--gtid-strict-mode",
		"--slave-net-timeout=10", // seconds until a replica misses a paused primary
		"--sync-binlog=0",
		"--back-log=4096",
	}
	if s.id != primaryID {
		args = append(args, "--read-only")
	}
	return args
}

// mariadbUsers are the accounts; those with a plugin that the server has not
// stay without a name.
func mariadbUsers(b *testbed) Users {
	const native = "mysql_native_password"
	u := Users{
		App:         User{"app", "app-password", native},
		Empty:       User{"empty", "", native},
		Replication: User{"replication", "replication-password", native},
		Root:        User{"root", "", native},
		Native:      User{"native", "native-password", native},
		TLS:         User{"tls", "tls-password", native},
		Locked:      User{"locked", "locked-password", native},
		Expired:     User{"expired", "expired-password", native},
	}
	if b.install.hasPlugin(ed25519Plugin) {
		u.Ed25519 = User{"ed", "ed-password", "ed25519"}
	}
	if b.install.hasPlugin(parsecPlugin) {
		u.Parsec = User{"parsec", "parsec-password", "parsec"}
	}
	if b.install.hasPlugin(sha2Plugin) {
		u.SHA2 = User{"sha2", "sha2-password", "caching_sha2_password"}
	}
	if b.install.hasPlugin(dialogPlugin) {
		u.Dialog = User{"dialog", "dialog-password", "two_questions"}
	}
	return u
}

// makeMariaDB makes a data folder by servers in bootstrap mode, which read
// statements from their standard input.
func makeMariaDB(b *testbed, dir string, systemTables func(b *testbed, dir, tmp string, log *os.File) error) error {
	tmp := filepath.Join(b.dir, "tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return err
	}
	out, err := os.Create(filepath.Join(b.dir, "prepare.log"))
	if err != nil {
		return err
	}
	defer out.Close()
	if err := systemTables(b, dir, tmp, out); err != nil {
		return err
	}
	return b.bootstrap(dir, tmp, out, mariadbUsersSQL(b.users)+schema(b.flavour))
}

// bootstrap has a server carry out statements without being one yet.
func (b *testbed) bootstrap(dir, tmp string, out *os.File, statements string) error {
	cmd := b.serverCommand(append(b.fileArgs(b), "--bootstrap", "--datadir="+dir, "--tmpdir="+tmp,
		"--log-warnings=0", "--max-allowed-packet=8M")...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = b.dir, out, out
	cmd.Stdin = bytes.NewBufferString(statements)
	if err := b.spawn.run(cmd); err != nil {
		return fmt.Errorf("load the test data: %w; the end of its output:\n%s", err, tail(out.Name()))
	}
	return nil
}

// installMariaDB makes system tables by the program that the distribution has
// for it.
func installMariaDB(b *testbed, dir, tmp string, out *os.File) error {
	installDB, err := findProgram("", "mariadb-install-db")
	if err != nil {
		return err
	}
	cmd := exec.Command(installDB, append(b.fileArgs(b), "--datadir="+dir, "--tmpdir="+tmp,
		"--skip-test-db", "--auth-root-authentication-method=normal")...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = b.dir, out, out
	cmd.Env = append(os.Environ(), "MYSQLD_BOOTSTRAP="+b.install.argv[0])
	if err := b.spawn.run(cmd); err != nil {
		return fmt.Errorf("%s: %w; the end of its output:\n%s", installDB, err, tail(out.Name()))
	}
	return nil
}

// bootstrapMariaDB makes system tables from the statements that come with the
// server; the program for it would need programs that do not run here.
func bootstrapMariaDB(b *testbed, dir, tmp string, out *os.File) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	statements := []byte("CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket = NULL;\n")
	for _, name := range []string{"mariadb_system_tables.sql", "mariadb_performance_tables.sql", "mariadb_system_tables_data.sql",
		"maria_add_gis_sp_bootstrap.sql", "mariadb_sys_schema.sql"} {
		text, err := os.ReadFile(b.install.share(filepath.Join("mariadb", name)))
		if err != nil {
			return err
		}
		statements = append(append(statements, text...), '\n')
	}
	return b.bootstrap(dir, tmp, out, string(statements))
}

// mariadbUsersSQL makes the accounts. The server in bootstrap mode reads the
// grant tables only when told to.
func mariadbUsersSQL(u Users) string {
	var s strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&s, format+";\n", args...) }
	line("DELETE FROM mysql.global_priv WHERE User = '' OR (Host <> 'localhost' AND User <> 'mariadb.sys')")
	line("DELETE FROM mysql.global_priv WHERE User NOT IN ('root', 'mariadb.sys')")
	line("DELETE FROM mysql.proxies_priv")
	line("FLUSH PRIVILEGES")
	line("CREATE DATABASE %s", databaseName)
	for _, a := range u.accounts() {
		switch {
		case a.user == u.Dialog:
			// The plugin compares the answer with this text.
			line("CREATE USER '%s'@'%%' IDENTIFIED VIA %s USING '%s'", a.user.Name, a.user.Plugin, a.user.Password)
		default:
			line("CREATE USER '%s'@'%%' IDENTIFIED VIA %s USING PASSWORD('%s') %s", a.user.Name, a.user.Plugin, a.user.Password, a.clause)
		}
		if a.all {
			line("GRANT ALL ON *.* TO '%s'@'%%' WITH GRANT OPTION", a.user.Name)
			line("REVOKE READ_ONLY ADMIN ON *.* FROM '%s'@'%%'", a.user.Name)
		} else {
			line("GRANT ALL ON %s.* TO '%s'@'%%'", databaseName, a.user.Name)
		}
	}
	line("GRANT REPLICATION SLAVE ON *.* TO '%s'@'%%'", u.Replication.Name)
	line("USE %s", databaseName)
	return s.String()
}
