package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// TLSFiles are the paths of what TLS needs, in PEM. All certificates come from
// a certificate authority that the testbed makes and throws away.
type TLSFiles struct {
	CA         string `json:"ca"`          // certificate of the authority
	Cert       string `json:"cert"`        // of all servers; for 127.0.0.1 and localhost
	Key        string `json:"key"`         // of Cert
	ClientCert string `json:"client_cert"` // for clients that want to show one
	ClientKey  string `json:"client_key"`
}

// makeCertificates makes the files in a new folder dir.
func makeCertificates(dir string) (TLSFiles, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return TLSFiles{}, err
	}
	now := time.Now()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "testbed's authority"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return TLSFiles{}, err
	}
	// issue signs a certificate and writes name.pem and, unless it is the
	// authority's, name-key.pem.
	issue := func(name string, cert *x509.Certificate, key *ecdsa.PrivateKey) (certFile, keyFile string, err error) {
		der, err := x509.CreateCertificate(rand.Reader, cert, authority, &key.PublicKey, caKey)
		if err != nil {
			return "", "", err
		}
		certFile = filepath.Join(dir, name+".pem")
		if err := writePEM(certFile, "CERTIFICATE", der); err != nil || key == caKey {
			return certFile, "", err
		}
		der, err = x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return "", "", err
		}
		keyFile = filepath.Join(dir, name+"-key.pem")
		return certFile, keyFile, writePEM(keyFile, "PRIVATE KEY", der)
	}
	var f TLSFiles
	if f.CA, _, err = issue("ca", authority, caKey); err != nil {
		return f, err
	}
	for i, leaf := range []struct {
		name      string
		usage     x509.ExtKeyUsage
		cert, key *string
	}{
		{"server", x509.ExtKeyUsageServerAuth, &f.Cert, &f.Key},
		{"client", x509.ExtKeyUsageClientAuth, &f.ClientCert, &f.ClientKey},
	} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return f, err
		}
		cert := &x509.Certificate{
			SerialNumber: big.NewInt(int64(2 + i)), Subject: pkix.Name{CommonName: "testbed's " + leaf.name},
			NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{leaf.usage},
		}
		if leaf.usage == x509.ExtKeyUsageServerAuth {
			cert.DNSNames, cert.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
		}
		if *leaf.cert, *leaf.key, err = issue(leaf.name, cert, key); err != nil {
			return f, err
		}
	}
	return f, nil
}

func writePEM(file, kind string, der []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
