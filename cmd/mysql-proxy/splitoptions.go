package main

import (
	"fmt"

	"mysqlproxy/engine"
)

// The options of read/write splitting without a script.

var splitOptions = []option{
	{long: "splitting", live: true, kind: stringKind, arg: "HOW", def: "auto", group: "proxy",
		choices: []string{"auto", "off"},
		help:    "auto: with read-only backends and no script, reads that are as good there go to them, everything else to a read/write backend; off: read-only backends are only for scripts, as they always were",
		dst:     func(s *settings) any { return &s.Splitting }},
	{long: "consistency", live: true, kind: stringKind, arg: "WHAT", def: "session", group: "proxy",
		choices: []string{"session", "primary-writes", "strong-global"},
		help:    "what a read at a read-only backend sees; session: at least what its own session has written; primary-writes: what is there, be it older than that; strong-global: at least what anybody had written when it began, for which the primary is asked before each read",
		dst:     func(s *settings) any { return &s.Consistency }},
	{long: "failover", live: true, kind: stringKind, arg: "HOW", def: "balanced", group: "proxy",
		choices: []string{"balanced", "ordered"},
		help:    "with several read/write backends and no script; balanced: a new session goes to the one with the fewest clients; ordered: all sessions and writes go to the first one that is up, in the order in which they are given, and back to it when it is up again. Idle sessions without state that only their server has move; the others go on where they are until their transaction or that state ends. With roles=auto servers say themselves which one takes writes",
		dst:     func(s *settings) any { return &s.Failover }},
	{long: "failover-wait", live: true, kind: secondsKind, arg: "SECONDS", def: "10", group: "proxy",
		help: "without a script: how long new sessions, and statements of sessions whose server has died, wait for a read/write backend while there is none, before they get an error; 0: not at all",
		dst:  func(s *settings) any { return &s.FailoverWait }},
	{long: "multiplex", live: true, kind: stringKind, arg: "HOW", def: "off", group: "proxy",
		choices: []string{"off", "on"},
		help:    "on: a session that is idle, and of which the servers keep nothing that could not be had again, gives its connections to other sessions of its user; for many idle clients",
		dst:     func(s *settings) any { return &s.Multiplex }},
	{long: "multiplex-delay", live: true, kind: secondsKind, arg: "SECONDS", def: "1", group: "proxy",
		help: "how long a session is idle before it does",
		dst:  func(s *settings) any { return &s.MultiplexDelay }},
	{long: "pool-max-sessions", live: true, kind: intKind, arg: "N", def: "0", defText: "0, any number", group: "proxy",
		help: "how many connections the proxy has to a server at most, for clients and idle, health probes apart; a client beyond that waits. Connections of scripts count and do not wait",
		dst:  func(s *settings) any { return &s.Pool.MaxSessions }},
	{long: "pool-wait", live: true, kind: secondsKind, arg: "SECONDS", def: "10", group: "proxy",
		help: "how long it does, before it gets error 1040: at its login, or, with --multiplex=on, for its command",
		dst:  func(s *settings) any { return &s.Pool.Wait }},
	{long: "pool-max-idle", live: true, kind: intKind, arg: "N", def: "100", group: "proxy",
		help: "with --multiplex=on, how many idle connections of a user to a server are kept; 0 for any number. Each event loop has its share of them",
		dst:  func(s *settings) any { return &s.Pool.MaxIdle }},
	{long: "pool-min-idle", live: true, kind: intKind, arg: "N", def: "0", group: "proxy",
		help: "how many of them are kept however long they are idle; none is opened ahead, for that takes a client's password",
		dst:  func(s *settings) any { return &s.Pool.MinIdle }},
	{long: "pool-idle-time", live: true, kind: secondsKind, arg: "SECONDS", def: "60", group: "proxy",
		help: "how long the others are kept; 0 for any time",
		dst:  func(s *settings) any { return &s.Pool.IdleTime }},
	{long: "pool-max-age", live: true, kind: secondsKind, arg: "SECONDS", def: "3600", group: "proxy",
		help: "how long after its login an idle connection is not used again; 0 for any time",
		dst:  func(s *settings) any { return &s.Pool.MaxAge }},
}

// checkPool refuses options that do not go together.
func (s *settings) checkPool() error {
	if p := &s.Pool; p.MaxIdle > 0 && p.MinIdle > p.MaxIdle {
		return fmt.Errorf("--pool-min-idle=%d is more than --pool-max-idle=%d", p.MinIdle, p.MaxIdle)
	}
	return nil
}

// failovers are the choices of --failover.
var failovers = map[string]engine.Failover{"balanced": engine.FailoverBalanced, "ordered": engine.FailoverOrdered}

// splits tells whether sessions without a script read from read-only backends, or
// may at least go on at another read/write one, which takes the same.
func (s *settings) splits() bool {
	several := len(s.ReadOnlyBackends) > 0 || (s.Roles == "auto" || s.Failover == "ordered") && len(s.Backends) > 1
	return s.Splitting != "off" && s.ProxyLuaScript == "" && several
}

// consistencies are the choices of --consistency.
var consistencies = map[string]engine.Consistency{"session": engine.ConsistencySession, "primary-writes": engine.ConsistencyNone, "strong-global": engine.ConsistencyGlobal}
