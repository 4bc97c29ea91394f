package packet

import (
	"crypto/ed25519"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"

	"filippo.io/edwards25519"
)

// This file has the arithmetic of MariaDB's two plugins whose response is an
// Ed25519 signature. PluginEd25519 signs the challenge by a key that is derived
// from the password alone; PluginParsec asks for the account's salt first:
//
//	S: switch, challenge
//	C: (empty)
//	S: 01 'P', iterations, salt
//	C: challenge of its own, signature of both

// Ed25519ChallengeLen is the length in bytes of the challenge of PluginEd25519
// and of PluginParsec.
const Ed25519ChallengeLen = 32

const (
	parsecKDF      = 'P' // PBKDF2 with SHA-512, the only one there is
	parsecFactors  = 4   // 1024 iterations times 2 to the power of 0 to 3
	maxParsecSalt  = 64  // bytes; servers send 18
	parsecSaltFrom = 2
)

// Ed25519Response is PluginEd25519's response to a challenge: a signature, of 64
// bytes, of the challenge. The key is an expanded one, the SHA-512 of the password
// itself, which is why crypto/ed25519, whose keys begin with a seed, cannot make
// it. It can verify it.
func Ed25519Response(password, challenge []byte) []byte {
	h := sha512.Sum512(password)
	key, public := ed25519Key(&h)
	nonce := scalarOf(h[32:], challenge)
	point := new(edwards25519.Point).ScalarBaseMult(nonce).Bytes()
	k := scalarOf(point, public, challenge)
	clear(h[:])
	return append(point, edwards25519.NewScalar().MultiplyAdd(k, key, nonce).Bytes()...)
}

// ed25519Key is the private scalar and the public key that belong to the
// SHA-512 of a password.
func ed25519Key(h *[sha512.Size]byte) (*edwards25519.Scalar, []byte) {
	key, err := edwards25519.NewScalar().SetBytesWithClamping(h[:32])
	if err != nil {
		panic(err) // for another length than 32 only
	}
	return key, new(edwards25519.Point).ScalarBaseMult(key).Bytes()
}

// scalarOf is the SHA-512 of parts as a scalar.
func scalarOf(parts ...[]byte) *edwards25519.Scalar {
	h := sha512.New()
	for _, p := range parts {
		h.Write(p)
	}
	s, err := edwards25519.NewScalar().SetUniformBytes(h.Sum(nil))
	if err != nil {
		panic(err) // for another length than 64 only
	}
	return s
}

// ParsecResponse is PluginParsec's response to a challenge, of 96 bytes: one of
// its own and the signature of both. account is what the server says of the
// account, behind the 01 of its AuthMoreData. It takes up to 10 ms. The error is
// ErrMalformed for an account with more iterations than servers allow, too.
func ParsecResponse(password, challenge, account []byte) ([]byte, error) {
	if len(account) <= parsecSaltFrom || len(account) > parsecSaltFrom+maxParsecSalt ||
		account[0] != parsecKDF || account[1] >= parsecFactors {
		return nil, ErrMalformed
	}
	key, err := parsecKey(password, account)
	if err != nil {
		return nil, err
	}
	response := make([]byte, Ed25519ChallengeLen, Ed25519ChallengeLen+ed25519.SignatureSize)
	if _, err := rand.Read(response); err != nil {
		return nil, err
	}
	both := append(append(make([]byte, 0, 2*Ed25519ChallengeLen), challenge...), response...)
	response = append(response, ed25519.Sign(key, both)...)
	clear(key)
	return response, nil
}

// parsecKey derives the key of an account.
func parsecKey(password, account []byte) (ed25519.PrivateKey, error) {
	seed, err := pbkdf2.Key(sha512.New, string(password), account[parsecSaltFrom:], 1024<<account[1], ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	key := ed25519.NewKeyFromSeed(seed)
	clear(seed)
	return key, nil
}
