package e2e

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"mysqlproxy/engine/enginetest"
)

// loginScript runs logins.lua before the primary (1), a server that is not there
// (2) and, read-only, the replica (3). control is a session to steer it by.
func loginScript(t *testing.T) (p *proxy, control *session) {
	t.Helper()
	p = startLua(t, "logins.lua", []string{bed.Primary.Addr, enginetest.FreeAddr(t)}, "-r", bed.Replicas[0].Addr, "--event-threads=1")
	return p, openSession(t, p.addr)
}

// Logins that scripts steer, and what becomes of them.
func TestLuaLogins(t *testing.T) {
	p, control := loginScript(t)
	app := bed.Users.App
	var down time.Time // the dead backend was found to be, after this
	for _, r := range []struct {
		step, ask, want string
		as              user
	}{
		{"", "SELECT @@server_id", "1", app},
		{"refuse at once", "", "Error 1045 (28000): not today", app},
		{"send nothing that can be sent", "", "Error 1105 (07000): (lua) handling proxy.response failed, check error-log", app},
		{"backend out of range", "", "(proxy) all backends are down", app},
		{"read-only backend", "SELECT @@server_id", "2", app},
		{"dead backend", "TRIES", "2", app}, // asked again; what it chooses then is known to be down
		{"dead backend", "TRIES", "1", app},
		{"error", "SELECT @@server_id", "1", app},
		{"refuse at the greeting", "", "Error 1045 (28000): not you", app},
		{"refuse at the login", "", "Error 1045 (28000): no such user", app},
		{"refuse the server's OK", "", "Error 1045 (28000): we are closed", app},
		{"", "", "Error 1045 (28000): Access denied for user", user{Name: app.Name, Password: "wrong"}},
		{"another login " + app.Name + " " + app.Password, "SELECT CURRENT_USER()", app.Name + "@%", user{Name: "nobody", Password: "x"}},
		{"pooled, but there is none", "SELECT @@server_id", "1", app},
	} {
		began := time.Now()
		if r.step != "" {
			control.mustAsk("NEXT "+r.step, "OK")
		}
		got := ""
		c, err := tryConnectAs(t, p.addr, r.as, "")
		if err == nil {
			got = c.outcome(r.ask)
			c.Close()
		} else if got = err.Error(); r.ask != "" || !strings.Contains(got, r.want) {
			t.Errorf("%s: the login failed: %v; want %q", r.step, err, r.want)
			continue
		}
		if r.step == "dead backend" {
			if down.IsZero() {
				down = began
			} else if got == "2" && time.Since(down) > 4*time.Second {
				continue // it was worth a try again
			}
		}
		if !strings.HasPrefix(got, r.want) && err == nil {
			t.Errorf("%s: got %q, want %q", r.step, got, r.want)
		}
	}
	p.mustLog(t, `\(critical\) .*\(connect_server\) .*on purpose`)
}

// What the hooks of a login can see.
func TestLuaWhatLoginsShow(t *testing.T) {
	p, _ := loginScript(t)
	s := openSession(t, p.addr)
	id := s.ask("SELECT CONNECTION_ID()")
	const number = "50505" // a greeting of MariaDB 10 begins with 5.5.5-
	s.mustAsk("HANDSHAKE", number+" "+id+" 21 mysql_native_password "+bed.Primary.Addr)
	s.mustAsk("AUTH", bed.Users.App.Name+" "+bed.Database+" 20 mysql_native_password")
	from := s.nc.LocalAddr().(*net.TCPAddr)
	mustBe := func(db string) {
		t.Helper()
		s.mustAsk("CLIENT", strings.Join([]string{from.String(), p.addr, "127.0.0.1", fmt.Sprint(from.Port), "2", db, id, number, "21"}, " "))
		s.mustAsk("SERVER", strings.Join([]string{bed.Primary.Addr, "127.0.0.1", bed.Users.App.Name, db, id, "1"}, " "))
	}
	mustBe(bed.Database)
	s.attempt(func() {
		s.write(s.command(comInitDB, []byte("mysql")))
		s.packet()
	})
	mustBe("mysql")
	s.mustAsk("AUTH RESULTS", "0 0")

	// An account of another plugin: the server asks once more.
	c, err := trySession(t, p.addr, bed.Users.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	c.mustAsk("SELECT CURRENT_USER()", bed.Users.Ed25519.Name+"@%")
	if got := s.ask("AUTH RESULTS"); got != "0 0 254 0" {
		t.Errorf("first bytes of what servers sent in logins: %q, want 0 0 254 0", got)
	}

	// A server behind a unix socket.
	u := startLua(t, "logins.lua", []string{bed.Primary.Socket}, "--event-threads=1")
	d := openSession(t, u.addr)
	d.mustAsk("SOCKET", bed.Primary.Socket+" true nil 1")
}

// Connections that scripts give back and take again.
func TestLuaPool(t *testing.T) {
	p, control := loginScript(t)
	// idle: those of the user, those of anybody; and the clients that have one. The
	// proxy hears of a close in its own time.
	idle := func(want string) {
		t.Helper()
		eventually(t, patience, "idle connections: "+want, func() bool { return control.ask("IDLE") == want })
	}
	idle("0 0 1")
	control.mustAsk("NEXT give the connection back", "OK")
	s := openSession(t, p.addr)
	s.mustAsk("IDLE", "1 1 1")
	s.mustAsk("ATTACH", "true 1")
	s.mustAsk("IDLE", "0 0 2")
	s.mustAsk("ATTACH", "true 1") // none is idle: the one that is attached stays
	id := s.ask("SELECT CONNECTION_ID()")
	s.mustAsk("RELEASE", "nil 0")
	s.mustAsk("RELEASE", "nil 0")
	idle("1 1 1")
	s.nc.Close()

	// The next login takes it over: the server is told by COM_CHANGE_USER.
	control.mustAsk("NEXT pooled", "OK")
	other := openSession(t, p.addr)
	other.mustAsk("FOUND", id)
	other.mustAsk("SELECT CONNECTION_ID()", id)
	other.mustAsk("SET @left = 5", "OK")
	other.mustAsk("RELEASE", "nil 0")
	other.nc.Close()
	control.mustAsk("NEXT pooled, but a new one", "OK")
	fresh := openSession(t, p.addr)
	fresh.mustAsk("FOUND", id)
	if got := fresh.ask("SELECT CONNECTION_ID()"); got == id {
		t.Error("without PROXY_IGNORE_RESULT the pooled connection was used")
	}
	idle("1 1 2")
	fresh.nc.Close()

	// Another one's password does not open it, and nothing of it is left for the next.
	control.mustAsk("NEXT pooled", "OK")
	if _, err := trySession(t, p.addr, user{Name: bed.Users.App.Name, Password: "wrong"}); err == nil || !strings.Contains(err.Error(), "Access denied") {
		t.Errorf("a pooled connection for a wrong password: %v, want the server to refuse", err)
	}
	idle("0 0 1")

	// An idle connection that the server closes is not lent any more.
	control.mustAsk("NEXT give the connection back", "OK")
	s = openSession(t, p.addr)
	s.mustAsk("ATTACH", "true 1")
	id = s.ask("SELECT CONNECTION_ID()")
	s.mustAsk("RELEASE", "nil 0")
	mustExec(t, "KILL "+id)
	idle("0 0 1")
}

// disconnect_client is called once for each session, however it ends.
func TestLuaDisconnects(t *testing.T) {
	p, control := loginScript(t)
	ends := map[string]func(){
		"COM_QUIT": func() {
			s := openSession(t, p.addr)
			s.attempt(func() { s.write(s.command(comQuit, nil)) })
			s.farewell()
		},
		"the client closes":        func() { openSession(t, p.addr).nc.Close() },
		"the client resets":        func() { drop(openSession(t, p.addr).nc) },
		"the client never logs in": func() { dialAndClose(t, p.addr) },
		"the server refuses":       func() { mustBeRefused(t, p.addr, user{Name: "nobody", Password: "x"}) },
		"the script refuses":       func() { control.mustAsk("NEXT refuse at once", "OK"); mustBeRefused(t, p.addr, bed.Users.App) },
		"the server ends": func() {
			s := openSession(t, p.addr)
			mustExec(t, "KILL "+s.ask("SELECT CONNECTION_ID()"))
			s.farewell()
		},
		"no backend": func() { control.mustAsk("NEXT backend out of range", "OK"); mustBeRefused(t, p.addr, bed.Users.App) },
		"nonsense instead of a login": func() {
			nc, err := net.Dial("tcp", p.addr)
			if err != nil {
				t.Fatal(err)
			}
			readFakePacket(nc)
			_, _ = nc.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
			readAll(t, "nonsense", nc, patience)
			nc.Close()
		},
	}
	n := 1 // control
	for how, end := range ends {
		end()
		n++
		want, got := fmt.Sprintf("%d %d", n, n-1), ""
		for until := time.Now().Add(patience); got != want && time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
			got = control.ask("COUNTS")
		}
		if got != want {
			t.Fatalf("%s: sessions that came and went: %s, want %s", how, got, want)
		}
	}
}

func mustBeRefused(t *testing.T, addr string, u user) {
	t.Helper()
	_, err := tryConnectAs(t, addr, u, "")
	if e := (*mysql.MySQLError)(nil); !errors.As(err, &e) {
		t.Errorf("login as %s: %v, want an ERR", u.Name, err)
	}
}

func dialAndClose(t *testing.T, addr string) {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	readFakePacket(nc)
	nc.Close()
}
