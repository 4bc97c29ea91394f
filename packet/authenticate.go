package packet

import (
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
)

// This file is a client's side of an authentication dialogue, for who owns a
// password and logs in by it: after a login or a COM_CHANGE_USER,
//
//	greeting ---------------------------> Greet --> plugin and response of the login
//	AuthSwitch, AuthMoreData, question -> Answer -> the next packet to the server
//	OK, ERR -----------------------------> not here: the dialogue is over
//
// The arithmetic is in auth.go, auth_sha2.go and auth_ed25519.go.

// Secret is what somebody knows of a password. The zero Secret is the empty
// password.
type Secret struct {
	password []byte
	native   [sha1.Size]byte
	hashed   bool // only native is known
}

// NewSecret is the secret of who knows the password, of which it has a copy.
func NewSecret(password []byte) *Secret { return &Secret{password: append([]byte(nil), password...)} }

// NewNativeSecret is the secret of who knows a password's NativeSecret only. It
// is good for PluginNative and for nothing else.
func NewNativeSecret(native [sha1.Size]byte) *Secret { return &Secret{native: native, hashed: true} }

// Password is the password, which is the secret's own; ok is false if only its
// hash is known.
func (s *Secret) Password() (password []byte, ok bool) { return s.password, !s.hashed }

// Clone is a copy, which Clear of the one does not change in the other.
func (s *Secret) Clone() *Secret {
	return &Secret{password: append([]byte(nil), s.password...), native: s.native, hashed: s.hashed}
}

// Clear forgets the secret: the memory that it was in is overwritten. What is
// left answers nothing.
func (s *Secret) Clear() {
	clear(s.password)
	clear(s.native[:])
	s.password, s.hashed = nil, true
}

// MAC is a code by which secrets of the same kind can be told apart, for who
// does not know key.
func (s *Secret) MAC(key []byte) [sha256.Size]byte {
	m := hmac.New(sha256.New, key)
	m.Write(s.password)
	if s.hashed {
		m.Write(s.native[:])
	}
	return [sha256.Size]byte(m.Sum(nil))
}

// String tells nothing, so that no secret is printed by accident.
func (*Secret) String() string { return "secret" }

// GoString is String.
func (*Secret) GoString() string { return "secret" }

// Leg is who could listen on a connection.
type Leg uint8

// The legs.
const (
	LegReadable Leg = iota // anybody on the way
	LegLocal               // nobody: a unix socket
	LegTLS                 // nobody: TLS
)

// PluginFault is why a plugin cannot be answered.
type PluginFault uint8

// The faults.
const (
	PluginUnknown  PluginFault = iota // nobody here knows it, or it wants more than a password
	PluginUnsafe                      // it would send the password readable
	PluginPassword                    // it wants the password, of which only the hash is known
	PluginQuestion                    // it asks for something else than a password
	PluginFactor                      // a second factor
)

// PluginError says that a server wants what a password cannot answer.
type PluginError struct {
	Plugin string // as the server calls it
	Fault  PluginFault
}

// Error names the plugin, at most 64 bytes of its name.
func (e *PluginError) Error() string {
	return fmt.Sprintf("authentication plugin %.64q %s", e.Plugin, [...]string{
		"cannot be answered by a password alone",
		"would send the password readable",
		"needs the password, of which only the hash is known",
		"asks for something else than the password",
		"is a second factor",
	}[e.Fault])
}

// Authenticator answers a server's side of an authentication dialogue. It keeps
// the secret that it was made with.
type Authenticator struct {
	secret    *Secret
	leg       Leg
	plugin    string
	challenge []byte
	step      answerStep
	rounds    uint8
}

// answerStep is what a plugin's server has still to say.
type answerStep uint8

const (
	stepSaid answerStep = iota // nothing, or nothing that wants an answer
	stepMore                   // something by which it goes on
	stepKey                    // its key
)

// maxRounds is how many packets of a server are answered. The longest dialogue
// of those that are known here has three.
const maxRounds = 8

// NewAuthenticator makes an Authenticator for a connection on which leg says who
// could listen.
func NewAuthenticator(secret *Secret, leg Leg) *Authenticator {
	return &Authenticator{secret: secret, leg: leg}
}

// Greet takes the plugin and the challenge of a greeting, and returns which
// plugin the login has to name and that one's response. Where the greeting's own
// cannot be answered at once it is PluginNative: the server then asks for what it
// wants by an AuthSwitch. The challenge is ErrMalformed if it is shorter than
// ChallengeLen.
func (a *Authenticator) Greet(plugin, challenge []byte) (name string, response []byte, err error) {
	name = PluginNative
	if string(plugin) == PluginCachingSHA2 && !a.secret.hashed {
		name = PluginCachingSHA2
	}
	response, err = a.begin(name, challenge)
	return name, response, err
}

// Costly tells whether Answer takes a millisecond or more for this payload, so
// that who has other things to do lets somebody else do it.
func (a *Authenticator) Costly(payload []byte) bool {
	if len(payload) > 0 && payload[0] == headEOF {
		sw, err := ParseAuthSwitch(payload)
		return err == nil && string(sw.Plugin) == PluginEd25519
	}
	return a.step == stepKey || a.plugin == PluginParsec
}

// Answer takes a payload of the server's that is neither OK nor ERR, and returns
// the one that answers it, if it wants one: speaks is true for an empty one too.
// Nothing of payload is kept. The error is ErrMalformed, a *PluginError, or what
// crypto/rsa says of a server's key; the dialogue cannot go on then.
func (a *Authenticator) Answer(payload []byte) (response []byte, speaks bool, err error) {
	if a.rounds++; len(payload) == 0 || a.rounds > maxRounds {
		return nil, false, ErrMalformed
	}
	switch {
	case payload[0] == headEOF:
		sw, err := ParseAuthSwitch(payload)
		if err != nil {
			return nil, false, err
		}
		response, err = a.begin(string(sw.Plugin), sw.Data)
		return response, err == nil, err
	case a.plugin == PluginDialog: // without a head byte
		return nil, false, a.fault(PluginQuestion)
	case payload[0] == headNextFactor:
		return nil, false, a.fault(PluginFactor)
	case payload[0] != headMoreData:
		return nil, false, ErrMalformed
	}
	return a.more(payload[1:])
}

// begin answers a plugin's challenge.
func (a *Authenticator) begin(plugin string, challenge []byte) ([]byte, error) {
	a.plugin, a.challenge, a.step = plugin, append(a.challenge[:0], challenge...), stepSaid
	password := a.secret.password
	switch plugin {
	case PluginNative:
		return a.native()
	case PluginCachingSHA2, PluginSHA256, PluginEd25519, PluginParsec, PluginClear, PluginDialog:
		if a.secret.hashed {
			return nil, a.fault(PluginPassword)
		}
	default:
		return nil, a.fault(PluginUnknown)
	}
	switch plugin {
	case PluginCachingSHA2:
		if len(challenge) < ChallengeLen {
			return nil, ErrMalformed
		}
		if a.step = stepMore; len(password) == 0 {
			return nil, nil
		}
		response := CachingSHA2Response(password, challenge)
		return response[:], nil
	case PluginSHA256:
		switch {
		case len(challenge) < ChallengeLen:
			return nil, ErrMalformed
		case len(password) == 0:
			return []byte{0}, nil
		case a.leg == LegTLS: // a socket is none to this plugin
			return nulled(password), nil
		}
		a.step = stepKey
		return []byte{SHA256KeyRequest}, nil
	case PluginEd25519:
		if len(challenge) != Ed25519ChallengeLen {
			return nil, ErrMalformed
		}
		return Ed25519Response(password, challenge), nil
	case PluginParsec:
		if len(challenge) != Ed25519ChallengeLen {
			return nil, ErrMalformed
		}
		a.step = stepMore
		return nil, nil
	case PluginDialog:
		if len(challenge) == 0 || challenge[0]&^1 != dialogPassword {
			return nil, a.fault(PluginQuestion)
		}
	}
	if a.leg == LegReadable { // clear text, and the answer to dialog's question
		return nil, a.fault(PluginUnsafe)
	}
	return nulled(password), nil
}

// dialogPassword is the first byte of a question of PluginDialog whose answer is
// not to be shown while it is typed. One more, and it is the last question.
const dialogPassword = 4

func (a *Authenticator) native() ([]byte, error) {
	if len(a.challenge) < ChallengeLen {
		return nil, ErrMalformed
	}
	secret := a.secret.native
	if !a.secret.hashed {
		if len(a.secret.password) == 0 {
			return nil, nil
		}
		secret = NativeSecret(a.secret.password)
	}
	response := NativeResponse(secret, a.challenge)
	return response[:], nil
}

// more answers what a plugin's server says after its challenge.
func (a *Authenticator) more(p []byte) (response []byte, speaks bool, err error) {
	password := a.secret.password
	switch step := a.step; {
	case step == stepKey:
		a.step = stepSaid
		var key *rsa.PublicKey
		if key, err = ParsePublicKey(p); err == nil {
			response, err = EncryptPassword(password, a.challenge, key)
		}
		return response, err == nil, err
	case step == stepMore && a.plugin == PluginParsec:
		a.step = stepSaid
		response, err = ParsecResponse(password, a.challenge, p)
		return response, err == nil, err
	case step == stepMore && a.plugin == PluginCachingSHA2 && len(p) == 1:
		a.step = stepSaid
		switch {
		case p[0] == CachingSHA2FastOK:
			return nil, false, nil
		case p[0] != CachingSHA2FullAuth:
		case a.leg == LegReadable:
			a.step = stepKey
			return []byte{CachingSHA2KeyRequest}, true, nil
		default:
			return nulled(password), true, nil
		}
	}
	return nil, false, ErrMalformed
}

func (a *Authenticator) fault(f PluginFault) error { return &PluginError{a.plugin, f} }

// nulled is a copy of password with a NUL behind it.
func nulled(password []byte) []byte {
	return append(append(make([]byte, 0, len(password)+1), password...), 0)
}
