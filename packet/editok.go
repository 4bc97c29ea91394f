package packet

// This file takes session state out of a server's OK for a client that is not
// to have it, or not all of it.

// EditOK appends the payload of an OK, with whichever head byte, as a client
// gets it from a server with which CapSessionTrack is in force. tracks says
// whether it is in force with the client. If so, the session changes that keep
// refuses are left out, a nil keep refuses none; the others stay as they are and
// in their order. Else all session state is left out. Where none remains, the
// flag for it goes too. The info stays, behind its length: servers write that
// with and without CapSessionTrack.
//
// keep is asked of each change once, of none if payload is malformed before it.
// A payload without the flag, and one that is malformed, is appended as it is.
// What is appended is never longer than payload, which must not overlap dst.
func EditOK(dst, payload []byte, tracks bool, keep func(SessionChange) bool) []byte {
	status, info, state, ok := stateOf(payload)
	if !ok || tracks && keep == nil {
		return append(dst, payload...)
	}
	start := len(dst)
	dst = append(append(dst, payload[:status+4]...), info...)
	if tracks {
		at := len(dst)
		var all bool
		dst, all = appendChanges(dst, state, keep)
		switch {
		case all && len(state) > 0:
			return append(dst[:start], payload...)
		case len(dst) > at:
			return insertLenEnc(dst, at)
		}
	}
	if len(info) == 1 { // empty: servers write it only where state follows
		dst = dst[:len(dst)-1]
	}
	dst[start+status+1] &^= byte(StatusSessionState >> 8)
	return dst
}

// stateOf finds the session state in the payload of an OK. status is where the
// flags are, info what is between the warnings and state, its length included.
// ok is false if there is no flag for it, or something is malformed.
func stateOf(payload []byte) (status int, info, state []byte, ok bool) {
	f := fields{b: payload}
	if head := f.u8(); head != headOK && head != headEOF {
		return 0, nil, nil, false
	}
	f.lenenc()
	f.lenenc()
	status = len(payload) - len(f.b)
	flags := f.u16()
	f.u16()
	info = f.b
	if len(f.b) > 0 {
		f.lenencString()
	}
	info = info[:len(info)-len(f.b)]
	if len(f.b) > 0 {
		state = f.lenencString()
	}
	if f.bad || len(f.b) > 0 || flags&StatusSessionState == 0 {
		return 0, nil, nil, false
	}
	it := SessionChangesOf(state)
	for {
		if _, more := it.Next(); !more {
			return status, info, state, it.Err() == nil
		}
	}
}

// appendChanges appends the entries of state that keep does not refuse. all
// tells that it refused none. state must not be malformed.
func appendChanges(dst, state []byte, keep func(SessionChange) bool) (_ []byte, all bool) {
	all = true
	for f := (fields{b: state}); len(f.b) > 0; {
		entry := f.b
		f.u8()
		f.lenencString()
		entry = entry[:len(entry)-len(f.b)]
		start, whole := len(dst), true
		dst = append(dst, entry[0])
		at := len(dst)
		for it := SessionChangesOf(entry); ; {
			c, more := it.Next()
			if !more {
				break
			}
			switch {
			case !keep(c):
				whole = false
			case c.Kind == SessionVariable: // of which an entry may have several
				dst = AppendLenEncString(AppendLenEncString(dst, c.Name), c.Value)
			}
		}
		switch {
		case whole:
			dst = append(dst[:start], entry...)
		case len(dst) > at:
			dst, all = insertLenEnc(dst, at), false
		default:
			dst, all = dst[:start], false
		}
	}
	return dst, all
}

// insertLenEnc puts the length of what is behind at before it.
func insertLenEnc(dst []byte, at int) []byte {
	var room [9]byte
	end := len(dst)
	length := AppendLenEnc(room[:0], uint64(end-at))
	dst = append(dst, length...)
	copy(dst[at+len(length):], dst[at:end])
	copy(dst[at:], length)
	return dst
}
