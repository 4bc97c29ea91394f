package main

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mysqlproxy/engine"
	"mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/reactor"
)

func TestHowBackendsAreVerified(t *testing.T) {
	files := newSecrets(t)
	ca, stranger := enginetest.NewAuthority("ca"), enginetest.NewAuthority("stranger")
	between := ca.Issue(func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign })
	caFile := files.put("ca", ca.CertPEM())
	chain := func(list ...*enginetest.Identity) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{list[0].TLS(list[1:]...)}}
	}
	servers := map[string]*tls.Config{
		"right name":        chain(ca.Named("db1.example")),
		"right address":     chain(ca.Named("127.0.0.1")),
		"behind another":    chain(between.Named("db1.example"), between),
		"wrong name":        chain(ca.Named("db2.example")),
		"no name, as MySQL": chain(ca.Issue(func(c *x509.Certificate) { c.Subject.CommonName = "db1.example" })),
		"wrong authority":   chain(stranger.Named("db1.example")),
		"self-signed":       chain(enginetest.NewAuthority("db1.example")),
		"expired": chain(ca.Issue(func(c *x509.Certificate) {
			c.DNSNames, c.NotAfter = []string{"db1.example"}, time.Now().Add(-time.Minute)
		})),
		"link is left out": chain(between.Named("db1.example")),
		"certificate of use": chain(ca.Issue(func(c *x509.Certificate) {
			c.DNSNames, c.ExtKeyUsage = []string{"db1.example"}, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		})),
	}
	byCA := []string{"right name", "right address", "behind another", "wrong name", "no name, as MySQL"}
	for _, tc := range []struct {
		how, host string
		in        []string // nil: all
	}{
		{"same", "db1.example", nil}, {"prefer", "db1.example", nil}, {"require", "db1.example", nil},
		{"verify-ca", "db1.example", byCA}, {"verify-ca", "127.0.0.1", byCA},
		{"verify-identity", "db1.example", []string{"right name", "behind another"}},
		{"verify-identity", "127.0.0.1", []string{"right address"}},
		{"verify-identity", "", []string{"right address"}}, // as for the backend ":3306"
	} {
		args := []string{"--backend-tls=" + tc.how}
		if strings.HasPrefix(tc.how, "verify") {
			args = append(args, "--backend-tls-ca="+caFile)
		}
		of, err := backendTLS(tlsSettings(t, args...), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		for name, server := range servers {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				server = server.Clone()
				server.MaxVersion = version
				// A clone, so that no session of one server is resumed with another.
				client := of(engine.BackendConfig{Addr: primaryAddr, Host: tc.host}).Clone()
				client.ClientSessionCache = nil
				_, err := shake(client, server)
				if want := tc.in == nil || slices.Contains(tc.in, name); (err == nil) != want {
					t.Errorf("%s for %q, server %s, TLS %#x: %v, want in: %t", tc.how, tc.host, name, version, err, want)
				}
				if err != nil && !strings.Contains(err.Error(), "the certificate of the server 127.0.0.1:3306 does not pass --backend-tls="+tc.how) {
					t.Errorf("%s, server %s: the error is %q", tc.how, name, err)
				}
			}
		}
	}
}

// Without authorities of one's own, verify-identity goes by the system's, which
// did not issue this one.
func TestSystemsAuthorities(t *testing.T) {
	of, err := backendTLS(tlsSettings(t, "--backend-tls=verify-identity"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	own := enginetest.NewAuthority("ca").Named("127.0.0.1")
	server := &tls.Config{Certificates: []tls.Certificate{own.TLS()}}
	if _, err := shake(of(engine.BackendConfig{Addr: primaryAddr}), server); err == nil || !strings.Contains(err.Error(), "--backend-tls=verify-identity") {
		t.Errorf("got %v", err)
	}
}

func TestBackendsHaveConfigurationsOfTheirOwn(t *testing.T) {
	named := reactor.Addr{IP: netip.MustParseAddrPort("10.0.0.1:3306")}
	of, err := backendTLS(tlsSettings(t), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	a, b := of(engine.BackendConfig{Addr: primaryAddr}), of(engine.BackendConfig{Addr: named, Host: "db1.example", ReadOnly: true})
	if a == b || a.ClientSessionCache == b.ClientSessionCache || a != of(engine.BackendConfig{Addr: primaryAddr}) {
		t.Error("each is to have one configuration, with a session cache")
	}
	if a.ServerName != "127.0.0.1" || b.ServerName != "db1.example" {
		t.Errorf("they are asked for as %s and %s", a.ServerName, b.ServerName)
	}
	if c := of(engine.BackendConfig{Addr: reactor.Addr{Path: "/run/mysqld.sock"}}); c != nil {
		t.Error("a unix socket has TLS")
	}

	own := enginetest.NewAuthority("ca").Named("db1.example")
	server := &tls.Config{Certificates: []tls.Certificate{own.TLS()}}
	for _, want := range []bool{false, true} {
		if state, err := shake(b, server); err != nil || state.DidResume != want {
			t.Errorf("resumed: %t, want %t; %v", state.DidResume, want, err)
		}
	}
}

func TestCertificateForBackends(t *testing.T) {
	files := newSecrets(t)
	ca := enginetest.NewAuthority("ca")
	first, second := ca.Named("proxy"), ca.Named("proxy")
	cert, key := files.put("cert", first.CertPEM()), files.put("key", first.KeyPEM())
	of, err := backendTLS(tlsSettings(t, "--backend-tls=require", "--backend-tls-cert="+cert, "--backend-tls-key="+key), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	got, err := of(engine.BackendConfig{Addr: primaryAddr}).GetClientCertificate(&tls.CertificateRequestInfo{})
	if err != nil || !slices.Equal(got.Certificate[0], first.Cert.Raw) || slices.Equal(got.Certificate[0], second.Cert.Raw) {
		t.Errorf("it shows another certificate, %v", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	server := &tls.Config{Certificates: []tls.Certificate{second.TLS()},
		ClientAuth: tls.RequireAnyClientCert}
	if _, err := shake(of(engine.BackendConfig{Addr: primaryAddr}), server); err != nil {
		t.Error(err)
	}
}
