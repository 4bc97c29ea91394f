package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"mysqlproxy/engine"
	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

// This file makes the engine's configuration of TLS and compression out of the
// options. What it hands over is called on the goroutines of handshakes:
//
//	proxy-tls-*    -> clientTLS    -> Config.ClientTLSConfig
//	backend-tls-*  -> backendTLS   -> Config.BackendTLSConfig, verifyBackend
//	proxy-rsa-key  -> passwordKey  -> Config.PasswordKey

// security fills in what c has of TLS and compression. Its addresses are there
// already.
func security(c *engine.Config, s *settings, k *kept, log *slog.Logger) error {
	var err error
	switch s.ProxyTLS {
	case "prefer":
		c.ClientTLS = engine.TLSPrefer
	case "require":
		c.ClientTLS = engine.TLSRequire
	}
	if c.ClientTLS != engine.TLSOff {
		if c.ClientTLSConfig, err = clientTLS(s, c.Listen, k, log); err != nil {
			return err
		}
	}
	switch s.BackendTLS {
	case "same":
		c.BackendTLS = engine.TLSSame
	case "prefer":
		c.BackendTLS = engine.TLSPrefer
	case "require", "verify-ca", "verify-identity":
		c.BackendTLS = engine.TLSRequire
	}
	if c.BackendTLS != engine.TLSOff {
		if c.BackendTLSConfig, err = backendTLS(s, log); err != nil {
			return err
		}
	}
	if c.PasswordKey, err = passwordKey(s, k, log); err != nil {
		return err
	}
	c.ClientCompression = compression(s.ProxyCompression)
	c.BackendCompression = compression(s.BackendCompression)
	c.ZlibLevel, c.ZstdLevel = s.ZlibLevel, s.ZstdLevel
	return nil
}

// checkSecurity finds unusable files while somebody is looking at the terminal;
// the process that serves reads them again.
func checkSecurity(s *settings) error {
	if !s.runsProxy() {
		return nil
	}
	quiet := slog.New(slog.DiscardHandler)
	own := *s
	if own.ProxyTLSCert == "" && own.ProxyTLSCA == "" {
		own.ProxyTLS = "off" // a self-made certificate need not be made twice
	}
	if err := security(&engine.Config{}, &own, newKept(), quiet); err != nil {
		return err
	}
	if _, err := s.health(); err != nil {
		return err
	}
	if _, err := openUsers(s, quiet); err != nil || s.AuthSyncPasswordFile == "" {
		return err
	}
	_, err := readSecret("auth-sync-password-file", s.AuthSyncPasswordFile)
	return err
}

// compression is the set of capabilities that a list of algorithms stands for.
func compression(list string) packet.Capability {
	var set packet.Capability
	for _, name := range splitChoices(list) {
		switch name {
		case "zlib":
			set |= packet.CapCompress
		case "zstd":
			set |= packet.CapZstd
		}
	}
	return set
}

// clientTLS is what clients are met with. Session tickets are on, with keys that
// last as long as the process, whatever becomes of the files.
func clientTLS(s *settings, listen []reactor.Addr, k *kept, log *slog.Logger) (*tls.Config, error) {
	base := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.ProxyTLSMinVersion == "1.3" {
		base.MinVersion = tls.VersionTLS13
	}
	switch s.ProxyTLSClientCert {
	case "optional":
		base.ClientAuth = tls.VerifyClientCertIfGiven
	case "require":
		base.ClientAuth = tls.RequireAndVerifyClientCert
	}
	var files []watchedFile
	if s.ProxyTLSCert != "" {
		files = append(files, watchedFile{option: "proxy-tls-cert", name: s.ProxyTLSCert}, watchedFile{option: "proxy-tls-key", name: s.ProxyTLSKey, secret: true})
	} else {
		if k.certificate == nil {
			own, err := selfMade(s, listen)
			if err != nil {
				return nil, fmt.Errorf("making a certificate for clients: %w", err)
			}
			log.Log(context.Background(), engine.LevelMessage, fmt.Sprintf("TLS with clients: no --proxy-tls-cert, so the certificate is self-made, "+
				"for as long as this process runs; its SHA-256 fingerprint is %s", fingerprint(own)))
			k.certificate = own
		}
		base.Certificates = []tls.Certificate{*k.certificate}
	}
	if s.ProxyTLSClientCert != "off" {
		files = append(files, watchedFile{option: "proxy-tls-ca", name: s.ProxyTLSCA})
	}
	if len(files) == 0 {
		return base, nil
	}
	w, err := watch(log, func(texts [][]byte) (*tls.Config, error) {
		c := base.Clone()
		c.GetConfigForClient = nil
		c.DynamicRecordSizingDisabled = true // as the reactor wants it of those that it is given
		if s.ProxyTLSCert != "" {
			pair, err := keyPair("proxy-tls-cert", "proxy-tls-key", texts[0], texts[1], log)
			if err != nil {
				return nil, err
			}
			c.Certificates = []tls.Certificate{*pair}
			texts = texts[2:]
		}
		if len(texts) > 0 {
			pool, err := authorities("proxy-tls-ca", texts[0])
			if err != nil {
				return nil, err
			}
			c.ClientCAs = pool
		}
		return c, nil
	}, files...)
	if err != nil {
		return nil, err
	}
	// A configuration without ticket keys of its own is given those of the one
	// that this is called on.
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return w.get(), nil }
	return base, nil
}

// backendTLS is a function that has one configuration for each backend, and with
// it a cache of TLS sessions, so that most connects to it are resumptions. It has
// none (nil) for a unix socket.
func backendTLS(s *settings, log *slog.Logger) (func(engine.BackendConfig) *tls.Config, error) {
	var own *watched[tls.Certificate]
	var roots *watched[x509.CertPool]
	var err error
	if s.BackendTLSCert != "" {
		own, err = watch(log, func(texts [][]byte) (*tls.Certificate, error) {
			return keyPair("backend-tls-cert", "backend-tls-key", texts[0], texts[1], log)
		}, watchedFile{option: "backend-tls-cert", name: s.BackendTLSCert}, watchedFile{option: "backend-tls-key", name: s.BackendTLSKey, secret: true})
		if err != nil {
			return nil, err
		}
	}
	if s.BackendTLSCA != "" {
		roots, err = watch(log, func(texts [][]byte) (*x509.CertPool, error) {
			return authorities("backend-tls-ca", texts[0])
		}, watchedFile{option: "backend-tls-ca", name: s.BackendTLSCA})
		if err != nil {
			return nil, err
		}
	}
	build := func(b engine.BackendConfig) *tls.Config {
		host := b.Host
		if host == "" {
			host = b.Addr.IP.Addr().String()
		}
		c := &tls.Config{
			MinVersion: tls.VersionTLS12,
			ServerName: host,
			// Whatever is to be verified VerifyConnection does, which is also called
			// where a session is resumed and always has today's authorities.
			InsecureSkipVerify: true,
			ClientSessionCache: tls.NewLRUClientSessionCache(0),
		}
		if own != nil {
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own.get(), nil }
		}
		if s.BackendTLS != "verify-ca" && s.BackendTLS != "verify-identity" {
			return c
		}
		name := ""
		if s.BackendTLS == "verify-identity" {
			name = host
		}
		c.VerifyConnection = func(state tls.ConnectionState) error {
			var pool *x509.CertPool // nil: the system's
			if roots != nil {
				pool = roots.get()
			}
			if err := verifyBackend(state.PeerCertificates, pool, name); err != nil {
				return fmt.Errorf("the certificate of the server %v does not pass --backend-tls=%s: %w", b.Addr, s.BackendTLS, err)
			}
			return nil
		}
		return c
	}
	var mu sync.Mutex
	type server struct {
		addr reactor.Addr
		host string
	}
	made := map[server]*tls.Config{}
	return func(b engine.BackendConfig) *tls.Config {
		if b.Addr.Path != "" {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		to := server{b.Addr, b.Host}
		c := made[to]
		if c == nil {
			c = build(b)
			made[to] = c
		}
		return c
	}, nil
}

// verifyBackend verifies a server's certificate, which comes first, against the
// authorities in roots, nil for the system's, and unless host is empty that it is
// for that name or IP address.
func verifyBackend(chain []*x509.Certificate, roots *x509.CertPool, host string) error {
	if len(chain) == 0 {
		return errors.New("it showed none")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: host})
	return err
}

// minRSABits is the least length of an RSA key for passwords. Servers make them
// of this length.
const minRSABits = 2048

// passwordKey is the key from the file, or one that is made when it is first
// asked for: that takes a good part of a second.
func passwordKey(s *settings, k *kept, log *slog.Logger) (func() *rsa.PrivateKey, error) {
	if s.ProxyRSAKey == "" && k.passwordKey == nil {
		k.passwordKey = sync.OnceValue(func() *rsa.PrivateKey {
			key, err := rsa.GenerateKey(rand.Reader, minRSABits)
			if err != nil {
				log.Error("making the RSA key for passwords failed; give one with --proxy-rsa-key", "error", err)
				return nil
			}
			return key
		})
	}
	if s.ProxyRSAKey == "" {
		return k.passwordKey, nil
	}
	w, err := watch(log, func(texts [][]byte) (*rsa.PrivateKey, error) { return rsaKey(texts[0]) },
		watchedFile{option: "proxy-rsa-key", name: s.ProxyRSAKey, secret: true})
	if err != nil {
		return nil, err
	}
	return w.get, nil
}

// rsaKey reads a private key in one of the two forms that PEM has for it.
func rsaKey(text []byte) (*rsa.PrivateKey, error) {
	fail := func(why string) (*rsa.PrivateKey, error) {
		return nil, errors.New("--proxy-rsa-key: " + why + "; make one with: openssl genrsa -out FILE 2048")
	}
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return fail("there is no private key in it (PEM)")
		}
		if encrypted(block) {
			return fail("the key is encrypted, and there is nobody to ask for its password")
		}
		var key any
		var err error
		switch block.Type {
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		default:
			continue
		}
		own, ok := key.(*rsa.PrivateKey)
		switch {
		case err != nil:
			return fail("the key is damaged: " + err.Error())
		case !ok:
			return fail("the key is not one of RSA")
		case own.N.BitLen() < minRSABits:
			return fail(fmt.Sprintf("the key has %d bits, too few", own.N.BitLen()))
		}
		return own, nil
	}
}

// expiry says that a certificate does not hold at the time, or is empty.
func expiry(c *x509.Certificate, now time.Time) string {
	switch {
	case now.After(c.NotAfter):
		return "expired on " + c.NotAfter.Format(time.DateOnly)
	case now.Before(c.NotBefore):
		return "is not good before " + c.NotBefore.Format(time.DateOnly)
	}
	return ""
}
