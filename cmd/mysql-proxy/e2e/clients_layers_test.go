package e2e

import (
	"crypto/tls"
	"encoding/binary"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// withoutCompression are the clients of the table that have none, or ask for it
// without being told to.
var withoutCompression = map[string]bool{"PyMySQL": true}

// withoutLayers are those that have neither option here: they are about other things.
func withoutLayers(name string) bool {
	return strings.Contains(name, "dump") || name == "sysbench"
}

// The clients of the table over TLS, with a certificate of the proxy's own that
// they verify, and with compression.
func TestOtherPeoplesClientsWithTLSAndCompression(t *testing.T) {
	ours := newAuthority(t, "the proxy's authority")
	ours.issue("proxy")
	ca := ours.file("ca.pem")
	onEveryKind(t, func(t *testing.T) {
		secure := startProxy(t, []string{bed.Primary.Addr}, "--proxy-tls=require", "--backend-tls=require",
			"--proxy-tls-cert="+ours.file("proxy.pem"), "--proxy-tls-key="+ours.file("proxy-key.pem"))
		packs := startProxy(t, []string{bed.Primary.Addr}, "--proxy-tls=off", "--backend-compression=zlib")
		for _, c := range clients {
			if withoutLayers(c.name) || c.not[bed.Flavour] != "" {
				continue
			}
			env := clientEnv(t, c.bin)
			run := func(t *testing.T, addr string, more string) {
				t.Helper()
				if err := runClient(t, addr, ownDB(t), c.command, append([]string{more}, env...)...); err != nil {
					t.Error(err)
				}
			}
			t.Run(c.name+", TLS", func(t *testing.T) {
				t.Parallel()
				run(t, secure.addr, "DB_TLS="+ca)
			})
			algorithms := []string{"zlib"}
			if c.bin == "mysql9" {
				algorithms = append(algorithms, "zstd")
			}
			for _, algorithm := range algorithms {
				if withoutCompression[c.name] {
					continue
				}
				t.Run(c.name+", "+algorithm, func(t *testing.T) {
					t.Parallel()
					r := startRecorder(t, packs.addr)
					run(t, r.addr, "DB_COMPRESS="+algorithm)
					want := uint32(capCompress)
					if algorithm == "zstd" {
						want = capZstd
					}
					if !r.anyLoginHas(want) {
						t.Errorf("it asked for no %s", algorithm)
					}
				})
			}
		}
		t.Run("Go-MySQL-Driver", func(t *testing.T) {
			if err := mysql.RegisterTLSConfig("ours", &tls.Config{RootCAs: ours.Pool()}); err != nil {
				t.Fatal(err)
			}
			for _, params := range []string{"tls=ours", "tls=ours&compress=true"} {
				goDriver(t, openDB(t, secure.addr, bed.Users.App, ownDB(t), "multiStatements=true&parseTime=true&"+params))
			}
		})
	})
}

// anyLoginHas tells whether a client asked for a capability in a login that was
// recorded.
func (r *recorder) anyLoginHas(capability uint32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.sent {
		if p := b.Bytes(); len(p) >= 8 && binary.LittleEndian.Uint32(p[4:])&capability != 0 {
			return true
		}
	}
	return false
}

// MariaDB's clients from 11.4 on verify servers without being told to: by an
// authority, or else by a proof in the login's last packet that the server knows
// the password and has this certificate. Nobody but the server can make that
// proof. On the loopback, as here, they take any certificate all the same.
func TestClientsThatVerifyByThemselves(t *testing.T) {
	ours := newAuthority(t, "the proxy's authority")
	ours.issue("proxy")
	bin := fetchedBin(t, "mariadb11.8")
	usual := bed
	defer func() { bed = usual }()
	var err error
	if bed, err = bedOf("mariadb11.8"); err != nil {
		t.Fatal(err)
	}
	theirs := strings.TrimSuffix(bed.TLS.CA, "ca.pem")
	for _, r := range []struct {
		what string
		args []string // of the proxy
		tls  []string // of the client
		ok   bool
	}{
		{"a self-made certificate", nil, nil, true},
		{"a self-made certificate, told not to verify", nil, []string{"--disable-ssl-verify-server-cert"}, true},
		{"one that its authority has issued", []string{"--proxy-tls-cert=" + ours.file("proxy.pem"), "--proxy-tls-key=" + ours.file("proxy-key.pem")}, []string{"--ssl-ca=" + ours.file("ca.pem")}, true},
		{"one that another authority has issued", []string{"--proxy-tls-cert=" + ours.file("proxy.pem"), "--proxy-tls-key=" + ours.file("proxy-key.pem")}, []string{"--ssl-ca=" + bed.TLS.CA}, false},
		{"the server's own", []string{"--proxy-tls-cert=" + theirs + "server.pem", "--proxy-tls-key=" + theirs + "server-key.pem"}, nil, true},
		{"no TLS", []string{"--proxy-tls=off"}, nil, false},
		{"no TLS, told not to verify", []string{"--proxy-tls=off"}, []string{"--disable-ssl-verify-server-cert"}, true},
	} {
		p := startProxy(t, []string{bed.Primary.Addr}, r.args...)
		host, port, err := net.SplitHostPort(p.addr)
		if err != nil {
			t.Fatal(err)
		}
		args := append([]string{"--no-defaults"}, r.tls...)
		args = append(args, "-h", host, "-P", port, "--protocol=tcp", "-u", bed.Users.App.Name, "-p"+bed.Users.App.Password, "-N", "-e", "SELECT 'in'")
		out, err := exec.Command(bin+"/mariadb", args...).CombinedOutput()
		if got := err == nil && strings.TrimSpace(string(out)) == "in"; got != r.ok {
			t.Errorf("%s: let in %v, want %v: %s", r.what, got, r.ok, out)
		}
	}
}
