package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// mysql9 is the dialect of MySQL since 8.4: no word of masters and slaves.
var mysql9 = dialect{
	fileArgs:   mysqlFileArgs,
	serverArgs: mysqlServerArgs,
	users:      mysqlUsers,
	makeData:   makeMySQL,
	tlsArgs: func(c TLSFiles) []string {
		return []string{"--ssl-ca=" + c.CA, "--ssl-cert=" + c.Cert, "--ssl-key=" + c.Key}
	},
	without: "--tls-version=",
	follow: func(port int, u User) []string {
		return []string{
			fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=%d, SOURCE_USER='%s', SOURCE_PASSWORD='%s',"+
				" SOURCE_AUTO_POSITION=1, SOURCE_CONNECT_RETRY=1, SOURCE_RETRY_COUNT=100000, GET_SOURCE_PUBLIC_KEY=1", port, u.Name, u.Password),
			"START REPLICA",
		}
	},
	client: "mysql", clientArgs: []string{"--get-server-public-key"},
	ioRunning: "Replica_IO_Running", sqlRunning: "Replica_SQL_Running",
}

func mysqlFileArgs(b *testbed) []string {
	args := []string{
		"--no-defaults", // must be first
		// As for MariaDB, nothing waits for the disk.
		"--innodb-flush-method=nosync",
		"--innodb-flush-log-at-trx-commit=2",
		"--innodb-doublewrite=OFF",
		"--innodb-use-native-aio=OFF", // the kernel's supply is small and shared
		"--performance-schema=OFF",
		"--skip-name-resolve",
		"--innodb-buffer-pool-size=64M",
		"--innodb-redo-log-capacity=32M",
		"--innodb-log-buffer-size=4M",
		"--innodb-buffer-pool-dump-at-shutdown=OFF",
		"--innodb-buffer-pool-load-at-startup=OFF",
		"--key-buffer-size=1M",
		"--table-open-cache=400",
		"--mysqlx=OFF",
		"--auto-generate-certs=OFF",                         // the testbed gives it certificates,
		"--caching-sha2-password-auto-generate-rsa-keys=ON", // but the key pair is the server's
	}
	if b.install.root != "" {
		args = append(args,
			"--basedir="+filepath.Join(b.install.root, "usr"),
			"--lc-messages-dir="+b.install.share("mysql"),
			"--character-sets-dir="+b.install.share("mysql/charsets"))
	}
	if os.Geteuid() == 0 {
		args = append(args, "--user=root")
	}
	if b.install.pluginDir != "" {
		args = append(args, "--plugin-dir="+b.install.pluginDir)
	}
	return args
}

func mysqlServerArgs(s *server) []string {
	args := []string{
		"--log-bin=binlog",
		"--relay-log=relaylog",
		"--relay-log-recovery=ON", // after `kill`
		"--gtid-mode=ON",
		"--enforce-gtid-consistency=ON",
		"--log-bin-trust-function-creators=ON", // App has no SUPER, which triggers would need
		"--replica-net-timeout=10",
		"--sync-binlog=0",
		"--back-log=4096",
		"--log-error-verbosity=2",
	}
	if s.id != primaryID {
		args = append(args, "--read-only")
	}
	return args
}

func mysqlUsers(*testbed) Users {
	const sha2 = "caching_sha2_password"
	return Users{
		App:         User{"app", "app-password", sha2},
		Empty:       User{"empty", "", sha2},
		Replication: User{"replication", "replication-password", sha2},
		Root:        User{"root", "", sha2},
		SHA2:        User{"sha2", "sha2-password", sha2},
		SHA256:      User{"sha256", "sha256-password", "sha256_password"},
		TLS:         User{"tls", "tls-password", sha2},
		Locked:      User{"locked", "locked-password", sha2},
		Expired:     User{"expired", "expired-password", sha2},
	}
}

// makeMySQL makes a data folder: system tables by the server's own means, the
// rest by a server that is on no network and writes no binary log.
func makeMySQL(b *testbed, dir string) error {
	log := filepath.Join(b.dir, "prepare.log")
	out, err := os.Create(log)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := b.serverCommand(append(b.fileArgs(b), "--initialize-insecure", "--datadir="+dir, "--skip-log-bin")...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = b.dir, out, out
	if err := b.spawn.run(cmd); err != nil {
		return fmt.Errorf("--initialize-insecure: %w; the end of its output:\n%s", err, tail(log))
	}
	s := &server{bed: b, name: "prepare", dir: filepath.Join(b.dir, "p"), preparing: dir}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return err
	}
	if err := s.start(); err != nil {
		return err
	}
	statements := strings.Split(mysqlUsersSQL(b.users)+schema(b.flavour), ";\n")
	err = s.exec(statements[:len(statements)-1]...)
	if err != nil {
		return err
	}
	if err := s.end(syscall.SIGTERM); err != nil {
		return err
	}
	// With it, all copies would be the same server to replication.
	if err := os.Remove(filepath.Join(dir, "auto.cnf")); err != nil {
		return err
	}
	return os.RemoveAll(s.dir)
}

func mysqlUsersSQL(u Users) string {
	var s strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&s, format+";\n", args...) }
	line("CREATE DATABASE %s CHARACTER SET utf8mb4", databaseName)
	for _, a := range u.accounts() {
		line("CREATE USER '%s'@'%%' IDENTIFIED WITH %s BY '%s' %s", a.user.Name, a.user.Plugin, a.user.Password, a.clause)
		if a.all {
			line("GRANT ALL ON *.* TO '%s'@'%%' WITH GRANT OPTION", a.user.Name)
			// Each of them lets write to a server that is read_only.
			line("REVOKE SUPER, CONNECTION_ADMIN ON *.* FROM '%s'@'%%'", a.user.Name)
		} else {
			line("GRANT ALL ON %s.* TO '%s'@'%%'", databaseName, a.user.Name)
		}
	}
	line("GRANT REPLICATION SLAVE ON *.* TO '%s'@'%%'", u.Replication.Name)
	line("USE %s", databaseName)
	return s.String()
}

// schema is dataSQL as a flavour understands it. MySQL has no storage engine of
// sequences: views of the same names take its place.
func schema(f *flavour) string {
	if f.program != "mysqld" {
		return dataSQL
	}
	var s strings.Builder
	s.WriteString("SET SESSION cte_max_recursion_depth = 100000;\nCREATE DATABASE sequences;\n")
	s.WriteString("CREATE TABLE sequences.numbers (seq BIGINT UNSIGNED NOT NULL PRIMARY KEY);\n")
	s.WriteString("INSERT INTO sequences.numbers WITH RECURSIVE n AS (SELECT 1 AS seq UNION ALL SELECT seq + 1 FROM n WHERE seq < 20000) SELECT seq FROM n;\n")
	for _, r := range [][2]int{{1, 1}, {1, 2}, {1, 3}, {1, 5}, {1, 9}, {1, 10}, {1, 20}, {1, 50}, {1, 100}, {1, 300},
		{1, 1000}, {1, 1500}, {1, 2000}, {1, 3000}, {1, 5000}, {1, 20000}, {4, 203}} {
		fmt.Fprintf(&s, "CREATE VIEW seq_%d_to_%d AS SELECT seq FROM sequences.numbers WHERE seq BETWEEN %d AND %d;\n", r[0], r[1], r[0], r[1])
	}
	s.WriteString(strings.NewReplacer("t_inet6 INET6", "t_inet6 VARCHAR(45)", "t_uuid UUID", "t_uuid CHAR(36)",
		"838:59:59.999999", "838:59:59.000000", // the largest TIME(6)
	).Replace(dataSQL))
	return s.String()
}
