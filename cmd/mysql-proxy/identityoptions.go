package main

import (
	"errors"

	"mysqlproxy/engine"
)

// The options that say how the proxy comes to own what it needs to log in itself
// as a client's user: for read/write splitting, and for scripts that choose
// backends.

var identityOptions = []option{
	{long: "auth", live: true, kind: stringKind, arg: "HOW", def: "auto", group: "proxy",
		choices: []string{"auto", "relay", "users-file", "sync", "passthrough"},
		help:    "how the proxy comes by what it needs to open connections as a client's user: to read-only servers with splitting, to those that it chooses with a script; relay: clients that have TLS, or ask for a server's key, are asked for their password; users-file: it is in --users-file; sync: hashes of mysql_native_password are read from the server by --auth-sync-user; auto: what works, in the order users-file, relay, sync, but with a script only users-file and sync; passthrough: not at all. Only the server says who is let in, and nothing is kept longer than the session",
		dst:     func(s *settings) any { return &s.Auth }},
	{long: "users-file", live: true, kind: fileKind, arg: "FILE", group: "proxy",
		help: "lines USER:PASSWORD, or USER:*HASH with 40 hexadecimal digits as servers store them for mysql_native_password; nobody but its owner and group may have access to it; read again when it changes",
		dst:  func(s *settings) any { return &s.UsersFile }},
	{long: "auth-sync-user", live: true, kind: stringKind, arg: "USER", group: "proxy",
		help: "user that may SELECT from mysql.user on the read/write servers, and reads there the hashes of mysql_native_password",
		dst:  func(s *settings) any { return &s.AuthSyncUser }},
	{long: "auth-sync-password-file", live: true, kind: fileKind, arg: "FILE", group: "proxy",
		help: "its first line is the password of auth-sync-user; nobody but its owner and group may have access to it",
		dst:  func(s *settings) any { return &s.AuthSyncPasswordFile }},
}

// authModes are the choices of --auth.
var authModes = map[string]engine.AuthMode{
	"auto": engine.AuthAuto, "relay": engine.AuthRelay, "users-file": engine.AuthUsersFile, "sync": engine.AuthSync, "passthrough": engine.AuthPassthrough,
}

// checkIdentity refuses options that do not go together.
func (s *settings) checkIdentity() error {
	auto := s.Auth == "auto"
	switch {
	case !auto && s.Auth != "passthrough" && !s.splits() && s.ProxyLuaScript == "":
		return errors.New("--auth=" + s.Auth + " is of use only where reads are split, or a script is there; give --proxy-read-only-backend-addresses or --proxy-lua-script, or leave it out")
	case s.Auth == "users-file" && s.UsersFile == "":
		return errors.New("--auth=users-file needs --users-file")
	case s.UsersFile != "" && !auto && s.Auth != "users-file":
		return errors.New("--users-file has no use with --auth=" + s.Auth + "; give --auth=auto or users-file, or leave it out")
	case (s.AuthSyncUser == "") != (s.AuthSyncPasswordFile == ""):
		return errors.New("--auth-sync-user and --auth-sync-password-file go together; give both or none")
	case s.Auth == "sync" && s.AuthSyncUser == "":
		return errors.New("--auth=sync needs --auth-sync-user and --auth-sync-password-file")
	case s.AuthSyncUser != "" && !auto && s.Auth != "sync":
		return errors.New("--auth-sync-user has no use with --auth=" + s.Auth + "; give --auth=auto or sync, or leave it out")
	}
	return nil
}
