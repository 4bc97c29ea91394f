package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"mysqlproxy/engine"
)

// One table (optiontable.go, tlsoptions.go) describes every option. The command line (args.go), the
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
	LuaInstructions  int64
	LuaMemory        int64 // bytes
	ProxyAddresses   []string
	Backends         []string
	ReadOnlyBackends []string
	Splitting        string
	Consistency      string
	Multiplex        string
	MultiplexDelay   time.Duration
	Pool             engine.PoolConfig
	Failover         string
	FailoverWait     time.Duration
	ProxyLuaScript   string
	Profiling        bool
	FixBug25371      bool
	Proxy            bool
	ChangeUser       bool
	ConnectTimeout   time.Duration
	LoginTimeout     time.Duration
	ReadTimeout      time.Duration
	WriteTimeout     time.Duration

	Auth                 string
	UsersFile            string
	AuthSyncUser         string
	AuthSyncPasswordFile string

	HealthUser         string
	HealthPassword     string
	HealthPasswordFile string
	HealthInterval     time.Duration
	HealthTimeout      time.Duration
	HealthRise         int
	HealthFall         int
	MaxReplicaLag      time.Duration
	Roles              string
	ReadWeights        []string

	Digests string

	ProxyTLS           string
	ProxyTLSCert       string
	ProxyTLSKey        string
	ProxyTLSCA         string
	ProxyTLSClientCert string
	ProxyTLSMinVersion string
	ProxyRSAKey        string
	BackendTLS         string
	BackendTLSCA       string
	BackendTLSCert     string
	BackendTLSKey      string
	ProxyCompression   string
	BackendCompression string
	ZlibLevel          int
	ZstdLevel          int

	HTTPAddress    string
	AdminAddress   string
	AdminUsername  string
	AdminPassword  string
	AdminLuaScript string

	sources sources
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
	countKind // a whole number that may be large
	sizeKind  // bytes, with k, m or g behind the number
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
	live    bool // it can be changed while the proxy runs
	secret  bool // it is not shown to anybody
	// choices are the values that a string may have; nil: any. With list, it may
	// have several of them with commas between them, or the first one alone.
	choices []string
	list    bool
	// low and high bound an integer. 0 and 0: from 0 up.
	low, high int
	dst       func(*settings) any
}

// mainGroup is the group of the options that do not belong to a plugin.
const mainGroup = "main"

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
	s := &settings{sources: sources{}}
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
		if o.high > 0 && (n < o.low || n > o.high) {
			hint := ""
			if o.defText != "" {
				hint = ", or leave the option out for " + o.defText
			}
			return fmt.Errorf("%d is not possible; give %d to %d%s", n, o.low, o.high, hint)
		}
		if n < 0 {
			return fmt.Errorf("%d is negative; give 0 or more", n)
		}
		*dst = n
	case *int64:
		parse := parseCount
		if o.kind == sizeKind {
			parse = parseSize
		}
		n, err := parse(value)
		if err != nil {
			return err
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

// parseCount reads a decimal integer that is not negative.
func parseCount(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number from 0 up", clip(s))
	}
	return int64(n), nil
}

// leastSize is the smallest size that means anything where sizes are used. A
// number below it has most likely lost its unit.
const leastSize = 1 << 20

// parseSize reads a number of bytes, or of KiB, MiB or GiB with k, m or g
// behind it. 0 stays 0.
func parseSize(s string) (int64, error) {
	number, shift := strings.TrimRight(s, blanks), 0
	if number != "" {
		shift = 10 * (1 + strings.IndexByte("kmg", number[len(number)-1]|0x20))
	}
	if shift > 0 {
		number = strings.TrimRight(number[:len(number)-1], blanks)
	}
	n, err := strconv.ParseUint(number, 10, 63)
	switch {
	case err != nil || n > math.MaxInt64>>shift:
		return 0, fmt.Errorf("%q is not a size; give a number of bytes, or one with k, m or g behind it, such as 64m", clip(s))
	case n > 0 && n<<shift < leastSize:
		return 0, fmt.Errorf("%q is less than 1m; give more, or 0 for any size", clip(s))
	}
	return int64(n << shift), nil
}

// unfit says what is wrong with the value of an option that has choices, or is
// nil.
func (o *option) unfit(s *settings) error {
	value := *o.dst(s).(*string)
	parts := []string{value}
	if o.list {
		parts = splitChoices(value)
	}
	for _, part := range parts {
		if !slices.Contains(o.choices, part) || len(parts) > 1 && part == o.choices[0] {
			give := strings.Join(o.choices[:len(o.choices)-1], ", ") + " or " + o.choices[len(o.choices)-1]
			if o.list {
				give = o.choices[0] + ", or one or more of " + strings.Join(o.choices[1:], ",")
			}
			return fmt.Errorf("--%s=%s is unknown; give %s", o.long, clip(value), give)
		}
	}
	return nil
}

// splitChoices takes a list of choices apart.
func splitChoices(value string) []string {
	parts := strings.Split(value, ",")
	for i := range parts {
		parts[i] = strings.Trim(parts[i], blanks)
	}
	return parts
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
