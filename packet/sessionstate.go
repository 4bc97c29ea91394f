package packet

import "strconv"

// This file reads what servers tell about a session's state in their OKs, as
// clients with CapSessionTrack get it: entries of
//
//	u8 kind, lenenc data

// SessionKind is what a SessionChange is about.
type SessionKind byte

// The kinds of session state.
const (
	SessionVariable        SessionKind = 0 // a system variable has a new value
	SessionSchema          SessionKind = 1 // the default database
	SessionStateChange     SessionKind = 2 // anything at all has changed: Value is "1"
	SessionGTIDs           SessionKind = 3 // MySQL: the GTIDs of what was committed
	SessionTransaction     SessionKind = 4 // statements that begin this transaction anew
	SessionTransactionInfo SessionKind = 5 // 8 characters, see protocol documentation
)

// String names the kind as the protocol's documentation does.
func (k SessionKind) String() string {
	switch k {
	case SessionVariable:
		return "SYSTEM_VARIABLES"
	case SessionSchema:
		return "SCHEMA"
	case SessionStateChange:
		return "STATE_CHANGE"
	case SessionGTIDs:
		return "GTIDS"
	case SessionTransaction:
		return "TRANSACTION_CHARACTERISTICS"
	case SessionTransactionInfo:
		return "TRANSACTION_STATE"
	}
	return "kind" + strconv.Itoa(int(k))
}

// SessionChange is one change of a session's state. Name and Value borrow the
// payload.
type SessionChange struct {
	Kind  SessionKind
	Name  []byte // of a SessionVariable
	Value []byte // of an unknown kind the data as it is
}

// SessionChanges goes through an OK's SessionState:
//
//	for it := packet.SessionChangesOf(ok.SessionState); ; {
//		change, ok := it.Next()
//		...
//	}
type SessionChanges struct {
	rest []byte
	vars []byte // what is left of an entry with several variables
	bad  bool
}

// SessionChangesOf starts at the beginning of state, which it borrows.
func SessionChangesOf(state []byte) SessionChanges { return SessionChanges{rest: state} }

// Next returns the next change. ok is false at the end and at the first entry
// that is malformed; Err tells which.
func (s *SessionChanges) Next() (c SessionChange, ok bool) {
	if len(s.vars) > 0 {
		return s.nextVariable()
	}
	if len(s.rest) == 0 {
		return c, false
	}
	f := fields{b: s.rest}
	c.Kind = SessionKind(f.u8())
	data := fields{b: f.lenencString()}
	s.rest = f.b
	if f.bad {
		return s.fail()
	}
	switch c.Kind {
	case SessionVariable:
		s.vars = data.b
		return s.nextVariable()
	case SessionSchema, SessionTransaction, SessionTransactionInfo:
		c.Value = data.lenencString()
	case SessionGTIDs:
		data.u8() // how the set is encoded: 0, as text
		c.Value = data.lenencString()
	default: // SessionStateChange among them
		c.Value = data.b
	}
	if data.bad {
		return s.fail()
	}
	return c, true
}

func (s *SessionChanges) nextVariable() (c SessionChange, ok bool) {
	f := fields{b: s.vars}
	c = SessionChange{Kind: SessionVariable, Name: f.lenencString(), Value: f.lenencString()}
	s.vars = f.b
	if f.bad {
		return s.fail()
	}
	return c, true
}

func (s *SessionChanges) fail() (SessionChange, bool) {
	*s = SessionChanges{bad: true}
	return SessionChange{}, false
}

// Err is ErrMalformed if Next has ended at something malformed, else nil.
func (s *SessionChanges) Err() error {
	if s.bad {
		return ErrMalformed
	}
	return nil
}

// Append appends the change to state, as an entry of its own.
func (c *SessionChange) Append(state []byte) []byte {
	value := stringLen(c.Value)
	state = append(state, byte(c.Kind))
	switch c.Kind {
	case SessionVariable:
		state = AppendLenEnc(state, stringLen(c.Name)+value)
		return AppendLenEncString(AppendLenEncString(state, c.Name), c.Value)
	case SessionSchema, SessionTransaction, SessionTransactionInfo:
		return AppendLenEncString(AppendLenEnc(state, value), c.Value)
	case SessionGTIDs:
		return AppendLenEncString(append(AppendLenEnc(state, 1+value), 0), c.Value)
	}
	return AppendLenEncString(state, c.Value)
}

// stringLen is the length of s as a length-encoded string, in bytes.
func stringLen(s []byte) uint64 {
	n := uint64(len(s))
	switch {
	case n < lenencNull:
		return n + 1
	case n < 1<<16:
		return n + 3
	case n < 1<<24:
		return n + 4
	}
	return n + 9
}
