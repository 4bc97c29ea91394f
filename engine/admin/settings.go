package admin

import (
	"context"

	"mysqlproxy/engine"
)

// Settings are the program's options, for SHOW CONFIG, SET and RELOAD. Any
// goroutine may call it; changes are made one after the other.
type Settings interface {
	// All are all of them, in the order of the help.
	All() []Setting
	// Set gives an option another value while the proxy runs. The value is in the
	// syntax of the defaults-file: true or false for a flag, commas between the
	// elements of a list. It holds until the next Reload. The changes are those
	// that it has made, none if the option had the value already. The error is one
	// line that names the option, and nothing has changed then.
	Set(ctx context.Context, option, value string) ([]engine.Change, error)
	// Reload reads the defaults-file and all that it names again, and applies what
	// has changed: all of it, or nothing and an error of one line that names the
	// file and, where there is one, the line. What the command line gave stays.
	Reload(ctx context.Context) ([]engine.Change, error)
}

// Setting is an option of the program, as SHOW CONFIG has it.
type Setting struct {
	Name    string // as on the command line, without the dashes
	Value   string // as in the defaults-file; "***" for a password that is set
	Default string // likewise
	Source  string // where the value comes from: "default", "file", "command line" or "SET"
	Live    bool   // it can be changed while the proxy runs
	Help    string
}
