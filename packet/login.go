package packet

import (
	"encoding/binary"
	"errors"
)

// This file has a client's reply to the greeting, HandshakeResponse41:
//
//	u32 capabilities, u32 max packet, u8 collation,
//	23 reserved (MariaDB: 19, u32 extended capabilities),   an SSL request ends here
//	user NUL, response, [database NUL], [plugin NUL],
//	[lenenc attributes], [u8 zstd level]
//
// Which of the bracketed fields are there, and how the response is delimited,
// is up to the capabilities in force, not to those that the client claims.

// ErrOldProtocol says that a login is in the layout of servers before 4.1.
var ErrOldProtocol = errors.New("packet: login without PROTOCOL_41")

// SSLRequestLen is the length in bytes of an SSL request's payload, which is
// also that of the fixed part of a login.
const SSLRequestLen = 32

// Login is a client's login. Its slices borrow the payload.
type Login struct {
	Capabilities Capability // as the client sent them; Effective says what is in force
	MaxPacket    uint32     // bytes; a hint that many clients leave 0
	Collation    byte
	User         []byte
	AuthResponse []byte
	Database     []byte
	Plugin       []byte
	Attributes   []byte // keys and values, see NextAttribute
	ZstdLevel    byte   // 0 if there is none
	SSLRequest   bool   // only the fields up to Collation are there; TLS follows
}

// ParseLogin reads a login or an SSL request from a client that was shown a
// greeting with the capabilities server. What is missing at the end, where some
// clients stop early, is left empty. Bytes behind the known fields are ignored.
// The error is ErrOldProtocol or ErrMalformed.
func ParseLogin(payload []byte, server Capability) (Login, error) {
	var l Login
	f := fields{b: payload}
	if len(payload) >= 2 && Capability(binary.LittleEndian.Uint16(payload))&CapProtocol41 == 0 {
		return l, ErrOldProtocol
	}
	l.Capabilities = Capability(f.u32())
	l.MaxPacket = f.u32()
	l.Collation = f.u8()
	reserved := f.take(SSLRequestLen - 9)
	if f.bad {
		return Login{}, ErrMalformed
	}
	if l.Capabilities&CapLongPassword == 0 {
		l.Capabilities |= Capability(binary.LittleEndian.Uint32(reserved[19:])) << 32
	}
	if len(f.b) == 0 && l.Capabilities&CapSSL != 0 {
		l.SSLRequest = true
		return l, nil
	}
	c := Effective(server, l.Capabilities)
	l.User = f.nulString()
	l.AuthResponse = f.authResponse(c)
	if c&CapConnectWithDB != 0 && len(f.b) > 0 {
		l.Database = f.lastString()
	}
	if c&CapPluginAuth != 0 && len(f.b) > 0 {
		l.Plugin = f.lastString()
	}
	if c&CapConnectAttrs != 0 && len(f.b) > 0 {
		l.Attributes = f.lenencString()
	}
	if c&CapZstd != 0 && len(f.b) > 0 {
		l.ZstdLevel = f.u8()
	}
	if f.bad {
		return Login{}, ErrMalformed
	}
	return l, nil
}

// authResponse takes a plugin's response, delimited as c has it.
func (f *fields) authResponse(c Capability) []byte {
	switch {
	case c&CapPluginAuthLenenc != 0:
		return f.lenencString()
	case c&CapSecureConnection != 0:
		return f.take(int(f.u8()))
	}
	return f.nulString()
}

// appendAuthResponse appends a plugin's response, delimited as c has it. What
// the delimiter cannot express is cut off: a length byte goes to 255, a
// NUL-terminated response to its first NUL.
func appendAuthResponse(dst, response []byte, c Capability) []byte {
	switch {
	case c&CapPluginAuthLenenc != 0:
		return AppendLenEncString(dst, response)
	case c&CapSecureConnection != 0:
		n := min(len(response), 255)
		return append(append(dst, byte(n)), response[:n]...)
	}
	return AppendNulString(dst, response)
}

// Append appends the login's payload, or an SSL request's, for a server that
// greeted with the capabilities server. Fields that are not in force between
// server and l.Capabilities are left out; l.Capabilities themselves are written
// as they are. CapPluginAuthLenenc should be among them if the server has it,
// for without it no response longer than 255 bytes can be written.
func (l *Login) Append(dst []byte, server Capability) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(l.Capabilities))
	dst = binary.LittleEndian.AppendUint32(dst, l.MaxPacket)
	dst = append(dst, l.Collation)
	dst = append(dst, make([]byte, 19)...)
	dst = appendExtended(dst, l.Capabilities)
	if l.SSLRequest {
		return dst
	}
	c := Effective(server, l.Capabilities)
	dst = AppendNulString(dst, l.User)
	dst = appendAuthResponse(dst, l.AuthResponse, c)
	if c&CapConnectWithDB != 0 {
		dst = AppendNulString(dst, l.Database)
	}
	if c&CapPluginAuth != 0 {
		dst = AppendNulString(dst, l.Plugin)
	}
	if c&CapConnectAttrs != 0 {
		dst = AppendLenEncString(dst, l.Attributes)
	}
	if c&CapZstd != 0 {
		dst = append(dst, l.ZstdLevel)
	}
	return dst
}

// MaskLogin clears the flags of drop in the payload of a login or an SSL
// request, in place, and changes nothing else of it. Fields do not go with their
// flags: of those that a field depends on (CapConnectWithDB, CapPluginAuth,
// CapPluginAuthLenenc, CapConnectAttrs, CapSecureConnection, CapZstd), drop only
// what the client was not shown in its greeting. The client may claim such a
// flag, but has laid its login out without it. The error is ErrOldProtocol or
// ErrMalformed; payload is then as it was.
func MaskLogin(payload []byte, drop Capability) error {
	if len(payload) >= 2 && Capability(binary.LittleEndian.Uint16(payload))&CapProtocol41 == 0 {
		return ErrOldProtocol
	}
	if len(payload) < SSLRequestLen {
		return ErrMalformed
	}
	extended := Capability(payload[0])&CapLongPassword == 0
	clearBits(payload[:4], uint32(drop))
	if extended {
		clearBits(payload[28:32], uint32(drop>>32))
	}
	return nil
}

// NextAttribute cuts the first connection attribute off attrs, which are the
// Attributes of a Login or a ChangeUser. All results alias attrs. ok is false
// at the end and where attrs are malformed; rest is empty only at the end.
func NextAttribute(attrs []byte) (key, value, rest []byte, ok bool) {
	key, rest, ok = LenEncString(attrs)
	if !ok {
		return nil, nil, attrs, false
	}
	value, rest, ok = LenEncString(rest)
	if !ok {
		return nil, nil, attrs, false
	}
	return key, value, rest, true
}

// AppendAttribute appends a connection attribute to attrs. Servers take 64 KiB
// of attributes in all.
func AppendAttribute[T byteseq](attrs []byte, key, value T) []byte {
	return AppendLenEncString(AppendLenEncString(attrs, key), value)
}
