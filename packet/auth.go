package packet

import (
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
)

// This file has the packets of an authentication dialogue, which come between a
// login or a COM_CHANGE_USER and the final OK or ERR, and the arithmetic of the
// oldest plugin that is still in use.

// The names of the plugins that this package or its users know something of.
const (
	PluginNative      = "mysql_native_password"
	PluginCachingSHA2 = "caching_sha2_password"
	PluginSHA256      = "sha256_password"
	PluginClear       = "mysql_clear_password" // the password and a NUL
	PluginEd25519     = "client_ed25519"       // MariaDB
	PluginParsec      = "parsec"               // MariaDB
	PluginDialog      = "dialog"               // MariaDB: prompts, of PAM most often
	PluginOld         = "mysql_old_password"   // refuse it
)

const (
	headMoreData   = 0x01
	headNextFactor = 0x02
)

// AuthSwitch is a server's demand to go on with another plugin. The client
// answers with the bare response of that plugin. Plugin and Data borrow the
// payload.
type AuthSwitch struct {
	Plugin []byte
	Data   []byte // most often a challenge; without the NUL behind 20 bytes of it
}

var pluginOld = []byte(PluginOld)

// ParseAuthSwitch reads an AuthSwitchRequest. The old form of a single 0xFE is
// read as a switch to PluginOld; its Plugin must not be written to.
func ParseAuthSwitch(payload []byte) (AuthSwitch, error) {
	f := fields{b: payload}
	if f.u8() != headEOF {
		return AuthSwitch{}, ErrMalformed
	}
	if len(f.b) == 0 {
		return AuthSwitch{Plugin: pluginOld}, nil
	}
	a := AuthSwitch{Plugin: f.lastString(), Data: f.b}
	if n := len(a.Data) - 1; n == ChallengeLen && a.Data[n] == 0 {
		a.Data = a.Data[:n]
	}
	return a, nil
}

// Append appends the payload. Data of 20 bytes, a challenge, gets a NUL behind
// it, as clients want it.
func (a *AuthSwitch) Append(dst []byte) []byte {
	dst = AppendNulString(append(dst, headEOF), a.Plugin)
	dst = append(dst, a.Data...)
	if len(a.Data) == ChallengeLen {
		dst = append(dst, 0)
	}
	return dst
}

// ParseAuthMoreData returns what the server's plugin says to the client's. It
// aliases the payload. Not every plugin wraps its data so: before the final OK,
// ERR or switch, a payload that is not an AuthMoreData is the plugin's as a
// whole.
func ParseAuthMoreData(payload []byte) ([]byte, error) {
	if len(payload) == 0 || payload[0] != headMoreData {
		return nil, ErrMalformed
	}
	return payload[1:], nil
}

// AppendAuthMoreData appends the payload of an AuthMoreData.
func AppendAuthMoreData[T byteseq](dst []byte, data T) []byte {
	return append(append(dst, headMoreData), data...)
}

// ChangeUser is a COM_CHANGE_USER, which a dialogue follows as it does a login.
// Its slices borrow the payload.
type ChangeUser struct {
	User         []byte
	AuthResponse []byte // to the greeting's challenge; servers ask again by an AuthSwitch
	Database     []byte // empty: none
	Collation    uint16 // 0: the server's own
	Plugin       []byte
	Attributes   []byte // see NextAttribute
}

// ParseChangeUser reads a COM_CHANGE_USER:
//
//	11, user NUL, u8 length and response (or response NUL), database NUL,
//	[u16 collation, [plugin NUL, [lenenc attributes]]]
//
// caps are the capabilities in force. Bytes behind the known fields are ignored.
func ParseChangeUser(payload []byte, caps Capability) (ChangeUser, error) {
	f := fields{b: payload}
	if Command(f.u8()) != ComChangeUser {
		return ChangeUser{}, ErrMalformed
	}
	u := ChangeUser{User: f.nulString()}
	u.AuthResponse = f.authResponse(caps &^ CapPluginAuthLenenc) // a length byte here, in any case
	if !f.bad {
		u.Database = f.lastString()
	}
	if len(f.b) > 0 {
		u.Collation = f.u16()
	}
	if caps&CapPluginAuth != 0 && len(f.b) > 0 {
		u.Plugin = f.lastString()
	}
	if caps&CapConnectAttrs != 0 && len(f.b) > 0 {
		u.Attributes = f.lenencString()
	}
	if f.bad {
		return ChangeUser{}, ErrMalformed
	}
	return u, nil
}

// Append appends the payload, the command byte included. AuthResponse can have
// 255 bytes at most; what is beyond is cut off.
func (u *ChangeUser) Append(dst []byte, caps Capability) []byte {
	dst = AppendNulString(append(dst, byte(ComChangeUser)), u.User)
	dst = appendAuthResponse(dst, u.AuthResponse, caps&^CapPluginAuthLenenc)
	dst = AppendNulString(dst, u.Database)
	dst = binary.LittleEndian.AppendUint16(dst, u.Collation)
	if caps&CapPluginAuth != 0 {
		dst = AppendNulString(dst, u.Plugin)
	}
	if caps&CapConnectAttrs != 0 {
		dst = AppendLenEncString(dst, u.Attributes)
	}
	return dst
}

// NativeSecret is SHA1(password): all that PluginNative needs to answer any
// challenge, and so as good as the password.
func NativeSecret(password []byte) [sha1.Size]byte { return sha1.Sum(password) }

// NativeHash is SHA1(SHA1(password)), which servers store: in hexadecimal,
// behind a *, it is the authentication string of an account. It verifies
// responses but answers no challenge.
func NativeHash(password []byte) [sha1.Size]byte {
	secret := sha1.Sum(password)
	return sha1.Sum(secret[:])
}

// NativePassword is PluginNative's response to a challenge. The response to an
// empty password is not this but no bytes at all. Of challenge the first
// ChallengeLen bytes count, as in the servers.
func NativePassword(password, challenge []byte) [sha1.Size]byte {
	return NativeResponse(NativeSecret(password), challenge)
}

// NativeResponse is NativePassword for who knows only the secret:
//
//	secret XOR SHA1(challenge, SHA1(secret))
func NativeResponse(secret [sha1.Size]byte, challenge []byte) [sha1.Size]byte {
	mask := nativeMask(sha1.Sum(secret[:]), challenge)
	subtle.XORBytes(mask[:], mask[:], secret[:])
	return mask
}

// VerifyNative tells whether response is right for the account whose NativeHash
// is hash. If it is, secret is what the client must know, the NativeSecret of
// its password; else it is zero.
func VerifyNative(response, challenge []byte, hash [sha1.Size]byte) (secret [sha1.Size]byte, ok bool) {
	if len(response) != sha1.Size {
		return secret, false
	}
	mask := nativeMask(hash, challenge)
	subtle.XORBytes(mask[:], mask[:], response)
	if got := sha1.Sum(mask[:]); subtle.ConstantTimeCompare(got[:], hash[:]) != 1 {
		return secret, false
	}
	return mask, true
}

// nativeMask is SHA1(challenge, hash).
func nativeMask(hash [sha1.Size]byte, challenge []byte) [sha1.Size]byte {
	var b [ChallengeLen + sha1.Size]byte
	n := copy(b[:ChallengeLen], challenge)
	n += copy(b[n:], hash[:])
	return sha1.Sum(b[:n])
}
