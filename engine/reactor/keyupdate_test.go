package reactor

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
)

// traffic is one direction of TLS 1.3 with AES-128-GCM, by RFC 8446: crypto/tls
// answers a KeyUpdate but never sends one of its own will.
type traffic struct {
	secret []byte
	seq    uint64
}

func (k *traffic) expand(label string, n int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(info, byte(len("tls13 "+label)))
	info = append(info, "tls13 "+label...)
	out, err := hkdf.Expand(sha256.New, k.secret, string(append(info, 0)), n)
	if err != nil {
		panic(err)
	}
	return out
}

// next is the cipher and the nonce of the next record.
func (k *traffic) next() (cipher.AEAD, []byte) {
	block, err := aes.NewCipher(k.expand("key", 16))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
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

func (k *traffic) update() { k.secret, k.seq = k.expand("traffic upd", 32), 0 }

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
	if suite := far.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		t.Fatalf("the suite is %s, as crypto/tls chooses it on a processor without AES; this test has keys for TLS_AES_128_GCM_SHA256 only", tls.CipherSuiteName(suite))
	}
	var w, r traffic
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
