package packet

import "encoding/binary"

// This file has the packets that end what a server has to say: OK, EOF and ERR,
// and the progress report, which starts like an ERR and ends nothing.

// OK is a parsed OK. Info and SessionState borrow the payload.
type OK struct {
	AffectedRows, LastInsertID uint64
	Status, Warnings           uint16
	Info                       []byte // for people: "Records: 3  Duplicates: 0 ..."
	SessionState               []byte // see SessionChanges; there only with CapSessionTrack
}

// ParseOK reads an OK with 0x00 at its head, or with 0xFE as it stands at the
// end of rows where CapDeprecateEOF is in force. An EOF is not an OK: see
// ParseEnd. caps are the capabilities in force.
//
// Servers write a length before Info with and without CapSessionTrack; the
// documentation has it only with. Without, an Info that fills the payload is
// taken either way.
func ParseOK(payload []byte, caps Capability) (OK, error) {
	f := fields{b: payload}
	var o OK
	if head := f.u8(); head != headOK && head != headEOF {
		return OK{}, ErrMalformed
	}
	o.AffectedRows = f.lenenc()
	o.LastInsertID = f.lenenc()
	o.Status = f.u16()
	o.Warnings = f.u16()
	switch {
	case len(f.b) == 0:
	case caps&CapSessionTrack != 0:
		o.Info = f.lenencString()
		if o.Status&StatusSessionState != 0 && len(f.b) > 0 {
			o.SessionState = f.lenencString()
		}
	default:
		info, rest, ok := LenEncString(f.b)
		if !ok || len(rest) > 0 {
			info = f.b
		}
		o.Info = info
	}
	if f.bad {
		return OK{}, ErrMalformed
	}
	return o, nil
}

// Append appends the OK's payload, for a client with which caps are in force.
// Without CapSessionTrack among them SessionState is left out.
func (o *OK) Append(dst []byte, caps Capability) []byte {
	return o.append(dst, headOK, caps)
}

// AppendEnd appends the payload that ends rows: an OK with 0xFE at its head if
// CapDeprecateEOF is in force, else an EOF, which has only status and warnings.
func (o *OK) AppendEnd(dst []byte, caps Capability) []byte {
	if caps&CapDeprecateEOF == 0 {
		return AppendEOF(dst, o.Warnings, o.Status&^StatusSessionState)
	}
	return o.append(dst, headEOF, caps)
}

func (o *OK) append(dst []byte, head byte, caps Capability) []byte {
	status := o.Status
	if len(o.SessionState) > 0 {
		status |= StatusSessionState
	}
	if caps&CapSessionTrack == 0 {
		status &^= StatusSessionState
	}
	dst = append(dst, head)
	dst = AppendLenEnc(dst, o.AffectedRows)
	dst = AppendLenEnc(dst, o.LastInsertID)
	dst = append(dst, byte(status), byte(status>>8), byte(o.Warnings), byte(o.Warnings>>8))
	state := status&StatusSessionState != 0
	if state || len(o.Info) > 0 {
		dst = AppendLenEncString(dst, o.Info)
	}
	if state {
		dst = AppendLenEncString(dst, o.SessionState)
	}
	return dst
}

// IsEnd tells whether a whole payload ends the rows of a result. ERR ends them
// too but is not asked for here.
func IsEnd(payload []byte, caps Capability) bool {
	if len(payload) == 0 || payload[0] != headEOF {
		return false
	}
	if caps&CapDeprecateEOF != 0 {
		return len(payload) < MaxPayload
	}
	return len(payload) < 9
}

// ParseEnd reads what ends the rows of a result, EOF or OK with 0xFE, whichever
// caps have in force. Of an EOF only Status and Warnings are set.
func ParseEnd(payload []byte, caps Capability) (OK, error) {
	if len(payload) == 0 || payload[0] != headEOF {
		return OK{}, ErrMalformed
	}
	if caps&CapDeprecateEOF != 0 && len(payload) >= 7 {
		return ParseOK(payload, caps)
	}
	e, err := ParseEOF(payload)
	return OK{Status: e.Status, Warnings: e.Warnings}, err
}

// EOF is a parsed EOF.
type EOF struct{ Warnings, Status uint16 }

// ParseEOF reads an EOF, whose fields stand in another order than an OK's.
func ParseEOF(payload []byte) (EOF, error) {
	f := fields{b: payload}
	head := f.u8()
	e := EOF{Warnings: f.u16(), Status: f.u16()}
	if f.bad || head != headEOF || len(payload) > 8 {
		return EOF{}, ErrMalformed
	}
	return e, nil
}

// AppendEOF appends the payload of an EOF.
func AppendEOF(dst []byte, warnings, status uint16) []byte {
	return append(dst, headEOF, byte(warnings), byte(warnings>>8), byte(status), byte(status>>8))
}

// ERR is a parsed ERR. State and Message borrow the payload.
type ERR struct {
	Code    uint16
	State   []byte // SQLSTATE, 5 bytes; empty in an ERR that comes in a greeting's place
	Message []byte
}

// stateLen is the length of an SQLSTATE in bytes.
const stateLen = 5

// ParseERR reads an ERR, with or without an SQLSTATE. Servers leave it out as
// long as they do not know the client's capabilities. Where caps, the
// capabilities in force, have progress reports, one of these is ErrMalformed.
func ParseERR(payload []byte, caps Capability) (ERR, error) {
	f := fields{b: payload}
	if f.u8() != headERR || IsProgress(payload, caps) {
		return ERR{}, ErrMalformed
	}
	e := ERR{Code: f.u16()}
	if f.bad {
		return ERR{}, ErrMalformed
	}
	if len(f.b) > stateLen && f.b[0] == '#' {
		e.State = f.take(1 + stateLen)[1:]
	}
	e.Message = f.b
	return e, nil
}

// AppendERR appends the payload of an ERR. An empty state leaves the SQLSTATE
// out, as is right before the client has logged in; one that is not 5 bytes
// long becomes HY000.
func AppendERR(dst []byte, code uint16, state, msg string) []byte {
	return appendERR(dst, code, state, msg)
}

// Append appends the ERR's payload as AppendERR does.
func (e *ERR) Append(dst []byte) []byte { return appendERR(dst, e.Code, e.State, e.Message) }

func appendERR[T byteseq](dst []byte, code uint16, state, msg T) []byte {
	dst = append(dst, headERR, byte(code), byte(code>>8))
	switch len(state) {
	case 0:
	case stateLen:
		dst = append(append(dst, '#'), state...)
	default:
		dst = append(dst, "#HY000"...)
	}
	return append(dst, msg...)
}

// Progress is one of MariaDB's progress reports. Info borrows the payload.
type Progress struct {
	Stage, MaxStage byte
	Done            uint32 // of the stage, in thousandths of a percent: 100000 is all
	Info            []byte // what the stage does
}

// IsProgress tells whether a payload that starts like an ERR is a progress
// report: more packets of the response follow it.
func IsProgress(payload []byte, caps Capability) bool {
	return caps&CapMariaDBProgress != 0 && len(payload) > 3 &&
		payload[0] == headERR && payload[1] == 0xff && payload[2] == 0xff
}

// ParseProgress reads a progress report:
//
//	FF FFFF 01 stage max_stage, u24 progress, lenenc info
func ParseProgress(payload []byte) (Progress, error) {
	f := fields{b: payload}
	head, code := f.u8(), f.u16()
	f.u8() // number of strings that follow, 1
	p := Progress{Stage: f.u8(), MaxStage: f.u8()}
	if n := f.take(3); n != nil {
		p.Done = uint32(n[0]) | uint32(n[1])<<8 | uint32(n[2])<<16
	}
	p.Info = f.lenencString()
	if f.bad || head != headERR || code != 0xffff {
		return Progress{}, ErrMalformed
	}
	return p, nil
}

// Append appends the report's payload.
func (p *Progress) Append(dst []byte) []byte {
	dst = append(dst, headERR, 0xff, 0xff, 1, p.Stage, p.MaxStage,
		byte(p.Done), byte(p.Done>>8), byte(p.Done>>16))
	return AppendLenEncString(dst, p.Info)
}

// PrepareOK is a parsed COM_STMT_PREPARE_OK.
type PrepareOK struct {
	Statement       uint32 // id, of this server connection
	Columns, Params uint16
	Warnings        uint16
	NoMetadata      bool // the definitions are left out, with CapOptionalMetadata
}

// ParsePrepareOK reads a COM_STMT_PREPARE_OK:
//
//	00, u32 id, u16 columns, u16 params, 00, u16 warnings [, u8 definitions follow]
func ParsePrepareOK(payload []byte, caps Capability) (PrepareOK, error) {
	f := fields{b: payload}
	head := f.u8()
	p := PrepareOK{Statement: f.u32(), Columns: f.u16(), Params: f.u16()}
	f.u8()
	p.Warnings = f.u16()
	if caps&CapOptionalMetadata != 0 && len(f.b) > 0 {
		p.NoMetadata = f.u8() == 0
	}
	if f.bad || head != headOK {
		return PrepareOK{}, ErrMalformed
	}
	return p, nil
}

// Append appends the payload.
func (p *PrepareOK) Append(dst []byte, caps Capability) []byte {
	dst = binary.LittleEndian.AppendUint32(append(dst, headOK), p.Statement)
	dst = append(dst, byte(p.Columns), byte(p.Columns>>8), byte(p.Params), byte(p.Params>>8), 0,
		byte(p.Warnings), byte(p.Warnings>>8))
	if caps&CapOptionalMetadata != 0 {
		follow := byte(1)
		if p.NoMetadata {
			follow = 0
		}
		dst = append(dst, follow)
	}
	return dst
}
