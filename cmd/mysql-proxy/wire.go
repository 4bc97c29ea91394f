package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"mysqlproxy/engine"
	"mysqlproxy/engine/admin"
	"mysqlproxy/engine/reactor"
)

// checkAddresses finds mistyped addresses while somebody is looking, without
// asking the name service. The warnings are one line each.
func checkAddresses(s *settings) (warnings []string, err error) {
	type list struct {
		option    string
		addresses []string
		listen    bool
	}
	lists := []list{
		{"proxy-address", s.ProxyAddresses, true},
		{"proxy-backend-addresses", s.Backends, false},
		{"proxy-read-only-backend-addresses", s.ReadOnlyBackends, false},
	}
	if slices.Contains(s.Plugins, "admin") {
		lists = append(lists, list{"admin-address", []string{s.AdminAddress}, true})
	}
	for _, list := range lists {
		for _, text := range list.addresses {
			e, err := reactor.SplitAddr(text)
			switch {
			case err != nil:
				return nil, fmt.Errorf("--%s: %w", list.option, err)
			case list.listen && e.Path == "" && !e.PortGiven:
				o := findOption(list.option)
				warnings = append(warnings, fmt.Sprintf("--%s=%s has no port: it listens on %d, not on %s", list.option, clean(text), reactor.DefaultPort, o.def[strings.LastIndexByte(o.def, ':')+1:]))
			case !list.listen && e.Path == "" && e.Port == 0:
				return nil, fmt.Errorf("--%s: address %q: port 0 is for listening only", list.option, text)
			}
		}
	}
	return warnings, nil
}

// engineConfig resolves the addresses, which may ask the name service, and
// makes the engine's configuration of the settings.
func engineConfig(s *settings, log *slog.Logger, shutdown func()) (engine.Config, error) {
	c, _, err := firstConfig(s, nil, log, shutdown)
	return c, err
}

// plainConfig is the part of the configuration that is only settings.
func plainConfig(s *settings, log *slog.Logger) engine.Config {
	return engine.Config{
		Loops:           s.EventThreads,
		ConnectTimeout:  s.ConnectTimeout,
		LoginTimeout:    s.LoginTimeout,
		ReadTimeout:     s.ReadTimeout,
		WriteTimeout:    s.WriteTimeout,
		ShutdownTimeout: s.ShutdownTimeout,
		Version:         version,
		Log:             log,

		PoolNoChangeUser: !s.ChangeUser,
		Split:            s.splits(),
		Consistency:      consistencies[s.Consistency],
		Multiplex:        s.Multiplex == "on",
		MultiplexDelay:   s.MultiplexDelay,
		Digests:          digestModes[s.Digests],
		Pool:             s.Pool,
		Failover:         failovers[s.Failover],
		FailoverWait:     s.FailoverWait,
	}
}

// firstConfig is engineConfig, and what a later configuration takes over from it.
// shown is what the console gets.
func firstConfig(s *settings, shown admin.Settings, log *slog.Logger, shutdown func()) (engine.Config, *kept, error) {
	c, k := plainConfig(s, log), newKept()
	if c.Loops == 0 {
		c.Loops = min(runtime.GOMAXPROCS(0), maxEventThreads)
	}
	w := scripting{s: s, shown: shown, log: log, loops: c.Loops, shutdown: shutdown}
	if s.ProxyLuaScript != "" {
		c.Scripts = w.proxy
	}
	if slices.Contains(s.Plugins, "admin") {
		a, err := reactor.ParseAddr(s.AdminAddress)
		if err != nil {
			return c, nil, fmt.Errorf("--admin-address: %w", err)
		}
		w.address = a
		c.Admin = w.admin
	}
	if !s.runsProxy() {
		return c, k, nil
	}
	for _, text := range s.ProxyAddresses {
		a, err := reactor.ParseAddr(text)
		if err != nil {
			return c, nil, fmt.Errorf("--proxy-address: %w", err)
		}
		if again := a.IP.Port() != 0 || a.Path != ""; again && slices.Contains(c.Listen, a) {
			return c, nil, fmt.Errorf("--proxy-address=%s: %v is already there; remove one", clean(text), a)
		} else if again && c.Admin != nil && a == w.address {
			return c, nil, fmt.Errorf("--proxy-address=%s and --admin-address=%s are the same; change one", clean(text), clean(s.AdminAddress))
		}
		c.Listen = append(c.Listen, a)
	}
	return c, k, servers(&c, s, k, log)
}

// servers fills in what c has of backends and of how the proxy deals with them and
// with clients. k is taken over from the configuration before, and brought up to
// date.
func servers(c *engine.Config, s *settings, k *kept, log *slog.Logger) error {
	weights, err := s.weights()
	if err != nil {
		return err
	}
	if c.Health, err = s.health(); err != nil {
		return err
	}
	seen := map[reactor.Addr]string{} // how the address was given
	add := func(option string, addresses []string, readOnly bool) error {
		for _, text := range addresses {
			a, err := k.resolve(text)
			if err != nil {
				return fmt.Errorf("--%s: %w", option, err)
			}
			if before, ok := seen[a]; ok {
				return fmt.Errorf("--%s=%s: the server %v is already there as %s; remove one", option, clean(text), a, clean(before))
			}
			seen[a] = text
			b := engine.BackendConfig{Addr: a, ReadOnly: readOnly, Weight: weights[text]}
			if e, err := reactor.SplitAddr(text); err == nil {
				b.Host = e.Host
			}
			c.Backends = append(c.Backends, b)
		}
		return nil
	}
	if err := add("proxy-backend-addresses", s.Backends, false); err != nil {
		return err
	}
	if err := add("proxy-read-only-backend-addresses", s.ReadOnlyBackends, true); err != nil {
		return err
	}
	if err := security(c, s, k, log); err != nil {
		return err
	}
	return identities(c, s, k, log)
}

// runsProxy tells whether there is an address for clients at all.
func (s *settings) runsProxy() bool { return slices.Contains(s.Plugins, "proxy") && s.Proxy }

// announce logs what the proxy is going to do, in the words that operators
// look for: addresses as they were given, and resolved where that differs.
// bound are the addresses that the engine listens on.
func announce(s *settings, c engine.Config, bound []reactor.Addr, log *slog.Logger) {
	say := func(what, given string, a reactor.Addr) {
		if text := a.String(); text != given && text != "0.0.0.0"+given {
			given += " (" + text + ")"
		}
		log.Log(context.Background(), engine.LevelMessage, what+given)
	}
	if c.Admin != nil {
		say("admin-server listening on port ", s.AdminAddress, bound[len(bound)-1])
	}
	if len(c.Listen) == 0 {
		return
	}
	for i, text := range s.ProxyAddresses {
		say("proxy listening on port ", text, bound[i])
	}
	given := append(append([]string{}, s.Backends...), s.ReadOnlyBackends...)
	for i, b := range c.Backends {
		what := "added read/write backend: "
		if b.ReadOnly {
			what = "added read-only backend: "
		}
		say(what, given[i], b.Addr)
	}
}

// bindHint says what to do when the engine cannot listen.
func bindHint(s *settings, err error) string {
	option := "--proxy-address"
	switch {
	case !s.runsProxy():
		option = "--admin-address"
	case slices.Contains(s.Plugins, "admin"):
		option += " or --admin-address"
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "; another program, maybe an older mysql-proxy, listens there: stop it or change " + option
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "; use a port from 1024 up (or a folder that is yours), or start as root with --user"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "; no network interface of this machine has that address: change " + option
	case errors.Is(err, syscall.EMFILE):
		return "; raise --max-open-files"
	}
	return ""
}
