package main

import "mysqlproxy/engine"

// The options of read/write splitting without a script.

var splitOptions = []option{
	{long: "splitting", kind: stringKind, arg: "HOW", def: "auto", group: "proxy",
		choices: []string{"auto", "off"},
		help:    "auto: with read-only backends and no script, reads that are as good there go to them, everything else to a read/write backend; off: read-only backends are only for scripts, as they always were",
		dst:     func(s *settings) any { return &s.Splitting }},
	{long: "consistency", kind: stringKind, arg: "WHAT", def: "session", group: "proxy",
		choices: []string{"session", "primary-writes"},
		help:    "what a read at a read-only backend sees; session: at least what its own session has written; primary-writes: what is there, be it older than that",
		dst:     func(s *settings) any { return &s.Consistency }},
	{long: "multiplex", kind: stringKind, arg: "HOW", def: "off", group: "proxy",
		choices: []string{"off", "on"},
		help:    "on: a session that is idle, and of which the servers keep nothing that could not be had again, gives its connections to other sessions of its user; for many idle clients",
		dst:     func(s *settings) any { return &s.Multiplex }},
	{long: "multiplex-delay", kind: secondsKind, arg: "SECONDS", def: "1", group: "proxy",
		help: "how long a session is idle before it does",
		dst:  func(s *settings) any { return &s.MultiplexDelay }},
}

// splits tells whether sessions without a script read from read-only backends.
func (s *settings) splits() bool {
	several := len(s.ReadOnlyBackends) > 0 || s.Roles == "auto" && len(s.Backends) > 1
	return s.Splitting != "off" && s.ProxyLuaScript == "" && several
}

// consistencies are the choices of --consistency.
var consistencies = map[string]engine.Consistency{"session": engine.ConsistencySession, "primary-writes": engine.ConsistencyNone}
