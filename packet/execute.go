package packet

import "encoding/binary"

// ExecuteLast is the statement id by which MariaDB's clients mean the statement
// that was prepared last on the connection. To MySQL it is an id like any other.
const ExecuteLast uint32 = 0xffffffff

// Flags of a COM_STMT_EXECUTE.
const (
	ExecuteCursor  byte = 7 // any of these asks for a cursor
	ExecuteCounted byte = 8 // with CapQueryAttributes: how many parameters there are is said
)

// Execute is a parsed COM_STMT_EXECUTE. Its slices borrow the payload.
//
// The types of parameters are remembered by the server: a client sends them with
// a statement's first execution, and again when they change.
type Execute struct {
	Statement  uint32 // its id
	Flags      byte
	Iterations uint32 // always 1
	Params     int    // how many parameters follow, query attributes among them
	Nulls      []byte // a bit for each, from the lowest of the first byte
	HasTypes   bool   // Types are there
	// Types are 2 bytes a parameter: the type, and 0x80 for unsigned. With
	// CapQueryAttributes each is followed by a name, length-encoded.
	Types []byte
	// Values are those of all parameters that are not NULL and have not been
	// sent by COM_STMT_SEND_LONG_DATA, or what else the client has sent.
	Values []byte
}

// maxParams is the most parameters that a statement can have: COM_STMT_PREPARE_OK
// has 16 bits for their number.
const maxParams = 1<<16 - 1

// ParseExecute reads a COM_STMT_EXECUTE of a statement with params parameters:
//
//	17, u32 id, u8 flags, u32 iterations
//	[, lenenc params], nulls, u8 has types [, types], values
//
// The second line is there if there are parameters, the number in it with
// CapQueryAttributes. Clients that have this say so in the flags; what it means
// if they do not is not the same in the documentation and in servers, so it is
// ErrMalformed. Values are not looked at.
func ParseExecute(payload []byte, params int, caps Capability) (Execute, error) {
	f := fields{b: payload}
	head := Command(f.u8())
	e := Execute{Statement: f.u32(), Flags: f.u8(), Iterations: f.u32(), Params: params}
	counted := caps&CapQueryAttributes != 0
	if counted && e.Flags&ExecuteCounted != 0 {
		n := f.lenenc()
		if n > maxParams {
			return Execute{}, ErrMalformed
		}
		e.Params = int(n)
	} else if counted && params > 0 {
		return Execute{}, ErrMalformed
	}
	if e.Params > 0 {
		e.Nulls = f.take((e.Params + 7) / 8)
		e.HasTypes = f.u8() != 0
	}
	if e.HasTypes {
		all := f.b
		if counted {
			for range e.Params {
				f.u16()
				f.lenencString()
			}
		} else {
			f.take(2 * e.Params)
		}
		n := len(all) - len(f.b)
		e.Types = all[:n:n]
	}
	if f.bad || head != ComStmtExecute {
		return Execute{}, ErrMalformed
	}
	e.Values = f.b
	return e, nil
}

// ExecuteHasTypes tells, of the beginning b of a COM_STMT_EXECUTE that is n bytes
// long, whether types follow. ok is false if b is too short to tell; of what
// ParseExecute does not take it is true, as if there were types.
func ExecuteHasTypes(b []byte, n, params int, caps Capability) (has, ok bool) {
	const head = 10
	at := head
	if caps&CapQueryAttributes != 0 && n > head {
		if len(b) <= head {
			return false, false
		}
		if b[5]&ExecuteCounted != 0 {
			v, size := LenEnc(b[head:])
			if size == 0 && len(b) < n {
				return false, false
			}
			if size <= 0 || v > maxParams {
				return true, true
			}
			params = int(v)
			at += size
		} else if params > 0 {
			return true, true
		}
	}
	if params == 0 {
		return false, true
	}
	switch at += (params + 7) / 8; {
	case at >= n:
		return true, true
	case at >= len(b):
		return false, false
	}
	return b[at] != 0, true
}

// Append appends the payload. caps are those that e was parsed with, if it was.
// With another Statement, or with HasTypes and Types that the client has left out,
// it is the same execution for another server.
func (e *Execute) Append(dst []byte, caps Capability) []byte {
	dst = binary.LittleEndian.AppendUint32(append(dst, byte(ComStmtExecute)), e.Statement)
	dst = binary.LittleEndian.AppendUint32(append(dst, e.Flags), e.Iterations)
	if caps&CapQueryAttributes != 0 && e.Flags&ExecuteCounted != 0 {
		dst = AppendLenEnc(dst, uint64(e.Params))
	}
	if e.Params > 0 {
		dst = append(dst, e.Nulls...)
		if e.HasTypes {
			dst = append(append(dst, 1), e.Types...)
		} else {
			dst = append(dst, 0)
		}
	}
	return append(dst, e.Values...)
}
