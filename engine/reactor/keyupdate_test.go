package reactor

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
)

// traffic is one direction of TLS 1.3, by RFC 8446: crypto/tls answers a
// KeyUpdate but never sends one of its own will.
type traffic struct {
	suite  suite13
	secret []byte
	seq    uint64
}

// suite13 is a cipher suite of TLS 1.3.
type suite13 struct {
	hash    func() hash.Hash
	keySize int
	aead    func(key []byte) (cipher.AEAD, error)
}

// suites13 are all that crypto/tls has. It chooses by what the processor is
// good at: GODEBUG=cpu.aes=off makes it take another.
var suites13 = map[uint16]suite13{
	tls.TLS_AES_128_GCM_SHA256:       {sha256.New, 16, gcm},
	tls.TLS_AES_256_GCM_SHA384:       {sha512.New384, 32, gcm},
	tls.TLS_CHACHA20_POLY1305_SHA256: {sha256.New, chacha20poly1305.KeySize, chacha20poly1305.New},
}

func gcm(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (k *traffic) expand(label string, n int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(info, byte(len("tls13 "+label)))
	info = append(info, "tls13 "+label...)
	out, err := hkdf.Expand(k.suite.hash, k.secret, string(append(info, 0)), n)
	if err != nil {
		panic(err)
	}
	return out
}

// next is the cipher and the nonce of the next record.
func (k *traffic) next() (cipher.AEAD, []byte) {
	aead, err := k.suite.aead(k.expand("key", k.suite.keySize))
	if err != nil {
		panic(err)
	}
	nonce := k.expand("iv", 12)
	seq := binary.BigEndian.AppendUint64(make([]byte, 4), k.seq)
	for i := range nonce {
		nonce[i] ^= seq[i]
	}
	k.seq++
	return aead, nonce
}

func (k *traffic) update() { k.secret, k.seq = k.expand("traffic upd", len(k.secret)), 0 }

func (k *traffic) seal(kind byte, p string) []byte {
	aead, nonce := k.next()
	n := len(p) + 1 + aead.Overhead()
	head := []byte{23, 3, 3, byte(n >> 8), byte(n)}
	return append(head, aead.Seal(nil, nonce, append([]byte(p), kind), head)...)
}

func (k *traffic) open(t *testing.T, conn net.Conn) (kind byte, p string) {
	t.Helper()
	head := mustRead(t, conn, recordHead)
	body := mustRead(t, conn, int(binary.BigEndian.Uint16(head[3:])))
	aead, nonce := k.next()
	plain, err := aead.Open(nil, nonce, body, head)
	if err != nil {
		t.Fatal(err)
	}
	return plain[len(plain)-1], string(plain[:len(plain)-1])
}

func TestKeyUpdate(t *testing.T) {
	const data, handshake = 23, 22
	const asks, asksNot = "\x18\x00\x00\x01\x01", "\x18\x00\x00\x01\x00"
	var keys bytes.Buffer
	cfg, ccfg := serverConfig(), clientConfig()
	cfg.SessionTicketsDisabled = true
	ccfg.KeyLogWriter = &keys
	l := start(t)
	c, peer := l.pair("tcp", &recorder{data: echo})
	l.do(func() { c.StartTLS(cfg, true, noState) })
	far := tls.Client(peer, ccfg)
	if err := far.Handshake(); err != nil {
		t.Fatal(err)
	}
	id := far.ConnectionState().CipherSuite
	suite, known := suites13[id]
	if !known {
		t.Fatalf("the suite is %s, of which this test knows nothing", tls.CipherSuiteName(id))
	}
	t.Log(tls.CipherSuiteName(id))
	w, r := traffic{suite: suite}, traffic{suite: suite}
	for line := range strings.Lines(keys.String()) {
		f := strings.Fields(line)
		secret, err := hex.DecodeString(f[2])
		if err != nil {
			t.Fatal(err)
		}
		switch f[0] {
		case "CLIENT_TRAFFIC_SECRET_0":
			w.secret = secret
		case "SERVER_TRAFFIC_SECRET_0":
			r.secret = secret
		}
	}
	out := &chopped{peer, rand.New(rand.NewPCG(1, 1)), 4}
	expect := func(kind byte, want string) {
		t.Helper()
		if k, got := r.open(t, peer); k != kind || got != want {
			t.Fatalf("got %q of type %d, want %q of type %d", got, k, want, kind)
		}
	}
	mustWrite(t, out, w.seal(data, "one"))
	expect(data, "one")

	mustWrite(t, out, w.seal(handshake, asks))
	w.update()
	mustWrite(t, out, w.seal(data, "two"))
	expect(handshake, asksNot)
	r.update()
	expect(data, "two")

	mustWrite(t, out, w.seal(handshake, asksNot[:3])) // in two records
	mustWrite(t, out, w.seal(handshake, asksNot[3:]))
	w.update()
	mustWrite(t, out, w.seal(data, "three"))
	expect(data, "three")
}
