package packet

import "encoding/binary"

// This file has the first packet of a connection, which the server sends:
//
//	0A, version NUL, u32 thread id, challenge 8 bytes, 00, u16 capabilities low,
//	u8 collation, u16 status, u16 capabilities high, u8 length of the challenge,
//	10 reserved (MariaDB: 6, u32 extended capabilities),
//	challenge at least 13 bytes of which the last is NUL, plugin NUL

const (
	greetingProtocol = 0x0a
	reservedLen      = 10

	// ChallengeLen is the length in bytes of the challenge that a server sends
	// with its greeting, without the NUL behind it.
	ChallengeLen      = 20
	shortChallengeLen = 8 // the first part, all there is without CapSecureConnection
)

// Greeting is a server's greeting. Version and Plugin borrow the payload.
type Greeting struct {
	Version  []byte
	ThreadID uint32
	// Challenge is whole, though it lies in two places of the payload, and so
	// is a copy. The first ChallengeSize bytes count: ChallengeLen, or 8 from a
	// server that has neither CapSecureConnection nor CapPluginAuth. Of a longer
	// one, which no server is known to send, the first ChallengeLen bytes are
	// here.
	Challenge     [ChallengeLen]byte
	ChallengeSize uint8
	Capabilities  Capability
	Collation     byte
	Status        uint16
	Plugin        []byte // empty without CapPluginAuth
}

// greetingPlaces says where in a payload the parts of the capabilities are. A
// part that is not there is at 0.
type greetingPlaces struct{ low, high, extended int }

// ParseGreeting reads a greeting of protocol version 10. It takes any version
// string, a plugin name without its NUL, and a greeting that ends before the
// fields that 4.1 has added. An ERR (0xFF), which a server may send
// in a greeting's place, is ErrMalformed here: look at the first byte before.
func ParseGreeting(payload []byte) (Greeting, error) {
	g, _, err := parseGreeting(payload)
	return g, err
}

func parseGreeting(payload []byte) (g Greeting, at greetingPlaces, err error) {
	f := fields{b: payload}
	if f.u8() != greetingProtocol {
		return Greeting{}, at, ErrMalformed
	}
	g.Version = f.nulString()
	g.ThreadID = f.u32()
	g.ChallengeSize = uint8(copy(g.Challenge[:], f.take(shortChallengeLen)))
	f.u8()
	at.low = len(payload) - len(f.b)
	g.Capabilities = Capability(f.u16())
	if f.bad {
		return Greeting{}, greetingPlaces{}, ErrMalformed
	}
	if len(f.b) == 0 && g.Capabilities&CapSecureConnection == 0 {
		return g, at, nil // a server before 4.1
	}
	g.Collation = f.u8()
	g.Status = f.u16()
	at.high = len(payload) - len(f.b)
	g.Capabilities |= Capability(f.u16()) << 16
	size := int(f.u8())
	reserved := f.take(reservedLen)
	if f.bad {
		return Greeting{}, greetingPlaces{}, ErrMalformed
	}
	if g.Capabilities&CapLongPassword == 0 {
		at.extended = len(payload) - len(f.b) - 4
		g.Capabilities |= Capability(binary.LittleEndian.Uint32(reserved[6:])) << 32
	}
	if g.Capabilities&(CapSecureConnection|CapPluginAuth) == 0 {
		return g, at, nil
	}
	// The second part has a NUL at its end, which some leave out where nothing
	// follows.
	part := ChallengeLen - shortChallengeLen + 1
	if g.Capabilities&CapPluginAuth != 0 {
		part = max(part, size-shortChallengeLen)
	}
	if len(f.b) == part-1 {
		part--
	}
	g.ChallengeSize += uint8(copy(g.Challenge[shortChallengeLen:], f.take(part)))
	if f.bad {
		return Greeting{}, greetingPlaces{}, ErrMalformed
	}
	if g.Capabilities&CapPluginAuth != 0 {
		g.Plugin = f.lastString() // servers 5.5.7 to 5.5.9 send no NUL
	}
	return g, at, nil
}

// Append appends the greeting's payload. The challenge's second part, the
// plugin and the extended capabilities are written only if g.Capabilities say
// that they are there.
func (g *Greeting) Append(dst []byte) []byte {
	c := g.Capabilities
	dst = append(dst, greetingProtocol)
	dst = AppendNulString(dst, g.Version)
	dst = binary.LittleEndian.AppendUint32(dst, g.ThreadID)
	dst = append(dst, g.Challenge[:shortChallengeLen]...)
	dst = append(dst, 0, byte(c), byte(c>>8), g.Collation, byte(g.Status), byte(g.Status>>8), byte(c>>16), byte(c>>24))
	size := byte(0)
	if c&CapPluginAuth != 0 {
		size = ChallengeLen + 1
	}
	dst = append(dst, size, 0, 0, 0, 0, 0, 0)
	dst = appendExtended(dst, c)
	if c&(CapSecureConnection|CapPluginAuth) != 0 {
		dst = append(append(dst, g.Challenge[shortChallengeLen:]...), 0)
	}
	if c&CapPluginAuth != 0 {
		dst = AppendNulString(dst, g.Plugin)
	}
	return dst
}

// appendExtended appends the last 4 reserved bytes of a greeting or a login.
func appendExtended(dst []byte, c Capability) []byte {
	if c&CapLongPassword != 0 {
		c &= capsLow
	}
	return binary.LittleEndian.AppendUint32(dst, uint32(c>>32))
}

// EditGreeting clears the flags of drop in a greeting's payload, in place, sets
// those of add, and changes nothing else of it: what is in both is set. The
// extended flags are touched only if they are there, the upper half of the
// others only in a greeting that has one. Parts of a greeting do not come or go
// with their flags: CapLongPassword, CapSecureConnection and CapPluginAuth, on
// which parts depend, must be in neither. The error is that of ParseGreeting;
// payload is then as it was.
func EditGreeting(payload []byte, drop, add Capability) error {
	_, at, err := parseGreeting(payload)
	if err != nil {
		return err
	}
	editBits(payload[at.low:at.low+2], uint32(drop), uint32(add))
	if at.high > 0 {
		editBits(payload[at.high:at.high+2], uint32(drop>>16), uint32(add>>16))
	}
	if at.extended > 0 {
		editBits(payload[at.extended:at.extended+4], uint32(drop>>32), uint32(add>>32))
	}
	return nil
}

// editBits clears the bits of drop in b, a little endian number, and sets those
// of add.
func editBits(b []byte, drop, add uint32) {
	for i := range b {
		b[i] = b[i]&^byte(drop>>(8*i)) | byte(add>>(8*i))
	}
}
