package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"mysqlproxy/engine/reactor"
)

// Certificates: what is in PEM files, and the one that the proxy makes itself.

// keyPair makes a certificate of two files, and says which one is wrong.
func keyPair(certOption, keyOption string, cert, key []byte, log *slog.Logger) (*tls.Certificate, error) {
	if _, err := certificates(cert); err != nil {
		return nil, fmt.Errorf("--%s: %w", certOption, err)
	}
	for rest := key; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if encrypted(block) {
			return nil, fmt.Errorf("--%s: the key is encrypted, and there is nobody to ask for its password; decrypt it with: openssl pkey -in FILE -out NEWFILE", keyOption)
		}
	}
	if !bytes.Contains(key, []byte("PRIVATE KEY-----")) {
		return nil, fmt.Errorf("--%s: there is no private key in it (PEM)", keyOption)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("--%s and --%s: %w; the server's own certificate comes first, and the key must be its key", certOption, keyOption, err)
	}
	if what := expiry(pair.Leaf, time.Now()); what != "" {
		log.Warn(fmt.Sprintf("--%s: the certificate %s: peers that verify it refuse it", certOption, what))
	}
	return &pair, nil
}

// encrypted tells whether a block of PEM needs a password.
func encrypted(b *pem.Block) bool {
	return b.Type == "ENCRYPTED PRIVATE KEY" || b.Headers["DEK-Info"] != ""
}

// authorities makes a pool of all certificates in a text.
func authorities(option string, text []byte) (*x509.CertPool, error) {
	list, err := certificates(text)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", option, err)
	}
	pool := x509.NewCertPool()
	for _, c := range list {
		pool.AddCert(c)
	}
	return pool, nil
}

// certificates are those in a text, at least one.
func certificates(text []byte) ([]*x509.Certificate, error) {
	var list []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d in it is damaged: %w", len(list)+1, err)
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, errors.New("there is no certificate in it (PEM)")
	}
	return list, nil
}

// selfMadeYears is how long a self-made certificate holds.
const selfMadeYears = 10

// selfMade makes a certificate for the addresses and names that clients reach
// the proxy by, as far as this machine knows them.
func selfMade(s *settings, listen []reactor.Addr) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	names, ips := reachedBy(s, listen)
	now := time.Now()
	t := x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)), // 0 is not allowed
		Subject:      pkix.Name{CommonName: "mysql-proxy"},
		NotBefore:    now.Add(-time.Hour), // clocks differ
		NotAfter:     now.AddDate(selfMadeYears, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     names, IPAddresses: ips,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, &t, &t, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

// reachedBy are the host names and IP addresses that lead to the proxy. One that
// listens everywhere has the addresses of all network interfaces.
func reachedBy(s *settings, listen []reactor.Addr) (names []string, ips []net.IP) {
	addName := func(name string) {
		if _, err := netip.ParseAddr(name); err != nil && name != "" && ascii(name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	addIP := func(ip net.IP) {
		if v4 := ip.To4(); v4 != nil {
			ip = v4
		}
		if !slices.ContainsFunc(ips, ip.Equal) {
			ips = append(ips, ip)
		}
	}
	if host, err := os.Hostname(); err == nil {
		addName(host)
	}
	for _, text := range s.ProxyAddresses {
		if e, err := reactor.SplitAddr(text); err == nil {
			addName(e.Host)
		}
	}
	for _, a := range listen {
		ip := a.IP.Addr()
		switch {
		case a.Path != "" || !ip.IsValid():
			addName("localhost")
			continue
		case ip.IsUnspecified():
			addName("localhost")
			all, _ := net.InterfaceAddrs() // none is all right
			for _, one := range all {
				if n, ok := one.(*net.IPNet); ok {
					addIP(n.IP)
				}
			}
			continue
		case ip.IsLoopback():
			addName("localhost")
		}
		addIP(net.IP(ip.WithZone("").AsSlice()))
	}
	return names, ips
}

// ascii tells whether a name can stand in a certificate.
func ascii(name string) bool {
	for i := range len(name) {
		if name[i] <= ' ' || name[i] > '~' {
			return false
		}
	}
	return true
}

// fingerprint is how people compare certificates: openssl x509 -fingerprint
// -sha256 shows the same.
func fingerprint(c *tls.Certificate) string {
	sum := sha256.Sum256(c.Certificate[0])
	text := make([]byte, 0, 3*len(sum))
	for i, b := range sum {
		if i > 0 {
			text = append(text, ':')
		}
		text = fmt.Appendf(text, "%02X", b)
	}
	return string(text)
}
