package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"mysqlproxy/engine"
	"mysqlproxy/engine/admin"
)

// This file changes options while the proxy runs.
//
//	SIGHUP, RELOAD --> the command line and the file again --\
//	SET            --> one option beside those of now --------> check --> compare --> config --> engine.Apply
//
// A change is made as a whole or not at all. Options whose row of the table is not
// live are as they were at the start: where one has changed, nothing is applied.

// control is the program's options while it runs. Any goroutine may use it. It is
// the console's admin.Settings.
type control struct {
	args []string // of the command line
	dir  string   // that the defaults-file's name is relative to
	base string   // directory, as it was derived at the start

	log    *slog.Logger
	file   *logger
	engine *engine.Engine // nil if there is nothing to do for it

	mu     sync.Mutex // held by who changes something
	s      *settings
	text   []byte // of the defaults-file as it is in force
	config engine.Config
	kept   *kept
}

func newControl(w *worker) *control {
	return &control{args: os.Args[1:], dir: w.given.Dir, base: w.given.Basedir, log: w.log, file: w.file, s: w.s, text: w.given.File, kept: newKept()}
}

// runs is told that the engine runs, and with what.
func (c *control) runs(e *engine.Engine, config engine.Config, k *kept) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.engine, c.config, c.kept = e, config, k
}

// settings are the options of now. They do not change.
func (c *control) settings() *settings {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.s
}

// edited tells whether the defaults-file can be read and is another than the one that
// is in force.
func (c *control) edited() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.s.DefaultsFile == "" {
		return false
	}
	text, err := readDefaultsFile(within(c.dir, c.s.DefaultsFile))
	return err == nil && !bytes.Equal(text, c.text)
}

// errNotLive is why a change is refused.
var errNotLive = errors.New("it cannot be changed while the proxy runs; restart it for that, or take the change back")

// All is admin.Settings' part.
func (c *control) All() []admin.Setting {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.s.All()
}

// Set is admin.Settings' part.
func (c *control) Set(ctx context.Context, name, value string) ([]engine.Change, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := findOption(name)
	switch {
	case o == nil:
		return nil, fmt.Errorf("there is no option %s", unknownName(name))
	case o.group != mainGroup && !slices.Contains(c.s.Plugins, o.group):
		return nil, fmt.Errorf("--%s: %s", o.long, notLoaded(o.group, c.s.Plugins))
	case !o.live || o.cmdOnly:
		return nil, fmt.Errorf("--%s cannot be changed while the proxy runs", o.long)
	}
	s := c.s.clone()
	if list, ok := o.dst(s).(*[]string); ok {
		*list = nil
	}
	if _, err := o.setFromFile(s, value); err != nil {
		return nil, fmt.Errorf("--%s: %w", o.long, err)
	}
	s.fillLists()
	s.sources[o.long] = source{kind: fromSet}
	return c.change(ctx, s, c.text, false)
}

// unknownName is a name that no option has, with the one that may have been meant.
func unknownName(name string) string {
	near := nearestOption(strings.ReplaceAll(name, "_", "-"))
	if near == "" {
		return clip(name)
	}
	return clip(name) + "; did you mean " + near + "?"
}

// Reload is admin.Settings' part.
func (c *control) Reload(ctx context.Context) ([]engine.Change, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changes, err := c.reload(ctx)
	if err != nil {
		c.log.Error("the configuration was read again and not applied, nothing has changed: " + err.Error())
		if c.engine != nil {
			c.engine.AddEvent(engine.Event{Kind: engine.EventConfig, Reason: "not applied: " + err.Error()})
		}
	}
	return changes, err
}

func (c *control) reload(ctx context.Context) ([]engine.Change, error) {
	l, err := load(c.args, nil, c.dir)
	if err != nil {
		return nil, err
	}
	fail := func(err error) ([]engine.Change, error) { return nil, l.sources.locate(l.DefaultsFile, err) }
	if err := refusePlugins(l.settings); err != nil {
		return fail(err)
	}
	if err := l.resolvePaths(c.base); err != nil {
		return fail(err)
	}
	changes, err := c.change(ctx, l.settings, l.file, true)
	if err != nil {
		return fail(err)
	}
	for _, warning := range l.warnings {
		c.log.Warn(warning)
	}
	c.log.Log(ctx, engine.LevelMessage, fmt.Sprintf("the configuration was read again, %d changes", len(changes)))
	return changes, nil
}

// change has s be the options from now on. files says that the files that they name
// are read again, changed or not. The caller has c.mu.
func (c *control) change(ctx context.Context, s *settings, text []byte, files bool) ([]engine.Change, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	warnings, err := checkAddresses(s)
	if err != nil {
		return nil, err
	}
	if err := s.resolvePaths(c.base); err != nil {
		return nil, err
	}
	changes, err := c.compare(s)
	if err != nil {
		return nil, err
	}
	if len(changes) == 0 && !files {
		c.s = s
		return nil, nil
	}
	if err := checkSecurity(s); err != nil {
		return nil, err
	}
	kept := c.kept.clone()
	config, err := c.rebuild(s, kept, files)
	if err != nil {
		return nil, err
	}
	changes = append(changes, moved(c.kept, kept, config.Backends)...)
	min, _ := levelByName(s.LogLevel) // checked before
	before := c.file.min.Level()
	c.file.min.Set(min)
	if c.engine != nil {
		if err := c.engine.Apply(ctx, config); err != nil {
			c.file.min.Set(before)
			return nil, err
		}
	}
	c.s, c.text, c.config, c.kept = s, text, config, kept
	for _, w := range warnings {
		c.log.Warn(w)
	}
	c.tell(changes)
	return changes, nil
}

// tell has the log and the events know.
func (c *control) tell(changes []engine.Change) {
	for _, change := range changes {
		c.log.Log(context.Background(), engine.LevelMessage, "option changed: "+change.String())
		if c.engine != nil {
			c.engine.AddEvent(engine.Event{Kind: engine.EventConfig, From: change.From, To: change.To, Reason: change.Option})
		}
	}
}

// compare is what is other in s than it is now. An option that cannot be changed is
// an error.
func (c *control) compare(s *settings) (changes []engine.Change, err error) {
	for i := range options {
		o := &options[i]
		if o.cmdOnly || o.text(s) == o.text(c.s) {
			continue
		}
		if !o.live {
			return nil, fmt.Errorf("--%s: %s -> %s: %w", o.long, o.shown(c.s), o.shown(s), errNotLive)
		}
		changes = append(changes, engine.Change{Option: o.long, From: o.shown(c.s), To: o.shown(s)})
	}
	return changes, nil
}

// rebuild makes the engine's configuration of s. What has not changed of it is taken
// over, unless files are to be read again.
func (c *control) rebuild(s *settings, k *kept, files bool) (engine.Config, error) {
	config := plainConfig(s, c.log)
	old := &c.config
	config.Listen, config.Loops, config.Scripts, config.Admin = old.Listen, old.Loops, old.Scripts, old.Admin
	if !s.runsProxy() {
		return config, nil
	}
	if err := servers(&config, s, k, c.log); err != nil {
		return config, err
	}
	if files {
		return config, nil
	}
	same := func(prefix string) bool {
		return !slices.ContainsFunc(options, func(o option) bool { return strings.HasPrefix(o.long, prefix) && o.text(s) != o.text(c.s) })
	}
	if same("proxy-tls") { // tickets of clients stay good
		config.ClientTLSConfig = old.ClientTLSConfig
	}
	if same("backend-tls") {
		config.BackendTLSConfig = old.BackendTLSConfig
	}
	return config, nil
}

// moved are the servers whose names lead to other addresses than before.
func moved(before, now *kept, backends []engine.BackendConfig) (changes []engine.Change) {
	for _, b := range backends {
		for text, a := range now.addresses {
			if was, ok := before.addresses[text]; ok && was != a && a == b.Addr {
				option := "proxy-backend-addresses"
				if b.ReadOnly {
					option = "proxy-read-only-backend-addresses"
				}
				changes = append(changes, engine.Change{Option: option, From: fmt.Sprintf("%s (%v)", clean(text), was), To: fmt.Sprintf("%s (%v)", clean(text), a)})
			}
		}
	}
	return changes
}

// clone is a copy that can be changed.
func (s *settings) clone() *settings {
	c := *s
	c.sources = maps.Clone(s.sources)
	for i := range options {
		if list, ok := options[i].dst(&c).(*[]string); ok {
			*list = slices.Clone(*list)
		}
	}
	return &c
}

// within makes a file's name absolute.
func within(dir, name string) string {
	if dir == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}
