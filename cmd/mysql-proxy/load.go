package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// loaded is the outcome of command line and defaults-file together.
type loaded struct {
	*settings
	help     string   // topic of --help, or empty
	file     []byte   // text of the defaults-file, nil without one
	warnings []string // one line each
}

// load reads the command line and the file that it names. file, if not nil,
// is that file's text as an earlier stage of this process read it. dir is what the
// file's name is relative to; empty: the current directory.
func load(args []string, file []byte, dir string) (*loaded, error) {
	s := defaultSettings()
	line, err := parseArgs(args, s)
	l := &loaded{settings: s, help: line.help, file: file}
	if err != nil {
		return l, err
	}
	l.warnings = line.warnings
	for name := range line.given {
		s.sources[name] = source{kind: fromLine}
	}
	if s.DefaultsFile != "" {
		err := l.applyFile(line, dir)
		if err != nil {
			return l, fmt.Errorf("loading config from '%s' failed: %w", clean(s.DefaultsFile), err)
		}
	}
	s.fillLists()
	for _, o := range options {
		if line.given[o.long] && o.group != mainGroup && !slices.Contains(s.Plugins, o.group) {
			l.warnings = append(l.warnings, fmt.Sprintf("--%s is ignored: %s", o.long, notLoaded(o.group, s.Plugins)))
		}
	}
	if leftOut[l.help] != "" {
		return l, withoutPlugin(l.help)
	}
	if l.help != "" && l.help != "all" && l.help != mainGroup && !slices.Contains(s.Plugins, l.help) {
		return l, fmt.Errorf("unknown option: --help-%s: the plugin %s is not loaded (use --help to show all options)", l.help, l.help)
	}
	return l, nil
}

// notLoaded says that a plugin is not among those that are, and what would load it.
func notLoaded(plugin string, loaded []string) string {
	return fmt.Sprintf("the plugin %s is not loaded; --plugins=%s,%s loads it", plugin, clip(strings.Join(loaded, ",")), plugin)
}

// applyFile stores the options of the file that the command line did not
// give.
func (l *loaded) applyFile(line *commandLine, dir string) error {
	if l.file == nil {
		data, err := readDefaultsFile(within(dir, l.DefaultsFile))
		if err != nil {
			return err
		}
		l.file = append([]byte{}, data...) // not nil, even if empty
	}
	entries, err := parseKeyfile(l.file)
	if err != nil {
		return err
	}
	// A file may say which plugins there are on any line.
	plugins := &settings{Plugins: slices.Clone(l.Plugins)}
	for _, e := range entries {
		if e.key == "plugins" && !line.given["plugins"] {
			if _, err := findOption("plugins").setFromFile(plugins, e.raw); err != nil {
				return &fileError{e.line, "plugins: " + err.Error()}
			}
		}
	}
	plugins.fillLists()

	warn := func(e entry, format string, args ...any) {
		l.warnings = append(l.warnings, fmt.Sprintf("%s line %d: %s", clean(l.DefaultsFile), e.line, fmt.Sprintf(format, args...)))
	}
	for _, e := range entries {
		o := findOption(e.key)
		switch {
		case o == nil:
			hint := ""
			if name := ofLeftOut(e.key); name != "" {
				hint = ", as there is no plugin " + name
			} else if near := nearestOption(strings.ReplaceAll(e.key, "_", "-")); near != "" {
				hint = "; did you mean " + near + "?"
			}
			warn(e, "%s is ignored: there is no such option%s", clip(e.key), hint)
			continue
		case o.cmdOnly:
			warn(e, "%s is ignored: it works on the command line only", o.long)
			continue
		case o.group != mainGroup && !slices.Contains(plugins.Plugins, o.group):
			warn(e, "%s is ignored: %s", o.long, notLoaded(o.group, plugins.Plugins))
			continue
		}
		// What the command line gave is checked, too, so that a fault does
		// not wait for the day when the option is left out there.
		into := l.settings
		if line.given[o.long] {
			into = defaultSettings()
		}
		warning, err := o.setFromFile(into, e.raw)
		if err != nil {
			return &fileError{e.line, o.long + ": " + err.Error()}
		}
		into.sources[o.long] = source{kind: fromFile, line: e.line}
		if warning != "" && into == l.settings {
			warn(e, "%s", warning)
		}
	}
	return nil
}

// resolvePaths fixes the base directory and makes the file names absolute.
// derived is the base directory that holds without --basedir.
func (s *settings) resolvePaths(derived string) error {
	if s.Basedir == "" {
		s.Basedir = derived
	}
	if !filepath.IsAbs(s.Basedir) {
		return fmt.Errorf("--basedir has to be an absolute path, not '%s'", clean(s.Basedir))
	}
	if s.PluginDir == "" {
		s.PluginDir = "lib/mysql-proxy/plugins"
	}
	for i := range options {
		o := &options[i]
		if o.kind != fileKind {
			continue
		}
		if name := o.dst(s).(*string); *name != "" && !filepath.IsAbs(*name) {
			*name = filepath.Join(s.Basedir, *name)
		}
	}
	return nil
}

// check refuses values that are not among the choices, and options that do not
// fit together.
func (s *settings) check() error {
	if s.LogFile != "" && s.LogUseSyslog {
		return errors.New("--log-file and --log-use-syslog exclude each other; leave one out")
	}
	for i := range options {
		if o := &options[i]; o.choices != nil {
			if err := o.unfit(s); err != nil {
				return err
			}
		}
	}
	if slices.Contains(s.Plugins, "admin") && (s.AdminUsername == "" || s.AdminPassword == "") {
		return errors.New("the admin plugin needs --admin-username and --admin-password; give both")
	}
	if err := s.checkTLS(); err != nil {
		return err
	}
	if err := s.checkPool(); err != nil {
		return err
	}
	if err := s.checkHealth(); err != nil {
		return err
	}
	if _, _, err := s.httpEndpoint(); err != nil {
		return err
	}
	return s.checkIdentity()
}
