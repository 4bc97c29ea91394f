package e2e

import (
	"crypto/sha512"

	"filippo.io/edwards25519"
)

// ed25519Response is MariaDB's client_ed25519: an Ed25519 signature of the
// challenge whose secret key is the SHA-512 of the password itself.
func ed25519Response(password string, challenge []byte) []byte {
	h := sha512.Sum512([]byte(password))
	s, err := edwards25519.NewScalar().SetBytesWithClamping(h[:32])
	if err != nil {
		panic(err)
	}
	public := new(edwards25519.Point).ScalarBaseMult(s).Bytes()
	r := hashScalar(h[32:], challenge)
	point := new(edwards25519.Point).ScalarBaseMult(r).Bytes()
	k := hashScalar(point, public, challenge)
	return append(point, edwards25519.NewScalar().MultiplyAdd(k, s, r).Bytes()...)
}

func hashScalar(parts ...[]byte) *edwards25519.Scalar {
	h := sha512.New()
	for _, p := range parts {
		h.Write(p)
	}
	s, err := edwards25519.NewScalar().SetUniformBytes(h.Sum(nil))
	if err != nil {
		panic(err)
	}
	return s
}
