package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mysqlproxy/engine/enginetest"
)

// asApp is a login of the app user.
func asApp() login {
	return login{user: bed.Users.App.Name, password: bed.Users.App.Password, db: bed.Database, caps: capsBase}
}

// openLayers logs the app user in.
func openLayers(t *testing.T, addr string, how layers) *layered {
	t.Helper()
	s, said := loginLayers(t, addr, how, asApp())
	if s == nil {
		t.Fatalf("login at %s: %s", addr, said)
	}
	t.Cleanup(func() { s.nc.Close() })
	return s
}

// loginIs tries a login and says what is wrong with how it went: want is "OK"
// or the beginning of what is said else.
func loginIs(t *testing.T, what, addr string, how layers, want string) {
	t.Helper()
	s, said := loginLayers(t, addr, how, asApp())
	if s != nil {
		if got := s.ask("SELECT CURRENT_USER()"); got != bed.Users.App.Name+"@%" { // with TLS 1.3 the first answer says whether the server liked the certificate
			said = got
		}
		s.quit()
	}
	if !strings.HasPrefix(said, want) {
		t.Errorf("%s: got %q, want %q", what, said, want)
	}
}

// authority issues certificates, in files.
type authority struct {
	*enginetest.Identity
	t   *testing.T
	dir string
}

// newAuthority makes one, with its certificate in ca.pem of its folder.
func newAuthority(t *testing.T, name string) *authority {
	a := &authority{enginetest.NewAuthority(name), t, t.TempDir()}
	a.write("ca", a.Identity)
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// issue makes a certificate for 127.0.0.1 and localhost, good for servers and clients, in
// name.pem and name-key.pem.
func (a *authority) issue(name string) *x509.Certificate {
	id := a.Named("127.0.0.1", "localhost")
	a.write(name, id)
	return id.Cert
}

func (a *authority) write(name string, id *enginetest.Identity) {
	a.t.Helper()
	if _, _, err := id.Write(a.dir, name); err != nil {
		a.t.Fatal(err)
	}
}

// pair is a certificate and its key from files.
func pair(t *testing.T, cert, key string) tls.Certificate {
	t.Helper()
	c, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhoMustHaveTLS(t *testing.T) {
	dir, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	p := startProxy(t, []string{bed.Primary.Addr}, "--proxy-tls=require", "-P", socket)
	loginIs(t, "required, without", p.addr, layers{}, "ERR 3159 (proxy) this address takes connections with TLS only")
	loginIs(t, "required, with", p.addr, layers{tls: anyServer()}, "OK")
	loginIs(t, "required, over a socket", socket, layers{unix: true}, "OK")
	p = startProxy(t, []string{bed.Primary.Addr}, "--proxy-tls=off")
	loginIs(t, "off, without", p.addr, layers{}, "OK")
	loginIs(t, "off, with", p.addr, layers{tls: anyServer()}, "TLS: ") // it gets an ERR, which is no TLS
	nc, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if !readFakePacket(nc) {
		t.Fatal("no greeting")
	}
	if _, err := nc.Write(fakeLoginPacket(capsBase | capSSL)[:36]); err != nil {
		t.Fatal(err)
	}
	p = startProxy(t, []string{bed.Primary.Addr}, "--proxy-tls-min-version=1.3")
	old := anyServer()
	old.MaxVersion = tls.VersionTLS12
	loginIs(t, "TLS 1.2, where 1.3 is asked for", p.addr, layers{tls: old}, "TLS: ")
	loginIs(t, "TLS 1.3", p.addr, layers{tls: anyServer()}, "OK")
	p = startProxy(t, []string{bed.Primary.Addr})
	loginIs(t, "TLS 1.2", p.addr, layers{tls: old}, "OK")
	loginIs(t, "SSL request and ClientHello in one segment", p.addr, layers{tls: anyServer(), together: true}, "OK")
	loginIs(t, "the same with TLS 1.2", p.addr, layers{tls: old, together: true}, "OK")
}

func TestClientCertificates(t *testing.T) {
	strangers := newAuthority(t, "strangers")
	strangers.issue("client")
	with := func(cert, key string) layers {
		c := anyServer()
		// Whatever authorities the server names, the client shows this.
		shown := pair(t, cert, key)
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &shown, nil }
		return layers{tls: c}
	}
	good := with(bed.TLS.ClientCert, bed.TLS.ClientKey)
	bad := with(strangers.file("client.pem"), strangers.file("client-key.pem"))
	none := layers{tls: anyServer()}
	for _, r := range []struct {
		how             string
		good, bad, none string
	}{
		{"require", "OK", "refused", "refused"},
		{"optional", "OK", "refused", "OK"},
	} {
		p := startProxy(t, []string{bed.Primary.Addr}, "--proxy-tls=require", "--proxy-tls-client-cert="+r.how, "--proxy-tls-ca="+bed.TLS.CA)
		for what, c := range map[string]struct {
			layers
			want string
		}{"a good one": {good, r.good}, "one from elsewhere": {bad, r.bad}, "none": {none, r.none}} {
			s, said := loginLayers(t, p.addr, c.layers, asApp())
			if s != nil {
				said = "OK"
				if got := s.ask("SELECT 1"); got != "1" {
					said = got
				}
				s.nc.Close()
			} else if !strings.Contains(said, "ERR") {
				said = "refused" // by an alert or an end, before there was a place for an ERR
			}
			if said != c.want {
				t.Errorf("%s, %s: got %q, want %q", r.how, what, said, c.want)
			}
		}
	}

	// The other side: an account that asks for the proxy's certificate.
	mustExec(t, "DROP USER IF EXISTS e2e_x509", "CREATE USER e2e_x509 IDENTIFIED BY 'e2e-password' REQUIRE X509")
	t.Cleanup(func() { mustExec(t, "DROP USER e2e_x509") })
	l := login{user: "e2e_x509", password: "e2e-password", caps: capsBase &^ capConnectWithDB}
	shows := startProxy(t, []string{bed.Primary.Addr}, "--backend-tls=require",
		"--backend-tls-cert="+bed.TLS.ClientCert, "--backend-tls-key="+bed.TLS.ClientKey)
	for what, r := range map[string]struct{ addr, want string }{
		"a proxy without a certificate": {startProxy(t, []string{bed.Primary.Addr}, "--backend-tls=require").addr, "ERR 1045"},
		"a proxy with one":              {shows.addr, "OK"},
	} {
		s, said := loginLayers(t, r.addr, layers{}, l)
		if !strings.HasPrefix(said, r.want) {
			t.Errorf("REQUIRE X509, %s: got %q, want %q", what, said, r.want)
		}
		if s != nil {
			s.quit()
		}
	}
}

func TestCertificatesAreReadAgain(t *testing.T) {
	first := newAuthority(t, "first")
	old := first.issue("proxy")
	p := startProxy(t, []string{bed.Primary.Addr}, "--proxy-tls-cert="+first.file("proxy.pem"), "--proxy-tls-key="+first.file("proxy-key.pem"))
	how := layers{tls: &tls.Config{RootCAs: first.Pool(), ServerName: "127.0.0.1"}}
	shown := func() *x509.Certificate {
		s := openLayers(t, p.addr, how)
		defer s.quit()
		return s.state.PeerCertificates[0]
	}
	stays := openLayers(t, p.addr, how)
	if !shown().Equal(old) {
		t.Error("the proxy does not show its certificate")
	}
	renewed := first.issue("proxy") // certificate and key, one after the other
	eventually(t, patience, "the new certificate is shown", func() bool { return shown().Equal(renewed) })
	if err := os.WriteFile(first.file("proxy.pem"), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "the log tells of the nonsense", func() bool {
		if !shown().Equal(renewed) {
			t.Fatal("the certificate is another one again")
		}
		return strings.Contains(p.logs(), "what was read before stays in use")
	})
	stays.mustAsk("SELECT 1", "1")
	if !stays.state.PeerCertificates[0].Equal(old) {
		t.Error("the first session had another certificate from the start")
	}
}

// What the proxy asks of a server, and what clients hear where it is not met.
func TestServersAreVerified(t *testing.T) {
	strangers := newAuthority(t, "strangers")
	elsewhere := startRecorderOn(t, strings.Replace(enginetest.FreeAddr(t), "127.0.0.1", "127.0.0.2", 1), bed.Primary.Addr).addr // the certificate is not for this address
	plain := startFake(t, func(nc net.Conn) { fakeLogin(nc) })
	const failed, noTLS = "ERR 2026 (proxy) the TLS handshake with the backend failed", "ERR 2026 (proxy) the backend does not offer TLS"
	for _, r := range []struct {
		what, backend string
		args          []string
		want          string
	}{
		{"verify-ca", bed.Primary.Addr, []string{"--backend-tls=verify-ca", "--backend-tls-ca=" + bed.TLS.CA}, "OK"},
		{"verify-ca, another authority", bed.Primary.Addr, []string{"--backend-tls=verify-ca", "--backend-tls-ca=" + strangers.file("ca.pem")}, failed},
		{"verify-ca, another address", elsewhere, []string{"--backend-tls=verify-ca", "--backend-tls-ca=" + bed.TLS.CA}, "OK"},
		{"verify-identity", bed.Primary.Addr, []string{"--backend-tls=verify-identity", "--backend-tls-ca=" + bed.TLS.CA}, "OK"},
		{"verify-identity, by name", strings.Replace(bed.Primary.Addr, "127.0.0.1", "localhost", 1), []string{"--backend-tls=verify-identity", "--backend-tls-ca=" + bed.TLS.CA}, "OK"},
		{"verify-identity, another address", elsewhere, []string{"--backend-tls=verify-identity", "--backend-tls-ca=" + bed.TLS.CA}, failed},
		{"verify-identity, the system's authorities", bed.Primary.Addr, []string{"--backend-tls=verify-identity"}, failed},
		{"require, another address", elsewhere, []string{"--backend-tls=require"}, "OK"},
		{"require, a server without", plain.addr, []string{"--backend-tls=require"}, noTLS},
		{"verify-ca over a socket", bed.Primary.Socket, []string{"--backend-tls=verify-ca", "--backend-tls-ca=" + strangers.file("ca.pem")}, "OK"},
	} {
		p := startProxy(t, []string{r.backend}, r.args...)
		for client, how := range map[string]layers{"a plain client": {}, "a client with TLS": {tls: anyServer()}} {
			loginIs(t, r.what+", "+client, p.addr, how, r.want)
		}
	}
}

// A second connection to the proxy, and of the proxy to a server, goes on with
// the keys of the first.
func TestTLSSessionsResume(t *testing.T) {
	p := startProxy(t, []string{bed.Primary.Addr}, "--backend-tls=require", "--event-threads=1")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		how := layers{tls: anyServer()}
		how.tls.MaxVersion = version
		how.tls.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		for i := range 3 {
			s := openLayers(t, p.addr, how)
			s.mustAsk("SELECT 1", "1") // the ticket of TLS 1.3 comes with it
			if s.state.DidResume != (i > 0) {
				t.Errorf("%s, connection %d: resumed %v", tls.VersionName(version), i, s.state.DidResume)
			}
			s.quit()
		}
	}

	// The servers' word on it, which not all of them keep.
	const reused = "SELECT VARIABLE_VALUE FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'SSL_SESSIONS_REUSED'"
	direct := layers{tls: anyServer()}
	direct.tls.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	said := ""
	for range 3 {
		s := openLayers(t, bed.Primary.Addr, direct)
		said = s.ask(reused)
		s.quit()
	}
	openLayers(t, p.addr, layers{}).mustAsk(reused, said)
}

// A large result for a client that reads slowly costs no more than without TLS.
func TestSlowReaderWithTLS(t *testing.T) {
	path, err := plainProxy()
	if err != nil {
		t.Fatal(err)
	}
	rows := 64
	if long {
		rows = 1000
	}
	for _, backend := range []string{"off", "require"} {
		p := startBinary(t, path, []string{bed.Primary.Addr}, "--backend-tls="+backend, "--event-threads=1")
		warm := openLayers(t, p.addr, layers{tls: anyServer()})
		for range 3 { // so that the loop's buffers have their size
			warm.mustAsk("SELECT REPEAT('x', 1048576) FROM seq_1_to_8", strings.Repeat("x", 100))
		}
		s := openLayers(t, p.addr, layers{tls: anyServer()})
		if err := s.nc.(*tls.Conn).NetConn().(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
			t.Fatal(err)
		}
		rss := p.status(t, "VmRSS")
		most := rss
		start, buf := time.Now(), make([]byte, 10000)
		s.start("SELECT REPEAT('x', 1048576) FROM seq_1_to_" + strconv.Itoa(rows))
		read := 0
		for i := 0; read < rows<<20 && (long || read < 3_000_000); i++ {
			s.nc.SetReadDeadline(time.Now().Add(patience))
			n, err := s.nc.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			read += n
			if i%100 == 0 {
				most = max(most, p.status(t, "VmRSS"))
			}
			if read < 3_000_000 { // ahead of 1 MB/s: wait until it is due
				time.Sleep(time.Until(start.Add(time.Duration(read) * time.Microsecond)))
			}
		}
		t.Logf("TLS to the server %s: resident %d -> at most %d KiB", backend, rss, most)
		if most > rss+4608 { // the arithmetic of TestSlowReader
			t.Errorf("TLS to the server %s: resident memory grew by %d KiB, want at most 4608", backend, most-rss)
		}
		s.nc.Close()
	}
}

// Clients that stop or send nonsense at any stage of TLS are got rid of, and
// disturb nobody.
func TestBrokenTLS(t *testing.T) {
	p, admin := startAdmin(t, []string{bed.Primary.Addr})
	stop := undisturbed(t, p.addr)
	defer stop()
	console := openDB(t, admin, adminUser, "", "")
	execAll(t, console, "SET proxy_login_timeout = 60") // for those who mean well
	before := p.openFiles(t)
	noise := []byte(strings.Repeat("nonsense", 200))
	for _, end := range []func(under net.Conn){
		func(under net.Conn) { drop(under) },   // in the middle, without a close_notify
		func(under net.Conn) { under.Close() }, // the same, in order
		func(under net.Conn) {
			_, _ = under.Write(noise)
			readAll(t, "nonsense in a session", under, patience)
			under.Close()
		},
		func(under net.Conn) { _, _ = under.Write([]byte{23, 3, 3, 0, 40}); under.Close() }, // half a record
	} {
		s := openLayers(t, p.addr, layers{tls: anyServer()})
		s.mustAsk("SELECT 1", "1")
		s.start("SELECT REPEAT('x', 1048576) FROM seq_1_to_20")
		end(s.nc.(*tls.Conn).NetConn())
	}

	execAll(t, console, "SET proxy_login_timeout = 2")
	var wg sync.WaitGroup
	request := fakeLoginPacket(capsBase | capSSL)[:36]
	request[0] = 32
	hello := clientHello(t)
	for what, b := range map[string][]byte{
		"nothing behind the SSL request":   nil,
		"nonsense behind the SSL request":  noise,
		"the login without TLS":            fakeLoginPacket(capsBase),
		"half a ClientHello":               hello[:len(hello)/2],
		"a ClientHello and then nothing":   hello,
		"a ClientHello and then nonsense":  append(append([]byte(nil), hello...), noise...),
		"a record of 64 KiB":               append([]byte{22, 3, 1, 0xFF, 0xFF}, noise...),
		"a second SSL request":             request,
		"an alert":                         {21, 3, 1, 0, 2, 2, 40},
		"application data before its time": {23, 3, 3, 0, 4, 1, 2, 3, 4},
	} {
		for _, abrupt := range []bool{false, true} {
			nc, err := net.Dial("tcp", p.addr)
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				readFakePacket(nc)                                             // the greeting
				_, _ = nc.Write(append(append([]byte(nil), request...), b...)) // the proxy may have hung up already
				if abrupt {
					drop(nc)
					return
				}
				readAll(t, what, nc, patience)
				nc.Close()
			})
		}
	}
	wg.Wait()
	stop()
	settled(t, p, before)
}

// clientHello is the first record of a handshake.
func clientHello(t *testing.T) []byte {
	t.Helper()
	here, there := net.Pipe()
	go func() { _ = tls.Client(here, anyServer()).Handshake() }() // it fails: nobody answers
	buf := make([]byte, 16<<10)
	n, err := there.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	there.Close()
	return buf[:n]
}

// TestGracefulStop with TLS on both sides.
func TestGracefulStopWithTLS(t *testing.T) {
	p := startProxy(t, []string{bed.Primary.Addr}, "--shutdown-timeout=600", "--backend-tls=require")
	how := layers{tls: anyServer()}
	mustExec(t, "DROP DATABASE IF EXISTS e2e_stop", "CREATE DATABASE e2e_stop", "CREATE TABLE e2e_stop.t (a INT)")
	idle, trx := openLayers(t, p.addr, how), openLayers(t, p.addr, how)
	trx.mustAsk("BEGIN", "OK")
	trx.mustAsk("INSERT INTO e2e_stop.t VALUES (1)", "OK")
	half, said := dialLayers(t, p.addr, layers{}) // in the middle of its handshake
	if half == nil {
		t.Fatal(said)
	}
	defer half.nc.Close()
	request := fakeLoginPacket(capsBase | capSSL)[:36]
	request[0] = 32
	if _, err := half.nc.Write(append(request, clientHello(t)...)); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(p.pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := idle.farewell(); got != "closed" && got != "ERR 1053, closed" {
		t.Errorf("the idle session got %q, want to be closed", got)
	}
	trx.mustAsk("INSERT INTO e2e_stop.t VALUES (2)", "OK")
	trx.mustAsk("COMMIT", "OK")
	if got := trx.farewell(); got != "closed" && got != "ERR 1053, closed" {
		t.Errorf("after its COMMIT the transaction's session got %q, want to be closed", got)
	}
	p.waitGone(t, patience)
	if got := openSession(t, bed.Primary.Addr).ask("SELECT SUM(a) FROM e2e_stop.t"); got != "3" {
		t.Errorf("the transaction left %s, want 3", got)
	}
}
