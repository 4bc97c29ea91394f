package engine

// Change is what a change of the configuration has done to one option. The values
// are in the syntax of the defaults-file; a password is "***".
type Change struct {
	Option   string // without dashes
	From, To string
}

// String is the line of the log.
func (c Change) String() string { return c.Option + ": " + c.From + " -> " + c.To }
