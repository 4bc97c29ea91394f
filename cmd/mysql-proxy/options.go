package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// One table describes every option. The command line (args.go), the
// defaults-file (keyfile.go, load.go) and the help (help.go) all read it:
//
//	argv ---------> parseArgs ----+
//	                              +--> option.set --> settings
//	defaults-file -> parseKeyfile +
//
// The command line wins over the file, for every type of option. (MySQL Proxy
// 0.8.5 let the file win for flags and integers.)

// settings is what the options come to.
type settings struct {
	Version          bool
	DefaultsFile     string
	VerboseShutdown  bool
	Daemon           bool
	User             string
	Basedir          string
	PidFile          string
	PluginDir        string
	Plugins          []string
	LogLevel         string
	LogFile          string
	LogUseSyslog     bool
	LogBacktrace     bool
	Keepalive        bool
	MaxOpenFiles     int
	EventThreads     int // 0: one per CPU
	ShutdownTimeout  time.Duration
	LuaPath          string
	LuaCPath         string
	LuaStates        string
	LuaHookTime      time.Duration
	ProxyAddresses   []string
	Backends         []string
	ReadOnlyBackends []string
	ProxyLuaScript   string
	Profiling        bool
	FixBug25371      bool
	Proxy            bool
	ChangeUser       bool
	ConnectTimeout   time.Duration
	LoginTimeout     time.Duration
	ReadTimeout      time.Duration
	WriteTimeout     time.Duration
	AdminAddress     string
	AdminUsername    string
	AdminPassword    string
	AdminLuaScript   string
}

// kind is the type of an option's value.
type kind uint8

const (
	flagKind     kind = iota
	reversedKind      // a flag that switches something off
	stringKind
	fileKind // a string that is relative to the base directory
	listKind // may be given more than once
	intKind
	secondsKind
)

// takesValue tells whether the option needs a value on the command line.
func (k kind) takesValue() bool { return k != flagKind && k != reversedKind }

// option is one row of the table.
type option struct {
	long    string
	short   byte // 0: none
	kind    kind
	arg     string // what the help calls the value
	def     string // default, in the syntax of the defaults-file; empty: none
	defText string // default as the help tells it, if def does not say it
	group   string // mainGroup, or the plugin that it belongs to
	help    string
	cmdOnly bool // not a key of the defaults-file
	dst     func(*settings) any
}

// mainGroup is the group of the options that do not belong to a plugin.
const mainGroup = "main"

var options = []option{
	{long: "version", short: 'V', kind: flagKind, group: mainGroup, cmdOnly: true,
		help: "show the version and exit",
		dst:  func(s *settings) any { return &s.Version }},
	{long: "defaults-file", kind: stringKind, arg: "FILE", group: mainGroup, cmdOnly: true,
		help: "read options from FILE; nobody but its owner and group may have access to it (mode 0660 or stricter); relative to the current directory",
		dst:  func(s *settings) any { return &s.DefaultsFile }},
	{long: "daemon", kind: flagKind, group: mainGroup,
		help: "run in the background; errors that come later than the options' are in the log only",
		dst:  func(s *settings) any { return &s.Daemon }},
	{long: "keepalive", kind: flagKind, group: mainGroup,
		help: "start the proxy again, 2 seconds later, if it crashes or is killed",
		dst:  func(s *settings) any { return &s.Keepalive }},
	{long: "pid-file", kind: fileKind, arg: "FILE", group: mainGroup,
		help: "write the process id of the serving process to FILE; removed at an orderly exit",
		dst:  func(s *settings) any { return &s.PidFile }},
	{long: "user", kind: stringKind, arg: "USER", group: mainGroup,
		help: "run as USER once the addresses are bound; for root only",
		dst:  func(s *settings) any { return &s.User }},
	{long: "basedir", kind: stringKind, arg: "DIR", group: mainGroup, defText: "parent of the program's directory",
		help: "absolute directory that relative file names are taken from",
		dst:  func(s *settings) any { return &s.Basedir }},
	{long: "max-open-files", kind: intKind, arg: "N", def: "0", defText: "0, leave it alone", group: mainGroup,
		help: "limit of open files; a client connection takes two",
		dst:  func(s *settings) any { return &s.MaxOpenFiles }},
	{long: "event-threads", kind: intKind, arg: "N", defText: "one per CPU", group: mainGroup,
		help: "number of event loops",
		dst:  func(s *settings) any { return &s.EventThreads }},
	{long: "shutdown-timeout", kind: secondsKind, arg: "SECONDS", def: "10", group: mainGroup,
		help: "how long an orderly shutdown waits for running commands and transactions",
		dst:  func(s *settings) any { return &s.ShutdownTimeout }},
	{long: "verbose-shutdown", kind: flagKind, group: mainGroup,
		help: "log the exit code at level critical",
		dst:  func(s *settings) any { return &s.VerboseShutdown }},
	{long: "log-level", kind: stringKind, arg: "LEVEL", def: "critical", group: mainGroup,
		help: "log this level and what is more severe: error, critical, warning, message, info, debug",
		dst:  func(s *settings) any { return &s.LogLevel }},
	{long: "log-file", kind: fileKind, arg: "FILE", defText: "standard error", group: mainGroup,
		help: "append the log to FILE; SIGHUP opens it again",
		dst:  func(s *settings) any { return &s.LogFile }},
	{long: "log-use-syslog", kind: flagKind, group: mainGroup,
		help: "log to syslog",
		dst:  func(s *settings) any { return &s.LogUseSyslog }},
	{long: "log-backtrace-on-crash", kind: flagKind, group: mainGroup,
		help: "at a crash, write the stacks of all goroutines (to the log file, too) and abort",
		dst:  func(s *settings) any { return &s.LogBacktrace }},
	{long: "plugins", kind: listKind, arg: "NAME", def: "proxy", group: mainGroup,
		help: "plugins to load, in this order",
		dst:  func(s *settings) any { return &s.Plugins }},
	{long: "plugin-dir", kind: fileKind, arg: "DIR", group: mainGroup,
		help: "accepted and not used: the plugins are part of the program",
		dst:  func(s *settings) any { return &s.PluginDir }},
	{long: "lua-path", kind: stringKind, arg: "PATTERN", group: mainGroup, defText: "LUA_PATH, or BASEDIR/lib/mysql-proxy/lua/?.lua",
		help: "set LUA_PATH",
		dst:  func(s *settings) any { return &s.LuaPath }},
	{long: "lua-cpath", kind: stringKind, arg: "PATTERN", group: mainGroup, defText: "LUA_CPATH, or BASEDIR/lib/mysql-proxy/lua/?.so",
		help: "set LUA_CPATH",
		dst:  func(s *settings) any { return &s.LuaCPath }},
	{long: "lua-states", kind: stringKind, arg: "HOW", def: "shared", group: mainGroup,
		help: "shared: all clients' scripts share one Lua state, as ever; per-loop: each event loop has its own, for scripts that share nothing",
		dst:  func(s *settings) any { return &s.LuaStates }},
	{long: "lua-hook-time", kind: secondsKind, arg: "SECONDS", def: "5", group: mainGroup,
		help: "how long one call of a script's function may take before it is stopped; 0 for any time",
		dst:  func(s *settings) any { return &s.LuaHookTime }},

	{long: "proxy-address", short: 'P', kind: listKind, arg: "ADDRESS", def: ":4040", group: "proxy",
		help: "listen here: HOST:PORT, :PORT, [IPV6]:PORT or /path/of/socket; may be given several times",
		dst:  func(s *settings) any { return &s.ProxyAddresses }},
	{long: "proxy-backend-addresses", short: 'b', kind: listKind, arg: "ADDRESS", def: "127.0.0.1:3306", group: "proxy",
		help: "read/write server; may be given several times",
		dst:  func(s *settings) any { return &s.Backends }},
	{long: "proxy-read-only-backend-addresses", short: 'r', kind: listKind, arg: "ADDRESS", group: "proxy",
		help: "read-only server; may be given several times",
		dst:  func(s *settings) any { return &s.ReadOnlyBackends }},
	{long: "proxy-lua-script", short: 's', kind: fileKind, arg: "FILE", group: "proxy",
		help: "script that is run for the client connections",
		dst:  func(s *settings) any { return &s.ProxyLuaScript }},
	{long: "no-proxy", kind: reversedKind, group: "proxy",
		help: "neither listen nor use any server",
		dst:  func(s *settings) any { return &s.Proxy }},
	{long: "proxy-pool-no-change-user", kind: reversedKind, group: "proxy",
		help: "do not send COM_CHANGE_USER when a client gets a pooled connection",
		dst:  func(s *settings) any { return &s.ChangeUser }},
	{long: "proxy-connect-timeout", kind: secondsKind, arg: "SECONDS", def: "2.0", group: "proxy",
		help: "how long a connect to a server may take before another one is tried",
		dst:  func(s *settings) any { return &s.ConnectTimeout }},
	{long: "proxy-login-timeout", kind: secondsKind, arg: "SECONDS", def: "10", group: "proxy",
		help: "how long a client may take to log in",
		dst:  func(s *settings) any { return &s.LoginTimeout }},
	{long: "proxy-read-timeout", kind: secondsKind, arg: "SECONDS", def: "28800", group: "proxy",
		help: "how long a client may be idle, and a server may take to respond",
		dst:  func(s *settings) any { return &s.ReadTimeout }},
	{long: "proxy-write-timeout", kind: secondsKind, arg: "SECONDS", def: "28800", group: "proxy",
		help: "how long a client or server may take nothing of what is sent to it",
		dst:  func(s *settings) any { return &s.WriteTimeout }},
	{long: "proxy-skip-profiling", kind: reversedKind, group: "proxy",
		help: "accepted and not used, as before",
		dst:  func(s *settings) any { return &s.Profiling }},
	{long: "proxy-fix-bug-25371", kind: flagKind, group: "proxy",
		help: "accepted and not used, as before",
		dst:  func(s *settings) any { return &s.FixBug25371 }},

	{long: "admin-address", kind: stringKind, arg: "ADDRESS", def: ":4041", group: "admin",
		help: "listen here for the admin console",
		dst:  func(s *settings) any { return &s.AdminAddress }},
	{long: "admin-username", kind: stringKind, arg: "USER", group: "admin",
		help: "user name that the admin console asks for",
		dst:  func(s *settings) any { return &s.AdminUsername }},
	{long: "admin-password", kind: stringKind, arg: "PASSWORD", group: "admin",
		help: "password that the admin console asks for",
		dst:  func(s *settings) any { return &s.AdminPassword }},
	{long: "admin-lua-script", kind: fileKind, arg: "FILE", group: "admin",
		help: "script that answers the admin console's statements",
		dst:  func(s *settings) any { return &s.AdminLuaScript }},
}

// findOption is the option with the long name, or nil.
func findOption(long string) *option {
	for i := range options {
		if options[i].long == long {
			return &options[i]
		}
	}
	return nil
}

// findShort is the option with the letter, or nil.
func findShort(letter byte) *option {
	for i := range options {
		if options[i].short == letter && letter != 0 {
			return &options[i]
		}
	}
	return nil
}

// defaultSettings is what holds without a command line and a file. Lists are
// empty: their default counts only if nothing was given (fillLists).
func defaultSettings() *settings {
	s := &settings{}
	for i := range options {
		o := &options[i]
		switch {
		case o.kind == reversedKind:
			*o.dst(s).(*bool) = true
		case o.kind != listKind && o.def != "":
			if err := o.set(s, o.def); err != nil {
				panic(err) // the table is wrong
			}
		}
	}
	return s
}

// fillLists gives the lists that are still empty their default.
func (s *settings) fillLists() {
	for i := range options {
		o := &options[i]
		if l, ok := o.dst(s).(*[]string); ok && len(*l) == 0 && o.def != "" {
			*l = []string{o.def}
		}
	}
}

// set stores a value in the command line's syntax. Flags take none; a list
// gets one more element. The error names neither the option nor its place.
func (o *option) set(s *settings, value string) error {
	switch dst := o.dst(s).(type) {
	case *bool:
		*dst = o.kind == flagKind
	case *string:
		*dst = value
	case *[]string:
		if o.long == "plugins" { // no plugin has a comma in its name: --plugins=proxy,admin
			*dst = append(*dst, strings.Split(value, ",")...)
			break
		}
		*dst = append(*dst, value)
	case *int:
		n, err := parseInt(value)
		if err != nil {
			return err
		}
		if o.long == "event-threads" && (n < 1 || n > maxEventThreads) {
			return fmt.Errorf("%d is not possible; give 1 to %d, or leave the option out for one per CPU", n, maxEventThreads)
		}
		if n < 0 {
			return fmt.Errorf("%d is negative; give 0 or more", n)
		}
		*dst = n
	case *time.Duration:
		d, err := parseSeconds(value)
		if err != nil {
			return err
		}
		if d < 0 { // means the default
			if d, err = parseSeconds(o.def); err != nil {
				return err
			}
		}
		*dst = d
	}
	return nil
}

// maxEventThreads keeps a mistyped number from starting a loop, with its
// buffers, for each.
const maxEventThreads = 1024

// parseInt reads an integer as C does: decimal, 0x hexadecimal, 0 octal.
func parseInt(s string) (int, error) {
	n, err := strconv.ParseInt(strings.TrimLeft(s, " \t"), 0, 32)
	// Go's base 0 knows more: 0b1, 0o7, 1_000.
	if err != nil || strings.ContainsAny(s, "_oO") || strings.ContainsAny(s, "bB") && !strings.ContainsAny(s, "xX") {
		return 0, fmt.Errorf("%q is not an integer (decimal, 0x hexadecimal or 0 octal, at most %d)", s, 1<<31-1)
	}
	return int(n), nil
}

// longestTimeout stands for "never": ten years.
const longestTimeout = 10 * 365 * 24 * time.Hour

// parseSeconds reads a time in seconds with a decimal point. What is longer
// than longestTimeout is cut to it.
func parseSeconds(s string) (time.Duration, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || strings.Trim(s, "0123456789.+-eE") != "" {
		return 0, fmt.Errorf("%q is not a number of seconds (such as 2 or 0.5)", s)
	}
	if f >= longestTimeout.Seconds() {
		return longestTimeout, nil
	}
	if f < 0 {
		return -1, nil
	}
	return time.Duration(f * float64(time.Second)), nil
}
