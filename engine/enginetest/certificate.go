package enginetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Identity is a certificate with its key. One of an authority issues others.
// Making one panics only where the system has no random numbers.
type Identity struct {
	Cert *x509.Certificate
	Key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority that nobody stands above. Its certificate is
// also good for servers of the names.
func NewAuthority(name string, names ...string) *Identity {
	return (*Identity)(nil).Issue(func(c *x509.Certificate) {
		c.Subject.CommonName = name
		c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
		addNames(c, names)
	})
}

// Named issues a certificate for host names and IP addresses, good for servers
// and clients.
func (id *Identity) Named(names ...string) *Identity {
	return id.Issue(func(c *x509.Certificate) { addNames(c, names) })
}

func addNames(c *x509.Certificate, names []string) {
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, name)
		}
	}
}

// Issue makes a certificate that change has the last word on. It holds from an
// hour ago for a year, and is for no name. It issues itself if id is nil.
func (id *Identity) Issue(change func(*x509.Certificate)) *Identity {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	c := &x509.Certificate{
		SerialNumber: must(rand.Int(rand.Reader, big.NewInt(1<<62))), Subject: pkix.Name{CommonName: "mysql"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	change(c)
	if id == nil {
		id = &Identity{c, key}
	}
	der := must(x509.CreateCertificate(rand.Reader, c, id.Cert, key.Public(), id.Key))
	return &Identity{must(x509.ParseCertificate(der)), key}
}

// must is for what does not fail.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TLS is id as crypto/tls shows it, with the certificates of those between it
// and the authority.
func (id *Identity) TLS(between ...*Identity) tls.Certificate {
	t := tls.Certificate{Certificate: [][]byte{id.Cert.Raw}, PrivateKey: id.Key, Leaf: id.Cert}
	for _, b := range between {
		t.Certificate = append(t.Certificate, b.Cert.Raw)
	}
	return t
}

// Pool trusts id alone.
func (id *Identity) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(id.Cert)
	return p
}

// CertPEM is the certificate as a file has it.
func (id *Identity) CertPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.Cert.Raw})
}

// KeyPEM is the key as a file has it, in PKCS 8.
func (id *Identity) KeyPEM() []byte { return KeyPEM(id.Key) }

// KeyPEM is any kind of private key as a file has it, in PKCS 8.
func KeyPEM(key any) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))})
}

// Write puts the certificate into name.pem in the folder dir and then the key
// into name-key.pem. A file that is there already is replaced in one step.
func (id *Identity) Write(dir, name string) (certFile, keyFile string, err error) {
	certFile, keyFile = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+"-key.pem")
	if err = replace(certFile, id.CertPEM()); err == nil {
		err = replace(keyFile, id.KeyPEM())
	}
	return certFile, keyFile, err
}

func replace(file string, text []byte) error {
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
