package engine

import (
	"log/slog"
	"time"

	"mysqlproxy/engine/hook"
	"mysqlproxy/engine/reactor"
)

// LevelMessage is MySQL Proxy's log level "message", which slog has no name
// for. The others are slog.LevelDebug (debug), LevelInfo (info), LevelWarn
// (warning) and LevelError (critical).
const LevelMessage = slog.LevelInfo + 2

// Config is what an Engine runs with. It is complete: a zero duration is a
// time-out of zero, not a default (the defaults are the options' own).
type Config struct {
	Listen   []reactor.Addr  // where clients connect; port 0 takes any free one
	Backends []BackendConfig // read/write ones first, then read-only ones

	// Loops is the number of event loops (--event-threads). At least 1.
	Loops int

	ConnectTimeout  time.Duration // a connect to a backend: then it is DOWN and the next is tried
	LoginTimeout    time.Duration // from accept to the end of the login
	ReadTimeout     time.Duration // a client that is idle, or a response that does not come
	WriteTimeout    time.Duration // a peer that takes nothing of what waits for it
	ShutdownTimeout time.Duration // running commands and transactions at Shutdown

	// Scripts makes the script engine, if there is a script.
	Scripts func(hook.Global) (hook.Scripts, error)
	// PoolNoChangeUser compares a client's login with that of the pooled
	// session it was given, in place of a COM_CHANGE_USER
	// (--proxy-pool-no-change-user).
	PoolNoChangeUser bool

	// Admin is the admin plugin, nil without it.
	Admin func(hook.Global) (*AdminConfig, error)

	Log *slog.Logger
}

// BackendConfig is one configured server.
type BackendConfig struct {
	Addr     reactor.Addr
	ReadOnly bool // from --proxy-read-only-backend-addresses
}
