package e2e

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"mysqlproxy/packet"
)

// Every account through every way by which the proxy can come to own what it
// needs to log in itself: who is let in and who is not is as without it, and it
// can exactly where it should. That it can is seen by a read that runs at the
// replica, to which the proxy has logged in.

// identityFront is a proxy that splits, in one mode.
type identityFront struct {
	front
	mode    string
	replica *recorder
}

// The modes: those of --auth, with the users-file's two forms.
const (
	modeAuto      = "auto"
	modePasswords = "passwords"
	modeHashes    = "hashes"
	modeSync      = "sync"
	modeOff       = "passthrough"
)

// identityWay is how a client connects: asks tells that it is one of those that
// ask for a server's key by themselves.
type identityWay struct {
	over int
	asks bool
}

func (w identityWay) String() string {
	if w.asks {
		return overNames[w.over] + ", asks for keys"
	}
	return overNames[w.over]
}

var identityWays = []identityWay{{over: overTCP}, {overTCP, true}, {over: overTLS}, {over: overSocket}}

func identityFronts(t *testing.T) (list []*identityFront) {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e-") // a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	passwords, hashes := "# users\n", ""
	for _, a := range accounts() {
		passwords += a.Name + ":" + a.Password + "\n"
		hashes += fmt.Sprintf("%s:*%X\n", a.Name, packet.NativeHash([]byte(a.Password)))
	}
	never := func(int) bool { return false }
	always := func(int) bool { return true }
	same := func(over int) bool { return over == overTLS }
	for _, p := range []struct {
		mode, backendTLS string
		tls              func(int) bool
		args             []string
	}{
		{modeAuto, "off", never, nil},
		{modeAuto, "same", same, nil},
		{modeAuto, "require", always, nil},
		{modePasswords, "same", same, []string{"--auth=users-file", "--users-file=" + file("passwords", passwords)}},
		{modeHashes, "same", same, []string{"--auth=users-file", "--users-file=" + file("hashes", hashes)}},
		{modeSync, "require", always, []string{"--auth=sync", "--auth-sync-user=" + bed.Users.App.Name, "--auth-sync-password-file=" + file("sync", bed.Users.App.Password+"\n")}},
		{modeOff, "same", same, []string{"--auth=passthrough"}},
	} {
		f := &identityFront{mode: p.mode}
		f.name, f.tls = p.mode+", "+p.backendTLS+" to the server", p.tls
		f.left, f.inClear = map[string]bool{}, map[string]int{}
		f.socket = filepath.Join(dir, fmt.Sprint(len(list)))
		f.recorder, f.replica = startRecorder(t, bed.Primary.Addr), startRecorder(t, bed.Replicas[0].Addr)
		args := append([]string{"-P", f.socket, "-r", f.replica.addr, "--backend-tls=" + p.backendTLS, "--event-threads=1"}, p.args...)
		f.tcp = startProxy(t, []string{f.recorder.addr}, args...).addr
		list = append(list, f)
	}
	return list
}

// owns tells whether the proxy can log in as a after a login or a COM_CHANGE_USER
// of this kind; known is false where that is up to the server. full tells that
// the server has to ask for the password itself.
func (f *identityFront) owns(w identityWay, a account, full bool) (owns, known bool) {
	native := a.Plugin == pluginNative && a.Password != ""
	client, server := f.safe(w.over)
	switch {
	case a.user == bed.Users.Dialog, f.mode == modeOff:
		return false, true // two questions
	case f.mode == modePasswords:
		return true, true
	case f.mode == modeHashes, f.mode == modeSync:
		return native, true
	case a.Password == "", client, w.asks:
		return true, true
	case a.uses(pluginSHA256):
		return server, true // the password is encrypted for the proxy
	case a.uses(pluginSHA2):
		return server && full, bed.mysql()
	}
	return false, true
}

func TestIdentityMatrix(t *testing.T) {
	if relayOnly {
		t.Fatal("a relay owns nothing")
	}
	onEveryFlavour(t, func(t *testing.T) {
		m := &matrix{admin: adminExec(t), publicKey: serverKey(t), turns: make(chan struct{}, 60)}
		var wg sync.WaitGroup
		for _, f := range identityFronts(t) {
			wg.Go(func() { m.identities(t, f) })
		}
		wg.Wait()
		t.Logf("%d cells", m.cells)
	})
}

// identities runs all cells of one proxy.
func (m *matrix) identities(t *testing.T, f *identityFront) {
	var wg sync.WaitGroup
	for _, way := range identityWays {
		for _, a := range accounts() {
			wg.Go(func() { m.turn(false, func() { m.identityRefusals(t, f, way, a) }) })
		}
		for alone, list := range byCache(accounts()) {
			wg.Go(func() { m.turn(alone, func() { m.identityLogins(t, f, way, list) }) })
			wg.Go(func() { m.turn(alone, func() { m.identityChanges(t, f, way, list) }) })
		}
	}
	wg.Wait()
	for _, a := range accounts() {
		if a.Password == "" {
			continue
		}
		most := 0
		if !f.tls(overTCP) {
			most = f.inClear[a.Password]
		}
		if n := f.recorder.count(a.Password); n > most {
			t.Errorf("%s: the password of %s was readable on the way to the primary %d times, want at most %d", f.name, a.Name, n, most)
		}
		if n := f.replica.count(a.Password); n > 0 {
			t.Errorf("%s: the password of %s was readable on the way to the replica %d times", f.name, a.Name, n)
		}
	}
}

func (m *matrix) identityLogins(t *testing.T, f *identityFront, w identityWay, list []account) {
	m.identityLogin(t, f, w, cold(&f.front, w.over, list))
	m.identityLogin(t, f, w, warm(&f.front, w.over, list))
}

func (m *matrix) identityChanges(t *testing.T, f *identityFront, w identityWay, list []account) {
	m.identityChange(t, f, w, cold(&f.front, w.over, list))
	m.identityChange(t, f, w, warm(&f.front, w.over, list))
}

func (m *matrix) identityRefusals(t *testing.T, f *identityFront, w identityWay, a account) {
	trials := []trial{{account: a, what: "wrong password", want: f.want(w.over, a, true)}}
	trials[0].Password = "not the right one"
	m.identityLogin(t, f, w, trials)
	m.identityChange(t, f, w, trials)
}

// attributes are what a client says of itself.
func (w identityWay) attributes() map[string]string {
	if w.asks {
		return map[string]string{"_client_name": "pymysql"}
	}
	return map[string]string{"_client_name": "libmysql"}
}

func (m *matrix) identityLogin(t *testing.T, f *identityFront, w identityWay, trials []trial) {
	addr, how := f.way(w.over)
	m.try(trials, func(tr trial) *layered {
		s, said := dialLayers(t, addr, how)
		if s == nil {
			t.Errorf("%s: %s, %s, %s: no greeting: %s", f.name, w, tr.Name, tr.what, said)
		}
		return s
	}, func(tr trial, s *layered) {
		said := s.login(login{user: tr.Name, password: tr.Password, caps: capsBase&^capConnectWithDB | capConnectAttrs, attrs: w.attributes()})
		m.identityJudge(t, f, w, tr, "login", said, s)
	})
}

func (m *matrix) identityChange(t *testing.T, f *identityFront, w identityWay, trials []trial) {
	addr, how := f.way(w.over)
	app := bed.Users.App
	m.try(trials, func(tr trial) *layered {
		s, said := loginLayers(t, addr, how, login{user: app.Name, password: app.Password, caps: capsBase&^capConnectWithDB | capConnectAttrs, attrs: w.attributes()})
		if s == nil {
			t.Errorf("%s: %s, before a change to %s: %s", f.name, w, tr.Name, said)
			return nil
		}
		s.inClear = 0
		return s
	}, func(tr trial, s *layered) {
		said := s.changeUser(tr.user, bed.Database) // of which the OK tells
		m.identityJudge(t, f, w, tr, "change", said, s)
	})
}

// identityJudge looks at how a trial, by a login or a change, went, and whether the
// proxy can log in as that user.
func (m *matrix) identityJudge(t *testing.T, f *identityFront, w identityWay, tr trial, by, said string, s *layered) {
	defer s.nc.Close()
	m.mu.Lock()
	m.cells++
	m.mu.Unlock()
	f.mu.Lock()
	f.inClear[tr.Password] += s.inClear
	f.mu.Unlock()
	where := fmt.Sprintf("%s: %s, %s (%s), %s, %s", f.name, w, tr.Name, tr.Plugin, by, tr.what)
	if !strings.HasPrefix(said, tr.want) {
		t.Errorf("%s: got %q, want %q", where, said, tr.want)
		return
	}
	if tr.want != "OK" {
		return
	}
	me := tr.Name + "@%"
	if tr.user == bed.Users.Expired {
		me = "ERR 1820" // it may set a new password, nothing else
	}
	if got := s.ask("SELECT CURRENT_USER()"); got != me {
		t.Errorf("%s: CURRENT_USER() is %q, want %q", where, got, me)
	}
	owns, known := f.owns(w, tr.account, tr.full)
	if tr.user != bed.Users.Expired && known {
		m.ranAt(t, where, owns, s)
	}
	s.quit()
}

// ranAt has a read show whether the session can be at the replica. One that can
// may not at first, when the machine is busy and logging in takes too long.
func (m *matrix) ranAt(t *testing.T, where string, replica bool, s *layered) {
	const read = "/* route=replica */ SELECT @@server_id"
	want := "1"
	if replica {
		want = "2"
	}
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		got := s.ask(read)
		if got == want {
			return
		}
		if !replica || time.Now().After(end) {
			t.Errorf("%s: a read ran at server %s, want %s", where, got, want)
			return
		}
	}
}

// The clients of the table that are not asked for their password without TLS, for
// they might refuse: those that have none though it is on offer, and those that are
// not offered any.
var (
	unaskedPlain = map[string]bool{"MariaDB Connector/J": true, "node mariadb": true}
	unaskedOff   = map[string]bool{"MariaDB Connector/J": true, "node mariadb": true, "mysql 9 command line client": true,
		"mariadb command line client": true, "mariadb 11.8 command line client": true, "mysqlclient": true, "DBD::mysql": true}
)

// Other people's clients log in through a proxy that asks them as they do
// directly, the proxy can log in as their user where it should, and nobody's
// password is readable on the way.
func TestIdentityOfOtherPeoplesClients(t *testing.T) {
	ours := newAuthority(t, "the proxy's authority")
	ours.issue("proxy")
	ca := ours.file("ca.pem")
	if err := mysql.RegisterTLSConfig("identity", &tls.Config{RootCAs: ours.Pool()}); err != nil {
		t.Fatal(err)
	}
	// The replica is the primary by another way, for these clients read on one
	// connection what they have written on another.
	through := func(t *testing.T, proxyTLS string, owns bool, run func(addr, db string)) {
		t.Helper()
		t.Parallel()
		replica := startRecorder(t, bed.Primary.Addr)
		p := startProxy(t, []string{bed.Primary.Addr}, "-r", replica.addr, "--log-level=debug", "--proxy-tls="+proxyTLS,
			"--proxy-tls-cert="+ours.file("proxy.pem"), "--proxy-tls-key="+ours.file("proxy-key.pem"))
		front := startRecorder(t, p.addr)
		run(front.addr, ownDB(t))
		if got := strings.Contains(p.logs(), "the proxy can log in as this user"); got != owns {
			t.Errorf("the proxy owns its identity: %v, want %v", got, owns)
		}
		if !owns && replica.connections() > 0 {
			t.Error("the proxy has connected to the replica")
		}
		for _, r := range []*recorder{front, replica} {
			if n := r.count(bed.Users.App.Password); n > 0 {
				t.Errorf("the password was readable %d times", n)
			}
		}
	}
	onEveryKind(t, func(t *testing.T) {
		for _, c := range clients {
			if withoutLayers(c.name) || c.not[bed.Flavour] != "" {
				continue
			}
			env := clientEnv(t, c.bin)
			for _, way := range []struct {
				name, proxyTLS string
				env            []string
				owns           bool
			}{
				{"no TLS on offer", "off", env, !unaskedOff[c.name]},
				{"TLS on offer", "prefer", env, !unaskedPlain[c.name]},
				{"TLS", "require", append([]string{"DB_TLS=" + ca}, env...), true},
			} {
				t.Run(c.name+", "+way.name, func(t *testing.T) {
					through(t, way.proxyTLS, way.owns, func(addr, db string) {
						if err := runClient(t, addr, db, c.command, way.env...); err != nil {
							t.Error(err)
						}
					})
				})
			}
		}
		for _, params := range []string{"tls=false", "tls=preferred", "tls=identity"} {
			for _, proxyTLS := range []string{"off", "prefer"} {
				if params == "tls=identity" && proxyTLS == "off" {
					continue
				}
				t.Run("Go-MySQL-Driver, "+params+", "+proxyTLS, func(t *testing.T) {
					through(t, proxyTLS, true, func(addr, db string) {
						goDriver(t, openDB(t, addr, bed.Users.App, db, "multiStatements=true&parseTime=true&"+params))
					})
				})
			}
		}
	})
}
