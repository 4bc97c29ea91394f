package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// flavour is a make and version of server that a testbed can consist of.
type flavour struct {
	name string

	// fetched says that fetch.sh puts the server into the user's cache; else
	// it is the one that is installed.
	fetched bool

	program string // the server's file name
	dialect
}

// dialect is in what servers differ that are started for the same purpose.
type dialect struct {
	// fileArgs are the options that shape files, memory and plugins: those that
	// a data folder is made with and used with.
	fileArgs func(b *testbed) []string

	// serverArgs are further options of a server that is to be talked to.
	serverArgs func(s *server) []string

	// makeData makes a data folder with system tables, accounts and dataSQL,
	// none of it in a binary log.
	makeData func(b *testbed, dir string) error

	// users are the accounts that makeData makes.
	users func(b *testbed) Users

	// tlsArgs turn TLS on; without is what turns it off.
	tlsArgs func(c TLSFiles) []string
	without string

	// follow makes a server a replica of the one at a port of this machine.
	follow func(port int, u User) []string

	// client is the command line client, with what one of a fetched flavour needs
	// to log in where there is no TLS.
	client     string
	clientArgs []string

	// The columns of SHOW REPLICA STATUS that say whether a replica replicates.
	ioRunning, sqlRunning string
}

// flavours are all there are, the default one first.
var flavours = []flavour{
	{name: "mariadb10.11", program: "mariadbd", dialect: mariadb(installMariaDB)},
	{name: "mariadb11.8", program: "mariadbd", fetched: true, dialect: mariadb(bootstrapMariaDB)},
	{name: "mysql9", program: "mysqld", fetched: true, dialect: mysql9},
}

// layout is part of a fetched flavour's folder's name: it changes when a folder
// that an older fetch.sh made will not do any more. fetch.sh has the same number.
const layout = 1

// flavourNames are the names for a message.
func flavourNames() string {
	var names []string
	for _, f := range flavours {
		names = append(names, f.name)
	}
	return strings.Join(names, ", ")
}

func findFlavour(name string) (*flavour, error) {
	for i := range flavours {
		if flavours[i].name == name {
			return &flavours[i], nil
		}
	}
	return nil, fmt.Errorf("unknown flavour %q: there are %s", name, flavourNames())
}

// installation is where a flavour's files are.
type installation struct {
	// argv starts the server program; options follow. A fetched server is started
	// by the dynamic loader that came with it.
	argv []string

	root      string // the folder of a fetched flavour; empty: the system's own
	pluginDir string // empty: the server's default
}

// share is a file below a fetched flavour's usr/share.
func (in installation) share(name string) string { return filepath.Join(in.root, "usr/share", name) }

// find looks for the flavour's files, or for those that set names.
func (f *flavour) find(set settings) (installation, error) {
	if !f.fetched || set.server != "" {
		path, err := findProgram(set.server, f.program)
		return installation{argv: []string{path}, pluginDir: findPluginDir(set.pluginDir)}, err
	}
	cache, err := cacheDir()
	if err != nil {
		return installation{}, err
	}
	root := filepath.Join(cache, fmt.Sprintf("%s-%d", f.name, layout))
	if !exists(filepath.Join(root, "version")) {
		return installation{}, fmt.Errorf("%s is not there: run `cmd/testbed/fetch.sh %s`, or `make deps`", f.name, f.name)
	}
	loader, err := firstMatch(root, "usr/lib*/ld-linux-*.so.*", "usr/lib/*/ld-linux-*.so.*")
	if err != nil {
		return installation{}, err
	}
	libc, err := firstMatch(root, "usr/lib/*/libc.so.6")
	if err != nil {
		return installation{}, err
	}
	in := installation{
		argv:      []string{loader, "--library-path", filepath.Dir(libc), filepath.Join(root, "usr/sbin", f.program)},
		root:      root,
		pluginDir: filepath.Join(root, "usr/lib/mysql/plugin"),
	}
	if set.pluginDir != "" {
		in.pluginDir = set.pluginDir
	}
	return in, nil
}

// firstMatch is the first file below root that one of the patterns names.
func firstMatch(root string, patterns ...string) (string, error) {
	for _, p := range patterns {
		found, err := filepath.Glob(filepath.Join(root, p))
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			return found[0], nil
		}
	}
	return "", fmt.Errorf("%s has no %s: delete it and run `make deps`", root, patterns[0])
}

// cacheDir is the folder that all clones of the project share: fetched servers
// and prepared data folders.
func cacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", errors.Join(errors.New("there is no place for a cache"), err)
	}
	return filepath.Join(dir, "mysql-proxy-testbed"), nil
}
