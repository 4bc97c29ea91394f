package engine

import (
	"context"
	"log/slog"

	"mysqlproxy/packet"
)

// This file is what an engine runs with at the moment. All of it can be replaced
// while sessions go on: loops load the pointer where they need something of it,
// which is never for a command that passes.

// running is a Config and what follows from it. It does not change; another takes
// its place.
type running struct {
	Config
	masked   packet.Capability // what clients are not shown of a backend's capabilities
	added    packet.Capability // what they are shown besides: the proxy's own
	explains bool              // the log tells where each command goes
}

// newRunning is what follows from cfg.
func newRunning(cfg Config) *running {
	r := &running{Config: cfg, masked: maskedCapabilities}
	if cfg.Scripts != nil {
		r.masked |= classicOnly
	}
	if cfg.Split {
		// What a client remembers of a statement's columns must hold for the one
		// server and the other.
		r.masked |= packet.CapMariaDBCacheMetadata
		r.explains = cfg.Log.Enabled(context.Background(), slog.LevelDebug)
	}
	r.added = cfg.ClientCompression & (packet.CapCompress | packet.CapZstd)
	if cfg.ClientTLS != TLSOff {
		r.added |= packet.CapSSL
	}
	return r
}

// cfg is what the engine runs with now. Who looks at more than one setting that
// have to fit together keeps what it returned. Any goroutine may call it.
func (e *Engine) cfg() *running { return e.now.Load() }
