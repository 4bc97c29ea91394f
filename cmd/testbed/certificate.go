package main

import (
	"crypto/x509"
	"net"
	"os"

	"mysqlproxy/engine/enginetest"
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
	authority := enginetest.NewAuthority("testbed's authority")
	var f TLSFiles
	var err error
	if f.CA, _, err = authority.Write(dir, "ca"); err != nil {
		return f, err
	}
	server := authority.Issue(func(c *x509.Certificate) {
		c.Subject.CommonName, c.ExtKeyUsage = "testbed's server", []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		c.DNSNames, c.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	})
	if f.Cert, f.Key, err = server.Write(dir, "server"); err != nil {
		return f, err
	}
	client := authority.Issue(func(c *x509.Certificate) {
		c.Subject.CommonName, c.ExtKeyUsage = "testbed's client", []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	})
	f.ClientCert, f.ClientKey, err = client.Write(dir, "client")
	return f, err
}
