package e2e

import (
	"crypto/ed25519"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
)

// How a rawConn answers the authentication plugins, by its own arithmetic and
// not by the proxy's packet package.

// The plugins' names in the protocol.
const (
	pluginNative  = "mysql_native_password"
	pluginEd25519 = "client_ed25519"
	pluginSHA2    = "caching_sha2_password"
	pluginSHA256  = "sha256_password"
	pluginParsec  = "parsec"
	pluginDialog  = "dialog"
)

// firstAnswer is the answer to a plugin's challenge; ok is false for a plugin
// that is not known.
func firstAnswer(plugin, password string, challenge []byte) (answer []byte, ok bool) {
	switch plugin {
	case pluginNative:
		return nativeResponse(password, challenge[:min(20, len(challenge))]), true
	case pluginEd25519:
		return ed25519Response(password, challenge), true
	case pluginSHA2:
		return sha2Response(password, challenge[:min(20, len(challenge))]), true
	case pluginSHA256:
		if password == "" {
			return []byte{0}, true
		}
		return []byte{1}, true // asks for the key
	case pluginParsec:
		return nil, true // asks for the salt
	case pluginDialog:
		return append([]byte(password), 0), true // the first question comes with the switch
	}
	return nil, false
}

// sha2Response is caching_sha2_password's first answer, for an account that the
// server has in its cache.
func sha2Response(password string, challenge []byte) []byte {
	if password == "" {
		return nil
	}
	h1 := sha256.Sum256([]byte(password))
	h2 := sha256.Sum256(h1[:])
	h3 := sha256.Sum256(append(h2[:], challenge...))
	for i := range h3 {
		h3[i] ^= h1[i]
	}
	return h3[:]
}

// moreAnswer is the answer to what a plugin said after its challenge, p with
// its leading 0x01 if it has one. speak is false if the server goes on without.
func (c *rawConn) moreAnswer(plugin, password string, challenge, p []byte) (answer []byte, speak bool) {
	switch {
	case plugin == pluginDialog:
		return []byte("yes, of course\x00"), true
	case plugin == pluginSHA2 && len(p) == 2 && p[1] == 3:
		return nil, false
	case plugin == pluginSHA2 && len(p) == 2 && p[1] == 4:
		return []byte{2}, true // asks for the key
	case (plugin == pluginSHA2 || plugin == pluginSHA256) && len(p) > 100:
		return c.encrypted(password, challenge[:min(20, len(challenge))], p[1:]), true
	case plugin == pluginParsec && len(p) > 3 && p[1] == 'P':
		return c.parsecAnswer(password, challenge, p[2], p[3:]), true
	}
	c.end("%s says %x", plugin, p)
	return nil, false
}

// encrypted is the password, mixed with the challenge and encrypted by the
// server's public key.
func (c *rawConn) encrypted(password string, challenge, key []byte) []byte {
	block, _ := pem.Decode(key)
	if block == nil {
		c.end("not a key: %q", key)
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		c.end("not a key: %v", err)
	}
	plain := append([]byte(password), 0)
	for i := range plain {
		plain[i] ^= challenge[i%len(challenge)]
	}
	secret, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, public.(*rsa.PublicKey), plain, nil)
	if err != nil {
		c.end("encrypt: %v", err)
	}
	return secret
}

// parsecAnswer is MariaDB's parsec: a challenge of one's own, and the signature
// of both by a key that is derived from the password and the account's salt.
func (c *rawConn) parsecAnswer(password string, challenge []byte, iterations byte, salt []byte) []byte {
	seed, err := pbkdf2.Key(sha512.New, password, salt, 1024<<iterations, ed25519.SeedSize)
	if err != nil {
		c.end("parsec: %v", err)
	}
	own := make([]byte, 32)
	_, _ = rand.Read(own) // never fails
	return append(own, ed25519.Sign(ed25519.NewKeyFromSeed(seed), append(append([]byte(nil), challenge...), own...))...)
}
