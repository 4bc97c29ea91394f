package packet

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/pem"
)

// This file has the arithmetic of PluginCachingSHA2 and PluginSHA256. The former
// goes, after the response to the challenge,
//
//	S: 01 03            the server knew the account's hash; it speaks again, OK
//	S: 01 04            it did not, and wants the password:
//	C: password NUL       over TLS or a unix socket
//	C: 02                 elsewhere
//	S: 01 public key
//	C: encrypted password
//
// PluginSHA256 wants the password at once. Without TLS its client asks for the
// key by 01, in the place of a response.

// What follows the 01 of an AuthMoreData from PluginCachingSHA2, and what its
// and PluginSHA256's client ask for the key with, as a payload of one byte.
const (
	CachingSHA2FastOK     = 3
	CachingSHA2FullAuth   = 4
	CachingSHA2KeyRequest = 2
	SHA256KeyRequest      = 1
)

const (
	maxKeyText = 16 << 10 // bytes of PEM
	maxKeyBits = 8192     // servers make 2048; more only costs the one who must encrypt
)

// CachingSHA2Response is PluginCachingSHA2's response to a challenge, of which
// the first ChallengeLen bytes count:
//
//	SHA256(password) XOR SHA256(SHA256(SHA256(password)), challenge)
//
// The response to an empty password is not this but no bytes at all.
func CachingSHA2Response(password, challenge []byte) [sha256.Size]byte {
	secret := sha256.Sum256(password)
	hash := sha256.Sum256(secret[:])
	var b [sha256.Size + ChallengeLen]byte
	n := copy(b[:], hash[:])
	n += copy(b[n:], challenge)
	mask := sha256.Sum256(b[:n])
	subtle.XORBytes(mask[:], mask[:], secret[:])
	return mask
}

// EncryptPassword is what a client sends to the owner of pub in the place of
// the password, which is without a NUL: RSA-OAEP with SHA-1 of the password and
// a NUL, XOR the challenge over and over. Of challenge the first ChallengeLen
// bytes count, and it must have them. The error is ErrMalformed for a shorter
// challenge, or says that the password is too long for the key (2048 bits have
// room for 213 bytes) or that crypto/rsa refuses the key.
func EncryptPassword(password, challenge []byte, pub *rsa.PublicKey) ([]byte, error) {
	if len(challenge) < ChallengeLen {
		return nil, ErrMalformed
	}
	plain := make([]byte, len(password)+1)
	copy(plain, password)
	xorChallenge(plain, challenge)
	cipher, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, pub, plain, nil)
	clear(plain)
	return cipher, err
}

// DecryptPassword is the password, without NUL, that a client has encrypted by
// EncryptPassword for the owner of key. The error is ErrMalformed whatever is
// wrong, lest a client learn of a ciphertext which step has failed.
func DecryptPassword(cipher, challenge []byte, key *rsa.PrivateKey) ([]byte, error) {
	if len(cipher) != key.Size() || len(challenge) < ChallengeLen {
		return nil, ErrMalformed
	}
	plain, err := rsa.DecryptOAEP(sha1.New(), nil, key, cipher, nil)
	if err != nil || len(plain) == 0 {
		return nil, ErrMalformed
	}
	xorChallenge(plain, challenge)
	n := len(plain) - 1
	if plain[n] != 0 {
		return nil, ErrMalformed
	}
	return plain[:n:n], nil
}

// xorChallenge changes b by the challenge's first ChallengeLen bytes.
func xorChallenge(b, challenge []byte) {
	for i := range b {
		b[i] ^= challenge[i%ChallengeLen]
	}
}

// ParsePublicKey reads the key that a server sends in an AuthMoreData: PEM,
// "PUBLIC KEY". The error is ErrMalformed, for anything else than an RSA key and
// for one longer than 8192 bits too.
func ParsePublicKey(text []byte) (*rsa.PublicKey, error) {
	if len(text) > maxKeyText {
		return nil, ErrMalformed
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, ErrMalformed
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, ErrMalformed
	}
	pub, ok := key.(*rsa.PublicKey)
	if !ok || pub.N.BitLen() > maxKeyBits {
		return nil, ErrMalformed
	}
	return pub, nil
}

// AppendPublicKey appends pub as ParsePublicKey reads it. The error is that of
// crypto/x509 for a key that is none; dst is then returned as it was.
func AppendPublicKey(dst []byte, pub *rsa.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return dst, err
	}
	return append(dst, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})...), nil
}
