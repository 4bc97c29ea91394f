package packet

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"strings"
	"testing"
)

// rsaKey is testdata's key pair, which openssl has made for these tests.
func rsaKey(t testing.TB) (*rsa.PrivateKey, []byte) {
	t.Helper()
	private, err := os.ReadFile("testdata/rsa.pem")
	if err != nil {
		t.Fatal(err)
	}
	public, err := os.ReadFile("testdata/rsa.pub.pem")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(private)
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key, public
}

// The responses were computed by Python's hashlib.
func TestCachingSHA2Response(t *testing.T) {
	counted := make([]byte, ChallengeLen)
	for i := range counted {
		counted[i] = byte(i + 1)
	}
	for _, c := range []struct{ password, challenge, want string }{
		{"secret", "abcdefghijklmnopqrst", "c76e2898612a4cf042c77fa8c4702c4c64c0c2c557c53c4d75595aaa6abae809"},
		{"secret", "abcdefghijklmnopqrst\x00", "c76e2898612a4cf042c77fa8c4702c4c64c0c2c557c53c4d75595aaa6abae809"},
		{strings.Repeat("paßwörd", 5), string(counted), "c4eec69301ee50b40cab6f0328a883139a99d08a6809b02bc7ddac7b0523af01"},
	} {
		if got := CachingSHA2Response([]byte(c.password), []byte(c.challenge)); hex.EncodeToString(got[:]) != c.want {
			t.Errorf("%q, %q: got %x, want %s", c.password, c.challenge, got, c.want)
		}
	}
	_ = CachingSHA2Response(nil, nil) // a challenge may be short, too
}

const (
	cipherSecret = "aa28597d5ec9309062ccfff2f608e09623a74d619dc6f840697789be71e0155920b71544700a8f61ea71ce3ef295caaa5b9bedb139375e33382423bb020dfc076854f4212c5ba69cd61f7eca8f589e7d21684c346f9631c6ca33a4071f9288de9975da337b80373ddbeab0facd554499ceab47def33a101cd7ae8f1f262cc5cf"
	cipherLong   = "aca8c52e293859344a22f02038c5011efe39f26637c6a336b8c247ee08d6afe04a9de95500ba715efbb8a57a2e9eb4fb2694f7eafc9406b7f5174f5651068f5d8069ebab921aac90a7563033a1b1394d56177b8bc474daa652139a6bf715d408b13d97e135e9ace3b1169b70f51b651b417ad712f0ba0d1edee46d6aa53a025b"
	cipherEmpty  = "941084bc1200b50344944b8a3b5bae730f24b1cb3787d5357f376bcfdd9dfc42a1ef5bfeaaa491bcf1cc7ab95f8a208e4b7ead3cdd98dba70e14e63941e47eeb58380d9b5d5979a9de9c3fb3015b7ee0d559e3b4d2a424c9286d7383c8619d62bffc32adc55aa12742e1e471a7c25afd591d23f40b88f16ff09551094cc4c230"
	cipherNoNUL  = "57277b3374519445f488e3535036dadb3e06617900234fca9dcbbbfcd78316b6b9808f892430498cc588b05cc8f9825b101f6f052657f049391a083551f683cb8416ea44da0091688527bf67f0810252d22f0abf794b3627a75a10bee21589d1d19af0128dc30152004ff4321705256c7724ed72b212ceea91e5c92e1e8fba3c"
)

// The ciphertexts were made by openssl pkeyutl from what Python had XORed.
func TestDecryptPassword(t *testing.T) {
	key, _ := rsaKey(t)
	const challenge = "abcdefghijklmnopqrst"
	other := cipherSecret[:len(cipherSecret)-2] + "00"
	for _, c := range []struct {
		name, cipher, challenge, want string
		err                           error
	}{
		{"a password", cipherSecret, challenge, "secret", nil},
		{"a password longer than the challenge", cipherLong, challenge, "a password longer than the challenge", nil},
		{"the challenge with its NUL", cipherSecret, challenge + "\x00", "secret", nil},
		{"no NUL at the end", cipherNoNUL, challenge, "", ErrMalformed},
		{"another challenge", cipherSecret, "ABCDEFGHIJKLMNOPQRST", "", ErrMalformed},
		{"a short challenge", cipherSecret, challenge[1:], "", ErrMalformed},
		{"no challenge", cipherSecret, "", "", ErrMalformed},
		{"one byte changed", other, challenge, "", ErrMalformed},
		{"a byte less", cipherSecret[2:], challenge, "", ErrMalformed},
		{"a byte more", cipherSecret + "00", challenge, "", ErrMalformed},
		{"nothing", "", challenge, "", ErrMalformed},
		{"a plaintext of no bytes", cipherEmpty, challenge, "", ErrMalformed},
		{"a number as large as the modulus", strings.Repeat("ff", 128), challenge, "", ErrMalformed},
		{"zero", strings.Repeat("00", 128), challenge, "", ErrMalformed},
	} {
		cipher, err := hex.DecodeString(c.cipher)
		if err != nil {
			t.Fatal(err)
		}
		// The same error value whatever is wrong, so == and not errors.Is.
		if got, err := DecryptPassword(cipher, []byte(c.challenge), key); string(got) != c.want || err != c.err {
			t.Errorf("%s: got %q, %v, want %q, %v", c.name, got, err, c.want, c.err)
		}
	}
}

func TestEncryptPasswordIsWhatDecryptPasswordReads(t *testing.T) {
	key, _ := rsaKey(t)
	challenge := []byte("abcdefghijklmnopqrst")
	room := key.Size() - 2*20 - 2 - 1 // what OAEP takes, and the NUL
	for _, n := range []int{0, 1, 19, 20, 21, room} {
		password := bytes.Repeat([]byte("p"), n)
		cipher, err := EncryptPassword(password, challenge, &key.PublicKey)
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if got, err := DecryptPassword(cipher, challenge, key); err != nil || !bytes.Equal(got, password) {
			t.Errorf("%d bytes: %q, %v", n, got, err)
		}
	}
	if _, err := EncryptPassword(make([]byte, room+1), challenge, &key.PublicKey); !errors.Is(err, rsa.ErrMessageTooLong) {
		t.Errorf("%d bytes: error %v, want %v", room+1, err, rsa.ErrMessageTooLong)
	}
	if _, err := EncryptPassword(nil, challenge[1:], &key.PublicKey); !errors.Is(err, ErrMalformed) {
		t.Errorf("short challenge: error %v, want ErrMalformed", err)
	}
}

func TestPublicKey(t *testing.T) {
	key, public := rsaKey(t)
	pub, err := ParsePublicKey(public)
	if err != nil || !pub.Equal(&key.PublicKey) {
		t.Fatalf("ParsePublicKey: %v, %v", pub, err)
	}
	text, err := AppendPublicKey([]byte("\x01"), pub)
	if err != nil || string(text) != "\x01"+string(public) {
		t.Errorf("AppendPublicKey: %q, %v, want %q behind 01", text, err, public)
	}
	if got, err := ParsePublicKey(append(bytes.Clone(public), 0)); err != nil || !got.Equal(pub) {
		t.Errorf("with a NUL behind it: %v, %v", got, err)
	}
	private, _ := os.ReadFile("testdata/rsa.pem")
	elliptic := "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"
	if _, err := x509.ParsePKIXPublicKey(func() []byte { b, _ := pem.Decode([]byte(elliptic)); return b.Bytes }()); err != nil {
		t.Fatalf("the other key is none: %v", err)
	}
	for name, text := range map[string]string{
		"nothing": "", "no PEM": "key", "a private key": string(private), "a key that is not RSA": elliptic,
		"PEM of nothing": "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
		"cut":            string(public[:len(public)-30]),
		"too much text":  strings.Repeat(" ", maxKeyText) + string(public),
	} {
		if pub, err := ParsePublicKey([]byte(text)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, %v, want ErrMalformed", name, pub, err)
		}
	}
	long := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), maxKeyBits, 1), E: 65537}
	text, err = AppendPublicKey(nil, long)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParsePublicKey(text); !errors.Is(err, ErrMalformed) {
		t.Errorf("%d bits: error %v, want ErrMalformed", long.N.BitLen(), err)
	}
}

func FuzzPublicKey(f *testing.F) { // property: what is read can be written, read again and used, or its use refused
	_, public := rsaKey(f)
	f.Add(public)
	f.Fuzz(func(t *testing.T, in []byte) {
		pub, err := ParsePublicKey(in)
		if err != nil {
			return
		}
		text, err := AppendPublicKey(nil, pub)
		if err != nil {
			t.Fatalf("%q: %v", in, err)
		}
		if again, err := ParsePublicKey(text); err != nil || !again.Equal(pub) {
			t.Fatalf("%q written again is %q: %v", in, text, err)
		}
		if cipher, err := EncryptPassword([]byte("secret"), make([]byte, ChallengeLen), pub); err == nil && len(cipher) != pub.Size() {
			t.Fatalf("%q: %d bytes of ciphertext for a key of %d", in, len(cipher), pub.Size())
		}
	})
}

func FuzzPassword(f *testing.F) { // property: an encrypted password is read, and nothing else than ErrMalformed is told of what is not one
	key, _ := rsaKey(f)
	for _, c := range []string{cipherSecret, cipherLong, cipherNoNUL, cipherEmpty} {
		cipher, err := hex.DecodeString(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(cipher, []byte("secret"), []byte("abcdefghijklmnopqrst"))
	}
	f.Fuzz(func(t *testing.T, cipher, password, challenge []byte) {
		if got, err := DecryptPassword(cipher, challenge, key); err != nil && (err != ErrMalformed || got != nil) {
			t.Fatalf("%x, challenge %x: %q, %v", cipher, challenge, got, err)
		}
		_ = CachingSHA2Response(password, challenge)
		cipher, err := EncryptPassword(password, challenge, &key.PublicKey)
		if fits := len(challenge) >= ChallengeLen && len(password) <= key.Size()-43; fits != (err == nil) {
			t.Fatalf("%d bytes, challenge %x: %v", len(password), challenge, err)
		}
		if err != nil {
			return
		}
		if got, err := DecryptPassword(cipher, challenge, key); err != nil || !bytes.Equal(got, password) {
			t.Fatalf("%q, challenge %x: %q, %v", password, challenge, got, err)
		}
	})
}
