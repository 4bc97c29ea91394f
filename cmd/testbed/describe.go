package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Description is what `testbed run --json` prints as one line once every
// server takes connections and every replica follows the primary. Fields may
// be added; none changes its meaning.
type Description struct {
	Dir      string        `json:"dir"`      // holds all files; deleted at the end
	PID      int           `json:"pid"`      // of the testbed program itself
	Flavour  string        `json:"flavour"`  // as --flavour names it
	Version  string        `json:"version"`  // of the servers, as SELECT VERSION() says it
	Database string        `json:"database"` // holds the tables of data.sql
	Primary  ServerState   `json:"primary"`
	Replicas []ServerState `json:"replicas"`
	Users    Users         `json:"users"`
	TLS      *TLSFiles     `json:"tls,omitempty"` // nil with --no-tls
}

// ServerState is one server as it is now. Name, addresses, sockets and folders
// stay the same for as long as the testbed lives, the pid changes at a start.
type ServerState struct {
	Name     string `json:"name"` // primary, replica1, replica2, ...
	Host     string `json:"host"` // always 127.0.0.1
	Port     int    `json:"port"` // below 32768
	Addr     string `json:"addr"` // Host:Port
	Socket   string `json:"socket"`
	ServerID int    `json:"server_id"` // 1 for the primary, 2... for replicas
	PID      int    `json:"pid"`       // 0 while the server does not run
	DataDir  string `json:"data_dir"`
	Log      string `json:"log"` // the server's error log

	// RSAPublicKey is the file with which a client without TLS may encrypt its
	// password for caching_sha2_password (MySQL).
	RSAPublicKey string `json:"rsa_public_key,omitempty"`
}

// Reply is the line that answers one control command.
type Reply struct {
	Command string       `json:"command"` // as it was read
	OK      bool         `json:"ok"`
	Error   string       `json:"error,omitempty"`  // why not OK
	Server  *ServerState `json:"server,omitempty"` // after the command
}

// jsonLine is v as one line of JSON with its line feed.
func jsonLine(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only our own plain structs come here
	}
	return append(b, '\n')
}

// String is the description for people.
func (d Description) String() string {
	var s strings.Builder
	for _, srv := range append([]ServerState{d.Primary}, d.Replicas...) {
		fmt.Fprintf(&s, "%-9s server_id %d  %s  socket %s\n", srv.Name, srv.ServerID, srv.Addr, srv.Socket)
	}
	fmt.Fprintf(&s, "user %s, password %s, database %s\n", d.Users.App.Name, d.Users.App.Password, d.Database)
	return s.String()
}
