package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mysqlproxy/engine"
	"mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

// logLines is a log's sink that a test looks at.
type logLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *logLines) write(_ slog.Level, line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(line))
}
func (l *logLines) reopen() error { return nil }

// count is the number of lines that have all of the words.
func (l *logLines) count(words ...string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, line := range l.lines {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			n++
		}
	}
	return n
}

func newLogLines() (*logLines, *slog.Logger) {
	l := &logLines{}
	_, log := newLog(l, slog.LevelDebug, "")
	return l, log
}

// tlsSettings are the settings of a command line, which are right.
func tlsSettings(t *testing.T, args ...string) *settings {
	t.Helper()
	l, err := load(args, nil, "")
	if err == nil {
		err = l.check()
	}
	if err != nil {
		t.Fatal(err)
	}
	return l.settings
}

var primaryAddr = reactor.Addr{IP: netip.MustParseAddrPort("127.0.0.1:3306")}

// shake has a client and a server shake hands and returns what the client knows
// then. In TLS 1.3 a server refuses a client's certificate behind the client's
// handshake, so a byte goes each way.
func shake(client, server *tls.Config) (tls.ConnectionState, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer ln.Close()
	served := make(chan error, 1)
	go func() {
		served <- func() error {
			nc, err := ln.Accept()
			if err != nil {
				return err
			}
			defer nc.Close()
			nc.SetDeadline(time.Now().Add(time.Minute))
			c := tls.Server(nc, server)
			if _, err := c.Write([]byte{1}); err != nil {
				return err
			}
			_, err = io.ReadFull(c, make([]byte, 1))
			return err
		}()
	}()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return tls.ConnectionState{}, err
	}
	nc.SetDeadline(time.Now().Add(time.Minute))
	c := tls.Client(nc, client)
	if _, err = io.ReadFull(c, make([]byte, 1)); err == nil {
		_, err = c.Write([]byte{1})
	}
	state := c.ConnectionState()
	if e := <-served; err == nil {
		err = e
	}
	c.Close()
	return state, err
}

// careless is a client that takes any certificate.
func careless() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

func TestOptionsOfTLSThatDoNotFit(t *testing.T) {
	for _, tc := range []struct {
		args string
		says string // empty: nothing is wrong
	}{
		{"", ""},
		{"--proxy-tls=maybe", "--proxy-tls=maybe is unknown; give off, prefer or require"},
		{"--proxy-tls=", "--proxy-tls= is unknown; give off, prefer or require"},
		{"--proxy-tls-client-cert=yes", "give off, optional or require"},
		{"--proxy-tls-min-version=1.1", "--proxy-tls-min-version=1.1 is unknown; give 1.2 or 1.3"},
		{"--backend-tls=verify", "--backend-tls=verify is unknown; give same, off, prefer, require, verify-ca or verify-identity"},
		{"--proxy-compression=lz4", "--proxy-compression=lz4 is unknown; give off, or one or more of zlib,zstd"},
		{"--proxy-compression=off,zlib", "give off, or one or more of zlib,zstd"},
		{"--proxy-compression=zlib,", "give off, or one or more of zlib,zstd"},
		{"--proxy-compression=zstd,zlib", ""},
		{"--backend-compression=zlib,zstd", "--backend-compression=zlib,zstd is unknown; give off, zlib or zstd"},
		{"--zlib-level=0", "--zlib-level: 0 is not possible; give 1 to 9"},
		{"--zlib-level=10", "--zlib-level: 10 is not possible; give 1 to 9"},
		{"--zstd-level=23", "--zstd-level: 23 is not possible; give 1 to 22"},
		{"--zstd-level=best", `"best" is not an integer`},
		{"--proxy-tls-cert=c", "--proxy-tls-cert and --proxy-tls-key go together"},
		{"--proxy-tls-key=k", "--proxy-tls-cert and --proxy-tls-key go together"},
		{"--proxy-tls-client-cert=optional", "needs --proxy-tls-ca"},
		{"--proxy-tls-ca=a", "give --proxy-tls-client-cert=optional or require"},
		{"--proxy-tls-ca=a --proxy-tls-client-cert=require", "give --proxy-tls=require as well"},
		{"--proxy-tls-ca=a --proxy-tls-client-cert=require --proxy-tls=require", ""},
		{"--proxy-tls-ca=a --proxy-tls-client-cert=optional", ""},
		{"--backend-tls-cert=c", "--backend-tls-cert and --backend-tls-key go together"},
		{"--backend-tls=verify-ca", "--backend-tls=verify-ca needs --backend-tls-ca"},
		{"--backend-tls=verify-identity", ""},
		{"--backend-tls-ca=a", "--backend-tls-ca verifies nothing with --backend-tls=same"},
		{"--backend-tls-ca=a --backend-tls=require", "verifies nothing with --backend-tls=require"},
		{"--backend-tls-ca=a --backend-tls=verify-ca", ""},
	} {
		l, err := load(strings.Fields(tc.args), nil, "")
		if err == nil {
			err = l.check()
		}
		if tc.says == "" && err != nil || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
			t.Errorf("%s: %v; want %q", tc.args, err, tc.says)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than a line: %q", tc.args, err)
		}
	}
}

func TestWhatTheEngineIsTold(t *testing.T) {
	for _, tc := range []struct {
		args            string
		client, backend engine.TLSMode
		forClients      packet.Capability
		forBackends     packet.Capability
		zlib, zstd      int
	}{
		{"", engine.TLSPrefer, engine.TLSSame, packet.CapCompress | packet.CapZstd, 0, 1, 3},
		{"--proxy-tls=off --backend-tls=off --proxy-compression=off", engine.TLSOff, engine.TLSOff, 0, 0, 1, 3},
		{"--proxy-tls=require --backend-tls=prefer --proxy-compression=zstd --backend-compression=zlib --zlib-level=9 --zstd-level=22",
			engine.TLSRequire, engine.TLSPrefer, packet.CapZstd, packet.CapCompress, 9, 22},
		{"--backend-tls=require --backend-compression=zstd --proxy-compression=zlib", engine.TLSPrefer, engine.TLSRequire, packet.CapCompress, packet.CapZstd, 1, 3},
		{"--backend-tls=verify-identity", engine.TLSPrefer, engine.TLSRequire, packet.CapCompress | packet.CapZstd, 0, 1, 3},
	} {
		s := tlsSettings(t, strings.Fields(tc.args)...)
		var c engine.Config
		if err := security(&c, s, newKept(), slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		if c.ClientTLS != tc.client || c.BackendTLS != tc.backend || c.ClientCompression != tc.forClients || c.BackendCompression != tc.forBackends ||
			c.ZlibLevel != tc.zlib || c.ZstdLevel != tc.zstd {
			t.Errorf("%s: %+v", tc.args, c)
		}
		if (c.ClientTLSConfig != nil) != (tc.client != engine.TLSOff) || (c.BackendTLSConfig != nil) != (tc.backend != engine.TLSOff) || c.PasswordKey == nil {
			t.Errorf("%s: configurations %t and %t, key %t", tc.args, c.ClientTLSConfig != nil, c.BackendTLSConfig != nil, c.PasswordKey != nil)
		}
	}
}

func TestFilesOfTLSThatCannotBeUsed(t *testing.T) {
	files := newSecrets(t)
	ca := enginetest.NewAuthority("ca")
	one, other := ca.Named("db"), ca.Named("db")
	cert, key := files.put("cert", one.CertPEM()), files.put("key", one.KeyPEM())
	foreign := files.put("foreign", other.KeyPEM())
	text := files.put("text", []byte("no PEM\n"))
	damaged := files.put("damaged", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}))
	locked := files.put("locked", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}))
	old := files.put("old", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"DEK-Info": "AES-128-CBC,00"}, Bytes: []byte("x")}))
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak := files.put("weak", enginetest.KeyPEM(short))
	missing := files.dir + "/missing"
	for _, tc := range []struct{ args, says string }{
		{"--proxy-tls-cert=" + cert + " --proxy-tls-key=" + key, ""},
		{"--proxy-tls-cert=" + missing + " --proxy-tls-key=" + key, "--proxy-tls-cert: cannot read " + missing + ": no such file or directory; check the name and the permissions"},
		{"--proxy-tls-cert=" + cert + " --proxy-tls-key=" + files.dir, "--proxy-tls-key: cannot read " + files.dir + ": it is not a regular file"},
		{"--proxy-tls-cert=" + text + " --proxy-tls-key=" + key, "--proxy-tls-cert: there is no certificate in it (PEM)"},
		{"--proxy-tls-cert=" + damaged + " --proxy-tls-key=" + key, "--proxy-tls-cert: certificate 1 in it is damaged"},
		{"--proxy-tls-cert=" + cert + " --proxy-tls-key=" + text, "--proxy-tls-key: there is no private key in it (PEM)"},
		{"--proxy-tls-cert=" + key + " --proxy-tls-key=" + cert, "--proxy-tls-cert: there is no certificate in it (PEM)"},
		{"--proxy-tls-cert=" + cert + " --proxy-tls-key=" + foreign, "the key must be its key"},
		{"--proxy-tls-cert=" + cert + " --proxy-tls-key=" + locked, "--proxy-tls-key: the key is encrypted"},
		{"--backend-tls-cert=" + cert + " --backend-tls-key=" + old, "--backend-tls-key: the key is encrypted"},
		{"--backend-tls-cert=" + cert + " --backend-tls-key=" + foreign, "--backend-tls-cert and --backend-tls-key: "},
		{"--proxy-tls-client-cert=optional --proxy-tls-ca=" + text, "--proxy-tls-ca: there is no certificate in it"},
		{"--backend-tls=verify-ca --backend-tls-ca=" + missing, "--backend-tls-ca: cannot read " + missing},
		{"--proxy-rsa-key=" + missing, "--proxy-rsa-key: cannot read " + missing},
		{"--proxy-rsa-key=" + text, "--proxy-rsa-key: there is no private key in it (PEM); make one with: openssl genrsa -out FILE 2048"},
		{"--proxy-rsa-key=" + key, "--proxy-rsa-key: the key is not one of RSA"},
		{"--proxy-rsa-key=" + old, "--proxy-rsa-key: the key is encrypted"},
		{"--proxy-rsa-key=" + weak, "--proxy-rsa-key: the key has 1024 bits, too few"},
	} {
		err := checkSecurity(tlsSettings(t, strings.Fields(tc.args)...))
		if tc.says == "" && err != nil || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
			t.Errorf("%s: %v; want %q", tc.args, err, tc.says)
		}
	}
	if err := checkSecurity(tlsSettings(t, "--proxy-rsa-key="+missing, "--no-proxy")); err != nil {
		t.Errorf("without a proxy, its key is missed: %v", err)
	}
}

func TestKeyThatOthersMayRead(t *testing.T) {
	files := newSecrets(t)
	own := enginetest.NewAuthority("ca").Named("db")
	cert, key := files.put("cert", own.CertPEM()), files.put("key", own.KeyPEM())
	for mode, want := range map[os.FileMode]int{0o600: 0, 0o640: 0, 0o604: 1, 0o644: 1} {
		if err := os.Chmod(key, mode); err != nil {
			t.Fatal(err)
		}
		lines, log := newLogLines()
		s := tlsSettings(t, "--proxy-tls-cert="+cert, "--proxy-tls-key="+key)
		if err := security(&engine.Config{}, s, newKept(), log); err != nil {
			t.Fatal(err)
		}
		if n := lines.count("(warning) --proxy-tls-key: the mode", "gives access to everybody: chmod o= "+key); n != want {
			t.Errorf("mode %04o: %d warnings, want %d: %q", mode, n, want, lines.lines)
		}
	}
}

func TestSelfMadeCertificate(t *testing.T) {
	lines, log := newLogLines()
	s := tlsSettings(t, "--proxy-address=localhost:4040")
	c, err := clientTLS(s, []reactor.Addr{{IP: netip.MustParseAddrPort("127.0.0.1:4040")}, {IP: netip.MustParseAddrPort("[fe80::1%lo]:4040")}, {Path: "/run/s"}}, newKept(), log)
	if err != nil {
		t.Fatal(err)
	}
	leaf := c.Certificates[0].Leaf
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"127.0.0.1", "fe80::1", "localhost", host} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: name}); err != nil {
			t.Errorf("as %s: %v", name, err)
		}
		if _, err := shake(&tls.Config{RootCAs: pool, ServerName: name}, c); err != nil {
			t.Errorf("handshake with %s: %v", name, err)
		}
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: "db.example"}); err == nil {
		t.Error("it is for another name, too")
	}
	if years := time.Until(leaf.NotAfter).Hours() / 24 / 365; years < 9.9 || years > 10.1 {
		t.Errorf("it holds for %.1f years", years)
	}
	if n := lines.count("(message) TLS with clients: no --proxy-tls-cert", fingerprint(&c.Certificates[0])); n != 1 {
		t.Errorf("%d lines about it: %q", n, lines.lines)
	}

	// Listening everywhere is listening on the loopback, too.
	all, err := clientTLS(tlsSettings(t), []reactor.Addr{{IP: netip.MustParseAddrPort("0.0.0.0:4040")}}, newKept(), log)
	if err != nil {
		t.Fatal(err)
	}
	if err := all.Certificates[0].Leaf.VerifyHostname("127.0.0.1"); err != nil {
		t.Error(err)
	}
}

func TestClientsCertificates(t *testing.T) {
	files := newSecrets(t)
	ca, stranger := enginetest.NewAuthority("ca"), enginetest.NewAuthority("stranger")
	caFile := files.put("ca", ca.CertPEM())
	with := func(a *enginetest.Identity) *tls.Config {
		c := careless()
		c.Certificates = []tls.Certificate{a.TLS()}
		return c
	}
	expired := ca.Issue(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	for _, tc := range []struct {
		how                            string
		none, good, foreign, outOfDate bool // whether it gets in
	}{
		{"off", true, true, true, true},
		{"optional", true, true, false, false},
		{"require", false, true, false, false},
	} {
		args := []string{"--proxy-tls=require", "--proxy-tls-client-cert=" + tc.how}
		if tc.how != "off" {
			args = append(args, "--proxy-tls-ca="+caFile)
		}
		for _, version := range []string{"1.2", "1.3"} {
			server, err := clientTLS(tlsSettings(t, append(args, "--proxy-tls-min-version="+version)...), nil, newKept(), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			for name, c := range map[string]struct {
				config *tls.Config
				in     bool
			}{
				"none": {careless(), tc.none}, "good": {with(ca.Named("app")), tc.good},
				"foreign": {with(stranger.Named("app")), tc.foreign}, "expired": {with(expired), tc.outOfDate},
			} {
				if version == "1.2" {
					c.config.MaxVersion = tls.VersionTLS12
				}
				// A client that knows which authorities are asked for shows no other's
				// certificate; this one does.
				if own := c.config.Certificates; len(own) > 0 {
					c.config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own[0], nil }
				}
				if _, err := shake(c.config, server); (err == nil) != c.in {
					t.Errorf("%s, TLS %s, certificate %s: %v, want in: %t", tc.how, version, name, err, c.in)
				}
			}
		}
	}
}

func TestOldestVersionOfTLS(t *testing.T) {
	for _, tc := range []struct {
		min string
		max uint16
		in  bool
	}{{"1.2", tls.VersionTLS11, false}, {"1.2", tls.VersionTLS12, true}, {"1.3", tls.VersionTLS12, false}, {"1.3", tls.VersionTLS13, true}} {
		server, err := clientTLS(tlsSettings(t, "--proxy-tls-min-version="+tc.min), nil, newKept(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		client := careless()
		client.MinVersion, client.MaxVersion = tls.VersionTLS10, tc.max
		if _, err := shake(client, server); (err == nil) != tc.in {
			t.Errorf("at least %s, client up to %#x: %v, want in: %t", tc.min, tc.max, err, tc.in)
		}
	}
}

func TestPasswordKey(t *testing.T) {
	of, err := passwordKey(tlsSettings(t), newKept(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	made := of()
	if made == nil || made.N.BitLen() != 2048 || of() != made {
		t.Fatalf("the key that is made is %v, and is made once: %t", made != nil, of() == made)
	}
	files := newSecrets(t)
	for name, text := range map[string][]byte{
		"PKCS 8": enginetest.KeyPEM(made),
		"PKCS 1": pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(made)}),
	} {
		of, err := passwordKey(tlsSettings(t, "--proxy-rsa-key="+files.put("rsa", text)), newKept(), slog.New(slog.DiscardHandler))
		if err != nil || !made.Equal(of()) {
			t.Errorf("%s: another key, %v", name, err)
		}
	}
}
