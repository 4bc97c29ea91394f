package packet

import (
	"bytes"
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
	l, _, err := parseLogin(payload, server)
	return l, err
}

// levelPlace says where in a login the zstd level is, or would be.
type levelPlace struct {
	at      int // offset in the payload
	size    int // 1, or 0 if there is no level
	missing int // NULs to put before a level: the client ended before fields that are in force
}

func parseLogin(payload []byte, server Capability) (l Login, level levelPlace, err error) {
	f := fields{b: payload}
	if len(payload) >= 2 && Capability(binary.LittleEndian.Uint16(payload))&CapProtocol41 == 0 {
		return l, level, ErrOldProtocol
	}
	l.Capabilities = Capability(f.u32())
	l.MaxPacket = f.u32()
	l.Collation = f.u8()
	reserved := f.take(SSLRequestLen - 9)
	if f.bad {
		return Login{}, levelPlace{}, ErrMalformed
	}
	if l.Capabilities&CapLongPassword == 0 {
		l.Capabilities |= Capability(binary.LittleEndian.Uint32(reserved[19:])) << 32
	}
	if len(f.b) == 0 && l.Capabilities&CapSSL != 0 {
		l.SSLRequest = true
		return l, level, nil
	}
	c := Effective(server, l.Capabilities)
	l.User = f.nulString()
	l.AuthResponse = f.authResponse(c)
	if c&CapConnectWithDB != 0 {
		l.Database = f.optionalString(&level.missing)
	}
	if c&CapPluginAuth != 0 {
		l.Plugin = f.optionalString(&level.missing)
	}
	if c&CapConnectAttrs != 0 && len(f.b) > 0 {
		l.Attributes = f.lenencString()
	} else if c&CapConnectAttrs != 0 {
		level.missing++
	}
	level.at = len(payload) - len(f.b)
	if c&CapZstd != 0 && len(f.b) > 0 {
		l.ZstdLevel = f.u8()
		level.size = 1
	}
	if f.bad {
		return Login{}, levelPlace{}, ErrMalformed
	}
	return l, level, nil
}

// optionalString is a NUL-terminated string of which the NUL, or all, may be
// left out at the end of the payload. If so, missing counts one more.
func (f *fields) optionalString(missing *int) []byte {
	if bytes.IndexByte(f.b, 0) < 0 {
		*missing++
	}
	return f.lastString()
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
	editLogin(payload, drop, 0)
	return nil
}

// editLogin clears and sets flags in the fixed part of a login.
func editLogin(payload []byte, drop, add Capability) {
	extended := Capability(payload[0])&CapLongPassword == 0
	editBits(payload[:4], uint32(drop), uint32(add))
	if extended {
		editBits(payload[28:32], uint32(drop>>32), uint32(add>>32))
	}
}

// AppendEditedLogin appends a client's login as it is to go to a server: the
// flags of drop cleared, those of add set (what is in both is set), and all else
// byte for byte as in payload, which the client has laid out for a greeting with
// the capabilities shown. Extended flags are touched only if the login has them.
//
// CapZstd takes its level along: dropped, the client's level goes too; added,
// zstdLevel stands in its place, behind the attributes. What a client leaves out
// at the end of its login (a NUL, the attributes) is then put before it, empty.
//
// As with MaskLogin, the other flags that a field depends on may be dropped only
// if the client was not shown them; they, CapProtocol41 and CapLongPassword may
// not be added. The error is ErrOldProtocol or ErrMalformed, the latter for an
// SSL request too; dst is then returned as it was. dst must not overlap payload.
func AppendEditedLogin(dst, payload []byte, shown, drop, add Capability, zstdLevel byte) ([]byte, error) {
	l, level, err := parseLogin(payload, shown)
	if err != nil {
		return dst, err
	}
	if l.SSLRequest {
		return dst, ErrMalformed
	}
	start := len(dst)
	dst = append(dst, payload[:level.at]...)
	editLogin(dst[start:], drop, add)
	rest := payload[level.at:]
	if (drop|add)&CapZstd != 0 {
		rest = rest[level.size:]
	}
	if add&CapZstd != 0 {
		for range level.missing {
			dst = append(dst, 0)
		}
		dst = append(dst, zstdLevel)
	}
	return append(dst, rest...), nil
}

// AppendSSLRequest appends the SSL request that goes before login, the payload
// of one as the server will get it inside TLS: its fixed part, with CapSSL set.
// The error is ErrMalformed if login is shorter than that; dst is then returned
// as it was.
func AppendSSLRequest(dst, login []byte) ([]byte, error) {
	if len(login) < SSLRequestLen {
		return dst, ErrMalformed
	}
	start := len(dst)
	dst = append(dst, login[:SSLRequestLen]...)
	editLogin(dst[start:], 0, CapSSL)
	return dst, nil
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
