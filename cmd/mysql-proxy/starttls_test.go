package main

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"syscall"
	"testing"
	"time"

	"mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

// The whole way from the options to a handshake: what a client is shown is in the
// file, also after the file has changed.
func TestClientsSeeTheCertificateOfTheFile(t *testing.T) {
	ln := enginetest.Listen(t)
	greeting := enginetest.Greeting(enginetest.Caps)
	backend := enginetest.NewServer(ln, func(_ int, c *enginetest.Conn) error {
		return c.Run(enginetest.Greet(greeting), enginetest.Drain())
	})
	files := newSecrets(t)
	ca := enginetest.NewAuthority("ca")
	roots := x509.NewCertPool()
	roots.AddCert(ca.Cert)
	first, second := ca.Named("127.0.0.1"), ca.Named("127.0.0.1")
	addr := enginetest.FreeAddr(t)
	p := start(t, "-P", addr, "-b", ln.Addr().String(), "--proxy-connect-timeout=60", "--proxy-login-timeout=60",
		"--proxy-tls-cert="+files.put("cert", first.CertPEM()), "--proxy-tls-key="+files.put("key", first.KeyPEM()))
	p.serving(0)
	shown := func() *x509.Certificate {
		t.Helper()
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatalf("%v\n%s", err, p.read(p.log))
		}
		defer nc.Close()
		got, err := enginetest.NewConn(nc, "client").ReadPacket()
		if err != nil {
			t.Fatal(err)
		}
		g, err := packet.ParseGreeting(got.Payload())
		if err != nil || g.Capabilities&packet.CapSSL == 0 {
			t.Fatalf("no TLS on offer: %v", err)
		}
		login := packet.Login{Capabilities: enginetest.Caps | packet.CapSSL, Collation: 45, User: []byte("app")}
		request, err := packet.AppendSSLRequest(nil, login.Append(nil, g.Capabilities))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := nc.Write(packet.AppendPacket(nil, 1, request)); err != nil {
			t.Fatal(err)
		}
		c := tls.Client(nc, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"})
		if err := c.Handshake(); err != nil {
			t.Fatalf("%v\n%s", err, p.read(p.log))
		}
		return c.ConnectionState().PeerCertificates[0]
	}
	if !shown().Equal(first.Cert) {
		t.Error("another certificate is shown")
	}
	files.put("cert", second.CertPEM())
	files.put("key", second.KeyPEM())
	for deadline := time.Now().Add(time.Minute); !shown().Equal(second.Cert); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the new certificate is not shown:\n%s", p.read(p.log))
		}
	}
	p.signal(p.cmd.Process.Pid, syscall.SIGTERM)
	if code := p.code(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if err := backend.Close(); err != nil {
		t.Error(err)
	}
}
