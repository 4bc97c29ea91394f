package engine

import (
	"fmt"
	"testing"
	"time"

	. "mysqlproxy/engine/enginetest"
)

// left waits until no client is counted at backend i.
func left(w *world, i int) Step {
	return Do("wait until nobody is there", func(*Conn) error {
		eventually(w, fmt.Sprint("nobody at backend ", i), func() error {
			if n := w.engine().Backends()[i].Clients(); n != 0 {
				return fmt.Errorf("%d clients are", n)
			}
			return nil
		})
		return nil
	})
}

// A primary that dies while a read runs at a replica is not missed by it, also in a
// session that could rest afterwards.
func TestHomeDiesBesideARead(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Config)
	}{{"one that stays", func(*Config) {}}, {"one that multiplexes", func(c *Config) { c.Multiplex, c.MultiplexDelay = true, time.Hour }}} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			runs := make(chan struct{})
			cfg := w.config(w.server(
				append(atHomeBegins(), Do("wait for the read", func(*Conn) error { <-runs; return nil }), Reset()),
				steps(lets(), ExpectPacket(0, trackMySQL), SendPacket(1, OK(0)), gets("COMMIT", SendPacket(1, OK(0))), Drain()),
			), w.server(steps(lets(), gets("SELECT a FROM t", Do("have the primary die", func(*Conn) error { close(runs); return nil }), left(w, 0), one("r")), Drain())))
			cfg.Backends[1].ReadOnly = true
			asEverybody(&cfg)
			tc.change(&cfg)
			w.start(cfg)
			w.clientNow("client", Enter(ModernCaps), asks("SELECT a FROM t", sees("r")), asks("COMMIT", ExpectPacket(1, OK(0))))
		})
	}
}
